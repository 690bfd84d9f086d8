//! Sign-in: a flow of steps, in this table, and nothing else possible (MFA-01 to MFA-05).
//!
//! | begun by | stage | what it accepts | then |
//! |---|---|---|---|
//! | a right password | `Second` | one of the account's other methods | the session |
//! | a number or address alone, where allowed | `First` | the code sent there | the session; `Second` where a factor is enrolled |
//! | a passkey alone | `Passkey` | the answer to its challenge | the session |
//! | a session, to be confirmed | `Second` | one of the account's methods | the same session, confirmed |
//!
//! A flow is not a session: it opens nothing but its own next step. It belongs to the browser that holds its token; a client
//! that keeps no cookies is known by what it typed and its network. The last step takes the flow away and makes the session
//! in one change: of two right answers at once one wins, and a second click on one code does not undo the first. Each step before
//! it is guarded by the flow's revision.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::model::{Account, Method, Visitor};
use crate::account::password::{Password, Verified};
use crate::account::secret_token::SecretToken;
use crate::account::sessions::SignedIn;
use crate::account::settings::SecondFactor;
use crate::account::{AccountError, Accounts, network};
use crate::clock::Timestamp;
use crate::db::accounts::Flow;
use crate::verification::destination::Destination;
use crate::verification::limit::{BucketKey, LimitName, Limited, Rule, Take};
use crate::verification::prepare::ip_key;

/// The kind of these flows, and the purpose of their codes: good for nothing else (OTP-05, A28).
pub(super) const SIGN_IN: &str = "sign-in";
/// How long somebody may take from the password to the end.
const FLOW_LIFE: Duration = Duration::from_secs(15 * 60);

/// What a flow waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// The code that was sent to what was typed.
    First,
    /// Another factor.
    Second,
    /// A passkey, whosever it is.
    Passkey,
}

/// What was asked for last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Asked {
    pub method: Method,
    /// The number or address that the code went to.
    pub identifier: Option<Uuid>,
    /// What was typed, of a first step.
    #[serde(default)]
    pub typed: Option<String>,
    pub verification: Option<Uuid>,
    pub sent_to: Option<String>,
    pub expires_at: i64,
    pub resend_after: i64,
    /// A passkey's.
    pub challenge: Option<String>,
}

/// The state of a flow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub stage: Stage,
    /// `amr` so far.
    pub proven: Vec<String>,
    pub asked: Option<Asked>,
    /// Codes of factors that we judge ourselves; the engine counts its own.
    pub attempts: u32,
    /// The session to be confirmed.
    pub session: Option<Uuid>,
    /// Whether that keeps its token: whoever confirms it holds another one.
    #[serde(default)]
    pub keeps_token: bool,
    /// The number or address that a first code proved.
    pub first: Option<Uuid>,
    /// The one that a code of the second step proved: only a right code proves where it was sent.
    #[serde(default)]
    pub second: Option<Uuid>,
    /// When the password that was shown was set: a flow that began with an older one ends without a session.
    #[serde(default)]
    pub password_as_of: Option<i64>,
    /// Hash of what was typed with that password: its wrong passwords are forgiven in the end.
    #[serde(default)]
    pub typed: Option<String>,
}

impl State {
    /// One in which nothing was shown yet.
    pub fn new(stage: Stage) -> State {
        State {
            stage,
            proven: Vec::new(),
            asked: None,
            attempts: 0,
            session: None,
            keeps_token: false,
            first: None,
            second: None,
            password_as_of: None,
            typed: None,
        }
    }
}

/// Which flow is meant.
#[derive(Debug, Clone)]
pub enum FlowRef {
    /// The one of this browser.
    Token(SecretToken),
    /// The newest for what somebody typed, from the same network: for clients without cookies.
    Typed(String),
}

/// Where a flow stands, to show.
#[derive(Debug, Clone)]
pub struct Step {
    /// For the browser's cookie; none when it has it already.
    pub token: Option<SecretToken>,
    /// What was asked for; none: choose.
    pub method: Option<Method>,
    /// Where the code went, masked.
    pub sent_to: Option<String>,
    /// When the code dies.
    pub expires_at: Timestamp,
    /// From when on it may be sent again.
    pub resend_after: Timestamp,
    /// Every method that would do.
    pub methods: Vec<Method>,
    /// For `navigator.credentials.get`, where a passkey is asked for.
    pub passkey: Option<serde_json::Value>,
    /// Why no code was sent.
    pub not_sent: Option<NotSent>,
}

/// Why no code was sent.
#[derive(Debug, Clone)]
pub enum NotSent {
    /// Too many were.
    Limited(Limited),
    /// The destination is not served, or no longer allowed.
    Impossible,
}

/// What came of a password.
#[derive(Debug)]
pub enum SignIn {
    /// Unknown, wrong, disabled: all the same (ENM-01).
    Refused,
    /// Too many tries.
    Limited(Limited),
    /// Right: on to the next step.
    Next(Box<Step>),
    /// Nothing more is needed.
    Done(Box<SignedIn>),
}

