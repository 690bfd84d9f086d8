//! Telnyx Messaging, API v2: text messages.
//!
//! It takes neither a validity period nor a reference, so the sealed reference is in the callback URL alone. Telnyx signs time
//! and body of a receipt (Ed25519), not the URL: the signature says that it is Telnyx, the reference which message. Without
//! `public_key` no receipts are asked for, and none are believed.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::json;

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Message;
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::secret::Redacted;
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "telnyx",
    title: "Telnyx Messaging",
    environment: &[
        ("TELNYX_API_KEY", "api_key"),
        ("TELNYX_PHONE_NUMBER", "from"),
        ("TELNYX_FROM_NUMBER", "from"),
        ("TELNYX_MESSAGING_PROFILE_ID", "messaging_profile_id"),
        ("TELNYX_PUBLIC_KEY", "public_key"),
        ("TELNYX_BASE_URL", "base_url"),
    ],
    needs: &[&["api_key"], &["from", "messaging_profile_id"]],
    secrets: &["api_key"],
    build,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    api_key: Redacted<String>,
    /// A number with `+`, a short code, or letters and digits (these need a profile).
    from: Option<String>,
    messaging_profile_id: Option<String>,
    /// Of the account, for receipts: base64.
    public_key: Option<String>,
    base_url: Option<String>,
}

