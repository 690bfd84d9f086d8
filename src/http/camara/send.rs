//! `POST /send-code`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::camara::fault::Fault;
use crate::http::camara::{PURPOSE, read};
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::VerificationId;
use crate::verification::engine::Started;
use crate::verification::model::{Channel, Delivery};
use crate::verification::request::StartRequest;
use crate::verification::store::Snapshot;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SendCodeBody {
    phone_number: String,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendCodeResponse {
    authentication_id: VerificationId,
}

/// Sends, and answers once it is known what became of the message: that a number gets no messages is told in this answer or never.
pub(super) async fn send_code(State(app): State<Arc<App>>, request: Request) -> Result<Json<SendCodeResponse>, Fault> {
    let (caller, SendCodeBody { phone_number, message }) = read(request, &app).await?;
    if !is_phone_number(&phone_number) {
        return Err(Fault::invalid("phoneNumber must be + and 5 to 15 digits, the first of them not 0"));
    }
    let request = StartRequest {
        to: phone_number,
        channel: Some(Channel::Sms),
        purpose: Some(PURPOSE.into()),
        wording: Some(message),
        supersedes: true,
        ..StartRequest::default()
    };
    let snapshot = match app.engine.start(&caller, request, true).await? {
        Started::Sending(snapshot) => sent(snapshot)?,
        Started::Limited(limited) => return Err(limited.into()),
        Started::Invalid(invalid) => return Err(invalid.into()),
        Started::IdempotencyKeyReused => return Err(Problem::new(ProblemCode::IdempotencyKeyReused).into()),
        Started::NotFound | Started::Ended(_) => return Err(Problem::new(ProblemCode::NotFound).into()),
    };
    Ok(Json(SendCodeResponse { authentication_id: snapshot.id }))
}

fn sent(snapshot: Snapshot) -> Result<Snapshot, Fault> {
    match (snapshot.delivery, snapshot.objection) {
        (Delivery::Failed, Some(objection)) => Err(objection.into()),
        (Delivery::Failed, None) => Err(Problem::not_sent().into()),
        _ => Ok(snapshot),
    }
}

/// The definition's pattern: `^\+[1-9][0-9]{4,14}$`.
fn is_phone_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (5..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_phone_number;

    /// INP-02: the one spelling of the definition, and not the many that the engine reads.
    #[test]
    fn numbers_are_those_of_the_pattern() {
        for good in ["+12345", "+123456789", "+123456789012345"] {
            assert!(is_phone_number(good), "{good}");
        }
        for wrong in
            ["", "+", "3301", "+1234", "+0123456", "+1234567890123456", "+49 151 1234", "004915112345678", "+4915112345678\n", "+٤٩١٥١"]
        {
            assert!(!is_phone_number(wrong), "{wrong}");
        }
    }
}
