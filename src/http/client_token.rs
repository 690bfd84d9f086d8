//! Access tokens of clients: what `POST /oauth2/token` gives for a key, for ten minutes.
//!
//! A token says whose it is, what it allows and until when, under a keyed digest of the pepper. So nothing is stored, every
//! replica with the pepper knows every token, and nobody without it can make one. That the client is still there is asked with
//! each request, as for a key: a revoked client's tokens die within a second.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::db::client::{Client, Scope};
use crate::http::keys::Keys;
use crate::http::problem::{Problem, ProblemCode};
use crate::secret::{Pepper, Peppers, Redacted, Tag};

/// What every token begins with.
const MARK: &str = "cst_";
/// No token is longer.
const TEXT_MAX: usize = 512;
const LABEL: &[u8] = b"countersign client token\0";
const TAG_BYTES: usize = 32;
/// Pepper, end, client and key prefix; the scopes follow.
const FIXED_BYTES: usize = 4 + 8 + 16 + PREFIX_BYTES;
const PREFIX_BYTES: usize = 12;

/// Makes and reads them.
pub struct ClientTokens {
    peppers: Peppers,
    clock: Arc<dyn Clock>,
    /// How long one is good.
    pub life: Duration,
}

/// What a token says.
struct Claims {
    expires_at: Timestamp,
    client: Uuid,
    prefix: String,
    scopes: Vec<Scope>,
}

/// Whether it looks like one, and not like a key.
pub fn is_one(bearer: &str) -> bool {
    bearer.starts_with(MARK)
}

impl ClientTokens {
    /// Under these peppers.
    pub fn new(peppers: Peppers, clock: Arc<dyn Clock>, life: Duration) -> ClientTokens {
        ClientTokens { peppers, clock, life }
    }

    /// A token of that client, for these scopes.
    pub fn issue(&self, client: &Client, scopes: &[Scope]) -> Redacted<String> {
        let pepper = &self.peppers.current;
        let expires_at = self.clock.now() + self.life;
        let mut bytes = Vec::with_capacity(FIXED_BYTES + 64 + TAG_BYTES);
        bytes.extend_from_slice(&pepper.id().to_be_bytes());
        bytes.extend_from_slice(&expires_at.0.to_be_bytes());
        bytes.extend_from_slice(client.id.as_bytes());
        bytes.extend_from_slice(client.key_prefix.as_bytes());
        bytes.extend_from_slice(text(scopes).as_bytes());
        let tag = pepper.digest(LABEL, |digest| digest(&bytes));
        bytes.extend_from_slice(&tag);
        Redacted::new(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The client behind a token, and what it may do with that: never more than the client itself may do now.
    pub async fn bearer(&self, token: &str, keys: &Keys) -> Result<(Arc<Client>, Vec<Scope>), Problem> {
        let refused = || Problem::new(ProblemCode::Unauthorized).detail("The access token is not valid, or no longer: ask for a new one.");
        let claims = self.read(token).filter(|claims| self.clock.now() < claims.expires_at).ok_or_else(refused)?;
        let client = keys.client_with_prefix(&claims.prefix).await?;
        let client = client.filter(|client| client.id == claims.client).ok_or_else(refused)?;
        let scopes = claims.scopes.into_iter().filter(|scope| client.scopes.contains(scope)).collect();
        Ok((client, scopes))
    }

    /// What it says, if it was made here.
    fn read(&self, token: &str) -> Option<Claims> {
        let encoded = token.strip_prefix(MARK).filter(|encoded| encoded.len() <= TEXT_MAX)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (said, tag) = bytes.split_last_chunk::<TAG_BYTES>()?;
        let (pepper_id, rest) = said.split_first_chunk()?;
        let pepper: &Pepper = self.peppers.by_id(u32::from_be_bytes(*pepper_id))?;
        if !Tag(pepper.digest(LABEL, |digest| digest(said))).matches(&Tag(*tag)) {
            return None;
        }
        let (expires_at, rest) = rest.split_first_chunk()?;
        let (client, rest) = rest.split_first_chunk()?;
        let (prefix, scopes) = rest.split_first_chunk::<PREFIX_BYTES>()?;
        Some(Claims {
            expires_at: Timestamp(i64::from_be_bytes(*expires_at)),
            client: Uuid::from_bytes(*client),
            prefix: std::str::from_utf8(prefix).ok()?.to_owned(),
            scopes: std::str::from_utf8(scopes).ok()?.split(' ').filter_map(Scope::parse).collect(),
        })
    }
}

/// Scopes as OAuth writes them.
pub fn text(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;

    fn pepper(byte: u8) -> Pepper {
        Pepper::new(&[byte; 32]).expect("long enough")
    }

    fn tokens(current: u8, previous: Option<u8>) -> ClientTokens {
        let peppers = Peppers { current: pepper(current), previous: previous.map(pepper) };
        ClientTokens::new(peppers, Arc::new(TestClock::default()), Duration::from_secs(600))
    }

    fn client() -> Client {
        Client {
            id: Uuid::from_u128(7),
            service: "default".into(),
            name: "test".into(),
            key_prefix: "0123456789ab".into(),
            scopes: Scope::ALL.to_vec(),
            created_at: Timestamp(0),
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_token_says_what_it_was_made_for() {
        let token = tokens(1, None).issue(&client(), &[Scope::OneTimePasswordSms, Scope::Read]);
        let claims = tokens(1, None).read(token.expose()).expect("readable by another replica");
        assert_eq!((claims.client, claims.prefix.as_str()), (client().id, "0123456789ab"));
        assert_eq!(claims.scopes, [Scope::OneTimePasswordSms, Scope::Read]);
        // It outlives a change of the pepper, and no more than one.
        assert!(tokens(2, Some(1)).read(token.expose()).is_some());
        assert!(tokens(2, None).read(token.expose()).is_none());
    }

    /// SES-01: no bit of it can be changed, and nothing can be cut off.
    #[test]
    fn a_changed_token_is_none() {
        let tokens = tokens(1, None);
        let token = tokens.issue(&client(), &[Scope::Read]);
        let bytes = URL_SAFE_NO_PAD.decode(&token.expose()[MARK.len()..]).expect("base64");
        let read = |bytes: &[u8]| tokens.read(&format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes)));
        assert!(read(&bytes).is_some());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(read(&changed).is_none(), "bit {bit} of byte {at}");
            }
            assert!(read(&bytes[..at]).is_none(), "cut to {at}");
        }
        for nonsense in ["", "cst_", "cst_!", &token.expose()[MARK.len()..], &format!("{}=", token.expose()), &"cst_A".repeat(200)] {
            assert!(tokens.read(nonsense).is_none(), "{nonsense}");
        }
    }
}
