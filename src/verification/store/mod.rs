//! Where verifications live: the [`Store`] trait, whose methods are transitions and not CRUD.
//!
//! What breaks real products is read-then-write: a code accepted twice, guesses that outrun their counter. So each method
//! below is one atomic step on every back end, with the time passed in, and "check" is `attempt` (count first), a compare
//! in constant time, then `approve` (true for exactly one caller, ever). A crash in between loses an attempt and never
//! grants one. Every store must pass the suite in `conformance`, races included.

#[cfg(test)]
pub mod conformance;
pub mod ledger;
pub mod memory;
pub mod name;
pub mod pending;
pub mod redis;
pub mod sql;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::secret::Tag;
use crate::verification::courier::Objection;
use crate::verification::limit::{self, Bucket, BucketKey, FailureRule, Limited, SendRule, Take};
use crate::verification::model::{Channel, Delivery, Event, Metadata, Origin, Status, Verification, VerificationId};

/// The work could not be done. Nothing was changed, as far as the caller is told: ask again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// More work waits than may wait: shed load.
    #[error("the store's queue is full")]
    Overloaded,
    /// The store is gone: shutting down, or its writer died.
    #[error("the store is closed")]
    Closed,
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// The view of a verification that callers get, and that an idempotency key gives again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: VerificationId,
    /// Masked.
    pub to: String,
    /// How it travels.
    pub channel: Channel,
    /// What it is good for.
    pub purpose: Arc<str>,
    /// Where it stands.
    pub status: Status,
    /// When it began.
    pub created_at: Timestamp,
    /// When the newest code dies.
    pub expires_at: Timestamp,
    /// From when on a resend can pass the destination's limits.
    pub resend_after: Timestamp,
    /// Checks that remain.
    pub attempts_left: u32,
    /// Messages that the destination's shortest window still has room for.
    pub sends_left: u32,
    /// How far the newest message got.
    pub delivery: Delivery,
    /// The provider that took it, and the provider's reference.
    #[serde(default)]
    pub delivered_by: Option<(String, String)>,
    /// The caller's own notes.
    pub metadata: Metadata,
    /// What a provider has against the number, where the caller waited to hear it. Kept nowhere.
    #[serde(skip)]
    pub objection: Option<Objection>,
}

impl Snapshot {
    /// The view of `verification`, whose messages so far lie in `bucket` (see [`Verification::sends_key`]).
    pub fn of(verification: &Verification, bucket: &Bucket, rule: &SendRule, now: Timestamp) -> Snapshot {
        Snapshot::with(verification, limit::remaining(rule, bucket, now), now)
    }

    /// The view of `verification`, of which so many messages are left, the next one after so long.
    pub fn with(verification: &Verification, (sends_left, retry_after): (u32, Duration), now: Timestamp) -> Snapshot {
        Snapshot {
            id: verification.id,
            to: verification.destination.masked(),
            channel: verification.channel,
            purpose: verification.purpose.clone(),
            status: verification.status_at(now),
            created_at: verification.created_at,
            expires_at: verification.expires_at,
            resend_after: now + retry_after,
            attempts_left: verification.attempts_left(now),
            sends_left,
            delivery: verification.delivery,
            delivered_by: verification.delivered_by.clone(),
            metadata: verification.metadata.clone(),
            objection: None,
        }
    }
}

/// A caller's `Idempotency-Key`, bound to the service and the operation, and the request that came with it (OPS-05).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyClaim {
    /// SHA-256 over service, operation and key.
    pub key: [u8; 32],
    /// SHA-256 over the request.
    pub payload: [u8; 32],
}

/// Create a verification, or re-arm a pending one.
#[derive(Debug, Clone)]
pub struct Start {
    /// The new verification.
    pub verification: Box<Verification>,
    /// The limits.
    pub takes: Vec<Take>,
    /// What the snapshot tells about resends.
    pub sends: Arc<SendRule>,
    /// Send the newest pending one of the same service, purpose and destination again, if there is one.
    pub rearm: bool,
    /// Same key, same answer.
    pub idempotency: Option<IdempotencyClaim>,
    /// Who asked.
    pub origin: Origin,
    /// The time now.
    pub now: Timestamp,
}

