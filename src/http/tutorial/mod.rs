//! The routes of well-known tutorials, for apps written after them: the same paths, field names and answers.
//!
//! Public and without a key, as there; under the engine's limits, as not there. None of their faults: a code passes once,
//! guesses are counted, nothing lies in a store in clear. [`express`] and [`gateway`] are one file a tutorial; each words its
//! failures in its own shape, and its codes are good for its own routes only (OTP-05).

mod express;
pub mod gateway;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::account::AccountError;
use crate::app::App;
use crate::http::extract::{Peer, body, client_address, is_form, is_json, parse_json};
use crate::http::login::origin;
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::engine::Started;
use crate::verification::model::Delivery;
use crate::verification::policy::DEFAULT_SERVICE;
use crate::verification::request::{Caller, StartRequest};
use crate::verification::store::{Snapshot, StoreError};

/// Every tutorial's routes. Where people sign in by JSON `/auth/verify-otp` is theirs, and they pass on what is meant for the
/// gateway. Pages of others may not have their visitors' browsers send messages (WEB-01).
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let router = express::router().merge(gateway::sending());
    let router = if app.accounts.is_some() { router } else { router.merge(gateway::verifying()) };
    router.layer(middleware::from_fn_with_state(Arc::clone(app), origin::guard))
}

/// Nobody with a key: the address is all that is known.
fn caller(app: &App, peer: Peer, headers: &HeaderMap) -> Caller {
    Caller {
        service: DEFAULT_SERVICE.into(),
        client: None,
        ip: Some(client_address(peer.0, headers, &app.trusted_proxies)),
        idempotency_key: None,
        has_paid: false,
    }
}

/// JSON or a form, as apps of this kind take both. Fields that nobody asked for are their own business.
async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let headers = request.headers().clone();
    parse(&headers, &body(request).await?)
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    if is_form(headers) {
        let wrong = || Problem::new(ProblemCode::InvalidBody).detail("The form lacks a field of this request, or has one twice.");
        return axum::extract::Query::<T>::try_from_uri(&form_uri(bytes).ok_or_else(wrong)?).map(|form| form.0).map_err(|_| wrong());
    }
    // What a page may send anywhere without asking (text/plain) is never read as JSON.
    if !is_json(headers) {
        return Err(Problem::new(ProblemCode::UnsupportedMediaType).detail("Send Content-Type: application/json, or a form."));
    }
    parse_json(bytes)
}

/// A form's body has the syntax of a query.
pub fn form_uri(bytes: &[u8]) -> Option<axum::http::Uri> {
    format!("/?{}", std::str::from_utf8(bytes).ok()?).parse().ok()
}

/// Sends a code to `to` and waits for what becomes of it: these clients take the answer to mean that it was sent. `field` is
/// their name for the destination.
async fn send(app: &App, caller: &Caller, to: String, purpose: &str, field: &'static str) -> Result<Snapshot, Problem> {
    let request = StartRequest {
        to,
        channel: None,
        purpose: Some(purpose.into()),
        locale: None,
        code: None,
        subject: None,
        metadata: Default::default(),
        ..StartRequest::default()
    };
    match app.engine.start(caller, request, true).await? {
        Started::Sending(snapshot) if snapshot.delivery == Delivery::Failed => Err(Problem::not_sent()),
        Started::Sending(snapshot) => Ok(snapshot),
        Started::Limited(limited) => Err(limited.into()),
        Started::Invalid(invalid) => Err(Problem::new(ProblemCode::InvalidField).detail(format!("{field} {}", invalid.rule)).field(field)),
        Started::IdempotencyKeyReused | Started::NotFound | Started::Ended(_) => Err(Problem::new(ProblemCode::NotFound)),
    }
}

/// A failure that its tutorial words in its own shape.
pub trait Shape {
    /// The body.
    fn body(problem: &Problem) -> serde_json::Value;
}

/// A failure in the shape of `S`.
pub struct Refusal<S> {
    problem: Problem,
    shape: std::marker::PhantomData<S>,
}

impl<S> From<Problem> for Refusal<S> {
    fn from(problem: Problem) -> Refusal<S> {
        Refusal { problem, shape: std::marker::PhantomData }
    }
}

impl<S> From<StoreError> for Refusal<S> {
    fn from(error: StoreError) -> Refusal<S> {
        Problem::from(error).into()
    }
}

impl<S> From<AccountError> for Refusal<S> {
    fn from(error: AccountError) -> Refusal<S> {
        Problem::from(error).into()
    }
}

impl<S: Shape> IntoResponse for Refusal<S> {
    fn into_response(self) -> Response {
        if let Some(cause) = self.problem.cause() {
            tracing::error!(cause, "a request failed");
        }
        let mut response = (self.problem.status(), axum::Json(S::body(&self.problem))).into_response();
        self.problem.write_headers(&mut response);
        response
    }
}
