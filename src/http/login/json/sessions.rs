//! Where a person is signed in, and the end of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::http::extract::IdPath;
use crate::http::login::browser::{Browser, Cookie, SetCookies};
use crate::http::login::json::answers::{EndedBody, MessageBody, SessionItem, SessionListBody};
use crate::http::login::json::refusals::PersonRefusals;
use crate::http::login::person::{People, Person};
use crate::http::problem::{Problem, ProblemBody, ProblemCode};

/// List sessions
#[utoipa::path(
    get, path = "/auth/sessions", tag = "Account", operation_id = "listSessions",
    responses((status = 200, description = "All of the account.", body = SessionListBody), PersonRefusals),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn list(People(accounts): People, person: Person) -> Result<Json<SessionListBody>, Problem> {
    let own = person.current.session.id;
    let data = accounts.sessions(&person.current).await?.into_iter().map(|session| SessionItem::new(session, own)).collect();
    Ok(Json(SessionListBody { data }))
}

/// End a session
///
/// Its refresh tokens die with it, and its access tokens are good for nothing here.
#[utoipa::path(
    delete, path = "/auth/sessions/{id}", tag = "Account", operation_id = "endSession",
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses(
        (status = 204, description = "It has ended."),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn end(People(accounts): People, IdPath(id): IdPath, person: Person) -> Result<StatusCode, Problem> {
    match accounts.end_session(&person.visitor, &person.current, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(ProblemCode::NotFound)),
    }
}

/// End all other sessions
#[utoipa::path(
    post, path = "/auth/sessions/revoke-others", tag = "Account", operation_id = "endOtherSessions",
    responses((status = 200, description = "How many ended.", body = EndedBody), PersonRefusals),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn end_others(People(accounts): People, person: Person) -> Result<Json<EndedBody>, Problem> {
    let ended = accounts.end_other_sessions(&person.visitor, &person.current).await?;
    Ok(Json(EndedBody { ended }))
}

/// Sign out
///
/// Ends the session, and whatever sign-in the browser has begun. Whoever is not signed in is so afterwards, too.
#[utoipa::path(
    post, path = "/auth/logout", tag = "Sign-in", operation_id = "signOut",
    responses(
        (status = 200, description = "Signed out.", body = MessageBody),
        (status = 403, description = "`cross_site`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security((), ("access_token" = []), ("session" = [])),
)]
pub async fn logout(
    State(app): State<Arc<App>>,
    People(accounts): People,
    person: Result<Person, Problem>,
    browser: Browser,
) -> Result<Response, Problem> {
    match person {
        Ok(person) => accounts.sign_out(&person.visitor, &person.current).await?,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {}
        Err(problem) => return Err(problem),
    }
    if let Some(flow) = &browser.flow {
        accounts.give_up(flow).await?;
    }
    let cookies = SetCookies::new(&app).clear(Cookie::Session).clear(Cookie::Flow);
    Ok((cookies, Json(MessageBody { message: "Signed out", method: None })).into_response())
}
