//! StartMessaging, as its tutorials describe it: `/otp/send` and `/otp/verify`. It makes the codes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::dev_provider::{DevProvider, Offer, Refusal, lock};

/// Life of a code.
const LIFE: Duration = Duration::from_secs(600);
/// Wrong guesses.
const TRIES: usize = 5;

pub(super) fn router() -> Router<Arc<DevProvider>> {
    Router::new().route("/otp/send", post(send)).route("/otp/verify", post(verify))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendBody {
    phone_number: String,
    idempotency_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifyBody {
    request_id: String,
    otp_code: String,
}

async fn send(State(provider): State<Arc<DevProvider>>, headers: HeaderMap, Json(body): Json<SendBody>) -> Response {
    if !has_key(&headers) {
        return error(StatusCode::UNAUTHORIZED, "Invalid API key");
    }
    let received = provider.received();
    let answer = |id: &str, at: i64| {
        let expires_at = (crate::clock::Timestamp(at) + LIFE).to_string();
        Json(json!({ "data": { "requestId": id, "expiresAt": expires_at, "attemptsLeft": TRIES } })).into_response()
    };
    // The same key, the same message: it is not sent again.
    let known = received.iter().find(|one| one.taken && one.fields.get("idempotencyKey") == Some(&body.idempotency_key));
    if let Some(known) = known {
        return answer(&known.id, known.at);
    }
    let mut bytes = [0; 4];
    provider.entropy.fill(&mut bytes);
    let text = format!("{:06}", u32::from_be_bytes(bytes) % 1_000_000);
    let id = provider.new_sid("req_");
    let accepted = answer(&id, provider.clock.now().0);
    let fields = vec![("phoneNumber".to_owned(), body.phone_number.clone()), ("idempotencyKey".to_owned(), body.idempotency_key)];
    let offer = Offer { vendor: "startmessaging", resource: "otp", to: body.phone_number, text, id, callback: None, fields };
    provider.take(offer, refuse, accepted).await
}

async fn verify(State(provider): State<Arc<DevProvider>>, headers: HeaderMap, Json(body): Json<VerifyBody>) -> Response {
    if !has_key(&headers) {
        return error(StatusCode::UNAUTHORIZED, "Invalid API key");
    }
    let now = provider.clock.now();
    let mut received = lock(&provider.received);
    let live = |at: i64| now < crate::clock::Timestamp(at) + LIFE;
    let Some(sent) = received.iter_mut().find(|one| one.vendor == "startmessaging" && one.id == body.request_id && live(one.at)) else {
        return error(StatusCode::NOT_FOUND, "OTP request not found or expired");
    };
    // What became of it is kept where receipts of others are.
    if sent.receipts.iter().any(|note| note == "verified") {
        return error(StatusCode::BAD_REQUEST, "OTP already verified");
    }
    if sent.receipts.len() >= TRIES {
        return error(StatusCode::TOO_MANY_REQUESTS, "Too many attempts");
    }
    let verified = sent.text == body.otp_code;
    sent.receipts.push(if verified { "verified" } else { "wrong" }.to_owned());
    Json(json!({ "data": { "verified": verified } })).into_response()
}

fn has_key(headers: &HeaderMap) -> bool {
    headers.get("x-api-key").is_some_and(|key| !key.is_empty())
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Rejected => error(StatusCode::BAD_REQUEST, "phoneNumber is not a valid Indian mobile number"),
        Refusal::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "Service temporarily unavailable"),
        Refusal::TooMany(seconds) => {
            ([(header::RETRY_AFTER, seconds.to_string())], error(StatusCode::TOO_MANY_REQUESTS, "Too many requests")).into_response()
        }
    }
}
