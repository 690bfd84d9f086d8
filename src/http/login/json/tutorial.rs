//! The four routes of the Express and React tutorial, in its words: register, sign in, show the code, and a page that only
//! people who did all that may see. Its reader's wishes stand beside them: send again, refresh tokens, and codes of factors.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::account::register::{Registered, Registration};
use crate::account::second_factor::{Proof, Proved};
use crate::account::sign_in::{FlowRef, SignIn, Step};
use crate::app::App;
use crate::http::extract::{OptionalJson, Peer, StrictJson, body, is_form, is_json, parse_json};
use crate::http::login::browser::{Browser, SetCookies};
use crate::http::login::json::answers::{MessageBody, ProtectedBody, SignedInBody};
use crate::http::login::json::bodies::{LoginBody, RegisterBody, VerifyBody, WhoBody, needed, typed};
use crate::http::login::json::code::{asked, meant, signed_in};
use crate::http::login::json::refusals::{ErrorBody, Plain, PlainRefusals, not_sent};
use crate::http::login::person::{Bearer, People};
use crate::http::problem::{Problem, ProblemCode};
use crate::http::tutorial::{Refusal, gateway};

type Answer = Result<Response, Refusal<Plain>>;

/// Make an account
///
/// The answer is the same whether or not the number or address belongs to somebody: its owner is told.
#[utoipa::path(
    post, path = "/auth/register", tag = "Sign-in", operation_id = "register", request_body = RegisterBody,
    responses((status = 201, description = "It is made, or was before.", body = MessageBody), PlainRefusals),
)]
pub async fn register(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    body: Result<StrictJson<RegisterBody>, Problem>,
) -> Answer {
    let body = body?.0;
    if !accounts.settings.registration {
        return Err(Problem::new(ProblemCode::NotFound).detail("Nobody registers here by themselves.").into());
    }
    let wanted = Registration {
        full_name: body.full_name.unwrap_or_default(),
        phone: body.phone,
        email: body.email,
        password: body.password.0.to_string(),
    };
    match accounts.register(&browser.visitor, wanted).await? {
        Registered::Made | Registered::Taken(_) => {
            let body = MessageBody { message: "Registered successfully", method: None };
            Ok((StatusCode::CREATED, SetCookies::new(&app), Json(body)).into_response())
        }
        Registered::Invalid(invalid) => Err(Problem::from(invalid).into()),
        Registered::Limited(limited) => Err(Problem::from(limited).into()),
    }
}

/// Sign in: the password
///
/// Sends a code, and begins a flow that only this browser can end (by its cookie), or, for clients without cookies, only a
/// client of the same network that names the same address. Where the account has an authenticator app or a passkey,
/// `method` says that it is asked for.
#[utoipa::path(
    post, path = "/auth/login", tag = "Sign-in", operation_id = "signIn", request_body = LoginBody,
    responses(
        (status = 200, description = "Right: on to the code. Where none is needed, the end of the sign-in.", body = SignedInBody),
        (status = 401, description = "Unknown, wrong, disabled: all the same.", body = ErrorBody),
        PlainRefusals,
    ),
)]
pub async fn login(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    body: Result<StrictJson<LoginBody>, Problem>,
) -> Answer {
    let body = body?.0;
    let typed = needed(typed(body.email, body.phone, body.identifier)?)?;
    let browser = browser.known(&app);
    match accounts.sign_in(&browser.visitor, &typed, &body.password.0).await? {
        SignIn::Next(step) => Ok(next(&app, &browser, *step)),
        SignIn::Done(done) => Ok(signed_in(&app, &accounts, &browser, &done, false).await?),
        SignIn::Refused => Ok(unauthorized("Invalid credentials")),
        SignIn::Limited(limited) => Err(Problem::from(limited).into()),
    }
}

/// The next step, with its flow's cookie: also where no code could be sent, since another method may do.
fn next(app: &App, browser: &Browser, step: Step) -> Response {
    let cookies = SetCookies::new(app).flow(step.token.as_ref(), &browser.visitor);
    let body = asked(&step);
    match step.not_sent {
        Some(reason) => (cookies, Refusal::<Plain>::from(not_sent(reason))).into_response(),
        None => (cookies, Json(body)).into_response(),
    }
}

