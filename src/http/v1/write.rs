//! Start, check, resend, cancel, release.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::app::App;
use crate::db::client::Scope;
use crate::http::extract::{Authenticated, IdPath, StrictJson};
use crate::http::problem::{Problem, ProblemBody, ProblemCode};
use crate::http::v1::bodies::{
    CheckBody, CheckDestinationBody, CheckedBody, ReleaseBody, ReleasedBody, ResendBody, StartBody, VerificationBody,
};
use crate::verification::engine::{Started, Verdict};
use crate::verification::request::{StartRequest, Which};
use crate::verification::store::{Checked, Snapshot};

/// Start a verification
///
/// Makes a code and sends it. The answer does not wait for the provider: `delivery` and the timeline tell how far the
/// message got. The same `Idempotency-Key` with the same request gives the same answer again, for 24 hours, and sends
/// nothing twice.
#[utoipa::path(
    post, path = "/v1/verifications", tag = "Verifications", operation_id = "startVerification",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters.", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$")),
    request_body = StartBody,
    responses(
        (status = 201, description = "A message is on its way.", body = VerificationBody, headers(("Location" = String, description = "The verification."))),
        (status = 400, description = "`invalid_body`: not JSON, or not of this shape.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`: no valid key.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the key lacks the scope.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`: more than 64 KiB.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`: not application/json.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`, `idempotency_key_reused`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`limited`: see `Retry-After`, `RateLimit` and `RateLimit-Policy`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: try again soon.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn start(
    State(app): State<Arc<App>>,
    caller: Authenticated,
    StrictJson(body): StrictJson<StartBody>,
) -> Result<impl IntoResponse, Problem> {
    let caller = caller.caller(Scope::Write, body.ip)?;
    let request = StartRequest {
        to: body.to,
        channel: body.channel,
        purpose: body.purpose,
        locale: body.locale,
        code: body.code.map(|code| code.0),
        subject: body.subject,
        metadata: body.metadata,
        ..StartRequest::default()
    };
    let snapshot = sending(app.engine.start(&caller, request, body.wait).await?)?;
    let location = format!("/v1/verifications/{}", snapshot.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(VerificationBody::from(snapshot))))
}

