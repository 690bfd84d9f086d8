//! Numbers and addresses: claimed, proven by a code, given up.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::code::without_spaces;
use super::confirm::{self, Then};
use super::form::MemberSent;
use super::visit::{Member, retry_after, see_other, wait};
use super::{security, words};
use crate::account::identifiers::{Claimed, IdentifierProved, IdentifierRemoved};
use crate::account::model::{Identifier, IdentifierKind, Method};
use crate::clock::{Timestamp, seconds_rounded_up};
use crate::http::login::pages::code::{CONFIRM_IDENTIFIER, VerifyPage};
use crate::http::login::pages::frame::{Field, Invalid, Notice, Way};
use crate::http::problem::Problem;

/// A number or address that somebody typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddForm {
    #[serde(default)]
    identifier: String,
}

/// One that is on the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdForm {
    identifier: Uuid,
}

/// The code that was sent there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyForm {
    identifier: Uuid,
    #[serde(default)]
    code: String,
}

/// Claims one and sends a code there.
pub async fn add(MemberSent { member, form }: MemberSent<AddForm>) -> Result<Response, Problem> {
    claim(&member, &form.identifier, None).await
}

/// Sends a code to one that is not proven yet.
pub async fn send(MemberSent { member, form }: MemberSent<IdForm>) -> Result<Response, Problem> {
    match find(&member, form.identifier).await? {
        Some(identifier) => claim(&member, &identifier.value, Some(&identifier)).await,
        None => Ok(see_other("/security")),
    }
}

async fn claim(member: &Member, typed: &str, known: Option<&Identifier>) -> Result<Response, Problem> {
    match member.visit.accounts.add_identifier(&member.visit.visitor, &member.current, typed).await? {
        Claimed::Sent { identifier, resend_after } => Shown { resend_after, ..Shown::new(&identifier) }.on(member),
        Claimed::Owned(_) => Ok(see_other("/security")),
        Claimed::NotFresh => Ok(confirm::first(Then::Security)),
        Claimed::Invalid(_) => {
            let field = Field { value: typed, error: Some(words::identifier(typed, Invalid::PhoneOrEmail)) };
            security::page(member, StatusCode::UNPROCESSABLE_ENTITY, None, field).await
        }
        Claimed::Limited(limited) => {
            let (status, notice) = (StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)));
            let page = match known {
                // A code is on its way already, and somebody waits for it.
                Some(identifier) => Shown { status, notice, ..Shown::new(identifier) }.on(member)?,
                None => security::page(member, status, notice, Field { value: typed, error: None }).await?,
            };
            Ok(retry_after(page, &limited))
        }
    }
}

/// Proves one.
pub async fn verify(MemberSent { member, form }: MemberSent<VerifyForm>) -> Result<Response, Problem> {
    let visit = &member.visit;
    let Some(identifier) = find(&member, form.identifier).await? else { return Ok(see_other("/security")) };
    let shown = Shown::new(&identifier);
    let code = without_spaces(&form.code);
    match visit.accounts.prove_identifier(&visit.visitor, &member.current, form.identifier, &code).await? {
        IdentifierProved::Done => Ok(see_other(security::CONFIRMED)),
        IdentifierProved::Wrong => Shown { status: StatusCode::UNAUTHORIZED, error: Some(Invalid::Code), ..shown }.on(&member),
        IdentifierProved::OfAnother => Shown { status: StatusCode::UNPROCESSABLE_ENTITY, error: Some(Invalid::Taken), ..shown }.on(&member),
        IdentifierProved::Limited(limited) => {
            let page = Shown { status: StatusCode::TOO_MANY_REQUESTS, notice: Some(wait(&limited)), ..shown }.on(&member)?;
            Ok(retry_after(page, &limited))
        }
        IdentifierProved::NotJudged => Shown { status: StatusCode::SERVICE_UNAVAILABLE, notice: Some(Notice::Busy), ..shown }.on(&member),
    }
}

/// Gives one up.
pub async fn remove(MemberSent { member, form }: MemberSent<IdForm>) -> Result<Response, Problem> {
    Ok(match member.visit.accounts.remove_identifier(&member.visit.visitor, &member.current, form.identifier).await? {
        IdentifierRemoved::Done => see_other(security::SAVED),
        IdentifierRemoved::NotFresh => confirm::first(Then::Security),
        IdentifierRemoved::LastOne => see_other(security::LAST_ONE),
        IdentifierRemoved::NotFound => see_other("/security"),
    })
}

async fn find(member: &Member, id: Uuid) -> Result<Option<Identifier>, Problem> {
    let all = member.visit.accounts.identifiers(&member.current).await?;
    Ok(all.into_iter().find(|identifier| identifier.id == id))
}

/// The page that waits for the code.
struct Shown<'a> {
    identifier: &'a Identifier,
    status: StatusCode,
    notice: Option<Notice>,
    error: Option<Invalid>,
    resend_after: Timestamp,
}

impl Shown<'_> {
    fn new(identifier: &Identifier) -> Shown<'_> {
        Shown { identifier, status: StatusCode::OK, notice: None, error: None, resend_after: Timestamp(0) }
    }

    fn on(&self, member: &Member) -> Result<Response, Problem> {
        let (visit, id) = (&member.visit, self.identifier.id.to_string());
        let method = if self.identifier.kind == IdentifierKind::Phone { Method::Sms } else { Method::Email };
        let page = VerifyPage {
            frame: visit.frame(self.notice),
            path: CONFIRM_IDENTIFIER,
            hidden: &[("identifier", &id)],
            way: Way { method, address: &self.identifier.value },
            is_asked: true,
            error: self.error,
            resend_in: Some(seconds_rounded_up(visit.accounts.clock.now().until(self.resend_after))),
            passkey: None,
            others: &[],
            may_remember: false,
            back: "/security",
        };
        visit.page(self.status, &page)
    }
}
