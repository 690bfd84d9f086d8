//! The routes of the login pages: they read forms, call the services of [`crate::account`], and show what came of it.
//!
//! A page answers a form itself, with 200, 401, 422 or 429 and what is wrong, or sends the browser on with 303 to a path of
//! the few that stand in these files: no path is ever taken from a request (TOK-06). After a registration and after a right
//! password the tutorials' pages answer with the next page itself. So do these for programs; a browser is sent to it, so that
//! "back" and "reload" send no form again. [`visit`] is who asks for a page,
//! [`form`] what a form brings, its token included (WEB-01).

mod agent;
mod code;
mod confirm;
mod form;
mod identifiers;
mod login;
mod passkeys;
mod password;
mod profile;
mod recover;
mod register;
mod reset;
mod security;
mod sheet;
mod step;
mod totp;
mod visit;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};

use crate::app::App;
use crate::http::login::pages::brand::Brand;
use crate::http::login::pages::texts::Catalogue;

/// What every page needs.
pub struct LoginPages {
    /// Their words.
    pub catalogue: Catalogue,
    /// Whose they are.
    pub brand: Brand,
}

/// The routes.
pub fn router() -> Router<Arc<App>> {
    let entry = Router::new()
        .route("/register", get(register::show).post(register::send))
        .route("/login", get(login::show).post(login::send))
        .route("/login/code", get(login::back).post(login::by_code))
        .route("/login/passkey", get(login::back).post(login::by_passkey))
        .route("/login/passkey/options", post(login::passkey_options))
        .route("/verify", get(code::show).post(code::send))
        .route("/verify/resend", get(code::back).post(code::resend))
        .route("/verify/method", get(code::back).post(code::method))
        .route("/recover", get(recover::show).post(recover::send))
        .route("/forgot", get(reset::ask).post(reset::begin))
        .route("/reset", get(reset::back).post(reset::finish))
        .route("/reset/resend", get(reset::back).post(reset::resend))
        .route("/profile", get(profile::show))
        .route("/logout", get(profile::ask_to_leave).post(profile::leave));
    let pages = entry.merge(security()).layer(middleware::map_response(say_where_from));
    pages.merge(sheet::router())
}

fn security() -> Router<Arc<App>> {
    Router::new()
        .route("/security", get(security::show))
        .route("/security/sessions/revoke", post(security::revoke))
        .route("/security/sessions/revoke-others", post(security::revoke_others))
        .route("/security/identifiers/add", get(security::back).post(identifiers::add))
        .route("/security/identifiers/send", get(security::back).post(identifiers::send))
        .route("/security/identifiers/remove", get(security::back).post(identifiers::remove))
        .route("/security/identifiers/verify", get(security::back).post(identifiers::verify))
        .route("/security/identifiers/verify/resend", get(security::back).post(identifiers::send))
        .route("/security/totp", get(totp::show).post(totp::confirm))
        .route("/security/totp/start", get(security::back).post(totp::start))
        .route("/security/totp/remove", get(security::back).post(totp::remove))
        .route("/security/passkeys/options", post(passkeys::options))
        .route("/security/passkeys/add", get(security::back).post(passkeys::add))
        .route("/security/passkeys/remove", get(security::back).post(passkeys::remove))
        .route("/security/recovery-codes", get(security::back).post(recover::make))
        .route("/security/password", get(password::show).post(password::change))
        .route("/security/confirm", get(confirm::show).post(confirm::by_password))
        .route("/security/confirm/method", get(security::back).post(confirm::begin))
        .route("/security/confirm/code", get(security::back).post(confirm::finish))
        .route("/security/confirm/code/resend", get(security::back).post(confirm::resend))
        .route("/security/confirm/code/method", get(security::back).post(confirm::begin))
}

/// With `no-referrer`, as elsewhere, browsers write `Origin: null` over forms of our own; where there is no TLS that is all
/// that they say, and we could not tell such a form from somebody else's. Other sites still learn nothing.
async fn say_where_from(mut response: Response) -> Response {
    response.headers_mut().entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    response
}
