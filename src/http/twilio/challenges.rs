//! Challenges: `/v2/Services/{service}/Entities/{identity}/Challenges`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::App;
use crate::db::client::Scope;
use crate::entity::challenges::{Answered, Asked};
use crate::entity::model::{Challenge, ChallengeStatus, Entity};
use crate::entity::request::NewChallenge;
use crate::http::twilio::date::{self, iso};
use crate::http::twilio::entities::{entities, found, invalid};
use crate::http::twilio::form::{Fields, Form, Query};
use crate::http::twilio::paging::Paging;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::request::InvalidField;

type Names = Path<(String, String, String)>;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/Services/{service}/Entities/{identity}/Challenges", get(list).post(create))
        .route("/v2/Services/{service}/Entities/{identity}/Challenges/{challenge}", get(fetch).post(update))
        .route("/v2/Services/{service}/Entities/{identity}/Challenges/{challenge}/Notifications", post(notify))
}

async fn create(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, name)): Path<(String, String)>,
    Form(form): Form,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    within.account.may(Scope::Write)?;
    let entity = found(&app, &within, &name).await?;
    let factor = factor(&form)?.ok_or_else(|| invalid(&InvalidField::new("FactorSid", "is missing")))?;
    let new = wanted(&form)?;
    let code = form.text("AuthPayload").filter(|code| !code.is_empty());
    match entities(&app)?.challenge(&entity, factor, new, code).await? {
        Asked::Done(challenge) => Ok((StatusCode::CREATED, Json(shown(&within, &entity, &challenge)))),
        Asked::NoFactor => Err(Refusal::new(StatusCode::NOT_FOUND, 60390, "Factor not found")),
        Asked::Unverified => Err(Refusal::new(StatusCode::FORBIDDEN, 60318, "The factor is not verified")),
        Asked::FactorClosed => Err(closed()),
        Asked::TooMany => Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, 60312, "Max challenges for this factor reached")),
        Asked::Invalid(field) => Err(invalid(&field)),
    }
}

async fn list(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, name)): Path<(String, String)>,
    Query(query): Query,
    paging: Paging,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let entity = found(&app, &within, &name).await?;
    let wrong = |field, rule: &str| invalid(&InvalidField::new(field, rule));
    let status = match query.text("Status").filter(|status| !status.is_empty()) {
        None => None,
        Some(name) => Some(ChallengeStatus::parse(name).ok_or_else(|| wrong("Status", "must be pending, approved, denied or expired"))?),
    };
    let newest_first = match query.text("Order").unwrap_or_default() {
        "" | "asc" => false,
        "desc" => true,
        _ => return Err(wrong("Order", "must be asc or desc")),
    };
    let page = (paging.offset(), paging.limit());
    let challenges = entities(&app)?.challenges(&entity, factor(&query)?, status, newest_first, page).await?;
    Ok(paging.answer("challenges", challenges.iter().map(|challenge| shown(&within, &entity, challenge)).collect()))
}

async fn fetch(State(app): State<Arc<App>>, within: Within, Path((_, name, challenge)): Names) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let entity = found(&app, &within, &name).await?;
    let id = sid::id(sid::CHALLENGE, &challenge).ok_or_else(|| within.not_found())?;
    let challenge = entities(&app)?.challenge_of(&entity, id).await?;
    challenge.map(|challenge| Json(shown(&within, &entity, &challenge))).ok_or_else(|| within.not_found())
}

async fn update(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, name, challenge)): Names,
    Form(form): Form,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Write)?;
    let entity = found(&app, &within, &name).await?;
    let id = sid::id(sid::CHALLENGE, &challenge).ok_or_else(|| within.not_found())?;
    let code = form.required("AuthPayload")?;
    let forbidden = |code, message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, code, message));
    match entities(&app)?.answer(&entity, id, code, form.json("Metadata")?).await? {
        Answered::Judged(challenge) => Ok(Json(shown(&within, &entity, &challenge))),
        Answered::NotFound => Err(within.not_found()),
        Answered::Before => forbidden(60322, "The challenge was already responded"),
        Answered::Expired => forbidden(60323, "The challenge has expired"),
        Answered::TooManyTries => Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, 60308, "Max challenge attempts reached")),
        Answered::FactorClosed => Err(closed()),
        Answered::Invalid(field) => Err(invalid(&field)),
    }
}

/// A notification goes to an app of Twilio's own kind, and no such factor can be made.
async fn notify(State(app): State<Arc<App>>, within: Within, Path((_, name, challenge)): Names) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Write)?;
    let entity = found(&app, &within, &name).await?;
    let id = sid::id(sid::CHALLENGE, &challenge).ok_or_else(|| within.not_found())?;
    entities(&app)?.challenge_of(&entity, id).await?.ok_or_else(|| within.not_found())?;
    Err(Refusal::new(StatusCode::FORBIDDEN, 60204, "Notifications are for factors of type push, which are not supported"))
}

fn closed() -> Refusal {
    let message = "Too many wrong codes in a row for this factor: remove it and enrol again";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, 60310, message)
}

/// The factor that a form or a query names.
fn factor(fields: &Fields) -> Result<Option<uuid::Uuid>, Refusal> {
    match fields.text("FactorSid").filter(|sid| !sid.is_empty()) {
        None => Ok(None),
        Some(text) => {
            let id = sid::id(sid::FACTOR, text);
            id.map(Some).ok_or_else(|| invalid(&InvalidField::new("FactorSid", "must be YF and 32 hexadecimal digits")))
        }
    }
}

fn wanted(form: &Fields) -> Result<NewChallenge, Refusal> {
    let wrong = |field, rule: &str| invalid(&InvalidField::new(field, rule));
    let expires_at = match form.text("ExpirationDate").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(date::parse(text).ok_or_else(|| wrong("ExpirationDate", "must be like 2026-11-21T08:00:00Z"))?),
    };
    let line = |text: &str| {
        let line: Value = serde_json::from_str(text).ok()?;
        Some((line["label"].as_str()?.to_owned(), line["value"].as_str()?.to_owned()))
    };
    let fields = form.all("Details.Fields").filter(|text| !text.is_empty());
    let fields = fields.map(|text| line(text).ok_or_else(|| wrong("Details.Fields", "must each be {\"label\": …, \"value\": …}")));
    Ok(NewChallenge {
        expires_at,
        message: form.text("Details.Message").map(str::to_owned),
        fields: fields.collect::<Result<_, _>>()?,
        hidden_details: form.json("HiddenDetails")?,
    })
}

fn shown(within: &Within, entity: &Entity, challenge: &Challenge) -> Value {
    let sid = sid::of(sid::CHALLENGE, challenge.id);
    let path = format!("Entities/{}/Challenges/{sid}", entity.identity.as_str());
    json!({
        "sid": sid,
        "account_sid": within.account.sid(),
        "service_sid": within.service.sid,
        "entity_sid": sid::of(sid::ENTITY, entity.id),
        "identity": entity.identity.as_str(),
        "factor_sid": sid::of(sid::FACTOR, challenge.factor),
        "date_created": iso(challenge.created_at),
        "date_updated": iso(challenge.updated_at),
        "date_responded": challenge.answered_at.map(iso),
        "expiration_date": iso(challenge.expires_at),
        "status": challenge.status.as_str(),
        "responded_reason": "none",
        "details": challenge.details,
        "hidden_details": challenge.hidden_details,
        "metadata": challenge.metadata,
        "factor_type": "totp",
        "url": within.url(&path),
        "links": { "notifications": within.url(&format!("{path}/Notifications")) },
    })
}
