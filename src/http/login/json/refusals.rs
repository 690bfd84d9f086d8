//! Failures, as the description lists them and as the tutorial's routes word them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::account::sign_in::NotSent;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::tutorial::Shape;

/// `{"error","code"}`: a sentence that never changes, and the code of docs/errors.md; `detail` and `field` where there is more
/// to say.
pub struct Plain;

impl Shape for Plain {
    fn body(problem: &Problem) -> Value {
        let problem = problem.body(String::new());
        let mut body = json!({ "error": problem.title, "code": problem.code });
        if let Some(detail) = problem.detail {
            body["detail"] = detail.into();
        }
        if let Some(field) = problem.field {
            body["field"] = field.into();
        }
        body
    }
}

/// A failure of the tutorial's routes.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// A sentence that never changes.
    #[schema(example = "Invalid credentials")]
    pub error: String,
    /// The stable code, as docs/errors.md has it. Absent where the tutorial's sentence is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "limited")]
    pub code: Option<String>,
    /// What is wrong with this very request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The field that breaks a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Of routes with a body: what `/v1` answers too.
pub struct BodyRefusals;
/// Of routes for people who are signed in.
pub struct PersonRefusals;
/// Of the tutorial's routes.
pub struct PlainRefusals;

const BODY: [(&str, &str); 6] = [
    ("400", "`invalid_body`."),
    ("413", "`body_too_large`."),
    ("415", "`unsupported_media_type`."),
    ("422", "`invalid_field`, `wrong_proof`."),
    ("429", "`limited`: see `Retry-After`."),
    ("503", "`unavailable`."),
];
const PERSON: [(&str, &str); 3] =
    [("401", "`sign_in_required`."), ("403", "`confirmation_required`, `cross_site`."), ("503", "`unavailable`.")];
const PLAIN: [(&str, &str); 7] = [
    ("400", "The body cannot be read."),
    ("403", "The request comes from another site (a problem document)."),
    ("413", "The body is too large."),
    ("415", "The body is not JSON."),
    ("422", "A field breaks a rule."),
    ("429", "A limit was reached: see `Retry-After`."),
    ("503", "The server cannot do this right now."),
];

fn listed(list: &[(&str, &str)], kind: &str, schema: &str) -> BTreeMap<String, RefOr<Response>> {
    let response = |description: &str| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
        RefOr::T(ResponseBuilder::new().description(description).content(kind, content).build())
    };
    list.iter().map(|(status, description)| ((*status).to_owned(), response(description))).collect()
}

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        listed(&BODY, "application/problem+json", "Problem")
    }
}

impl IntoResponses for PersonRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        listed(&PERSON, "application/problem+json", "Problem")
    }
}

impl IntoResponses for PlainRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        listed(&PLAIN, "application/json", "Error")
    }
}

/// Why no code was sent.
pub fn not_sent(not_sent: NotSent) -> Problem {
    match not_sent {
        NotSent::Limited(limited) => limited.into(),
        NotSent::Impossible => {
            let problem = Problem::new(ProblemCode::Unavailable).detail("No code can be sent to any number or address of this account.");
            // Somebody has to change something first.
            problem.retry_after(std::time::Duration::from_secs(60))
        }
    }
}

/// Wrong, expired, used, unknown: all the same.
pub fn wrong() -> Problem {
    Problem::new(ProblemCode::WrongProof)
}
