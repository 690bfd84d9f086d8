//! Every transition, once: over rows that only one thread touches at a time.
//!
//! The memory store holds the ledger behind a lock, the embedded store on its writer thread, inside a transaction. The store
//! that servers share fills one for each batch with rows that it has locked in the database. So reading before writing is safe
//! here, and here only: a store that can do none of this needs guarded steps instead (architecture: "count first; guard every
//! state change and look at the row count").

use crate::clock::Timestamp;
use crate::verification::buckets::Buckets;
use crate::verification::limit::{Bucket, BucketKey, LimitName, Rule, SendRule, Take};
use crate::verification::model::{CodeBy, Delivery, Event, EventKind, Origin, Status, Verification, VerificationId};
use crate::verification::policy::worth_sending;
use crate::verification::store::pending::PendingIndex;
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, IdempotencyClaim, Receipt, ReceiptState, Resend, Sending,
    Snapshot, Start, StoreError, Target, Undelivered,
};

/// How long an answer is kept for its idempotency key.
pub const IDEMPOTENCY_LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// A check that has not answered its key by then died on the way; the key may be used again.
pub const IDEMPOTENCY_LEASE: std::time::Duration = std::time::Duration::from_secs(30);

/// What is kept for an idempotency key.
#[derive(Debug, Clone)]
pub struct IdempotencyRow {
    /// The request that it came with.
    pub payload: [u8; 32],
    /// JSON of the answer; none while it is being made.
    pub answer: Option<String>,
    /// When it was claimed.
    pub created_at: Timestamp,
}

/// Rows, as the ledger needs them. An error undoes the whole batch.
pub trait Rows {
    /// One verification.
    fn get(&mut self, id: VerificationId) -> Result<Option<Verification>, StoreError>;
    /// What of a new one never changes.
    fn insert(&mut self, verification: &Verification) -> Result<(), StoreError>;
    /// What happened to a verification, and where it stands since.
    fn append(&mut self, verification: &Verification, event: &Event) -> Result<(), StoreError>;
    /// An entry of the audit log about something else.
    fn event(&mut self, event: &Event) -> Result<(), StoreError>;
    /// What is kept for a key.
    fn idempotency(&mut self, key: &[u8; 32]) -> Result<Option<IdempotencyRow>, StoreError>;
    /// Keeps it.
    fn keep_idempotency(&mut self, key: &[u8; 32], row: &IdempotencyRow) -> Result<(), StoreError>;
}

/// Rows, limits and the index of pending verifications, and every transition over them.
#[derive(Debug, Default)]
pub struct Ledger<R> {
    /// The rows.
    pub rows: R,
    /// The limits.
    pub buckets: Buckets,
    /// The pending ones.
    pub pending: PendingIndex,
    /// Events of this batch, for the sink once they are durable.
    pub events: Vec<Event>,
}

impl<R: Rows> Ledger<R> {
    /// See [`crate::verification::Store::start`].
    pub fn start(&mut self, start: Start) -> Result<Sending, StoreError> {
        let Start { verification, takes, sends, rearm, idempotency, origin, now } = start;
        if let Some(claim) = idempotency {
            match self.claimed::<Snapshot>(claim, now)? {
                Claimed::Answered(snapshot) => return Ok(Sending::Replayed(snapshot)),
                Claimed::OtherPayload => return Ok(Sending::KeyReused),
                Claimed::Free | Claimed::InFlight => {}
            }
        }
        // A caller's own code cannot be made again, and a person's verification is not joined to a stranger's.
        // Nor is one that is about to end: its message would come too late. A provider's code keeps the provider's time.
        let least = worth_sending(now.until(verification.expires_at));
        let joins = |armed: &Verification| {
            let lives = armed.code_by == CodeBy::Provider || now.until(armed.expires_at) >= least;
            lives && armed.code_by != CodeBy::Caller && armed.code_by == verification.code_by && armed.subject == verification.subject
        };
        let armed = if rearm { self.newest_pending(&verification, now)?.filter(joins) } else { None };
        if let Err(limited) = self.buckets.take_all(&takes, now) {
            return Ok(Sending::Limited(limited));
        }
        let verification = match armed {
            Some(mut armed) => {
                armed.sends += 1;
                armed.channel = verification.channel;
                armed.delivery = Delivery::Queued;
                armed.forget_delivery();
                armed.queued_at = now;
                let channel = armed.channel.to_string();
                self.changed(&mut armed, EventKind::Resent, &origin, Some(channel), now)?;
                Box::new(armed)
            }
            None => {
                self.rows.insert(&verification)?;
                self.pending.enter(&verification);
                let channel = verification.channel.to_string();
                self.record(&verification, EventKind::Started, &origin, Some(channel), now)?;
                verification
            }
        };
        let snapshot = self.snapshot(&verification, &sends, now);
        if let Some(claim) = idempotency {
            self.keep(claim, Some(&snapshot), now)?;
        }
        Ok(Sending::Queued(verification, snapshot))
    }

