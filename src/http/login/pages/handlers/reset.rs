//! `/forgot` and `/reset`. Both answer the same whether or not there is an account (ENM-01).

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::code::without_spaces;
use super::form::Sent;
use super::visit::{Visit, retry_after, see_other, wait};
use super::{login, words};
use crate::account::reset::{Forgot, Reset};
use crate::http::login::browser::{Cookie, SetCookies};
use crate::http::login::pages::code::ForgotPage;
use crate::http::login::pages::frame::{Field, Invalid, Notice};
use crate::http::login::pages::reset::ResetPage;
use crate::http::problem::Problem;

/// `/forgot`, and the button for another code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgotForm {
    #[serde(default)]
    identifier: String,
}

/// `/reset`. `username` is there for password managers, and shown again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetForm {
    #[serde(default)]
    username: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    password: String,
}

/// The first form.
pub async fn ask(visit: Visit) -> Result<Response, Problem> {
    empty(&visit, StatusCode::OK, None)
}

/// The first form with nothing in it.
pub fn empty(visit: &Visit, status: StatusCode, notice: Option<Notice>) -> Result<Response, Problem> {
    forgot_page(visit, status, notice, Field::default())
}

/// To the first form: the second one belongs to what was typed there.
pub async fn back() -> Response {
    see_other("/forgot")
}

/// Sends a code, if anybody is there, and shows the second form.
pub async fn begin(Sent { visit, form }: Sent<ForgotForm>) -> Result<Response, Problem> {
    start(&visit, &form.identifier, None).await
}

/// Another code.
pub async fn resend(Sent { visit, form }: Sent<ForgotForm>) -> Result<Response, Problem> {
    start(&visit, &form.identifier, Some(Notice::CodeSent)).await
}

async fn start(visit: &Visit, identifier: &str, notice: Option<Notice>) -> Result<Response, Problem> {
    match Arc::clone(&visit.accounts).forgot(&visit.visitor, identifier).await? {
        Forgot::Begun(token) => {
            let cookies = SetCookies::new(&visit.app).reset(&token).browser(&visit.visitor);
            let page = Shown { status: StatusCode::OK, notice, ..Shown::new(identifier) };
            Ok((cookies, page.on(visit)?).into_response())
        }
        Forgot::Invalid(_) => {
            let field = Field { value: identifier, error: Some(words::identifier(identifier, Invalid::PhoneOrEmail)) };
            forgot_page(visit, StatusCode::UNPROCESSABLE_ENTITY, None, field)
        }
        Forgot::Limited(limited) => {
            let field = Field { value: identifier, error: None };
            Ok(retry_after(forgot_page(visit, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), field)?, &limited))
        }
    }
}

/// Another password, for the code. It makes no session (REC-03).
pub async fn finish(Sent { visit, form }: Sent<ResetForm>) -> Result<Response, Problem> {
    let Some(token) = &visit.reset else { return Ok(see_other("/forgot")) };
    let shown = Shown::new(&form.username);
    match visit.accounts.reset(&visit.visitor, token, &without_spaces(&form.code), &form.password).await? {
        Reset::Done => {
            let page = login::page(&visit, StatusCode::OK, Some(Notice::PasswordChanged), &form.username)?;
            Ok((SetCookies::new(&visit.app).clear(Cookie::Reset).clear(Cookie::Session).clear(Cookie::Flow), page).into_response())
        }
        Reset::Wrong => Shown { status: StatusCode::UNAUTHORIZED, code: Some(Invalid::Code), ..shown }.on(&visit),
        Reset::Ended => {
            let field = Field { value: &form.username, error: None };
            forgot_page(&visit, StatusCode::UNAUTHORIZED, Some(Notice::FormExpired), field)
        }
        Reset::Invalid(_) => {
            let password = Some(words::password(&form.password, &visit.accounts.settings));
            Shown { status: StatusCode::UNPROCESSABLE_ENTITY, password, ..shown }.on(&visit)
        }
        Reset::Limited(limited) => {
            let page = Shown { status: StatusCode::TOO_MANY_REQUESTS, notice: Some(wait(&limited)), ..shown }.on(&visit)?;
            Ok(retry_after(page, &limited))
        }
    }
}

fn forgot_page(visit: &Visit, status: StatusCode, notice: Option<Notice>, identifier: Field<'_>) -> Result<Response, Problem> {
    visit.page(status, &ForgotPage { frame: visit.frame(notice), identifier })
}

/// The second form.
struct Shown<'a> {
    identifier: &'a str,
    status: StatusCode,
    notice: Option<Notice>,
    code: Option<Invalid>,
    password: Option<Invalid>,
}

impl Shown<'_> {
    fn new(identifier: &str) -> Shown<'_> {
        Shown { identifier, status: StatusCode::OK, notice: None, code: None, password: None }
    }

    fn on(&self, visit: &Visit) -> Result<Response, Problem> {
        let settings = &visit.accounts.settings;
        // When a code went out is not ours to tell: it would tell whether one did.
        let wait = visit.accounts.engine.policy(&settings.service).sends.waits.first().map_or(0, |wait| wait.as_secs());
        let page = ResetPage {
            frame: visit.frame(self.notice),
            identifier: self.identifier,
            code: self.code,
            password: self.password,
            password_min: words::password_min(settings),
            resend_in: Some(if self.status == StatusCode::OK { wait } else { 0 }),
        };
        visit.page(self.status, &page)
    }
}
