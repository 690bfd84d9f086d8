//! What a browser brings and takes away: cookies, and who it is for the services.
//!
//! Cookies hold random tokens and nothing else (SES-07). Over TLS their names begin with `__Host-`, so that no other host and
//! no page without TLS can set them; a developer's plain HTTP has plain names. `SameSite=Lax`: a link from elsewhere finds
//! people signed in, a form or a script from elsewhere does not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponseParts, ResponseParts};

use crate::account::completion::BROWSER_LIFE;
use crate::account::model::Visitor;
use crate::account::secret_token::SecretToken;
use crate::account::sessions::SignedIn;
use crate::app::App;
use crate::clock::Timestamp;
use crate::delivery::words;
use crate::http::extract::{Peer, client_address};
use crate::http::login::origin::{Sender, sender};
use crate::http::problem::{Problem, ProblemCode};

/// A flow ends by itself before that.
const FLOW_LIFE: Duration = Duration::from_secs(30 * 60);

/// Which cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// Somebody is signed in.
    Session,
    /// Somebody has begun to sign in, or to confirm a session.
    Flow,
    /// Somebody has asked for another password.
    Reset,
    /// Somebody signed in here before.
    Browser,
}

impl Cookie {
    /// Every one.
    pub const ALL: [Cookie; 4] = [Cookie::Session, Cookie::Flow, Cookie::Reset, Cookie::Browser];

    /// Its name.
    pub fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Cookie::Session, true) => "__Host-countersign_session",
            (Cookie::Session, false) => "countersign_session",
            (Cookie::Flow, true) => "__Host-countersign_flow",
            (Cookie::Flow, false) => "countersign_flow",
            (Cookie::Reset, true) => "__Host-countersign_reset",
            (Cookie::Reset, false) => "countersign_reset",
            (Cookie::Browser, true) => "__Host-countersign_browser",
            (Cookie::Browser, false) => "countersign_browser",
        }
    }

    /// Its token, where the request has one.
    pub fn of(self, headers: &HeaderMap, app: &App) -> Option<SecretToken> {
        let name = self.name(is_secure(app));
        pairs(headers).find(|(given, _)| *given == name).and_then(|(_, value)| SecretToken::parse(value))
    }
}

/// Whether people reach us over TLS.
pub fn is_secure(app: &App) -> bool {
    app.public_url.starts_with("https://")
}

/// Whether the request has a cookie of ours, good or not.
pub fn has_cookies(headers: &HeaderMap, app: &App) -> bool {
    let secure = is_secure(app);
    pairs(headers).any(|(name, _)| Cookie::ALL.iter().any(|cookie| cookie.name(secure) == name))
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// Who is at the other end, and what they have begun.
pub struct Browser {
    /// For the services.
    pub visitor: Visitor,
    /// The session that it had until now, good or not.
    pub session: Option<SecretToken>,
    /// A sign-in or a confirmation under way.
    pub flow: Option<SecretToken>,
    /// A reset under way.
    pub reset: Option<SecretToken>,
}

impl Browser {
    /// For the first step of a sign-in: one that was never seen gets a token, by which it is known the next time.
    pub fn known(mut self, app: &App) -> Browser {
        self.visitor.browser.get_or_insert_with(|| SecretToken::random(app.entropy()));
        self
    }
}

impl FromRequestParts<Arc<App>> for Browser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Browser, Problem> {
        let Some(Peer(peer)) = parts.extensions.get::<Peer>() else { return Err(Problem::internal("a request without a peer")) };
        let Some(accounts) = &app.accounts else { return Err(Problem::new(ProblemCode::NotFound)) };
        let headers = &parts.headers;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let locale = wanted_locale(text(header::ACCEPT_LANGUAGE)).map(Arc::from);
        // Who said so or showed one keeps them; of whom else it is not known yet.
        let keeps_cookies =
            sender(headers, app) == Sender::Own || [Cookie::Browser, Cookie::Flow].iter().any(|cookie| cookie.of(headers, app).is_some());
        let visitor = Visitor {
            keeps_cookies,
            ip: client_address(*peer, headers, &app.trusted_proxies),
            agent: text(header::USER_AGENT).to_owned(),
            browser: Cookie::Browser.of(headers, app),
            locale: locale.unwrap_or_else(|| Arc::clone(&accounts.engine.policy(&accounts.settings.service).locale)),
        };
        let cookie = |cookie: Cookie| cookie.of(headers, app);
        Ok(Browser { visitor, session: cookie(Cookie::Session), flow: cookie(Cookie::Flow), reset: cookie(Cookie::Reset) })
    }
}

