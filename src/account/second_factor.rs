//! The step after the password: judging what somebody shows, and what follows from it.

use std::pin::pin;
use std::time::Duration;

use crate::account::model::{Account, Method, Visitor};
use crate::account::sessions::{SignedIn, reference};
use crate::account::sign_in::{FlowRef, SIGN_IN, Stage, State, Step, encode};
use crate::account::{AccountError, Accounts};
use crate::db::accounts::Flow;
use crate::secret::Code;
use crate::verification::engine::Verdict;
use crate::verification::limit::Limited;
use crate::verification::request::Which;

/// Codes of factors that we judge ourselves, in one flow (as many as one code may be checked).
const ATTEMPTS_MAX: u32 = 5;

/// When a wrong code is answered that a provider judges and nothing was proven for: longer than providers take. A right one
/// waits for nothing.
const LEVEL: Duration = Duration::from_secs(5);

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
    /// Judges what somebody shows; the last right one makes the session.
    pub async fn prove(&self, visitor: &Visitor, which: &FlowRef, proof: Proof, remember: bool) -> Result<Proved, AccountError> {
        let Some((flow, mut state)) = self.find_flow(visitor, which).await? else { return Ok(Proved::Ended) };
        if state.stage == Stage::Passkey {
            return self.prove_passkey_alone(visitor, &flow, state, proof).await;
        }
        let Some(account) = self.account_of(&flow).await? else {
            // Nobody is there: a code is as wrong as any, and counts for the address like one (ENM-01).
            let Proof::Code(code) = &proof else { return Ok(Proved::Wrong) };
            let by_provider = self.is_made_elsewhere(&state)?;
            return Ok(match self.check_first_code(visitor, uuid::Uuid::nil(), SIGN_IN, code, Method::Sms, by_provider).await? {
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
            // They were messages until now, and are codes from here on.
            state.attempts = 0;
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
            let judged = match state.stage {
                Stage::First => {
                    let by_provider = self.is_made_elsewhere(state)?;
                    self.check_first_code(visitor, verification, SIGN_IN, code, asked.method, by_provider).await?
                }
                _ => self.check_code(visitor, verification, SIGN_IN, code, asked.method).await?,
            };
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

    /// Whether a provider makes the codes that go to what was typed.
    fn is_made_elsewhere(&self, state: &State) -> Result<bool, AccountError> {
        let asked = state.asked.as_ref().and_then(|asked| Some((asked.method.channel()?, asked.typed.as_deref()?)));
        let Some((channel, typed)) = asked else { return Ok(false) };
        Ok(self.is_by_provider(channel, &self.stored_destination(typed)?))
    }

    /// Whether it is the code of that verification, in a flow that nobody has proven anything for. A provider is asked for somebody
    /// and never for nobody. So where one makes the codes, whatever was not right is wrong, and at the same moment (ENM-01).
    pub(super) async fn check_first_code(
        &self,
        visitor: &Visitor,
        verification: uuid::Uuid,
        purpose: &'static str,
        code: &str,
        method: Method,
        by_provider: bool,
    ) -> Result<Judged, AccountError> {
        let judging = self.check_code(visitor, verification, purpose, code, method);
        if !by_provider {
            return judging.await;
        }
        let mut level = pin!(tokio::time::sleep(LEVEL));
        let judged = tokio::select! {
            judged = judging => judged?,
            () = &mut level => return Ok(Judged::Wrong),
        };
        match judged {
            Judged::Right(_) | Judged::Limited(_) => Ok(judged),
            Judged::Wrong | Judged::Unanswered => {
                level.await;
                Ok(Judged::Wrong)
            }
        }
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
}
