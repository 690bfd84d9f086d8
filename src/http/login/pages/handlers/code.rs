//! `/verify`: the step after the password. It is reached by a right password and in no other way (MFA-03): the flow is the
//! one of this browser, and the hidden `phone` decides nothing.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::form::Sent;
use super::step::{self, StepView, judge};
use super::visit::{Visit, see_other};
use crate::account::model::Method;
use crate::account::second_factor::Proof;
use crate::account::sign_in::FlowRef;
use crate::http::login::pages::frame::Notice;
use crate::http::problem::Problem;

/// The fields of the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeForm {
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    passkey: String,
    #[serde(default)]
    remember: String,
}

/// The button for another code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResendForm {
    #[serde(default)]
    phone: String,
}

/// The buttons for another way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodForm {
    #[serde(default)]
    phone: String,
    method: Method,
}

/// The form, while a sign-in is under way.
pub async fn show(visit: Visit) -> Result<Response, Problem> {
    let Some(flow) = visit.flow.clone() else { return Ok(see_other("/login")) };
    match visit.accounts.step(&visit.visitor, &FlowRef::Token(flow)).await? {
        Some(step) => step::show_step(&visit, step, StepView::sign_in(&[])).await,
        None => Ok(see_other("/login")),
    }
}

/// To the form, for whoever reads a path that is only posted to.
pub async fn back() -> Response {
    see_other("/verify")
}

/// A code, or the answer of a passkey.
pub async fn send(Sent { visit, form }: Sent<CodeForm>) -> Result<Response, Problem> {
    let hidden = [("phone", form.phone.as_str())];
    let view = StepView::sign_in(&hidden);
    let Some(proof) = proof(&form.code, &form.passkey) else {
        let Some(flow) = &visit.flow else { return step::sign_in_again(&visit) };
        return step::again(&visit, flow, view.notice(StatusCode::UNAUTHORIZED, Notice::PasskeyFailed)).await;
    };
    judge(&visit, proof, form.remember == "yes", view).await
}

/// The code once more.
pub async fn resend(Sent { visit, form }: Sent<ResendForm>) -> Result<Response, Problem> {
    step::resend(&visit, StepView::sign_in(&[("phone", &form.phone)])).await
}

/// Another way.
pub async fn method(Sent { visit, form }: Sent<MethodForm>) -> Result<Response, Problem> {
    if form.method == Method::RecoveryCode {
        return Ok(see_other("/recover"));
    }
    step::change_method(&visit, form.method, StepView::sign_in(&[("phone", &form.phone)])).await
}

/// What a form shows; none when it is a passkey's answer and cannot be read.
pub fn proof(code: &str, passkey: &str) -> Option<Proof> {
    if passkey.is_empty() {
        return Some(Proof::Code(without_spaces(code)));
    }
    serde_json::from_str(passkey).ok().map(Proof::Passkey)
}

/// People write "123 456" as it is read out to them.
pub fn without_spaces(code: &str) -> String {
    code.chars().filter(|character| !character.is_whitespace()).collect()
}
