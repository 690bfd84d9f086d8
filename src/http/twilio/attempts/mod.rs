//! `/v2/Attempts`: every message that an account had sent, and whether its code was used.

mod form;
mod view;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use crate::app::App;
use crate::clock::Timestamp;
use crate::db::attempt::{AttemptRow, PREFIX};
use crate::db::client::Scope;
use crate::http::twilio::account::Account;
use crate::http::twilio::form::Query;
use crate::http::twilio::paging::{Origin, Paging};
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::within::Within;
use crate::http::twilio::{face, sid};
use crate::verification::Destination;
use crate::verification::model::{EventKind, Verification};

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/v2/Attempts", get(list)).route("/v2/Attempts/Summary", get(summary)).route("/v2/Attempts/{attempt}", get(fetch))
}

/// One message of a verification.
pub struct Message {
    /// From 1.
    pub number: u32,
    /// When it was queued.
    pub at: Timestamp,
    /// How it went.
    pub channel: String,
}

impl Message {
    /// The newest one of a verification.
    pub fn newest(verification: &Verification) -> Message {
        Message { number: verification.sends, at: verification.queued_at, channel: verification.channel.to_string() }
    }
}

/// Every message of a verification so far, oldest first: its timeline tells.
pub async fn messages(app: &App, verification: &Verification) -> Result<Vec<Message>, Refusal> {
    let usual = || verification.channel.to_string();
    if verification.sends <= 1 {
        return Ok(vec![Message { number: 1, at: verification.created_at, channel: usual() }]);
    }
    let events = app.engine.timeline(verification.id).await?.into_iter();
    let sent = events.filter(|event| matches!(event.kind, EventKind::Started | EventKind::Resent));
    let sent = (1..).zip(sent).map(|(number, event)| Message { number, at: event.at, channel: event.detail.unwrap_or_else(usual) });
    Ok(sent.collect())
}

/// Counts the newest message of a verification.
pub fn note_sent(app: &App, within: &Within, verification: &Verification) -> Result<(), Refusal> {
    let Some(sid) = sid::attempt(verification.id, verification.sends) else { return Ok(()) };
    let destination = &verification.destination;
    let country = destination.country();
    face(app)?.attempts.sent(AttemptRow {
        sid,
        client: within.account.client().id,
        service_sid: within.service.sid.clone(),
        verification: verification.id,
        channel: verification.channel.to_string(),
        country: country.map(|country| country.as_str().to_owned()).unwrap_or_default(),
        destination: digest(destination),
        // Of an address nothing is kept.
        prefix: if destination.is_phone() { destination.canonical().chars().take(PREFIX).collect() } else { String::new() },
        created_at: verification.queued_at,
        converted_at: None,
    });
    Ok(())
}

/// Notes that the code of a verification's newest message was the right one.
pub fn note_converted(app: &App, verification: &Verification, now: Timestamp) -> Result<(), Refusal> {
    if let Some(sid) = sid::attempt(verification.id, verification.sends) {
        face(app)?.attempts.converted(sid, now);
    }
    Ok(())
}

fn digest(destination: &Destination) -> String {
    format!("{:032x}", u128::from_be_bytes(destination.key()))
}

async fn list(State(app): State<Arc<App>>, account: Account, paging: Paging, Query(query): Query) -> Result<Json<Value>, Refusal> {
    account.may(Scope::Read)?;
    let filter = form::filter(&app, &query)?;
    let attempts = &face(&app)?.attempts;
    attempts.flush().await;
    let rows = attempts.list(account.client().id, &filter, paging.limit(), paging.offset()).await?;
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        shown.push(view::attempt(&app, &account, &row, paging.origin()).await?);
    }
    Ok(paging.answer("attempts", shown))
}

async fn fetch(State(app): State<Arc<App>>, account: Account, origin: Origin, Path(named): Path<String>) -> Result<Json<Value>, Refusal> {
    account.may(Scope::Read)?;
    let not_found = || Refusal::not_found(&format!("/v2/Attempts/{named}"));
    let sid = sid::canonical(sid::ATTEMPT, &named).ok_or_else(not_found)?;
    let attempts = &face(&app)?.attempts;
    attempts.flush().await;
    let row = attempts.get(account.client().id, &sid).await?.ok_or_else(not_found)?;
    Ok(Json(view::attempt(&app, &account, &row, &origin).await?))
}

async fn summary(State(app): State<Arc<App>>, account: Account, origin: Origin, Query(query): Query) -> Result<Json<Value>, Refusal> {
    account.may(Scope::Read)?;
    let filter = form::filter(&app, &query)?;
    let attempts = &face(&app)?.attempts;
    attempts.flush().await;
    let (all, converted) = attempts.sums(account.client().id, &filter).await?;
    Ok(Json(view::summary(all, converted, &origin)))
}
