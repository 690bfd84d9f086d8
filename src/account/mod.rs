//! Accounts: who a person is, and how they prove it.
//!
//! A sign-in is a flow of steps, each bound to the browser that began it; only its last step makes a session
//! ([`sign_in`], where the steps stand in one table). Codes are the engine's ([`crate::verification`]): nothing about their
//! length, life or limits is decided here. What lies in the database opens no door by itself.
//!
//! - [`register`], [`identifiers`]: accounts, and the numbers and addresses that they own
//! - [`password`], [`factors`], [`passkeys`]: what people prove; [`sign_in`], [`reset`], [`confirm`]: when they have to
//! - [`sessions`]: what comes of it; [`access`], [`token`]: what other services see of it
//! - [`notice`]: what the owner is told (NOT-01); [`operator`]: what operators see and do

pub mod access;
pub mod asking;
pub mod completion;
pub mod confirm;
pub mod factor;
pub mod factors;
pub mod identifiers;
pub mod model;
pub mod notice;
pub mod operator;
pub mod passkeys;
pub mod password;
pub mod passwordless;
pub mod register;
pub mod reset;
pub mod seal;
pub mod second_factor;
pub mod secret_token;
pub mod sessions;
pub mod settings;
pub mod sign_in;
pub mod token;
pub mod ways;

use std::sync::Arc;

use uuid::Uuid;

use crate::account::factor::passkey::RelyingParty;
use crate::account::model::{Account, AccountId, Visitor};
use crate::account::notice::{Notice, Notifier};
use crate::account::password::{HashError, Hasher};
use crate::account::settings::AccountSettings;
use crate::account::token::{TokenError, Tokens};
use crate::clock::{Clock, Timestamp};
use crate::db::accounts::{AccountTables, NewEvent};
use crate::db::database::DataError;
use crate::id;
use crate::secret::{Entropy, Peppers};
use crate::verification::destination::Destination;
use crate::verification::engine::Engine;
use crate::verification::request::{Caller, InvalidField, ip_network};
use crate::verification::store::StoreError;

/// Why the work could not be done. Nothing passes then (OPS-01).
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The database of accounts refused.
    #[error(transparent)]
    Database(#[from] DataError),
    /// The store of verifications refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No access token could be made or judged.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A password could not be hashed: too many wait, or it did not work.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A row cannot be read.
    #[error("a row of {0} cannot be read")]
    Row(&'static str),
}

/// Accounts and everything that can be done with them.
pub struct Accounts {
    /// The rules.
    pub settings: AccountSettings,
    /// Where they are kept.
    pub tables: AccountTables,
    /// Sends and checks codes.
    pub engine: Arc<Engine>,
    /// Hashes passwords, a few at a time.
    pub hasher: Hasher,
    /// Makes and judges access tokens.
    pub tokens: Tokens,
    /// Whom passkeys are made for; none where browsers offer none.
    pub relying_party: Option<RelyingParty>,
    /// Tells owners what happened.
    pub notifier: Arc<dyn Notifier>,
    /// Server keys.
    pub peppers: Peppers,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Accounts {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new id, in time order.
    fn new_id(&self, now: Timestamp) -> Uuid {
        id::new(now, self.entropy.as_ref())
    }

    fn event(&self, kind: &'static str, account: Option<AccountId>, visitor: &Visitor, detail: impl Into<String>) -> NewEvent {
        let at = self.now();
        NewEvent { id: self.new_id(at), account, at, kind, address: network(visitor), detail: detail.into() }
    }

    /// Who calls the engine: a person whom we know, or somebody from the street.
    fn caller(&self, visitor: &Visitor) -> Caller {
        Caller { service: Arc::clone(&self.settings.service), client: None, ip: Some(visitor.ip), idempotency_key: None, has_paid: false }
    }

    /// Any spelling of a number or address. `field` is the caller's name for it.
    fn destination(&self, input: &str, field: &'static str) -> Result<Destination, InvalidField> {
        let policy = self.engine.policy(&self.settings.service);
        let destination = self.engine.destination(&policy, input).map_err(|invalid| InvalidField { field, ..invalid })?;
        Ok(identity(&destination).unwrap_or(destination))
    }

    /// A stored number or address. It was parsed when it was stored.
    fn stored_destination(&self, value: &str) -> Result<Destination, AccountError> {
        self.destination(value, "to").map_err(|_| AccountError::Row("identifier"))
    }

    /// A hash of what was typed: names a flow or a limit without telling whose it is.
    fn typed_hash(&self, destination: &Destination) -> String {
        use base64::Engine;
        let digest = self.peppers.current.digest(b"countersign typed identifier\0", |field| field(&destination.key()));
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
    }

    /// Tells every proven number and address of an account what happened (NOT-01); `also`: one that is no longer its own.
    async fn tell(&self, account: &Account, notice: Notice, also: Option<Destination>) -> Result<(), AccountError> {
        let proven = self.tables.identifiers(account.id).await?.into_iter().filter(|identifier| identifier.proven_at.is_some());
        let to: Vec<_> = proven.filter_map(|identifier| self.stored_destination(&identifier.value).ok()).chain(also).collect();
        self.notifier.notify_all(&to, &account.locale, &notice);
        Ok(())
    }
}

/// The end user's network: a whole IPv4 address, the /64 of an IPv6 one (ATT-10).
fn network(visitor: &Visitor) -> String {
    ip_network(visitor.ip)
}

/// One spelling of a mail address for one person: nobody's mailbox differs by capitals alone, and two accounts that do would be
/// taken for each other. None where it is that spelling already.
pub fn identity(destination: &Destination) -> Option<Destination> {
    let folded = destination.canonical().to_ascii_lowercase();
    (!destination.is_phone() && folded != destination.canonical()).then(|| Destination::from_canonical(folded, None))
}
