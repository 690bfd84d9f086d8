//! `/register`.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::form::Sent;
use super::visit::{Visit, retry_after, see_other, wait};
use super::{login, words};
use crate::account::register::{Registered, Registration};
use crate::http::login::pages::entry::RegisterPage;
use crate::http::login::pages::frame::{Field, Invalid, Notice};
use crate::http::problem::{Problem, ProblemCode};
use crate::verification::request::InvalidField;

/// The fields of the page.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct RegisterForm {
    #[serde(default)]
    fullname: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
}

/// The form.
pub async fn show(visit: Visit) -> Result<Response, Problem> {
    empty(&visit, StatusCode::OK, None)
}

/// The form with nothing in it.
pub fn empty(visit: &Visit, status: StatusCode, notice: Option<Notice>) -> Result<Response, Problem> {
    is_open(visit)?;
    page(visit, status, &RegisterForm::default(), notice, None)
}

/// Makes an account; the sign-in comes next.
pub async fn send(Sent { visit, form }: Sent<RegisterForm>) -> Result<Response, Problem> {
    is_open(&visit)?;
    let given = |text: &String| Some(text.clone()).filter(|text| !text.trim().is_empty());
    let wanted = Registration {
        full_name: form.fullname.clone(),
        phone: given(&form.phone),
        email: given(&form.email),
        password: form.password.clone(),
    };
    match visit.accounts.register(&visit.visitor, wanted).await? {
        Registered::Made => made(&visit),
        // Whoever must not learn who has an account is told nothing; the owner was told.
        Registered::Taken(_) if !visit.accounts.settings.reveal_taken => made(&visit),
        Registered::Taken(kind) => page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, None, Some((kind.as_str(), Invalid::Taken))),
        Registered::Invalid(invalid) => {
            let wrong = what(&visit, &form, &invalid);
            page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, None, Some(wrong))
        }
        Registered::Limited(limited) => {
            let page = page(&visit, StatusCode::TOO_MANY_REQUESTS, &form, Some(wait(&limited)), None)?;
            Ok(retry_after(page, &limited))
        }
    }
}

fn made(visit: &Visit) -> Result<Response, Problem> {
    if visit.is_shown {
        return Ok(see_other(login::AFTER_REGISTRATION));
    }
    login::page(visit, StatusCode::OK, Some(Notice::AccountCreated), "")
}

fn is_open(visit: &Visit) -> Result<(), Problem> {
    if visit.accounts.settings.registration { Ok(()) } else { Err(Problem::new(ProblemCode::NotFound)) }
}

fn what(visit: &Visit, form: &RegisterForm, invalid: &InvalidField) -> (&'static str, Invalid) {
    match invalid.field {
        "phone" => ("phone", words::identifier(&form.phone, Invalid::Phone)),
        "email" => ("email", words::identifier(&form.email, Invalid::Email)),
        "password" => ("password", words::password(&form.password, &visit.accounts.settings)),
        field => (field, Invalid::TooLong),
    }
}

fn page(
    visit: &Visit,
    status: StatusCode,
    form: &RegisterForm,
    notice: Option<Notice>,
    wrong: Option<(&str, Invalid)>,
) -> Result<Response, Problem> {
    let error = |name: &str| wrong.and_then(|(field, invalid)| (field == name).then_some(invalid));
    let page = RegisterPage {
        frame: visit.frame(notice),
        full_name: Field { value: &form.fullname, error: error("fullname") },
        phone: Field { value: &form.phone, error: error("phone") },
        needs_phone: visit.accounts.needs_phone(),
        email: Field { value: &form.email, error: error("email") },
        password: error("password"),
        password_min: words::password_min(&visit.accounts.settings),
    };
    visit.page(status, &page)
}
