//! Vonage's SMS API, with key and secret: text messages, and a receipt for each part of one.
//!
//! It is this one and not the Messages API because that one keeps a URL for each message to accounts with an application and
//! its private key. Every answer is 200; what happened is in the body. Receipts are signed only once Vonage's support has
//! turned that on (then set `signature_secret`); otherwise the sealed reference that they give back, `client-ref` or `ref` in
//! our callback URL, is what nobody can make up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hmac::Hmac;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::delivery::gsm::is_gsm7;
use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Message;
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError};
use crate::delivery::receipt::{Answer, ProviderReceipt, REFERENCE, ReceiptError, ReceiptRequest};
use crate::delivery::signature::is_mac;
use crate::secret::Redacted;
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "vonage",
    title: "Vonage SMS",
    environment: &[
        ("VONAGE_API_KEY", "api_key"),
        ("VONAGE_KEY", "api_key"),
        ("VONAGE_API_SECRET", "api_secret"),
        ("VONAGE_SECRET", "api_secret"),
        ("VONAGE_SMS_FROM", "from"),
        ("VONAGE_FROM_NUMBER", "from"),
        ("VONAGE_BRAND_NAME", "from"),
        ("VONAGE_SIGNATURE_SECRET", "signature_secret"),
        ("VONAGE_API_SIGNATURE_SECRET", "signature_secret"),
        ("VONAGE_SIGNATURE_METHOD", "signature_method"),
    ],
    needs: &[&["api_key"], &["api_secret"], &["from"]],
    secrets: &["api_secret", "signature_secret"],
    build,
};

