//! One-time-password-sms of the CAMARA project: the API that mobile operators offer, served from our engine.
//!
//! [`send`] and [`validate`] are its two operations, [`fault`] is the shape of its failures. This face knows the standard's words
//! and status codes and nothing else; that a newer code ends the ones before it, what a message may say and who may be sent to are
//! the engine's rules. Its codes are good for its own routes only (OTP-05).

pub mod fault;
mod send;
mod validate;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::db::client::Scope;
use crate::http::client_token::ClientTokens;
use crate::http::extract::{Authenticated, StrictJson};
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::request::Caller;
use fault::Fault;

/// What its codes are good for.
const PURPOSE: &str = "one-time-password-sms";
/// Names an exchange in the logs of both sides.
const CORRELATOR: HeaderName = HeaderName::from_static("x-correlator");
/// Longest correlator.
const CORRELATOR_MAX: usize = 256;

/// What the face is made of.
pub struct CamaraFace {
    /// The version segments that answer.
    pub versions: Vec<String>,
    /// Access tokens.
    pub tokens: ClientTokens,
}

/// Its routes, under each version.
pub fn router(app: &Arc<App>, versions: &[String]) -> Router<Arc<App>> {
    let mut router = Router::new();
    for version in versions {
        let path = |operation: &str| format!("/one-time-password-sms/{version}/{operation}");
        router = router.route(&path("send-code"), post(send::send_code)).route(&path("validate-code"), post(validate::validate_code));
    }
    router
        .route("/one-time-password-sms/{*rest}", any(async || Fault::from(Problem::new(ProblemCode::NotFound))))
        .method_not_allowed_fallback(async || Fault::from(Problem::new(ProblemCode::MethodNotAllowed)))
        .layer(middleware::from_fn_with_state(Arc::clone(app), correlate))
}

/// The caller, if it may, and then the body.
async fn read<T: DeserializeOwned>(request: Request, app: &Arc<App>) -> Result<(Caller, T), Fault> {
    let (mut parts, body) = request.into_parts();
    let authenticated = Authenticated::from_request_parts(&mut parts, app).await?;
    let caller = authenticated.caller(Scope::OneTimePasswordSms, None)?;
    let StrictJson(body) = StrictJson::from_request(Request::from_parts(parts, body), app).await?;
    Ok((caller, body))
}

/// Every answer carries the request's `x-correlator`, or one that is made here where it had none.
async fn correlate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(CORRELATOR).cloned();
    let (correlator, mut response) = match given {
        Some(given) if fits(&given) => (Some(given), next.run(request).await),
        Some(_) => (made(&app), Fault::invalid("x-correlator must be at most 256 of a-z, A-Z, 0-9 and -_:;./<>{}").into_response()),
        None => (made(&app), next.run(request).await),
    };
    if let Some(correlator) = correlator {
        response.headers_mut().insert(CORRELATOR, correlator);
    }
    response
}

fn fits(correlator: &HeaderValue) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_:;./<>{}".contains(byte);
    correlator.len() <= CORRELATOR_MAX && correlator.as_bytes().iter().all(plain)
}

fn made(app: &App) -> Option<HeaderValue> {
    let mut bytes = [0; 16];
    app.entropy().fill(&mut bytes);
    HeaderValue::try_from(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INP-01.
    #[test]
    fn correlators_are_those_of_the_pattern() {
        let long = "a".repeat(CORRELATOR_MAX);
        for good in ["", "b4333c46-49c0-4f62-80d7-f0ef930f1c46", "a_B:9;./<>{}", &long] {
            assert!(fits(&HeaderValue::from_str(good).expect("a header value")), "{good}");
        }
        for wrong in ["a b", "a,b", "a\"b", "a=b", "ä", &format!("{long}a")] {
            assert!(!fits(&HeaderValue::from_bytes(wrong.as_bytes()).expect("a header value")), "{wrong}");
        }
    }
}
