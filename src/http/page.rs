//! Pages: templates checked at build, and the files that they use, embedded.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::app::App;
use crate::delivery::inbox::InboxMessage;
use crate::http::problem::{Problem, ProblemBody};
use crate::verification::model::Channel;

#[derive(Template)]
#[template(path = "pages/home.html")]
struct HomePage {
    start_example: String,
    check_example: String,
    has_login: bool,
}

/// The inbox.
#[derive(Template)]
#[template(path = "pages/inbox.html")]
pub struct InboxPage {
    messages: Vec<InboxMessage>,
    /// Where changes go on from.
    mark: String,
    to: String,
    example: String,
    /// Messages really leave.
    are_real: bool,
    /// One of each channel without values, for the script to fill.
    blanks: Vec<InboxMessage>,
}

impl InboxPage {
    /// With these messages.
    pub fn new(messages: Vec<InboxMessage>, mark: String, to: String, app: &App) -> InboxPage {
        let blanks = Channel::ALL.into_iter().map(InboxMessage::blank).collect();
        InboxPage { messages, mark, to, example: start_example(&app.public_url, "$KEY"), are_real: app.senders.are_real(), blanks }
    }

    /// The page.
    pub fn html(&self) -> askama::Result<String> {
        self.render()
    }
}

#[derive(Template)]
#[template(path = "pages/error.html")]
struct ErrorPage {
    status: u16,
    title: String,
    detail: String,
    request_id: String,
}

/// The API, for reading.
#[derive(Template)]
#[template(path = "pages/api_docs.html")]
pub struct ApiDocsPage {
    /// Of the API.
    pub title: String,
    /// Of the server.
    pub version: String,
    /// A few sentences.
    pub description: String,
    /// Those of one tag side by side.
    pub operations: Vec<DocOperation>,
    /// Shapes that several operations share.
    pub schemas: Vec<DocSchema>,
}

/// One operation.
pub struct DocOperation {
    /// Its anchor.
    pub id: String,
    /// HTTP method.
    pub method: String,
    /// Path, with parameters in braces.
    pub path: String,
    /// Its group.
    pub tag: String,
    /// A few words.
    pub summary: String,
    /// A few sentences.
    pub description: String,
    /// Whether it needs a key.
    pub secured: bool,
    /// In path, query and headers.
    pub parameters: Vec<DocField>,
    /// In the body.
    pub request_fields: Vec<DocField>,
    /// A body to paste.
    pub request_example: String,
    /// A line to paste.
    pub curl: String,
    /// By status.
    pub responses: Vec<DocResponse>,
}

/// A parameter or a field.
pub struct DocField {
    /// Its name.
    pub name: String,
    /// path, query, header, body.
    pub place: String,
    /// Its type.
    pub kind: String,
    /// What it means.
    pub description: String,
    /// Whether it must be given.
    pub required: bool,
}

/// An answer.
pub struct DocResponse {
    /// HTTP status.
    pub status: String,
    /// When it comes.
    pub description: String,
    /// A body.
    pub example: String,
}

/// A shape.
pub struct DocSchema {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What it has.
    pub fields: Vec<DocField>,
}

impl ApiDocsPage {
    /// The page.
    pub fn html(&self) -> String {
        self.render().unwrap_or_default()
    }
}

/// The first page, and what all pages use.
pub fn router() -> Router<Arc<App>> {
    let mut router = Router::new().route("/", get(home));
    for (path, kind, text) in FILES {
        router = router.route(path, get(move || async move { file(kind, text) }));
    }
    router
}

/// A line that starts a verification, to paste.
pub fn start_example(url: &str, key: &str) -> String {
    format!("curl -H \"Authorization: Bearer {key}\" {url}/v1/verifications --json '{{\"to\":\"+4915112345678\"}}'")
}

/// A line that checks a code, to paste.
pub fn check_example(url: &str, key: &str) -> String {
    format!("curl -H \"Authorization: Bearer {key}\" {url}/v1/verifications/check --json '{{\"to\":\"+4915112345678\",\"code\":\"CODE\"}}'")
}

/// The page of a failure.
pub fn error(problem: &ProblemBody) -> Option<String> {
    let page = ErrorPage {
        status: problem.status,
        title: problem.title.to_owned(),
        detail: problem.detail.clone().unwrap_or_default(),
        request_id: problem.request_id.clone(),
    };
    page.render().ok()
}

/// Whether a browser asks: it names text/html, which API clients do not.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

async fn home(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.inbox.is_none() {
        return Ok(Redirect::to("/docs").into_response());
    }
    let (start_example, check_example) = (start_example(&app.public_url, "$KEY"), check_example(&app.public_url, "$KEY"));
    let page = HomePage { start_example, check_example, has_login: app.login_pages.is_some() };
    page.render().map(|html| Html(html).into_response()).map_err(Problem::internal)
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    // An hour: a new version of the server is seen soon, and a page does not fetch the same file twice.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], text)
}

const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const FILES: [(&str, &str, &str); 11] = [
    ("/static/countersign.css", "text/css; charset=utf-8", include_str!("../../static/countersign.css")),
    ("/static/login.css", "text/css; charset=utf-8", include_str!("../../static/login.css")),
    ("/static/login.js", SCRIPT, include_str!("../../static/login.js")),
    ("/static/passkey.js", SCRIPT, include_str!("../../static/passkey.js")),
    ("/static/copy.js", SCRIPT, include_str!("../../static/copy.js")),
    ("/static/inbox.js", SCRIPT, include_str!("../../static/inbox.js")),
    ("/static/mark.svg", SVG, include_str!("../../static/mark.svg")),
    ("/static/channel-sms.svg", SVG, include_str!("../../static/channel-sms.svg")),
    ("/static/channel-whatsapp.svg", SVG, include_str!("../../static/channel-whatsapp.svg")),
    ("/static/channel-call.svg", SVG, include_str!("../../static/channel-call.svg")),
    ("/static/channel-email.svg", SVG, include_str!("../../static/channel-email.svg")),
];
