//! Every failure that leaves the server: RFC 9457, with a stable code that docs/errors.md explains.
//!
//! A handler returns a [`Problem`]; the frame around all handlers ([`crate::http::frame`]) writes it, with the request's id,
//! and logs the cause of a 5xx, once. To the caller a 5xx tells nothing.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::account::AccountError;
use crate::account::password::HashError;
use crate::account::token::TokenError;
use crate::clock::seconds_rounded_up;
use crate::db::database::DataError;
use crate::delivery::free_text::TextError;
use crate::entity::EntityError;
use crate::verification::limit::{self, Limited};
use crate::verification::request::InvalidField;
use crate::verification::store::StoreError;

/// When to come again where nobody knows better.
pub const SOON: Duration = Duration::from_secs(2);

/// The stable codes. Adding one is adding a section to docs/errors.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemCode {
    /// The body is not JSON, or not of the documented shape.
    InvalidBody,
    /// A field breaks a rule.
    InvalidField,
    /// No key, or not a valid one.
    Unauthorized,
    /// The key lacks a scope.
    Forbidden,
    /// Nobody is signed in.
    SignInRequired,
    /// The last proof of who somebody is was too long ago.
    ConfirmationRequired,
    /// A page of another origin asks for a change.
    CrossSite,
    /// No such thing in this service.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The verification has ended.
    VerificationEnded,
    /// What was begun has ended.
    FlowEnded,
    /// The number or address is another's.
    IdentifierTaken,
    /// The account would have no proven number or address left, or none that it is found by.
    LastIdentifier,
    /// The same idempotency key is being answered.
    IdempotencyKeyInFlight,
    /// More than 64 KiB.
    BodyTooLarge,
    /// Neither JSON nor, where one is taken, a form.
    UnsupportedMediaType,
    /// A code, a password or a passkey's answer is wrong.
    WrongProof,
    /// The idempotency key came with another request.
    IdempotencyKeyReused,
    /// A limit refused.
    Limited,
    /// Our fault.
    Internal,
    /// Too busy, or the store does not answer.
    Unavailable,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [ProblemCode; 22] = [
        ProblemCode::InvalidBody,
        ProblemCode::InvalidField,
        ProblemCode::Unauthorized,
        ProblemCode::Forbidden,
        ProblemCode::SignInRequired,
        ProblemCode::ConfirmationRequired,
        ProblemCode::CrossSite,
        ProblemCode::NotFound,
        ProblemCode::MethodNotAllowed,
        ProblemCode::RequestTimeout,
        ProblemCode::VerificationEnded,
        ProblemCode::FlowEnded,
        ProblemCode::IdentifierTaken,
        ProblemCode::LastIdentifier,
        ProblemCode::IdempotencyKeyInFlight,
        ProblemCode::BodyTooLarge,
        ProblemCode::UnsupportedMediaType,
        ProblemCode::WrongProof,
        ProblemCode::IdempotencyKeyReused,
        ProblemCode::Limited,
        ProblemCode::Internal,
        ProblemCode::Unavailable,
    ];

    /// The name as it appears outside, the status, and the title.
    pub fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            ProblemCode::InvalidBody => ("invalid_body", StatusCode::BAD_REQUEST, "The body cannot be read"),
            ProblemCode::InvalidField => ("invalid_field", StatusCode::UNPROCESSABLE_ENTITY, "A field breaks a rule"),
            ProblemCode::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A valid key is needed"),
            ProblemCode::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The key does not allow this"),
            ProblemCode::SignInRequired => ("sign_in_required", StatusCode::UNAUTHORIZED, "Sign in first"),
            ProblemCode::ConfirmationRequired => ("confirmation_required", StatusCode::FORBIDDEN, "Confirm first who you are"),
            ProblemCode::CrossSite => ("cross_site", StatusCode::FORBIDDEN, "The request comes from another site"),
            ProblemCode::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such thing here"),
            ProblemCode::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here"),
            ProblemCode::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time"),
            ProblemCode::VerificationEnded => ("verification_ended", StatusCode::CONFLICT, "The verification has ended"),
            ProblemCode::FlowEnded => ("flow_ended", StatusCode::CONFLICT, "What was begun has ended: begin again"),
            ProblemCode::IdentifierTaken => ("identifier_taken", StatusCode::CONFLICT, "The number or address belongs to another account"),
            ProblemCode::LastIdentifier => ("last_identifier", StatusCode::CONFLICT, "An account keeps at least one number or address"),
            ProblemCode::IdempotencyKeyInFlight => {
                ("idempotency_key_in_flight", StatusCode::CONFLICT, "The same idempotency key is being answered")
            }
            ProblemCode::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            ProblemCode::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body has the wrong media type")
            }
            ProblemCode::WrongProof => ("wrong_proof", StatusCode::UNPROCESSABLE_ENTITY, "What was shown is wrong, expired or used"),
            ProblemCode::IdempotencyKeyReused => {
                ("idempotency_key_reused", StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key was used for another request")
            }
            ProblemCode::Limited => ("limited", StatusCode::TOO_MANY_REQUESTS, "A limit was reached"),
            ProblemCode::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here"),
            ProblemCode::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "The server cannot do this right now"),
        }
    }
}

