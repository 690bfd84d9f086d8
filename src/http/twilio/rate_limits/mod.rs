//! `/v2/Services/{sid}/RateLimits` and their buckets: limits that callers make for themselves. A start names a value for each, and
//! takes from them together with ours, or from none (ATT-10).

mod buckets;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use crate::app::App;
use crate::db::client::Scope;
use crate::db::rate_limit::{Added, RateLimit, RateLimitTable};
use crate::http::twilio::form::{Fields, Form};
use crate::http::twilio::paging::Paging;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::within::Within;
use crate::http::twilio::{face, sid};
use crate::verification::limit::Quota;
use crate::verification::request::OwnLimit;

/// Limits of one service.
const LIMITS_MAX: u32 = 20;
/// Characters of a value, and of a description.
const VALUE_MAX: usize = 255;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/Services/{service}/RateLimits", get(list).post(create))
        .route("/v2/Services/{service}/RateLimits/{limit}", get(fetch).post(update).delete(remove))
        .merge(buckets::router())
}

/// The limits that a start takes from: those of the names that it gives a value for. Other names mean nothing, as there.
pub async fn asked_for(app: &App, within: &Within, form: &Fields) -> Result<Vec<OwnLimit>, Refusal> {
    let values = form.map("RateLimits")?;
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let table = &face(app)?.limits;
    let mut taken = Vec::new();
    for limit in table.of(&within.service.sid).await? {
        let Some(value) = values.get(&limit.unique_name) else { continue };
        if value.chars().count() > VALUE_MAX {
            return Err(Refusal::invalid("RateLimits", "must have values of at most 255 characters"));
        }
        for bucket in table.buckets_of(&limit.sid).await? {
            let quota = Quota { count: bucket.most, per: Duration::from_secs(u64::from(bucket.seconds)) };
            taken.push(OwnLimit { name: bucket.sid, value: value.clone(), quota });
        }
    }
    Ok(taken)
}

async fn list(State(app): State<Arc<App>>, within: Within, paging: Paging) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let limits = face(&app)?.limits.of(&within.service.sid).await?;
    Ok(paging.answer_of_all("rate_limits", limits.iter().map(|limit| view::limit(&within, limit)).collect()))
}

async fn create(State(app): State<Arc<App>>, within: Within, Form(form): Form) -> Result<Response, Refusal> {
    within.account.may(Scope::Services)?;
    let name = form.required("UniqueName")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > 64 || !name.bytes().all(plain) {
        let rule = "UniqueName must have at most 64 of A-Z, a-z, 0-9, '.', '_' and '-'";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 60209, rule));
    }
    let now = app.engine.clock.now();
    let limit = RateLimit {
        sid: sid::random(sid::RATE_LIMIT, app.entropy()),
        unique_name: name.to_owned(),
        description: description(&form)?.unwrap_or_default(),
        created_at: now,
        updated_at: now,
    };
    match face(&app)?.limits.add(&within.service.sid, &limit, LIMITS_MAX).await? {
        Added::Done => Ok((StatusCode::CREATED, Json(view::limit(&within, &limit))).into_response()),
        Added::TooMany => Err(Refusal::new(StatusCode::BAD_REQUEST, 60207, format!("A service may have {LIMITS_MAX} rate limits"))),
        Added::Exists => Err(Refusal::new(StatusCode::BAD_REQUEST, 60208, "A rate limit with this UniqueName exists")),
        Added::NotFound => Err(within.not_found()),
    }
}

async fn fetch(State(app): State<Arc<App>>, within: Within, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let limit = find(&face(&app)?.limits, &within, &named).await?;
    Ok(Json(view::limit(&within, &limit)))
}

async fn update(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, named)): Path<(String, String)>,
    Form(form): Form,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Services)?;
    let table = &face(&app)?.limits;
    let mut limit = find(table, &within, &named).await?;
    if let Some(description) = description(&form)? {
        limit.description = description;
        limit.updated_at = app.engine.clock.now();
        table.describe(&within.service.sid, &limit.sid, &limit.description, limit.updated_at).await?;
    }
    Ok(Json(view::limit(&within, &limit)))
}

async fn remove(State(app): State<Arc<App>>, within: Within, Path((_, named)): Path<(String, String)>) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Services)?;
    let table = &face(&app)?.limits;
    let limit = find(table, &within, &named).await?;
    if table.remove(&within.service.sid, &limit.sid).await? { Ok(StatusCode::NO_CONTENT) } else { Err(within.not_found()) }
}

/// The limit with that SID, if it is this service's (OPS-07).
async fn find(table: &RateLimitTable, within: &Within, named: &str) -> Result<RateLimit, Refusal> {
    let sid = sid::canonical(sid::RATE_LIMIT, named).ok_or_else(|| within.not_found())?;
    let limits = table.of(&within.service.sid).await?;
    limits.into_iter().find(|limit| limit.sid == sid).ok_or_else(|| within.not_found())
}

fn description(form: &Fields) -> Result<Option<String>, Refusal> {
    match form.text("Description") {
        Some(text) if text.chars().count() > VALUE_MAX || text.chars().any(char::is_control) => {
            Err(Refusal::invalid("Description", "must have at most 255 characters on one line"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}