/// Send the code again
#[utoipa::path(
    post, path = "/auth/resend-otp", tag = "Sign-in", operation_id = "resendCode", request_body = WhoBody,
    responses(
        (status = 200, description = "It is on its way.", body = MessageBody),
        (status = 409, description = "There is no sign-in under way: begin again.", body = ErrorBody),
        PlainRefusals,
    ),
)]
pub async fn resend(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    body: Result<OptionalJson<WhoBody>, Problem>,
) -> Answer {
    let body = body?.0;
    let which = which(&browser, typed(body.email, body.phone, body.identifier)?)?;
    match accounts.ask(&browser.visitor, &which, None).await? {
        Some(step) => Ok(next(&app, &browser, step)),
        None => Err(Problem::new(ProblemCode::FlowEnded).into()),
    }
}

/// Sign in: the code
///
/// The same path serves the OTP gateway tutorial, where that is switched on: a body with `request_id` is meant for it.
#[utoipa::path(
    post, path = "/auth/verify-otp", tag = "Sign-in", operation_id = "showCode", request_body = VerifyBody,
    responses(
        (status = 200, description = "Signed in; or, with `message`, one more step is needed.", body = SignedInBody),
        (status = 401, description = "Wrong, expired, used, or nothing under way: all the same.", body = ErrorBody),
        PlainRefusals,
    ),
)]
pub async fn verify(
    State(app): State<Arc<App>>,
    People(accounts): People,
    browser: Browser,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Answer {
    let headers = request.headers().clone();
    let bytes = body(request).await?;
    if app.tutorial_api && (is_form(&headers) || names_a_request(&bytes)) {
        return Ok(gateway::verify(&app, peer, &headers, &bytes).await.into_response());
    }
    if !is_json(&headers) {
        return Err(Problem::new(ProblemCode::UnsupportedMediaType).detail("Send Content-Type: application/json.").into());
    }
    let body: VerifyBody = parse_json(&bytes)?;
    let which = which(&browser, typed(body.email, body.phone, body.identifier)?)?;
    let proof = Proof::Code(body.code.0.to_string());
    match accounts.prove(&browser.visitor, &which, proof, body.remember).await? {
        Proved::Done(done) => Ok(signed_in(&app, &accounts, &browser, &done, body.refresh).await?),
        Proved::Next(step) => Ok(next(&app, &browser, *step)),
        Proved::Wrong | Proved::Ended => Ok(unauthorized("Invalid or expired OTP")),
        Proved::Limited(limited) => Err(Problem::from(limited).into()),
        Proved::NotJudged => Err(Problem::not_judged().into()),
    }
}

/// Whether the body is one of the gateway tutorial's.
fn names_a_request(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Names {
        request_id: Option<IgnoredAny>,
        #[serde(rename = "requestId")]
        camel: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Names>(bytes).is_ok_and(|names| names.request_id.is_some() || names.camel.is_some())
}

/// A page for people who are signed in
///
/// The tutorial's example of a service behind access tokens: it shows what the token says.
#[utoipa::path(
    get, path = "/protected", tag = "Sign-in", operation_id = "protected",
    responses(
        (status = 200, description = "Good, and its session alive.", body = ProtectedBody),
        (status = 401, description = "No token, or not a good one.", body = ErrorBody),
        (status = 503, description = "The server cannot do this right now.", body = ErrorBody),
    ),
    security(("access_token" = [])),
)]
pub async fn protected(bearer: Result<Bearer, Problem>) -> Answer {
    let Bearer(claims) = bearer?;
    let user = serde_json::to_value(claims).map_err(Problem::internal)?;
    Ok(Json(ProtectedBody { message: "Welcome!", user }).into_response())
}

/// The sign-in that is meant. A client without cookies has to name whose.
fn which(browser: &Browser, typed: Option<String>) -> Result<FlowRef, Problem> {
    match meant(browser, typed)? {
        Some(flow) => Ok(flow),
        None => needed(None).map(FlowRef::Typed),
    }
}

fn unauthorized(error: &str) -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({ "error": error }))).into_response()
}
