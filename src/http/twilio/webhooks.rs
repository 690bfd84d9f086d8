//! Webhooks of a service: `/v2/Services/{service}/Webhooks`, and what they are told.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::App;
use crate::db::client::Scope;
use crate::entity::model::EntityEvent;
use crate::entity::webhook::{self, Settings, Webhook};
use crate::http::twilio::date::iso;
use crate::http::twilio::entities::entities;
use crate::http::twilio::form::{Fields, Form};
use crate::http::twilio::paging::Paging;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::request::InvalidField;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/Services/{service}/Webhooks", get(list).post(create))
        .route("/v2/Services/{service}/Webhooks/{webhook}", get(fetch).post(update).delete(remove))
}

async fn create(State(app): State<Arc<App>>, within: Within, Form(form): Form) -> Result<(StatusCode, Json<Value>), Refusal> {
    within.account.may(Scope::Write)?;
    for name in ["FriendlyName", "EventTypes", "WebhookUrl"] {
        form.required(name)?;
    }
    let usual = Settings { is_enabled: true, version: "v2".into(), ..Settings::default() };
    let settings = settings(&form, usual)?;
    let (service, client) = (&within.service, within.account.client().id);
    let made = entities(&app)?.add_webhook(&service.name, &service.sid, client, settings).await?;
    made.map(|webhook| (StatusCode::CREATED, Json(shown(&within, &webhook)))).map_err(|field| refused(&field))
}

async fn list(State(app): State<Arc<App>>, within: Within, paging: Paging) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let webhooks = entities(&app)?.webhooks(&within.service.name).await?;
    Ok(paging.answer_of_all("webhooks", webhooks.iter().map(|webhook| shown(&within, webhook)).collect()))
}

async fn fetch(State(app): State<Arc<App>>, within: Within, Path((_, sid)): Path<(String, String)>) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    Ok(Json(shown(&within, &found(&app, &within, &sid).await?)))
}

async fn update(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, sid)): Path<(String, String)>,
    Form(form): Form,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Write)?;
    let webhook = found(&app, &within, &sid).await?;
    let settings = settings(&form, webhook.settings.clone())?;
    let changed = entities(&app)?.change_webhook(Webhook { settings, ..webhook }).await?;
    changed.map(|webhook| Json(shown(&within, &webhook))).map_err(|field| refused(&field))
}

async fn remove(State(app): State<Arc<App>>, within: Within, Path((_, sid)): Path<(String, String)>) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Write)?;
    let id = sid::id(sid::WEBHOOK, &sid).ok_or_else(|| within.not_found())?;
    match entities(&app)?.remove_webhook(&within.service.name, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(within.not_found()),
    }
}

async fn found(app: &App, within: &Within, sid: &str) -> Result<Webhook, Refusal> {
    let id = sid::id(sid::WEBHOOK, sid).ok_or_else(|| within.not_found())?;
    entities(app)?.webhook(&within.service.name, id).await?.ok_or_else(|| within.not_found())
}

/// Where we may post to has a code of its own.
fn refused(invalid: &InvalidField) -> Refusal {
    let code = if invalid.field == webhook::URL { 60330 } else { 60200 };
    Refusal::new(StatusCode::BAD_REQUEST, code, format!("Invalid parameter `{}`: {}", invalid.field, invalid.rule))
}

fn settings(form: &Fields, usual: Settings) -> Result<Settings, Refusal> {
    let said = |name: &str, usual: String| form.text(name).map_or(usual, str::to_owned);
    // In the order in which they were named, each once.
    let mut events: Vec<String> = Vec::new();
    for event in form.all("EventTypes") {
        if !events.iter().any(|known| known == event) {
            events.push(event.to_owned());
        }
    }
    Ok(Settings {
        name: said("FriendlyName", usual.name),
        events: if events.is_empty() { usual.events } else { events },
        url: said("WebhookUrl", usual.url),
        is_enabled: match form.text("Status") {
            None | Some("") => usual.is_enabled,
            Some("enabled") => true,
            Some("disabled") => false,
            Some(_) => return Err(Refusal::invalid("Status", "must be enabled or disabled")),
        },
        version: said("Version", usual.version),
    })
}

fn shown(within: &Within, webhook: &Webhook) -> Value {
    let sid = sid::of(sid::WEBHOOK, webhook.id);
    let Settings { name, events, url, is_enabled, version } = &webhook.settings;
    json!({
        "sid": sid,
        "service_sid": within.service.sid,
        "account_sid": within.account.sid(),
        "friendly_name": name,
        "event_types": events,
        "status": if *is_enabled { "enabled" } else { "disabled" },
        "version": version,
        "webhook_url": url,
        "webhook_method": "POST",
        "date_created": iso(webhook.created_at),
        "date_updated": iso(webhook.updated_at),
        "url": within.url(&format!("Webhooks/{sid}")),
    })
}

/// An event as it is posted. No secret and no code is in it.
pub fn words(webhook: &Webhook, event: &EntityEvent) -> Vec<(String, String)> {
    let mut form = vec![
        ("uuid", event.id.to_string()),
        ("type", event.kind.as_str().to_owned()),
        ("account_sid", sid::of(sid::ACCOUNT, webhook.client)),
        ("service_sid", webhook.service_sid.clone()),
        ("entity_identity", event.entity.identity.as_str().to_owned()),
        ("factor_sid", sid::of(sid::FACTOR, event.factor.id)),
        ("factor_type", "totp".to_owned()),
        ("factor_friendly_name", event.factor.name.clone()),
    ];
    if let Some(challenge) = &event.challenge {
        let text = |json: &Option<Value>| json.as_ref().map_or_else(String::new, ToString::to_string);
        form.extend([
            ("challenge_sid", sid::of(sid::CHALLENGE, challenge.id)),
            ("challenge_status", challenge.status.as_str().to_owned()),
            ("challenge_details", text(&challenge.details)),
            ("challenge_hidden_details", text(&challenge.hidden_details)),
            ("challenge_metadata", text(&challenge.metadata)),
            ("challenge_expiration_date", iso(challenge.expires_at)),
        ]);
    }
    form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