    /// See [`crate::verification::Store::resend`].
    pub fn resend(&mut self, resend: Resend) -> Result<Sending, StoreError> {
        let now = resend.now;
        if let Some(claim) = resend.idempotency {
            match self.claimed::<Snapshot>(claim, now)? {
                Claimed::Answered(snapshot) => return Ok(Sending::Replayed(snapshot)),
                Claimed::OtherPayload => return Ok(Sending::KeyReused),
                Claimed::Free | Claimed::InFlight => {}
            }
        }
        let Some(mut verification) = self.of_service(&resend.service, resend.id)? else { return Ok(Sending::NotFound) };
        let status = verification.status_at(now);
        if status != Status::Pending {
            return Ok(Sending::Ended(status));
        }
        if verification.revision != resend.revision {
            return Ok(Sending::Moved);
        }
        if let Err(limited) = self.buckets.take_all(&resend.takes, now) {
            return Ok(Sending::Limited(limited));
        }
        verification.channel = resend.channel;
        verification.generation = resend.generation;
        verification.tag = resend.tag;
        verification.pepper_id = resend.pepper_id;
        verification.expires_at = resend.expires_at;
        verification.sends += 1;
        verification.delivery = Delivery::Queued;
        verification.forget_delivery();
        verification.queued_at = now;
        self.pending.enter(&verification);
        let channel = verification.channel.to_string();
        self.changed(&mut verification, EventKind::Resent, &resend.origin, Some(channel), now)?;
        let snapshot = self.snapshot(&verification, &resend.sends, now);
        if let Some(claim) = resend.idempotency {
            self.keep(claim, Some(&snapshot), now)?;
        }
        Ok(Sending::Queued(Box::new(verification), snapshot))
    }

    /// See [`crate::verification::Store::attempt`].
    pub fn attempt(&mut self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        let now = attempt.now;
        if let Some(claim) = attempt.idempotency {
            match self.claimed::<Checked>(claim, now)? {
                Claimed::Answered(checked) => return Ok(AttemptOutcome::Replayed(checked)),
                Claimed::OtherPayload => return Ok(AttemptOutcome::KeyReused),
                Claimed::InFlight => return Ok(AttemptOutcome::InFlight),
                Claimed::Free => {}
            }
        }
        let found = match &attempt.target {
            Target::Id(id) => self.of_service(&attempt.service, *id)?,
            Target::IdFor { id, purpose } => self.of_service(&attempt.service, *id)?.filter(|found| *found.purpose == **purpose),
            Target::Newest { purpose, destination } => self.newest(&attempt.service, purpose, destination, now)?,
        };
        let mut takes = attempt.takes;
        if let Some(verification) = &found
            && verification.subject.is_some()
        {
            let rule = Rule::Failures(attempt.subject_failures);
            takes.push(Take { key: verification.failures_key, name: LimitName::Failures, rule });
        }
        // Taken for unknown ids as well: who guesses ids is counted too.
        if let Err(limited) = self.buckets.take_all(&takes, now) {
            return Ok(AttemptOutcome::Limited(limited));
        }
        let Some(mut verification) = found else { return Ok(AttemptOutcome::NotFound) };
        if verification.status_at(now) != Status::Pending {
            return Ok(AttemptOutcome::Ended(Box::new(verification)));
        }
        verification.attempts += 1;
        self.buckets.count_failure(verification.failures_key, verification.subject.is_some(), now);
        self.changed(&mut verification, EventKind::Checked, &attempt.origin, None, now)?;
        if let Some(claim) = attempt.idempotency {
            self.keep::<Checked>(claim, None, now)?;
        }
        Ok(AttemptOutcome::Judge(Box::new(verification)))
    }

    /// See [`crate::verification::Store::approve`].
    pub fn approve(&mut self, approve: Approve) -> Result<bool, StoreError> {
        let Some(mut verification) = self.rows.get(approve.id)? else { return Ok(false) };
        // The stored status, not the one by the clock: the attempt was counted and judged while the code lived.
        if verification.status != Status::Pending || verification.generation != approve.generation {
            return Ok(false);
        }
        verification.status = Status::Approved;
        verification.ended_at = Some(approve.now);
        self.pending.remove(&verification);
        self.buckets.clear(&verification.failures_key);
        self.changed(&mut verification, EventKind::Approved, &approve.origin, None, approve.now)?;
        if let Some(claim) = approve.idempotency {
            let checked = Checked { id: approve.id, status: Status::Approved, valid: true, attempts_left: 0 };
            self.keep(claim, Some(&checked), approve.now)?;
        }
        Ok(true)
    }

