//! Start, resend, check, cancel: every rule about a code, once.
//!
//! Each start is a verification of its own, with its own checks: a stranger who starts one for the same destination can
//! neither spend nor cancel mine. What is counted per destination (messages, wrong codes in a row) gates *starts*, and
//! never the code that somebody already holds. Where the caller has authenticated a person and says so (`subject`), that
//! person's counts are their own (ATT-08; docs/decisions/0004-lock-out.md).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::secret::{Code, Entropy, Pepper, Peppers, Tag};
use crate::telemetry::Metrics;
use crate::verification::courier::{Courier, ProviderVerdict};
use crate::verification::destination::{Country, Destination};
use crate::verification::lease::Lease;
use crate::verification::limit::{LimitName, Limited, SendRule};
use crate::verification::model::{Channel, CodeBy, Event, EventKind, Status, Verification, VerificationId, failures_key};
use crate::verification::newest::Turns;
use crate::verification::policies::Policies;
use crate::verification::policy::Policy;
use crate::verification::prepare::{ip_key, rate};
use crate::verification::request::{self, Caller, InvalidField, StartRequest, Which};
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, IdempotencyClaim, Sending, Snapshot, Store, StoreError, Target,
};
use crate::verification::wording;

/// What the timeline says of a verification that its receiver called off.
const DISOWNED: &str = "by the link in the message: not asked for";

/// What the engine is made of.
pub struct Engine {
    /// Where verifications live.
    pub store: Arc<dyn Store>,
    /// Whether this replica may hand over what it has queued.
    pub lease: Arc<Lease>,
    /// Who takes messages away.
    pub courier: Arc<dyn Courier>,
    /// The rules by service.
    pub policies: Policies,
    /// Messages to one destination from all services.
    pub destination_all_services: Arc<SendRule>,
    /// Server keys.
    pub peppers: Peppers,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Destinations with a fixed code: dev mode only (OPS-03).
    pub test_destinations: HashMap<String, Code>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Of starts that end the codes before them.
    pub turns: Turns,
    /// Longest wait for a provider's answer, where the caller wants to wait for it. Shorter than a request may take.
    pub wait_max: Duration,
}

/// What came of a start or a resend.
#[derive(Debug)]
pub enum Started {
    /// A message is on its way, or was when the same idempotency key came first.
    Sending(Snapshot),
    /// A limit refused; nothing was changed.
    Limited(Limited),
    /// A field breaks a rule; nothing was changed.
    Invalid(InvalidField),
    /// The idempotency key came with another request before.
    IdempotencyKeyReused,
    /// Resend: no such verification.
    NotFound,
    /// Resend: it has ended.
    Ended(Status),
}

/// What came of a check.
#[derive(Debug)]
pub enum Verdict {
    /// It was judged, or had ended before.
    Judged(Checked),
    /// No such verification. To the public this looks like a wrong code.
    NotFound,
    /// A limit refused; nothing was counted.
    Limited(Limited),
    /// A field breaks a rule; nothing was counted.
    Invalid(InvalidField),
    /// The provider that made the code could not be asked. The check is counted, and nothing passes (OPS-01).
    NotJudged,
    /// The idempotency key is being answered now.
    IdempotencyKeyInFlight,
    /// The idempotency key came with another request before.
    IdempotencyKeyReused,
}

/// What a check was about, as it stood when that was counted, or else refused because it was over.
#[derive(Debug)]
pub struct Seen {
    /// The verification.
    pub verification: Box<Verification>,
    /// Whether this very check was counted: the last one that is looks like those after it, which are not.
    pub counted: bool,
}

impl Engine {
    /// Sends a code to a destination. With `wait`, answers once it is known what became of the message, or after
    /// [`Engine::wait_max`]; otherwise at once.
    pub async fn start(&self, caller: &Caller, request: StartRequest, wait: bool) -> Result<Started, StoreError> {
        Ok(self.begin(caller, request, wait, false).await?.0)
    }

    /// The same, at once, and with the verification whose message was queued; none where nothing was, or an earlier answer is
    /// given again. Whoever shows more than a snapshot need not read what was written a moment ago, and cannot fail to.
    pub async fn start_shown(&self, caller: &Caller, request: StartRequest) -> Result<(Started, Option<Box<Verification>>), StoreError> {
        self.begin(caller, request, false, true).await
    }

