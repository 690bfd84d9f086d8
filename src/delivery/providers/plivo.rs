//! Plivo: text messages.
//!
//! It takes no reference, so the sealed reference is in the callback URL alone. Receipts of messages are signed by version 2,
//! over the URL without its query and a nonce: neither body nor time. So the signature says that the caller knows of a request
//! by Plivo, and the reference is what nobody can make up. Version 3, over everything, is checked where it comes.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Message;
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError, seconds_left};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::delivery::signature::is_mac;
use crate::secret::Redacted;
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "plivo",
    title: "Plivo",
    environment: &[
        ("PLIVO_AUTH_ID", "auth_id"),
        ("PLIVO_AUTH_TOKEN", "auth_token"),
        ("PLIVO_PHONE_NUMBER", "from"),
        ("PLIVO_FROM", "from"),
        ("PLIVO_SRC", "from"),
        ("PLIVO_POWERPACK_UUID", "powerpack_uuid"),
    ],
    needs: &[&["auth_id"], &["auth_token"], &["from", "powerpack_uuid"]],
    secrets: &["auth_token"],
    build,
};

/// Life of a message that Plivo accepts, in seconds.
const EXPIRY: (u64, u64) = (5, 10_799);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    auth_id: String,
    auth_token: Redacted<String>,
    /// A number of the account, or up to 11 letters and digits where Plivo has allowed that.
    from: Option<String>,
    /// A pool of numbers, in place of one.
    powerpack_uuid: Option<String>,
    base_url: Option<String>,
}

struct Plivo {
    http: Http,
    settings: Settings,
    sender: (&'static str, String),
    url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    let sender = match (&settings.from, &settings.powerpack_uuid) {
        (Some(from), None) => ("src", from.trim_start_matches('+').to_owned()),
        (None, Some(powerpack)) => ("powerpack_uuid", powerpack.clone()),
        _ => return Err(SettingError("one of from and powerpack_uuid must be set".into())),
    };
    let base_url = settings.base_url.as_deref().unwrap_or("https://api.plivo.com");
    // Without the last slash it is another URL, which redirects.
    let url = format!("{base_url}/v1/Account/{}/Message/", settings.auth_id);
    Ok(Family::Message(Arc::new(Plivo { http: account.http.clone(), settings, sender, url })))
}

#[derive(Deserialize)]
struct Taken {
    /// One for each number.
    #[serde(default)]
    message_uuid: Vec<String>,
    #[serde(default)]
    invalid_number: Vec<String>,
    #[serde(rename = "api_id")]
    _answered_by_plivo: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Value,
}

#[async_trait]
impl MessageProvider for Plivo {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let envelope = &message.envelope;
        let mut body = json!({
            "dst": envelope.to.canonical().trim_start_matches('+'),
            "text": message.body,
            "type": "sms",
            "message_expiry": seconds_left(envelope.expires_at, envelope.now).clamp(EXPIRY.0, EXPIRY.1),
            // Neither the code nor the whole number in Plivo's logs. A string, as documented.
            "log": "false",
        });
        body[self.sender.0] = self.sender.1.as_str().into();
        if let Some(callback) = &envelope.callback {
            body["url"] = callback.as_str().into();
            body["method"] = "POST".into();
        }
        let request = self.http.post(&self.url).basic_auth(&self.settings.auth_id, Some(self.settings.auth_token.expose()));
        let response = call(request.json(&body)).await?;
        match response.json::<Taken>() {
            Some(taken) if response.is_success() => match taken.message_uuid.into_iter().next() {
                Some(id) if taken.invalid_number.is_empty() => Ok(id),
                _ => Err(SendError::rejected("the number is not valid")),
            },
            _ => Err(refusal(&response)),
        }
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        if !is_signed(request, self.settings.auth_token.expose()) {
            return Err(ReceiptError::Signature);
        }
        let fields = if request.method == "GET" { request.query_fields() } else { request.form() };
        let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let status = field("Status").ok_or(ReceiptError::Malformed)?;
        let state = match status {
            "delivered" | "read" => ReceiptState::Delivered,
            "undelivered" | "failed" | "rejected" => ReceiptState::Failed,
            "queued" | "sent" => ReceiptState::Underway,
            _ => return Ok(Answer::Receipts(Vec::new())),
        };
        let code = field("ErrorCode").filter(|code| !code.is_empty() && *code != "000").map(str::to_owned);
        let cause = (state == ReceiptState::Failed).then(|| cause(code.as_deref().unwrap_or_default()).to_owned());
        Ok(Answer::Receipts(vec![ProviderReceipt { code, cause, ..ProviderReceipt::new(state) }]))
    }
}

/// Refusals have a text and no code; most come later, as receipts.
fn refusal(response: &Response) -> SendError {
    let Some(Refused { error }) = response.json::<Refused>() else { return response.unexpected() };
    let text = error.to_string().to_ascii_lowercase();
    let error = match response.status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if text.contains("dst") || text.contains("destination") => {
            SendError::rejected("the number is not valid")
        }
        StatusCode::UNAUTHORIZED => SendError::unavailable("its id or token was refused"),
        StatusCode::PAYMENT_REQUIRED => SendError::unavailable("its account has no credit left"),
        StatusCode::FORBIDDEN => SendError::unavailable("its account may not send to this country").about_message(),
        StatusCode::TOO_MANY_REQUESTS => SendError::unavailable("it is too busy"),
        status if status.is_client_error() => SendError::unavailable("it refused the request"),
        _ => response.unexpected(),
    };
    error.retry_after(response.retry_after)
}

