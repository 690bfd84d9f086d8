//! Passkeys: WebAuthn Level 3 for one relying party, verified over `ring` (docs/decisions/0011-passkeys-over-ring.md).
//!
//! [`options`] is what the browser is asked, [`ceremony`] judges what it answers, step by step as the specification numbers
//! them; [`response`] is what came, [`authenticator_data`] and [`public_key`] are what lies in it. A challenge is good for
//! one answer, within minutes, from the browser that asked: the caller keeps it, and forgets it before it judges.
//! Attestation is neither asked for nor judged: which maker's device it is decides nothing here.

mod authenticator_data;
pub mod ceremony;
pub mod options;
mod public_key;
pub mod response;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use url::{Host, Url};

use crate::account::model::AccountId;

/// Longest credential id that is kept, in bytes: the specification's own bound.
const CREDENTIAL_ID_MAX_BYTES: usize = 1023;

/// Whom passkeys are made for: they work for this name and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// The host name that passkeys are bound to. Another one cannot use them.
    pub id: String,
    /// Where pages may ask for them: `https://example.org`.
    pub origins: Vec<String>,
    /// What people call it.
    pub name: String,
}

impl RelyingParty {
    /// The one behind this public URL. None where browsers offer no passkeys: an address in place of a name, or no TLS (but
    /// for `localhost`).
    pub fn of(public_url: &str, name: &str) -> Option<RelyingParty> {
        let url = Url::parse(public_url).ok()?;
        let Some(Host::Domain(id)) = url.host() else { return None };
        let is_local = id == "localhost" || id.ends_with(".localhost");
        let is_secure = url.scheme() == "https" || url.scheme() == "http" && is_local;
        let origin = url.origin().ascii_serialization();
        is_secure.then(|| RelyingParty { id: id.to_owned(), origins: vec![origin], name: name.to_owned() })
    }
}

/// Whether the authenticator has to check who holds it: by PIN, finger or face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserVerification {
    /// Yes: the passkey is the only step, and thereby two factors in one.
    Required,
    /// If it can: the passkey comes after a password.
    Preferred,
}

impl UserVerification {
    /// As the options say it.
    fn as_str(self) -> &'static str {
        match self {
            UserVerification::Required => "required",
            UserVerification::Preferred => "preferred",
        }
    }
}

/// What one ceremony asks for. The same value goes into the options and into the judgement.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// From [`options::challenge`].
    pub challenge: &'a str,
    /// Whether the authenticator has to check who holds it.
    pub user_verification: UserVerification,
}

/// A passkey that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPasskey {
    /// Whose it is.
    pub account: AccountId,
    /// Its id, in base64url: found by it.
    pub credential_id: String,
    /// COSE, in base64url.
    pub public_key: String,
    /// Its signature counter, as of the last time.
    pub counter: u32,
}

/// A passkey that was just made. The caller refuses a credential id that it knows already, whoever's it is (step 26).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPasskey {
    /// Its id, in base64url: found by it.
    pub credential_id: String,
    /// COSE, in base64url.
    pub public_key: String,
    /// Its signature counter; 0 with those that have none.
    pub counter: u32,
    /// Whether the authenticator checked who holds it.
    pub user_verified: bool,
    /// Whether it may be copied to the person's other devices.
    pub backup_eligible: bool,
    /// Whether it has been.
    pub backed_up: bool,
}

/// A passkey that was just used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// To be kept in place of the counter before.
    pub counter: u32,
    /// Whether the authenticator checked who holds it: then it is two factors in one.
    pub user_verified: bool,
    /// Whether it is copied to other devices by now.
    pub backed_up: bool,
}

/// Why an answer is refused. For logs and for tests: people are told one thing for all of them.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyError {
    /// It is not what a browser makes.
    #[error("the answer cannot be read")]
    Malformed,
    /// An answer to the other ceremony.
    #[error("the answer is for another kind of ceremony")]
    WrongType,
    /// An answer to something else that was asked, or to nothing.
    #[error("the answer is to another challenge")]
    WrongChallenge,
    /// It was made on a page of somebody else, or within one.
    #[error("the answer comes from another origin")]
    WrongOrigin,
    /// The authenticator signed for somebody else.
    #[error("the answer is for another relying party")]
    WrongRelyingParty,
    /// Nobody touched the authenticator.
    #[error("nobody was present")]
    NobodyPresent,
    /// The authenticator did not check who holds it, and had to.
    #[error("the authenticator did not verify who holds it")]
    NotVerified,
    /// Backed up, and not to be backed up.
    #[error("the flags contradict each other")]
    WrongFlags,
    /// A key that we cannot check signatures with.
    #[error("the key is of a kind that is not supported")]
    UnsupportedKey,
    /// Not one of those that were asked for, or somebody else's.
    #[error("another passkey was asked for")]
    WrongPasskey,
    /// Not made with this passkey's key, or changed since.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The counter did not move on: there may be two of this passkey.
    #[error("the signature counter did not move on")]
    CounterStood,
}
