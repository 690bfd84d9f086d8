//! Access tokens: JWTs that other services verify by themselves (RFC 9068), and refresh tokens, which only we do.
//!
//! Signed with Ed25519 by a key that rotates ([`keys`], [`keyring`]), or, where clients share a secret with us, with
//! HMAC-SHA-256. A token says how it was signed and is not believed: what a key may be used with is known before the token
//! is looked at, and no key is ever fetched, read or derived from what a token says (TOK-01, TOK-02).
//!
//! A token is not a session. It is good until it ends, whatever became of the session; that is why it ends soon.

pub mod claims;
mod crypto;
pub mod keyring;
pub mod keys;
pub mod refresh;
mod samples;
pub mod settings;
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde_json::{Value, json};

use self::claims::{Claims, Subject, seconds};
use self::keyring::Keyring;
use self::settings::{ACCOUNT_SCOPE, TokenSettings};
use crate::clock::Timestamp;
use crate::id;
use crate::secret::{Entropy, Redacted};

/// `typ` of access tokens: no token of another kind passes for one (TOK-03).
pub const TYPE: &str = "at+jwt";
/// How far the clocks of two servers may be apart.
pub const LEEWAY: Duration = Duration::from_secs(5);
/// Longest token that is looked at. Ours have some 700 bytes.
const BYTES_MAX: usize = 8 * 1024;

/// Why the work could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The database refused.
    #[error("the signing keys cannot be read: {0}")]
    Database(#[from] crate::db::signing_key::Failed),
    /// No key could be made.
    #[error(transparent)]
    NoKey(#[from] keys::NoKey),
    /// The key did not sign.
    #[error("the access token could not be signed")]
    NotSigned,
}

/// Why a token is refused. For logs and tests: strangers hear "not valid" and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No JWT, or one whose claims are not those of an access token.
    #[error("it is no access token")]
    Malformed,
    /// Signed in a way that its key is not for.
    #[error("its algorithm is not the key's")]
    Algorithm,
    /// It names no key, or none of ours.
    #[error("its key is unknown")]
    UnknownKey,
    /// It asks for something that we do not understand.
    #[error("it has critical headers")]
    Critical,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// A token, and of another kind.
    #[error("it is of another kind")]
    Type,
    /// From somebody else.
    #[error("its issuer is another")]
    Issuer,
    /// For somebody else.
    #[error("its audience is another")]
    Audience,
    /// It is for us, and not for this.
    #[error("its scope does not allow this")]
    Scope,
    /// It has ended.
    #[error("it has ended")]
    Expired,
    /// Not good yet.
    #[error("it is not good yet")]
    NotYet,
}

/// What a token is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownFor {
    /// To change or read the account itself: made for this server, and with the scope for it.
    Account,
    /// To be let in where a token is all that is asked for: made for this server, or for the usual audience.
    Entry,
    /// By a service that asks what it is worth: made for anybody whom we make tokens for.
    Question,
}

/// What a token is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Signed by us, for us, and now.
    Good(Box<Claims>),
    /// Anything else.
    Refused(Refusal),
}

/// A new token and what it says.
pub struct AccessToken {
    /// The JWT.
    pub token: Redacted<String>,
    /// What it says.
    pub claims: Claims,
}

/// What goes to `/.well-known/jwks.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The body.
    pub body: Value,
    /// For `Cache-Control: public, max-age=…`.
    pub max_age: Duration,
}

/// Makes and judges access tokens.
pub struct Tokens {
    settings: TokenSettings,
    keyring: Keyring,
    entropy: Arc<dyn Entropy>,
}

impl Tokens {
    /// `settings` are checked by then.
    pub fn new(settings: TokenSettings, keyring: Keyring, entropy: Arc<dyn Entropy>) -> Tokens {
        crypto::install();
        Tokens { settings, keyring, entropy }
    }

    /// The settings.
    pub fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// A token for somebody who has just proven who they are, or whose session was just looked at. `audience`: one that
    /// [`TokenSettings::audience`] knows.
    pub async fn issue(&self, subject: &Subject<'_>, audience: &str, now: Timestamp) -> Result<AccessToken, TokenError> {
        let jti = id::new(now, self.entropy.as_ref());
        let claims = Claims::new(&self.settings, subject, audience, jti, now);
        let signed = match &self.settings.shared_secret {
            Some(secret) => sign(Algorithm::HS256, None, &claims, &EncodingKey::from_secret(secret.expose().as_bytes())),
            None => {
                let keys = self.keyring.signing(now).await?;
                let key = keys.signing(now).ok_or(TokenError::NotSigned)?;
                sign(Algorithm::EdDSA, Some(key.id.clone()), &claims, &key.private)
            }
        };
        Ok(AccessToken { token: Redacted::new(signed.ok_or(TokenError::NotSigned)?), claims })
    }

