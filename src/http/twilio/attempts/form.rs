//! Which messages are asked for.

use crate::app::App;
use crate::clock::Timestamp;
use crate::db::attempt::{AttemptFilter, PREFIX};
use crate::http::twilio::form::Fields;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::{date, sid};
use crate::verification::model::Channel;
use crate::verification::policy::DEFAULT_SERVICE;

use super::digest;

/// A channel that is known there, and by which nothing is sent here.
const RBM: &str = "rbm";

/// The filters of a list and of a summary.
pub fn filter(app: &App, query: &Fields) -> Result<AttemptFilter, Refusal> {
    let text = |name: &str| query.text(name).filter(|value| !value.is_empty());
    let service_sid = text("VerifyServiceSid")
        .map(|value| sid::canonical(sid::SERVICE, value).ok_or_else(|| Refusal::invalid("VerifyServiceSid", "must be a service's SID")));
    let verification = text("VerificationSid")
        .map(|value| sid::id(sid::VERIFICATION, value).ok_or_else(|| Refusal::invalid("VerificationSid", "must be a verification's SID")));
    let destination = text("ChannelData.To").map(|value| {
        let policy = app.engine.policy(DEFAULT_SERVICE);
        app.engine
            .destination(&policy, value)
            .map(|found| digest(&found))
            .map_err(|invalid| Refusal::invalid("ChannelData.To", &invalid.rule))
    });
    let converted = match text("Status") {
        None => None,
        Some("converted") => Some(true),
        Some("unconverted") => Some(false),
        Some(_) => return Err(Refusal::invalid("Status", "must be converted or unconverted")),
    };
    let channel = match text("Channel") {
        None => None,
        Some(name) if name == RBM => Some(name.to_owned()),
        Some(name) => match Channel::parse(&name.to_ascii_lowercase()) {
            Some(channel) => Some(channel.to_string()),
            None => return Err(Refusal::invalid("Channel", "must be sms, whatsapp, call, email or rbm")),
        },
    };
    let prefix = match text("DestinationPrefix") {
        None => None,
        Some(prefix)
            if prefix.len() <= PREFIX
                && prefix.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) =>
        {
            Some(prefix.to_owned())
        }
        Some(_) => return Err(Refusal::invalid("DestinationPrefix", &format!("must be + and at most {} digits", PREFIX - 1))),
    };
    Ok(AttemptFilter {
        after: time(query, "DateCreatedAfter")?,
        before: time(query, "DateCreatedBefore")?,
        service_sid: service_sid.transpose()?,
        verification: verification.transpose()?,
        channel,
        country: text("Country").map(country).transpose()?,
        destination: destination.transpose()?,
        prefix,
        converted,
    })
}

fn country(code: &str) -> Result<String, Refusal> {
    let plain = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    plain.then(|| code.to_ascii_uppercase()).ok_or_else(|| Refusal::invalid("Country", "must be an ISO 3166 code of two letters"))
}

fn time(query: &Fields, name: &str) -> Result<Option<Timestamp>, Refusal> {
    // An empty one is no date: what would it filter?
    let Some(text) = query.text(name) else { return Ok(None) };
    date::parse(text).map(Some).ok_or_else(|| Refusal::invalid(name, "must be a date such as 2026-11-21T08:00:00Z"))
}
