//! Twilio Programmable Messaging: SMS and WhatsApp messages, and calls that speak the code.
//!
//! Wire format: Twilio's `twilio_api_v2010` specification. Receipts are signed with the auth token (X-Twilio-Signature).

use std::collections::BTreeSet;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::{Message, Speech};
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError, seconds_left};
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
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

/// Of an account, for every call to Twilio.
#[derive(Debug, Clone, Deserialize)]
pub struct Credentials {
    /// `AC…`.
    pub account_sid: String,
    /// The account's own secret. Receipts are signed with it.
    pub auth_token: Option<Redacted<String>>,
    /// `SK…`, in place of the auth token.
    pub api_key: Option<String>,
    /// Its secret.
    pub api_key_secret: Option<Redacted<String>>,
}

impl Credentials {
    /// User and password: those of the API key, where there is one.
    pub fn basic(&self) -> Result<(String, Redacted<String>), SettingError> {
        match (&self.api_key, &self.api_key_secret, &self.auth_token) {
            (Some(key), Some(secret), _) => Ok((key.clone(), secret.clone())),
            (None, None, Some(token)) => Ok((self.account_sid.clone(), token.clone())),
            (None, None, None) => Err(SettingError("auth_token (or api_key and api_key_secret) is missing".into())),
            _ => Err(SettingError("api_key and api_key_secret must be set together".into())),
        }
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
    account_sid: String,
    user: String,
    password: Redacted<String>,
    auth_token: Option<Redacted<String>>,
    webhook_key: Option<Redacted<String>>,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    whatsapp_from: Option<String>,
    whatsapp_content_sid: Option<String>,
    channels: Vec<Channel>,
    base_url: String,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    let credentials = Credentials {
        account_sid: settings.account_sid,
        auth_token: settings.auth_token,
        api_key: settings.api_key,
        api_key_secret: settings.api_key_secret,
    };
    let (user, password) = credentials.basic()?;
    let texts = settings.from.is_some() || settings.messaging_service_sid.is_some();
    let channels = [(Channel::Sms, texts), (Channel::Call, settings.from.is_some()), (Channel::Whatsapp, settings.whatsapp_from.is_some())];
    let channels: Vec<_> = channels.into_iter().filter(|(_, has)| *has).map(|(channel, _)| channel).collect();
    if channels.is_empty() {
        return Err(SettingError("from, messaging_service_sid or whatsapp_from is missing: nobody to send as".into()));
    }
    Ok(Family::Message(std::sync::Arc::new(Twilio {
        http: account.http.clone(),
        account_sid: credentials.account_sid,
        user,
        password,
        auth_token: credentials.auth_token,
        webhook_key: settings.webhook_key,
        from: settings.from,
        messaging_service_sid: settings.messaging_service_sid,
        whatsapp_from: settings.whatsapp_from,
        whatsapp_content_sid: settings.whatsapp_content_sid,
        channels,
        base_url: settings.base_url.unwrap_or_else(|| "https://api.twilio.com".into()),
    })))
}

#[derive(Deserialize)]
struct Created {
    sid: String,
}

#[derive(Deserialize)]
struct Refused {
    code: Option<u32>,
}

#[async_trait]
impl MessageProvider for Twilio {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let (resource, form) = match &message.speech {
            Some(speech) => ("Calls", self.call_form(message, speech)),
            None => ("Messages", self.message_form(message)),
        };
        let url = format!("{}/2010-04-01/Accounts/{}/{resource}.json", self.base_url, self.account_sid);
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
    fn message_form(&self, message: &Message) -> Vec<(&'static str, String)> {
        let envelope = &message.envelope;
        let mut form = Vec::with_capacity(6);
        if envelope.channel == Channel::Whatsapp {
            form.push(("To", format!("whatsapp:{}", envelope.to.canonical())));
            form.extend(self.whatsapp_from.as_ref().map(|from| ("From", format!("whatsapp:{}", from.trim_start_matches("whatsapp:")))));
        } else {
            form.push(("To", envelope.to.canonical().to_owned()));
            match (&self.messaging_service_sid, &self.from) {
                (Some(service), _) => form.push(("MessagingServiceSid", service.clone())),
                (None, from) => form.extend(from.as_ref().map(|from| ("From", from.clone()))),
            }
        }
        match &self.whatsapp_content_sid {
            Some(content) if envelope.channel == Channel::Whatsapp => {
                form.push(("ContentSid", content.clone()));
                form.push(("ContentVariables", serde_json::json!({ "1": message.code.expose() }).to_string()));
            }
            _ => form.push(("Body", message.body.clone())),
        }
        form.extend(envelope.callback.as_ref().map(|callback| ("StatusCallback", callback.clone())));
        form.push(("ValidityPeriod", seconds_left(envelope.expires_at, envelope.now).clamp(1, 36_000).to_string()));
        form
    }

