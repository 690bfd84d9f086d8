//! Twilio Verify v2: start, fetch, check, update. It makes the codes, and one verification to a destination is pending at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::dev_provider::twilio::{error, is_authorised, too_many, unauthorised};
use crate::dev_provider::{DevProvider, Offer, Refusal, field, lock};

/// Life of a code, from the first message on.
const LIFE: Duration = Duration::from_secs(600);
/// Messages of one verification, and wrong guesses.
const TRIES: u32 = 5;

pub(super) fn router() -> Router<Arc<DevProvider>> {
    Router::new()
        .route("/v2/Services/{service}/Verifications", post(start))
        .route("/v2/Services/{service}/Verifications/{sid}", get(fetch).post(update))
        .route("/v2/Services/{service}/VerificationCheck", post(check))
}

/// A verification that has not ended.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    service: String,
    to: String,
    channel: String,
    code: String,
    sends: u32,
    wrong: u32,
    begun: Timestamp,
}

type Fields = Form<Vec<(String, String)>>;

impl DevProvider {
    /// The pending one with that id, or to that destination.
    fn pending(&self, service: &str, named: &str) -> Option<(String, Pending)> {
        let now = self.clock.now();
        let mut all = lock(&self.verifications);
        all.retain(|_, pending| now < pending.begun + LIFE);
        let found = all.iter().find(|(sid, pending)| pending.service == service && (*sid == named || pending.to == named));
        found.map(|(sid, pending)| (sid.clone(), pending.clone()))
    }

    fn body(&self, sid: &str, pending: &Pending, status: &str) -> Value {
        let date = pending.begun.to_string();
        let attempts = (0..pending.sends)
            .map(|_| json!({ "time": date, "channel": pending.channel.to_uppercase(), "attempt_sid": self.new_sid("VL") }));
        json!({
            "sid": sid, "service_sid": pending.service, "account_sid": "AC00000000000000000000000000000000", "to": pending.to,
            "channel": pending.channel, "status": status, "valid": status == "approved", "lookup": {}, "amount": null, "payee": null,
            "send_code_attempts": attempts.collect::<Vec<_>>(), "sna": null, "date_created": date, "date_updated": date,
            "url": format!("{}/v2/Services/{}/Verifications/{sid}", self.url, pending.service),
        })
    }
}

async fn start(State(provider): State<Arc<DevProvider>>, Path(service): Path<String>, headers: HeaderMap, Form(form): Fields) -> Response {
    if !is_authorised(&headers) {
        return unauthorised();
    }
    let (Some(to), Some(channel)) = (field(&form, "To"), field(&form, "Channel")) else {
        return error(StatusCode::BAD_REQUEST, 60200, "Invalid parameter: To");
    };
    let (sid, pending) = match provider.pending(&service, to) {
        Some((_, pending)) if pending.sends >= TRIES => return error(StatusCode::TOO_MANY_REQUESTS, 60203, "Max send attempts reached"),
        // The same code, and the same id, until it ends.
        Some((sid, pending)) => (sid, Pending { sends: pending.sends + 1, channel: channel.to_owned(), ..pending }),
        None => {
            let mut bytes = [0; 4];
            provider.entropy.fill(&mut bytes);
            let code = field(&form, "CustomCode").map_or_else(|| format!("{:06}", u32::from_be_bytes(bytes) % 1_000_000), str::to_owned);
            let begun = provider.clock.now();
            let (to, channel) = (to.to_owned(), channel.to_owned());
            (provider.new_sid("VE"), Pending { service: service.clone(), to, channel, code, sends: 1, wrong: 0, begun })
        }
    };
    let accepted = (StatusCode::CREATED, Json(provider.body(&sid, &pending, "pending"))).into_response();
    let (to, text) = (pending.to.clone(), pending.code.clone());
    lock(&provider.verifications).insert(sid.clone(), pending);
    let offer = Offer { vendor: "twilio-verify", resource: "Verifications", to, text, id: sid, callback: None, fields: form };
    provider.take(offer, refuse, accepted).await
}

async fn fetch(State(provider): State<Arc<DevProvider>>, Path((service, named)): Path<(String, String)>, headers: HeaderMap) -> Response {
    if !is_authorised(&headers) {
        return unauthorised();
    }
    match provider.pending(&service, &named) {
        Some((sid, pending)) => Json(provider.body(&sid, &pending, "pending")).into_response(),
        None => gone(&format!("/v2/Services/{service}/Verifications/{named}")),
    }
}

async fn update(
    State(provider): State<Arc<DevProvider>>,
    Path((service, named)): Path<(String, String)>,
    headers: HeaderMap,
    Form(form): Fields,
) -> Response {
    if !is_authorised(&headers) {
        return unauthorised();
    }
    let Some(status) = field(&form, "Status").filter(|status| ["canceled", "approved"].contains(status)) else {
        return error(StatusCode::BAD_REQUEST, 60200, "Invalid parameter: Status");
    };
    let Some((sid, pending)) = provider.pending(&service, &named) else {
        return gone(&format!("/v2/Services/{service}/Verifications/{named}"));
    };
    lock(&provider.verifications).remove(&sid);
    Json(provider.body(&sid, &pending, status)).into_response()
}

async fn check(State(provider): State<Arc<DevProvider>>, Path(service): Path<String>, headers: HeaderMap, Form(form): Fields) -> Response {
    if !is_authorised(&headers) {
        return unauthorised();
    }
    let Some(named) = field(&form, "VerificationSid").or(field(&form, "To")) else {
        return error(StatusCode::BAD_REQUEST, 60221, "Either To or VerificationSid is required");
    };
    let Some((sid, pending)) = provider.pending(&service, named) else {
        return gone(&format!("/v2/Services/{service}/VerificationCheck"));
    };
    if pending.wrong >= TRIES {
        return error(StatusCode::TOO_MANY_REQUESTS, 60202, "Max check attempts reached");
    }
    let right = field(&form, "Code") == Some(&pending.code);
    let mut all = lock(&provider.verifications);
    if right {
        all.remove(&sid);
    } else if let Some(pending) = all.get_mut(&sid) {
        pending.wrong += 1;
    }
    drop(all);
    let mut body = provider.body(&sid, &pending, if right { "approved" } else { "pending" });
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| !["url", "lookup", "send_code_attempts", "sna"].contains(&name.as_str()));
        fields.insert("sna_attempts_error_codes".into(), json!([]));
    }
    Json(body).into_response()
}

fn gone(path: &str) -> Response {
    error(StatusCode::NOT_FOUND, 20404, &format!("The requested resource {path} was not found"))
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Rejected => error(StatusCode::BAD_REQUEST, 60200, "Invalid parameter: To"),
        Refusal::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, 20503, "Service Unavailable"),
        Refusal::TooMany(seconds) => too_many(seconds),
    }
}
