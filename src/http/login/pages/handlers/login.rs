//! `/login`: the password, or what stands in its place.

use std::sync::Arc;

use axum::Json;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::form::Sent;
use super::step::{StepView, show_step};
use super::visit::{Visit, retry_after, see_other, wait};
use super::words;
use crate::account::passwordless::Passwordless;
use crate::account::second_factor::{Proof, Proved};
use crate::account::sign_in::{FlowRef, SignIn, Step};
use crate::http::login::browser::SetCookies;
use crate::http::login::pages::entry::LoginPage;
use crate::http::login::pages::frame::{Field, Invalid, Notice};
use crate::http::problem::{Problem, ProblemCode};

/// Where the options of a passkey come from.
const PASSKEY_OPTIONS: &str = "/login/passkey/options";

/// The fields of the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginForm {
    #[serde(default)]
    phone: String,
    #[serde(default)]
    password: String,
}

/// The answer of a passkey; none yet where its options are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyForm {
    #[serde(default)]
    passkey: String,
}

/// The form, with the words that follow a registration.
pub const AFTER_REGISTRATION: &str = "/login?done=registered";

/// The form.
pub async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let is_new = query.as_deref() == Some("done=registered");
    page(&visit, StatusCode::OK, is_new.then_some(Notice::AccountCreated), "")
}

/// To the form, for whoever reads a path that is only posted to.
pub async fn back() -> Response {
    see_other("/login")
}

/// The password step. What follows a right one is shown at once, as in the tutorials.
pub async fn send(Sent { visit, form }: Sent<LoginForm>) -> Result<Response, Problem> {
    if form.phone.trim().is_empty() || form.password.is_empty() {
        let phone = form.phone.trim().is_empty().then_some(Invalid::Missing);
        let password = form.password.is_empty().then_some(Invalid::Missing);
        return with_errors(&visit, StatusCode::UNPROCESSABLE_ENTITY, None, Field { value: &form.phone, error: phone }, password);
    }
    match visit.accounts.sign_in(&visit.visitor, &form.phone, &form.password).await? {
        SignIn::Next(step) => next(&visit, *step, &form.phone).await,
        SignIn::Done(signed_in) => visit.signed_in(&signed_in, "/profile").await,
        SignIn::Refused => page(&visit, StatusCode::UNAUTHORIZED, Some(Notice::WrongCredentials), &form.phone),
        SignIn::Limited(limited) => {
            let page = page(&visit, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), &form.phone)?;
            Ok(retry_after(page, &limited))
        }
    }
}

/// The page of the next step, or the way there.
async fn next(visit: &Visit, step: Step, typed: &str) -> Result<Response, Problem> {
    if visit.is_shown && step.not_sent.is_none() {
        let cookies = SetCookies::new(&visit.app).flow(step.token.as_ref(), &visit.visitor);
        return Ok((cookies, see_other("/verify")).into_response());
    }
    show_step(visit, step, StepView::sign_in(&[("phone", typed)])).await
}

/// A code in place of the password, where the service allows it.
pub async fn by_code(Sent { visit, form }: Sent<LoginForm>) -> Result<Response, Problem> {
    match Arc::clone(&visit.accounts).sign_in_by_code(&visit.visitor, &form.phone).await? {
        Passwordless::Begun(step) => next(&visit, *step, &form.phone).await,
        Passwordless::Invalid(_) => not_an_identifier(&visit, &form.phone),
        Passwordless::Limited(limited) => {
            let page = page(&visit, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), &form.phone)?;
            Ok(retry_after(page, &limited))
        }
        Passwordless::Off => Err(Problem::new(ProblemCode::NotFound)),
    }
}

/// What `navigator.credentials.get` is asked with, for the script of the page.
pub async fn passkey_options(Sent { visit, .. }: Sent<PasskeyForm>) -> Result<Response, Problem> {
    if !visit.accounts.passkeys_work() {
        return Err(Problem::new(ProblemCode::NotFound));
    }
    match visit.accounts.sign_in_by_passkey(&visit.visitor).await? {
        Ok(step) => {
            let cookies = SetCookies::new(&visit.app).flow(step.token.as_ref(), &visit.visitor);
            Ok((cookies, Json(step.passkey)).into_response())
        }
        Err(limited) => Err(limited.into()),
    }
}

/// A passkey in place of everything else.
pub async fn by_passkey(Sent { visit, form }: Sent<PasskeyForm>) -> Result<Response, Problem> {
    let failed = || page(&visit, StatusCode::UNAUTHORIZED, Some(Notice::PasskeyFailed), "");
    let (Some(flow), Ok(answer)) = (&visit.flow, serde_json::from_str(&form.passkey)) else { return failed() };
    match visit.accounts.prove(&visit.visitor, &FlowRef::Token(flow.clone()), Proof::Passkey(answer), false).await? {
        Proved::Done(signed_in) => visit.signed_in(&signed_in, "/profile").await,
        Proved::Next(step) => show_step(&visit, *step, StepView::sign_in(&[])).await,
        Proved::Wrong | Proved::Ended | Proved::NotJudged => failed(),
        Proved::Limited(limited) => Err(limited.into()),
    }
}

/// The page, with what somebody wrote as who they are.
pub fn page(visit: &Visit, status: StatusCode, notice: Option<Notice>, identifier: &str) -> Result<Response, Problem> {
    with_errors(visit, status, notice, Field { value: identifier, error: None }, None)
}

fn not_an_identifier(visit: &Visit, typed: &str) -> Result<Response, Problem> {
    let field = Field { value: typed, error: Some(words::identifier(typed, Invalid::PhoneOrEmail)) };
    with_errors(visit, StatusCode::UNPROCESSABLE_ENTITY, None, field, None)
}

fn with_errors(
    visit: &Visit,
    status: StatusCode,
    notice: Option<Notice>,
    identifier: Field<'_>,
    password: Option<Invalid>,
) -> Result<Response, Problem> {
    let page = LoginPage {
        frame: visit.frame(notice),
        identifier,
        password,
        may_register: visit.accounts.settings.registration,
        by_code: visit.accounts.settings.passwordless,
        passkey: visit.accounts.passkeys_work().then_some(PASSKEY_OPTIONS),
    };
    visit.page(status, &page)
}
