//! `/recover`: a code on paper in place of the second step; and the making of such codes.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::confirm;
use super::form::{MemberSent, Sent};
use super::security::{self, Nothing};
use super::step::sign_in_again;
use super::visit::{Visit, retry_after, see_other, wait};
use crate::account::factors::Enrolled;
use crate::account::second_factor::{Proof, Proved};
use crate::account::sign_in::FlowRef;
use crate::http::login::pages::code::RecoverPage;
use crate::http::login::pages::frame::{Field, Invalid, Notice};
use crate::http::login::pages::security::CodesPage;
use crate::http::problem::{Problem, ProblemCode};

/// The fields of the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverForm {
    #[serde(default)]
    code: String,
}

/// The form, while a sign-in is under way.
pub async fn show(visit: Visit) -> Result<Response, Problem> {
    let Some(flow) = visit.flow.clone() else { return Ok(see_other("/login")) };
    match visit.accounts.step(&visit.visitor, &FlowRef::Token(flow)).await? {
        Some(_) => page(&visit, StatusCode::OK, None, None),
        None => Ok(see_other("/login")),
    }
}

/// The code.
pub async fn send(Sent { visit, form }: Sent<RecoverForm>) -> Result<Response, Problem> {
    let Some(flow) = visit.flow.clone() else { return sign_in_again(&visit) };
    match visit.accounts.prove(&visit.visitor, &FlowRef::Token(flow), Proof::RecoveryCode(form.code), false).await? {
        Proved::Done(signed_in) => visit.signed_in(&signed_in, "/profile").await,
        Proved::Next(_) => Ok(see_other("/verify")),
        Proved::Wrong => page(&visit, StatusCode::UNAUTHORIZED, None, Some(Invalid::Code)),
        Proved::Ended => sign_in_again(&visit),
        Proved::Limited(limited) => Ok(retry_after(page(&visit, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), None)?, &limited)),
        Proved::NotJudged => page(&visit, StatusCode::SERVICE_UNAVAILABLE, Some(Notice::Busy), None),
    }
}

fn page(visit: &Visit, status: StatusCode, notice: Option<Notice>, error: Option<Invalid>) -> Result<Response, Problem> {
    visit.page(status, &RecoverPage { frame: visit.frame(notice), error })
}

/// New codes, shown once (REC-02).
pub async fn make(MemberSent { member, .. }: MemberSent<Nothing>) -> Result<Response, Problem> {
    let visit = &member.visit;
    match visit.accounts.make_recovery_codes(&visit.visitor, &member.current).await? {
        Enrolled::Done(codes) => visit.page(StatusCode::OK, &CodesPage { frame: visit.frame(None), codes: &codes }),
        Enrolled::NotFresh => Ok(confirm::first(confirm::Then::Security)),
        Enrolled::Limited(limited) => {
            let page = security::page(&member, StatusCode::TOO_MANY_REQUESTS, Some(wait(&limited)), Field::default()).await?;
            Ok(retry_after(page, &limited))
        }
        Enrolled::Wrong | Enrolled::Impossible => Err(Problem::new(ProblemCode::NotFound)),
    }
}
