//! `/2010-04-01/Accounts/{account}/Messages.json`: texts of an integrator's own, for code that was written for Programmable
//! Messaging. Off unless the operator says so, and only for credentials with the scope: sending any text is not what codes
//! are for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::app::App;
use crate::db::client::Scope;
use crate::db::entities::{FreeTextRow, TextFilter, TextStatus};
use crate::delivery::free_text::{BODY_MAX, FreeTexts, NewText, Sending, TextError};
use crate::http::problem::Problem;
use crate::http::twilio::account::Account;
use crate::http::twilio::date::{self, rfc_2822};
use crate::http::twilio::form::{Fields, Form, Query};
use crate::http::twilio::paging::Paging;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::verification::destination::Destination;
use crate::verification::model::Channel;
use crate::verification::request::InvalidField;

const VERSION: &str = "2010-04-01";
/// Longest and usual time that a text may wait, in seconds.
const VALIDITY_MAX: u32 = 36_000;
/// Parameters that would change what is sent, or when: silence about them would be unsafe.
const NOT_SERVED: [&str; 4] = ["MediaUrl", "ContentSid", "SendAt", "ScheduleType"];
/// Longest name of a sender, in characters: of a WhatsApp number, or of an address in a channel that we do not know.
const SENDER_MAX: usize = 64;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/2010-04-01/Accounts/{account}/Messages.json", get(list).post(create))
        .route("/2010-04-01/Accounts/{account}/Messages/{message}", get(fetch).post(update).delete(remove))
}

/// Whoever sends texts: the account in the path is the caller's own, and it may.
fn texts<'a>(app: &'a App, account: &Account, sid: &str, uri: &Uri) -> Result<&'a Arc<FreeTexts>, Refusal> {
    let texts = app.twilio.as_ref().and_then(|face| face.texts.as_ref());
    let texts = texts.filter(|_| account.sid() == sid).ok_or_else(|| Refusal::not_found(uri.path()))?;
    account.may(Scope::Messages)?;
    Ok(texts)
}

async fn create(
    State(app): State<Arc<App>>,
    account: Account,
    uri: Uri,
    Path(sid): Path<String>,
    Form(form): Form,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let texts = texts(&app, &account, &sid, &uri)?;
    let new = wanted(&form)?;
    let caller = account.caller(&account.client().service, None);
    match texts.send(&caller, account.client().id, new).await? {
        Sending::Queued(row) => Ok((StatusCode::CREATED, Json(shown(texts, &row)))),
        Sending::Invalid(field) => Err(invalid(&field)),
        Sending::Country => Err(bad(21408, "Permission to send an SMS has not been enabled for the region of the 'To' number")),
        Sending::Limited(limited) => {
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, 20429, "Too many requests");
            let is_permanent = crate::verification::limit::is_permanent(limited.retry_after);
            Err(if is_permanent { refusal } else { refusal.retry_after(limited.retry_after) })
        }
    }
}

async fn list(
    State(app): State<Arc<App>>,
    account: Account,
    uri: Uri,
    Path(sid): Path<String>,
    Query(query): Query,
    paging: Paging,
) -> Result<Json<Value>, Refusal> {
    let texts = texts(&app, &account, &sid, &uri)?;
    let filter = filter(&query)?;
    let mut found = texts.texts(account.client().id, &filter, (paging.offset(), paging.limit())).await?;
    let more = found.len() >= paging.limit() as usize;
    found.truncate(paging.limit() as usize - 1);
    let messages: Vec<_> = found.iter().map(|row| shown(texts, row)).collect();
    Ok(paging.answer_of_2010("messages", messages, more))
}

