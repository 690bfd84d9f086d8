//! Who asks for a page, what the page is shown in, and how it is answered.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::LoginPages;
use crate::account::Accounts;
use crate::account::model::Visitor;
use crate::account::secret_token::SecretToken;
use crate::account::sessions::{Current, SignedIn};
use crate::app::App;
use crate::clock::seconds_rounded_up;
use crate::http::login::browser::{Browser, SetCookies};
use crate::http::login::pages::frame::{Frame, Notice};
use crate::http::problem::{Problem, ProblemCode, SOON};
use crate::verification::limit::{Limited, is_permanent};

/// Keeps the tokens of forms apart from everything else that is made of a browser's token.
const FORM: &str = "form";

/// Somebody at a browser.
pub struct Visit {
    pub app: Arc<App>,
    pub accounts: Arc<Accounts>,
    pub visitor: Visitor,
    /// A sign-in or a confirmation under way.
    pub flow: Option<SecretToken>,
    /// A reset under way.
    pub reset: Option<SecretToken>,
    session: Option<SecretToken>,
    pages: Arc<LoginPages>,
    /// A browser shows the answer to somebody, who may go back to it and read it again.
    pub is_shown: bool,
    /// The browser had no name yet.
    is_new: bool,
    csrf: String,
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Visit, Problem> {
        let (Some(accounts), Some(pages)) = (&app.accounts, &app.login_pages) else { return Err(Problem::new(ProblemCode::NotFound)) };
        let browser = Browser::from_request_parts(parts, app).await?;
        let is_new = browser.visitor.browser.is_none();
        let Browser { visitor, flow, reset, session } = browser.known(app);
        let visitor = Visitor { keeps_cookies: true, ..visitor };
        let csrf = visitor.browser.as_ref().map(|browser| form_token(accounts, browser)).unwrap_or_default();
        let is_shown = parts.headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        let (app, accounts, pages) = (Arc::clone(app), Arc::clone(accounts), Arc::clone(pages));
        Ok(Visit { app, accounts, visitor, flow, reset, session, pages, is_shown, is_new, csrf })
    }
}

/// What a form of this browser carries: nobody can make it without the browser's cookie and our key.
fn form_token(accounts: &Accounts, browser: &SecretToken) -> String {
    let digest = accounts.peppers.current.digest(b"countersign form\0", |field| field(browser.hash(FORM).as_bytes()));
    URL_SAFE_NO_PAD.encode(digest)
}

impl Visit {
    /// Whether a form with this token was shown to this browser.
    pub fn is_own_form(&self, token: &str) -> bool {
        !self.is_new && bool::from(token.as_bytes().ct_eq(self.csrf.as_bytes()))
    }

    /// Around a page.
    pub fn frame(&self, notice: Option<Notice>) -> Frame<'_> {
        Frame { words: self.pages.catalogue.of(&self.visitor.locale), brand: &self.pages.brand, csrf: &self.csrf, notice }
    }

    /// Cookies of an answer: the browser's name, where it has none yet, since forms are bound to it.
    pub fn cookies(&self) -> SetCookies {
        let cookies = SetCookies::new(&self.app);
        if self.is_new { cookies.browser(&self.visitor) } else { cookies }
    }

    /// A page.
    pub fn page(&self, status: StatusCode, page: &impl Template) -> Result<Response, Problem> {
        self.page_with(status, self.cookies(), page)
    }

    /// A page, with these cookies.
    pub fn page_with(&self, status: StatusCode, cookies: SetCookies, page: &impl Template) -> Result<Response, Problem> {
        let html = page.render().map_err(Problem::internal)?;
        let mut response = (status, cookies, Html(html)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(SOON.as_secs()));
        }
        Ok(response)
    }

    /// Ends well: the session's cookie, and on to `path`. A session that this browser had before is over (SES-02).
    pub async fn signed_in(&self, signed_in: &SignedIn, path: &'static str) -> Result<Response, Problem> {
        if let Some(before) = self.current().await?.filter(|before| before.session.id != signed_in.session.id) {
            self.accounts.sign_out(&self.visitor, &before).await?;
        }
        let cookies = SetCookies::new(&self.app).signed_in(signed_in, &self.visitor, self.accounts.clock.now());
        Ok((cookies, see_other(path)).into_response())
    }

    /// The session that the browser brings.
    pub async fn current(&self) -> Result<Option<Current>, Problem> {
        match &self.session {
            Some(token) => Ok(self.accounts.current(token).await?),
            None => Ok(None),
        }
    }
}

/// Somebody who is signed in. Everybody else is sent to `/login`.
pub struct Member {
    pub visit: Visit,
    pub current: Current,
}

impl FromRequestParts<Arc<App>> for Member {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Member, Response> {
        let visit = Visit::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        Member::of(visit).await
    }
}

impl Member {
    /// Finds the session. From here on the pages speak the person's own language.
    pub async fn of(mut visit: Visit) -> Result<Member, Response> {
        match visit.current().await {
            Ok(Some(current)) => {
                visit.visitor.locale = Arc::clone(&current.account.locale);
                Ok(Member { visit, current })
            }
            Ok(None) => Err(see_other("/login")),
            Err(problem) => Err(problem.into_response()),
        }
    }

    /// Whether they have shown a short while ago who they are (MFA-04).
    pub fn is_fresh(&self) -> bool {
        self.visit.accounts.is_fresh(&self.current)
    }

    /// What they sign in with, for pages that name them.
    pub async fn identifier(&self) -> Result<String, Problem> {
        let identifiers = self.visit.accounts.identifiers(&self.current).await?;
        Ok(identifiers.into_iter().next().map(|identifier| identifier.value).unwrap_or_default())
    }
}

/// On to another page, by GET.
pub fn see_other(path: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static(path))]).into_response()
}

/// What a page says about a limit: how long to wait, where waiting helps.
pub fn wait(limited: &Limited) -> Notice {
    if is_permanent(limited.retry_after) { Notice::CodeNotSent } else { Notice::Wait(seconds_rounded_up(limited.retry_after)) }
}

/// The same for programs (`Retry-After`).
pub fn retry_after(mut response: Response, limited: &Limited) -> Response {
    if !is_permanent(limited.retry_after) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds_rounded_up(limited.retry_after)));
    }
    response
}
