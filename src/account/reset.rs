//! A forgotten password: a code to a number or address of the account allows another one (REC-03, REC-04).
//!
//! The answer and its time are the same whether anybody is there: a flow begins either way, and whom it is for is found out
//! behind the answer (ENM-01). A reset makes no session, and the next sign-in asks for a second factor as ever; one that
//! goes to the same place as the reset's code proves nothing more.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::asking::Share;
use crate::account::model::{Account, Identifier, Method, Visitor};
use crate::account::notice::Notice;
use crate::account::password::Password;
use crate::account::second_factor::Judged;
use crate::account::secret_token::SecretToken;
use crate::account::sessions::Current;
use crate::account::settings::SecondFactor;
use crate::account::{AccountError, Accounts, network};
use crate::db::accounts::{Flow, NewPassword, Proving};
use crate::verification::destination::Destination;
use crate::verification::limit::Limited;
use crate::verification::request::InvalidField;

/// The kind of these flows, and the purpose of their codes.
const RESET: &str = "reset";
/// A reset's flow lives as long as one of a mailed code (NIST SP 800-63B 4.2.1.2 allows more).
const FLOW_LIFE: Duration = Duration::from_secs(30 * 60);

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    verification: Option<Uuid>,
    identifier: Option<Uuid>,
    /// A provider makes the codes that go there, whether anybody is there or not.
    #[serde(default)]
    by_provider: bool,
}

/// What came of asking for a reset.
#[derive(Debug)]
pub enum Forgot {
    /// If anybody is there, a code is on its way. For the cookie.
    Begun(SecretToken),
    /// Not a number or address.
    Invalid(InvalidField),
    /// Too many from this address.
    Limited(Limited),
}

/// What came of a reset.
#[derive(Debug)]
pub enum Reset {
    /// The password is changed: sign in.
    Done,
    /// Wrong, expired, nobody there: all the same.
    Wrong,
    /// The flow ended, or never was.
    Ended,
    /// The new password breaks a rule. The code is still good.
    Invalid(InvalidField),
    /// Too many.
    Limited(Limited),
}

/// What came of another password.
#[derive(Debug)]
pub enum Changed {
    /// It is changed; every other session has ended.
    Done,
    /// Confirm first who you are.
    NotFresh,
    /// It breaks a rule.
    Invalid(InvalidField),
    /// Too often.
    Limited(Limited),
}

impl Accounts {
    /// Asks for a code. Works behind the answer.
    pub async fn forgot(self: &Arc<Self>, visitor: &Visitor, typed: &str) -> Result<Forgot, AccountError> {
        let destination = match self.destination(typed, "identifier") {
            Ok(destination) => destination,
            Err(invalid) => return Ok(Forgot::Invalid(invalid)),
        };
        let now = self.now();
        if let Err(limited) = self.take_sign_in(visitor).await? {
            return Ok(Forgot::Limited(limited));
        }
        let token = SecretToken::random(self.entropy.as_ref());
        let by_provider = self.is_by_provider(self.usual_channel(&destination), &destination);
        let flow = Flow {
            token_hash: token.hash(RESET),
            kind: RESET.into(),
            account: None,
            identifier_hash: Some(self.typed_hash(&destination)),
            address: network(visitor),
            state: encode(&State { by_provider, ..State::default() })?,
            revision: 0,
            created_at: now,
            expires_at: now + FLOW_LIFE,
        };
        self.tables.begin_flow(&flow).await?;
        if !self.pay(visitor, &destination).await? {
            return Ok(Forgot::Begun(token));
        }
        let (accounts, visitor) = (Arc::clone(self), visitor.clone());
        tokio::spawn(async move {
            if let Err(error) = accounts.send_reset(&visitor, &flow, &destination).await {
                tracing::error!(%error, "a reset's code could not be sent");
            }
        });
        Ok(Forgot::Begun(token))
    }

    async fn send_reset(&self, visitor: &Visitor, flow: &Flow, destination: &Destination) -> Result<(), AccountError> {
        let Some((account, identifier)) = self.resettable(destination).await? else { return Ok(()) };
        let channel = self.usual_channel(destination);
        let Ok(sent) = self.send(visitor, &account, destination, channel, None, RESET, Share::Paid).await? else { return Ok(()) };
        let by_provider = self.is_by_provider(channel, destination);
        let state = State { verification: Some(sent.id), identifier: Some(identifier.id), by_provider };
        // From now on it ends with the account's other flows: one reset makes the others worthless.
        self.tables.advance_flow_of(flow, account.id, &encode(&state)?).await?;
        Ok(())
    }