    async fn begin(
        &self,
        caller: &Caller,
        request: StartRequest,
        wait: bool,
        shown: bool,
    ) -> Result<(Started, Option<Box<Verification>>), StoreError> {
        let policy = self.policies.current(&caller.service).await?;
        let policy = match policy.worded(request.extras.brand.as_deref(), request.extras.app_hash.as_deref()) {
            Ok(policy) => policy,
            Err(invalid) => return Ok((Started::Invalid(invalid), None)),
        };
        let now = self.clock.now();
        let wording = match wording::allowed(&policy, request.wording.as_deref()) {
            Err(invalid) => return Ok((Started::Invalid(invalid), None)),
            Ok(wording) => wording,
        };
        let supersedes = request.supersedes;
        match self.prepare(&policy, caller, request, now) {
            Err(invalid) => Ok((Started::Invalid(invalid), None)),
            Ok((start, code)) => {
                let id = start.verification.id;
                let earlier = if supersedes { Some(self.earlier(&start.verification).await?) } else { None };
                let sending = self.store.start(start).await.inspect_err(|error| self.doubt(error))?;
                let queued = match &sending {
                    Sending::Queued(queued, _) if supersedes || shown => Some(queued.clone()),
                    _ => None,
                };
                let handed = self.hand_over(sending, id, code, wording, &policy, wait).await;
                if let (Some(earlier), Some(queued)) = (earlier, &queued) {
                    self.end_earlier(caller, earlier, queued).await;
                }
                Ok((self.awaited(&caller.service, handed).await, queued))
            }
        }
    }

