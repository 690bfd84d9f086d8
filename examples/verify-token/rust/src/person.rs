//! The person behind a request, as an argument of handlers.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};

use crate::keys::Keys;

/// Somebody who signed in.
#[derive(Debug, Deserialize, Serialize)]
pub struct Person {
    /// The account's id: what to know people by.
    pub sub: String,
    /// What operators have made of the account.
    pub roles: Vec<String>,
    /// "aal2": two factors.
    pub acr: String,
    /// When the person last proved who they are, in seconds since 1970.
    pub auth_time: i64,
    /// Where the issuer is configured to tell it.
    pub email: Option<String>,
}

impl FromRequestParts<Arc<Keys>> for Person {
    type Rejection = (StatusCode, [(HeaderName, &'static str); 1]);

    async fn from_request_parts(parts: &mut Parts, keys: &Arc<Keys>) -> Result<Person, Self::Rejection> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        let refused = |status| (status, [(WWW_AUTHENTICATE, "Bearer")]);
        match keys.judge(token.unwrap_or_default()).await {
            Ok(Some(person)) => Ok(person),
            Ok(None) => Err(refused(StatusCode::UNAUTHORIZED)),
            // The issuer does not answer: nobody passes, and nobody is told that their token is bad.
            Err(_) => Err(refused(StatusCode::SERVICE_UNAVAILABLE)),
        }
    }
}