/// By the token of this account, or of the main account that it belongs to.
fn is_signed(request: &ReceiptRequest<'_>, token: &str) -> bool {
    let header = |name: &str| (request.header)(name);
    let (versions, text) = match (header("x-plivo-signature-v3-nonce"), header("x-plivo-signature-v2-nonce")) {
        (Some(nonce), _) => (["x-plivo-signature-v3", "x-plivo-signature-ma-v3"], version_3_text(request, nonce)),
        (None, Some(nonce)) => {
            let path = request.url.split(['?', '#']).next().unwrap_or_default();
            (["x-plivo-signature-v2", "x-plivo-signature-ma-v2"], format!("{path}{nonce}"))
        }
        (None, None) => return false,
    };
    let given = versions.iter().filter_map(|name| header(name)).flat_map(|list| list.split(','));
    let mut given = given.filter_map(|signature| STANDARD.decode(signature.trim()).ok());
    given.any(|signature| is_mac::<Hmac<Sha256>>(token.as_bytes(), &[text.as_bytes()], &signature))
}

/// The URL with its query sorted, the fields of the body sorted, and the nonce; what is between them depends on what there is.
fn version_3_text(request: &ReceiptRequest<'_>, nonce: &str) -> String {
    let sorted = |mut fields: Vec<(String, String)>, link: &str, between: &str| {
        fields.sort();
        fields.into_iter().map(|(name, value)| format!("{name}{link}{value}")).collect::<Vec<_>>().join(between)
    };
    let mut text = request.url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let query = sorted(request.query_fields(), "=", "&");
    let body = if request.method == "GET" { String::new() } else { sorted(request.form(), "", "") };
    if !query.is_empty() || !body.is_empty() {
        text.push('?');
    }
    text.push_str(&query);
    if !query.is_empty() && !body.is_empty() {
        text.push('.');
    }
    format!("{text}{body}.{nonce}")
}

/// Codes of receipts in plain words.
fn cause(code: &str) -> &'static str {
    match code {
        "20" => "the carrier's network failed",
        "30" | "100" => "filtered by the carrier",
        "40" => "the sender is not valid",
        "50" => "unknown number",
        "70" => "the number can no longer be reached",
        "80" => "handset unreachable",
        "90" => "no route to this number",
        "110" => "the text is too long",
        "200" => "the person opted out",
        "420" => "its time ran out before it was delivered",
        "450" | "451" => "the account may not send to this number",
        "900" => "the account has no credit left",
        "910" => "the account is disabled",
        _ => "not delivered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn signed(method: &str, url: &str, body: &str, headers: &[(&str, &'static str)], token: &str) -> bool {
        let header = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let request = ReceiptRequest { method, url, query, header: &header, body: body.as_bytes(), now: Timestamp(0) };
        is_signed(&request, token)
    }

    /// The vector of Plivo's libraries (plivo-go utils_test.go, plivo-python tests/resources/test_signature.py).
    #[test]
    fn the_vector_of_version_2_is_signed() {
        let right = "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc=";
        let nonce = ("x-plivo-signature-v2-nonce", "12345");
        for header in ["x-plivo-signature-v2", "x-plivo-signature-ma-v2"] {
            assert!(signed("POST", "https://answer.url", "Status=sent", &[nonce, (header, right)], "my_auth_token"));
            assert!(signed("POST", "https://answer.url?ref=1", "", &[nonce, (header, right)], "my_auth_token"), "no query is signed");
            assert!(!signed("POST", "https://answer.url/", "", &[nonce, (header, right)], "my_auth_token"));
            assert!(!signed("POST", "https://answer.url", "", &[nonce, (header, right)], "my_auth_tokem"));
            assert!(!signed("POST", "https://answer.url", "", &[nonce, (header, "")], "my_auth_token"));
            assert!(!signed("POST", "https://answer.url", "", &[(header, right)], "my_auth_token"), "without its nonce");
            assert!(!signed("POST", "https://answer.url", "", &[nonce], "my_auth_token"));
        }
    }

    /// The vectors of plivo-go's utils_test.go.
    #[test]
    fn the_vectors_of_version_3_are_signed() {
        const TOKEN: &str = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4";
        const URL: &str = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml";
        let id = "3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36";
        let fields = [
            ("Direction", "outbound"),
            ("From", "19792014278"),
            ("ALegUUID", id),
            ("ALegRequestUUID", id),
            ("CallUUID", id),
            ("RequestUUID", id),
            ("CallStatus", "in-progress"),
            ("BillRate", "0.002"),
            ("ParentAuthID", "MANWVLYTK4ZWU1YTY4QA"),
            ("To", "sip:PlivoSignature382029104058171078704104@phone-qa.voice.plivodev.com"),
            ("SIP-H-To", "<sip:PlivoSignature382029104058171078704104@52.9.11.55;transport=udp>;tag=1"),
            ("SessionStart", "2020-04-08 11:34:33.238707"),
            ("Event", "StartApp"),
        ];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let nonce = ("x-plivo-signature-v3-nonce", "31627761595286130198");
        let right = |method: &str, url: &str, body: &str, signature| {
            signed(method, url, body, &[nonce, ("x-plivo-signature-v3", signature)], TOKEN)
        };
        let with_query = format!("{URL}/?a=b&c=d");
        assert!(right("POST", &with_query, &form, "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c="));
        assert!(right("POST", URL, &form, "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="));
        assert!(right("GET", &format!("{with_query}&{form}"), "", "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ="));
        assert!(right("GET", &format!("{URL}?{form}"), "", "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc="));
        assert!(right("POST", URL, &form, "AAAA,iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="), "one of several");
        assert!(!right("POST", URL, &form.replace("StartApp", "Hangup"), "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="));
        assert!(!right("POST", &with_query, &form, "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="), "the query is signed");
    }
}
