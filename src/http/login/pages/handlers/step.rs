//! The page of a step: what is asked for, what else would do, and what came of what somebody showed. Signing in and
//! confirming a session are the same steps under different paths.

use axum::http::StatusCode;
use axum::response::Response;

use super::login;
use super::visit::{Visit, retry_after, wait};
use crate::account::model::Method;
use crate::account::second_factor::{Proof, Proved};
use crate::account::secret_token::SecretToken;
use crate::account::sign_in::{FlowRef, NotSent, Step};
use crate::account::ways;
use crate::clock::seconds_rounded_up;
use crate::http::login::browser::SetCookies;
use crate::http::login::pages::code::{VERIFY, VerifyPage};
use crate::http::login::pages::frame::{Invalid, Notice, Way};
use crate::http::problem::Problem;
use crate::verification::limit::is_permanent;

/// How a step is shown.
#[derive(Clone, Copy)]
pub struct StepView<'a> {
    /// Where its forms go.
    pub path: &'static str,
    /// Fields that every form sends back.
    pub hidden: &'a [(&'a str, &'a str)],
    /// Where somebody goes who does not want to go on.
    pub back: &'static str,
    /// Where a right answer leads.
    pub then: &'static str,
    /// Whether paper will do, and whether the browser may be remembered: when signing in.
    pub signs_in: bool,
    status: StatusCode,
    notice: Option<Notice>,
    error: Option<Invalid>,
}

impl<'a> StepView<'a> {
    /// `/verify`.
    pub fn sign_in(hidden: &'a [(&'a str, &'a str)]) -> StepView<'a> {
        StepView { path: VERIFY, hidden, back: "/login", then: "/profile", signs_in: true, ..StepView::plain() }
    }

    /// `/security/confirm/code`.
    pub fn confirm(hidden: &'a [(&'a str, &'a str)], then: &'static str) -> StepView<'a> {
        StepView { path: "/security/confirm/code", hidden, back: "/security/confirm", then, ..StepView::plain() }
    }

    fn plain() -> StepView<'a> {
        let (path, then) = (VERIFY, "/profile");
        StepView { path, hidden: &[], back: "/login", then, signs_in: false, status: StatusCode::OK, notice: None, error: None }
    }

    /// With this above it.
    pub fn notice(self, status: StatusCode, notice: Notice) -> StepView<'a> {
        StepView { status, notice: Some(notice), ..self }
    }
}

/// The page of a step, wherever it stands.
pub async fn show_step(visit: &Visit, step: Step, view: StepView<'_>) -> Result<Response, Problem> {
    let Some(flow) = step.token.clone().or_else(|| visit.flow.clone()) else { return sign_in_again(visit) };
    let which = FlowRef::Token(flow);
    let step = match step.method {
        // A challenge is shown once: a page that is read again gets another.
        Some(Method::Passkey) if step.passkey.is_none() => match visit.accounts.ask(&visit.visitor, &which, step.method).await? {
            Some(again) => Step { token: step.token, not_sent: step.not_sent, ..again },
            None => return sign_in_again(visit),
        },
        _ => step,
    };
    let ways = visit.accounts.ways(&visit.visitor, &which).await?;
    let Some(method) = step.method.or(ways.first().map(|(method, _)| *method)) else {
        return login::page(visit, StatusCode::UNPROCESSABLE_ENTITY, Some(Notice::CodeNotSent), "");
    };
    let address = step.sent_to.clone().or_else(|| ways.iter().find(|(way, _)| *way == method).and_then(|(_, to)| to.clone()));
    let others: Vec<_> =
        ways.iter().filter(|(way, _)| *way != method && (view.signs_in || *way != Method::RecoveryCode)).map(way).collect();
    let passkey = step.passkey.as_ref().map(ToString::to_string);
    let (status, notice) = match &step.not_sent {
        Some(NotSent::Limited(limited)) => (StatusCode::TOO_MANY_REQUESTS, Some(wait(limited))),
        Some(NotSent::Impossible) => (StatusCode::UNPROCESSABLE_ENTITY, Some(Notice::CodeNotSent)),
        None => (view.status, view.notice),
    };
    let left = match &step.not_sent {
        Some(NotSent::Limited(limited)) if !is_permanent(limited.retry_after) => limited.retry_after,
        _ => visit.accounts.clock.now().until(step.resend_after),
    };
    let page = VerifyPage {
        frame: visit.frame(notice),
        path: view.path,
        hidden: view.hidden,
        way: Way { method, address: address.as_deref().unwrap_or_default() },
        is_asked: step.method.is_some(),
        error: view.error,
        resend_in: method.channel().map(|_| seconds_rounded_up(left)),
        passkey: passkey.as_deref(),
        others: &others,
        may_remember: view.signs_in && !visit.accounts.settings.remember_browser.is_zero(),
        back: view.back,
    };
    let cookies = match &step.token {
        Some(token) => SetCookies::new(&visit.app).flow(Some(token), &visit.visitor),
        None => visit.cookies(),
    };
    let response = visit.page_with(status, cookies, &page)?;
    Ok(match &step.not_sent {
        Some(NotSent::Limited(limited)) => retry_after(response, limited),
        _ => response,
    })
}