    /// Sends again: a new code under the same id and the same count of checks, or the same code where the policy says so.
    pub async fn resend(
        &self,
        caller: &Caller,
        id: VerificationId,
        channel: Option<Channel>,
        own_code: Option<Code>,
        wait: bool,
    ) -> Result<Started, StoreError> {
        let policy = self.policies.current(&caller.service).await?;
        // Somebody may be quicker between the read and the guarded write: then read again. Each round loses to a
        // transition that passed, and a destination gets few of those, so this ends.
        for _ in 0..8 {
            let now = self.clock.now();
            let Some((verification, _)) = self.store.get(&caller.service, id).await? else { return Ok(Started::NotFound) };
            match self.prepare_resend(&policy, caller, verification, channel, own_code.clone(), now) {
                Err(invalid) => return Ok(Started::Invalid(invalid)),
                Ok((resend, code)) => match self.store.resend(resend).await.inspect_err(|error| self.doubt(error))? {
                    Sending::Moved => {}
                    sending => {
                        let handed = self.hand_over(sending, id, code, None, &policy, wait).await;
                        return Ok(self.awaited(&caller.service, handed).await);
                    }
                },
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Judges a code: count first, compare in constant time, then approve exactly once.
    pub async fn check(&self, caller: &Caller, which: Which, code: &Code) -> Result<Verdict, StoreError> {
        Ok(self.checked(caller, which, code, false).await?.0)
    }

    /// The same, and with the verification, where there is one.
    pub async fn check_shown(&self, caller: &Caller, which: Which, code: &Code) -> Result<(Verdict, Option<Seen>), StoreError> {
        self.checked(caller, which, code, true).await
    }

    async fn checked(&self, caller: &Caller, which: Which, code: &Code, shown: bool) -> Result<(Verdict, Option<Seen>), StoreError> {
        let policy = self.policies.current(&caller.service).await?;
        let now = self.clock.now();
        let target = match self.target(&policy, which) {
            Ok(target) => target,
            Err(invalid) => return Ok((Verdict::Invalid(invalid), None)),
        };
        let idempotency = self.claim(caller, "check", |digest| {
            match &target {
                Target::Id(id) | Target::IdFor { id, .. } => digest(id.as_bytes()),
                Target::Newest { purpose, destination } => {
                    digest(purpose.as_bytes());
                    digest(destination);
                }
            }
            digest(code.expose().as_bytes());
        });
        let mut takes = Vec::with_capacity(1);
        if let Some(ip) = caller.ip {
            takes.push(rate(LimitName::IpChecks, policy.ip_checks, &[caller.service.as_bytes(), &ip_key(ip)]));
        }
        let attempt = Attempt {
            target,
            service: caller.service.clone(),
            takes,
            subject_failures: policy.closed_subjects(),
            idempotency,
            origin: caller.origin(),
            now,
        };
        let outcome = self.store.attempt(attempt).await?;
        let seen = match &outcome {
            AttemptOutcome::Judge(verification) if shown => Some(Seen { verification: verification.clone(), counted: true }),
            AttemptOutcome::Ended(verification) if shown => Some(Seen { verification: verification.clone(), counted: false }),
            _ => None,
        };
        let verdict = match outcome {
            AttemptOutcome::Judge(verification) => {
                let judged = self.judge(caller, *verification, code, idempotency, now).await;
                if let (Some(claim), Ok(Verdict::NotJudged | Verdict::NotFound) | Err(_)) = (idempotency, &judged) {
                    // The caller is asked to come again soon, with the same key. Should this fail, the key is free half a minute later.
                    let _ = self.store.answered(claim, None).await;
                }
                judged?
            }
            AttemptOutcome::Ended(verification) => {
                // The same work as for a live one, so that time does not tell (OTP-08).
                self.compare(&verification, code);
                Verdict::Judged(standing(&verification, now))
            }
            AttemptOutcome::NotFound => {
                self.compare_nothing(code);
                Verdict::NotFound
            }
            AttemptOutcome::Limited(limited) => Verdict::Limited(limited),
            AttemptOutcome::Replayed(checked) => Verdict::Judged(checked),
            AttemptOutcome::InFlight => Verdict::IdempotencyKeyInFlight,
            AttemptOutcome::KeyReused => Verdict::IdempotencyKeyReused,
        };
        self.metrics.checked(self.policies.label(&caller.service), &verdict);
        Ok((verdict, seen))
    }

    /// Judges what somebody typed, where that need not be a code. What can be none matches nothing and is not counted, and its
    /// answer tells no more than where the verification stands.
    pub async fn check_text(&self, caller: &Caller, id: VerificationId, purpose: &'static str, text: &str) -> Result<Verdict, StoreError> {
        if let Ok(code) = Code::parse(text) {
            return self.check(caller, Which::IdFor { id, purpose }, &code).await;
        }
        let found = self.store.get(&caller.service, id).await?.filter(|(verification, _)| *verification.purpose == *purpose);
        Ok(found.map_or(Verdict::NotFound, |(verification, _)| Verdict::Judged(standing(&verification, self.clock.now()))))
    }

    /// Calls a pending verification off. The snapshot tells where it stands then.
    pub async fn cancel(&self, caller: &Caller, id: VerificationId) -> Result<Option<Snapshot>, StoreError> {
        match self.call_off(caller, id, None).await? {
            CancelOutcome::NotFound => Ok(None),
            CancelOutcome::Canceled(_) | CancelOutcome::Ended(_) => Ok(self.get(&caller.service, id).await?.map(|(_, snapshot)| snapshot)),
        }
    }

    /// Calls a pending verification off for somebody who got its message and never asked for it. The timeline says so.
    pub async fn disown(&self, caller: &Caller, id: VerificationId) -> Result<CancelOutcome, StoreError> {
        self.call_off(caller, id, Some(DISOWNED)).await
    }

    pub(super) async fn call_off(
        &self,
        caller: &Caller,
        id: VerificationId,
        detail: Option<&'static str>,
    ) -> Result<CancelOutcome, StoreError> {
        let outcome = self.store.cancel(&caller.service, id, caller.origin(), detail, self.clock.now()).await?;
        if let CancelOutcome::Canceled(verification) = &outcome
            && verification.code_by == CodeBy::Provider
        {
            self.courier.call_off(verification).await;
        }
        Ok(outcome)
    }

    /// One verification of a service.
    pub async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Snapshot)>, StoreError> {
        let policy = self.policies.current(service).await?;
        let found = self.store.get(service, id).await?;
        Ok(found.map(|(verification, bucket)| {
            let snapshot = Snapshot::of(&verification, &bucket, &policy.sends, self.clock.now());
            (verification, snapshot)
        }))
    }

    /// What happened to a verification of a service, oldest first.
    pub async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError> {
        self.store.timeline(id).await
    }

    /// Verifications of a service to a destination, newest first, older than `before`.
    pub async fn list(
        &self,
        service: &str,
        to: &str,
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Result<Vec<Snapshot>, InvalidField>, StoreError> {
        let policy = self.policies.current(service).await?;
        let destination = match self.destination(&policy, to) {
            Ok(destination) => destination,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let listed = self.store.list(service, destination.key(), before, limit).await?;
        let now = self.clock.now();
        Ok(Ok(listed.iter().map(|(verification, bucket)| Snapshot::of(verification, bucket, &policy.sends, now)).collect()))
    }

    /// Forgives the wrong codes of a destination, or of a subject: the "rebind" after the hard cap.
    pub async fn release(&self, caller: &Caller, to: &str, subject: Option<String>) -> Result<Result<bool, InvalidField>, StoreError> {
        let policy = self.policies.current(&caller.service).await?;
        let destination = self.destination(&policy, to);
        let (destination, subject) = match destination.and_then(|destination| Ok((destination, request::subject(subject)?))) {
            Ok(found) => found,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let event = Event {
            about: self.new_id(self.clock.now()),
            revision: 0,
            at: self.clock.now(),
            kind: EventKind::FailuresReleased,
            origin: caller.origin(),
            detail: Some(destination.masked()),
        };
        self.store.release(failures_key(&caller.service, &destination, subject.as_deref()), event).await.map(Ok)
    }

    /// The destination that `input` spells, if the service may send there.
    pub fn destination(&self, policy: &Policy, input: &str) -> Result<Destination, InvalidField> {
        let trimmed = input.trim();
        if self.test_destinations.contains_key(trimmed) {
            let country = if trimmed.contains('@') { None } else { Country::parse("ZZ") };
            return Ok(Destination::from_canonical(trimmed.to_owned(), country));
        }
        Destination::parse(input, policy.default_region).map_err(|error| InvalidField::new("to", error.to_string()).kind(error.kind()))
    }

    /// The rules of a service as far as they are known here: those of configured services always are.
    pub fn policy(&self, service: &str) -> Arc<Policy> {
        self.policies.known(service)
    }

    /// Compares, and approves what is right.
    async fn judge(
        &self,
        caller: &Caller,
        mut verification: Verification,
        code: &Code,
        idempotency: Option<IdempotencyClaim>,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let right = match verification.code_by {
            CodeBy::Server | CodeBy::Caller => self.compare(&verification, code),
            CodeBy::Provider => match self.courier.judge(&verification, code).await {
                Ok(verdict) => verdict == ProviderVerdict::Approved,
                Err(error) => {
                    tracing::warn!(%error, verification = %verification.id, "a check was not judged");
                    return Ok(Verdict::NotJudged);
                }
            },
        };
        if right {
            let approve = Approve { id: verification.id, generation: verification.generation, idempotency, origin: caller.origin(), now };
            if self.store.approve(approve).await? {
                return Ok(Verdict::Judged(Checked { id: verification.id, status: Status::Approved, valid: true, attempts_left: 0 }));
            }
            // Another check with the right code was quicker, or it was canceled, or a resend replaced the code; or it is gone, because
            // somebody emptied the store: then nothing is pending any more.
            let Some((moved, _)) = self.store.get(&caller.service, verification.id).await? else { return Ok(Verdict::NotFound) };
            verification = moved;
        }
        let checked = standing(&verification, now);
        if let Some(claim) = idempotency {
            self.store.answered(claim, Some(checked.clone())).await?;
        }
        Ok(Verdict::Judged(checked))
    }

    fn compare(&self, verification: &Verification, code: &Code) -> bool {
        match self.peppers.by_id(verification.pepper_id) {
            Some(pepper) => pepper.tag(&verification.code_context(), code).matches(&verification.tag),
            None => {
                self.compare_nothing(code);
                false
            }
        }
    }

    /// The same work where there is nothing to compare with, so that time does not tell (OTP-08).
    fn compare_nothing(&self, code: &Code) {
        let context = crate::secret::CodeContext { service: "", verification: &[0; 16], purpose: "", destination: "", generation: 0 };
        std::hint::black_box(self.peppers.current.tag(&context, code).matches(&Tag([0; 32])));
    }

    /// The code that a verification's newest message carried, made again; none for a caller's own, or without its pepper.
    pub(super) fn code_of(&self, verification: &Verification) -> Option<Code> {
        match verification.code_by {
            CodeBy::Server => {}
            CodeBy::Caller => return self.test_destinations.get(verification.destination.canonical()).cloned(),
            CodeBy::Provider => return None,
        }
        let pepper = self.peppers.by_id(verification.pepper_id)?;
        // The length may have been configured anew since: the tag tells which one it was.
        let lengths = std::iter::once(self.policy(&verification.service).code_length).chain(6..=10);
        lengths
            .map(|length| derive(pepper, verification, length))
            .find(|code| pepper.tag(&verification.code_context(), code).matches(&verification.tag))
    }
}

pub(super) fn derive(pepper: &Pepper, verification: &Verification, length: u8) -> Code {
    pepper.derive_code(&verification.seed, &verification.code_context(), length)
}

fn standing(verification: &Verification, now: Timestamp) -> Checked {
    Checked { id: verification.id, status: verification.status_at(now), valid: false, attempts_left: verification.attempts_left(now) }
}
