//! `POST /validate-code`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use crate::app::App;
use crate::http::camara::fault::{Fault, Refusal};
use crate::http::camara::{PURPOSE, read};
use crate::http::problem::{Problem, ProblemCode};
use crate::secret::Redacted;
use crate::verification::engine::Verdict;
use crate::verification::model::Status;

/// Longest id, in characters.
const AUTHENTICATION_ID_MAX: usize = 36;
/// Longest code, in characters.
const CODE_MAX: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ValidateCodeBody {
    authentication_id: String,
    code: Redacted<String>,
}

/// 204 to exactly one of those who come with the right code.
pub(super) async fn validate_code(State(app): State<Arc<App>>, request: Request) -> Result<StatusCode, Fault> {
    let (caller, ValidateCodeBody { authentication_id, code }) = read(request, &app).await?;
    if authentication_id.chars().count() > AUTHENTICATION_ID_MAX {
        return Err(Fault::invalid(format!("authenticationId must have at most {AUTHENTICATION_ID_MAX} characters")));
    }
    if code.expose().chars().count() > CODE_MAX {
        return Err(Fault::invalid(format!("code must have at most {CODE_MAX} characters")));
    }
    let unknown = || Fault::not_found("There is no such authenticationId.");
    let id = Uuid::try_parse(&authentication_id).map_err(|_| unknown())?;
    match app.engine.check_text(&caller, id, PURPOSE, code.expose()).await? {
        Verdict::Judged(checked) if checked.valid => Ok(StatusCode::NO_CONTENT),
        Verdict::Judged(checked) => Err(match checked.status {
            Status::Pending => Refusal::InvalidOtp,
            Status::Exhausted => Refusal::VerificationFailed,
            Status::Approved | Status::Canceled | Status::Expired => Refusal::VerificationExpired,
        }
        .into()),
        Verdict::NotFound => Err(unknown()),
        Verdict::Limited(limited) => Err(limited.into()),
        Verdict::Invalid(invalid) => Err(invalid.into()),
        Verdict::NotJudged => Err(Problem::not_judged().into()),
        Verdict::IdempotencyKeyInFlight => Err(Problem::new(ProblemCode::IdempotencyKeyInFlight).into()),
        Verdict::IdempotencyKeyReused => Err(Problem::new(ProblemCode::IdempotencyKeyReused).into()),
    }
}