/// What came of a start or a resend.
#[derive(Debug, Clone)]
pub enum Sending {
    /// Committed, with the delivery queued: now send it.
    Queued(Box<Verification>, Snapshot),
    /// The same key was answered before: nothing to send.
    Replayed(Snapshot),
    /// A limit refused. Nothing was changed.
    Limited(Limited),
    /// The key came with another request before.
    KeyReused,
    /// Resend only: no such verification in this service.
    NotFound,
    /// Resend only: it has ended.
    Ended(Status),
    /// Resend only: somebody was quicker. Read again and retry.
    Moved,
}

/// Send again: guarded by the revision that the caller saw.
#[derive(Debug, Clone)]
pub struct Resend {
    /// Which.
    pub id: VerificationId,
    /// Whose.
    pub service: Arc<str>,
    /// The revision that the new values were made from.
    pub revision: u32,
    /// Channel of this message.
    pub channel: Channel,
    /// Generation of the code that is sent.
    pub generation: u32,
    /// Its tag.
    pub tag: Tag,
    /// Its pepper.
    pub pepper_id: u32,
    /// Its end.
    pub expires_at: Timestamp,
    /// Same key, same answer.
    pub idempotency: Option<IdempotencyClaim>,
    /// The limits.
    pub takes: Vec<Take>,
    /// What the snapshot tells about resends.
    pub sends: Arc<SendRule>,
    /// Who asked.
    pub origin: Origin,
    /// The time now.
    pub now: Timestamp,
}

/// Which verification a check means.
#[derive(Debug, Clone)]
pub enum Target {
    /// That one.
    Id(VerificationId),
    /// That one, if it is for this purpose.
    IdFor {
        /// The id.
        id: VerificationId,
        /// What it is good for.
        purpose: &'static str,
    },
    /// The newest pending one of this service, purpose and destination.
    Newest {
        /// What it is good for.
        purpose: Arc<str>,
        /// [`crate::verification::Destination::key`].
        destination: [u8; 16],
    },
}

/// Count a check, then hand out what is needed to judge it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which.
    pub target: Target,
    /// Whose.
    pub service: Arc<str>,
    /// The limits on checks.
    pub takes: Vec<Take>,
    /// The gate on the failures of a subject, where the verification has one.
    pub subject_failures: FailureRule,
    /// Same key, same answer.
    pub idempotency: Option<IdempotencyClaim>,
    /// Who asked.
    pub origin: Origin,
    /// The time now.
    pub now: Timestamp,
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub enum AttemptOutcome {
    /// Counted: compare, and on a match approve.
    Judge(Box<Verification>),
    /// It had ended before: not counted.
    Ended(Box<Verification>),
    /// None such in this service.
    NotFound,
    /// A limit refused. Nothing was changed.
    Limited(Limited),
    /// The same key was answered before.
    Replayed(Checked),
    /// The same key is being answered now.
    InFlight,
    /// The key came with another request before.
    KeyReused,
}

/// The answer to a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Which.
    pub id: VerificationId,
    /// Where it stands now.
    pub status: Status,
    /// Whether this very check was the one that approved it.
    pub valid: bool,
    /// Checks that remain.
    pub attempts_left: u32,
}

/// Pending → approved, for the code that was judged.
#[derive(Debug, Clone)]
pub struct Approve {
    /// Which.
    pub id: VerificationId,
    /// The generation that was judged: a code replaced in the meantime approves nothing.
    pub generation: u32,
    /// Where to keep the answer.
    pub idempotency: Option<IdempotencyClaim>,
    /// Who asked.
    pub origin: Origin,
    /// The time at which it was judged.
    pub now: Timestamp,
}

/// What became of a message.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Which.
    pub id: VerificationId,
    /// Number of the message (`sends` when it was queued): an older one's fate does not overwrite a newer one's.
    pub message: u32,
    /// The provider and its reference, or why not.
    pub result: Result<(String, String), Undelivered>,
    /// The time now.
    pub now: Timestamp,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// In plain words.
    pub cause: String,
    /// It may have been sent all the same: the limits keep what it took.
    pub perhaps_sent: bool,
}

/// What a provider says later of a message that it took.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Which.
    pub id: VerificationId,
    /// Number of the message.
    pub message: u32,
    /// Whose message it is about: two providers may both have been handed one.
    pub provider: String,
    /// How far it got.
    pub state: ReceiptState,
    /// Who says so, and the provider's code and our plain cause: for the timeline.
    pub detail: String,
    /// The time now.
    pub now: Timestamp,
}

