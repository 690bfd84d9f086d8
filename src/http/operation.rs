//! Health and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::App;
use crate::http::problem::{Problem, ProblemCode};

/// A store that has not answered by then is not ready.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The process runs.
const LIVE: &str = "/livez";
/// It can do its work.
const READY: &str = "/readyz";

/// The routes by which others find out how the server is.
pub fn health() -> Router<Arc<App>> {
    Router::new().route(LIVE, get(async || Json(json!({ "status": "live" })))).route(READY, get(ready))
}

/// Whether a path is one of those.
pub fn is_health(path: &str) -> bool {
    matches!(path, LIVE | READY)
}

/// `/metrics`, for the admin listener only (OPS-03).
pub fn metrics() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(metrics_page))
}

async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let unavailable = |detail: &str| Problem::new(ProblemCode::Unavailable).detail(detail).retry_after(Duration::from_secs(1));
    if *app.stopping.borrow() {
        return Err(unavailable("The server is stopping."));
    }
    match tokio::time::timeout(PING_TIMEOUT, app.database.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(unavailable(&format!("The database {}.", error.reason().as_str()))),
        Err(_) => return Err(unavailable("The database does not answer.")),
    }
    match tokio::time::timeout(PING_TIMEOUT, app.engine.store.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(unavailable("The store does not answer.")),
    }
    // What it queues now it may not send.
    if !app.engine.lease.is_held() {
        return Err(unavailable("The store has not heard that this server is there."));
    }
    Ok(Json(json!({ "status": "ready", "providers": app.dispatcher.states() })))
}

async fn metrics_page(State(app): State<Arc<App>>) -> impl IntoResponse {
    let breakers = app.dispatcher.states().into_iter().map(|state| (state.provider, state.breaker.number()));
    let page = app.engine.metrics.page((app.store_queue_depth)(), app.dispatcher.queued(), breakers);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], page)
}