    fn call_form(&self, message: &Message, speech: &Speech) -> Vec<(&'static str, String)> {
        let mut form = vec![("To", message.envelope.to.canonical().to_owned()), ("Twiml", twiml(speech, &message.code))];
        form.extend(self.from.as_ref().map(|from| ("From", from.clone())));
        form.extend(message.envelope.callback.as_ref().map(|callback| ("StatusCallback", callback.clone())));
        form
    }

    fn is_signed(&self, request: &ReceiptRequest<'_>, form: &[(String, String)]) -> bool {
        let signature = (request.header)("x-twilio-signature").and_then(|text| STANDARD.decode(text).ok());
        // Where there is no key to sign with, the right one has no bytes: nobody may present that.
        let Some(signature) = signature.filter(|signature| !signature.is_empty()) else { return false };
        let signed = |url: &str| {
            let text = signed_text(url, form);
            match (&self.webhook_key, &self.auth_token, (request.header)("x-twilio-webhooks-signature-settings")) {
                (Some(key), _, Some(settings)) if settings.contains("HMAC_SHA256") => mac::<Hmac<Sha256>>(key, &text),
                (_, Some(token), None) => mac::<Hmac<Sha1>>(token, &text),
                _ => Vec::new(),
            }
        };
        // Twilio signs the URL with or without the port that its scheme implies.
        let urls = [request.url.to_owned(), with_port(request.url)];
        urls.iter().any(|url| signed(url).ct_eq(&signature).into())
    }
}

/// The URL, then each name and value in the order of the names; of a name that comes twice each value once.
fn signed_text(url: &str, form: &[(String, String)]) -> String {
    let fields: BTreeSet<_> = form.iter().collect();
    let mut text = url.to_owned();
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(value);
    }
    text
}

fn with_port(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return url.to_owned() };
    match (parsed.port(), parsed.port_or_known_default(), parsed.host_str()) {
        (None, Some(port), Some(host)) => url.replacen(host, &format!("{host}:{port}"), 1),
        _ => url.to_owned(),
    }
}

fn mac<M: Mac + KeyInit>(key: &Redacted<String>, text: &str) -> Vec<u8> {
    <M as KeyInit>::new_from_slice(key.expose().as_bytes())
        .map(|mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        })
        .unwrap_or_default()
}

/// The code twice, digit by digit, each followed by a pause.
fn twiml(speech: &Speech, code: &Code) -> String {
    let say = |text: &str| format!("<Say language=\"{}\">{}</Say>", escaped(&speech.language), escaped(text));
    let digits: Vec<_> = code.expose().chars().map(|digit| format!("{}<Pause length=\"1\"/>", say(&digit.to_string()))).collect();
    let digits = digits.concat();
    format!("<Response>{}{digits}{}{digits}{}</Response>", say(&speech.greeting), say(&speech.again), say(&speech.goodbye))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What Twilio's refusal means. Its codes move now and then, so sets are matched, and the status decides about the rest.
pub fn refusal(response: &Response) -> SendError {
    let Some(code) = response.json::<Refused>().and_then(|refused| refused.code) else { return response.unexpected() };
    let error = match code {
        // The destination: no number, not reachable by text, opted out, a landline.
        21211 | 21214 | 21217 | 21219 | 21401 | 21421 | 21610 | 21614 | 21635 | 60200 | 60205 => {
            SendError::rejected("the number cannot receive it")
        }
        60202 | 60203 | 60212 => SendError::rejected("too many codes to this number"),
        21408 | 60605 => SendError::unavailable("its account may not send to this country"),
        20003 | 20005 | 20403 | 20008 => SendError::unavailable("its account or key was refused"),
        20429 | 21611 | 30001 | 30022 | 60624 | 60728 => SendError::unavailable("it is too busy"),
        20500 | 20503 => SendError::unavailable("it is down"),
        60410 | 60412 | 60413 => SendError::rejected("its fraud guard blocks this number for now"),
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
