//! Sign-in that begins without a password: by a code to a number or address that the account owns, or by a passkey. Only
//! where the service allows codes alone. The answer is the same whether anybody is there: whom it is for is found out behind
//! it (ENM-01).

use std::sync::Arc;

use crate::account::model::{Method, Visitor};
use crate::account::second_factor::note_sending;
use crate::account::sign_in::{Asked, SIGN_IN, Stage, State, Step, encode};
use crate::account::{AccountError, Accounts};
use crate::db::accounts::Flow;
use crate::verification::destination::Destination;
use crate::verification::limit::{LimitName, Limited, Rule, Take};
use crate::verification::model::Channel;
use crate::verification::prepare::ip_key;
use crate::verification::request::InvalidField;

/// What came of a number or address alone.
#[derive(Debug)]
pub enum Passwordless {
    /// If anybody is there, a code is on its way.
    Begun(Box<Step>),
    /// Not a number or address.
    Invalid(InvalidField),
    /// Too many from this address.
    Limited(Limited),
    /// The service does not allow it.
    Off,
}

impl Accounts {
    /// By a code.
    pub async fn sign_in_by_code(self: &Arc<Self>, visitor: &Visitor, typed: &str) -> Result<Passwordless, AccountError> {
        if !self.settings.passwordless {
            return Ok(Passwordless::Off);
        }
        let destination = match self.destination(typed, "phone") {
            Ok(destination) => destination,
            Err(invalid) => return Ok(Passwordless::Invalid(invalid)),
        };
        if let Err(limited) = self.take_sign_in(visitor).await? {
            return Ok(Passwordless::Limited(limited));
        }
        let now = self.now();
        let policy = self.engine.policy(&self.settings.service);
        let channel = Channel::usual(&destination);
        let method = match channel {
            Channel::Email => Method::Email,
            Channel::Sms | Channel::Whatsapp | Channel::Call => Method::Sms,
        };
        let wait = policy.sends.waits.first().copied().unwrap_or_default();
        // What anybody would see, whoever is there.
        let asked = Asked {
            method,
            identifier: None,
            verification: None,
            sent_to: Some(destination.masked()),
            expires_at: (now + policy.life(channel)).0,
            resend_after: (now + wait).0,
            challenge: None,
        };
        let state = State { stage: Stage::First, proven: Vec::new(), asked: Some(asked), attempts: 0, session: None, first: None };
        let step = self.begin(visitor, None, Some(&destination), state.clone()).await?;
        let Some(token) = &step.token else { return Err(AccountError::Row("flow")) };
        if let Some(flow) = self.tables.flow(SIGN_IN, &token.hash(SIGN_IN), now).await? {
            let (accounts, visitor) = (Arc::clone(self), visitor.clone());
            tokio::spawn(async move {
                if let Err(error) = accounts.send_first(&visitor, &flow, state, &destination, channel, method).await {
                    tracing::error!(%error, "a sign-in's code could not be sent");
                }
            });
        }
        Ok(Passwordless::Begun(Box::new(step)))
    }

    async fn send_first(
        &self,
        visitor: &Visitor,
        flow: &Flow,
        mut state: State,
        destination: &Destination,
        channel: Channel,
        method: Method,
    ) -> Result<(), AccountError> {
        let Some(account) = self.tables.candidates(destination.canonical(), 1).await?.into_iter().find(|account| account.is_active) else {
            return Ok(());
        };
        let identifiers = self.tables.identifiers(account.id).await?;
        let owned = identifiers.iter().find(|found| found.value == destination.canonical() && found.proven_at.is_some());
        let Some(identifier) = owned.filter(|_| self.serves(channel, destination)) else { return Ok(()) };
        let sent = self.send(visitor, &account, destination, channel, None, SIGN_IN, false).await?;
        note_sending(&mut state, method, Some(identifier.id), sent);
        self.tables.advance_flow_of(flow, account.id, &encode(&state)?).await?;
        Ok(())
    }

    /// By a passkey that names its account itself.
    pub async fn sign_in_by_passkey(&self, visitor: &Visitor) -> Result<Result<Step, Limited>, AccountError> {
        if let Err(limited) = self.take_sign_in(visitor).await? {
            return Ok(Err(limited));
        }
        let challenge = self.challenge();
        let asked = Asked {
            method: Method::Passkey,
            identifier: None,
            verification: None,
            sent_to: None,
            expires_at: 0,
            resend_after: 0,
            challenge: Some(challenge.clone()),
        };
        let state = State { stage: Stage::Passkey, proven: Vec::new(), asked: Some(asked), attempts: 0, session: None, first: None };
        let step = self.begin(visitor, None, None, state).await?;
        Ok(Ok(Step { passkey: Some(self.passkey_request(None, &challenge).await?), ..step }))
    }

    pub(super) async fn take_sign_in(&self, visitor: &Visitor) -> Result<Result<(), Limited>, AccountError> {
        let key = LimitName::IpSignIns.key(&[&ip_key(visitor.ip)]);
        let take = Take { key, name: LimitName::IpSignIns, rule: Rule::Rate(self.settings.ip_sign_ins) };
        Ok(self.engine.store.take(vec![take], self.now()).await?)
    }
}
