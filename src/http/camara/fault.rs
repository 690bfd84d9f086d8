//! Failures in CAMARA's shape: `{"status", "code", "message"}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::problem::{Problem, ProblemCode};
use crate::verification::courier::Objection;
use crate::verification::limit::{LimitName, Limited};
use crate::verification::request::{InvalidField, InvalidKind};
use crate::verification::store::StoreError;

/// A failure of this face.
#[derive(Debug)]
pub struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Where it comes from one of ours: its headers, and its cause for the log.
    problem: Option<Box<Problem>>,
}

/// Of the operation: codes that only this API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many codes to this number.
    MaxCodesExceeded,
    /// The number gets no text messages.
    NotAllowed,
    /// The number wants none, or is closed after too many wrong codes.
    Blocked,
    /// All checks are spent.
    VerificationFailed,
    /// Too old, replaced, or used.
    VerificationExpired,
    /// Wrong.
    InvalidOtp,
}

impl Refusal {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        let (forbidden, bad) = (StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST);
        match self {
            Refusal::MaxCodesExceeded => {
                (forbidden, "ONE_TIME_PASSWORD_SMS.MAX_OTP_CODES_EXCEEDED", "Too many codes were asked for this number. Try again later.")
            }
            Refusal::NotAllowed => {
                (forbidden, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_NOT_ALLOWED", "This number cannot be sent text messages.")
            }
            Refusal::Blocked => (forbidden, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_BLOCKED", "Text messages to this number are blocked."),
            Refusal::VerificationFailed => {
                (bad, "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED", "No valid code came within the number of attempts: send a new one.")
            }
            Refusal::VerificationExpired => {
                (bad, "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED", "The authenticationId is no longer valid: send a new code.")
            }
            Refusal::InvalidOtp => (bad, "ONE_TIME_PASSWORD_SMS.INVALID_OTP", "The code is not valid for this authenticationId."),
        }
    }
}

impl Fault {
    /// The request is not of the documented form. The message names the field and never its value.
    pub fn invalid(message: impl Into<String>) -> Fault {
        Fault { status: StatusCode::BAD_REQUEST, code: "INVALID_ARGUMENT", message: message.into(), problem: None }
    }

    /// Nothing of that name.
    pub fn not_found(message: &str) -> Fault {
        Fault { status: StatusCode::NOT_FOUND, code: "NOT_FOUND", message: message.to_owned(), problem: None }
    }

    /// A well-formed number that no country has.
    fn no_such_number() -> Fault {
        Fault { code: "IDENTIFIER_NOT_FOUND", ..Fault::not_found("No country's numbering plan has this number.") }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        let (status, code, message) = refusal.parts();
        Fault { status, code, message: message.to_owned(), problem: None }
    }
}

impl From<Objection> for Fault {
    fn from(objection: Objection) -> Fault {
        match objection {
            Objection::CannotReceive => Refusal::NotAllowed.into(),
            Objection::Barred => Refusal::Blocked.into(),
        }
    }
}

impl From<InvalidField> for Fault {
    fn from(invalid: InvalidField) -> Fault {
        match invalid.kind {
            InvalidKind::NoSuchNumber => Fault::no_such_number(),
            InvalidKind::RefusedNumber => Refusal::NotAllowed.into(),
            InvalidKind::NotServed => Fault::not_found("Numbers of this country are not served here."),
            InvalidKind::Form if invalid.field == "to" => Fault::invalid(format!("phoneNumber {}", invalid.rule)),
            InvalidKind::Form => Fault::invalid(invalid.to_string()),
        }
    }
}

/// What is counted for the number is told as the number's; what is counted for the client, as too many requests.
impl From<Limited> for Fault {
    fn from(limited: Limited) -> Fault {
        let of_number = match limited.name {
            LimitName::Destination | LimitName::DestinationAllServices => Some(Refusal::MaxCodesExceeded),
            LimitName::Failures => Some(Refusal::Blocked),
            _ => None,
        };
        let quota = matches!(limited.name, LimitName::Service | LimitName::Country);
        let problem = Problem::from(limited);
        let fault = match of_number {
            Some(refusal) => Fault::from(refusal),
            None => Fault { code: if quota { "QUOTA_EXCEEDED" } else { "TOO_MANY_REQUESTS" }, ..Fault::from(problem.clone()) },
        };
        Fault { problem: Some(Box::new(problem)), ..fault }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Problem::from(error).into()
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        let (status, code) = match problem.code() {
            ProblemCode::Unauthorized | ProblemCode::SignInRequired => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            ProblemCode::Forbidden | ProblemCode::ConfirmationRequired | ProblemCode::CrossSite => {
                (StatusCode::FORBIDDEN, "PERMISSION_DENIED")
            }
            ProblemCode::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            ProblemCode::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            ProblemCode::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
            ProblemCode::IdempotencyKeyInFlight => (StatusCode::CONFLICT, "ABORTED"),
            ProblemCode::Limited => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
            ProblemCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
            ProblemCode::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            // The definition has one word for every request that it cannot read.
            _ => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        };
        Fault { status, code, message: problem.message(), problem: Some(Box::new(problem)) }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = json!({ "status": self.status.as_u16(), "code": self.code, "message": self.message });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(problem) = &self.problem {
            if let Some(cause) = problem.cause() {
                tracing::error!(cause, "a request failed");
            }
            problem.write_headers(&mut response);
        }
        response
    }
}
