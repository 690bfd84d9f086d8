//! `POST /send-code` and `POST /verify-code`: the well-known Express tutorial's two routes, for apps written after it.
//!
//! Public and without a key, as there; under the engine's limits, as not there. The same paths, field names and answers;
//! none of its faults: a code passes once, guesses are counted, nothing lies in a store in clear.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::app::App;
use crate::http::extract::{Peer, body, client_address, parse_json};
use crate::http::problem::{Problem, ProblemCode};
use crate::secret::Code;
use crate::verification::engine::{Started, Verdict};
use crate::verification::model::Delivery;
use crate::verification::policy::DEFAULT_SERVICE;
use crate::verification::request::{Caller, StartRequest, Which};

/// Its codes are good for these routes only (OTP-05).
const PURPOSE: &str = "tutorial";

/// The two routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/send-code", post(send_code)).route("/verify-code", post(verify_code))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendCode {
    phone_number: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifyCode {
    phone_number: String,
    sms_code: String,
}

async fn send_code(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Result<Response, Refusal> {
    let caller = caller(&app, peer, request.headers());
    let wanted: SendCode = read(request, &app).await?;
    let request = StartRequest {
        to: wanted.phone_number,
        channel: None,
        purpose: Some(PURPOSE.into()),
        locale: None,
        code: None,
        subject: None,
        metadata: Default::default(),
    };
    match app.engine.start(&caller, request, true).await.map_err(Problem::from)? {
        Started::Sending(snapshot) if snapshot.delivery == Delivery::Failed => {
            Err(Problem::new(ProblemCode::Unavailable).detail("The message could not be sent.").into())
        }
        // The tutorial's ids are Twilio's: SM and 32 hexadecimal digits. Other providers' look like them, made of our own id.
        Started::Sending(snapshot) => {
            let id = match &snapshot.delivered_by {
                Some((_, reference)) if reference.starts_with("SM") => reference.clone(),
                _ => format!("SM{}", snapshot.id.simple()),
            };
            Ok(message(StatusCode::OK, &format!("Message sent with id: {id}")))
        }
        Started::Limited(limited) => Err(Problem::from(limited).into()),
        Started::Invalid(invalid) => {
            let detail = format!("phoneNumber {}", invalid.rule);
            Err(Problem::new(ProblemCode::InvalidField).detail(detail).into())
        }
        Started::IdempotencyKeyReused | Started::NotFound | Started::Ended(_) => Err(Problem::new(ProblemCode::NotFound).into()),
    }
}

async fn verify_code(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Result<Response, Refusal> {
    let caller = caller(&app, peer, request.headers());
    let given: VerifyCode = read(request, &app).await?;
    // Unknown, wrong, old and used look the same here.
    let no_match = || message(StatusCode::BAD_REQUEST, "The phone number and the SMS code doesn't match.");
    let Ok(code) = Code::parse(given.sms_code.trim()) else { return Ok(no_match()) };
    let which = Which::To { to: given.phone_number, purpose: Some(PURPOSE.into()) };
    match app.engine.check(&caller, which, &code).await.map_err(Problem::from)? {
        Verdict::Judged(checked) if checked.valid => Ok(message(StatusCode::OK, "This is a valid match!")),
        Verdict::Limited(limited) => Err(Problem::from(limited).into()),
        Verdict::NotJudged => Err(Problem::new(ProblemCode::Unavailable).into()),
        Verdict::Judged(_) | Verdict::NotFound | Verdict::Invalid(_) | Verdict::IdempotencyKeyInFlight | Verdict::IdempotencyKeyReused => {
            Ok(no_match())
        }
    }
}

fn caller(app: &App, peer: Peer, headers: &HeaderMap) -> Caller {
    Caller {
        service: DEFAULT_SERVICE.into(),
        client: None,
        ip: Some(client_address(peer.0, headers, &app.trusted_proxies)),
        idempotency_key: None,
    }
}

/// JSON or a form, as Express apps take both.
async fn read<T: DeserializeOwned>(request: Request, app: &App) -> Result<T, Problem> {
    let kind = request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let bytes = body(request, app).await?;
    if kind.starts_with("application/x-www-form-urlencoded") {
        let wrong = || Problem::new(ProblemCode::InvalidBody).detail("The form lacks a field of this request, or has one twice.");
        return axum::extract::Query::<T>::try_from_uri(&form_uri(&bytes).ok_or_else(wrong)?).map(|form| form.0).map_err(|_| wrong());
    }
    parse_json(&bytes)
}

/// A form's body has the syntax of a query.
fn form_uri(bytes: &[u8]) -> Option<axum::http::Uri> {
    format!("/?{}", std::str::from_utf8(bytes).ok()?).parse().ok()
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "message": text }))).into_response()
}

/// A failure in the tutorial's own shape: `{"message"}`.
struct Refusal(Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Some(cause) = self.0.cause() {
            tracing::error!(cause, "a request failed");
        }
        let mut response = message(self.0.status(), &self.0.message());
        self.0.write_headers(&mut response);
        response
    }
}
