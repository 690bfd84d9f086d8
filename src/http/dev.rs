//! The dev inbox: a page, a stream and a list of the messages that dev mode shows. Not routed otherwise.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::watch;

use crate::app::App;
use crate::delivery::inbox::{Inbox, InboxMessage};
use crate::http::extract::StrictQuery;
use crate::http::page;
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::Destination;

/// The frame's policy for all pages, and frames of this server's own: mails.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                           frame-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";
/// No scripts, no forms, no links that lead out of the frame, nothing from elsewhere.
const MAIL_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'";

/// The inbox's routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/dev/inbox", get(inbox_page))
        .route("/dev/inbox.json", get(inbox_json))
        .route("/dev/inbox/events", get(inbox_events))
        .route("/dev/inbox/mail/{id}", get(mail))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboxQuery {
    to: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

impl InboxQuery {
    /// The destination in the form in which messages keep it; as typed where it is none, which then finds nothing.
    fn destination(&self) -> Option<String> {
        let typed = self.to.as_deref().map(str::trim).filter(|to| !to.is_empty())?;
        // In a query a bare + is a space: "?to=+49…" is what people type.
        let parsed = Destination::parse(typed, None).or_else(|_| Destination::parse(&format!("+{typed}"), None));
        Some(parsed.map_or_else(|_| typed.to_owned(), |destination| destination.canonical().to_owned()))
    }
}

async fn inbox_page(State(app): State<Arc<App>>, StrictQuery(query): StrictQuery<InboxQuery>) -> Result<impl IntoResponse, Problem> {
    let destination = query.destination();
    let (messages, mark) = inbox(&app)?.newest(destination.as_deref(), query.limit.unwrap_or(100));
    let page = page::InboxPage::new(messages, mark, destination.unwrap_or_default(), &app);
    Ok(([(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(page.html().map_err(Problem::internal)?)))
}

/// A mail as its reader would see it, for a frame of the page. A mail brings its own styles; it can do nothing.
async fn mail(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<impl IntoResponse, Problem> {
    let html = inbox(&app)?.html(&id).ok_or_else(|| Problem::new(ProblemCode::NotFound))?;
    Ok(([(header::CONTENT_SECURITY_POLICY, MAIL_POLICY)], Html(html)))
}

async fn inbox_json(State(app): State<Arc<App>>, StrictQuery(query): StrictQuery<InboxQuery>) -> Result<Json<Vec<InboxMessage>>, Problem> {
    Ok(Json(inbox(&app)?.newest(query.destination().as_deref(), query.limit.unwrap_or(100)).0))
}

async fn inbox_events(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<InboxQuery>,
) -> Result<impl IntoResponse, Problem> {
    let to = query.destination();
    let inbox = Arc::clone(app.inbox.as_ref().ok_or_else(|| Problem::new(ProblemCode::NotFound))?);
    // Watched first, read after: a change in between is found at once and not at the next one.
    let changed = inbox.watch();
    let last = headers.get("last-event-id").and_then(|mark| mark.to_str().ok()).map(str::to_owned).or(query.after);
    let mark = last.unwrap_or_else(|| inbox.newest(None, 0).1);
    let follower = Follower { inbox, changed, mark, to, events: VecDeque::new(), is_first: true, stop: app.stopping.clone() };
    Ok(Sse::new(follower.stream()).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// Follows the inbox from a mark on. An event named `message` is a new one, `delivery` what became of one that was there.
struct Follower {
    inbox: Arc<Inbox>,
    changed: watch::Receiver<u64>,
    mark: String,
    to: Option<String>,
    events: VecDeque<Event>,
    is_first: bool,
    stop: watch::Receiver<bool>,
}

impl Follower {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut follower| async move { Some((Ok(follower.next().await?), follower)) })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !std::mem::take(&mut self.is_first) {
                tokio::select! {
                    changed = self.changed.changed() => changed.ok()?,
                    _ = self.stop.wait_for(|stopping| *stopping) => return None,
                }
            }
            self.fetch();
        }
    }

    /// The mark goes with the last event only: whoever is cut off before it asks again for all of them.
    fn fetch(&mut self) {
        let changes = self.inbox.since(&self.mark, self.to.as_deref());
        let last = changes.messages.len().saturating_sub(1);
        let events = changes.messages.iter().enumerate().filter_map(|(index, (message, is_new))| {
            let event = Event::default().event(if *is_new { "message" } else { "delivery" });
            let event = if index == last { event.id(&changes.mark) } else { event };
            event.json_data(message).ok()
        });
        self.events = events.collect();
        self.mark = changes.mark;
    }
}

fn inbox(app: &App) -> Result<&Inbox, Problem> {
    app.inbox.as_deref().ok_or_else(|| Problem::new(ProblemCode::NotFound))
}
