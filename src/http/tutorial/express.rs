//! `POST /send-code` and `POST /verify-code`: the two routes of the Express, Redis and Twilio tutorial.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::extract::Peer;
use crate::http::problem::Problem;
use crate::http::tutorial::{Refusal, Shape, caller, read, send};
use crate::secret::Code;
use crate::verification::engine::Verdict;
use crate::verification::request::Which;

/// What its codes are good for.
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

/// `{"message"}`, for everything.
struct Message;

impl Shape for Message {
    fn body(problem: &Problem) -> Value {
        json!({ "message": problem.message() })
    }
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "message": text }))).into_response()
}

async fn send_code(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Result<Response, Refusal<Message>> {
    let caller = caller(&app, peer, request.headers());
    let wanted: SendCode = read(request).await?;
    let sent = send(&app, &caller, wanted.phone_number, PURPOSE, "phoneNumber").await?;
    // The tutorial's ids are Twilio's: SM and 32 hexadecimal digits. Other providers' look like them, made of our own id.
    let id = match &sent.delivered_by {
        Some((_, reference)) if reference.starts_with("SM") => reference.clone(),
        _ => format!("SM{}", sent.id.simple()),
    };
    Ok(message(StatusCode::OK, &format!("Message sent with id: {id}")))
}

async fn verify_code(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal<Message>> {
    let caller = caller(&app, peer, request.headers());
    let given: VerifyCode = read(request).await?;
    // Unknown, wrong, old and used look the same here.
    let no_match = || message(StatusCode::BAD_REQUEST, "The phone number and the SMS code doesn't match.");
    let Ok(code) = Code::parse(given.sms_code.trim()) else { return Ok(no_match()) };
    let which = Which::To { to: given.phone_number, purpose: Some(PURPOSE.into()) };
    match app.engine.check(&caller, which, &code).await? {
        Verdict::Judged(checked) if checked.valid => Ok(message(StatusCode::OK, "This is a valid match!")),
        Verdict::Limited(limited) => Err(Problem::from(limited).into()),
        Verdict::NotJudged => Err(Problem::not_judged().into()),
        Verdict::Judged(_) | Verdict::NotFound | Verdict::Invalid(_) | Verdict::IdempotencyKeyInFlight | Verdict::IdempotencyKeyReused => {
            Ok(no_match())
        }
    }
}