/// How far a message got, by a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    /// The carrier has it, or the provider tells nothing more.
    Underway,
    /// It arrived.
    Delivered,
    /// It never will.
    Failed,
}

/// What came of a cancel.
#[derive(Debug, Clone)]
pub enum CancelOutcome {
    /// Pending → canceled.
    Canceled(Box<Verification>),
    /// It had ended before.
    Ended(Box<Verification>),
    /// None such in this service.
    NotFound,
}

/// What a replica hears when it says that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// No other process shares this store: nothing needs to be said again.
    Alone,
    /// Everything that it has queued is still its own, however long it was silent.
    Kept,
    /// The first time, or the others took it for dead: what it queued before may be in their hands. This is its new name, under
    /// which it owns nothing yet ([`Verification::queued_by`]).
    Renamed(Uuid),
}

/// Hears of events once they are durable: the seam for logs, webhooks and metrics. Must return at once.
pub trait EventSink: Send + Sync {
    /// These happened, in this order.
    fn committed(&self, events: &[Event]);
}

/// The transitions. Each is atomic, and durable before it answers.
#[async_trait]
pub trait Store: Send + Sync {
    /// Takes from every limit and creates (or re-arms), or changes nothing and says which limit refused.
    async fn start(&self, start: Start) -> Result<Sending, StoreError>;
    /// Guarded by the revision; takes from every limit or changes nothing.
    async fn resend(&self, resend: Resend) -> Result<Sending, StoreError>;
    /// Counts first.
    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError>;
    /// True for exactly one caller, ever. Clears the failures.
    async fn approve(&self, approve: Approve) -> Result<bool, StoreError>;
    /// Keeps the answer to a check that came with a key and was not approved; none: there is no answer, and the key is free again.
    async fn answered(&self, claim: IdempotencyClaim, answer: Option<Checked>) -> Result<(), StoreError>;
    /// Pending → canceled. `detail` goes into the timeline.
    async fn cancel(
        &self,
        service: &str,
        id: VerificationId,
        origin: Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError>;
    /// Queued → sent or failed, for each. The number of those that a newer message had not made irrelevant.
    async fn delivered(&self, delivered: Vec<Delivered>) -> Result<usize, StoreError>;
    /// Notes a receipt: forward only, duplicates and late ones change nothing. The verification where it stands now, if the
    /// receipt changed it; none if it did not.
    async fn receipt(&self, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError>;
    /// Forgives the failures of a bucket. False when there were none.
    async fn release(&self, failures: BucketKey, event: Event) -> Result<bool, StoreError>;
    /// Takes from every limit, or from none and says which one refused: for what is no message and no check.
    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError>;
    /// Makes buckets as good as new, because what they count against turned out to be right.
    async fn clear(&self, buckets: Vec<BucketKey>) -> Result<(), StoreError>;
    /// One verification of a service, and the bucket of its destination's messages.
    async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError>;
    /// The events of one verification, oldest first.
    async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError>;
    /// Verifications of a service to a destination ([`crate::verification::Destination::key`]), newest first, older than
    /// `before`; each as [`Store::get`] gives it.
    async fn list(
        &self,
        service: &str,
        destination: [u8; 16],
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Vec<(Verification, Bucket)>, StoreError>;
    /// Tells the other replicas on the same data that this one lives until then, and keeps what it has queued to itself so
    /// long. A store that no other process shares has nobody to tell. Whom the others took something over from is forgotten
    /// by the store: it goes on under a new name, and hears of it.
    async fn heartbeat(&self, _until: Timestamp) -> Result<Heartbeat, StoreError> {
        Ok(Heartbeat::Alone)
    }
    /// What the clock shows that all replicas can read; none where nobody shares the store.
    async fn shared_clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
    /// Pending verifications whose message is still queued by a replica that no longer lives (this one before a restart, or
    /// another): what is handed to the providers again. Each is given to one caller only, whose own it is from then on.
    async fn undelivered(&self, now: Timestamp) -> Result<Vec<Verification>, StoreError>;
    /// A little housekeeping, about a millisecond: removes rows that began before `before` with their events, forgets spent keys and
    /// buckets, and whatever else the store puts off. Returns how much was done; there may be more while it is not 0.
    async fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError>;
    /// Whether the store answers (for `/readyz`).
    async fn ping(&self) -> Result<(), StoreError>;
}
