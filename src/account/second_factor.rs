//! The step after the password: which methods an account has, sending a code, judging it, and the end.

use std::sync::Arc;
use std::time::Duration;

use crate::account::model::{Account, Identifier, Method, Visitor};
use crate::account::notice::Notice;
use crate::account::sessions::{SignedIn, assurance, reference};
use crate::account::sign_in::{Asked, BROWSER, FlowRef, NotSent, SIGN_IN, Stage, State, Step, encode};
use crate::account::{AccountError, Accounts};
use crate::clock::Timestamp;
use crate::db::accounts::{Completion, Flow};
use crate::secret::Code;
use crate::verification::destination::Destination;
use crate::verification::engine::{Started, Verdict};
use crate::verification::limit::Limited;
use crate::verification::model::{Channel, Status};
use crate::verification::request::{Extras, StartRequest, Which};
use crate::verification::store::Snapshot;

/// Codes of factors that we judge ourselves, in one flow (as many as one code may be checked).
const ATTEMPTS_MAX: u32 = 5;
/// How long a browser is known that signed in once.
pub const BROWSER_LIFE: Duration = Duration::from_secs(180 * 24 * 3600);

/// What somebody shows.
pub enum Proof {
    /// A code that was sent, or of an authenticator app: whichever was asked for.
    Code(String),
    /// One of the codes on paper.
    RecoveryCode(String),
    /// The answer of `navigator.credentials.get`.
    Passkey(serde_json::Value),
}

/// What came of it.
#[derive(Debug)]
pub enum Proved {
    /// Signed in.
    Done(Box<SignedIn>),
    /// Right, and one more is needed.
    Next(Box<Step>),
    /// Wrong, expired, used: all the same.
    Wrong,
    /// The flow ended, or never was: begin again.
    Ended,
    /// Too many.
    Limited(Limited),
    /// Whoever made the code could not be asked.
    NotJudged,
}

