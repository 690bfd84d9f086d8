//! Who is signed in, and that it is still they.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::account::confirm::Confirmed;
use crate::account::second_factor::{Proof, Proved};
use crate::account::secret_token::SecretToken;
use crate::account::sessions::SignedIn;
use crate::account::sign_in::{FlowRef, Step};
use crate::account::{AccountError, Accounts};
use crate::app::App;
use crate::http::extract::StrictJson;
use crate::http::login::browser::{Browser, SetCookies};
use crate::http::login::json::answers::{MeBody, SessionItem, SignedInBody, StepBody};
use crate::http::login::json::bodies::ConfirmBody;
use crate::http::login::json::code::tokens;
use crate::http::login::json::refusals::{BodyRefusals, PersonRefusals, not_sent, wrong};
use crate::http::login::person::{People, Person};
use crate::http::problem::{Problem, ProblemBody, ProblemCode};
use crate::verification::request::InvalidField;

/// Who is signed in
#[utoipa::path(
    get, path = "/auth/me", tag = "Account", operation_id = "getMe",
    responses((status = 200, description = "The account and this session.", body = MeBody), PersonRefusals),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn me(People(accounts): People, person: Person) -> Result<Json<MeBody>, Problem> {
    let identifiers = accounts.identifiers(&person.current).await?.into_iter().map(Into::into).collect();
    let is_fresh = accounts.is_fresh(&person.current);
    let (session, account) = (person.current.session, person.current.account);
    let id = session.id;
    Ok(Json(MeBody {
        id: account.id,
        full_name: account.full_name,
        roles: account.roles,
        identifiers,
        session: SessionItem::new(session, id),
        is_fresh,
    }))
}

/// Confirm who one is
///
/// For changes that matter (`confirmation_required`). With `password`: done at once. With `method`: that factor is asked
/// for, and what it shows comes in a second call, as `code` or `credential`. The session's cookie gets another value.
#[utoipa::path(
    post, path = "/auth/confirm", tag = "Account", operation_id = "confirmSession", request_body = ConfirmBody,
    responses(
        (status = 200, description = "Confirmed: a new access token. After `method`: what is asked for (a Step).", body = SignedInBody),
        (status = 409, description = "`flow_ended`.", body = ProblemBody, content_type = "application/problem+json"),
        PersonRefusals,
        BodyRefusals,
    ),
    security(("access_token" = []), ("session" = [])),
)]
pub async fn confirm(
    State(app): State<Arc<App>>,
    People(accounts): People,
    person: Person,
    browser: Browser,
    StrictJson(body): StrictJson<ConfirmBody>,
) -> Result<Response, Problem> {
    let done = match body {
        ConfirmBody { password: Some(password), method: None, confirm_token: None, code: None, credential: None } => {
            match accounts.confirm_by_password(&person.visitor, &person.current, &password.0).await? {
                Confirmed::Done(done) => done,
                Confirmed::Wrong => return Err(wrong()),
                Confirmed::Limited(limited) => return Err(limited.into()),
                Confirmed::Ended => return Err(Problem::new(ProblemCode::SignInRequired)),
            }
        }
        ConfirmBody { password: None, method: Some(method), confirm_token: None, code: None, credential: None } => {
            let begun = accounts.begin_confirmation_by(&person.visitor, &person.current, method).await?;
            let Some(token) = begun.token.clone() else { return Err(AccountError::Row("flow").into()) };
            let step = begun.methods.contains(&method).then_some(begun);
            return began(&app, &person, token, step);
        }
        ConfirmBody { password: None, method: None, confirm_token, code, credential } => {
            let proof = match (code, credential) {
                (Some(code), None) => Proof::Code(code.0.to_string()),
                (None, Some(credential)) => Proof::Passkey(credential),
                (Some(_), Some(_)) | (None, None) => return Err(one_of_them()),
            };
            // Whoever names one means that one, and not whatever a browser still holds.
            let token = match confirm_token {
                Some(named) => SecretToken::parse(&named.0),
                None => browser.flow,
            };
            let token = token.ok_or_else(|| Problem::new(ProblemCode::FlowEnded))?;
            match accounts.prove(&person.visitor, &FlowRef::Token(token), proof, false).await? {
                Proved::Done(done) if done.session.id == person.current.session.id => done,
                // A flow of somebody else's, or a sign-in: it is no confirmation of this session.
                Proved::Done(_) | Proved::Next(_) | Proved::Ended => return Err(Problem::new(ProblemCode::FlowEnded)),
                Proved::Wrong => return Err(wrong()),
                Proved::Limited(limited) => return Err(limited.into()),
                Proved::NotJudged => return Err(Problem::not_judged()),
            }
        }
        _ => return Err(one_of_them()),
    };
    confirmed(&app, &accounts, &person, &done).await
}

fn began(app: &App, person: &Person, token: SecretToken, step: Option<Step>) -> Result<Response, Problem> {
    let Some(step) = step else {
        return Err(InvalidField::new("method", "must be one that the account has").into());
    };
    if let Some(reason) = step.not_sent {
        return Err(not_sent(reason));
    }
    let cookies = SetCookies::new(app).flow(person.by_cookie.then_some(&token), &person.visitor);
    let body = StepBody { confirm_token: (!person.by_cookie).then(|| token.expose().to_owned()), ..StepBody::from(step) };
    Ok((cookies, Json(body)).into_response())
}

async fn confirmed(app: &App, accounts: &Accounts, person: &Person, done: &SignedIn) -> Result<Response, Problem> {
    let body = tokens(accounts, done, false).await?;
    let cookies = SetCookies::new(app);
    let cookies = if person.by_cookie { cookies.signed_in(done, &person.visitor, accounts.clock.now()) } else { cookies };
    Ok((cookies, Json(body)).into_response())
}

fn one_of_them() -> Problem {
    InvalidField::new("password", "or method, or code, or credential must be given: one of them").into()
}
