//! Telegram Gateway: codes as messages of Telegram's own verification account.
//!
//! It reaches phone numbers, and a caller knows no better than "this number": so it serves the channel `sms`, as a cheap
//! first member of a route whose next one sends text messages. The words are Telegram's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hmac::Hmac;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Message;
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError, seconds_left};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::delivery::signature::is_mac;
use crate::hex;
use crate::secret::{Code, Redacted};
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "telegram",
    title: "Telegram Gateway",
    environment: &[("TELEGRAM_GATEWAY_TOKEN", "token"), ("TELEGRAM_GATEWAY_API_TOKEN", "token")],
    needs: &[&["token"]],
    secrets: &["token"],
    build,
};

/// Longest callback URL that it takes, in bytes.
const CALLBACK_MAX_BYTES: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    token: Redacted<String>,
    /// A verified channel of the account, to send as.
    sender_username: Option<String>,
    base_url: Option<String>,
}

struct Telegram {
    http: Http,
    token: Redacted<String>,
    sender_username: Option<String>,
    base_url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    Ok(Family::Message(Arc::new(Telegram {
        http: account.http.clone(),
        token: settings.token,
        sender_username: settings.sender_username,
        base_url: settings.base_url.unwrap_or_else(|| "https://gatewayapi.telegram.org".into()),
    })))
}

#[derive(Deserialize)]
struct Replied {
    ok: bool,
    result: Option<RequestStatus>,
    error: Option<String>,
}

/// What it says of a message: in an answer, and as the whole of a report.
#[derive(Deserialize)]
struct RequestStatus {
    request_id: String,
    delivery_status: Option<DeliveryStatus>,
    payload: Option<String>,
}

#[derive(Deserialize)]
struct DeliveryStatus {
    status: String,
}

#[async_trait]
impl MessageProvider for Telegram {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn carries(&self, code: &Code) -> bool {
        (4..=8).contains(&code.expose().len())
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let envelope = &message.envelope;
        // Not read in its time, it costs nothing. Asking first whether the number can be reached would.
        let mut body = json!({
            "phone_number": envelope.to.canonical(),
            "code": message.code()?.expose(),
            "ttl": seconds_left(envelope.expires_at, envelope.now).clamp(30, 3600),
            "payload": envelope.reference,
        });
        if let Some(sender) = &self.sender_username {
            body["sender_username"] = json!(sender);
        }
        let reachable = |callback: &&String| callback.starts_with("https://") && callback.len() <= CALLBACK_MAX_BYTES;
        if let Some(callback) = envelope.callback.as_ref().filter(reachable) {
            body["callback_url"] = json!(callback);
        }
        let url = format!("{}/sendVerificationMessage", self.base_url);
        sent(&call(self.http.post(url).bearer_auth(self.token.expose()).json(&body)).await?)
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        if !self.is_signed(request) {
            return Err(ReceiptError::Signature);
        }
        let report: RequestStatus = serde_json::from_slice(request.body).map_err(|_| ReceiptError::Malformed)?;
        let Some(DeliveryStatus { status }) = report.delivery_status else { return Ok(Answer::Receipts(Vec::new())) };
        let (state, cause) = match status.as_str() {
            "sent" => (ReceiptState::Underway, None),
            "delivered" | "read" => (ReceiptState::Delivered, None),
            "expired" => (ReceiptState::Failed, Some("not delivered before its time ran out")),
            "revoked" => (ReceiptState::Failed, Some("revoked")),
            _ => return Ok(Answer::Receipts(Vec::new())),
        };
        let receipt = ProviderReceipt { reference: report.payload, cause: cause.map(str::to_owned), ..ProviderReceipt::new(state) };
        Ok(Answer::Receipts(vec![receipt]))
    }
}

impl Telegram {
    /// Over the time and the body, with the token's digest as the key; what is old is nobody's signature any more.
    fn is_signed(&self, request: &ReceiptRequest<'_>) -> bool {
        let timestamp = (request.header)("x-request-timestamp").unwrap_or_default();
        let signature = (request.header)("x-request-signature").and_then(hex::bytes).unwrap_or_default();
        let is_fresh = timestamp.parse().is_ok_and(|seconds| request.is_fresh(seconds));
        let key = Sha256::digest(self.token.expose().as_bytes());
        is_fresh && is_mac::<Hmac<Sha256>>(&key, &[timestamp.as_bytes(), b"\n", request.body], &signature)
    }
}

/// The id of a message that it took. Which status goes with which error is documented nowhere: the body is read first.
fn sent(response: &Response) -> Result<String, SendError> {
    match response.json::<Replied>() {
        Some(Replied { ok: true, result: Some(result), .. }) if response.is_success() => Ok(result.request_id),
        Some(Replied { ok: false, error: Some(error), .. }) if !response.status.is_server_error() => Err(refusal(&error, response)),
        _ => Err(response.unexpected()),
    }
}

