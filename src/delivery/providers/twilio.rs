//! Twilio Programmable Messaging: SMS and WhatsApp messages, and calls that speak the code.
//!
//! Wire format: Twilio's `twilio_api_v2010` specification. Receipts are signed with the auth token (X-Twilio-Signature).

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::delivery::http::{Http, Response, call};
use crate::delivery::mail::escaped;
use crate::delivery::message::{Message, Speech};
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError, seconds_left};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::delivery::signature::is_mac;
use crate::delivery::twilio_signature;
use crate::hex;
use crate::secret::{Code, Redacted};
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself.
pub const KIND: Kind = Kind {
    name: "twilio",
    title: "Twilio Programmable Messaging",
    environment: &[
        ("TWILIO_ACCOUNT_SID", "account_sid"),
        ("TWILIO_AUTH_TOKEN", "auth_token"),
        ("TWILIO_API_KEY", "api_key"),
        ("TWILIO_API_KEY_SECRET", "api_key_secret"),
        ("TWILIO_API_SECRET", "api_key_secret"),
        ("TWILIO_PHONE_NUMBER", "from"),
        ("TWILIO_MESSAGING_SERVICE_SID", "messaging_service_sid"),
        ("TWILIO_WHATSAPP_NUMBER", "whatsapp_from"),
    ],
    needs: &[&["account_sid"], &["auth_token", "api_key_secret"], &["from", "messaging_service_sid", "whatsapp_from"]],
    secrets: &["auth_token", "api_key_secret", "webhook_key"],
    build,
};

/// User and password for every call to Twilio: those of the API key, where there is one.
pub fn basic(
    account_sid: &str,
    auth_token: Option<&Redacted<String>>,
    api_key: Option<&String>,
    api_key_secret: Option<&Redacted<String>>,
) -> Result<(String, Redacted<String>), SettingError> {
    match (api_key, api_key_secret, auth_token) {
        (Some(key), Some(secret), _) => Ok((key.clone(), secret.clone())),
        (None, None, Some(token)) => Ok((account_sid.to_owned(), token.clone())),
        (None, None, None) => Err(SettingError("auth_token (or api_key and api_key_secret) is missing".into())),
        _ => Err(SettingError("api_key and api_key_secret must be set together".into())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    account_sid: String,
    auth_token: Option<Redacted<String>>,
    api_key: Option<String>,
    api_key_secret: Option<Redacted<String>>,
    /// A number of the account, for SMS and calls.
    from: Option<String>,
    /// `MG…`, which chooses the number.
    messaging_service_sid: Option<String>,
    /// A WhatsApp sender of the account.
    whatsapp_from: Option<String>,
    /// `HX…`, an approved WhatsApp authentication template: its variable 1 is the code.
    whatsapp_content_sid: Option<String>,
    /// Twilio's newer signatures of receipts: HMAC-SHA-256 with this key of the account.
    webhook_key: Option<Redacted<String>>,
    base_url: Option<String>,
}

struct Twilio {
    http: Http,
    settings: Settings,
    user: String,
    password: Redacted<String>,
    channels: Vec<Channel>,
    base_url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let mut settings: Settings = account.settings()?;
    let Settings { account_sid, auth_token, api_key, api_key_secret, .. } = &settings;
    let (user, password) = basic(account_sid, auth_token.as_ref(), api_key.as_ref(), api_key_secret.as_ref())?;
    let texts = settings.from.is_some() || settings.messaging_service_sid.is_some();
    let channels = [(Channel::Sms, texts), (Channel::Call, settings.from.is_some()), (Channel::Whatsapp, settings.whatsapp_from.is_some())];
    let channels: Vec<_> = channels.into_iter().filter(|(_, has)| *has).map(|(channel, _)| channel).collect();
    if channels.is_empty() {
        return Err(SettingError("from, messaging_service_sid or whatsapp_from is missing: nobody to send as".into()));
    }
    let base_url = settings.base_url.take().unwrap_or_else(|| "https://api.twilio.com".into());
    Ok(Family::Message(std::sync::Arc::new(Twilio { http: account.http.clone(), settings, user, password, channels, base_url })))
}

#[derive(Deserialize)]
struct Created {
    sid: String,
}

/// Twilio's shape of an error.
#[derive(Deserialize)]
pub struct Refused {
    /// Its code.
    pub code: Option<u32>,
    message: Option<String>,
}

impl Refused {
    /// "Invalid parameter: To", where To is the destination; the same code is used for every other parameter.
    fn blames_another_parameter(&self) -> bool {
        self.code == Some(60200) && self.message.as_ref().is_some_and(|message| !["`To`", ": To"].iter().any(|to| message.contains(to)))
    }
}

#[async_trait]
impl MessageProvider for Twilio {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let (resource, form) = match &message.speech {
            Some(speech) => ("Calls", self.call_form(message, speech, message.code()?)),
            None => ("Messages", self.message_form(message)?),
        };
        let url = format!("{}/2010-04-01/Accounts/{}/{resource}.json", self.base_url, self.settings.account_sid);
        let request = self.http.post(url).basic_auth(&self.user, Some(self.password.expose())).form(&form);
        let response = call(request).await?;
        match response.json::<Created>() {
            Some(created) if response.is_success() => Ok(created.sid),
            _ => Err(refusal(&response)),
        }
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        let form = request.form();
        if !self.is_signed(request, &form) {
            return Err(ReceiptError::Signature);
        }
        let field = |names: &[&str]| form.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str());
        let status = field(&["MessageStatus", "CallStatus"]).ok_or(ReceiptError::Malformed)?;
        let state = match status {
            "delivered" | "read" | "completed" => ReceiptState::Delivered,
            "failed" | "undelivered" | "canceled" | "busy" | "no-answer" => ReceiptState::Failed,
            "accepted" | "queued" | "scheduled" | "sending" | "sent" | "initiated" | "ringing" | "in-progress" | "answered" => {
                ReceiptState::Underway
            }
            _ => return Ok(Answer::Receipts(Vec::new())),
        };
        let code = field(&["ErrorCode"]).filter(|code| !code.is_empty() && *code != "0").map(str::to_owned);
        let cause = (state == ReceiptState::Failed).then(|| match &code {
            Some(code) => cause(code).to_owned(),
            None => status.replace('-', " "),
        });
        Ok(Answer::Receipts(vec![ProviderReceipt { code, cause, ..ProviderReceipt::new(state) }]))
    }
}

