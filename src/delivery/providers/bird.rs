//! Bird (once MessageBird), the API of 2026 at `REGION.platform.bird.com`: text messages.
//!
//! Our reference is the idempotency key of a message and comes back in the metadata of its receipts. These go to an endpoint
//! that is set up once, and are signed as Standard Webhooks say; without `webhook_secret` none are believed. A validity period
//! is announced and refused so far (422), so none is sent.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Message;
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::delivery::standard_webhooks::Secret;
use crate::secret::Redacted;
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "bird",
    title: "Bird",
    environment: &[("BIRD_API_KEY", "api_key"), ("BIRD_SMS_FROM", "from"), ("BIRD_WEBHOOK_SECRET", "webhook_secret")],
    needs: &[&["api_key"], &["from"]],
    secrets: &["api_key", "webhook_secret"],
    build,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `bk_REGION_…`.
    api_key: Redacted<String>,
    /// A number with `+`, a short code, or up to 11 letters, digits and blanks.
    from: String,
    /// `whsec_…`, of the endpoint that receives receipts.
    webhook_secret: Option<Redacted<String>>,
    base_url: Option<String>,
}

struct Bird {
    http: Http,
    api_key: Redacted<String>,
    from: String,
    webhook_secret: Option<Secret>,
    base_url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    let region = region(settings.api_key.expose()).map(|region| format!("https://{region}.platform.bird.com"));
    let base_url = settings.base_url.or(region);
    let secret = |text: Redacted<String>| {
        // Bird's console shows it with the prefix, and people copy it without.
        let secret = Secret::parse(&format!("whsec_{}", text.expose().trim_start_matches("whsec_")));
        secret.ok_or_else(|| SettingError("webhook_secret must be whsec_ and base64 of 24 to 64 bytes".into()))
    };
    Ok(Family::Message(Arc::new(Bird {
        http: account.http.clone(),
        from: settings.from,
        webhook_secret: settings.webhook_secret.map(secret).transpose()?,
        base_url: base_url.ok_or_else(|| SettingError("api_key must be bk_REGION_…, or base_url be set".into()))?,
        api_key: settings.api_key,
    })))
}

/// "eu1" of `bk_eu1_…`.
fn region(api_key: &str) -> Option<&str> {
    let (region, _) = api_key.strip_prefix("bk_")?.split_once('_')?;
    let (letters, digits) = region.split_at_checked(2)?;
    let named = letters.bytes().all(|byte| byte.is_ascii_lowercase()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (named && !digits.is_empty()).then_some(region)
}

#[derive(Deserialize)]
struct Created {
    id: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    #[serde(rename = "type")]
    kind: String,
    code: String,
    param: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    param: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: serde_json::Value,
}

#[async_trait]
impl MessageProvider for Bird {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let envelope = &message.envelope;
        let body = json!({
            "to": envelope.to.canonical(),
            "from": self.from,
            "text": message.body,
            "category": "authentication",
            "metadata": { "reference": envelope.reference },
        });
        let request = self.http.post(format!("{}/v1/sms/messages", self.base_url)).bearer_auth(self.api_key.expose());
        let response = call(request.header("Idempotency-Key", &envelope.reference).json(&body)).await?;
        match response.json::<Created>() {
            Some(created) if response.is_success() => Ok(created.id),
            _ => Err(refusal(&response)),
        }
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        if !self.webhook_secret.as_ref().is_some_and(|secret| secret.has_signed(request)) {
            return Err(ReceiptError::Signature);
        }
        let event: Event = serde_json::from_slice(request.body).map_err(|_| ReceiptError::Malformed)?;
        let state = match event.kind.as_str() {
            "sms.delivered" => ReceiptState::Delivered,
            "sms.undelivered" | "sms.failed" | "sms.rejected" | "sms.expired" => ReceiptState::Failed,
            "sms.accepted" | "sms.sent" => ReceiptState::Underway,
            // The endpoint may be subscribed to more, and Bird adds kinds.
            _ => return Ok(Answer::Receipts(Vec::new())),
        };
        let text = |pointer: &str| event.data.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
        let code = text("/error/code");
        let cause = (state == ReceiptState::Failed).then(|| cause(code.as_deref().unwrap_or_default(), &event.kind).to_owned());
        Ok(Answer::Receipts(vec![ProviderReceipt { reference: text("/metadata/reference"), state, code, cause }]))
    }
}

/// By type and code: Bird asks not to look at its words.
fn refusal(response: &Response) -> SendError {
    let Some(Refused { error: refused }) = response.json::<Refused>() else { return response.unexpected() };
    let about_to = refused.param.iter().chain(refused.details.iter().map(|detail| &detail.param)).any(|param| param == "to");
    let error = match (refused.code.as_str(), refused.kind.as_str()) {
        // Our key is the message's own: whoever used it before us was an earlier attempt to send this very message.
        ("E01004" | "E01005", _) => SendError::uncertain("an earlier attempt to send it is not settled"),
        ("E01033", _) => SendError::unavailable("it is down"),
        (_, "validation_error") if about_to => SendError::rejected("the number is not valid"),
        (_, "auth_error" | "permission_error") => SendError::unavailable("its key was refused"),
        (_, "billing_error") => SendError::unavailable("its account has no credit left"),
        (_, "rate_limit_error") => SendError::unavailable("it is too busy"),
        _ if response.status.is_client_error() => SendError::unavailable("it refused the request"),
        _ => response.unexpected(),
    };
    error.code(&refused.code).retry_after(response.retry_after)
}

/// Bird's codes in plain words.
fn cause(code: &str, event: &str) -> &'static str {
    match code {
        "invalid_destination" => "unknown number",
        "unreachable" => "handset unreachable",
        "blocked_by_carrier" | "content_rejected" => "filtered by the carrier",
        "blocked_by_recipient" => "blocked by the person",
        "landline_unreachable" => "landline",
        "sender_unregistered" => "the sender is not registered for this country",
        "recipient_opted_out" => "the person opted out",
        "provider_unavailable" => "the carrier's network failed",
        "insufficient_balance" => "the account has no credit left",
        _ if event == "sms.expired" => "its time ran out before it was delivered",
        _ => "not delivered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_its_region() {
        assert_eq!(region("bk_eu1_abc_def"), Some("eu1"));
        for key in ["bk_eu1", "bk_eu_abc", "sk_eu1_abc", "bk_EU1_abc", "bk_eu1.evil.example/_x", "bk__x", "bk_é1_x", ""] {
            assert_eq!(region(key), None, "{key}");
        }
    }
}