/// A way as pages show it.
pub fn way((method, to): &ways::Way) -> Way<'_> {
    Way { method: *method, address: to.as_deref().unwrap_or_default() }
}

/// Judges what somebody shows, and shows what came of it.
pub async fn judge(visit: &Visit, proof: Proof, remember: bool, view: StepView<'_>) -> Result<Response, Problem> {
    let Some(flow) = &visit.flow else { return sign_in_again(visit) };
    let is_passkey = matches!(proof, Proof::Passkey(_));
    match visit.accounts.prove(&visit.visitor, &FlowRef::Token(flow.clone()), proof, remember).await? {
        Proved::Done(signed_in) => visit.signed_in(&signed_in, view.then).await,
        Proved::Next(step) => show_step(visit, *step, view).await,
        Proved::Wrong if is_passkey => again(visit, flow, view.notice(StatusCode::UNAUTHORIZED, Notice::PasskeyFailed)).await,
        Proved::Wrong => again(visit, flow, StepView { status: StatusCode::UNAUTHORIZED, error: Some(Invalid::Code), ..view }).await,
        Proved::Ended => sign_in_again(visit),
        Proved::Limited(limited) => {
            let page = again(visit, flow, view.notice(StatusCode::TOO_MANY_REQUESTS, wait(&limited))).await?;
            Ok(retry_after(page, &limited))
        }
        Proved::NotJudged => again(visit, flow, view.notice(StatusCode::SERVICE_UNAVAILABLE, Notice::Busy)).await,
    }
}

/// The step of the browser's flow, as it stands.
pub async fn again(visit: &Visit, flow: &SecretToken, view: StepView<'_>) -> Result<Response, Problem> {
    match visit.accounts.step(&visit.visitor, &FlowRef::Token(flow.clone())).await? {
        Some(step) => show_step(visit, step, view).await,
        None => sign_in_again(visit),
    }
}

/// Sends the code again. Too early is refused here as the engine would refuse it, whether or not anybody is there (ENM-01).
pub async fn resend(visit: &Visit, view: StepView<'_>) -> Result<Response, Problem> {
    let Some(flow) = &visit.flow else { return sign_in_again(visit) };
    let which = FlowRef::Token(flow.clone());
    let Some(step) = visit.accounts.step(&visit.visitor, &which).await? else { return sign_in_again(visit) };
    let left = visit.accounts.clock.now().until(step.resend_after);
    if !left.is_zero() {
        let seconds = seconds_rounded_up(left);
        let mut page = show_step(visit, step, view.notice(StatusCode::TOO_MANY_REQUESTS, Notice::Wait(seconds))).await?;
        page.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
        return Ok(page);
    }
    match visit.accounts.ask(&visit.visitor, &which, None).await? {
        Some(step) => show_step(visit, step, view.notice(StatusCode::OK, Notice::CodeSent)).await,
        None => again(visit, flow, view).await,
    }
}

/// Another way to go on.
pub async fn change_method(visit: &Visit, method: Method, view: StepView<'_>) -> Result<Response, Problem> {
    let Some(flow) = &visit.flow else { return sign_in_again(visit) };
    match visit.accounts.ask(&visit.visitor, &FlowRef::Token(flow.clone()), Some(method)).await? {
        Some(step) => show_step(visit, step, view).await,
        // A method that is not the account's: the step stands where it stood.
        None => again(visit, flow, view).await,
    }
}

/// What was begun is over, or was begun in another browser.
pub fn sign_in_again(visit: &Visit) -> Result<Response, Problem> {
    login::page(visit, StatusCode::UNAUTHORIZED, Some(Notice::SignInAgain), "")
}
