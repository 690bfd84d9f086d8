//! Posts forms to URLs that integrators name, signed as Twilio signs: what happens to factors, and what became of texts.
//!
//! Whoever causes one does not wait. They are held in memory, tried a few times, and then given up with a word in the log: a
//! crash loses those that wait. The URL is a tenant's, so it must be public, whatever its name leads to later (OPS-06).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use url::{Host, Url};
use uuid::Uuid;

use crate::db::twilio::CredentialTable;
use crate::delivery::http::{Http, HttpError, call};
use crate::delivery::public_address::is_public;
use crate::delivery::twilio_signature;
use crate::secret::Peppers;

/// Posts that may wait or be under way.
const QUEUE: usize = 1024;
/// Posts under way at once.
const AT_ONCE: usize = 16;
/// Tries after the first.
const RETRIES: u32 = 3;
/// Each wait is so many times as long as the one before.
const LONGER: u32 = 4;
/// Longest URL, in bytes.
const URL_MAX_BYTES: usize = 2048;

/// Posts what is to be told.
pub struct SignedPost {
    http: Http,
    allow_private: bool,
    credentials: CredentialTable,
    peppers: Peppers,
    retry_wait: Duration,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    runtime: Handle,
}

impl SignedPost {
    /// Must be called within the runtime. `allow_private`: plain HTTP, and addresses that are not public.
    pub fn new(credentials: CredentialTable, peppers: Peppers, allow_private: bool, retry_wait: Duration) -> Result<SignedPost, HttpError> {
        let http = if allow_private { Http::new()? } else { Http::public_only()? };
        let (places, turns) = (Arc::new(Semaphore::new(QUEUE)), Arc::new(Semaphore::new(AT_ONCE)));
        Ok(SignedPost { http, allow_private, credentials, peppers, retry_wait, places, turns, runtime: Handle::current() })
    }

    /// Whether anything would be posted there. The error is a rule that follows the field's name.
    pub fn accepts(&self, url: &str) -> Result<(), String> {
        judged(url, self.allow_private).map(drop).map_err(str::to_owned)
    }

    /// Posts the form, signed with the Auth Token of that client. Never waits.
    pub fn post(self: &Arc<Self>, client: Uuid, url: String, form: Vec<(String, String)>) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(%client, "a call to an integrator was dropped: too many wait");
            return;
        };
        let this = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(cause) = this.deliver(client, &url, &form).await {
                // Neither the URL nor the form: both may hold names of people.
                tracing::warn!(%client, cause, "a call to an integrator was given up");
            }
            drop(place);
        });
    }

    async fn deliver(&self, client: Uuid, url: &str, form: &[(String, String)]) -> Result<(), String> {
        // What was accepted once may have been so under other settings.
        let url = judged(url, self.allow_private)?;
        let token = self.credentials.auth_token(client, &self.peppers).await.map_err(|error| error.to_string())?;
        let token = token.ok_or("the client has no Auth Token to sign with")?;
        let signature = twilio_signature::sign(&token, url.as_str(), form).ok_or("it could not be signed")?;
        let mut cause = String::new();
        for round in 0..=RETRIES {
            if round > 0 {
                tokio::time::sleep(self.retry_wait * LONGER.pow(round - 1)).await;
            }
            let Ok(_turn) = self.turns.acquire().await else { return Err("the server stops".into()) };
            cause = match call(self.http.post(url.as_str()).header(twilio_signature::HEADER, &signature).form(form)).await {
                Ok(response) if response.is_success() => return Ok(()),
                Ok(response) => format!("answered {}", response.status),
                Err(error) => error.to_string(),
            };
        }
        Err(cause)
    }
}

/// A URL of a tenant's as it is called and signed, if it may be: its host in lower case, a path, and nothing behind `#`. A name is
/// judged whenever it is looked up; an address is judged here.
fn judged(url: &str, allow_private: bool) -> Result<Url, &'static str> {
    let mut parsed = Url::parse(url).map_err(|_| "must be a URL such as https://example.com/hook")?;
    // The parser leaves them out: what was meant is not for us to guess.
    if url.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err("must have no spaces and no control characters");
    }
    match (parsed.scheme(), allow_private) {
        ("https", _) | ("http", true) => {}
        _ => return Err("must begin with https://"),
    }
    let address = match parsed.host() {
        None => return Err("must name a host"),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
    };
    if url.len() > URL_MAX_BYTES || !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must have no user and no password, and at most 2048 bytes");
    }
    if !allow_private && address.is_some_and(|address| !is_public(address)) {
        return Err("must not be a private address");
    }
    parsed.set_fragment(None);
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OPS-06: no address of ours, in any spelling, and no plain HTTP.
    #[test]
    fn private_addresses_are_refused_unless_they_are_allowed() {
        for private in ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://0x7f.1/", "https://169.254.169.254/latest"]
        {
            assert!(judged(private, false).is_err(), "{private}");
            assert!(judged(private, true).is_ok(), "{private}");
        }
        for wrong in ["http://example.com/", "ftp://example.com/", "example.com", "", "https://me:hush@example.com/", "data:text/html,x"] {
            assert!(judged(wrong, false).is_err(), "{wrong}");
        }
        assert!(judged("https://example.com/hook?x=1", false).is_ok());
        assert!(judged(&format!("https://example.com/{}", "x".repeat(2048)), false).is_err());
    }

    /// OPS-04: what is signed is what is called.
    #[test]
    fn a_url_is_called_in_one_spelling() {
        for (given, called) in [
            ("https://example.com", "https://example.com/"),
            ("https://EXAMPLE.com:443/Hook?X=1", "https://example.com/Hook?X=1"),
            ("https://bücher.example/ä?ö=ü#end", "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC"),
            ("https://example.com/a/../b", "https://example.com/b"),
        ] {
            assert_eq!(judged(given, false).map(String::from).as_deref(), Ok(called));
        }
        for wrong in ["https://example.com/\tx", " https://example.com/", "https://example.com/a b", "https://exam\nple.com/"] {
            assert!(judged(wrong, false).is_err(), "{wrong:?}");
        }
    }
}