impl Accounts {
    /// The password step. `typed`: a number or address.
    pub async fn sign_in(&self, visitor: &Visitor, typed: &str, password: &str) -> Result<SignIn, AccountError> {
        let (Ok(destination), Ok(password)) = (self.destination(typed, "phone"), Password::parse(password)) else {
            // What cannot be right costs nothing to refuse, and tells nothing about who exists.
            return Ok(SignIn::Refused);
        };
        let browser = visitor.browser.as_ref().map(|token| token.hash(BROWSER));
        let candidates = self.tables.candidates(destination.canonical()).await?;
        let mut seen = Vec::new();
        if let Some(browser) = &browser {
            for account in &candidates {
                seen.extend(self.tables.browser(browser, account.id, self.now()).await?.map(|until| (account.id, until)));
            }
        }
        // To all of them: whoever claims an address beside somebody gets no bucket of their own for that person's password (A43).
        let is_known = !candidates.is_empty() && seen.len() == candidates.len();
        if let Err(limited) = self.engine.store.take(self.sign_in_limits(visitor, &destination, is_known), self.now()).await? {
            return Ok(SignIn::Limited(limited));
        }
        let Some(account) = self.whose_password(candidates, password).await? else {
            let event = self.event("sign_in.refused", None, visitor, destination.masked());
            self.tables.note(&event).await?;
            return Ok(SignIn::Refused);
        };
        let state = State {
            proven: vec!["pwd".into()],
            password_as_of: Some(account.password_changed_at.0),
            typed: Some(self.typed_hash(&destination)),
            ..State::new(Stage::Second)
        };
        let methods = self.methods(&account, &state).await?;
        // By the account whose password it was, and no other that claims the same (MFA-08).
        let remembered = seen.iter().any(|(id, until)| *id == account.id && self.now() < *until);
        let remembered = remembered && !self.settings.remember_browser.is_zero();
        let enrolled = methods.iter().any(|method| method.channel().is_none());
        if remembered || (self.settings.second_factor == SecondFactor::WhenEnrolled && !enrolled) {
            return Ok(match self.complete(visitor, &account, None, &state, false).await? {
                Some(signed_in) => SignIn::Done(Box::new(signed_in)),
                None => SignIn::Refused,
            });
        }
        let typed = Some(&destination).filter(|_| !visitor.keeps_cookies);
        Ok(SignIn::Next(Box::new(self.begin(visitor, Some(&account), typed, state).await?)))
    }

    /// The first whose password it is. The work is the same when nobody is there.
    async fn whose_password(&self, candidates: Vec<Account>, password: Password) -> Result<Option<Account>, AccountError> {
        if candidates.is_empty() {
            self.hasher.verify(password, None).await?;
            return Ok(None);
        }
        for account in candidates {
            let verified = self.hasher.verify(password.clone(), account.password.clone()).await?;
            if let (Verified::YesAnd(better), Some(old)) = (&verified, &account.password) {
                self.tables.upgrade_password(account.id, old, better).await?;
            }
            if !matches!(verified, Verified::No) {
                return Ok(Some(account));
            }
        }
        Ok(None)
    }

    /// Counted before the password is looked at. Wrong ones of strangers do not close the door for a browser that signed in
    /// before (A47).
    fn sign_in_limits(&self, visitor: &Visitor, destination: &Destination, is_known: bool) -> Vec<Take> {
        let rate = |name: LimitName, key: BucketKey, quota| Take { key, name, rule: Rule::Rate(quota) };
        let by_ip = LimitName::IpSignIns.key(&[&ip_key(visitor.ip)]);
        let mut takes = vec![rate(LimitName::IpSignIns, by_ip, self.settings.ip_sign_ins)];
        let [own, strangers] = self.failure_keys(visitor, destination, is_known);
        takes.push(rate(LimitName::SignInFailures, own, self.settings.sign_in_failures));
        if !is_known {
            takes.push(rate(LimitName::AccountFailures, strangers, self.settings.account_failures));
        }
        takes
    }

    fn failure_keys(&self, visitor: &Visitor, destination: &Destination, is_known: bool) -> [BucketKey; 2] {
        let browser = visitor.browser.as_ref().filter(|_| is_known).map(|token| token.hash(BROWSER));
        let ip = ip_key(visitor.ip);
        let who = browser.as_deref().map_or(&ip[..], str::as_bytes);
        [LimitName::SignInFailures.key(&[&destination.key(), who]), LimitName::AccountFailures.key(&[&destination.key()])]
    }

    /// Forgives the wrong passwords before a sign-in that went through to its end (ATT-09): for what the account owns, and for
    /// what was typed (`typed`: its hash) where nobody else claims it. A claim alone forgives nothing: it may be a stranger's.
    pub(super) async fn forgive(&self, visitor: &Visitor, account: &Account, typed: Option<&str>) -> Result<(), AccountError> {
        let mut buckets = Vec::new();
        for identifier in self.tables.identifiers(account.id).await? {
            let destination = self.stored_destination(&identifier.value)?;
            let is_typed = typed.is_some_and(|typed| typed == self.typed_hash(&destination));
            if identifier.proven_at.is_none() && (!is_typed || self.tables.is_claimed_beside(account.id, &identifier.value).await?) {
                continue;
            }
            for is_known in [false, true] {
                buckets.extend(self.failure_keys(visitor, &destination, is_known));
            }
        }
        Ok(self.engine.store.clear(buckets).await?)
    }

