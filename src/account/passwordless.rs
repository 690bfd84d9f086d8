//! Sign-in that begins without a password: by a code to a number or address that the account owns, or by a passkey. Only
//! where the service allows codes alone. The answer is the same whether anybody is there: whom it is for is found out behind
//! it (ENM-01).

use std::sync::Arc;

use crate::account::asking::Share;
use crate::account::model::{Method, Visitor};
use crate::account::sign_in::{Asked, NotSent, SIGN_IN, Stage, State, Step, encode};
use crate::account::{AccountError, Accounts};
use crate::clock::Timestamp;
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
        let channel = self.usual_channel(&destination);
        let method = match channel {
            Channel::Email => Method::Email,
            Channel::Sms => Method::Sms,
            Channel::Whatsapp => Method::Whatsapp,
            Channel::Call => Method::Call,
        };
        let wait = policy.sends.waits.first().copied().unwrap_or_default();
        // What anybody would see, whoever is there.
        let asked = Asked {
            method,
            identifier: None,
            typed: Some(destination.canonical().to_owned()),
            verification: None,
            sent_to: Some(destination.masked()),
            expires_at: (now + policy.life(channel)).0,
            resend_after: (now + wait).0,
            challenge: None,
        };
        let state = State { asked: Some(asked), ..State::new(Stage::First) };
        let has_paid = self.pay(visitor, &destination).await?;
        let step = self.begin(visitor, None, Some(&destination).filter(|_| !visitor.keeps_cookies), state.clone()).await?;
        let Some(token) = &step.token else { return Err(AccountError::Row("flow")) };
        let flow = self.tables.flow(SIGN_IN, &token.hash(SIGN_IN), now).await?;
        if let Some(flow) = flow.filter(|_| has_paid) {
            self.send_behind(visitor, flow, state, destination, channel);
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
    ) -> Result<(), AccountError> {
        let Some(account) = self.tables.candidates(destination.canonical()).await?.into_iter().next() else { return Ok(()) };
        let identifiers = self.tables.identifiers(account.id).await?;
        let owned = identifiers.iter().find(|found| found.value == destination.canonical() && found.proven_at.is_some());
        let Some(identifier) = owned.filter(|_| self.serves(channel, destination)) else { return Ok(()) };
        let earlier = state.asked.as_ref().and_then(|asked| asked.verification);
        let sent = self.send(visitor, &account, destination, channel, earlier, SIGN_IN, Share::Paid).await?;
        if let Err(not_sent) = &sent {
            tracing::info!(?not_sent, account = %account.id, "a sign-in's code was not sent");
        }
        // What is shown stays what anybody would see.
        if let Some(asked) = state.asked.as_mut() {
            asked.identifier = Some(identifier.id);
            asked.verification = sent.ok().map(|snapshot| snapshot.id).or(earlier);
        }
        self.tables.advance_flow_of(flow, account.id, &encode(&state)?).await?;
        Ok(())
    }

    /// Sends a first code again. When that may be, and what is shown, the flow alone decides, and not who is there.
    pub(super) async fn ask_first(self: &Arc<Self>, visitor: &Visitor, flow: Flow, mut state: State) -> Result<Option<Step>, AccountError> {
        let now = self.now();
        let Some(asked) = state.asked.as_mut() else { return Ok(None) };
        if now.0 < asked.resend_after {
            let retry_after = now.until(Timestamp(asked.resend_after));
            let too_soon = NotSent::Limited(Limited { name: LimitName::Destination, quota: None, retry_after });
            return Ok(Some(self.shown(&flow, &state, Vec::new(), Some(too_soon))));
        }
        let (Some(channel), Some(typed)) = (asked.method.channel(), asked.typed.clone()) else { return Ok(None) };
        let (policy, destination) = (self.engine.policy(&self.settings.service), self.stored_destination(&typed)?);
        // Of a first step no other codes are counted here: it is the number of messages.
        state.attempts += 1;
        let waits = &policy.sends.waits;
        let wait = waits.get(state.attempts as usize).or(waits.last()).copied().unwrap_or_default();
        (asked.expires_at, asked.resend_after) = ((now + policy.life(channel)).0, (now + wait).0);
        let has_paid = self.pay(visitor, &destination).await?;
        let Some(step) = self.advanced(&flow, state.clone(), Vec::new(), None).await? else { return Ok(None) };
        let flow = Flow { revision: flow.revision + 1, ..flow };
        if has_paid {
            self.send_behind(visitor, flow, state, destination, channel);
        }
        Ok(Some(step))
    }

    /// Finds out whom it is for, and sends.
    fn send_behind(self: &Arc<Self>, visitor: &Visitor, flow: Flow, state: State, destination: Destination, channel: Channel) {
        let (accounts, visitor) = (Arc::clone(self), visitor.clone());
        tokio::spawn(async move {
            if let Err(error) = accounts.send_first(&visitor, &flow, state, &destination, channel).await {
                tracing::error!(%error, "a sign-in's code could not be sent");
            }
        });
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
            typed: None,
            verification: None,
            sent_to: None,
            expires_at: 0,
            resend_after: 0,
            challenge: Some(challenge.clone()),
        };
        let state = State { asked: Some(asked), ..State::new(Stage::Passkey) };
        let step = self.begin(visitor, None, None, state).await?;
        Ok(Ok(Step { passkey: Some(self.passkey_request(None, &challenge).await?), ..step }))
    }

    pub(super) async fn take_sign_in(&self, visitor: &Visitor) -> Result<Result<(), Limited>, AccountError> {
        let key = LimitName::IpSignIns.key(&[&ip_key(visitor.ip)]);
        let take = Take { key, name: LimitName::IpSignIns, rule: Rule::Rate(self.settings.ip_sign_ins) };
        Ok(self.engine.store.take(vec![take], self.now()).await?)
    }
}