/// A failure, as a handler returns it.
#[derive(Debug, Clone)]
pub struct Problem {
    code: ProblemCode,
    detail: Option<String>,
    field: Option<String>,
    limited: Option<Limited>,
    retry_after: Option<Duration>,
    cause: Option<String>,
}

/// The body of a failure (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The code as a URI; docs/errors.md explains each.
    #[serde(rename = "type")]
    #[schema(example = "urn:countersign:error:limited")]
    pub kind: String,
    /// The code in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code.
    #[schema(example = "limited")]
    pub code: &'static str,
    /// The field that breaks a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The limit that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<&'static str>,
    /// Seconds after which the same call can pass. Absent: waiting does not help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Names this request in the logs.
    pub request_id: String,
}

impl Problem {
    /// A failure with nothing more to say.
    pub fn new(code: ProblemCode) -> Problem {
        Problem { code, detail: None, field: None, limited: None, retry_after: None, cause: None }
    }

    /// Says what is wrong with this very request. Never repeats what may be a secret.
    pub fn detail(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self }
    }

    /// Names the field.
    pub fn field(self, field: impl Into<String>) -> Problem {
        Problem { field: Some(field.into()), ..self }
    }

    /// Says when to come again.
    pub fn retry_after(self, retry_after: Duration) -> Problem {
        Problem { retry_after: Some(retry_after), ..self }
    }

    /// The provider that made a code could not be asked whether it is the right one.
    pub fn not_judged() -> Problem {
        let problem = Problem::new(ProblemCode::Unavailable).detail("The provider that made the code does not answer.");
        problem.retry_after(Duration::from_secs(2))
    }

    /// No provider took the message.
    pub fn not_sent() -> Problem {
        Problem::new(ProblemCode::Unavailable).detail("The message could not be sent.").retry_after(Duration::from_secs(2))
    }

    /// Our fault; the cause goes to the log and nowhere else.
    pub fn internal(cause: impl std::fmt::Display) -> Problem {
        Problem { cause: Some(cause.to_string()), ..Problem::new(ProblemCode::Internal) }
    }

    /// Its code.
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.code.parts().1
    }

    /// What is wrong, for faces with bodies of their own.
    pub fn message(&self) -> String {
        self.detail.clone().unwrap_or_else(|| self.code.parts().2.to_owned())
    }

    /// What the log should say, once.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The body.
    pub fn body(&self, request_id: String) -> ProblemBody {
        let (code, status, title) = self.code.parts();
        ProblemBody {
            kind: format!("urn:countersign:error:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail.clone(),
            code,
            field: self.field.clone(),
            limit: self.limited.as_ref().map(|limited| limited.name.as_str()),
            retry_after: self.wait().map(seconds_rounded_up),
            request_id,
        }
    }

    /// `Retry-After`, and on a limited answer `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11).
    pub fn write_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        let seconds = self.wait().map(seconds_rounded_up);
        if let Some(seconds) = seconds {
            set("retry-after", seconds.to_string());
        }
        if let Some(limited) = &self.limited {
            let name = limited.name.as_str();
            let policy = match limited.quota {
                Some(quota) => format!("\"{name}\";q={};w={}", quota.count, quota.per.as_secs()),
                None => format!("\"{name}\";q=0"),
            };
            set("ratelimit-policy", policy);
            set("ratelimit", seconds.map_or_else(|| format!("\"{name}\";r=0"), |seconds| format!("\"{name}\";r=0;t={seconds}")));
        }
        if matches!(self.code, ProblemCode::Unauthorized | ProblemCode::SignInRequired) {
            set("www-authenticate", "Bearer realm=\"countersign\"".into());
        }
    }

    fn wait(&self) -> Option<Duration> {
        let limited = self.limited.as_ref().map(|limited| limited.retry_after).filter(|wait| !limit::is_permanent(*wait));
        // Every 503 says when to come again.
        let unavailable = (self.code == ProblemCode::Unavailable).then_some(SOON);
        self.retry_after.or(limited).or(unavailable)
    }
}

