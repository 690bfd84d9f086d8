//! The native API: `/v1`, JSON, with a client's key.

mod account_bodies;
mod accounts;
mod bodies;
mod read;
mod write;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// The routes, and their description.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(crate::http::openapi::frame())
        .routes(routes!(write::start, read::list))
        .routes(routes!(read::get))
        .routes(routes!(write::check))
        .routes(routes!(write::check_destination))
        .routes(routes!(write::resend))
        .routes(routes!(write::cancel))
        .routes(routes!(write::release))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::get, accounts::change))
        .routes(routes!(accounts::sessions, accounts::end_sessions))
}