    /// Judges what somebody showed us. `Err` only where the keys cannot be read.
    pub async fn judge(&self, token: &str, shown_for: ShownFor, now: Timestamp) -> Result<Judged, TokenError> {
        if token.len() > BYTES_MAX {
            return Ok(Judged::Refused(Refusal::Malformed));
        }
        // An algorithm that we do not know, "none" among them, is no header at all.
        let Ok(header) = decode_header(token) else { return Ok(Judged::Refused(Refusal::Malformed)) };
        let judged = match &self.settings.shared_secret {
            Some(secret) => self.opened(token, &header, Algorithm::HS256, &DecodingKey::from_secret(secret.expose().as_bytes()), now),
            None => {
                let kid = header.kid.as_deref().unwrap_or_default();
                // Before anything is looked up: a token that our keys cannot have signed costs no read.
                if header.alg != Algorithm::EdDSA {
                    return Ok(Judged::Refused(Refusal::Algorithm));
                }
                let keys = self.keyring.with(kid, now).await?;
                match keys.find(kid, now) {
                    Some(key) => self.opened(token, &header, Algorithm::EdDSA, &key.public, now),
                    None => Err(Refusal::UnknownKey),
                }
            }
        };
        let allowed = judged.and_then(|claims| self.allowed(&claims, shown_for).map(|()| claims));
        Ok(allowed.map_or_else(Judged::Refused, |claims| Judged::Good(Box::new(claims))))
    }

    /// The public keys. With a shared secret there are none.
    pub async fn jwks(&self, now: Timestamp) -> Result<Published, TokenError> {
        let body = match &self.settings.shared_secret {
            Some(_) => json!({ "keys": [] }),
            None => self.keyring.signing(now).await?.jwks(now),
        };
        Ok(Published { body, max_age: keys::JWKS_MAX_AGE })
    }

    /// Whether a good token is good for this.
    fn allowed(&self, claims: &Claims, shown_for: ShownFor) -> Result<(), Refusal> {
        let is_own = claims.aud == self.settings.issuer;
        let is_for_it = match shown_for {
            ShownFor::Account => is_own,
            ShownFor::Entry => is_own || claims.aud == self.settings.audience,
            ShownFor::Question => self.settings.audience(Some(&claims.aud)).is_some(),
        };
        if !is_for_it {
            return Err(Refusal::Audience);
        }
        let has_scope = claims.scope.iter().flat_map(|scope| scope.split(' ')).any(|name| name == ACCOUNT_SCOPE);
        if shown_for == ShownFor::Account && !has_scope { Err(Refusal::Scope) } else { Ok(()) }
    }

    fn opened(&self, token: &str, header: &Header, algorithm: Algorithm, key: &DecodingKey, now: Timestamp) -> Result<Claims, Refusal> {
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        // Its own checks of time would ask the system's clock; of the rest we do each by hand, so that each has its answer.
        let mut signature_only = Validation::new(algorithm);
        signature_only.required_spec_claims.clear();
        (signature_only.validate_exp, signature_only.validate_nbf, signature_only.validate_aud) = (false, false, false);
        let decoded = decode::<Claims>(token, key, &signature_only).map_err(|error| match error.kind() {
            ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
            ErrorKind::InvalidSignature => Refusal::Signature,
            _ => Refusal::Malformed,
        })?;
        let claims = decoded.claims;
        let kind = header.typ.as_deref().map(str::to_ascii_lowercase);
        if kind.as_deref().map(|kind| kind.strip_prefix("application/").unwrap_or(kind)) != Some(TYPE) {
            return Err(Refusal::Type);
        }
        if claims.iss != self.settings.issuer {
            return Err(Refusal::Issuer);
        }
        if claims.exp <= seconds(now - LEEWAY) {
            return Err(Refusal::Expired);
        }
        if claims.nbf > seconds(now + LEEWAY) {
            return Err(Refusal::NotYet);
        }
        Ok(claims)
    }
}

fn sign(algorithm: Algorithm, kid: Option<String>, claims: &Claims, key: &EncodingKey) -> Option<String> {
    let header = Header { typ: Some(TYPE.to_owned()), kid, ..Header::new(algorithm) };
    encode(&header, claims, key).ok()
}
