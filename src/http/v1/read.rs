//! Get and list.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use uuid::Uuid;

use crate::app::App;
use crate::db::client::Scope;
use crate::http::extract::{Authenticated, IdPath, StrictQuery};
use crate::http::problem::{Problem, ProblemBody, ProblemCode};
use crate::http::v1::bodies::{ListBody, TimelineBody, VerificationBody};

/// Get a verification
///
/// With its timeline: what happened to it, oldest first.
#[utoipa::path(
    get, path = "/v1/verifications/{id}", tag = "Verifications", operation_id = "getVerification",
    params(("id" = uuid::Uuid, Path, description = "The verification.")),
    responses(
        (status = 200, description = "The verification and its timeline.", body = TimelineBody),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn get(State(app): State<Arc<App>>, IdPath(id): IdPath, caller: Authenticated) -> Result<Json<TimelineBody>, Problem> {
    let caller = caller.caller(Scope::Read, None)?;
    let found = app.engine.get(&caller.service, id).await?;
    let (_, snapshot) = found.ok_or_else(|| Problem::new(ProblemCode::NotFound))?;
    let timeline = app.engine.timeline(id).await?.into_iter().map(Into::into).collect();
    Ok(Json(TimelineBody { verification: snapshot.into(), timeline }))
}

/// What to list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    to: String,
    limit: Option<u8>,
    before: Option<Uuid>,
}

/// List verifications to a destination
///
/// Newest first, a page at a time.
#[utoipa::path(
    get, path = "/v1/verifications", tag = "Verifications", operation_id = "listVerifications",
    params(
        ("to" = String, Query, description = "Any spelling of the destination; mind that + is %2B in a query.", min_length = 1, max_length = 254, format = "destination"),
        ("limit" = Option<u8>, Query, description = "1 to 100. Left out: 20.", minimum = 1, maximum = 100),
        ("before" = Option<Uuid>, Query, description = "`next_before` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = ListBody),
        (status = 400, description = "`invalid_body`: the query is not of this shape.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Authenticated,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<ListBody>, Problem> {
    let caller = caller.caller(Scope::Read, None)?;
    let limit = usize::from(query.limit.unwrap_or(20));
    if !(1..=100).contains(&limit) {
        return Err(Problem::new(ProblemCode::InvalidField).detail("limit must be from 1 to 100").field("limit"));
    }
    let mut snapshots = app.engine.list(&caller.service, &query.to, query.before, limit + 1).await??;
    let more = snapshots.len() > limit;
    snapshots.truncate(limit);
    let next_before = snapshots.last().map(|snapshot| snapshot.id).filter(|_| more);
    let data = snapshots.into_iter().map(VerificationBody::from).collect();
    Ok(Json(ListBody { data, next_before }))
}
