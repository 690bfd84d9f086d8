//! The second step by other ways, and sign-ins that begin without a password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::account::Accounts;
use crate::account::model::Method;
use crate::account::passwordless::Passwordless;
use crate::account::second_factor::{Proof, Proved};
use crate::account::sessions::SignedIn;
use crate::account::sign_in::{FlowRef, Step};
use crate::app::App;
use crate::http::extract::{OptionalJson, StrictJson};
use crate::http::login::browser::{Browser, SetCookies};
use crate::http::login::json::answers::{MessageBody, SignedInBody, StepBody};
use crate::http::login::json::bodies::{IdentifierBody, MethodBody, PasskeyBody, RecoverBody, WhoBody, needed, typed};
use crate::http::login::json::refusals::{BodyRefusals, not_sent, wrong};
use crate::http::login::person::People;
use crate::http::problem::{Problem, ProblemBody, ProblemCode};

/// Where a sign-in stands
///
/// What was asked for, and every method that would do.
#[utoipa::path(
    post, path = "/auth/methods", tag = "Sign-in", operation_id = "listMethods", request_body = WhoBody,
    responses(
        (status = 200, description = "Where it stands.", body = StepBody),
        (status = 409, description = "`flow_ended`.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
)]
pub async fn methods(
    People(accounts): People,
    browser: Browser,
    OptionalJson(body): OptionalJson<WhoBody>,
) -> Result<Json<StepBody>, Problem> {
    let which = which(&browser, typed(body.email, body.phone, body.identifier)?)?;
    let step = accounts.step(&browser.visitor, &which).await?;
    step.map(|step| Json(step.into())).ok_or_else(|| Problem::new(ProblemCode::FlowEnded))
}

/// Try another way
///
/// Sends a code by another channel, or asks for another factor.
#[utoipa::path(
    post, path = "/auth/method", tag = "Sign-in", operation_id = "chooseMethod", request_body = MethodBody,
    responses(
        (status = 200, description = "It is asked for.", body = StepBody),
        (status = 409, description = "`flow_ended`: or the account has no such method.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
)]
pub async fn method(
    People(accounts): People,
    browser: Browser,
    StrictJson(body): StrictJson<MethodBody>,
) -> Result<Json<StepBody>, Problem> {
    let which = which(&browser, body.identifier)?;
    let step = accounts.ask(&browser.visitor, &which, Some(body.method)).await?;
    match step {
        Some(Step { not_sent: Some(reason), .. }) => Err(not_sent(reason)),
        Some(step) => Ok(Json(step.into())),
        None => Err(Problem::new(ProblemCode::FlowEnded)),
    }
}

/// Sign in by a code alone
///
/// Where the operator allows it. The answer is the same whether or not anybody is there. The code goes to `/auth/verify-otp`.
#[utoipa::path(
    post, path = "/auth/code", tag = "Sign-in", operation_id = "signInByCode", request_body = IdentifierBody,
    responses(
        (status = 200, description = "If anybody is there, a code is on its way.", body = MessageBody),
        (status = 404, description = "`not_found`: not allowed here.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
)]
pub async fn code(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    StrictJson(body): StrictJson<IdentifierBody>,
) -> Result<Response, Problem> {
    let browser = browser.known(&app);
    match accounts.sign_in_by_code(&browser.visitor, &body.identifier).await? {
        Passwordless::Begun(step) => {
            let cookies = SetCookies::new(&app).flow(step.token.as_ref(), &browser.visitor);
            Ok((cookies, Json(MessageBody { message: "OTP sent", method: None })).into_response())
        }
        Passwordless::Invalid(invalid) => Err(invalid.into()),
        Passwordless::Limited(limited) => Err(limited.into()),
        Passwordless::Off => Err(Problem::new(ProblemCode::NotFound).detail("A code alone signs nobody in here.")),
    }
}

/// A recovery code
///
/// In place of the second factor. Each is good once.
#[utoipa::path(
    post, path = "/auth/recover", tag = "Sign-in", operation_id = "showRecoveryCode", request_body = RecoverBody,
    responses(
        (status = 200, description = "Signed in.", body = SignedInBody),
        (status = 409, description = "`flow_ended`.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
)]
pub async fn recover(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    StrictJson(body): StrictJson<RecoverBody>,
) -> Result<Response, Problem> {
    let which = which(&browser, body.identifier)?;
    let proof = Proof::RecoveryCode(body.code.0.to_string());
    let proved = accounts.prove(&browser.visitor, &which, proof, false).await?;
    proved_by(&app, &accounts, &browser, proved, body.refresh).await
}

