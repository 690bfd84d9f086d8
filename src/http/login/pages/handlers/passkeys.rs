//! Passkeys: made in the browser, listed, given up.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::confirm::{self, Then};
use super::form::MemberSent;
use super::security;
use super::visit::see_other;
use crate::account::factors::Enrolled;
use crate::http::problem::{Problem, ProblemCode};

/// A name, and the answer of the browser.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    passkey: String,
}

/// One that is on the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyForm {
    passkey: Uuid,
}

/// What `navigator.credentials.create` is asked with, for the script of the page.
pub async fn options(MemberSent { member, .. }: MemberSent<AddForm>) -> Result<Response, Problem> {
    match member.visit.accounts.begin_passkey(&member.current).await? {
        Enrolled::Done(options) => Ok(Json(options).into_response()),
        Enrolled::NotFresh => Err(Problem::new(ProblemCode::ConfirmationRequired)),
        Enrolled::Wrong | Enrolled::Impossible | Enrolled::Limited(_) => Err(Problem::new(ProblemCode::NotFound)),
    }
}

/// The answer of the browser; without one the button of a page whose proof is too old.
pub async fn add(MemberSent { member, form }: MemberSent<AddForm>) -> Result<Response, Problem> {
    let visit = &member.visit;
    if !member.is_fresh() {
        return Ok(confirm::first(Then::Security));
    }
    Ok(match visit.accounts.confirm_passkey(&visit.visitor, &member.current, &form.name, &form.passkey).await? {
        Enrolled::Done(()) => see_other(security::SAVED),
        Enrolled::NotFresh => confirm::first(Then::Security),
        Enrolled::Wrong | Enrolled::Impossible | Enrolled::Limited(_) => see_other(security::PASSKEY_FAILED),
    })
}

/// Gives one up.
pub async fn remove(MemberSent { member, form }: MemberSent<PasskeyForm>) -> Result<Response, Problem> {
    let visit = &member.visit;
    Ok(match visit.accounts.remove_factor(&visit.visitor, &member.current, form.passkey).await? {
        Enrolled::Done(()) => see_other(security::SAVED),
        Enrolled::NotFresh => confirm::first(Then::Security),
        Enrolled::Wrong | Enrolled::Impossible | Enrolled::Limited(_) => see_other("/security"),
    })
}
