//! `/not-me/TOKEN`: the page behind a mail's link "I did not ask for this".
//!
//! Reading it does nothing, however often: mail scanners follow links (OTP-12). Its button calls the verification off. What
//! is unknown, over or called off looks the same: there is nothing to cancel. Works without a script, in the mail's language.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use crate::app::App;
use crate::delivery::not_me::PATH;
use crate::delivery::words::PageTexts;
use crate::http::extract::{Peer, client_address};
use crate::http::problem::Problem;
use crate::verification::model::{Status, Verification};
use crate::verification::policy::DEFAULT_SERVICE;
use crate::verification::request::Caller;
use crate::verification::store::CancelOutcome;

/// The route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route(&format!("{PATH}{{token}}"), get(show).post(call_off))
}

#[derive(Template)]
#[template(path = "pages/not_me.html")]
struct NotMePage<'a> {
    language: &'a str,
    direction: &'a str,
    brand: &'a str,
    title: &'a str,
    text: &'a str,
    button: Option<&'a str>,
}

/// What the page is about.
#[derive(Clone, Copy)]
enum Stage {
    /// It asks.
    Ask,
    /// It did.
    Done,
    /// There is nothing to do.
    Gone,
}

impl Stage {
    fn texts(self, texts: &PageTexts) -> (&str, &str, Option<&str>) {
        match self {
            Stage::Ask => (&texts.title, &texts.text, Some(&texts.button)),
            Stage::Done => (&texts.done_title, &texts.done_text, None),
            Stage::Gone => (&texts.gone_title, &texts.gone_text, None),
        }
    }
}

type Token = Result<Path<String>, PathRejection>;

async fn show(State(app): State<Arc<App>>, token: Token) -> Result<Response, Problem> {
    let found = find(&app, token).await?;
    let pending = found.as_ref().is_some_and(|verification| verification.status_at(app.engine.clock.now()) == Status::Pending);
    page(&app, found.as_ref(), if pending { Stage::Ask } else { Stage::Gone })
}

async fn call_off(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    token: Token,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(found) = find(&app, token).await? else { return page(&app, None, Stage::Gone) };
    let ip = Some(client_address(peer.0, &headers, &app.trusted_proxies));
    let caller = Caller { service: Arc::clone(&found.service), client: None, ip, idempotency_key: None, has_paid: false };
    let stage = match app.engine.disown(&caller, found.id).await? {
        CancelOutcome::Canceled(_) => Stage::Done,
        CancelOutcome::Ended(_) | CancelOutcome::NotFound => Stage::Gone,
    };
    page(&app, Some(&found), stage)
}

async fn find(app: &App, token: Token) -> Result<Option<Verification>, Problem> {
    let named = token.ok().and_then(|Path(token)| app.cancel_links.as_ref()?.open(&token));
    let Some((service, id)) = named else { return Ok(None) };
    Ok(app.engine.get(&service, id).await?.map(|(verification, _)| verification))
}

fn page(app: &App, found: Option<&Verification>, stage: Stage) -> Result<Response, Problem> {
    let policy = app.engine.policy(found.map_or(DEFAULT_SERVICE, |verification| &verification.service));
    let locale = found.map_or(&policy.locale, |verification| &verification.locale);
    let words = app.renderer.page(locale, &policy).ok_or_else(|| Problem::internal("no texts for the page"))?;
    let (title, text, button) = stage.texts(words.texts);
    let page = NotMePage { language: words.language, direction: words.direction, brand: &policy.brand, title, text, button };
    page.render().map(|html| Html(html).into_response()).map_err(Problem::internal)
}
