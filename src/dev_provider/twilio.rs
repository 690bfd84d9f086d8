//! Twilio Programmable Messaging: `Messages.json` and `Calls.json` of the 2010 API.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::clock::Timestamp;
use crate::dev_provider::{AUTH_TOKEN, DevProvider, Offer, Refusal, field};

pub(super) fn router() -> Router<Arc<DevProvider>> {
    Router::new()
        .route("/2010-04-01/Accounts/{account}/Messages.json", post(message))
        .route("/2010-04-01/Accounts/{account}/Calls.json", post(call))
}

/// Twilio's test numbers, and the errors that they stand for.
const MAGIC: [(&str, u32, &str); 5] = [
    ("+15005550001", 21211, "is not a valid phone number."),
    ("+15005550002", 21612, "is not currently reachable."),
    ("+15005550003", 21408, "is in a region that this account may not send to."),
    ("+15005550004", 21610, "has opted out."),
    ("+15005550009", 21614, "is not a valid mobile number."),
];

type Fields = Form<Vec<(String, String)>>;

async fn message(
    State(provider): State<Arc<DevProvider>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    Form(form): Fields,
) -> Response {
    if !is_authorised(&headers) {
        return unauthorised();
    }
    let has = |names: &[&str]| names.iter().any(|name| field(&form, name).is_some());
    let Some(to) = field(&form, "To").map(str::to_owned) else {
        return error(StatusCode::BAD_REQUEST, 21604, "A 'To' phone number is required.");
    };
    if !has(&["From", "MessagingServiceSid"]) {
        return error(StatusCode::BAD_REQUEST, 21603, "A 'From' phone number is required.");
    }
    if !has(&["Body", "MediaUrl", "ContentSid"]) {
        return error(StatusCode::BAD_REQUEST, 21602, "Message body is required.");
    }
    if let Some((_, code, text)) = MAGIC.iter().find(|(number, ..)| *number == to) {
        return error(StatusCode::BAD_REQUEST, *code, &format!("The 'To' number {to} {text}"));
    }
    let text = field(&form, "Body").or(field(&form, "ContentVariables")).unwrap_or_default().to_owned();
    let id = provider.new_sid("SM");
    let date = date(provider.clock.now());
    let accepted = json!({
        "account_sid": account, "api_version": "2010-04-01", "body": text, "date_created": date, "date_sent": null, "date_updated": date,
        "direction": "outbound-api", "error_code": null, "error_message": null, "from": field(&form, "From"),
        "messaging_service_sid": field(&form, "MessagingServiceSid"), "num_media": "0", "num_segments": "1", "price": null,
        "price_unit": null, "sid": id, "status": if has(&["From"]) { "queued" } else { "accepted" },
        "subresource_uris": { "media": format!("/2010-04-01/Accounts/{account}/Messages/{id}/Media.json") }, "to": to,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{id}.json"),
    });
    offer(&provider, "Messages", to, text, id, form, accepted).await
}

async fn call(State(provider): State<Arc<DevProvider>>, Path(account): Path<String>, headers: HeaderMap, Form(form): Fields) -> Response {
    if !is_authorised(&headers) {
        return unauthorised();
    }
    let (Some(to), Some(from)) = (field(&form, "To"), field(&form, "From")) else {
        return error(StatusCode::BAD_REQUEST, 21201, "A 'To' and a 'From' phone number are required.");
    };
    let Some(text) = field(&form, "Twiml").or(field(&form, "Url")) else {
        return error(StatusCode::BAD_REQUEST, 21205, "Url parameter is required.");
    };
    let id = provider.new_sid("CA");
    let date = date(provider.clock.now());
    let accepted = json!({
        "account_sid": account, "api_version": "2010-04-01", "date_created": date, "date_updated": date, "direction": "outbound-api",
        "from": from, "sid": id, "status": "queued", "to": to, "uri": format!("/2010-04-01/Accounts/{account}/Calls/{id}.json"),
    });
    let (to, text) = (to.to_owned(), text.to_owned());
    offer(&provider, "Calls", to, text, id, form, accepted).await
}

async fn offer(
    provider: &Arc<DevProvider>,
    resource: &'static str,
    to: String,
    text: String,
    id: String,
    fields: Vec<(String, String)>,
    accepted: serde_json::Value,
) -> Response {
    let callback = field(&fields, "StatusCallback").map(str::to_owned);
    let offer = Offer { vendor: "twilio", resource, to, text, id, callback, fields };
    provider.take(offer, refuse, (StatusCode::CREATED, Json(accepted)).into_response()).await
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Rejected => error(StatusCode::BAD_REQUEST, 21211, "The 'To' number is not a valid phone number."),
        Refusal::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, 20503, "Service Unavailable"),
        Refusal::TooMany(seconds) => too_many(seconds),
    }
}

/// 429, with the time to wait.
pub(super) fn too_many(seconds: u64) -> Response {
    let answer = error(StatusCode::TOO_MANY_REQUESTS, 20429, "Too Many Requests");
    ([(header::RETRY_AFTER, seconds.to_string())], answer).into_response()
}

/// An error in Twilio's own shape.
pub(super) fn error(status: StatusCode, code: u32, message: &str) -> Response {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    (status, Json(json!({ "code": code, "message": message, "more_info": more_info, "status": status.as_u16() }))).into_response()
}

pub(super) fn unauthorised() -> Response {
    error(StatusCode::UNAUTHORIZED, 20003, "Authenticate")
}

/// An account with the stand-in's auth token, or any API key.
pub(super) fn is_authorised(headers: &HeaderMap) -> bool {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let pair = basic.and_then(|basic| String::from_utf8(STANDARD.decode(basic).ok()?).ok());
    pair.as_deref().and_then(|pair| pair.split_once(':')).is_some_and(|(user, password)| user.starts_with("SK") || password == AUTH_TOKEN)
}

/// "Thu, 24 Aug 2023 05:01:45 +0000".
fn date(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).map(|time| time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()).unwrap_or_default()
}
