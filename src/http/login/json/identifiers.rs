//! Numbers and addresses of the person who is signed in. One counts from its proof on, and not before.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::account::identifiers::{Claimed, IdentifierProved, IdentifierRemoved};
use crate::http::extract::{IdPath, StrictJson};
use crate::http::login::json::answers::{IdentifierItem, IdentifierList, MessageBody};
use crate::http::login::json::bodies::{CodeBody, IdentifierBody};
use crate::http::login::json::refusals::{BodyRefusals, PersonRefusals, wrong};
use crate::http::login::person::{People, Person};
use crate::http::problem::{Problem, ProblemBody, ProblemCode};

/// List numbers and addresses
#[utoipa::path(
    get, path = "/auth/identifiers", tag = "Account", operation_id = "listIdentifiers",
    responses((status = 200, description = "All of them.", body = IdentifierList), PersonRefusals),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn list(People(accounts): People, person: Person) -> Result<Json<IdentifierList>, Problem> {
    let data = accounts.identifiers(&person.current).await?.into_iter().map(Into::into).collect();
    Ok(Json(IdentifierList { data }))
}

/// Add a number or address
///
/// Sends a code there; asked again, sends it again.
#[utoipa::path(
    post, path = "/auth/identifiers", tag = "Account", operation_id = "addIdentifier", request_body = IdentifierBody,
    responses(
        (status = 201, description = "A code is on its way.", body = IdentifierItem),
        (status = 200, description = "It is the account's own already.", body = IdentifierItem),
        PersonRefusals,
        BodyRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn add(People(accounts): People, person: Person, StrictJson(body): StrictJson<IdentifierBody>) -> Result<Response, Problem> {
    match accounts.add_identifier(&person.visitor, &person.current, &body.identifier).await? {
        Claimed::Sent { identifier, resend_after } => {
            let item = IdentifierItem { resend_after: Some(resend_after.to_string()), ..IdentifierItem::from(*identifier) };
            Ok((StatusCode::CREATED, Json(item)).into_response())
        }
        Claimed::Owned(identifier) => Ok(Json(IdentifierItem::from(*identifier)).into_response()),
        Claimed::NotFresh => Err(Problem::new(ProblemCode::ConfirmationRequired)),
        Claimed::Invalid(invalid) => Err(invalid.into()),
        Claimed::Limited(limited) => Err(limited.into()),
    }
}

/// Prove a number or address
///
/// By the code that was sent there. What others claimed of it without proof is theirs no more.
#[utoipa::path(
    post, path = "/auth/identifiers/{id}/verify", tag = "Account", operation_id = "proveIdentifier", request_body = CodeBody,
    params(("id" = uuid::Uuid, Path, description = "The number or address.")),
    responses(
        (status = 200, description = "The account owns it now.", body = MessageBody),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`identifier_taken`.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
        BodyRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn verify(
    People(accounts): People,
    IdPath(id): IdPath,
    person: Person,
    StrictJson(body): StrictJson<CodeBody>,
) -> Result<Json<MessageBody>, Problem> {
    let own = accounts.identifiers(&person.current).await?;
    if own.iter().all(|identifier| identifier.id != id) {
        return Err(Problem::new(ProblemCode::NotFound));
    }
    match accounts.prove_identifier(&person.visitor, &person.current, id, &body.code.0).await? {
        IdentifierProved::Done => Ok(Json(MessageBody { message: "Verified", method: None })),
        IdentifierProved::Wrong => Err(wrong()),
        IdentifierProved::OfAnother => Err(Problem::new(ProblemCode::IdentifierTaken)),
        IdentifierProved::Limited(limited) => Err(limited.into()),
        IdentifierProved::NotJudged => Err(Problem::not_judged()),
    }
}

/// Remove a number or address
///
/// It is told, like all the others.
#[utoipa::path(
    delete, path = "/auth/identifiers/{id}", tag = "Account", operation_id = "removeIdentifier",
    params(("id" = uuid::Uuid, Path, description = "The number or address.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`last_identifier`.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn remove(People(accounts): People, IdPath(id): IdPath, person: Person) -> Result<StatusCode, Problem> {
    match accounts.remove_identifier(&person.visitor, &person.current, id).await? {
        IdentifierRemoved::Done => Ok(StatusCode::NO_CONTENT),
        IdentifierRemoved::NotFresh => Err(Problem::new(ProblemCode::ConfirmationRequired)),
        IdentifierRemoved::LastOne => Err(Problem::new(ProblemCode::LastIdentifier)),
        IdentifierRemoved::NotFound => Err(Problem::new(ProblemCode::NotFound)),
    }
}
