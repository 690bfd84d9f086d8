//! Authenticator apps, passkeys and recovery codes of the person who is signed in.

use axum::Json;
use axum::http::StatusCode;

use crate::account::factors::Enrolled;
use crate::account::model::Method;
use crate::http::extract::{IdPath, StrictJson};
use crate::http::login::json::answers::{FactorListBody, MessageBody, NewTotpBody, RecoveryCodesBody};
use crate::http::login::json::bodies::{ConfirmTotpBody, NewPasskeyBody};
use crate::http::login::json::refusals::{BodyRefusals, PersonRefusals, wrong};
use crate::http::login::person::{People, Person};
use crate::http::problem::{Problem, ProblemBody, ProblemCode};

/// List factors
#[utoipa::path(
    get, path = "/auth/factors", tag = "Account", operation_id = "listFactors",
    responses((status = 200, description = "Those that count.", body = FactorListBody), PersonRefusals),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn list(People(accounts): People, person: Person) -> Result<Json<FactorListBody>, Problem> {
    let (codes, others): (Vec<_>, Vec<_>) =
        accounts.factors(&person.current).await?.into_iter().partition(|factor| factor.method == Method::RecoveryCode);
    let data = others.into_iter().map(Into::into).collect();
    Ok(Json(FactorListBody { data, recovery_codes_left: codes.len(), passkeys: accounts.passkeys_work() }))
}

/// Set up an authenticator app
///
/// It counts from its first code on, which has to come within ten minutes.
#[utoipa::path(
    post, path = "/auth/factors/totp", tag = "Account", operation_id = "beginTotp",
    responses(
        (status = 201, description = "What the app needs. Shown once.", body = NewTotpBody),
        (status = 409, description = "`flow_ended`: there are too many.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn begin_totp(People(accounts): People, person: Person) -> Result<(StatusCode, Json<NewTotpBody>), Problem> {
    let new = done(accounts.begin_totp(&person.current).await?)?;
    Ok((StatusCode::CREATED, Json(NewTotpBody { id: new.id, secret: new.secret, uri: new.uri, qr: new.qr })))
}

/// The first code of an authenticator app
#[utoipa::path(
    post, path = "/auth/factors/totp/confirm", tag = "Account", operation_id = "confirmTotp", request_body = ConfirmTotpBody,
    responses(
        (status = 200, description = "It is a factor now.", body = MessageBody),
        PersonRefusals,
        BodyRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn confirm_totp(
    People(accounts): People,
    person: Person,
    StrictJson(body): StrictJson<ConfirmTotpBody>,
) -> Result<Json<MessageBody>, Problem> {
    let name = body.name.unwrap_or_default();
    done(accounts.confirm_totp(&person.visitor, &person.current, body.id, &name, &body.code.0).await?)?;
    Ok(Json(MessageBody { message: "Added", method: Some(Method::Totp) }))
}

/// Set up a passkey
#[utoipa::path(
    post, path = "/auth/factors/passkey/options", tag = "Account", operation_id = "beginPasskey",
    responses(
        (status = 200, description = "For `navigator.credentials.create`.", body = serde_json::Value),
        (status = 409, description = "`flow_ended`: there are too many, or browsers offer none here.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn begin_passkey(People(accounts): People, person: Person) -> Result<Json<serde_json::Value>, Problem> {
    done(accounts.begin_passkey(&person.current).await?).map(Json)
}

/// A passkey that was made
#[utoipa::path(
    post, path = "/auth/factors/passkey", tag = "Account", operation_id = "addPasskey", request_body = NewPasskeyBody,
    responses(
        (status = 200, description = "It is a factor now.", body = MessageBody),
        (status = 409, description = "`flow_ended`: browsers offer none here.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
        BodyRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn confirm_passkey(
    People(accounts): People,
    person: Person,
    StrictJson(body): StrictJson<NewPasskeyBody>,
) -> Result<Json<MessageBody>, Problem> {
    let (name, answer) = (body.name.unwrap_or_default(), body.credential.to_string());
    done(accounts.confirm_passkey(&person.visitor, &person.current, &name, &answer).await?)?;
    Ok(Json(MessageBody { message: "Added", method: Some(Method::Passkey) }))
}

/// Remove a factor
#[utoipa::path(
    delete, path = "/auth/factors/{id}", tag = "Account", operation_id = "removeFactor",
    params(("id" = uuid::Uuid, Path, description = "The factor.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn remove(People(accounts): People, IdPath(id): IdPath, person: Person) -> Result<StatusCode, Problem> {
    match accounts.remove_factor(&person.visitor, &person.current, id).await? {
        Enrolled::Wrong => Err(Problem::new(ProblemCode::NotFound)),
        removed => done(removed).map(|()| StatusCode::NO_CONTENT),
    }
}

/// Make recovery codes
///
/// Ten, each good once in place of a second factor. Earlier ones are dead.
#[utoipa::path(
    post, path = "/auth/recovery-codes", tag = "Account", operation_id = "makeRecoveryCodes",
    responses(
        (status = 201, description = "Shown once.", body = RecoveryCodesBody),
        (status = 429, description = "`limited`: see `Retry-After`.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn recovery_codes(People(accounts): People, person: Person) -> Result<(StatusCode, Json<RecoveryCodesBody>), Problem> {
    let codes = done(accounts.make_recovery_codes(&person.visitor, &person.current).await?)?;
    Ok((StatusCode::CREATED, Json(RecoveryCodesBody { codes })))
}

fn done<T>(enrolled: Enrolled<T>) -> Result<T, Problem> {
    match enrolled {
        Enrolled::Done(done) => Ok(done),
        Enrolled::NotFresh => Err(Problem::new(ProblemCode::ConfirmationRequired)),
        Enrolled::Wrong => Err(wrong()),
        Enrolled::Limited(limited) => Err(limited.into()),
        Enrolled::Impossible => {
            Err(Problem::new(ProblemCode::FlowEnded).detail("There are too many of this kind, or browsers offer none here."))
        }
    }
}
