//! Receipts as Twilio posts them to a `StatusCallback`, signed (X-Twilio-Signature).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::delivery::http::call;
use crate::dev_provider::knobs::Receipts;
use crate::dev_provider::{AUTH_TOKEN, DevProvider, Received, lock};

/// The header that the signature is in.
pub const SIGNATURE: &str = "x-twilio-signature";

/// The statuses that follow a message, in the order in which they are posted.
fn statuses(receipts: Receipts, resource: &str) -> Vec<&'static str> {
    let (underway, arrived, lost) =
        if resource == "Calls" { ("ringing", "completed", "no-answer") } else { ("sent", "delivered", "undelivered") };
    match receipts {
        Receipts::Delivered => vec![underway, arrived],
        Receipts::Failed => vec![underway, lost],
        Receipts::None => Vec::new(),
        Receipts::Duplicate => vec![underway, arrived, underway, arrived, arrived],
    }
}

/// The fields of one receipt, as Twilio sends them.
pub fn form(message: &Received, status: &str) -> Vec<(String, String)> {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let from = message.fields.get("From").or_else(|| message.fields.get("MessagingServiceSid")).cloned().unwrap_or_default();
    let mut form = vec![
        field("AccountSid", "AC00000000000000000000000000000000"),
        field("ApiVersion", "2010-04-01"),
        field("From", &from),
        field("To", &message.to),
    ];
    if message.resource == "Calls" {
        form.extend([field("CallSid", &message.id), field("CallStatus", status)]);
    } else {
        form.extend([
            field("MessageSid", &message.id),
            field("SmsSid", &message.id),
            field("MessageStatus", status),
            field("SmsStatus", status),
        ]);
    }
    if matches!(status, "undelivered" | "failed") {
        form.push(field("ErrorCode", "30003"));
    }
    form
}

/// The signature of a form that is posted to `url`: Base64 of HMAC-SHA1 over the URL and then each name and value, by name.
pub fn signature(url: &str, form: &[(String, String)], auth_token: &str) -> String {
    let mut sorted: Vec<_> = form.iter().collect();
    sorted.sort();
    sorted.dedup();
    let text = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    <Hmac<Sha1> as KeyInit>::new_from_slice(auth_token.as_bytes())
        .map(|mut mac| {
            mac.update(text.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        })
        .unwrap_or_default()
}

/// Posts the receipts of the message with that number, one after another, without waiting for them here.
pub(super) fn report(provider: &Arc<DevProvider>, number: usize, receipts: Receipts) {
    let provider = Arc::clone(provider);
    let Some(message) = provider.received().into_iter().find(|message| message.number == number) else { return };
    let Some(url) = message.callback.clone() else { return };
    tokio::spawn(async move {
        for status in statuses(receipts, message.resource) {
            let form = form(&message, status);
            let request = provider.http.post(&url).header(SIGNATURE, signature(&url, &form, AUTH_TOKEN)).form(&form);
            let answered = match call(request).await {
                Ok(response) => response.status.as_u16().to_string(),
                Err(error) => error.to_string(),
            };
            if let Some(message) = lock(&provider.received).iter_mut().find(|message| message.number == number) {
                message.receipts.push(format!("{status}: {answered}"));
            }
        }
    });
}