/// Whether one proof was right, before anything follows from it.
pub(super) enum Judged {
    /// Right; `amr` that it adds.
    Right(Vec<String>),
    Wrong,
    Limited(Limited),
    /// Whoever made the code could not be asked.
    Unanswered,
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
        let is_known = identifier.proven_at.is_some();
        let sent = match self.send(visitor, account, &destination, channel, earlier, SIGN_IN, is_known).await? {
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

    /// Sends a code, or sends the earlier one's again. `is_known`: the person has shown a password and owns the destination, so
    /// that strangers cannot use up their limits (ATT-08).
    #[expect(clippy::too_many_arguments, reason = "each is another fact about one message")]
    pub(super) async fn send(
        &self,
        visitor: &Visitor,
        account: &Account,
        to: &Destination,
        channel: Channel,
        earlier: Option<uuid::Uuid>,
        purpose: &str,
        is_known: bool,
    ) -> Result<Result<Box<Snapshot>, NotSent>, AccountError> {
        let caller = self.caller(visitor);
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
            subject: is_known.then(|| account.id.to_string()),
            metadata: Default::default(),
            extras: Extras::default(),
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

    /// Judges what somebody shows; the last right one makes the session.
    pub async fn prove(&self, visitor: &Visitor, which: &FlowRef, proof: Proof, remember: bool) -> Result<Proved, AccountError> {
        let Some((flow, mut state)) = self.find_flow(visitor, which).await? else { return Ok(Proved::Ended) };
        if state.stage == Stage::Passkey {
            return self.prove_passkey_alone(visitor, &flow, state, proof).await;
        }
        let Some(account) = self.account_of(&flow).await? else {
            // Nobody is there: a code is as wrong as any, and counts for the address like one (ENM-01).
            let Proof::Code(code) = &proof else { return Ok(Proved::Wrong) };
            return Ok(match self.check_code(visitor, uuid::Uuid::nil(), SIGN_IN, code, Method::Sms).await? {
                Judged::Limited(limited) => Proved::Limited(limited),
                Judged::Right(_) | Judged::Wrong | Judged::Unanswered => Proved::Wrong,
            });
        };
        let (flow, judged) = match self.judge(visitor, &account, flow, &mut state, proof).await? {
            Some(judged) => judged,
            None => return Ok(Proved::Ended),
        };
        match judged {
            Judged::Wrong => Ok(Proved::Wrong),
            Judged::Limited(limited) => Ok(Proved::Limited(limited)),
            Judged::Unanswered => Ok(Proved::NotJudged),
            Judged::Right(added) => {
                state.proven.extend(added);
                self.go_on(visitor, &account, flow, state, remember).await
            }
        }
    }

    /// A right answer: the session, or the next step.
    async fn go_on(
        &self,
        visitor: &Visitor,
        account: &Account,
        flow: Flow,
        mut state: State,
        remember: bool,
    ) -> Result<Proved, AccountError> {
        if state.stage == Stage::First {
            state.first = state.second.take();
            state.stage = Stage::Second;
            // What somebody enrolled is asked for, whatever began the sign-in (MFA-02). Paper alone does not count as that.
            let methods = self.methods(account, &state).await?;
            if let Some(method) = methods.iter().copied().find(|method| *method != Method::RecoveryCode) {
                let step = self.ask_for(visitor, account, &flow, state, method, methods).await?;
                return Ok(step.map_or(Proved::Ended, |step| Proved::Next(Box::new(step))));
            }
        }
        let done = match state.session {
            Some(session) => self.confirm(visitor, account, session, &flow, &state).await?,
            None => self.complete(visitor, account, Some(&flow), &state, remember).await?,
        };
        Ok(done.map_or(Proved::Ended, |signed_in| Proved::Done(Box::new(signed_in))))
    }

    /// None: the flow moved on while it was judged.
    async fn judge(
        &self,
        visitor: &Visitor,
        account: &Account,
        flow: Flow,
        state: &mut State,
        proof: Proof,
    ) -> Result<Option<(Flow, Judged)>, AccountError> {
        // None where no code could be sent: paper does all the same.
        let asked = state.asked.clone();
        // A first code that could not be sent is judged like one that went to nobody.
        let first = (state.stage == Stage::First).then(uuid::Uuid::nil);
        if let (Proof::Code(code), Some(asked)) = (&proof, &asked)
            && let Some(verification) = asked.verification.or(first)
        {
            let judged = self.check_code(visitor, verification, SIGN_IN, code, asked.method).await?;
            if matches!(judged, Judged::Right(_)) {
                state.second = asked.identifier;
            }
            return Ok(Some((flow, judged)));
        }
        // Counted in the flow before it is judged (ATT-04).
        if state.attempts >= ATTEMPTS_MAX || state.stage == Stage::First {
            return Ok(Some((flow, Judged::Wrong)));
        }
        state.attempts += 1;
        if !self.tables.advance_flow(&flow, &encode(state)?).await? {
            return Ok(None);
        }
        let flow = Flow { revision: flow.revision + 1, ..flow };
        let judged = match proof {
            Proof::Code(code) if asked.as_ref().is_some_and(|asked| asked.method == Method::Totp) => {
                self.judge_totp(account, &code).await?
            }
            Proof::Code(_) => Judged::Wrong,
            Proof::RecoveryCode(code) => self.judge_recovery_code(visitor, account, &code).await?,
            Proof::Passkey(answer) => match asked.and_then(|asked| asked.challenge) {
                Some(challenge) => self.judge_passkey(account, &challenge, &answer).await?,
                None => Judged::Wrong,
            },
        };
        Ok(Some((flow, judged)))
    }

    /// Whether it is the code of that verification. Malformed ones are wrong ones.
    pub(super) async fn check_code(
        &self,
        visitor: &Visitor,
        verification: uuid::Uuid,
        purpose: &'static str,
        code: &str,
        method: Method,
    ) -> Result<Judged, AccountError> {
        let Ok(code) = Code::parse(code.trim()) else { return Ok(Judged::Wrong) };
        Ok(match self.engine.check(&self.caller(visitor), Which::IdFor { id: verification, purpose }, &code).await? {
            Verdict::Judged(checked) if checked.valid => Judged::Right(vec![reference(method).to_owned()]),
            Verdict::Limited(limited) => Judged::Limited(limited),
            Verdict::NotJudged => Judged::Unanswered,
            _ => Judged::Wrong,
        })
    }

    /// The end: the flow goes, the session begins, what a code proved is owned from now on.
    pub(super) async fn complete(
        &self,
        visitor: &Visitor,
        account: &Account,
        flow: Option<&Flow>,
        state: &State,
        remember: bool,
    ) -> Result<Option<SignedIn>, AccountError> {
        let now = self.now();
        let proven = state.first.or(state.second);
        // The place whose code alone reset the password says nothing new (REC-03).
        let doubtful = account.password_reset_by.is_some() && proven == account.password_reset_by;
        let level = if doubtful { crate::account::model::Assurance::Aal1 } else { assurance(&state.proven) };
        let mut methods = state.proven.clone();
        if level == crate::account::model::Assurance::Aal2 {
            methods.push("mfa".to_owned());
        }
        let (new, token) = self.new_session(visitor, account, methods, level);
        let browser = visitor.browser.as_ref().map(|token| token.hash(BROWSER));
        let known = match &browser {
            Some(browser) => self.tables.browser(browser, account.id, now).await?,
            None => None,
        };
        let is_known = known.is_some();
        // A sign-in without a second factor neither ends what was remembered nor prolongs it (MFA-08).
        let remembered_until = match remember && level == crate::account::model::Assurance::Aal2 {
            true => now + self.settings.remember_browser,
            false => known.unwrap_or(Timestamp(0)),
        };
        let session = new.session.clone();
        let completion = Completion {
            new,
            flow: flow.map(|flow| (flow.token_hash.clone(), flow.revision)),
            proven,
            password_as_of: state.password_as_of,
            browser: browser.map(|browser| (browser, now + BROWSER_LIFE, remembered_until)),
            settles_reset: level == crate::account::model::Assurance::Aal2,
        };
        let event = self.event("account.signed_in", Some(account.id), visitor, session.methods.join(" "));
        if !self.tables.complete(&completion, &event).await? {
            return Ok(None);
        }
        self.forgive(visitor, account, flow.and_then(|flow| flow.identifier_hash.as_deref())).await?;
        if !is_known && self.settings.sign_in_notices {
            self.tell(account, Notice::SignInFromNewBrowser(visitor.ip), None).await?;
        }
        Ok(Some(SignedIn { token, session, account: account.clone() }))
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
