//! Twilio Verify v2, for apps that use its SDKs: the same paths, parameters, answers and errors.
//!
//! A Verify Service is one of our services, an account is one of our clients, and every rule is the engine's: this face
//! translates words and status codes. Handlers take [`within::Within`] (who calls, in which service, reached where),
//! [`form::Form`] or [`form::Query`], and [`paging::Paging`]; they answer JSON in which what is not known is `null` and never
//! left out, or a [`refusal::Refusal`].

pub mod account;
pub mod credentials;
pub mod date;
pub mod form;
pub mod paging;
pub mod refusal;
pub mod services;
pub mod sid;
pub mod within;

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// What the face is made of.
pub struct Face {
    /// Account SIDs and API keys.
    pub credentials: credentials::Credentials,
    /// Services that are visible to accounts.
    pub services: services::Services,
}

/// Every route of Twilio's that is served here.
pub fn router() -> Router<Arc<App>> {
    Router::new()
}

/// Whether a path is one of Twilio's, known to us or not: what fails there is worded as Twilio would.
pub fn owns(path: &str) -> bool {
    path.starts_with("/v2/") || path.starts_with("/2010-04-01/")
}