impl From<InvalidField> for Problem {
    fn from(invalid: InvalidField) -> Problem {
        Problem::new(ProblemCode::InvalidField).detail(invalid.to_string()).field(invalid.field)
    }
}

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Problem {
        let detail = if limit::is_permanent(limited.retry_after) {
            "Too many wrong codes in a row: closed until it is released.".to_owned()
        } else {
            format!("The limit \"{}\" was reached. Try again in {} s.", limited.name.as_str(), seconds_rounded_up(limited.retry_after))
        };
        Problem { limited: Some(limited), ..Problem::new(ProblemCode::Limited).detail(detail) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        // Fail closed and soon: the same request may pass in a moment (OPS-01).
        let problem = Problem::new(ProblemCode::Unavailable).retry_after(Duration::from_secs(1));
        Problem { cause: Some(error.to_string()), ..problem }
    }
}

impl From<DataError> for Problem {
    fn from(error: DataError) -> Problem {
        Problem::from(AccountError::Database(error))
    }
}

impl From<EntityError> for Problem {
    fn from(error: EntityError) -> Problem {
        match error {
            EntityError::Database(error) => error.into(),
            error @ EntityError::Secret => Problem::internal(error),
        }
    }
}

impl From<TextError> for Problem {
    fn from(error: TextError) -> Problem {
        match error {
            TextError::Database(error) => error.into(),
            TextError::Store(error) => error.into(),
            error @ TextError::Seal(_) => Problem::internal(error),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Problem {
        let wait = match &error {
            AccountError::Hash(HashError::Busy) => Some(2),
            AccountError::Database(_) | AccountError::Store(_) | AccountError::Token(TokenError::Database(_)) => Some(1),
            AccountError::Row(_) | AccountError::Token(_) | AccountError::Hash(_) => None,
        };
        let cause = Some(error.to_string());
        match wait {
            Some(seconds) => Problem { cause, ..Problem::new(ProblemCode::Unavailable).retry_after(Duration::from_secs(seconds)) },
            None => Problem { cause, ..Problem::new(ProblemCode::Internal) },
        }
    }
}

/// Leaves the writing to the frame, which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        self.write_headers(&mut response);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R21, D7: whoever hears 503 hears when to come again, whether or not anybody thought of it.
    #[test]
    fn every_503_says_when_to_come_again() {
        let told = |problem: Problem| problem.into_response().headers().get(header::RETRY_AFTER)?.to_str().ok().map(str::to_owned);
        for code in ProblemCode::ALL {
            let expected = (code == ProblemCode::Unavailable).then_some("2");
            assert_eq!(told(Problem::new(code)).as_deref(), expected, "{code:?}");
        }
        assert_eq!(told(Problem::new(ProblemCode::Unavailable).retry_after(Duration::from_secs(60))).as_deref(), Some("60"));
    }
}
