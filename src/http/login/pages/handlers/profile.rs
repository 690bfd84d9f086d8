//! `/profile`, and the way out.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::form::Sent;
use super::security::Nothing;
use super::visit::{Member, see_other};
use crate::http::login::browser::Cookie;
use crate::http::login::pages::entry::{LogoutPage, ProfilePage};
use crate::http::problem::Problem;

/// Greets whoever is signed in.
pub async fn show(member: Member) -> Result<Response, Problem> {
    let identifier = member.identifier().await?;
    let name = Some(member.current.account.full_name.as_str()).filter(|name| !name.is_empty());
    let page = ProfilePage { frame: member.visit.frame(None), full_name: name.unwrap_or(&identifier) };
    member.visit.page(StatusCode::OK, &page)
}

/// A button: reading a page signs nobody out (WEB-05).
pub async fn ask_to_leave(member: Member) -> Result<Response, Problem> {
    member.visit.page(StatusCode::OK, &LogoutPage { frame: member.visit.frame(None) })
}

/// Ends the session, and whatever was begun beside it.
pub async fn leave(Sent { visit, .. }: Sent<Nothing>) -> Result<Response, Problem> {
    if let Some(current) = visit.current().await? {
        visit.accounts.sign_out(&visit.visitor, &current).await?;
    }
    if let Some(flow) = &visit.flow {
        visit.accounts.give_up(flow).await?;
    }
    Ok((visit.cookies().clear(Cookie::Session).clear(Cookie::Flow), see_other("/login")).into_response())
}
