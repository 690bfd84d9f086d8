//! An authenticator app: set up, turned on by its first code, given up.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::code::without_spaces;
use super::confirm::{self, Then};
use super::form::MemberSent;
use super::security::{self, Nothing};
use super::visit::{Member, see_other};
use crate::account::factors::Enrolled;
use crate::account::model::Method;
use crate::http::login::pages::frame::{Field, Invalid, Notice};
use crate::http::login::pages::security::TotpPage;
use crate::http::problem::Problem;

/// The first code of the app.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotpForm {
    #[serde(default)]
    code: String,
}

/// Makes a secret; the page that shows it is read next, so that reading it again makes no other one.
pub async fn start(MemberSent { member, .. }: MemberSent<Nothing>) -> Result<Response, Problem> {
    match member.visit.accounts.begin_totp(&member.current).await? {
        Enrolled::Done(_) => Ok(see_other("/security/totp")),
        Enrolled::NotFresh => Ok(confirm::first(Then::Security)),
        Enrolled::Wrong | Enrolled::Impossible | Enrolled::Limited(_) => Ok(see_other("/security")),
    }
}

/// The secret that waits for its first code.
pub async fn show(member: Member) -> Result<Response, Problem> {
    page(&member, StatusCode::OK, None).await
}

/// Its first code.
pub async fn confirm(MemberSent { member, form }: MemberSent<TotpForm>) -> Result<Response, Problem> {
    let (visit, current) = (&member.visit, &member.current);
    if !member.is_fresh() {
        return Ok(confirm::first(Then::Security));
    }
    let Some(waiting) = visit.accounts.waiting_totp(current).await? else {
        return security::page(&member, StatusCode::UNPROCESSABLE_ENTITY, Some(Notice::FormExpired), Field::default()).await;
    };
    match visit.accounts.confirm_totp(&visit.visitor, current, waiting.id, "", &without_spaces(&form.code)).await? {
        Enrolled::Done(()) => Ok(see_other(security::SAVED)),
        Enrolled::NotFresh => Ok(confirm::first(Then::Security)),
        Enrolled::Wrong | Enrolled::Impossible | Enrolled::Limited(_) => page(&member, StatusCode::UNAUTHORIZED, Some(Invalid::Code)).await,
    }
}

/// Gives the app up.
pub async fn remove(MemberSent { member, .. }: MemberSent<Nothing>) -> Result<Response, Problem> {
    let (visit, current) = (&member.visit, &member.current);
    for factor in visit.accounts.factors(current).await?.into_iter().filter(|factor| factor.method == Method::Totp) {
        if visit.accounts.remove_factor(&visit.visitor, current, factor.id).await? == Enrolled::NotFresh {
            return Ok(confirm::first(Then::Security));
        }
    }
    Ok(see_other(security::SAVED))
}

async fn page(member: &Member, status: StatusCode, error: Option<Invalid>) -> Result<Response, Problem> {
    let visit = &member.visit;
    let Some(waiting) = visit.accounts.waiting_totp(&member.current).await? else { return Ok(see_other("/security")) };
    let key = in_groups(&waiting.secret);
    visit.page(status, &TotpPage { frame: visit.frame(None), qr_svg: &waiting.qr, link: &waiting.uri, key: &key, error })
}

/// As people copy it: four characters, and a space.
fn in_groups(secret: &str) -> String {
    let characters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = characters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_in_groups_of_four() {
        assert_eq!(in_groups("ABCDEFGHIJ"), "ABCD EFGH IJ");
        assert_eq!(in_groups(""), "");
    }
}
