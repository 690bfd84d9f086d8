//! Asking for a second factor: which methods an account has, and sending it a code.

use std::sync::Arc;

use crate::account::model::{Account, Identifier, Method, Visitor};
use crate::account::sessions::reference;
use crate::account::sign_in::{Asked, FlowRef, NotSent, SIGN_IN, Stage, State, Step, encode};
use crate::account::{AccountError, Accounts};
use crate::db::accounts::Flow;
use crate::verification::destination::Destination;
use crate::verification::engine::Started;
use crate::verification::model::{Channel, Status};
use crate::verification::request::{Caller, StartRequest};
use crate::verification::store::Snapshot;

/// Whose share of the messages to a place one is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// The person's own: a password was shown, and the account owns the place. Strangers cannot use it up (ATT-08).
    Own,
    /// That of everybody who can name the place.
    Strangers,
    /// The same, and it was taken before ([`Accounts::pay`]).
    Paid,
}

impl Accounts {
    /// What the account could show now, the usual one first. Of what was shown already nothing (A22).
    pub(super) async fn methods(&self, account: &Account, state: &State) -> Result<Vec<Method>, AccountError> {
        let mut methods: Vec<Method> = Vec::new();
        let factors = self.tables.factors(account.id).await?;
        let has = |method| factors.iter().any(|factor| factor.method == method && factor.confirmed_at.is_some());
        if has(Method::Totp) {
            methods.push(Method::Totp);
        }
        // Whoever enrolled something is not passed by less: neither by a mail, which is no factor (OTP-13), nor by the place whose
        // code changed the password (MFA-02, REC-03).
        let enrolled = has(Method::Totp) || (has(Method::Passkey) && self.passkeys_work());
        let is_too_little =
            |method, identifier: &Identifier| enrolled && (method == Method::Email || account.password_reset_by == Some(identifier.id));
        // What was proven by a code needs something else than another code to the same place.
        if state.first.is_none() {
            let identifiers = self.tables.identifiers(account.id).await?;
            for method in [Method::Sms, Method::Whatsapp, Method::Email, Method::Call] {
                if let Some(channel) = method.channel()
                    && let Some((identifier, _)) = self.target(&identifiers, channel)?
                    && !is_too_little(method, &identifier)
                {
                    methods.push(method);
                }
            }
        }
        methods.extend([Method::Passkey, Method::RecoveryCode].into_iter().filter(|method| has(*method)));
        methods.retain(|method| !state.proven.iter().any(|proven| proven == reference(*method)));
        Ok(methods)
    }

    /// The number or address that a code of this channel goes to: a proven one (OTP-14). An account that has proven nothing
    /// yet proves with its first sign-in what it was registered with.
    pub(super) fn target(&self, identifiers: &[Identifier], channel: Channel) -> Result<Option<(Identifier, Destination)>, AccountError> {
        let is_new = identifiers.iter().all(|identifier| identifier.proven_at.is_none());
        for identifier in identifiers {
            if identifier.proven_at.is_some() || (is_new && identifier.is_registered) {
                let destination = self.stored_destination(&identifier.value)?;
                if self.serves(channel, &destination) {
                    return Ok(Some((identifier.clone(), destination)));
                }
            }
        }
        Ok(None)
    }

    /// Asks for another method, or sends the code again. None: the flow ended, or the account lacks the method.
    pub async fn ask(self: &Arc<Self>, visitor: &Visitor, which: &FlowRef, method: Option<Method>) -> Result<Option<Step>, AccountError> {
        let Some((flow, state)) = self.find_flow(visitor, which).await? else { return Ok(None) };
        if state.stage == Stage::First {
            return self.ask_first(visitor, flow, state).await;
        }
        let Some(account) = self.account_of(&flow).await? else { return Ok(None) };
        let methods = self.methods(&account, &state).await?;
        let Some(method) = method.or(state.asked.as_ref().map(|asked| asked.method)).filter(|method| methods.contains(method)) else {
            return Ok(None);
        };
        self.ask_for(visitor, &account, &flow, state, method, methods).await
    }

    pub(super) async fn ask_for(
        &self,
        visitor: &Visitor,
        account: &Account,
        flow: &Flow,
        mut state: State,
        method: Method,
        methods: Vec<Method>,
    ) -> Result<Option<Step>, AccountError> {
        let Some(channel) = method.channel() else {
            let challenge = (method == Method::Passkey).then(|| self.challenge());
            let expires_at = flow.expires_at.0;
            state.asked = Some(Asked {
                method,
                identifier: None,
                typed: None,
                verification: None,
                sent_to: None,
                expires_at,
                resend_after: 0,
                challenge,
            });
            return self.advanced(flow, state, methods, None).await;
        };
        let identifiers = self.tables.identifiers(account.id).await?;
        let Some((identifier, destination)) = self.target(&identifiers, channel)? else { return Ok(None) };
        let earlier = state.asked.as_ref().filter(|asked| asked.identifier == Some(identifier.id)).and_then(|asked| asked.verification);
        // A number that is only claimed may be a stranger's, whose share of messages is not this person's to use (A47).
        let share = if identifier.proven_at.is_some() { Share::Own } else { Share::Strangers };
        let sent = match self.send(visitor, account, &destination, channel, earlier, SIGN_IN, share).await? {
            // Somebody who went back and began again holds a code already; whoever asks for another one in this flow has to wait.
            Err(NotSent::Limited(limited)) if earlier.is_none() => {
                self.pending(account, &destination).await?.ok_or(NotSent::Limited(limited))
            }
            sent => sent,
        };
        let not_sent = note_sending(&mut state, method, Some(identifier.id), sent);
        self.advanced(flow, state, methods, not_sent).await
    }

