//! Who is signed in: by the session's cookie, or by an access token whose session still lives (SES-04).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::account::Accounts;
use crate::account::model::Visitor;
use crate::account::sessions::Current;
use crate::account::token::ShownFor;
use crate::account::token::claims::Claims;
use crate::app::App;
use crate::http::extract::bearer;
use crate::http::login::browser::{Browser, Cookie};
use crate::http::problem::{Problem, ProblemCode};

/// The services of people.
pub struct People(pub Arc<Accounts>);

impl FromRequestParts<Arc<App>> for People {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &Arc<App>) -> Result<People, Problem> {
        app.accounts.clone().map(People).ok_or_else(|| Problem::new(ProblemCode::NotFound))
    }
}

/// Somebody who is signed in.
pub struct Person {
    /// Their session and account.
    pub current: Current,
    /// For the services.
    pub visitor: Visitor,
    /// Whether the session came as a cookie, so that its new token has to go into one.
    pub by_cookie: bool,
}

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Person, Problem> {
        let People(accounts) = People::from_request_parts(parts, app).await?;
        let visitor = Browser::from_request_parts(parts, app).await?.visitor;
        // Whoever sends a token means it, and not the cookie that a browser adds.
        if let Some(token) = bearer(&parts.headers) {
            let found = accounts.current_by_access_token(token, ShownFor::Account).await?;
            return found.map(|(current, _)| Person { current, visitor, by_cookie: false }).ok_or_else(sign_in);
        }
        let Some(token) = Cookie::Session.of(&parts.headers, app) else { return Err(sign_in()) };
        let current = accounts.current(&token).await?;
        current.map(|current| Person { current, visitor, by_cookie: true }).ok_or_else(sign_in)
    }
}

/// A good access token, and nothing else, with what it says.
pub struct Bearer(pub Claims);

impl FromRequestParts<Arc<App>> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Bearer, Problem> {
        let People(accounts) = People::from_request_parts(parts, app).await?;
        let Some(token) = bearer(&parts.headers) else { return Err(sign_in()) };
        let found = accounts.current_by_access_token(token, ShownFor::Entry).await?;
        found.map(|(_, claims)| Bearer(claims)).ok_or_else(sign_in)
    }
}

fn sign_in() -> Problem {
    Problem::new(ProblemCode::SignInRequired)
}
