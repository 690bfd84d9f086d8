//! The public keys of the issuer: fetched when they are first needed, kept for five minutes, and fetched again for a key that
//! nobody here knows, at most every ten seconds. The address comes from our own settings and never from a token.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use tokio::sync::Mutex;

use crate::person::Person;

const KEEP: Duration = Duration::from_secs(300);
const UNKNOWN_AGAIN: Duration = Duration::from_secs(10);

/// Judges tokens.
pub struct Keys {
    url: String,
    http: reqwest::Client,
    expected: Validation,
    known: Mutex<Option<(Instant, JwkSet)>>,
}

impl Keys {
    /// For tokens of that issuer to that audience.
    pub fn new(issuer: String, audience: String) -> reqwest::Result<Keys> {
        // One algorithm: what a token says about itself decides nothing.
        let mut expected = Validation::new(Algorithm::EdDSA);
        expected.set_issuer(&[&issuer]);
        expected.set_audience(&[&audience]);
        expected.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        expected.validate_nbf = true;
        expected.leeway = 5;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Keys { url: format!("{issuer}/.well-known/jwks.json"), http, expected, known: Mutex::default() })
    }

    /// Who the token speaks of. None: it is not good.
    pub async fn judge(&self, token: &str) -> Result<Option<Person>, reqwest::Error> {
        let Ok(header) = decode_header(token) else { return Ok(None) };
        let (Some(kid), Some("at+jwt")) = (header.kid, header.typ.as_deref()) else { return Ok(None) };
        let Some(key) = self.find(&kid).await? else { return Ok(None) };
        Ok(decode(token, &key, &self.expected).ok().map(|token| token.claims))
    }

    async fn find(&self, kid: &str) -> Result<Option<DecodingKey>, reqwest::Error> {
        let mut known = self.known.lock().await;
        let found = |known: &Option<(Instant, JwkSet)>| {
            known.as_ref().and_then(|(_, keys)| keys.find(kid)).and_then(|key| DecodingKey::from_jwk(key).ok())
        };
        let key = found(&known);
        let keep = if key.is_some() { KEEP } else { UNKNOWN_AGAIN };
        if known.as_ref().is_some_and(|(at, _)| at.elapsed() < keep) {
            return Ok(key);
        }
        let keys = self.http.get(&self.url).send().await?.error_for_status()?.json().await?;
        *known = Some((Instant::now(), keys));
        Ok(found(&known))
    }
}