fn refusal(error: &str, response: &Response) -> SendError {
    let sent = match error {
        "PHONE_NUMBER_INVALID" => SendError::rejected("the number is not valid"),
        // Not on Telegram, or not to be reached there. On this channel that says nothing of the number: the next member of the
        // route sends a text message, which only a message that was certainly not sent lets it do.
        "PHONE_NUMBER_NOT_FOUND" | "PHONE_NUMBER_NOT_AVAILABLE" => SendError::unavailable("not on Telegram").about_message(),
        "ACCESS_TOKEN_INVALID" | "ACCESS_TOKEN_REQUIRED" => SendError::unavailable("it refused the token"),
        "BALANCE_NOT_ENOUGH" => SendError::unavailable("its account has no credit"),
        "MESSAGE_ALREADY_SENT" => SendError::uncertain("it has sent this message already"),
        flood if flood.contains("FLOOD_WAIT") => {
            let seconds = flood.rsplit('_').next().and_then(|seconds| seconds.parse().ok());
            let wait = seconds.map(|seconds: u32| Duration::from_secs(u64::from(seconds.min(3600))));
            SendError::unavailable("it is too busy").retry_after(wait.or(response.retry_after))
        }
        // Everything else blames the request or the account, and is not charged.
        _ => SendError::unavailable("it refused the message"),
    };
    // Its names are words of its own; what is no such word is not repeated.
    let is_name = error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if is_name { sent.code(error) } else { sent }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::clock::Timestamp;
    use crate::delivery::provider::Fault;

    const TOKEN: &str = "AAEFAAAAQKI_mDsJppSEQRr3kLOz9SatBxq48BgQLSHLRv";
    const BODY: &str = r#"{"request_id":"1234567890","phone_number":"+4915112345678","request_cost":0.01,"delivery_status":{"status":"delivered","updated_at":1700000000},"payload":"att_1"}"#;
    const SIGNATURE: &str = "a1bba4fcd754b8cedb6d6e0e2b305e87d228b89c95b2322e2f3d2edf18522382";
    const SIGNED_AT: i64 = 1_700_000_001;

    fn report(body: &str, headers: [(&str, &str); 2], now: i64) -> Result<Answer, ReceiptError> {
        let telegram = Telegram {
            http: Http::new().expect("a client"),
            token: Redacted::new(TOKEN.into()),
            sender_username: None,
            base_url: String::new(),
        };
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let (body, now) = (body.as_bytes(), Timestamp(now * 1000));
        telegram.receipts(&ReceiptRequest { method: "POST", url: "https://otp.example/", query: "", header: &header, body, now })
    }

    fn signed(timestamp: &'static str, signature: &'static str) -> [(&'static str, &'static str); 2] {
        [("x-request-timestamp", timestamp), ("x-request-signature", signature)]
    }

    /// Telegram publishes no vector: this one was made from its formula with another language's library.
    #[test]
    fn a_report_is_believed_when_it_is_signed_and_fresh() {
        let right = signed("1700000001", SIGNATURE);
        let delivered = ProviderReceipt { reference: Some("att_1".into()), ..ProviderReceipt::new(ReceiptState::Delivered) };
        assert_eq!(report(BODY, right, SIGNED_AT), Ok(Answer::Receipts(vec![delivered.clone()])));
        assert_eq!(report(BODY, right, SIGNED_AT + 300), Ok(Answer::Receipts(vec![delivered])));
        assert_eq!(report(BODY, right, SIGNED_AT + 301), Err(ReceiptError::Signature), "a replay");
        assert_eq!(report(BODY, right, SIGNED_AT - 301), Err(ReceiptError::Signature), "from the future");
        assert_eq!(report(&BODY.replace("delivered", "expired"), right, SIGNED_AT), Err(ReceiptError::Signature));
        for (timestamp, signature) in [("1700000002", SIGNATURE), ("", SIGNATURE), ("1700000001", ""), ("1700000001", "00")] {
            assert_eq!(report(BODY, signed(timestamp, signature), SIGNED_AT), Err(ReceiptError::Signature), "{timestamp} {signature}");
        }
    }

    fn answered(status: u16, body: &str) -> Result<String, SendError> {
        let status = StatusCode::from_u16(status).expect("a status");
        sent(&Response { status, retry_after: None, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn an_answer_is_read_before_its_status() {
        let taken = r#"{"ok":true,"result":{"request_id":"77","phone_number":"+4915112345678","request_cost":0.01,"delivery_status":{"status":"sent","updated_at":1}}}"#;
        assert_eq!(answered(200, taken), Ok("77".into()));
        let refused = |status, error: &str| answered(status, &format!(r#"{{"ok":false,"error":"{error}"}}"#)).expect_err("refused");
        for status in [200, 400, 403] {
            assert_eq!(refused(status, "PHONE_NUMBER_INVALID").fault, Fault::Rejected);
            for error in
                ["PHONE_NUMBER_NOT_FOUND", "PHONE_NUMBER_NOT_AVAILABLE", "ACCESS_TOKEN_INVALID", "BALANCE_NOT_ENOUGH", "SOMETHING_NEW"]
            {
                assert_eq!(refused(status, error).fault, Fault::Unavailable, "{error}");
            }
            assert_eq!(refused(status, "MESSAGE_ALREADY_SENT").fault, Fault::Uncertain);
        }
        assert_eq!(refused(420, "FLOOD_WAIT_17").retry_after, Some(Duration::from_secs(17)));
        assert_eq!(refused(400, "SENDER_NOT_OWNED").code.as_deref(), Some("SENDER_NOT_OWNED"));
        assert_eq!(refused(400, "number +4915112345678 is bad").code, None, "an address does not get into events");
        assert_eq!(refused(500, "ACCESS_TOKEN_INVALID").fault, Fault::Uncertain);
        for odd in [r#"{"ok":true}"#, r#"{"ok":true,"result":{}}"#, "{}", "", "<html>"] {
            assert_eq!(answered(200, odd).expect_err("no answer").fault, Fault::Uncertain, "{odd}");
        }
    }
}
