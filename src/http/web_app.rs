//! An app of the operator's own, such as examples/react, under a path of this server: then its pages and the API are one
//! origin. Every path that is no file is the app's own page, which knows its routes.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use tower_http::services::{ServeDir, ServeFile};

use crate::app::App;

/// The app's files under its path.
pub fn router(path: &str, directory: &Path) -> Router<Arc<App>> {
    let files = ServeDir::new(directory).fallback(ServeFile::new(directory.join("index.html")));
    Router::new().nest_service(path, files).layer(map_response(cached))
}

/// The page is asked for each time, so that a new build is seen; what it names is kept for an hour.
async fn cached(mut response: Response) -> Response {
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let rule = if is_page || !response.status().is_success() { "no-cache" } else { "public, max-age=3600" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(rule));
    response
}
