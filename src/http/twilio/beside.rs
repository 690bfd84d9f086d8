//! What stands beside verifications: the safe list, templates, messaging configurations, access tokens.
//!
//! The safe list lets numbers past Twilio's fraud guard. It is kept here and lifts no limit: who sends too much, or guesses,
//! is stopped whatever list the number is on. Messaging configurations are kept and shown; which sender a country gets is
//! decided by the operator's routes. Templates are the texts that this server ships, to be read.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::clock::Timestamp;
use crate::db::client::Scope;
use crate::db::entities::MessagingConfiguration;
use crate::delivery::words::{LAST_RESORT, SHIPPED, Texts};
use crate::http::twilio::account::Account;
use crate::http::twilio::date::iso;
use crate::http::twilio::entities::entities;
use crate::http::twilio::form::{Form, Query};
use crate::http::twilio::paging::{Origin, Paging};
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::destination::{Country, Destination};

/// What shipped texts changed last: they are part of the program.
const SHIPPED_AT: Timestamp = Timestamp(1_767_225_600_000);

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/SafeList/Numbers", post(add_number))
        .route("/v2/SafeList/Numbers/{number}", get(number).delete(remove_number))
        .route("/v2/Templates", get(templates))
        .route("/v2/Services/{service}/MessagingConfigurations", get(configurations).post(add_configuration))
        .route(
            "/v2/Services/{service}/MessagingConfigurations/{country}",
            get(configuration).post(change_configuration).delete(remove_configuration),
        )
        .route("/v2/Services/{service}/AccessTokens", post(access_token))
}

async fn add_number(
    State(app): State<Arc<App>>,
    account: Account,
    origin: Origin,
    Form(form): Form,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    account.may(Scope::Write)?;
    let rule = "must be a phone number in E.164";
    let number = form.required("PhoneNumber").and_then(|text| phone(text).ok_or_else(|| Refusal::invalid("PhoneNumber", rule)))?;
    match entities(&app)?.add_safe_number(account.client().id, &number).await? {
        Some(id) => Ok((StatusCode::CREATED, Json(safe(&origin, id, &number)))),
        None => Err(Refusal::new(StatusCode::BAD_REQUEST, 60411, "The phone number is on the safe list already")),
    }
}

async fn number(
    State(app): State<Arc<App>>,
    account: Account,
    origin: Origin,
    uri: Uri,
    Path(text): Path<String>,
) -> Result<Json<Value>, Refusal> {
    account.may(Scope::Read)?;
    let found = match phone(&text) {
        Some(number) => entities(&app)?.safe_number(account.client().id, &number).await?.map(|id| (id, number)),
        None => None,
    };
    found.map(|(id, number)| Json(safe(&origin, id, &number))).ok_or_else(|| Refusal::not_found(uri.path()))
}

async fn remove_number(State(app): State<Arc<App>>, account: Account, uri: Uri, Path(text): Path<String>) -> Result<StatusCode, Refusal> {
    account.may(Scope::Write)?;
    let removed = match phone(&text) {
        Some(number) => entities(&app)?.remove_safe_number(account.client().id, &number).await?,
        None => false,
    };
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::not_found(uri.path())) }
}

fn phone(text: &str) -> Option<String> {
    let number = Destination::parse(text, None).ok().filter(Destination::is_phone)?;
    Some(number.canonical().to_owned())
}

fn safe(origin: &Origin, id: uuid::Uuid, number: &str) -> Value {
    json!({
        "sid": sid::of(sid::SAFE_NUMBER, id),
        "phone_number": number,
        "url": origin.url(&format!("/v2/SafeList/Numbers/{number}")),
    })
}

