//! `/auth/*` in JSON, for apps that bring their own pages.
//!
//! [`tutorial`] holds the routes of the Express and React tutorial, whose words are fixed, and what it asks for besides; they
//! answer failures with `{"error"}`. All others answer as `/v1` does.

mod account;
mod answers;
mod bodies;
mod code;
mod factors;
mod identifiers;
mod password;
mod refusals;
mod sessions;
mod tokens;
mod tutorial;

use std::sync::Arc;

use axum::middleware;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::login::origin;

/// The routes, and their description.
pub fn router(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    let begin = OpenApiRouter::new()
        .routes(routes!(tutorial::register))
        .routes(routes!(tutorial::login))
        .routes(routes!(tutorial::resend))
        .routes(routes!(tutorial::verify))
        .routes(routes!(tutorial::protected))
        .routes(routes!(code::methods))
        .routes(routes!(code::method))
        .routes(routes!(code::code))
        .routes(routes!(code::recover))
        .routes(routes!(code::passkey_options))
        .routes(routes!(code::passkey))
        .routes(routes!(password::forgot))
        .routes(routes!(password::reset));
    let signed_in = OpenApiRouter::new()
        .routes(routes!(account::me))
        .routes(routes!(account::confirm))
        .routes(routes!(password::change))
        .routes(routes!(identifiers::list, identifiers::add))
        .routes(routes!(identifiers::verify))
        .routes(routes!(identifiers::remove))
        .routes(routes!(factors::list))
        .routes(routes!(factors::begin_totp))
        .routes(routes!(factors::confirm_totp))
        .routes(routes!(factors::begin_passkey))
        .routes(routes!(factors::confirm_passkey))
        .routes(routes!(factors::remove))
        .routes(routes!(factors::recovery_codes))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::end_others))
        .routes(routes!(sessions::logout));
    let tokens = OpenApiRouter::new().routes(routes!(tokens::refresh)).routes(routes!(tokens::introspect)).routes(routes!(tokens::jwks));
    begin.merge(signed_in).merge(tokens).layer(middleware::from_fn_with_state(Arc::clone(app), origin::guard))
}
