//! Who calls: HTTP Basic with `AC…` and the Auth Token, or `SK…` and the key's secret. Both are one client of ours.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::app::App;
use crate::db::client::{Client, Scope};
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::sid;
use crate::verification::request::Caller;

/// The client whose credentials came with the request.
pub struct Account {
    client: Arc<Client>,
}

impl Account {
    /// Its SID.
    pub fn sid(&self) -> String {
        sid::of(sid::ACCOUNT, self.client.id)
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Refused if the credentials lack the scope.
    pub fn may(&self, scope: Scope) -> Result<(), Refusal> {
        if self.client.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Refusal::forbidden(format!("These credentials lack the scope {}", scope.as_str())))
    }

    /// The caller in one of its services. `ip` is the end user's address, as the client passed it.
    pub fn caller(&self, service: &Arc<str>, ip: Option<IpAddr>) -> Caller {
        Caller { service: Arc::clone(service), client: Some(self.client.id), ip, idempotency_key: None, has_paid: false }
    }
}

impl FromRequestParts<Arc<App>> for Account {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let (Some(face), Some((user, secret))) = (&app.twilio, credentials(&parts.headers)) else { return Err(Refusal::unauthorized()) };
        let client = face.credentials.client_of(&user, &secret).await?.ok_or_else(Refusal::unauthorized)?;
        Ok(Account { client })
    }
}

/// What `Authorization: Basic` holds.
fn credentials(headers: &HeaderMap) -> Option<(String, Zeroizing<String>)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (user, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(secret.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_read() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("a header value"))]);
            credentials(&headers).map(|(user, secret)| (user, secret.to_string()))
        };
        assert_eq!(read("Basic QUMxOmE6Yg=="), Some(("AC1".into(), "a:b".into())), "only the first colon parts them");
        assert_eq!(read("basic QUMxOg=="), Some(("AC1".into(), String::new())));
        for wrong in ["Bearer QUMxOmE6Yg==", "Basic", "Basic ?", "Basic QUMx"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
