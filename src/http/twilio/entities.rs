//! Entities: `/v2/Services/{service}/Entities`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::App;
use crate::db::client::Scope;
use crate::entity::model::{Entity, Identity};
use crate::entity::{Entities, EntityError};
use crate::http::problem::Problem;
use crate::http::twilio::date::iso;
use crate::http::twilio::form::Form;
use crate::http::twilio::paging::Paging;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::http::twilio::within::Within;
use crate::verification::request::InvalidField;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/Services/{service}/Entities", get(list).post(create))
        .route("/v2/Services/{service}/Entities/{identity}", get(fetch).delete(remove))
}

async fn create(State(app): State<Arc<App>>, within: Within, Form(form): Form) -> Result<(StatusCode, Json<Value>), Refusal> {
    within.account.may(Scope::Write)?;
    let identity = identity(form.required("Identity")?)?;
    match entities(&app)?.entity_or_new(&within.service.name, &identity).await? {
        (entity, true) => Ok((StatusCode::CREATED, Json(shown(&within, &entity)))),
        (_, false) => Err(Refusal::new(StatusCode::CONFLICT, 60301, "Entity already exists")),
    }
}

async fn list(State(app): State<Arc<App>>, within: Within, paging: Paging) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let found = entities(&app)?.entities(&within.service.name, paging.offset(), paging.limit()).await?;
    Ok(paging.answer("entities", found.iter().map(|entity| shown(&within, entity)).collect()))
}

async fn fetch(State(app): State<Arc<App>>, within: Within, Path((_, name)): Path<(String, String)>) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    Ok(Json(shown(&within, &found(&app, &within, &name).await?)))
}

async fn remove(State(app): State<Arc<App>>, within: Within, Path((_, name)): Path<(String, String)>) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Write)?;
    match entities(&app)?.remove_entity(&within.service.name, &name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(within.not_found()),
    }
}

/// Entities, where this API is served.
pub(super) fn entities(app: &App) -> Result<&Arc<Entities>, Refusal> {
    app.twilio.as_ref().map(|face| &face.entities).ok_or_else(|| Refusal::failed("no entities without this API"))
}

/// The entity of that name in the service, or 20404.
pub(super) async fn found(app: &App, within: &Within, name: &str) -> Result<Entity, Refusal> {
    entities(app)?.entity(&within.service.name, name).await?.ok_or_else(|| within.not_found())
}

pub(super) fn identity(text: &str) -> Result<Identity, Refusal> {
    let rule = "must be 8 to 64 letters, digits and dashes";
    Identity::parse(text).ok_or_else(|| invalid(&InvalidField::new("Identity", rule)))
}

/// 60300: what breaks a rule about entities, factors and challenges.
pub(super) fn invalid(invalid: &InvalidField) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, 60300, format!("Invalid parameter `{}`: {}", invalid.field, invalid.rule))
}

fn shown(within: &Within, entity: &Entity) -> Value {
    let path = format!("Entities/{}", entity.identity.as_str());
    json!({
        "sid": sid::of(sid::ENTITY, entity.id),
        "identity": entity.identity.as_str(),
        "account_sid": within.account.sid(),
        "service_sid": within.service.sid,
        "date_created": iso(entity.created_at),
        "date_updated": iso(entity.created_at),
        "url": within.url(&path),
        "links": {
            "factors": within.url(&format!("{path}/Factors")),
            "new_factors": within.url(&format!("{path}/Factors")),
            "challenges": within.url(&format!("{path}/Challenges")),
        },
    })
}

impl From<EntityError> for Refusal {
    fn from(error: EntityError) -> Refusal {
        // Fail closed: nothing was judged (OPS-01).
        Problem::from(error).into()
    }
}