    pub(super) async fn advanced(
        &self,
        flow: &Flow,
        state: State,
        methods: Vec<Method>,
        not_sent: Option<NotSent>,
    ) -> Result<Option<Step>, AccountError> {
        // Two at once: the other one's step is shown, and its code is the one that counts.
        if !self.tables.advance_flow(flow, &encode(&state)?).await? {
            return Ok(None);
        }
        let step = self.shown(flow, &state, methods, not_sent);
        let challenge = state.asked.as_ref().and_then(|asked| asked.challenge.as_deref());
        let passkey = match (challenge, flow.account) {
            (Some(challenge), account) => Some(self.passkey_request(account, challenge).await?),
            (None, _) => None,
        };
        Ok(Some(Step { passkey, ..step }))
    }

    /// Takes what a message to that place takes from the limits, whether anybody is there or not: what is left tells nobody who
    /// exists (ENM-01). False: too many went there. Then none does, and the answer is the same.
    pub(super) async fn pay(&self, visitor: &Visitor, to: &Destination) -> Result<bool, AccountError> {
        let policy = self.engine.policy(&self.settings.service);
        let takes = self.engine.message_limits(&policy, &self.caller(visitor), to, None);
        Ok(self.engine.store.take(takes, self.now()).await?.is_ok())
    }

    /// Sends a code, or sends the earlier one's again.
    #[expect(clippy::too_many_arguments, reason = "each is another fact about one message")]
    pub(super) async fn send(
        &self,
        visitor: &Visitor,
        account: &Account,
        to: &Destination,
        channel: Channel,
        earlier: Option<uuid::Uuid>,
        purpose: &str,
        share: Share,
    ) -> Result<Result<Box<Snapshot>, NotSent>, AccountError> {
        let caller = Caller { has_paid: share == Share::Paid, ..self.caller(visitor) };
        if let Some(id) = earlier {
            match self.engine.resend(&caller, id, Some(channel), None, false).await? {
                Started::Sending(snapshot) => return Ok(Ok(Box::new(snapshot))),
                Started::Limited(limited) => return Ok(Err(NotSent::Limited(limited))),
                // It ended, or its provider cannot: a new one.
                Started::Invalid(_) | Started::IdempotencyKeyReused | Started::NotFound | Started::Ended(_) => {}
            }
        }
        let request = StartRequest {
            to: to.canonical().to_owned(),
            channel: Some(channel),
            purpose: Some(purpose.to_owned()),
            locale: Some(account.locale.to_string()),
            code: None,
            subject: (share == Share::Own).then(|| account.id.to_string()),
            ..StartRequest::default()
        };
        Ok(match self.engine.start(&caller, request, false).await? {
            Started::Sending(snapshot) => Ok(Box::new(snapshot)),
            Started::Limited(limited) => Err(NotSent::Limited(limited)),
            Started::Invalid(_) | Started::IdempotencyKeyReused | Started::NotFound | Started::Ended(_) => Err(NotSent::Impossible),
        })
    }

    /// The code that this account was sent for another flow a short while ago, and that still works.
    async fn pending(&self, account: &Account, to: &Destination) -> Result<Option<Box<Snapshot>>, AccountError> {
        for flow in self.tables.flows_of(account.id, SIGN_IN, self.now()).await? {
            let state: State = serde_json::from_str(&flow.state).map_err(|_| AccountError::Row("flow"))?;
            // Of one that began with a password, as this one did: a first code may be a stranger's.
            let asked = state.asked.filter(|_| state.stage == Stage::Second);
            let Some(id) = asked.and_then(|asked| asked.verification) else { continue };
            if let Some((verification, snapshot)) = self.engine.get(&self.settings.service, id).await?
                && snapshot.status == Status::Pending
                && verification.destination == *to
            {
                return Ok(Some(Box::new(snapshot)));
            }
        }
        Ok(None)
    }
}

/// Writes down where a code went, or why none did.
pub(super) fn note_sending(
    state: &mut State,
    method: Method,
    identifier: Option<uuid::Uuid>,
    sent: Result<Box<Snapshot>, NotSent>,
) -> Option<NotSent> {
    match sent {
        Ok(snapshot) => {
            state.asked = Some(Asked {
                method,
                identifier,
                typed: None,
                verification: Some(snapshot.id),
                sent_to: Some(snapshot.to),
                expires_at: snapshot.expires_at.0,
                resend_after: snapshot.resend_after.0,
                challenge: None,
            });
            None
        }
        Err(not_sent) => Some(not_sent),
    }
}