impl Twilio {
    fn message_form(&self, message: &Message) -> Result<Vec<(&'static str, String)>, SendError> {
        let envelope = &message.envelope;
        let mut form = Vec::with_capacity(6);
        if envelope.channel == Channel::Whatsapp {
            form.push(("To", format!("whatsapp:{}", envelope.to.canonical())));
            form.extend(
                self.settings.whatsapp_from.as_ref().map(|from| ("From", format!("whatsapp:{}", from.trim_start_matches("whatsapp:")))),
            );
        } else {
            form.push(("To", envelope.to.canonical().to_owned()));
            match (&self.settings.messaging_service_sid, &self.settings.from) {
                (Some(service), _) => form.push(("MessagingServiceSid", service.clone())),
                (None, from) => form.extend(from.as_ref().map(|from| ("From", from.clone()))),
            }
        }
        match &self.settings.whatsapp_content_sid {
            Some(content) if envelope.channel == Channel::Whatsapp => {
                form.push(("ContentSid", content.clone()));
                form.push(("ContentVariables", serde_json::json!({ "1": message.code()?.expose() }).to_string()));
            }
            _ => form.push(("Body", message.body.clone())),
        }
        form.extend(envelope.callback.as_ref().map(|callback| ("StatusCallback", callback.clone())));
        form.push(("ValidityPeriod", seconds_left(envelope.expires_at, envelope.now).clamp(1, 36_000).to_string()));
        Ok(form)
    }

    fn call_form(&self, message: &Message, speech: &Speech, code: &Code) -> Vec<(&'static str, String)> {
        let mut form = vec![("To", message.envelope.to.canonical().to_owned()), ("Twiml", twiml(speech, code))];
        form.extend(self.settings.from.as_ref().map(|from| ("From", from.clone())));
        form.extend(message.envelope.callback.as_ref().map(|callback| ("StatusCallback", callback.clone())));
        form
    }

    /// Twilio's two ways to sign, told apart by a header. One whose key is not configured is no signature.
    fn is_signed(&self, request: &ReceiptRequest<'_>, form: &[(String, String)]) -> bool {
        let Some(signature) = (request.header)(twilio_signature::HEADER).and_then(|text| STANDARD.decode(text).ok()) else { return false };
        let newer = (request.header)("x-twilio-webhooks-signature-settings");
        let is_signature = |text: &str| match (newer, &self.settings.webhook_key, &self.settings.auth_token) {
            (Some(settings), Some(key), _) if settings.contains("HMAC_SHA256") => {
                is_mac::<Hmac<Sha256>>(key.expose().as_bytes(), &[text.as_bytes()], &signature)
            }
            (None, _, Some(token)) => is_mac::<Hmac<Sha1>>(token.expose().as_bytes(), &[text.as_bytes()], &signature),
            _ => false,
        };
        let Some(fields) = signed_fields(request, form) else { return false };
        // Twilio signs the URL with or without the port that its scheme implies.
        [request.url.to_owned(), with_port(request.url)].iter().any(|url| is_signature(&format!("{url}{fields}")))
    }
}