    /// Begins a flow and asks for the first method that fits.
    pub(super) async fn begin(
        &self,
        visitor: &Visitor,
        account: Option<&Account>,
        typed: Option<&Destination>,
        state: State,
    ) -> Result<Step, AccountError> {
        self.begin_by(visitor, account, typed, state, None).await
    }

    /// The same, with the method that is wanted, if the account has it.
    pub(super) async fn begin_by(
        &self,
        visitor: &Visitor,
        account: Option<&Account>,
        typed: Option<&Destination>,
        state: State,
        wanted: Option<Method>,
    ) -> Result<Step, AccountError> {
        let now = self.now();
        let token = SecretToken::random(self.entropy.as_ref());
        let flow = Flow {
            token_hash: token.hash(SIGN_IN),
            kind: SIGN_IN.into(),
            account: account.map(|account| account.id),
            identifier_hash: typed.map(|destination| self.typed_hash(destination)),
            address: network(visitor),
            state: encode(&state)?,
            revision: 0,
            created_at: now,
            expires_at: now + FLOW_LIFE,
        };
        self.tables.begin_flow(&flow).await?;
        let step = match account {
            Some(account) => {
                let methods = self.methods(account, &state).await?;
                // Nothing is sent anywhere else than where it was wanted.
                let wanted = wanted.map_or(methods.first().copied(), |wanted| methods.contains(&wanted).then_some(wanted));
                match wanted {
                    Some(method) => self.ask_for(visitor, account, &flow, state, method, methods).await?,
                    None => Some(self.shown(&flow, &state, methods, Some(NotSent::Impossible))),
                }
            }
            None => Some(self.shown(&flow, &state, Vec::new(), None)),
        };
        let step = step.ok_or(AccountError::Row("flow"))?;
        Ok(Step { token: Some(token), ..step })
    }

    /// The flow that is meant, and its state; none when it ended or is somebody else's.
    pub(super) async fn find_flow(&self, visitor: &Visitor, which: &FlowRef) -> Result<Option<(Flow, State)>, AccountError> {
        let now = self.now();
        let found = match which {
            FlowRef::Token(token) => self.tables.flow(SIGN_IN, &token.hash(SIGN_IN), now).await?,
            FlowRef::Typed(typed) => match self.destination(typed, "email") {
                Ok(destination) => self.tables.newest_flow(SIGN_IN, &self.typed_hash(&destination), &network(visitor), now).await?,
                Err(_) => None,
            },
        };
        let Some(flow) = found else { return Ok(None) };
        let state = serde_json::from_str(&flow.state).map_err(|_| AccountError::Row("flow"))?;
        Ok(Some((flow, state)))
    }

    /// Where the flow stands, to show it again.
    pub async fn step(&self, visitor: &Visitor, which: &FlowRef) -> Result<Option<Step>, AccountError> {
        let Some((flow, state)) = self.find_flow(visitor, which).await? else { return Ok(None) };
        let methods = match self.account_of(&flow).await? {
            // Of a first code nobody may see whether anybody gets it (ENM-01).
            Some(account) if state.stage == Stage::Second => self.methods(&account, &state).await?,
            _ => Vec::new(),
        };
        Ok(Some(self.shown(&flow, &state, methods, None)))
    }

    pub(super) async fn account_of(&self, flow: &Flow) -> Result<Option<Account>, AccountError> {
        let Some(id) = flow.account else { return Ok(None) };
        Ok(self.tables.account(id).await?.filter(|account| account.is_active))
    }

    pub(super) fn shown(&self, flow: &Flow, state: &State, methods: Vec<Method>, not_sent: Option<NotSent>) -> Step {
        let asked = state.asked.as_ref();
        Step {
            token: None,
            method: asked.map(|asked| asked.method),
            sent_to: asked.and_then(|asked| asked.sent_to.clone()),
            expires_at: asked.map_or(flow.expires_at, |asked| Timestamp(asked.expires_at)),
            resend_after: Timestamp(asked.map_or(0, |asked| asked.resend_after)),
            methods,
            passkey: None,
            not_sent,
        }
    }

    /// Gives a flow up: whoever holds its token may.
    pub async fn give_up(&self, token: &SecretToken) -> Result<(), AccountError> {
        self.tables.end_flow(&token.hash(SIGN_IN)).await?;
        Ok(())
    }
}

/// The purpose under which a browser's token is hashed.
pub(super) const BROWSER: &str = "browser";

pub(super) fn encode(state: &State) -> Result<String, AccountError> {
    serde_json::to_string(state).map_err(|_| AccountError::Row("flow"))
}