    /// Whose password a code sent there may change: the owner's; or, of an account that has proven nothing, whoever can
    /// prove what it claims.
    async fn resettable(&self, destination: &Destination) -> Result<Option<(Account, Identifier)>, AccountError> {
        for account in self.tables.candidates(destination.canonical()).await? {
            let identifiers = self.tables.identifiers(account.id).await?;
            let is_new = identifiers.iter().all(|identifier| identifier.proven_at.is_none());
            let found = identifiers.into_iter().find(|identifier| identifier.value == destination.canonical());
            if let Some(found) = found.filter(|found| is_new || found.proven_at.is_some()) {
                return Ok(Some((account, found)));
            }
        }
        Ok(None)
    }

    /// Another password, for the code.
    pub async fn reset(&self, visitor: &Visitor, token: &SecretToken, code: &str, password: &str) -> Result<Reset, AccountError> {
        let now = self.now();
        let Some(flow) = self.tables.flow(RESET, &token.hash(RESET), now).await? else { return Ok(Reset::Ended) };
        // Before any work: judging and hashing a password costs as much as a sign-in.
        if let Err(limited) = self.take_sign_in(visitor).await? {
            return Ok(Reset::Limited(limited));
        }
        // The rules for passwords are the same for everybody, and the code is not used up by breaking one, nor by a queue.
        let password = match self.acceptable(password, Vec::new()).await? {
            Ok(password) => self.hasher.hash(password).await?,
            Err(invalid) => return Ok(Reset::Invalid(invalid)),
        };
        let state: State = serde_json::from_str(&flow.state).map_err(|_| AccountError::Row("flow"))?;
        let (verification, identifier) = match (state.verification, state.identifier) {
            (Some(verification), Some(identifier)) => (verification, Some(identifier)),
            // Nobody is there: a code is as wrong as any, and counts for the address like one (ENM-01).
            _ => (Uuid::nil(), None),
        };
        match self.check_first_code(visitor, verification, RESET, code, Method::Sms, state.by_provider).await? {
            Judged::Right(_) => {}
            Judged::Wrong | Judged::Unanswered => return Ok(Reset::Wrong),
            Judged::Limited(limited) => return Ok(Reset::Limited(limited)),
        }
        let Some(identifier) = identifier else { return Ok(Reset::Wrong) };
        if !self.tables.end_flow(&flow.token_hash).await? {
            return Ok(Reset::Ended);
        }
        let Some((verification, _)) = self.engine.get(&self.settings.service, verification).await? else { return Ok(Reset::Ended) };
        let Some((account, _)) = self.resettable(&verification.destination).await?.filter(|(_, found)| found.id == identifier) else {
            return Ok(Reset::Ended);
        };
        let event = |kind| self.event(kind, Some(account.id), visitor, verification.destination.masked());
        let (proven, reset) = (event("identifier.proven"), event("account.password_reset"));
        let new = NewPassword { account: account.id, password, reset_by: Some(identifier), keep: None, now };
        if self.tables.reset_password(&new, identifier, &proven, &reset).await? != Proving::Owned {
            return Ok(Reset::Ended);
        }
        self.forgive(visitor, &account, None).await?;
        self.tell(&account, Notice::PasswordReset, None).await?;
        Ok(Reset::Done)
    }

    /// Another password, for somebody who is signed in.
    pub async fn change_password(&self, visitor: &Visitor, current: &Current, password: &str) -> Result<Changed, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Changed::NotFresh);
        }
        if let Err(limited) = self.take_change(current).await? {
            return Ok(Changed::Limited(limited));
        }
        let password = match self.acceptable(password, vec![current.account.full_name.clone()]).await? {
            Ok(password) => password,
            Err(invalid) => return Ok(Changed::Invalid(invalid)),
        };
        let password = self.hasher.hash(password).await?;
        let event = self.event("account.password_changed", Some(current.account.id), visitor, "");
        let reset_by = current.account.password_reset_by.filter(|_| current.session.assurance < crate::account::model::Assurance::Aal2);
        let new = NewPassword { account: current.account.id, password, reset_by, keep: Some(current.session.id), now: self.now() };
        self.tables.set_password(&new, &event).await?;
        self.tell(&current.account, Notice::PasswordChanged, None).await?;
        Ok(Changed::Done)
    }

    pub(super) async fn acceptable(&self, password: &str, own_words: Vec<String>) -> Result<Result<Password, InvalidField>, AccountError> {
        let password = match Password::parse(password) {
            Ok(password) => password,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let with_second_factor = self.settings.second_factor == SecondFactor::Required;
        Ok(self.hasher.acceptable(&password, with_second_factor, own_words).await?.map(|()| password))
    }
}

fn encode(state: &State) -> Result<String, AccountError> {
    serde_json::to_string(state).map_err(|_| AccountError::Row("flow"))
}