/// Life of a message that Vonage accepts, in milliseconds.
const TTL: (u64, u64) = (20_000, 604_800_000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    api_key: String,
    api_secret: Redacted<String>,
    /// A number, or up to 11 letters and digits.
    from: String,
    /// Receipts must be signed with it.
    signature_secret: Option<Redacted<String>>,
    /// As the account's settings say.
    #[serde(default)]
    signature_method: SignatureMethod,
    base_url: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SignatureMethod {
    /// MD5 of the text and the secret after it: what an account begins with.
    #[default]
    Md5Hash,
    /// HMAC, as the others.
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

struct Vonage {
    http: Http,
    settings: Settings,
    base_url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let mut settings: Settings = account.settings()?;
    settings.from = settings.from.trim_start_matches('+').to_owned();
    let base_url = settings.base_url.take().unwrap_or_else(|| "https://rest.nexmo.com".into());
    Ok(Family::Message(Arc::new(Vonage { http: account.http.clone(), settings, base_url })))
}

#[derive(Deserialize)]
struct Sent {
    messages: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    status: String,
    #[serde(rename = "message-id")]
    id: Option<String>,
    #[serde(rename = "error-text", default)]
    error_text: String,
}

#[async_trait]
impl MessageProvider for Vonage {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let envelope = &message.envelope;
        let life = (envelope.expires_at.0 - envelope.now.0).max(0) as u64;
        let kind = if is_gsm7(&message.body) { "text" } else { "unicode" };
        let mut form = vec![
            ("from", self.settings.from.clone()),
            ("to", envelope.to.canonical().trim_start_matches('+').to_owned()),
            ("text", message.body.clone()),
            ("type", kind.to_owned()),
            ("client-ref", envelope.reference.clone()),
            ("ttl", life.clamp(TTL.0, TTL.1).to_string()),
        ];
        form.extend(envelope.callback.as_ref().map(|callback| ("callback", callback.clone())));
        let request = self.http.post(format!("{}/sms/json", self.base_url));
        let request = request.basic_auth(&self.settings.api_key, Some(self.settings.api_secret.expose())).form(&form);
        outcome(&call(request).await?)
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        let fields = fields(request).ok_or(ReceiptError::Malformed)?;
        if let Some(secret) = &self.settings.signature_secret
            && !is_signed(&fields, secret, self.settings.signature_method, request)
        {
            return Err(ReceiptError::Signature);
        }
        let field = |name: &str| fields.get(name).filter(|value| !value.is_empty());
        let status = field("status").ok_or(ReceiptError::Malformed)?;
        let state = match status.as_str() {
            "delivered" => ReceiptState::Delivered,
            "failed" | "rejected" | "expired" => ReceiptState::Failed,
            // "unknown" is a carrier that tells nothing: no failure.
            "accepted" | "buffered" | "unknown" => ReceiptState::Underway,
            _ => return Ok(Answer::Receipts(Vec::new())),
        };
        let code = field("err-code").filter(|code| *code != "0").cloned();
        let cause = (state == ReceiptState::Failed).then(|| cause(code.as_deref().unwrap_or_default(), status).to_owned());
        Ok(Answer::Receipts(vec![ProviderReceipt { reference: field("client-ref").cloned(), state, code, cause }]))
    }
}

/// One status for each part of the message. Some parts taken and others not is a message that perhaps arrives.
fn outcome(response: &Response) -> Result<String, SendError> {
    let Some(Sent { messages }) = response.json::<Sent>() else { return Err(response.unexpected()) };
    let taken = messages.iter().filter(|part| part.status == "0").count();
    match (messages.first(), messages.iter().find(|part| part.status != "0")) {
        (Some(Part { id: Some(id), .. }), None) => Ok(id.clone()),
        (Some(_), Some(refused)) if taken > 0 => Err(SendError::uncertain("it took a part of the message only").code(&refused.status)),
        (Some(_), Some(refused)) => Err(refusal(refused)),
        _ => Err(response.unexpected()),
    }
}

fn refusal(part: &Part) -> SendError {
    let text = part.error_text.to_ascii_lowercase();
    let error = match part.status.as_str() {
        // "… please wait [ 250 ] and retry", in milliseconds.
        "1" => {
            let wait = text.split_once('[').and_then(|(_, rest)| rest.split(']').next()?.trim().parse().ok());
            SendError::unavailable("it is too busy").retry_after(wait.map(Duration::from_millis))
        }
        "3" if text.contains("to address") || text.contains("to param") => SendError::rejected("the number is not valid"),
        "6" => SendError::rejected("no route to this number"),
        "7" | "33" => SendError::barred("the number is barred or gone"),
        "2" | "3" | "12" | "14" | "23" | "32" => SendError::unavailable("it refused the request"),
        "4" => SendError::unavailable("its key or secret was refused"),
        "8" | "10" | "11" => SendError::unavailable("its account may not send"),
        "9" => SendError::unavailable("its account has no credit left"),
        "15" | "17" | "22" | "29" => SendError::unavailable("its account may not send this to this number").about_message(),
        // 5 is "an error while processing". Of what is unknown nothing proves that it was not sent.
        _ => SendError::uncertain("it failed while it worked on the message"),
    };
    error.code(&part.status)
}

/// A receipt's fields: of the query, of a form or of JSON, as the account's settings say.
fn fields(request: &ReceiptRequest<'_>) -> Option<BTreeMap<String, String>> {
    if request.method == "GET" {
        return Some(request.query_fields().into_iter().collect());
    }
    if !request.body.trim_ascii_start().starts_with(b"{") {
        return Some(request.form().into_iter().collect());
    }
    let fields: BTreeMap<String, Value> = serde_json::from_slice(request.body).ok()?;
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(fields.into_iter().map(|(name, value)| (name, text(value))).collect())
}

fn is_signed(fields: &BTreeMap<String, String>, secret: &Redacted<String>, method: SignatureMethod, request: &ReceiptRequest<'_>) -> bool {
    let fresh = fields.get("timestamp").and_then(|seconds| seconds.parse().ok()).is_some_and(|seconds| request.is_fresh(seconds));
    let Some(given) = fields.get("sig").and_then(|hex| from_hex(hex)) else { return false };
    let right = |text: &str| {
        let (key, text) = (secret.expose().as_bytes(), text.as_bytes());
        match method {
            SignatureMethod::Md5Hash => Md5::new().chain_update(text).chain_update(key).finalize().as_slice().ct_eq(&given).into(),
            SignatureMethod::Md5 => is_mac::<Hmac<Md5>>(key, &[text], &given),
            SignatureMethod::Sha1 => is_mac::<Hmac<Sha1>>(key, &[text], &given),
            SignatureMethod::Sha256 => is_mac::<Hmac<Sha256>>(key, &[text], &given),
            SignatureMethod::Sha512 => is_mac::<Hmac<Sha512>>(key, &[text], &given),
        }
    };
    // Of a GET the query has our own `ref` beside Vonage's fields; nobody documents whether that is signed.
    fresh && (right(&signed_text(fields, &["sig"])) || right(&signed_text(fields, &["sig", REFERENCE])))
}

/// `&name=value` for each field, by name.
fn signed_text(fields: &BTreeMap<String, String>, without: &[&str]) -> String {
    let signed = fields.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    signed.map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_"))).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok()).collect()
}

/// Codes of receipts in plain words.
fn cause(code: &str, status: &str) -> &'static str {
    match code {
        "2" | "7" => "handset unreachable",
        "3" => "the number is no longer in use",
        "4" => "blocked by the person",
        "5" => "the number moved to another carrier",
        "6" | "14" => "filtered by the carrier",
        "8" => "the carrier's network failed",
        "9" => "the person opted out",
        "11" | "12" => "unknown number or unreachable carrier",
        "15" => "the person's prepaid credit is used up",
        "50" | "51" | "52" | "53" | "54" => "the sender or text is not registered for this country",
        _ if status == "expired" => "its time ran out before it was delivered",
        _ => "not delivered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    /// The vectors of Vonage's node library (packages/sms/__tests__/__dataSets__/signature.ts).
    #[test]
    fn the_vectors_of_every_method_are_signed() {
        let secret = Redacted::new("my_secret_key_for_testing".to_owned());
        let fields = [
            ("message-timestamp", "2013-11-21 15:27:30"),
            ("messageId", "020000001B0FE827"),
            ("msisdn", "14843472194"),
            ("text", "Test again"),
            ("timestamp", "1385047698"),
            ("to", "13239877404"),
            ("type", "text"),
        ];
        let signed = |method, signature: &str, change: Option<(&str, &str)>, now: i64| {
            let fields = fields.into_iter().chain([("sig", signature)]).chain(change);
            let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let now = Timestamp(now * 1000);
            let request = ReceiptRequest { method: "POST", url: "", query: "", header: &|_| None, body: b"", now };
            is_signed(&fields, &secret, method, &request)
        };
        for (method, right) in [
            (SignatureMethod::Md5Hash, "d2e7b1dc968737c5998ad624e02f90b7"),
            (SignatureMethod::Md5, "DDEBD46008C2D4E93CCE578A332A52D5"),
            (SignatureMethod::Sha1, "27D0D05C2876C7CB1720DBCDBA4D492E1E55C09A"),
            (SignatureMethod::Sha256, "DDB8397C2B90AAC7F3882D306475C9A5058C92322EEF43C92B298B6E0FC0D330"),
        ] {
            assert!(signed(method, right, None, 1_385_047_698), "{method:?}");
            assert!(signed(method, &right.to_lowercase(), None, 1_385_047_998), "{method:?}");
            assert!(signed(method, right, Some((REFERENCE, "of our own URL")), 1_385_047_698), "{method:?}");
            assert!(!signed(method, right, None, 1_385_047_999), "{method:?}: too old");
            assert!(!signed(method, right, Some(("to", "13239877405")), 1_385_047_698), "{method:?}: changed");
            assert!(!signed(method, right, Some(("status", "delivered")), 1_385_047_698), "{method:?}: a field more");
            for wrong in ["", &right[2..], "é", "zz"] {
                assert!(!signed(method, wrong, None, 1_385_047_698), "{method:?}: {wrong}");
            }
        }
        assert!(!signed(SignatureMethod::Sha1, "d2e7b1dc968737c5998ad624e02f90b7", None, 1_385_047_698), "another method's");
    }

    #[test]
    fn what_divides_fields_is_no_part_of_them() {
        let fields = BTreeMap::from([("b".to_owned(), "x&c=y".to_owned()), ("a".to_owned(), "1".to_owned())]);
        assert_eq!(signed_text(&fields, &[]), "&a=1&b=x_c_y");
    }
}