    /// See [`crate::verification::Store::answered`].
    pub fn answered(&mut self, claim: IdempotencyClaim, answer: Option<&Checked>) -> Result<(), StoreError> {
        let Some(mut row) = self.rows.idempotency(&claim.key)? else { return Ok(()) };
        match answer {
            Some(answer) => row.answer = Some(to_json(answer)?),
            // As old as can be: it is claimed by nobody.
            None if row.payload == claim.payload && row.answer.is_none() => row.created_at = Timestamp(0),
            None => return Ok(()),
        }
        self.rows.keep_idempotency(&claim.key, &row)
    }

    /// See [`crate::verification::Store::cancel`].
    pub fn cancel(
        &mut self,
        service: &str,
        id: VerificationId,
        origin: &Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let Some(mut verification) = self.of_service(service, id)? else { return Ok(CancelOutcome::NotFound) };
        if verification.status_at(now) != Status::Pending {
            return Ok(CancelOutcome::Ended(Box::new(verification)));
        }
        verification.status = Status::Canceled;
        verification.ended_at = Some(now);
        self.pending.remove(&verification);
        self.changed(&mut verification, EventKind::Canceled, origin, detail.map(str::to_owned), now)?;
        Ok(CancelOutcome::Canceled(Box::new(verification)))
    }

    /// See [`crate::verification::Store::delivered`].
    pub fn delivered_all(&mut self, delivered: Vec<Delivered>) -> Result<usize, StoreError> {
        let mut noted = 0;
        for delivered in delivered {
            noted += usize::from(self.delivered(delivered)?);
        }
        Ok(noted)
    }

    fn delivered(&mut self, delivered: Delivered) -> Result<bool, StoreError> {
        let Some(mut verification) = self.rows.get(delivered.id)? else { return Ok(false) };
        let noted = verification.delivery != Delivery::Queued && verification.delivered_by.is_some();
        if verification.sends != delivered.message || noted {
            return Ok(false);
        }
        let (kind, detail) = match self.one_code_each(&verification, delivered.result) {
            Ok((provider, reference)) => {
                // A quick receipt may have been here before.
                if verification.delivery.may_become(Delivery::Sent) {
                    verification.delivery = Delivery::Sent;
                }
                verification.delivered_by = Some((provider.clone(), reference));
                (EventKind::Sent, provider)
            }
            Err(undelivered) => {
                if !verification.delivery.may_become(Delivery::Failed) {
                    return Ok(false);
                }
                verification.delivery = Delivery::Failed;
                // It certainly never went out: nobody's window has a place less for it.
                if !undelivered.perhaps_sent {
                    self.buckets.give_back(verification.sends_key(), verification.queued_at);
                    self.buckets.give_back(verification.all_services_key(), verification.queued_at);
                }
                (EventKind::DeliveryFailed, undelivered.cause)
            }
        };
        self.changed(&mut verification, kind, &Origin::default(), Some(detail), delivered.now)?;
        Ok(true)
    }

    /// A provider that makes the codes gives a second verification of one destination the code of the first, and says so by
    /// giving both the same reference. The second must not pass on the first one's code.
    fn one_code_each(
        &mut self,
        verification: &Verification,
        result: Result<(String, String), Undelivered>,
    ) -> Result<(String, String), Undelivered> {
        if verification.code_by != CodeBy::Provider {
            return result;
        }
        let (provider, reference) = result?;
        if self.pending.refers(&reference, verification) {
            Ok((provider, reference))
        } else {
            Err(Undelivered { cause: same_code_again(&provider), perhaps_sent: true })
        }
    }

    /// See [`crate::verification::Store::receipt`].
    pub fn receipt(&mut self, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        let Some(mut verification) = self.rows.get(receipt.id)? else { return Ok(None) };
        let (kind, next) = match receipt.state {
            ReceiptState::Underway => (EventKind::Sent, Delivery::Sent),
            ReceiptState::Delivered => (EventKind::Delivered, Delivery::Delivered),
            ReceiptState::Failed => (EventKind::DeliveryFailed, Delivery::Failed),
        };
        if verification.sends != receipt.message || !verification.delivery.may_become(next) {
            return Ok(None);
        }
        // One provider was silent, the next one took the message: that the first one failed is no news then.
        let by_other = verification.delivered_by.as_ref().is_some_and(|(provider, _)| *provider != receipt.provider);
        if next == Delivery::Failed && by_other {
            return Ok(None);
        }
        verification.delivery = next;
        if next == Delivery::Failed {
            // The person waits for nothing: another message may go out at once.
            self.buckets.give_back(verification.sends_key(), verification.queued_at);
        }
        self.changed(&mut verification, kind, &Origin::default(), Some(receipt.detail), receipt.now)?;
        Ok(Some(Box::new(verification)))
    }

