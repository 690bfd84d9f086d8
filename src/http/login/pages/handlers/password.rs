//! `/security/password`: another password, by the old one.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::confirm::{self, Then};
use super::form::MemberSent;
use super::visit::{Member, retry_after, see_other, wait};
use super::{security, words};
use crate::account::confirm::Confirmed;
use crate::account::reset::Changed;
use crate::account::sessions::Current;
use crate::http::login::browser::SetCookies;
use crate::http::login::pages::frame::{Invalid, Notice};
use crate::http::login::pages::reset::PasswordPage;
use crate::http::problem::Problem;

/// The fields of the page. `username` is there for password managers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordForm {
    #[serde(default, rename = "username")]
    _username: String,
    #[serde(default)]
    current_password: String,
    #[serde(default)]
    new_password: String,
}

/// The form. Whoever has no password yet shows in another way who they are.
pub async fn show(member: Member) -> Result<Response, Problem> {
    if member.current.account.password.is_none() && !member.is_fresh() {
        return Ok(confirm::first(Then::Password));
    }
    page(&member, StatusCode::OK, None, None, None).await
}

/// The old one confirms the session, whose token is another one from then on (SES-02); the new one ends all other sessions.
pub async fn change(MemberSent { member, form }: MemberSent<PasswordForm>) -> Result<Response, Problem> {
    let visit = &member.visit;
    if member.current.account.password.is_none() {
        return set(&member, &member.current, SetCookies::new(&visit.app), &form.new_password).await;
    }
    match visit.accounts.confirm_by_password(&visit.visitor, &member.current, &form.current_password).await? {
        Confirmed::Done(confirmed) => {
            let cookies = SetCookies::new(&visit.app).signed_in(&confirmed, &visit.visitor, visit.accounts.clock.now());
            let wants_two = member.current.wants_two;
            let current = Current { session: confirmed.session.clone(), account: confirmed.account.clone(), wants_two, by_its_token: true };
            set(&member, &current, cookies, &form.new_password).await
        }
        Confirmed::Wrong => page(&member, StatusCode::UNAUTHORIZED, Some(Notice::WrongCredentials), None, None).await,
        Confirmed::Limited(limited) => {
            let page = page(&member, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), None, None).await?;
            Ok(retry_after(page, &limited))
        }
        Confirmed::Ended => Ok(see_other("/login")),
    }
}

async fn set(member: &Member, current: &Current, cookies: SetCookies, new: &str) -> Result<Response, Problem> {
    let visit = &member.visit;
    match visit.accounts.change_password(&visit.visitor, current, new).await? {
        Changed::Done => Ok((cookies, see_other(security::SAVED)).into_response()),
        Changed::NotFresh => Ok(confirm::first(Then::Password)),
        Changed::Limited(limited) => {
            let page = page(member, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), None, None).await?;
            Ok((cookies, retry_after(page, &limited)).into_response())
        }
        Changed::Invalid(_) => {
            let wrong = words::password(new, &visit.accounts.settings);
            Ok((cookies, page(member, StatusCode::UNPROCESSABLE_ENTITY, None, None, Some(wrong)).await?).into_response())
        }
    }
}

async fn page(
    member: &Member,
    status: StatusCode,
    notice: Option<Notice>,
    current: Option<Invalid>,
    new: Option<Invalid>,
) -> Result<Response, Problem> {
    let visit = &member.visit;
    let page = PasswordPage {
        frame: visit.frame(notice),
        identifier: &member.identifier().await?,
        has_password: member.current.account.password.is_some(),
        current,
        new,
        password_min: words::password_min(&visit.accounts.settings),
    };
    visit.page(status, &page)
}
