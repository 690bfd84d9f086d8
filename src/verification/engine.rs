//! Start, resend, check, cancel: every rule about a code, once.
//!
//! Each start is a verification of its own, with its own checks: a stranger who starts one for the same destination can
//! neither spend nor cancel mine. What is counted per destination (messages, wrong codes in a row) gates *starts*, and
//! never the code that somebody already holds. Where the caller has authenticated a person and says so (`subject`), that
//! person's counts are their own (ATT-08; docs/decisions/0004-lock-out.md).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::{Clock, Timestamp};
use crate::secret::{Code, Entropy, Pepper, Peppers, Tag};
use crate::telemetry::Metrics;
use crate::verification::courier::{Courier, Parcel, QueueFull};
use crate::verification::destination::{Country, Destination};
use crate::verification::limit::{LimitName, Limited, Rule, SendRule, Take};
use crate::verification::model::{Channel, Delivery, Event, EventKind, Status, Verification, VerificationId, failures_key, sends_key};
use crate::verification::policy::{DEFAULT_SERVICE, LIFE_MAX, Policy};
use crate::verification::request::{self, Caller, InvalidField, StartRequest, Which};
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, IdempotencyClaim, Resend, Sending, Snapshot, Start, Store,
    StoreError, Target, Undelivered,
};

/// What the engine is made of.
pub struct Engine {
    /// Where verifications live.
    pub store: Arc<dyn Store>,
    /// Who takes messages away.
    pub courier: Arc<dyn Courier>,
    /// The rules by service.
    pub policies: HashMap<Arc<str>, Arc<Policy>>,
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
    /// The idempotency key is being answered now.
    IdempotencyKeyInFlight,
    /// The idempotency key came with another request before.
    IdempotencyKeyReused,
}

