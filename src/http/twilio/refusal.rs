//! Failures as Twilio words them: `{"code", "message", "more_info", "status"}`.
//!
//! Handlers return a [`Refusal`]. What fails around them (no such path, a body that is too long, a panic, a time-out) is a
//! [`Problem`] of ours, which the frame hands to [`rewrite`] where the path is Twilio's.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::clock::seconds_rounded_up;
use crate::db::database::DataError;
use crate::http::problem::Problem;
use crate::verification::limit::{self, LimitName, Limited};
use crate::verification::request::InvalidField;
use crate::verification::store::StoreError;

/// Why a request is refused, in Twilio's words.
#[derive(Debug)]
pub struct Refusal(Kind);

#[derive(Debug)]
enum Kind {
    Said { status: StatusCode, code: u32, message: String, retry_after: Option<Duration> },
    Failed(Problem),
}

impl Refusal {
    /// With one of Twilio's codes. The message never repeats what may be a secret.
    pub fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Refusal {
        Refusal(Kind::Said { status, code, message: message.into(), retry_after: None })
    }

    /// Says when to come again.
    pub fn retry_after(self, wait: Duration) -> Refusal {
        match self.0 {
            Kind::Said { status, code, message, .. } => Refusal(Kind::Said { status, code, message, retry_after: Some(wait) }),
            failed @ Kind::Failed(_) => Refusal(failed),
        }
    }

    /// 60200: a parameter breaks a rule. `rule` follows its name; it may be empty.
    pub fn invalid(parameter: &str, rule: &str) -> Refusal {
        let more = if rule.is_empty() { String::new() } else { format!(": {rule}") };
        Refusal::new(StatusCode::BAD_REQUEST, 60200, format!("Invalid parameter `{parameter}`{more}"))
    }

    /// 20404: nothing there, or nothing any more. `path` as it was asked for.
    pub fn not_found(path: &str) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, 20404, format!("The requested resource {path} was not found"))
    }

    /// 20003: no credentials, or wrong ones.
    pub fn unauthorized() -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, 20003, "Authenticate")
    }

    /// 20403: these credentials may not do this.
    pub fn forbidden(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, 20403, message)
    }

    /// Something of ours failed: the cause goes to the log and nowhere else.
    pub fn failed(cause: impl std::fmt::Display) -> Refusal {
        Problem::internal(cause).into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal(Kind::Failed(problem))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Problem::from(error).into()
    }
}

impl From<DataError> for Refusal {
    fn from(error: DataError) -> Refusal {
        Problem::from(error).into()
    }
}

/// The names of our fields as Twilio's callers spell them.
impl From<InvalidField> for Refusal {
    fn from(invalid: InvalidField) -> Refusal {
        let parameter = match invalid.field {
            "to" => "To",
            "channel" => "Channel",
            "code" => "CustomCode",
            "locale" => "Locale",
            "metadata" => "Tags",
            "brand" => "CustomFriendlyName",
            "app_hash" => "AppHash",
            other => other,
        };
        Refusal::invalid(parameter, &invalid.rule)
    }
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Refusal {
        let (code, message) = match limited.name {
            LimitName::Destination | LimitName::DestinationAllServices => (60203, "Max send attempts reached"),
            LimitName::Failures => (60202, "Max check attempts reached"),
            _ => (20429, "Too many requests"),
        };
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, message);
        if limit::is_permanent(limited.retry_after) { refusal } else { refusal.retry_after(limited.retry_after) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message, retry_after) = match self.0 {
            Kind::Said { status, code, message, retry_after } => (status, code, message, retry_after),
            // The frame logs its cause and calls `rewrite`.
            Kind::Failed(problem) => return problem.into_response(),
        };
        let mut response = (status, Json(body(status, code, &message))).into_response();
        let headers = response.headers_mut();
        if let Some(Ok(seconds)) = retry_after.map(|wait| HeaderValue::try_from(seconds_rounded_up(wait).to_string())) {
            headers.insert(header::RETRY_AFTER, seconds);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"countersign\""));
        }
        response
    }
}

fn body(status: StatusCode, code: u32, message: &str) -> Value {
    json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status.as_u16(),
    })
}

/// Words one of our own failures as Twilio would. Its headers stay, and its cause is not told.
pub fn rewrite(response: &mut Response, problem: &Problem, path: &str) {
    let status = problem.status();
    let (code, message) = match status {
        StatusCode::UNAUTHORIZED => (20003, "Authenticate".to_owned()),
        StatusCode::FORBIDDEN => (20403, problem.message()),
        StatusCode::NOT_FOUND => (20404, format!("The requested resource {} was not found", shortened(path))),
        StatusCode::METHOD_NOT_ALLOWED => (20004, "Method not allowed".to_owned()),
        StatusCode::TOO_MANY_REQUESTS => (20429, "Too many requests".to_owned()),
        StatusCode::SERVICE_UNAVAILABLE => (20503, "Service unavailable".to_owned()),
        StatusCode::INTERNAL_SERVER_ERROR => (20500, "An internal server error has occurred".to_owned()),
        // Too long, too slow, unreadable: Twilio has one code for what cannot be read.
        _ => (20001, problem.message()),
    };
    // Set by the router for the empty body that stood here.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body(status, code, &message).to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

/// A path holds numbers and addresses, which the caller knows; but nobody needs all of a long one.
fn shortened(path: &str) -> String {
    path.chars().take(200).collect()
}
