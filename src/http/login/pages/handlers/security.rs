//! `/security`: what an account has, and its sessions.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::agent;
use super::form::MemberSent;
use super::visit::{Member, see_other};
use crate::account::model::Method;
use crate::clock::Timestamp;
use crate::db::accounts::FactorRow;
use crate::http::extract::StrictQuery;
use crate::http::login::pages::frame::{Field, Notice};
use crate::http::login::pages::security::{IdentifierRow, PasskeyRow, SecurityPage, SessionRow};
use crate::http::problem::Problem;

/// Where the options of a new passkey come from.
const PASSKEY_OPTIONS: &str = "/security/passkeys/options";
/// After a change.
pub const SAVED: &str = "/security?done=saved";
/// After a proof.
pub const CONFIRMED: &str = "/security?done=confirmed";
/// After a refusal.
pub const LAST_ONE: &str = "/security?done=last-one";
/// After an answer of a passkey that is none.
pub const PASSKEY_FAILED: &str = "/security?done=passkey-failed";

/// A form that is only a button.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What the page says first: one of these, and no words of the request's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoneQuery {
    done: Option<Done>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Done {
    Saved,
    Confirmed,
    LastOne,
    PasskeyFailed,
}

/// One of the sessions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionForm {
    session: Uuid,
}

/// The page.
pub async fn show(member: Member, StrictQuery(query): StrictQuery<DoneQuery>) -> Result<Response, Problem> {
    let notice = query.done.map(|done| match done {
        Done::Saved => Notice::Saved,
        Done::Confirmed => Notice::Confirmed,
        Done::LastOne => Notice::LastOne,
        Done::PasskeyFailed => Notice::PasskeyFailed,
    });
    page(&member, StatusCode::OK, notice, Field::default()).await
}

/// To the page, for whoever reads a path that is only posted to.
pub async fn back() -> Response {
    see_other("/security")
}

/// Ends another session of the account; one that is not there is ended already.
pub async fn revoke(MemberSent { member, form }: MemberSent<SessionForm>) -> Result<Response, Problem> {
    member.visit.accounts.end_session(&member.visit.visitor, &member.current, form.session).await?;
    Ok(see_other(SAVED))
}

/// Ends all of them but this one.
pub async fn revoke_others(MemberSent { member, .. }: MemberSent<Nothing>) -> Result<Response, Problem> {
    member.visit.accounts.end_other_sessions(&member.visit.visitor, &member.current).await?;
    Ok(see_other(SAVED))
}

/// The page, with a notice and what somebody wrote as a new number or address.
pub async fn page(member: &Member, status: StatusCode, notice: Option<Notice>, typed: Field<'_>) -> Result<Response, Problem> {
    let (visit, current) = (&member.visit, &member.current);
    let factors = visit.accounts.factors(current).await?;
    let identifiers: Vec<_> = visit.accounts.identifiers(current).await?.into_iter().map(|found| (found.id.to_string(), found)).collect();
    let rows: Vec<_> =
        identifiers.iter().map(|(id, found)| IdentifierRow { id, value: &found.value, is_confirmed: found.proven_at.is_some() }).collect();
    let passkeys: Vec<_> = of(&factors, Method::Passkey).map(|factor| (factor.id.to_string(), factor)).collect();
    let passkeys: Vec<_> = passkeys.iter().map(|(id, factor)| PasskeyRow { id, name: &factor.name, added_at: since(factor) }).collect();
    let mut sessions: Vec<_> = visit
        .accounts
        .sessions(current)
        .await?
        .into_iter()
        .map(|session| (session.id.to_string(), agent::name(&session.agent), session))
        .collect();
    sessions.sort_by_key(|(_, _, session)| session.id != current.session.id);
    let sessions: Vec<_> = sessions
        .iter()
        .map(|(id, agent, session)| SessionRow {
            id,
            agent,
            address: &session.address,
            seen_at: session.seen_at,
            is_this: session.id == current.session.id,
        })
        .collect();
    // Without a fresh proof the button leads to the page that asks for one.
    let new_passkey = if member.is_fresh() { PASSKEY_OPTIONS } else { "" };
    let page = SecurityPage {
        frame: visit.frame(notice),
        identifiers: &rows,
        new_identifier: typed,
        totp: of(&factors, Method::Totp).next().map(since),
        passkeys: &passkeys,
        new_passkey: visit.accounts.passkeys_work().then_some(new_passkey),
        codes_left: of(&factors, Method::RecoveryCode).count(),
        sessions: &sessions,
        has_password: current.account.password.is_some(),
    };
    visit.page(status, &page)
}

fn of(factors: &[FactorRow], method: Method) -> impl Iterator<Item = &FactorRow> {
    factors.iter().filter(move |factor| factor.method == method)
}

fn since(factor: &FactorRow) -> Timestamp {
    factor.confirmed_at.unwrap_or(factor.created_at)
}