/// The shipped language that `Accept-Language` likes best.
fn wanted_locale(accepted: &str) -> Option<&'static str> {
    let mut best = None;
    for part in accepted.split(',').take(20) {
        let (tag, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = match parameters.trim().strip_prefix("q=") {
            Some(weight) => weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0),
            None => 1.0,
        };
        let language = tag.trim().split('-').next().unwrap_or_default();
        let shipped = words::SHIPPED.iter().find(|(locale, _)| locale.eq_ignore_ascii_case(language));
        if let Some((locale, _)) = shipped.filter(|_| weight > 0.0 && best.is_none_or(|(_, earlier)| weight > earlier)) {
            best = Some((*locale, weight));
        }
    }
    best.map(|(locale, _)| locale)
}

/// `Set-Cookie` lines of an answer.
pub struct SetCookies {
    secure: bool,
    lines: Vec<HeaderValue>,
}

impl SetCookies {
    /// None yet.
    pub fn new(app: &App) -> SetCookies {
        SetCookies { secure: is_secure(app), lines: Vec::new() }
    }

    /// Sets one for so long.
    pub fn set(self, cookie: Cookie, token: &SecretToken, life: Duration) -> SetCookies {
        self.line(cookie, token.expose(), life)
    }

    /// Takes one away.
    pub fn clear(self, cookie: Cookie) -> SetCookies {
        self.line(cookie, "", Duration::ZERO)
    }

    /// A flow that has begun, and the name of its browser. Without a new token nothing changes.
    pub fn flow(self, token: Option<&SecretToken>, visitor: &Visitor) -> SetCookies {
        let Some(token) = token else { return self };
        self.set(Cookie::Flow, token, FLOW_LIFE).browser(visitor)
    }

    /// The name of a browser, for the token of its forms.
    pub fn browser(self, visitor: &Visitor) -> SetCookies {
        match &visitor.browser {
            Some(browser) => self.set(Cookie::Browser, browser, BROWSER_LIFE),
            None => self,
        }
    }

    /// A reset that has begun.
    pub fn reset(self, token: &SecretToken) -> SetCookies {
        self.set(Cookie::Reset, token, FLOW_LIFE)
    }

    /// A session that has begun, or has another token; the flow is over.
    pub fn signed_in(self, signed_in: &SignedIn, visitor: &Visitor, now: Timestamp) -> SetCookies {
        let life = now.until(signed_in.session.expires_at);
        self.set(Cookie::Session, &signed_in.token, life).clear(Cookie::Flow).browser(visitor)
    }

    fn line(mut self, cookie: Cookie, value: &str, life: Duration) -> SetCookies {
        let (name, secure) = (cookie.name(self.secure), if self.secure { "; Secure" } else { "" });
        let line = format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", life.as_secs());
        if let Ok(mut line) = HeaderValue::try_from(line) {
            line.set_sensitive(true);
            self.lines.push(line);
        }
        self
    }
}

impl IntoResponseParts for SetCookies {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        for line in self.lines {
            parts.headers_mut().append(header::SET_COOKIE, line);
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_language_that_is_shipped() {
        for (accepted, wanted) in [
            ("de-AT,de;q=0.9,en;q=0.8", Some("de")),
            ("en;q=0.2, fr-CA;q=0.7", Some("fr")),
            ("tlh, *;q=0.1", None),
            ("de;q=0, pt-BR;q=0.1", Some("pt")),
            ("de;q=nonsense", None),
            ("", None),
        ] {
            assert_eq!(wanted_locale(accepted), wanted, "{accepted}");
        }
    }
}
