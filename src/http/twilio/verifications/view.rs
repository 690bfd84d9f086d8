//! A verification and a check, as they are shown. With fields of their own types, unlike other resources: these two are
//! written for every code.

use serde::Serialize;

use crate::app::App;
use crate::http::twilio::attempts::{self, Message};
use crate::http::twilio::date;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::model::{Status, Verification};

/// What a verification and a check have in common.
#[derive(Serialize)]
struct Standing {
    sid: String,
    service_sid: String,
    account_sid: String,
    to: String,
    channel: &'static str,
    status: &'static str,
    valid: bool,
    /// Of a payment, as the next one. Nothing is paid for here.
    amount: Option<&'static str>,
    payee: Option<&'static str>,
    date_created: String,
    date_updated: String,
}

impl Standing {
    fn of(within: &Within, verification: &Verification, status: Status, valid: bool) -> Standing {
        Standing {
            sid: sid::of(sid::VERIFICATION, verification.id),
            service_sid: within.service.sid.clone(),
            account_sid: within.account.sid(),
            to: verification.destination.canonical().to_owned(),
            channel: verification.channel.as_str(),
            status: word(status),
            valid,
            amount: None,
            payee: None,
            date_created: date::iso(verification.created_at),
            date_updated: date::iso(verification.ended_at.unwrap_or(verification.queued_at)),
        }
    }
}

/// A verification with its messages.
#[derive(Serialize)]
pub struct Shown {
    #[serde(flatten)]
    standing: Standing,
    lookup: Lookup,
    send_code_attempts: Vec<Sent>,
    /// Silent network authentication, which is not served.
    sna: Option<&'static str>,
    url: String,
}

/// What is known of the number's owner and line: nothing is asked.
#[derive(Serialize)]
struct Lookup {}

/// One message.
#[derive(Serialize)]
struct Sent {
    time: String,
    channel: String,
    attempt_sid: Option<String>,
}

/// The answer to a check.
#[derive(Serialize)]
pub struct Checked {
    #[serde(flatten)]
    standing: Standing,
    sna_attempts_error_codes: [&'static str; 0],
}

/// The resource, with every message so far.
pub async fn verification(app: &App, within: &Within, verification: &Verification) -> Result<Shown, Refusal> {
    let status = verification.status_at(app.engine.clock.now());
    Ok(with_messages(within, verification, status, &attempts::messages(app, verification).await?))
}

/// The same, with these messages.
pub fn with_messages(within: &Within, verification: &Verification, status: Status, sent: &[Message]) -> Shown {
    let shown = sent.iter().map(|message| Sent {
        time: date::iso(message.at),
        channel: spelled(&message.channel),
        attempt_sid: sid::attempt(verification.id, message.number),
    });
    let standing = Standing::of(within, verification, status, status == Status::Approved);
    let url = within.url(&format!("Verifications/{}", standing.sid));
    Shown { standing, lookup: Lookup {}, send_code_attempts: shown.collect(), sna: None, url }
}

/// The answer to a check.
pub fn check(within: &Within, verification: &Verification, status: Status, valid: bool) -> Checked {
    Checked { standing: Standing::of(within, verification, status, valid), sna_attempts_error_codes: [] }
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
