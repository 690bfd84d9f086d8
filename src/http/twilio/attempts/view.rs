//! An attempt and a sum, as they are shown.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::app::App;
use crate::db::attempt::AttemptRow;
use crate::db::service::name_of;
use crate::http::twilio::account::Account;
use crate::http::twilio::paging::Origin;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::{date, sid};
use crate::verification::model::{Status, Verification};

/// The resource. What the index does not know is read from the verification, while that is kept.
pub async fn attempt(app: &App, account: &Account, row: &AttemptRow, origin: &Origin) -> Result<Value, Refusal> {
    let configured = &account.client().service;
    let service = if sid::named(sid::SERVICE, configured) == row.service_sid { Arc::clone(configured) } else { name_of(&row.service_sid) };
    let verification = app.engine.get(&service, row.verification).await?.map(|(verification, _)| verification);
    let verification = verification.as_ref();
    let newest = verification.filter(|found| sid::attempt(found.id, found.sends).as_deref() == Some(&row.sid));
    let verification_sid = sid::of(sid::VERIFICATION, row.verification);
    Ok(json!({
        "sid": row.sid,
        "account_sid": account.sid(),
        "service_sid": row.service_sid,
        "verification_sid": verification_sid,
        "conversion_status": if row.converted_at.is_some() { "converted" } else { "unconverted" },
        "channel": row.channel,
        "price": { "value": null, "currency": "usd" },
        "channel_data": {
            "verification_sid": verification_sid,
            "to": verification.map(|found| found.destination.canonical()),
            "status": status(app, row, verification),
            "message_status": newest.map(|found| found.delivery.as_str()),
            "error_code": null,
            "country": Some(&row.country).filter(|country| !country.is_empty()),
            "code_length": app.engine.policy(&service).code_length,
            "locale": verification.map(|found| &*found.locale),
            "mcc": null,
            "mnc": null,
            "carrier": null,
        },
        "date_created": date::iso(row.created_at),
        "date_updated": date::iso(row.converted_at.unwrap_or(row.created_at)),
        "url": origin.url(&format!("/v2/Attempts/{}", row.sid)),
    }))
}

fn status(app: &App, row: &AttemptRow, verification: Option<&Verification>) -> &'static str {
    let expired = verification.is_none_or(|found| found.status_at(app.engine.clock.now()) == Status::Expired);
    match row.converted_at {
        Some(_) => "confirmed",
        None if expired => "expired",
        None => "unconfirmed",
    }
}

/// How many messages led to an approval. The percentage is text, as there.
pub fn summary(all: u64, converted: u64, origin: &Origin) -> Value {
    let percentage = if all == 0 { 0.0 } else { converted as f64 * 100.0 / all as f64 };
    json!({
        "total_attempts": all,
        "total_converted": converted,
        "total_unconverted": all.saturating_sub(converted),
        "conversion_rate_percentage": format!("{percentage:.9}"),
        "url": origin.url("/v2/Attempts/Summary"),
    })
}