/// Begin with a passkey
///
/// A sign-in whose only step is a passkey: the options for `navigator.credentials.get`.
#[utoipa::path(
    post, path = "/auth/passkey/options", tag = "Sign-in", operation_id = "beginPasskeySignIn",
    responses(
        (status = 200, description = "The options, as `passkey`.", body = StepBody),
        (status = 404, description = "`not_found`: browsers offer no passkeys here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`limited`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn passkey_options(State(app): State<Arc<App>>, People(accounts): People, browser: Browser) -> Result<Response, Problem> {
    if !accounts.passkeys_work() {
        return Err(Problem::new(ProblemCode::NotFound).detail("Browsers offer no passkeys here."));
    }
    let browser = browser.known(&app);
    let step = accounts.sign_in_by_passkey(&browser.visitor).await??;
    let cookies = SetCookies::new(&app).flow(step.token.as_ref(), &browser.visitor);
    Ok((cookies, Json(StepBody::from(step))).into_response())
}

/// Show a passkey
///
/// As the only step, or as the second one. It needs the flow's cookie: passkeys are for browsers.
#[utoipa::path(
    post, path = "/auth/passkey", tag = "Sign-in", operation_id = "showPasskey", request_body = PasskeyBody,
    responses(
        (status = 200, description = "Signed in.", body = SignedInBody),
        (status = 409, description = "`flow_ended`.", body = ProblemBody, content_type = "application/problem+json"),
        BodyRefusals,
    ),
)]
pub async fn passkey(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    StrictJson(body): StrictJson<PasskeyBody>,
) -> Result<Response, Problem> {
    let which = which(&browser, body.identifier)?;
    let proved = accounts.prove(&browser.visitor, &which, Proof::Passkey(body.credential), false).await?;
    proved_by(&app, &accounts, &browser, proved, body.refresh).await
}

async fn proved_by(app: &App, accounts: &Accounts, browser: &Browser, proved: Proved, refresh: bool) -> Result<Response, Problem> {
    match proved {
        Proved::Done(done) => signed_in(app, accounts, browser, &done, refresh).await,
        Proved::Next(step) => Ok(Json(asked(&step)).into_response()),
        Proved::Wrong => Err(wrong()),
        Proved::Ended => Err(Problem::new(ProblemCode::FlowEnded)),
        Proved::Limited(limited) => Err(limited.into()),
        Proved::NotJudged => Err(Problem::not_judged()),
    }
}

/// A browser's cookie, or what was typed; none where there is neither.
pub fn meant(browser: &Browser, typed: Option<String>) -> Result<Option<FlowRef>, Problem> {
    match (&browser.flow, typed) {
        (Some(token), _) => Ok(Some(FlowRef::Token(token.clone()))),
        (None, Some(typed)) => needed(Some(typed)).map(FlowRef::Typed).map(Some),
        (None, None) => Ok(None),
    }
}

/// The sign-in that is meant. No cookie and nothing typed: nothing is under way.
fn which(browser: &Browser, typed: Option<String>) -> Result<FlowRef, Problem> {
    meant(browser, typed)?.ok_or_else(|| Problem::new(ProblemCode::FlowEnded))
}

/// What a step asks for, in the tutorial's words.
pub fn asked(step: &Step) -> MessageBody {
    match step.method {
        Some(method @ (Method::Totp | Method::Passkey | Method::RecoveryCode)) => {
            MessageBody { message: "OTP required", method: Some(method) }
        }
        Some(_) | None => MessageBody { message: "OTP sent", method: None },
    }
}

/// The end of a sign-in: cookies for browsers, tokens for others. Whatever session the browser had before has ended
/// (SES-02).
pub async fn signed_in(app: &App, accounts: &Accounts, browser: &Browser, done: &SignedIn, refresh: bool) -> Result<Response, Problem> {
    if let Some(before) = &browser.session
        && let Some(current) = accounts.current(before).await?
    {
        accounts.sign_out(&browser.visitor, &current).await?;
    }
    let body = tokens(accounts, done, refresh).await?;
    Ok((SetCookies::new(app).signed_in(done, &browser.visitor, accounts.clock.now()), Json(body)).into_response())
}

/// The tokens of a session.
pub async fn tokens(accounts: &Accounts, done: &SignedIn, refresh: bool) -> Result<SignedInBody, Problem> {
    let access = accounts.access_token(&done.account, &done.session, accounts.audience(None)?).await?;
    let refresh_token = match refresh {
        true => accounts.refresh_token(&done.session).await?,
        false => None,
    };
    let expires_in = refresh.then(|| access.claims.expires_in(accounts.clock.now()));
    let refresh_token = refresh_token.map(|token| token.expose().to_owned());
    Ok(SignedInBody { token: Some(access.token.expose().clone()), refresh_token, expires_in, ..SignedInBody::default() })
}