async fn fetch(
    State(app): State<Arc<App>>,
    account: Account,
    uri: Uri,
    Path((sid, message)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let texts = texts(&app, &account, &sid, &uri)?;
    Ok(Json(shown(texts, &found(texts, &account, &message, &uri).await?)))
}

/// `Status=canceled` calls it off; an empty `Body` takes the words out.
async fn update(
    State(app): State<Arc<App>>,
    account: Account,
    uri: Uri,
    Path((sid, message)): Path<(String, String)>,
    Form(form): Form,
) -> Result<Json<Value>, Refusal> {
    let texts = texts(&app, &account, &sid, &uri)?;
    let row = found(texts, &account, &message, &uri).await?;
    match form.text("Status") {
        None => {}
        Some("canceled") if texts.cancel(row.id).await? => {}
        Some("canceled") => return Err(bad(30409, "The message cannot be canceled any more")),
        Some(_) => return Err(invalid(&InvalidField::new("Status", "must be canceled"))),
    }
    match form.text("Body") {
        None => {}
        Some("") => texts.redact(row.id).await?,
        Some(_) => return Err(invalid(&InvalidField::new("Body", "can only be taken out: send it empty"))),
    }
    Ok(Json(shown(texts, &found(texts, &account, &message, &uri).await?)))
}

async fn remove(
    State(app): State<Arc<App>>,
    account: Account,
    uri: Uri,
    Path((sid, message)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let texts = texts(&app, &account, &sid, &uri)?;
    let row = found(texts, &account, &message, &uri).await?;
    match texts.remove(account.client().id, row.id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found(uri.path())),
    }
}

async fn found(texts: &FreeTexts, account: &Account, message: &str, uri: &Uri) -> Result<FreeTextRow, Refusal> {
    let not_found = || Refusal::not_found(uri.path());
    let id = message.strip_suffix(".json").and_then(|sid| sid::id(sid::MESSAGE, sid)).ok_or_else(not_found)?;
    texts.text(account.client().id, id).await?.ok_or_else(not_found)
}

fn wanted(form: &Fields) -> Result<NewText, Refusal> {
    let said = |name: &str| form.text(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let to = said("To").ok_or_else(|| bad(21604, "A 'To' phone number is required"))?;
    let (sender, messaging_service) = (said("From"), said("MessagingServiceSid"));
    if sender.is_none() && messaging_service.is_none() {
        return Err(bad(21603, "A 'From' phone number is required"));
    }
    if !sender.as_deref().is_none_or(is_sender) {
        return Err(bad(21212, "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID"));
    }
    if let Some(name) = NOT_SERVED.into_iter().find(|name| form.text(name).is_some()) {
        return Err(invalid(&InvalidField::new("Body", format!("must come alone: {name} is not served here"))));
    }
    if messaging_service.as_ref().is_some_and(|sid| !sid::is("MG", sid)) {
        return Err(bad(21705, "The Messaging Service Sid is invalid"));
    }
    let body = said("Body").ok_or_else(|| bad(21602, "Message body is required"))?;
    if body.chars().count() > BODY_MAX {
        return Err(bad(21617, "The concatenated message body exceeds the 1600 character limit"));
    }
    let seconds = form.number("ValidityPeriod", 1..=VALIDITY_MAX)?.unwrap_or(VALIDITY_MAX);
    let whatsapp = to.strip_prefix("whatsapp:").map(str::to_owned);
    Ok(NewText {
        channel: if whatsapp.is_some() { Channel::Whatsapp } else { Channel::Sms },
        to: whatsapp.unwrap_or(to),
        sender,
        messaging_service,
        body: Zeroizing::new(body),
        callback: said("StatusCallback"),
        life: Duration::from_secs(u64::from(seconds)),
    })
}

fn filter(query: &Fields) -> Result<TextFilter, Refusal> {
    let time = |name: &'static str| match query.text(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => date::parse(text).map(Some).ok_or_else(|| bad(20001, &format!("{name} must be a date"))),
    };
    let day = time("DateSent")?;
    let number = |text: &str| {
        let plain = text.trim_start_matches("whatsapp:");
        Destination::parse(plain, None).map_or_else(|_| plain.to_owned(), |to| to.canonical().to_owned())
    };
    let said = |name: &str| query.text(name).filter(|text| !text.is_empty());
    for name in ["To", "From"] {
        if !said(name).is_none_or(is_sender) {
            return Err(bad(20001, &format!("{name} must be a phone number")));
        }
    }
    Ok(TextFilter {
        recipient: said("To").map(number),
        sender: said("From").map(str::to_owned),
        from: day.or(time("DateSent>")?),
        before: day.map(|day| day + DAY).or(time("DateSent<")?),
    })
}

/// A number, a short code, or a name: on one line, and not a long one.
fn is_sender(text: &str) -> bool {
    text.chars().count() <= SENDER_MAX && !text.chars().any(char::is_control)
}

fn bad(code: u32, message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, message)
}

fn invalid(field: &InvalidField) -> Refusal {
    let code = match field.field {
        "To" => 21211,
        "StatusCallback" => 21609,
        "Body" => 21602,
        _ => 20001,
    };
    bad(code, &format!("The '{}' parameter {}", field.field, field.rule))
}

impl From<TextError> for Refusal {
    fn from(error: TextError) -> Refusal {
        Problem::from(error).into()
    }
}

fn shown(texts: &FreeTexts, row: &FreeTextRow) -> Value {
    let (account, sid) = (sid::of(sid::ACCOUNT, row.client), sid::of(sid::MESSAGE, row.id));
    let path = format!("/{VERSION}/Accounts/{account}/Messages/{sid}");
    json!({
        "sid": sid,
        "account_sid": account,
        "api_version": VERSION,
        "body": texts.body(row).as_str(),
        "date_created": rfc_2822(row.created_at),
        "date_sent": row.sent_at.map(rfc_2822),
        "date_updated": rfc_2822(row.updated_at),
        "direction": "outbound-api",
        "error_code": row.error_code,
        "error_message": row.error_code.map(|code| format!("See https://www.twilio.com/docs/errors/{code}")),
        "from": row.sender,
        "messaging_service_sid": row.messaging_service,
        "num_media": "0",
        "num_segments": row.segments.to_string(),
        "price": null,
        "price_unit": "USD",
        "status": row.status.as_str(),
        "subresource_uris": { "media": format!("{path}/Media.json") },
        "to": to(row),
        "uri": format!("{path}.json"),
    })
}

fn to(row: &FreeTextRow) -> String {
    if row.channel == Channel::Whatsapp { format!("whatsapp:{}", row.recipient) } else { row.recipient.clone() }
}

/// A change of a text, as it is posted to its `StatusCallback`.
pub fn words(row: &FreeTextRow) -> Vec<(String, String)> {
    let sid = sid::of(sid::MESSAGE, row.id);
    let mut form = vec![
        ("MessageSid", sid.clone()),
        ("SmsSid", sid),
        ("MessageStatus", row.status.as_str().to_owned()),
        ("SmsStatus", row.status.as_str().to_owned()),
        ("To", to(row)),
        ("From", row.sender.clone().unwrap_or_default()),
        ("AccountSid", sid::of(sid::ACCOUNT, row.client)),
        ("ApiVersion", VERSION.to_owned()),
    ];
    form.extend(row.messaging_service.clone().map(|sid| ("MessagingServiceSid", sid)));
    if matches!(row.status, TextStatus::Failed | TextStatus::Undelivered) {
        form.extend(row.error_code.map(|code| ("ErrorCode", code.to_string())));
    }
    form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
