//! `/security/confirm`: whoever changes what matters shows once more who they are (MFA-04), and goes back to where they came
//! from: one of the places that [`Then`] names, and no other (TOK-06).

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::code::proof;
use super::form::MemberSent;
use super::step::{self, StepView, judge, show_step, way};
use super::visit::{Member, retry_after, see_other, wait};
use crate::account::confirm::Confirmed;
use crate::account::model::Method;
use crate::http::extract::StrictQuery;
use crate::http::login::pages::code::ConfirmPage;
use crate::http::login::pages::frame::Notice;
use crate::http::problem::Problem;

/// Where somebody goes on afterwards.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    #[default]
    Security,
    Password,
}

impl Then {
    fn name(self) -> &'static str {
        match self {
            Then::Security => "security",
            Then::Password => "password",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Then::Security => "/security",
            Then::Password => "/security/password",
        }
    }
}

/// To the page, and afterwards there.
pub fn first(then: Then) -> Response {
    see_other(match then {
        Then::Security => "/security/confirm",
        Then::Password => "/security/confirm?then=password",
    })
}

/// The query of the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThenQuery {
    #[serde(default)]
    then: Then,
}

/// By the password. `username` is there for password managers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordForm {
    #[serde(default, rename = "username")]
    _username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    then: Then,
}

/// By something else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodForm {
    method: Method,
    #[serde(default)]
    then: Then,
}

/// What somebody shows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    passkey: String,
    #[serde(default)]
    then: Then,
}

/// The button for another code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResendForm {
    #[serde(default)]
    then: Then,
}

/// The page.
pub async fn show(member: Member, StrictQuery(query): StrictQuery<ThenQuery>) -> Result<Response, Problem> {
    page(&member, StatusCode::OK, None, query.then).await
}

/// The password.
pub async fn by_password(MemberSent { member, form }: MemberSent<PasswordForm>) -> Result<Response, Problem> {
    let visit = &member.visit;
    match visit.accounts.confirm_by_password(&visit.visitor, &member.current, &form.password).await? {
        Confirmed::Done(confirmed) => visit.signed_in(&confirmed, form.then.path()).await,
        Confirmed::Wrong => page(&member, StatusCode::UNAUTHORIZED, Some(Notice::WrongCredentials), form.then).await,
        Confirmed::Limited(limited) => {
            let page = page(&member, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), form.then).await?;
            Ok(retry_after(page, &limited))
        }
        Confirmed::Ended => Ok(see_other("/login")),
    }
}

/// Another way, which begins a flow of its own.
pub async fn begin(MemberSent { member, form }: MemberSent<MethodForm>) -> Result<Response, Problem> {
    let visit = &member.visit;
    let ways = visit.accounts.confirmation_ways(&member.current).await?;
    if form.method == Method::RecoveryCode || !ways.iter().any(|(method, _)| *method == form.method) {
        return Ok(first(form.then));
    }
    let step = visit.accounts.begin_confirmation_by(&visit.visitor, &member.current, form.method).await?;
    show_step(visit, step, StepView::confirm(&[("then", form.then.name())], form.then.path())).await
}

/// The proof.
pub async fn finish(MemberSent { member, form }: MemberSent<ProofForm>) -> Result<Response, Problem> {
    let hidden = [("then", form.then.name())];
    let view = StepView::confirm(&hidden, form.then.path());
    match proof(&form.code, &form.passkey) {
        Some(proof) => judge(&member.visit, proof, false, view).await,
        None => Ok(first(form.then)),
    }
}

/// The code once more.
pub async fn resend(MemberSent { member, form }: MemberSent<ResendForm>) -> Result<Response, Problem> {
    step::resend(&member.visit, StepView::confirm(&[("then", form.then.name())], form.then.path())).await
}

async fn page(member: &Member, status: StatusCode, notice: Option<Notice>, then: Then) -> Result<Response, Problem> {
    let visit = &member.visit;
    let ways = visit.accounts.confirmation_ways(&member.current).await?;
    let ways: Vec<_> = ways.iter().filter(|(method, _)| *method != Method::RecoveryCode).map(way).collect();
    let page = ConfirmPage {
        frame: visit.frame(notice),
        identifier: &member.identifier().await?,
        then: then.name(),
        has_password: member.current.account.password.is_some(),
        password: None,
        ways: &ways,
    };
    visit.page(status, &page)
}
