//! Twilio Verify v2, for apps that use its SDKs: the same paths, parameters, answers and errors.
//!
//! A Verify Service is one of our services, an account is one of our clients, and every rule is the engine's: this face
//! translates words and status codes. Handlers take [`within::Within`] (who calls, in which service, reached where),
//! [`form::Form`] or [`form::Query`], and [`paging::Paging`]; they answer JSON in which what is not known is `null` and never
//! left out, or a [`refusal::Refusal`].

pub mod account;
mod attempts;
pub mod credentials;
pub mod date;
pub mod form;
pub mod paging;
mod rate_limits;
pub mod refusal;
pub mod services;
pub mod sid;
mod verifications;
pub mod within;

use std::sync::Arc;

use axum::Router;

use crate::app::App;
use crate::db::attempt::AttemptTable;
use crate::db::rate_limit::RateLimitTable;
use refusal::Refusal;

/// What the face is made of.
pub struct Face {
    /// Account SIDs and API keys.
    pub credentials: credentials::Credentials,
    /// Services that are visible to accounts.
    pub services: services::Services,
    /// Limits of callers' own.
    pub limits: RateLimitTable,
    /// What was sent.
    pub attempts: AttemptTable,
}

/// Every route of Twilio's that is served here.
pub fn router() -> Router<Arc<App>> {
    services::router().merge(verifications::router()).merge(attempts::router()).merge(rate_limits::router())
}

/// Whether a path is one of Twilio's, known to us or not: what fails there is worded as Twilio would.
pub fn owns(path: &str) -> bool {
    path.starts_with("/v2/") || path.starts_with("/2010-04-01/")
}

/// The face of an application that has one: handlers are routed only then.
pub fn face(app: &App) -> Result<&Face, Refusal> {
    app.twilio.as_deref().ok_or_else(|| Refusal::failed("Twilio's API is not served"))
}