/// What is signed beside the URL. Nothing, where the URL holds the body's digest; none, where that is another body's.
fn signed_fields(request: &ReceiptRequest<'_>, form: &[(String, String)]) -> Option<String> {
    let digest = request.query_fields().into_iter().find(|(name, _)| name == "bodySHA256");
    if let Some((_, digest)) = digest {
        let is_right = hex::bytes(&digest).is_some_and(|digest| Sha256::digest(request.body).as_slice().ct_eq(&digest).into());
        return is_right.then(String::new);
    }
    Some(twilio_signature::fields(form))
}

fn with_port(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return url.to_owned() };
    match (parsed.port(), parsed.port_or_known_default(), parsed.host_str()) {
        (None, Some(port), Some(host)) => url.replacen(host, &format!("{host}:{port}"), 1),
        _ => url.to_owned(),
    }
}

/// The code twice, digit by digit, each followed by a pause.
fn twiml(speech: &Speech, code: &Code) -> String {
    let say = |text: &str| format!("<Say language=\"{}\">{}</Say>", escaped(&speech.language), escaped(text));
    let digits: Vec<_> = code.expose().chars().map(|digit| format!("{}<Pause length=\"1\"/>", say(&digit.to_string()))).collect();
    let digits = digits.concat();
    format!("<Response>{}{digits}{}{digits}{}</Response>", say(&speech.greeting), say(&speech.again), say(&speech.goodbye))
}

/// What Twilio's refusal means. Its codes move now and then, so sets are matched, and the status decides about the rest.
pub fn refusal(response: &Response) -> SendError {
    let Some(refused) = response.json::<Refused>() else { return response.unexpected() };
    let Some(code) = refused.code else { return response.unexpected() };
    let error = match code {
        _ if refused.blames_another_parameter() => SendError::unavailable("it refused a setting of ours"),
        // The destination: no number, not reachable by text, a landline.
        21211 | 21214 | 21217 | 21219 | 21401 | 21421 | 21614 | 21635 | 60200 | 60205 => {
            SendError::rejected("the number cannot receive it")
        }
        21610 => SendError::barred("the person opted out"),
        60202 | 60203 | 60212 => SendError::rejected("too many codes to this number"),
        21408 | 60605 => SendError::unavailable("its account may not send to this country").about_message(),
        60217 | 60223 => SendError::unavailable("its service does not have this channel switched on"),
        20003 | 20005 | 20403 | 20008 => SendError::unavailable("its account or key was refused"),
        20429 | 21611 | 30001 | 30022 | 60624 | 60728 => SendError::unavailable("it is too busy"),
        20500 | 20503 => SendError::unavailable("it is down"),
        60410 | 60412 | 60413 => SendError::barred("its fraud guard blocks this number for now"),
        _ if response.status.is_client_error() => SendError::unavailable("it refused the request"),
        _ => return response.unexpected().code(code),
    };
    error.code(code).retry_after(response.retry_after)
}

