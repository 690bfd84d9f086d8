//! The operator's own sender: each message is posted to a URL of theirs, signed as Standard Webhooks has it.
//!
//! The URL must be public: a setting that is wrong, or a name that somebody else controls, must not turn this server into a
//! way to the machines behind it (OPS-06). Receipts come back signed with the same secret.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use url::Host;

use crate::clock::Clock;
use crate::delivery::http::{Http, Response, call};
use crate::delivery::message::Message;
use crate::delivery::provider::{Account, Family, Kind, MessageProvider, SendError, SettingError};
use crate::delivery::public_address::is_public;
use crate::delivery::receipt::{Answer, ProviderReceipt, ReceiptError, ReceiptRequest};
use crate::delivery::standard_webhooks::{ID, SIGNATURE, Secret, TIMESTAMP};
use crate::secret::Redacted;
use crate::verification::model::Channel;
use crate::verification::store::ReceiptState;

/// What it tells of itself. No variables: there is no name that everybody gives this.
pub const KIND: Kind =
    Kind { name: "webhook", title: "Webhook", environment: &[], needs: &[&["url"], &["secret"]], secrets: &["secret"], build };

/// Longest reference and cause that are kept of what the operator's side says, in characters.
const WORDS_MAX_CHARS: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    /// `whsec_…`.
    secret: Redacted<String>,
    #[serde(default)]
    format: Format,
    #[serde(default = "every_channel")]
    channels: Vec<Channel>,
    /// Plain HTTP, and addresses that are not public.
    #[serde(default)]
    allow_private: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Form,
}

fn every_channel() -> Vec<Channel> {
    Channel::ALL.to_vec()
}

struct Webhook {
    http: Http,
    clock: Arc<dyn Clock>,
    url: String,
    secret: Secret,
    format: Format,
    channels: Vec<Channel>,
}

fn build(account: &Account) -> Result<Family, SettingError> {
    let settings: Settings = account.settings()?;
    let wrong = |text: &str| SettingError(text.to_owned());
    let secret = Secret::parse(settings.secret.expose());
    let secret = secret.ok_or_else(|| wrong("secret must be whsec_ and 24 to 64 bytes as base64 (openssl rand -base64 32)"))?;
    if settings.channels.is_empty() {
        return Err(wrong("channels must name at least one"));
    }
    let url = url::Url::parse(&settings.url).map_err(|_| wrong("url must be like https://sender.example.com/otp"))?;
    match (url.scheme(), settings.allow_private) {
        ("https", _) | ("http", true) => {}
        ("http", false) => return Err(wrong("url must begin with https://: codes travel in it (allow_private = true allows http://)")),
        _ => return Err(wrong("url must begin with https://")),
    }
    let address = match url.host() {
        None => return Err(wrong("url must name a host")),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
    };
    // No look-up happens for an address, so it is judged here; a name is judged whenever it is looked up.
    if !settings.allow_private && address.is_some_and(|address| !is_public(address)) {
        return Err(wrong("url is a private address: say allow_private = true if you mean it"));
    }
    let public_only = || Http::public_only().map_err(|error| SettingError(error.to_string()));
    Ok(Family::Message(Arc::new(Webhook {
        http: if settings.allow_private { account.http.clone() } else { public_only()? },
        clock: Arc::clone(&account.clock),
        url: settings.url,
        secret,
        format: settings.format,
        channels: settings.channels,
    })))
}

/// What is posted.
#[derive(Serialize)]
struct Posted<'a> {
    id: &'a str,
    to: &'a str,
    channel: Channel,
    locale: &'a str,
    brand: &'a str,
    body: &'a str,
    /// None: a notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt_url: Option<&'a str>,
}

/// What may be answered.
#[derive(Deserialize)]
struct Taken {
    id: Option<String>,
}

/// What is posted to us.
#[derive(Deserialize)]
struct Receipt {
    id: Option<String>,
    status: String,
    cause: Option<String>,
}

#[async_trait]
impl MessageProvider for Webhook {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let envelope = &message.envelope;
        let posted = Posted {
            id: &envelope.reference,
            to: envelope.to.canonical(),
            channel: envelope.channel,
            locale: &envelope.locale,
            brand: &envelope.brand,
            body: &message.body,
            code: message.code.as_ref().map(|code| code.expose()),
            subject: message.mail.as_ref().map(|mail| mail.subject.as_str()),
            html: message.mail.as_ref().map(|mail| mail.html.as_str()),
            expires_at: envelope.expires_at.to_string(),
            receipt_url: envelope.callback.as_deref(),
        };
        let (kind, body) = self.format.written(&posted).ok_or_else(|| SendError::unavailable("the message could not be written"))?;
        let seconds = self.clock.now().0 / 1000;
        let signature = self.secret.sign(&envelope.reference, seconds, body.as_bytes());
        let request = self.http.post(&self.url).header(CONTENT_TYPE, kind).header(ID, &envelope.reference);
        let request = request.header(TIMESTAMP, seconds.to_string()).header(SIGNATURE, signature).body(body);
        let response = call(request).await?;
        if !response.is_success() {
            return Err(refusal(&response));
        }
        let theirs = response.json::<Taken>().and_then(|taken| taken.id).filter(|id| !id.is_empty());
        Ok(theirs.map_or_else(|| envelope.reference.clone(), |id| plain(&id)))
    }

    fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        if !self.secret.has_signed(request) {
            return Err(ReceiptError::Signature);
        }
        let receipt: Receipt = serde_json::from_slice(request.body).map_err(|_| ReceiptError::Malformed)?;
        let state = match receipt.status.as_str() {
            "sent" => ReceiptState::Underway,
            "delivered" => ReceiptState::Delivered,
            "failed" => ReceiptState::Failed,
            _ => return Err(ReceiptError::Malformed),
        };
        let cause = receipt.cause.map(|cause| plain(&cause)).filter(|cause| !cause.is_empty());
        Ok(Answer::Receipts(vec![ProviderReceipt { reference: receipt.id, cause, ..ProviderReceipt::new(state) }]))
    }
}

impl Format {
    fn written(self, posted: &Posted<'_>) -> Option<(&'static str, String)> {
        let json = serde_json::to_value(posted).ok()?;
        match self {
            Format::Json => Some(("application/json", json.to_string())),
            Format::Form => {
                let fields = json.as_object()?.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                Some(("application/x-www-form-urlencoded", form))
            }
        }
    }
}

/// 422 is for the destination. A redirect is not followed, so nothing behind it was done.
fn refusal(response: &Response) -> SendError {
    match response.status {
        StatusCode::UNPROCESSABLE_ENTITY => SendError::rejected("it refused the destination").code(422),
        status if status.is_redirection() => SendError::unavailable(format!("answered {status}, which is not followed")),
        _ => response.unexpected(),
    }
}

/// Their words, as far as they go into our timeline.
fn plain(text: &str) -> String {
    text.chars().take(WORDS_MAX_CHARS).map(|character| if character.is_control() { ' ' } else { character }).collect()
}
