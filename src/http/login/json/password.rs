//! A forgotten password, and another one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::account::reset::{Changed, Forgot, Reset};
use crate::account::secret_token::SecretToken;
use crate::app::App;
use crate::http::extract::StrictJson;
use crate::http::login::browser::{Browser, Cookie, SetCookies};
use crate::http::login::json::answers::{ForgotBody, MessageBody};
use crate::http::login::json::bodies::{IdentifierBody, PasswordBody, ResetBody};
use crate::http::login::json::refusals::{BodyRefusals, PersonRefusals, wrong};
use crate::http::login::person::{People, Person};
use crate::http::problem::{Problem, ProblemBody, ProblemCode};

/// Forgot the password
///
/// The answer is the same for everybody; if there is an account, a code is on its way.
#[utoipa::path(
    post, path = "/auth/password/forgot", tag = "Sign-in", operation_id = "forgotPassword", request_body = IdentifierBody,
    responses((status = 200, description = "The same for everybody.", body = ForgotBody), BodyRefusals),
)]
pub async fn forgot(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    StrictJson(body): StrictJson<IdentifierBody>,
) -> Result<Response, Problem> {
    match accounts.forgot(&browser.visitor, &body.identifier).await? {
        Forgot::Begun(token) => {
            let message = "If there is such an account, a code is on its way.";
            let body = ForgotBody { message, reset_token: token.expose().to_owned() };
            Ok((SetCookies::new(&app).reset(&token), Json(body)).into_response())
        }
        Forgot::Invalid(invalid) => Err(invalid.into()),
        Forgot::Limited(limited) => Err(limited.into()),
    }
}

/// Another password, for the code
///
/// Every session of the account ends, and nobody is signed in by it: the next sign-in asks for the second factor as ever.
#[utoipa::path(
    post, path = "/auth/password/reset", tag = "Sign-in", operation_id = "resetPassword", request_body = ResetBody,
    responses(
        (status = 200, description = "It is changed: sign in.", body = MessageBody),
        (status = 409, description = "`flow_ended`.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
)]
pub async fn reset(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    StrictJson(body): StrictJson<ResetBody>,
) -> Result<Response, Problem> {
    // Whoever names one means that one, and not whatever a browser still holds.
    let token = match body.reset_token {
        Some(named) => SecretToken::parse(&named.0),
        None => browser.reset,
    };
    let token = token.ok_or_else(|| Problem::new(ProblemCode::FlowEnded))?;
    match accounts.reset(&browser.visitor, &token, &body.code.0, &body.password.0).await? {
        Reset::Done => {
            let body = MessageBody { message: "The password is changed. Sign in with it.", method: None };
            let cookies = SetCookies::new(&app).clear(Cookie::Reset).clear(Cookie::Session).clear(Cookie::Flow);
            Ok((cookies, Json(body)).into_response())
        }
        Reset::Wrong => Err(wrong()),
        Reset::Ended => Err(Problem::new(ProblemCode::FlowEnded)),
        Reset::Invalid(invalid) => Err(invalid.into()),
        Reset::Limited(limited) => Err(limited.into()),
    }
}

/// Another password
///
/// Every other session of the account ends.
#[utoipa::path(
    post, path = "/auth/password/change", tag = "Account", operation_id = "changePassword", request_body = PasswordBody,
    responses((status = 200, description = "It is changed.", body = MessageBody), PersonRefusals, BodyRefusals),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn change(
    People(accounts): People,
    person: Person,
    StrictJson(body): StrictJson<PasswordBody>,
) -> Result<Json<MessageBody>, Problem> {
    match accounts.change_password(&person.visitor, &person.current, &body.password.0).await? {
        Changed::Done => Ok(Json(MessageBody { message: "The password is changed.", method: None })),
        Changed::NotFresh => Err(Problem::new(ProblemCode::ConfirmationRequired)),
        Changed::Invalid(invalid) => Err(invalid.into()),
        Changed::Limited(limited) => Err(limited.into()),
    }
}