struct Telnyx {
    http: Http,
    api_key: Redacted<String>,
    from: Option<String>,
    messaging_profile_id: Option<String>,
    public_key: Option<UnparsedPublicKey<[u8; 32]>>,
    url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    if settings.from.is_none() && settings.messaging_profile_id.is_none() {
        return Err(SettingError("from or messaging_profile_id is missing: nobody to send as".into()));
    }
    let key = |text: String| {
        let key = STANDARD.decode(text.trim()).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
        key.ok_or_else(|| SettingError("public_key must be 32 bytes as base64, as the portal shows it".into()))
    };
    let base_url = settings.base_url.unwrap_or_else(|| "https://api.telnyx.com".into());
    Ok(Family::Message(Arc::new(Telnyx {
        http: account.http.clone(),
        api_key: settings.api_key,
        from: settings.from,
        messaging_profile_id: settings.messaging_profile_id,
        public_key: settings.public_key.map(key).transpose()?.map(|key| UnparsedPublicKey::new(&ED25519, key)),
        // The base URL of Telnyx's own libraries ends in the version.
        url: format!("{}/v2/messages", base_url.trim_end_matches('/').trim_end_matches("/v2")),
    })))
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Created {
    id: String,
}

#[derive(Deserialize)]
struct Event {
    event_type: String,
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    to: Vec<Recipient>,
    #[serde(default)]
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Recipient {
    status: String,
}

#[derive(Deserialize)]
struct Failures {
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    pointer: Option<String>,
}

#[async_trait]
impl MessageProvider for Telnyx {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let mut body = json!({ "to": message.envelope.to.canonical(), "text": message.body, "type": "SMS" });
        if let Some(from) = &self.from {
            body["from"] = from.as_str().into();
        }
        if let Some(profile) = &self.messaging_profile_id {
            body["messaging_profile_id"] = profile.as_str().into();
        }
        if let (Some(callback), Some(_)) = (&message.envelope.callback, &self.public_key) {
            body["webhook_url"] = callback.as_str().into();
            body["use_profile_webhooks"] = false.into();
        }
        let response = call(self.http.post(&self.url).bearer_auth(self.api_key.expose()).json(&body)).await?;
        match response.json::<Data<Created>>() {
            Some(created) if response.is_success() => Ok(created.data.id),
            _ => Err(refusal(&response)),
        }
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        if !self.public_key.as_ref().is_some_and(|key| is_signed(request, key)) {
            return Err(ReceiptError::Signature);
        }
        let event: Data<Event> = serde_json::from_slice(request.body).map_err(|_| ReceiptError::Malformed)?;
        // Messages that people send to us come here too.
        let ours = matches!(event.data.event_type.as_str(), "message.sent" | "message.finalized");
        let Some(payload) = event.data.payload.filter(|_| ours) else { return Ok(Answer::Receipts(Vec::new())) };
        let status = payload.to.first().ok_or(ReceiptError::Malformed)?.status.as_str();
        let state = match status {
            "delivered" | "read" => ReceiptState::Delivered,
            "sending_failed" | "delivery_failed" | "expired" => ReceiptState::Failed,
            // "delivery_unconfirmed" is a carrier that tells nothing: no failure.
            "queued" | "sending" | "sent" | "delivery_unconfirmed" => ReceiptState::Underway,
            _ => return Ok(Answer::Receipts(Vec::new())),
        };
        let code = payload.errors.into_iter().next().map(|error| error.code);
        let cause = (state == ReceiptState::Failed).then(|| cause(code.as_deref().unwrap_or_default(), status).to_owned());
        Ok(Answer::Receipts(vec![ProviderReceipt { code, cause, ..ProviderReceipt::new(state) }]))
    }
}

fn is_signed(request: &ReceiptRequest<'_>, key: &UnparsedPublicKey<[u8; 32]>) -> bool {
    let signature = (request.header)("telnyx-signature-ed25519").and_then(|text| STANDARD.decode(text).ok());
    let (Some(signature), Some(timestamp)) = (signature, (request.header)("telnyx-timestamp")) else { return false };
    let fresh = timestamp.parse().is_ok_and(|seconds| request.is_fresh(seconds));
    fresh && key.verify(&[timestamp.as_bytes(), b"|", request.body].concat(), &signature).is_ok()
}

/// By Telnyx's code: one code comes with several statuses.
fn refusal(response: &Response) -> SendError {
    let failure = response.json::<Failures>().and_then(|failures| failures.errors.into_iter().next());
    let Some(failure) = failure else { return response.unexpected() };
    let at = failure.source.as_ref().and_then(|source| source.pointer.as_deref());
    let stopped = [&failure.title, &failure.detail].iter().any(|text| text.contains("STOP"));
    let error = match failure.code.parse().unwrap_or(0) {
        10001 | 10002 | 40310 if at != Some("/from") => SendError::rejected("the number is not valid"),
        10016 if at == Some("/to") => SendError::rejected("the number is not valid"),
        // The same code says that the sender belongs to no profile.
        40300 if stopped => SendError::barred("the person opted out"),
        40301 | 40319 => SendError::rejected("the number cannot receive it"),
        10009 | 10010 | 20001..=20008 => SendError::unavailable("its key was refused"),
        20012..=20017 | 40311..=40314 => SendError::unavailable("its account may not send"),
        20100 | 40333 => SendError::unavailable("its account has no credit left"),
        10011 | 40318 => SendError::unavailable("it is too busy"),
        40309 => SendError::unavailable("its account may not send to this country").about_message(),
        40300 | 40305 | 40306 | 40308 | 40315 | 40320 | 40321 | 40329 | 40330 => SendError::unavailable("the sender may not send this"),
        10001..=10005 | 10015 | 10016 | 10023 | 40302 | 40304 | 40310 | 40316 | 40322 | 40331 => {
            SendError::unavailable("it refused the request")
        }
        10007 | 10008 => SendError::uncertain("it failed while it worked on the message"),
        _ => response.unexpected(),
    };
    error.code(&failure.code).retry_after(response.retry_after)
}

/// Codes of receipts in plain words.
fn cause(code: &str, status: &str) -> &'static str {
    match code {
        "40001" => "landline or unreachable carrier",
        "40002" | "40003" | "40015" | "40016" | "40017" | "40018" => "filtered by the carrier",
        "40004" => "refused by the carrier or the person",
        "40005" | "40014" => "its time ran out before it was delivered",
        "40006" => "the carrier's network failed",
        "40010" | "40013" => "the sender is not registered for this country",
        "40011" => "the carrier's limit was reached",
        "40012" => "unknown number",
        _ if status == "expired" => "its time ran out before it was delivered",
        _ => "not delivered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    /// The key pair of Telnyx's PHP library (tests/Services/WebhooksTest.php). It signs when its tests run, so the time is ours.
    #[test]
    fn the_key_of_telnyx_s_own_tests_signs_for_us_too() {
        let key = STANDARD.decode("+7E99DXiiQXvceNX4nHm3Lbm5mqPWad5RhDr2ufuCik=").expect("base64");
        let key = UnparsedPublicKey::new(&ED25519, <[u8; 32]>::try_from(key).expect("32 bytes"));
        let signature = "tMXRZyBL2gkwrgKp6CTDXTO/K+DVq0ZKEFB3tSdfBwqZGC3K/Hr7TCW+jY7RdWrAiKXEckI3tsHEpdz7lS/MDA==";
        let signed = |body: &str, timestamp: &'static str, now: i64| {
            let header = |name: &str| match name {
                "telnyx-signature-ed25519" => Some(signature),
                "telnyx-timestamp" => Some(timestamp),
                _ => None,
            };
            let now = Timestamp(now * 1000);
            is_signed(&ReceiptRequest { method: "POST", url: "", query: "", header: &header, body: body.as_bytes(), now }, &key)
        };
        let body = r#"{"data":{"event_type":"message.received","id":"test-123"}}"#;
        assert!(signed(body, "1700000000", 1_700_000_000));
        assert!(signed(body, "1700000000", 1_700_000_300) && signed(body, "1700000000", 1_699_999_700), "5 minutes both ways");
        assert!(!signed(body, "1700000000", 1_700_000_301) && !signed(body, "1700000000", 1_699_999_699));
        assert!(!signed(body, "1700000001", 1_700_000_001), "the time is signed");
        assert!(!signed(&body.replace("123", "124"), "1700000000", 1_700_000_000));
    }
}
