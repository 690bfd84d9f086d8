//! Accounts, for operators: a client whose key says so, of the service that the people belong to.

use axum::Json;
use serde::Deserialize;
use uuid::Uuid;

use crate::account::Accounts;
use crate::account::operator::{By, Change, Operator};
use crate::db::client::Scope;
use crate::http::extract::{Authenticated, IdPath, StrictJson, StrictQuery};
use crate::http::login::person::People;
use crate::http::problem::{Problem, ProblemBody, ProblemCode};
use crate::http::v1::account_bodies::{AccountBody, AccountListBody, AccountSessionsBody, ChangeBody, EndedSessionsBody};

/// The accounts, to a client that may; and who it is.
fn operator(accounts: &Accounts, caller: Authenticated, scope: Scope) -> Result<(Operator, By), Problem> {
    let caller = caller.caller(scope, None)?;
    if caller.service != accounts.settings.service {
        return Err(Problem::new(ProblemCode::Forbidden).detail("The people are another service's."));
    }
    Ok((accounts.operator(), caller.client.map_or(By::Machine, By::Client)))
}

/// Whom to list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsQuery {
    identifier: Option<String>,
    limit: Option<u8>,
    before: Option<Uuid>,
}

/// Find or list accounts
///
/// By a number or address: its owner first, then those who only claim it, at most 20. Without one all, the newest first, a page
/// at a time. Numbers and addresses are masked.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "Accounts", operation_id = "listAccounts",
    params(
        ("identifier" = Option<String>, Query, description = "Any spelling of a number or address; mind that + is %2B in a query.", min_length = 1, max_length = 254, format = "destination"),
        ("limit" = Option<u8>, Query, description = "1 to 100. Left out: 20. Without `identifier`.", minimum = 1, maximum = 100),
        ("before" = Option<Uuid>, Query, description = "`next_before` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = AccountListBody),
        (status = 400, description = "`invalid_body`: the query is not of this shape.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there are no accounts here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn list(
    People(accounts): People,
    caller: Authenticated,
    StrictQuery(query): StrictQuery<AccountsQuery>,
) -> Result<Json<AccountListBody>, Problem> {
    let (operator, _) = operator(&accounts, caller, Scope::AccountsRead)?;
    if let Some(identifier) = query.identifier {
        let found = operator.find(&accounts.spelled(&identifier)?).await?;
        return Ok(Json(AccountListBody { data: found.into_iter().map(Into::into).collect(), next_before: None }));
    }
    let limit = usize::from(query.limit.unwrap_or(20));
    if !(1..=100).contains(&limit) {
        return Err(Problem::new(ProblemCode::InvalidField).detail("limit must be from 1 to 100").field("limit"));
    }
    let mut found = operator.list(query.before, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_before = found.last().map(|overview| overview.account.id).filter(|_| more);
    Ok(Json(AccountListBody { data: found.into_iter().map(Into::into).collect(), next_before }))
}

/// Get an account
///
/// With what is enrolled.
#[utoipa::path(
    get, path = "/v1/accounts/{id}", tag = "Accounts", operation_id = "getAccount",
    params(("id" = uuid::Uuid, Path, description = "The account: `sub` of its tokens.")),
    responses(
        (status = 200, description = "The account.", body = AccountBody),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn get(People(accounts): People, IdPath(id): IdPath, caller: Authenticated) -> Result<Json<AccountBody>, Problem> {
    let (operator, _) = operator(&accounts, caller, Scope::AccountsRead)?;
    operator.show(id).await?.map(|overview| Json(overview.into())).ok_or_else(not_found)
}

/// Change an account
///
/// `disabled`: it may not sign in, its sessions and refresh tokens end at once, and its person is told. Roles stand in its next
/// access tokens.
#[utoipa::path(
    patch, path = "/v1/accounts/{id}", tag = "Accounts", operation_id = "changeAccount",
    params(("id" = uuid::Uuid, Path, description = "The account.")), request_body = ChangeBody,
    responses(
        (status = 200, description = "The account as it is now.", body = AccountBody),
        (status = 400, description = "`invalid_body`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn change(
    People(accounts): People,
    IdPath(id): IdPath,
    caller: Authenticated,
    StrictJson(body): StrictJson<ChangeBody>,
) -> Result<Json<AccountBody>, Problem> {
    let (operator, by) = operator(&accounts, caller, Scope::AccountsWrite)?;
    let change = Change::new(body.status.map(|status| status.is_active()), body.roles)?;
    let changed = operator.change(by, id, &change, accounts.clock.now()).await?;
    changed.map(|overview| Json(overview.into())).ok_or_else(not_found)
}

/// List somebody's sessions
#[utoipa::path(
    get, path = "/v1/accounts/{id}/sessions", tag = "Accounts", operation_id = "listAccountSessions",
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses(
        (status = 200, description = "All that live, the newest first.", body = AccountSessionsBody),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn sessions(People(accounts): People, IdPath(id): IdPath, caller: Authenticated) -> Result<Json<AccountSessionsBody>, Problem> {
    let (operator, _) = operator(&accounts, caller, Scope::AccountsRead)?;
    let sessions = operator.sessions(id, accounts.clock.now()).await?.ok_or_else(not_found)?;
    Ok(Json(AccountSessionsBody { data: sessions.into_iter().map(Into::into).collect() }))
}

/// Sign somebody out everywhere
///
/// Ends every session and refresh token of the account, and every sign-in under way.
#[utoipa::path(
    delete, path = "/v1/accounts/{id}/sessions", tag = "Accounts", operation_id = "endAccountSessions",
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses(
        (status = 200, description = "How many ended.", body = EndedSessionsBody),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn end_sessions(People(accounts): People, IdPath(id): IdPath, caller: Authenticated) -> Result<Json<EndedSessionsBody>, Problem> {
    let (operator, by) = operator(&accounts, caller, Scope::AccountsWrite)?;
    let ended = operator.end_sessions(by, id, accounts.clock.now()).await?.ok_or_else(not_found)?;
    Ok(Json(EndedSessionsBody { ended }))
}

fn not_found() -> Problem {
    Problem::new(ProblemCode::NotFound)
}