async fn templates(account: Account, Query(query): Query, paging: Paging) -> Result<Json<Value>, Refusal> {
    account.may(Scope::Read)?;
    let wanted = query.text("FriendlyName").filter(|name| !name.is_empty());
    type Part = fn(&Texts) -> String;
    let kinds: [(&str, &str, Part); 3] = [
        ("Countersign SMS", "sms", |texts| texts.sms.clone()),
        ("Countersign mail", "email", |texts| texts.mail.subject.clone()),
        ("Countersign call", "call", |texts| format!("{} {{{{ code }}}}", texts.call.greeting)),
    ];
    let kinds = kinds.into_iter().filter(|(name, ..)| wanted.is_none_or(|wanted| wanted == *name));
    let shown = kinds.map(|(name, channel, part)| {
        let translation = |(locale, source): &(&str, &str)| {
            let texts: Texts = toml::from_str(source).ok()?;
            let translation = json!({
                "is_default_translation": *locale == LAST_RESORT,
                "status": "approved",
                "locale": locale,
                "text": part(&texts),
                "date_created": iso(SHIPPED_AT),
                "date_updated": iso(SHIPPED_AT),
            });
            Some(((*locale).to_owned(), translation))
        };
        json!({
            "sid": sid::named(sid::TEMPLATE, channel),
            "account_sid": account.sid(),
            "friendly_name": name,
            "channels": [channel],
            "translations": SHIPPED.iter().filter_map(translation).collect::<Map<_, _>>(),
        })
    });
    Ok(paging.answer_of_all("templates", shown.collect()))
}

async fn configurations(State(app): State<Arc<App>>, within: Within, paging: Paging) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let all = entities(&app)?.messaging(&within.service.name).await?;
    Ok(paging.answer_of_all("messaging_configurations", all.iter().map(|one| shown(&within, one)).collect()))
}

async fn add_configuration(State(app): State<Arc<App>>, within: Within, Form(form): Form) -> Result<(StatusCode, Json<Value>), Refusal> {
    within.account.may(Scope::Write)?;
    let country = form.required("Country")?;
    if !is_place(country) {
        return Err(Refusal::invalid("Country", "must be an ISO 3166 code in capitals, or all"));
    }
    let sid = messaging_service(form.required("MessagingServiceSid")?)?;
    if !entities(&app)?.add_messaging(&within.service.name, country, sid).await? {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 60213, "The country has a messaging configuration already"));
    }
    Ok((StatusCode::CREATED, Json(shown(&within, &one(&app, &within, country).await?))))
}

async fn configuration(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, country)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    Ok(Json(shown(&within, &one(&app, &within, &country).await?)))
}

async fn change_configuration(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, country)): Path<(String, String)>,
    Form(form): Form,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Write)?;
    let sid = messaging_service(form.required("MessagingServiceSid")?)?;
    if !is_place(&country) || !entities(&app)?.change_messaging(&within.service.name, &country, sid).await? {
        return Err(within.not_found());
    }
    Ok(Json(shown(&within, &one(&app, &within, &country).await?)))
}

async fn remove_configuration(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, country)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Write)?;
    match is_place(&country) && entities(&app)?.remove_messaging(&within.service.name, &country).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(within.not_found()),
    }
}

/// What configurations are for.
fn is_place(text: &str) -> bool {
    text == "all" || Country::parse(text).is_some()
}

async fn one(app: &App, within: &Within, country: &str) -> Result<MessagingConfiguration, Refusal> {
    let all = entities(app)?.messaging(&within.service.name).await?;
    all.into_iter().find(|one| one.country == country).ok_or_else(|| within.not_found())
}

fn messaging_service(text: &str) -> Result<&str, Refusal> {
    if sid::is("MG", text) { Ok(text) } else { Err(Refusal::invalid("MessagingServiceSid", "must be MG and 32 hexadecimal digits")) }
}

fn shown(within: &Within, one: &MessagingConfiguration) -> Value {
    json!({
        "account_sid": within.account.sid(),
        "service_sid": within.service.sid,
        "country": one.country,
        "messaging_service_sid": one.messaging_service,
        "date_created": iso(one.created_at),
        "date_updated": iso(one.updated_at),
        "url": within.url(&format!("MessagingConfigurations/{}", one.country)),
    })
}

/// Access tokens let an app of Twilio's own kind enrol itself by push. A token that opens nothing would be a lie.
async fn access_token(within: Within) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Write)?;
    Err(Refusal::new(StatusCode::FORBIDDEN, 60204, "Access tokens are for factors of type push, which are not supported"))
}
