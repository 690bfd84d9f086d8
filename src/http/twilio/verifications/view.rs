//! A verification and a check, as they are shown.

use serde_json::{Value, json};

use crate::app::App;
use crate::http::twilio::attempts::{self, Message};
use crate::http::twilio::date;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::model::{Status, Verification};

/// The resource, with every message so far.
pub async fn verification(app: &App, within: &Within, verification: &Verification) -> Result<Value, Refusal> {
    let status = verification.status_at(app.engine.clock.now());
    Ok(with_messages(within, verification, status, &attempts::messages(app, verification).await?))
}

/// The same, with these messages.
pub fn with_messages(within: &Within, verification: &Verification, status: Status, sent: &[Message]) -> Value {
    let shown = sent.iter().map(|message| {
        json!({
            "time": date::iso(message.at),
            "channel": spelled(&message.channel),
            "attempt_sid": sid::attempt(verification.id, message.number),
        })
    });
    let updated = verification.ended_at.unwrap_or(verification.queued_at);
    let name = sid::of(sid::VERIFICATION, verification.id);
    json!({
        "sid": name,
        "service_sid": within.service.sid,
        "account_sid": within.account.sid(),
        "to": verification.destination.canonical(),
        "channel": verification.channel.as_str(),
        "status": word(status),
        "valid": status == Status::Approved,
        "lookup": {},
        "amount": null,
        "payee": null,
        "send_code_attempts": shown.collect::<Vec<_>>(),
        "sna": null,
        "date_created": date::iso(verification.created_at),
        "date_updated": date::iso(updated),
        "url": within.url(&format!("Verifications/{name}")),
    })
}

/// The answer to a check.
pub fn check(within: &Within, verification: &Verification, status: Status, valid: bool) -> Value {
    json!({
        "sid": sid::of(sid::VERIFICATION, verification.id),
        "service_sid": within.service.sid,
        "account_sid": within.account.sid(),
        "to": verification.destination.canonical(),
        "channel": verification.channel.as_str(),
        "status": word(status),
        "valid": valid,
        "amount": null,
        "payee": null,
        "sna_attempts_error_codes": [],
        "date_created": date::iso(verification.created_at),
        "date_updated": date::iso(verification.ended_at.unwrap_or(verification.queued_at)),
    })
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Approved => "approved",
        Status::Canceled => "canceled",
        Status::Expired => "expired",
        Status::Exhausted => "max_attempts_reached",
    }
}

/// Twilio writes the older channels in capitals here, and nowhere else.
fn spelled(channel: &str) -> String {
    if channel == "whatsapp" { channel.to_owned() } else { channel.to_ascii_uppercase() }
}
