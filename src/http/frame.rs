//! What is around every handler: a request id, a place among the requests under way, a time-out, a net for panics,
//! security headers, one log line for a failure, and the metrics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tower::ServiceExt;

use crate::app::App;
use crate::http::login::origin;
use crate::http::operation;
use crate::http::page;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::room::Room;
use crate::http::twilio;
use crate::telemetry::RequestLabels;

/// `X-Request-Id` of an answer, and `request_id` of a problem and of log lines.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const SECURITY_HEADERS: [(HeaderName, HeaderValue); 7] = [
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
        ),
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Answers one request. Never fails: whatever happens becomes an answer.
#[expect(clippy::disallowed_methods, reason = "a duration for the metrics; nothing is decided by it")]
pub async fn answer(app: &App, room: &Room, router: Router, request: Request) -> Response {
    let started = Instant::now();
    let request_id = request_id(app, request.headers());
    let method = request.method().clone();
    let wants_page = page::is_wanted(request.headers());
    let twilio_path = app.twilio.as_ref().and_then(|_| Some(request.uri().path()).filter(|path| twilio::owns(path)).map(str::to_owned));
    let mut response = guarded(work(app, room, router, request), app.request_timeout, &request_id).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(cause) = problem.cause() {
            tracing::error!(request_id, cause, status = problem.status().as_u16(), "a request failed");
        }
        match &twilio_path {
            Some(path) => twilio::refusal::rewrite(&mut response, &problem, path),
            None => write_problem(&mut response, &problem, &request_id, wants_page),
        }
    }
    finish(&mut response, &request_id);
    let route = response.extensions_mut().remove::<MatchedPath>();
    let labels = RequestLabels {
        method: method_name(&method),
        route: route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned()),
        status: response.status().as_u16(),
    };
    app.metrics.answered(&labels, started.elapsed().as_secs_f64());
    response
}

/// The one layer around all routes: each layer costs every request a microsecond. Tells the frame which route answered (the path
/// itself holds ids and is no label), and browsers who may read the answer.
pub async fn around_routes(State(app): State<Arc<App>>, route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = origin::share(&app, request, next).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// What is done for a request once all of it is here. Health is told without a place: a full server is not a dead one.
async fn work(app: &App, room: &Room, router: Router, request: Request) -> Result<Response, Problem> {
    let request = room.whole(app, request).await?;
    let place = if operation::is_health(request.uri().path()) { None } else { Some(room.place(app)?) };
    Ok(to_the_end(router, request, place).await)
}

/// Whoever hangs up, or waits no longer, changes nothing about what was begun: a start and its message, a receipt and what
/// follows from it, a change and the notice to the owner are one thing each. So the work is a task of its own, which keeps its
/// place until it is done. It ends: whatever is waited for in there has its time.
async fn to_the_end(router: Router, request: Request, place: Option<OwnedSemaphorePermit>) -> Response {
    let work = tokio::spawn(async move {
        let answered = router.oneshot(request).await;
        drop(place);
        answered
    });
    match work.await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        // A panic, which is answered where all are.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn guarded(work: impl Future<Output = Result<Response, Problem>>, limit: Duration, request_id: &str) -> Response {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(answered)) => answered.into_response(),
        Ok(Err(_)) => {
            // The panic's own message was logged by the hook; it may hold anything, so it goes no further (OPS-02).
            tracing::error!(request_id, "a handler panicked");
            Problem::new(ProblemCode::Internal).into_response()
        }
        Err(_) => Problem::new(ProblemCode::Unavailable).retry_after(Duration::from_secs(1)).into_response(),
    }
}

fn request_id(app: &App, headers: &HeaderMap) -> String {
    // A proxy's id is kept, so that its log and ours can be joined; anything odd is replaced.
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain =
        |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    given.filter(plain).map(str::to_owned).unwrap_or_else(|| app.new_request_id())
}

fn write_problem(response: &mut Response, problem: &Problem, request_id: &str, wants_page: bool) {
    let body = problem.body(request_id.to_owned());
    // Set by the router for the empty body that stood here.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    if wants_page && let Some(html) = page::error(&body) {
        *response.body_mut() = Body::from(html);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    } else {
        *response.body_mut() = Body::from(serde_json::to_vec(&body).unwrap_or_default());
    }
}

fn finish(response: &mut Response, request_id: &str) {
    let headers = response.headers_mut();
    // Once, and not once more for every few of them.
    headers.reserve(SECURITY_HEADERS.len() + 2);
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, value);
    }
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        // Anybody can invent methods; a label for each would fill the memory.
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::routing::post;
    use tokio::sync::{Notify, Semaphore};

    use super::*;

    /// OPS-05, R08: who hangs up in the middle, or waits no longer, ends nothing; and the place is taken until it is done.
    #[tokio::test]
    async fn what_was_begun_goes_to_its_end() {
        let (go_on, done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (gone_on, is_done) = (Arc::clone(&go_on), Arc::clone(&done));
        let router = Router::new().route(
            "/",
            post(async move || {
                gone_on.notified().await;
                is_done.store(true, Ordering::SeqCst);
            }),
        );
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().expect("a place");
        let request = Request::post("/").body(Body::empty()).expect("a request");
        let answered = tokio::time::timeout(Duration::from_millis(20), to_the_end(router, request, Some(place))).await;
        assert!(answered.is_err(), "nobody waits for it any more");
        assert_eq!(places.available_permits(), 0, "it is still worked on");
        go_on.notify_one();
        let _free = tokio::time::timeout(Duration::from_secs(5), places.acquire()).await.expect("a place again");
        assert!(done.load(Ordering::SeqCst));
    }
}