    /// See [`crate::verification::Store::release`].
    pub fn release(&mut self, failures: &BucketKey, event: Event) -> Result<bool, StoreError> {
        let released = self.buckets.clear(failures);
        if released {
            self.rows.event(&event)?;
            self.events.push(event);
        }
        Ok(released)
    }

    /// See [`crate::verification::Store::clear`].
    pub fn clear(&mut self, buckets: &[BucketKey]) {
        for bucket in buckets {
            self.buckets.clear(bucket);
        }
    }

    /// See [`crate::verification::Store::get`].
    pub fn get(&mut self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        let found = self.of_service(service, id)?;
        Ok(found.map(|verification| {
            let bucket = self.buckets.get(&verification.sends_key()).clone();
            (verification, bucket)
        }))
    }

    fn snapshot(&self, verification: &Verification, sends: &SendRule, now: Timestamp) -> Snapshot {
        Snapshot::of(verification, self.buckets.get(&verification.sends_key()), sends, now)
    }

    fn of_service(&mut self, service: &str, id: VerificationId) -> Result<Option<Verification>, StoreError> {
        Ok(self.rows.get(id)?.filter(|verification| *verification.service == *service))
    }

    fn newest(&mut self, service: &str, purpose: &str, destination: &[u8; 16], now: Timestamp) -> Result<Option<Verification>, StoreError> {
        for id in self.pending.newest_first(service, purpose, destination) {
            if let Some(verification) = self.rows.get(id)?
                && verification.status_at(now) == Status::Pending
            {
                return Ok(Some(verification));
            }
        }
        Ok(None)
    }

    fn newest_pending(&mut self, like: &Verification, now: Timestamp) -> Result<Option<Verification>, StoreError> {
        self.newest(&like.service, &like.purpose, &like.destination.key(), now)
    }

    fn changed(
        &mut self,
        verification: &mut Verification,
        kind: EventKind,
        origin: &Origin,
        detail: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        verification.revision += 1;
        self.record(verification, kind, origin, detail, now)
    }

    fn record(
        &mut self,
        verification: &Verification,
        kind: EventKind,
        origin: &Origin,
        detail: Option<String>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let event = Event { about: verification.id, revision: verification.revision, at, kind, origin: origin.clone(), detail };
        self.rows.append(verification, &event)?;
        self.events.push(event);
        Ok(())
    }

    fn claimed<A: serde::de::DeserializeOwned>(&mut self, claim: IdempotencyClaim, now: Timestamp) -> Result<Claimed<A>, StoreError> {
        let Some(row) = self.rows.idempotency(&claim.key)? else { return Ok(Claimed::Free) };
        if now >= row.created_at + IDEMPOTENCY_LIFE {
            return Ok(Claimed::Free);
        }
        if row.payload != claim.payload {
            return Ok(Claimed::OtherPayload);
        }
        match row.answer {
            Some(answer) => serde_json::from_str(&answer).map(Claimed::Answered).map_err(database),
            None if now < row.created_at + IDEMPOTENCY_LEASE => Ok(Claimed::InFlight),
            None => Ok(Claimed::Free),
        }
    }

    fn keep<A: serde::Serialize>(&mut self, claim: IdempotencyClaim, answer: Option<&A>, now: Timestamp) -> Result<(), StoreError> {
        let answer = answer.map(to_json).transpose()?;
        self.rows.keep_idempotency(&claim.key, &IdempotencyRow { payload: claim.payload, answer, created_at: now })
    }
}

enum Claimed<A> {
    Free,
    InFlight,
    Answered(A),
    OtherPayload,
}

/// The text that an answer is kept as.
pub fn to_json<A: serde::Serialize>(answer: &A) -> Result<String, StoreError> {
    serde_json::to_string(answer).map_err(database)
}

/// Why a message failed that carried the code of another verification.
pub fn same_code_again(provider: &str) -> String {
    format!("{provider} sent the code of another verification to this destination again")
}

/// Wraps what a database says.
pub fn database(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Database(std::sync::Arc::new(error))
}
