//! The operator's colours and logo.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::http::login::pages::brand::{LOGO_PATH, SHEET_PATH};
use crate::http::problem::{Problem, ProblemCode};

/// As long as the files of all pages.
const KEPT: (header::HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=3600");

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route(SHEET_PATH, get(colours)).route(LOGO_PATH, get(logo))
}

async fn colours(State(app): State<Arc<App>>) -> Response {
    let css = app.login_pages.as_ref().map(|pages| pages.brand.css()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), KEPT], css).into_response()
}

async fn logo(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let file = app.login_pages.as_ref().and_then(|pages| pages.brand.logo.as_ref()?.file.clone());
    let Some((kind, bytes)) = file else { return Err(Problem::new(ProblemCode::NotFound)) };
    Ok(([(header::CONTENT_TYPE, kind), KEPT], bytes).into_response())
}