/// Codes of receipts in plain words.
fn cause(code: &str) -> &'static str {
    match code {
        "30001" | "30022" | "30023" => "the queue overflowed",
        "30002" => "the account is suspended",
        "30003" => "handset unreachable",
        "30004" => "blocked by the person or the carrier",
        "30005" => "unknown number",
        "30006" => "landline or unreachable carrier",
        "30007" | "30450" | "30453" => "filtered by the carrier",
        "30017" => "the carrier's network is congested",
        "30018" | "30032" | "30034" => "the sender is not registered for this country",
        "30036" => "its time ran out before it was delivered",
        "63003" | "63024" => "not on WhatsApp",
        _ => "not delivered",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reqwest::StatusCode;
    use serde_json::Value;

    use super::*;
    use crate::clock::Timestamp;
    use crate::delivery::provider::Fault;

    fn twilio(auth_token: Option<&str>, webhook_key: Option<&str>) -> Twilio {
        let secret = |text: &str| Redacted::new(text.to_owned());
        let settings = Settings {
            account_sid: "AC1".into(),
            auth_token: auth_token.map(secret),
            api_key: None,
            api_key_secret: None,
            from: None,
            messaging_service_sid: None,
            whatsapp_from: None,
            whatsapp_content_sid: None,
            webhook_key: webhook_key.map(secret),
            base_url: None,
        };
        let (http, password) = (Http::new().expect("a client"), secret("unused"));
        Twilio { http, settings, user: "AC1".into(), password, channels: Vec::new(), base_url: String::new() }
    }

    fn accepts(twilio: &Twilio, url: &str, body: &str, headers: &[(&str, &str)]) -> bool {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let request = ReceiptRequest { method: "POST", url, query, header: &header, body: body.as_bytes(), now: Timestamp(0) };
        twilio.is_signed(&request, &request.form())
    }

    /// What a vector's parameters look like in a body.
    fn form_of(vector: &Value) -> String {
        if let Some(body) = vector["body"].as_str() {
            return body.to_owned();
        }
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let params: BTreeMap<String, Value> = serde_json::from_value(vector["params"].clone()).expect("parameters");
        // In reverse: the order in a body is nobody's business.
        for (name, value) in params.iter().rev() {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for value in values {
                form.append_pair(name, value.as_str().expect("text"));
            }
        }
        form.finish()
    }

    const NEWER: (&str, &str) = ("x-twilio-webhooks-signature-settings", "key=WK1,algorithm=HMAC_SHA256");

    /// Every vector that both official libraries agree on, by both algorithms, and each of them spoilt.
    #[test]
    fn the_official_vectors_are_signed_and_nothing_else_is() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/fixtures/twilio/signature_vectors.json")).expect("vectors");
        assert_eq!(vectors.len(), 6);
        for vector in &vectors {
            let text = |name: &str| vector[name].as_str().expect("text");
            let (url, body, token) = (text("url"), form_of(vector), text("authToken"));
            let (older, newer) = (("x-twilio-signature", text("signature")), ("x-twilio-signature", text("signature_hmac_sha256")));
            let both = twilio(Some(token), Some(token));
            assert!(accepts(&both, url, &body, &[older]), "{vector}");
            assert!(accepts(&both, url, &body, &[newer, NEWER]), "{vector}");
            for spoilt in [format!("{body}&x=1"), format!("x=1&{body}")] {
                assert!(!accepts(&both, url, &spoilt, &[older]) && !accepts(&both, url, &spoilt, &[newer, NEWER]), "{vector}");
            }
            let elsewhere = url.replacen("//", "//www.", 1);
            assert!(!accepts(&both, &elsewhere, &body, &[older]), "{vector}");
            // One algorithm's signature is not the other's, and a key that is not configured signs nothing.
            assert!(!accepts(&both, url, &body, &[newer]) && !accepts(&both, url, &body, &[older, NEWER]), "{vector}");
            assert!(!accepts(&twilio(None, Some(token)), url, &body, &[older]), "{vector}");
            assert!(!accepts(&twilio(Some(token), None), url, &body, &[newer, NEWER]), "{vector}");
        }
    }

    /// No signature, an empty one, and an algorithm that nobody knows.
    #[test]
    fn an_empty_signature_is_none() {
        let nothing = ("x-twilio-signature", "");
        for known in [twilio(Some("12345"), None), twilio(None, None), twilio(None, Some("12345"))] {
            assert!(!accepts(&known, "https://otp.example/", "", &[]));
            assert!(!accepts(&known, "https://otp.example/", "", &[nothing]));
            assert!(!accepts(&known, "https://otp.example/", "", &[nothing, NEWER]));
            assert!(!accepts(&known, "https://otp.example/", "", &[nothing, (NEWER.0, "algorithm=HMAC_MD5")]));
        }
    }

    fn fault_of(status: u16, body: &str) -> Fault {
        let status = StatusCode::from_u16(status).expect("a status");
        refusal(&Response { status, retry_after: None, body: body.as_bytes().to_vec() }).fault
    }

    #[test]
    fn a_code_decides_before_the_status() {
        let coded = |status, code: u32| fault_of(status, &format!(r#"{{"code":{code},"message":"m","status":{status}}}"#));
        for (status, code, fault) in [
            (400, 21211, Fault::Rejected),
            (400, 21610, Fault::Rejected),
            (400, 21614, Fault::Rejected),
            (429, 60203, Fault::Rejected),
            (403, 60410, Fault::Rejected),
            (401, 20003, Fault::Unavailable),
            (403, 20008, Fault::Unavailable),
            (400, 21408, Fault::Unavailable),
            (404, 20404, Fault::Unavailable),
            (429, 20429, Fault::Unavailable),
            (500, 20500, Fault::Unavailable),
            (500, 11111, Fault::Uncertain),
        ] {
            assert_eq!(coded(status, code), fault, "{status} {code}");
        }
    }

    /// One code for every parameter: only a bad destination is the destination's fault.
    #[test]
    fn an_invalid_parameter_is_the_destinations_fault_when_it_is_the_destination() {
        let invalid = |text: &str| fault_of(400, &format!(r#"{{"code":60200,"message":"{text}","status":400}}"#));
        assert_eq!(invalid("Invalid parameter: To"), Fault::Rejected);
        assert_eq!(invalid("Invalid parameter `To`: +1500"), Fault::Rejected);
        assert_eq!(invalid("Invalid parameter: Channel"), Fault::Unavailable);
        assert_eq!(invalid("Invalid parameter `Locale`: xx"), Fault::Unavailable);
    }
}
