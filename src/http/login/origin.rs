//! Where a request comes from: what pages of other origins may do (WEB-01, WEB-04).
//!
//! Browsers say it themselves, in `Sec-Fetch-Site` and `Origin`, and no page can make them lie. A request that changes
//! something passes when it comes from a page of ours, from an origin that the operator has named, or from no browser at
//! all: then it has neither of these headers, nor a cookie of ours. Everything else is refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::http::login::browser::has_cookies;
use crate::http::problem::{Problem, ProblemCode};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How long a browser may keep the answer to its question, in seconds.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// The methods that pages elsewhere may use.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// The headers that they may send.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// The headers that they may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, ratelimit, ratelimit-policy, x-request-id");

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A page of ours, or the person's own doing.
    Own,
    /// A page of an origin that the operator named.
    Named,
    /// A page of somebody else.
    Foreign,
    /// No browser, or one too old to say.
    Unsaid,
}

/// As the headers say.
pub fn sender(headers: &HeaderMap, app: &App) -> Sender {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    if matches!(site, Some(b"same-origin" | b"none")) {
        return Sender::Own;
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next().map(HeaderValue::to_str), origins.next(), site) {
        (Some(Ok(origin)), None, _) if is_named(origin, app) => Sender::Named,
        (Some(Ok(origin)), None, None) if is_own(origin, headers, app) => Sender::Own,
        (None, _, None) => Sender::Unsaid,
        _ => Sender::Foreign,
    }
}

/// Letter by letter: nothing is parsed, so nothing can be parsed in two ways.
fn is_named(origin: &str, app: &App) -> bool {
    app.origins.iter().any(|named| named == origin)
}

/// Of browsers that say `Origin` only (they leave the other header out where there is no TLS).
fn is_own(origin: &str, headers: &HeaderMap, app: &App) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let plain = || origin.strip_prefix("http://").is_some_and(|own| !own.is_empty() && own == host);
    origin == app.public_url || (!app.public_url.starts_with("https://") && plain())
}

/// Around every route of people, and of the tutorials: refuses what comes from elsewhere (WEB-01).
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let passes = match sender(request.headers(), &app) {
        Sender::Own | Sender::Named => true,
        Sender::Foreign => false,
        Sender::Unsaid => !has_cookies(request.headers(), &app),
    };
    if changes && !passes {
        return Problem::new(ProblemCode::CrossSite).into_response();
    }
    next.run(request).await
}

/// Around all routes: tells browsers which pages elsewhere may read the answers of the JSON API (WEB-04).
pub async fn share(app: &App, request: Request, next: Next) -> Response {
    let served = app.accounts.is_some() || app.tutorial_api;
    if !served || !is_shared(request.uri().path()) {
        return next.run(request).await;
    }
    let named = request.headers().get(header::ORIGIN).filter(|origin| origin.to_str().is_ok_and(|origin| is_named(origin, app))).cloned();
    let asks = *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &named {
        Some(_) if asks => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
            response
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = named {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

fn is_shared(path: &str) -> bool {
    path.starts_with("/auth/") || matches!(path, "/protected" | "/.well-known/jwks.json" | "/send-code" | "/verify-code")
}