/// Check a code
///
/// A wrong code is no error: it answers 200 with `valid: false`. So does a verification that has ended; `status` tells
/// which way.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/check", tag = "Verifications", operation_id = "checkVerification",
    params(
        ("id" = uuid::Uuid, Path, description = "The verification."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters.", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$"),
    ),
    request_body = CheckBody,
    responses(
        (status = 200, description = "The verdict.", body = CheckedBody),
        (status = 400, description = "`invalid_body`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such verification in this service.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`idempotency_key_in_flight`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`, `idempotency_key_reused`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`limited`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn check(
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
    caller: Authenticated,
    StrictJson(body): StrictJson<CheckBody>,
) -> Result<Json<CheckedBody>, Problem> {
    let caller = caller.caller(Scope::Write, body.ip)?;
    let verdict = app.engine.check(&caller, Which::Id(id), &body.code.0).await?;
    judged(verdict).map(|checked| Json(checked.into()))
}

/// Check a code by destination
///
/// For callers that keep no id: means the newest pending verification to that destination for that purpose. Prefer the id
/// where you can: by destination, whoever starts a newer one moves the target.
#[utoipa::path(
    post, path = "/v1/verifications/check", tag = "Verifications", operation_id = "checkDestination",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters.", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$")),
    request_body = CheckDestinationBody,
    responses(
        (status = 200, description = "The verdict.", body = CheckedBody),
        (status = 400, description = "`invalid_body`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: none is pending.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`idempotency_key_in_flight`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`, `idempotency_key_reused`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`limited`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn check_destination(
    State(app): State<Arc<App>>,
    caller: Authenticated,
    StrictJson(body): StrictJson<CheckDestinationBody>,
) -> Result<Json<CheckedBody>, Problem> {
    let caller = caller.caller(Scope::Write, body.ip)?;
    let which = Which::To { to: body.to, purpose: body.purpose };
    let verdict = app.engine.check(&caller, which, &body.code.0).await?;
    judged(verdict).map(|checked| Json(checked.into()))
}

/// Send again
///
/// A new code under the same id (or the same code, where the service says so). The checks that remain are not renewed, and
/// the code before is dead.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/resend", tag = "Verifications", operation_id = "resendVerification",
    params(
        ("id" = uuid::Uuid, Path, description = "The verification."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters.", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$"),
    ),
    request_body = ResendBody,
    responses(
        (status = 200, description = "A message is on its way.", body = VerificationBody),
        (status = 400, description = "`invalid_body`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`verification_ended`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`, `idempotency_key_reused`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`limited`: too soon, or too many.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn resend(
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
    caller: Authenticated,
    StrictJson(body): StrictJson<ResendBody>,
) -> Result<Json<VerificationBody>, Problem> {
    let caller = caller.caller(Scope::Write, body.ip)?;
    let started = app.engine.resend(&caller, id, body.channel, body.code.map(|code| code.0), body.wait).await?;
    sending(started).map(|snapshot| Json(snapshot.into()))
}

/// Call off
///
/// The code is dead from then on. One that has ended before stays as it is, and is answered as it stands.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/cancel", tag = "Verifications", operation_id = "cancelVerification",
    params(("id" = uuid::Uuid, Path, description = "The verification.")),
    responses(
        (status = 200, description = "The verification as it stands.", body = VerificationBody),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn cancel(State(app): State<Arc<App>>, IdPath(id): IdPath, caller: Authenticated) -> Result<Json<VerificationBody>, Problem> {
    let caller = caller.caller(Scope::Write, None)?;
    let snapshot = app.engine.cancel(&caller, id).await?;
    snapshot.map(|snapshot| Json(snapshot.into())).ok_or_else(|| Problem::new(ProblemCode::NotFound))
}

/// Forgive wrong codes
///
/// After many wrong codes in a row a destination has to wait, and in the end is closed. This opens it again: call it when
/// you have proven the person in another way.
#[utoipa::path(
    post, path = "/v1/failures/release", tag = "Operation", operation_id = "releaseFailures",
    request_body = ReleaseBody,
    responses(
        (status = 200, description = "Done.", body = ReleasedBody),
        (status = 400, description = "`invalid_body`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_field`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("client_key" = [])),
)]
pub async fn release(
    State(app): State<Arc<App>>,
    caller: Authenticated,
    StrictJson(body): StrictJson<ReleaseBody>,
) -> Result<Json<ReleasedBody>, Problem> {
    let caller = caller.caller(Scope::Release, None)?;
    let released = app.engine.release(&caller, &body.to, body.subject).await??;
    Ok(Json(ReleasedBody { released }))
}

fn sending(started: Started) -> Result<Snapshot, Problem> {
    match started {
        Started::Sending(snapshot) => Ok(snapshot),
        Started::Limited(limited) => Err(limited.into()),
        Started::Invalid(invalid) => Err(invalid.into()),
        Started::IdempotencyKeyReused => Err(Problem::new(ProblemCode::IdempotencyKeyReused)),
        Started::NotFound => Err(Problem::new(ProblemCode::NotFound)),
        Started::Ended(status) => {
            Err(Problem::new(ProblemCode::VerificationEnded).detail(format!("It is {}: start a new one.", status.as_str())))
        }
    }
}

fn judged(verdict: Verdict) -> Result<Checked, Problem> {
    match verdict {
        Verdict::Judged(checked) => Ok(checked),
        Verdict::NotFound => Err(Problem::new(ProblemCode::NotFound)),
        Verdict::Limited(limited) => Err(limited.into()),
        Verdict::Invalid(invalid) => Err(invalid.into()),
        Verdict::NotJudged => Err(Problem::not_judged()),
        Verdict::IdempotencyKeyInFlight => {
            Err(Problem::new(ProblemCode::IdempotencyKeyInFlight).retry_after(std::time::Duration::from_secs(1)))
        }
        Verdict::IdempotencyKeyReused => Err(Problem::new(ProblemCode::IdempotencyKeyReused)),
    }
}
