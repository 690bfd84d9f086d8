//! Buckets of a rate limit: so many starts in so many seconds, for each value.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use crate::app::App;
use crate::db::client::Scope;
use crate::db::rate_limit::{Added, Bucket, RateLimitTable};
use crate::http::twilio::form::{Fields, Form};
use crate::http::twilio::paging::Paging;
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::within::Within;
use crate::http::twilio::{face, sid};

use super::view;

/// Buckets of one limit.
const BUCKETS_MAX: u32 = 20;
/// The longest interval, in seconds: 31 days.
const SECONDS_MAX: u32 = 31 * 24 * 3600;
/// The most starts in an interval.
const MOST: u32 = 1_000_000;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/Services/{service}/RateLimits/{limit}/Buckets", get(list).post(create))
        .route("/v2/Services/{service}/RateLimits/{limit}/Buckets/{bucket}", get(fetch).post(update).delete(remove))
}

async fn list(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, limit)): Path<(String, String)>,
    paging: Paging,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let table = &face(&app)?.limits;
    let limit = super::find(table, &within, &limit).await?;
    let buckets = table.buckets_of(&limit.sid).await?;
    Ok(paging.answer_of_all("buckets", buckets.iter().map(|bucket| view::bucket(&within, &limit.sid, bucket)).collect()))
}

async fn create(
    State(app): State<Arc<App>>,
    within: Within,
    Path((_, limit)): Path<(String, String)>,
    Form(form): Form,
) -> Result<Response, Refusal> {
    within.account.may(Scope::Services)?;
    let table = &face(&app)?.limits;
    let limit = super::find(table, &within, &limit).await?;
    let (most, seconds) = numbers(&form)?;
    let now = app.engine.clock.now();
    let bucket = Bucket {
        sid: sid::random(sid::BUCKET, app.entropy()),
        most: most.ok_or_else(|| Refusal::invalid("Max", "is missing"))?,
        seconds: seconds.ok_or_else(|| Refusal::invalid("Interval", "is missing"))?,
        created_at: now,
        updated_at: now,
    };
    settled(&within, table.add_bucket(&within.service.sid, &limit.sid, &bucket, BUCKETS_MAX).await?)?;
    Ok((StatusCode::CREATED, Json(view::bucket(&within, &limit.sid, &bucket))).into_response())
}

async fn fetch(State(app): State<Arc<App>>, within: Within, Path(named): Path<(String, String, String)>) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    let (limit_sid, bucket) = find(&face(&app)?.limits, &within, &named).await?;
    Ok(Json(view::bucket(&within, &limit_sid, &bucket)))
}

async fn update(
    State(app): State<Arc<App>>,
    within: Within,
    Path(named): Path<(String, String, String)>,
    Form(form): Form,
) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Services)?;
    let table = &face(&app)?.limits;
    let (limit_sid, mut bucket) = find(table, &within, &named).await?;
    let (most, seconds) = numbers(&form)?;
    bucket.most = most.unwrap_or(bucket.most);
    bucket.seconds = seconds.unwrap_or(bucket.seconds);
    bucket.updated_at = app.engine.clock.now();
    settled(&within, table.set_bucket(&limit_sid, &bucket.sid, bucket.most, bucket.seconds, bucket.updated_at).await?)?;
    Ok(Json(view::bucket(&within, &limit_sid, &bucket)))
}

async fn remove(State(app): State<Arc<App>>, within: Within, Path(named): Path<(String, String, String)>) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Services)?;
    let table = &face(&app)?.limits;
    let (limit_sid, bucket) = find(table, &within, &named).await?;
    if table.remove_bucket(&limit_sid, &bucket.sid).await? { Ok(StatusCode::NO_CONTENT) } else { Err(within.not_found()) }
}

async fn find(table: &RateLimitTable, within: &Within, (_, limit, bucket): &(String, String, String)) -> Result<(String, Bucket), Refusal> {
    let limit = super::find(table, within, limit).await?;
    let sid = sid::canonical(sid::BUCKET, bucket).ok_or_else(|| within.not_found())?;
    let found = table.buckets_of(&limit.sid).await?.into_iter().find(|bucket| bucket.sid == sid);
    Ok((limit.sid, found.ok_or_else(|| within.not_found())?))
}

fn numbers(form: &Fields) -> Result<(Option<u32>, Option<u32>), Refusal> {
    Ok((form.number("Max", 1..=MOST)?, form.number("Interval", 1..=SECONDS_MAX)?))
}

fn settled(within: &Within, added: Added) -> Result<(), Refusal> {
    match added {
        Added::Done => Ok(()),
        Added::TooMany => Err(Refusal::new(StatusCode::BAD_REQUEST, 60210, format!("A rate limit may have {BUCKETS_MAX} buckets"))),
        Added::Exists => Err(Refusal::new(StatusCode::BAD_REQUEST, 60211, "A bucket with this Interval exists")),
        Added::NotFound => Err(within.not_found()),
    }
}