impl Engine {
    /// Sends a code to a destination.
    pub async fn start(&self, caller: &Caller, request: StartRequest) -> Result<Started, StoreError> {
        let policy = self.policy(&caller.service);
        let now = self.clock.now();
        match self.prepare(&policy, caller, request, now) {
            Err(invalid) => Ok(Started::Invalid(invalid)),
            Ok((start, code)) => {
                let id = start.verification.id;
                let sending = self.store.start(start).await?;
                Ok(self.sending(sending, id, code, now, &policy).await)
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
    ) -> Result<Started, StoreError> {
        let policy = self.policy(&caller.service);
        // Somebody may be quicker between the read and the guarded write: then read again. Each round loses to a
        // transition that passed, and a destination gets few of those, so this ends.
        for _ in 0..8 {
            let now = self.clock.now();
            let Some((verification, _)) = self.store.get(&caller.service, id).await? else { return Ok(Started::NotFound) };
            match self.prepare_resend(&policy, caller, verification, channel, own_code.clone(), now) {
                Err(invalid) => return Ok(Started::Invalid(invalid)),
                Ok((resend, code)) => match self.store.resend(resend).await? {
                    Sending::Moved => {}
                    sending => return Ok(self.sending(sending, id, code, now, &policy).await),
                },
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Judges a code: count first, compare in constant time, then approve exactly once.
    pub async fn check(&self, caller: &Caller, which: Which, code: &Code) -> Result<Verdict, StoreError> {
        let policy = self.policy(&caller.service);
        let now = self.clock.now();
        let target = match self.target(&policy, which) {
            Ok(target) => target,
            Err(invalid) => return Ok(Verdict::Invalid(invalid)),
        };
        let idempotency = self.claim(caller, "check", |digest| {
            match &target {
                Target::Id(id) => digest(id.as_bytes()),
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
        let verdict = match self.store.attempt(attempt).await? {
            AttemptOutcome::Judge(verification) => Verdict::Judged(self.judge(caller, *verification, code, idempotency, now).await?),
            AttemptOutcome::Ended(verification) => {
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
        self.metrics.checked(&caller.service, &verdict);
        Ok(verdict)
    }

    /// Calls a pending verification off. The snapshot tells where it stands then.
    pub async fn cancel(&self, caller: &Caller, id: VerificationId) -> Result<Option<Snapshot>, StoreError> {
        let now = self.clock.now();
        match self.store.cancel(&caller.service, id, caller.origin(), now).await? {
            CancelOutcome::NotFound => Ok(None),
            CancelOutcome::Canceled(_) | CancelOutcome::Ended(_) => Ok(self.get(&caller.service, id).await?.map(|(_, snapshot)| snapshot)),
        }
    }

    /// One verification of a service.
    pub async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Snapshot)>, StoreError> {
        let policy = self.policy(service);
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
        let policy = self.policy(service);
        let destination = match self.destination(&policy, to) {
            Ok(destination) => destination,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let mut snapshots = Vec::new();
        for verification in self.store.list(service, destination.key(), before, limit).await? {
            snapshots.extend(self.get(service, verification.id).await?.map(|(_, snapshot)| snapshot));
        }
        Ok(Ok(snapshots))
    }

    /// Forgives the wrong codes of a destination, or of a subject: the "rebind" after the hard cap.
    pub async fn release(&self, caller: &Caller, to: &str, subject: Option<&str>) -> Result<Result<bool, InvalidField>, StoreError> {
        let destination = match self.destination(&self.policy(&caller.service), to) {
            Ok(destination) => destination,
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
        self.store.release(failures_key(&caller.service, &destination, subject), event).await.map(Ok)
    }

    /// Hands messages that a restart left queued to the courier again.
    pub async fn resume(&self) -> Result<usize, StoreError> {
        let left = self.store.undelivered(self.clock.now()).await?;
        let count = left.len();
        for verification in left {
            let policy = self.policy(&verification.service);
            match self.code_of(&verification) {
                Some(code) => self.dispatch(verification, code, None, &policy).await,
                None => self.give_up(&verification, None, "the caller's own code was lost in a restart").await,
            }
        }
        Ok(count)
    }

    /// The destination that `input` spells, if the service may send there.
    pub fn destination(&self, policy: &Policy, input: &str) -> Result<Destination, InvalidField> {
        let trimmed = input.trim();
        if self.test_destinations.contains_key(trimmed) {
            let country = if trimmed.contains('@') { None } else { Country::parse("ZZ") };
            return Ok(Destination::from_canonical(trimmed.to_owned(), country));
        }
        Destination::parse(input, policy.default_region).map_err(|error| InvalidField::new("to", error.to_string()))
    }

    /// The rules of a service. Clients are bound to a configured one; were it removed since, the default's rules hold.
    pub fn policy(&self, service: &str) -> Arc<Policy> {
        let policy = self.policies.get(service).or_else(|| self.policies.get(DEFAULT_SERVICE));
        #[expect(clippy::expect_used, reason = "the configuration always has the default service")]
        Arc::clone(policy.expect("the default service"))
    }

    fn prepare(&self, policy: &Policy, caller: &Caller, request: StartRequest, now: Timestamp) -> Result<(Start, Code), InvalidField> {
        let destination = self.destination(policy, &request.to)?;
        let is_test = self.test_destinations.get(destination.canonical());
        if is_test.is_none() && !policy.allows(destination.country()) {
            return Err(InvalidField::new("to", "is in a country that this service does not send to"));
        }
        let channel = self.channel(&destination, request.channel)?;
        let purpose = request::purpose(request.purpose)?;
        let locale = request::locale(request.locale, &policy.locale)?;
        let subject = request::subject(request.subject)?;
        let metadata = request::metadata(request.metadata)?;
        let own_code = self.own_code(policy, request.code)?.or_else(|| is_test.cloned());

        let idempotency = self.claim(caller, "start", |digest| {
            let own_code = own_code.as_ref().map_or("", Code::expose);
            for field in [destination.canonical(), channel.as_str(), &purpose, &locale, subject.as_deref().unwrap_or(""), own_code] {
                digest(field.as_bytes());
            }
            for (name, value) in &metadata {
                digest(name.as_bytes());
                digest(value.as_bytes());
            }
        });
        let mut verification = Box::new(Verification {
            id: self.new_id(now),
            failures_key: failures_key(&caller.service, &destination, subject.as_deref()),
            service: caller.service.clone(),
            purpose,
            destination,
            channel,
            subject,
            locale,
            status: Status::Pending,
            revision: 0,
            generation: 0,
            sends: 1,
            attempts: 0,
            max_attempts: policy.max_checks,
            seed: self.random(),
            pepper_id: self.peppers.current.id(),
            tag: Tag([0; 32]),
            custom_code: own_code.is_some(),
            created_at: now,
            expires_at: now + policy.life(channel),
            ended_at: None,
            delivery: Delivery::Queued,
            delivered_by: None,
            metadata,
        });
        let rearm = policy.rearm && own_code.is_none();
        let code = own_code.unwrap_or_else(|| derive(&self.peppers.current, &verification, policy.code_length));
        verification.tag = self.peppers.current.tag(&verification.code_context(), &code);
        let takes = self.send_limits(policy, caller, &verification);
        let sends = Arc::clone(&policy.sends);
        Ok((Start { verification, takes, sends, rearm, idempotency, origin: caller.origin(), now }, code))
    }

    fn prepare_resend(
        &self,
        policy: &Policy,
        caller: &Caller,
        mut verification: Verification,
        channel: Option<Channel>,
        own_code: Option<Code>,
        now: Timestamp,
    ) -> Result<(Resend, Code), InvalidField> {
        verification.channel = self.channel(&verification.destination, channel.or(Some(verification.channel)))?;
        let own_code =
            self.own_code(policy, own_code)?.or_else(|| self.test_destinations.get(verification.destination.canonical()).cloned());
        if verification.custom_code != own_code.is_some() {
            let rule = if verification.custom_code {
                "must be given again: a code of the caller's own is not kept"
            } else {
                "must not be given: this verification's codes are made here"
            };
            return Err(InvalidField::new("code", rule));
        }
        let idempotency = self.claim(caller, "resend", |digest| {
            digest(verification.id.as_bytes());
            digest(verification.channel.as_str().as_bytes());
            digest(own_code.as_ref().map_or("", Code::expose).as_bytes());
        });
        let same = if policy.same_code && own_code.is_none() { self.code_of(&verification) } else { None };
        let code = match same {
            // The same code keeps its end: it was issued once.
            Some(code) => code,
            None => {
                verification.generation += 1;
                verification.pepper_id = self.peppers.current.id();
                verification.expires_at = (now + policy.life(verification.channel)).min(verification.created_at + LIFE_MAX);
                let code = own_code.unwrap_or_else(|| derive(&self.peppers.current, &verification, policy.code_length));
                verification.tag = self.peppers.current.tag(&verification.code_context(), &code);
                code
            }
        };
        let resend = Resend {
            id: verification.id,
            service: verification.service.clone(),
            revision: verification.revision,
            channel: verification.channel,
            generation: verification.generation,
            tag: verification.tag,
            pepper_id: verification.pepper_id,
            expires_at: verification.expires_at,
            idempotency,
            takes: self.send_limits(policy, caller, &verification),
            sends: Arc::clone(&policy.sends),
            origin: caller.origin(),
            now,
        };
        Ok((resend, code))
    }

    /// Every limit on a message: taken together or not at all.
    fn send_limits(&self, policy: &Policy, caller: &Caller, verification: &Verification) -> Vec<Take> {
        let destination = &verification.destination;
        let service = caller.service.as_bytes();
        let subject = verification.subject.as_deref();
        let mut takes = vec![
            Take { key: verification.failures_key, name: LimitName::Failures, rule: Rule::Failures(policy.failures(subject.is_some())) },
            Take {
                key: sends_key(&caller.service, destination, subject),
                name: LimitName::Destination,
                rule: Rule::Windows(Arc::clone(&policy.sends)),
            },
            Take {
                // Strangers cannot use up the share of people whom some caller has authenticated.
                key: LimitName::DestinationAllServices.key(&[&destination.key(), &[u8::from(subject.is_some())]]),
                name: LimitName::DestinationAllServices,
                rule: Rule::Windows(Arc::clone(&self.destination_all_services)),
            },
            rate(LimitName::Service, policy.service_sends, &[service]),
        ];
        if let Some(country) = destination.country() {
            takes.push(rate(LimitName::Country, policy.country_sends, &[service, country.as_str().as_bytes()]));
        }
        if let Some(ip) = caller.ip {
            takes.push(rate(LimitName::IpSends, policy.ip_sends, &[service, &ip_key(ip)]));
        }
        takes
    }

    /// Hands what was queued to the courier. `code` is that of verification `id`.
    async fn sending(&self, sending: Sending, id: VerificationId, code: Code, queued_at: Timestamp, policy: &Arc<Policy>) -> Started {
        let started = match sending {
            Sending::Queued(verification, snapshot) => {
                // A start that re-armed an earlier verification sends that one's code again.
                let code = if verification.id == id { Some(code) } else { self.code_of(&verification) };
                match code {
                    Some(code) => self.dispatch(*verification, code, Some(queued_at), policy).await,
                    None => self.give_up(&verification, Some(queued_at), "its code was made under a pepper that is gone").await,
                }
                Started::Sending(snapshot)
            }
            Sending::Replayed(snapshot) => Started::Sending(snapshot),
            Sending::Limited(limited) => Started::Limited(limited),
            Sending::KeyReused => Started::IdempotencyKeyReused,
            Sending::NotFound | Sending::Moved => Started::NotFound,
            Sending::Ended(status) => Started::Ended(status),
        };
        self.metrics.started(&policy.service, &started);
        started
    }

    async fn dispatch(&self, verification: Verification, code: Code, queued_at: Option<Timestamp>, policy: &Arc<Policy>) {
        let parcel = Parcel { verification, code, queued_at, policy: Arc::clone(policy) };
        if let Err(QueueFull(parcel)) = self.courier.dispatch(parcel) {
            self.give_up(&parcel.verification, queued_at, "too many messages are waiting").await;
        }
    }

    async fn give_up(&self, verification: &Verification, queued_at: Option<Timestamp>, cause: &str) {
        let result = Err(Undelivered { cause: cause.into(), perhaps_sent: false });
        let delivered = Delivered { id: verification.id, message: verification.sends, queued_at, result, now: self.clock.now() };
        if let Err(error) = self.store.delivered(vec![delivered]).await {
            tracing::warn!(%error, verification = %verification.id, "a failed delivery could not be noted");
        }
    }

    async fn judge(
        &self,
        caller: &Caller,
        mut verification: Verification,
        code: &Code,
        idempotency: Option<IdempotencyClaim>,
        now: Timestamp,
    ) -> Result<Checked, StoreError> {
        if self.compare(&verification, code) {
            let approve = Approve { id: verification.id, generation: verification.generation, idempotency, origin: caller.origin(), now };
            if self.store.approve(approve).await? {
                return Ok(Checked { id: verification.id, status: Status::Approved, valid: true, attempts_left: 0 });
            }
            // Another check with the right code was quicker, or it was canceled, or a resend replaced the code.
            if let Some((moved, _)) = self.store.get(&caller.service, verification.id).await? {
                verification = moved;
            }
        }
        let checked = standing(&verification, now);
        if let Some(claim) = idempotency {
            self.store.answered(claim, checked.clone()).await?;
        }
        Ok(checked)
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
    fn code_of(&self, verification: &Verification) -> Option<Code> {
        if verification.custom_code {
            return self.test_destinations.get(verification.destination.canonical()).cloned();
        }
        let pepper = self.peppers.by_id(verification.pepper_id)?;
        // The length may have been configured anew since: the tag tells which one it was.
        let lengths = std::iter::once(self.policy(&verification.service).code_length).chain(6..=10);
        lengths
            .map(|length| derive(pepper, verification, length))
            .find(|code| pepper.tag(&verification.code_context(), code).matches(&verification.tag))
    }

    fn target(&self, policy: &Policy, which: Which) -> Result<Target, InvalidField> {
        match which {
            Which::Id(id) => Ok(Target::Id(id)),
            Which::To { to, purpose } => {
                let destination = self.destination(policy, &to)?.key();
                Ok(Target::Newest { purpose: request::purpose(purpose)?, destination })
            }
        }
    }

    fn channel(&self, destination: &Destination, wanted: Option<Channel>) -> Result<Channel, InvalidField> {
        let channel = wanted.unwrap_or_else(|| Channel::usual(destination));
        if !channel.reaches(destination) {
            return Err(InvalidField::new("channel", "does not reach this kind of destination"));
        }
        if !self.courier.serves(channel) {
            return Err(InvalidField::new("channel", "has no configured provider"));
        }
        Ok(channel)
    }

    fn own_code(&self, policy: &Policy, code: Option<Code>) -> Result<Option<Code>, InvalidField> {
        match code {
            Some(_) if !policy.custom_code => {
                Err(InvalidField::new("code", "must not be given: this service makes its own codes (custom_code)"))
            }
            Some(code) if code.expose().len() < usize::from(policy.code_length) => {
                Err(InvalidField::new("code", format!("must have at least {} digits in this service", policy.code_length)))
            }
            code => Ok(code),
        }
    }

    /// The payload's digest is keyed: it covers a code, and a plain hash of that could be undone (OTP-07).
    fn claim(&self, caller: &Caller, operation: &str, fields: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Option<IdempotencyClaim> {
        let idempotency_key = caller.idempotency_key.as_ref()?;
        let mut key = Sha256::new();
        for part in [caller.service.as_bytes(), operation.as_bytes(), idempotency_key.as_bytes()] {
            key.update((part.len() as u32).to_be_bytes());
            key.update(part);
        }
        let payload = self.peppers.current.digest(b"countersign payload\0", fields);
        Some(IdempotencyClaim { key: key.finalize().into(), payload })
    }

    fn new_id(&self, now: Timestamp) -> VerificationId {
        uuid::Builder::from_unix_timestamp_millis(now.0.max(0) as u64, &self.random()).into_uuid()
    }

    fn random<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

fn derive(pepper: &Pepper, verification: &Verification, length: u8) -> Code {
    pepper.derive_code(&verification.seed, &verification.code_context(), length)
}

fn standing(verification: &Verification, now: Timestamp) -> Checked {
    Checked { id: verification.id, status: verification.status_at(now), valid: false, attempts_left: verification.attempts_left(now) }
}

fn rate(name: LimitName, quota: crate::verification::limit::Quota, parts: &[&[u8]]) -> Take {
    Take { key: name.key(parts), name, rule: Rule::Rate(quota) }
}

/// An address as limits count it: IPv4 whole, IPv6 by its /64, and an IPv4-mapped one as the IPv4 that it is (ATT-10).
pub fn ip_key(ip: IpAddr) -> [u8; 8] {
    match ip.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, third, fourth] = address.octets();
            [0, 0, 0, 4, first, second, third, fourth]
        }
        IpAddr::V6(address) => {
            let mut network = [0; 8];
            network.copy_from_slice(&address.octets()[..8]);
            network
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ip_key;

    /// ATT-10, A32.
    #[test]
    fn addresses_are_counted_by_network() {
        let key = |text: &str| ip_key(text.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
    }
}
