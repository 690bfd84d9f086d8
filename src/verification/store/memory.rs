//! Everything in memory, behind one lock: for unit tests, and the measure that the other stores are compared with.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::verification::limit::{Bucket, BucketKey, Limited, Take};
use crate::verification::model::{Delivery, Event, Origin, Status, Verification, VerificationId};
use crate::verification::store::ledger::{IDEMPOTENCY_LIFE, IdempotencyRow, Ledger, Rows};
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, EventSink, IdempotencyClaim, Receipt, Resend, Sending, Start,
    Store, StoreError,
};

#[derive(Debug, Default)]
struct MemoryRows {
    verifications: BTreeMap<VerificationId, Verification>,
    events: HashMap<VerificationId, Vec<Event>>,
    idempotency: HashMap<[u8; 32], IdempotencyRow>,
}

impl Rows for MemoryRows {
    fn get(&mut self, id: VerificationId) -> Result<Option<Verification>, StoreError> {
        Ok(self.verifications.get(&id).cloned())
    }

    fn insert(&mut self, _: &Verification) -> Result<(), StoreError> {
        Ok(())
    }

    fn append(&mut self, verification: &Verification, event: &Event) -> Result<(), StoreError> {
        self.verifications.insert(verification.id, verification.clone());
        self.event(event)
    }

    fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        self.events.entry(event.about).or_default().push(event.clone());
        Ok(())
    }

    fn idempotency(&mut self, key: &[u8; 32]) -> Result<Option<IdempotencyRow>, StoreError> {
        Ok(self.idempotency.get(key).cloned())
    }

    fn keep_idempotency(&mut self, key: &[u8; 32], row: &IdempotencyRow) -> Result<(), StoreError> {
        self.idempotency.insert(*key, row.clone());
        Ok(())
    }
}

/// A store that forgets everything when it is dropped.
pub struct MemoryStore {
    ledger: Mutex<Ledger<MemoryRows>>,
    sink: Arc<dyn EventSink>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(sink: Arc<dyn EventSink>) -> MemoryStore {
        MemoryStore { ledger: Mutex::default(), sink }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<MemoryRows>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, transition: impl FnOnce(&mut Ledger<MemoryRows>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut ledger = self.ledger();
        let answer = transition(&mut ledger);
        let events = std::mem::take(&mut ledger.events);
        drop(ledger);
        self.sink.committed(&events);
        answer
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn start(&self, start: Start) -> Result<Sending, StoreError> {
        self.run(|ledger| ledger.start(start))
    }

    async fn resend(&self, resend: Resend) -> Result<Sending, StoreError> {
        self.run(|ledger| ledger.resend(resend))
    }

    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        self.run(|ledger| ledger.attempt(attempt))
    }

    async fn approve(&self, approve: Approve) -> Result<bool, StoreError> {
        self.run(|ledger| ledger.approve(approve))
    }

    async fn answered(&self, claim: IdempotencyClaim, answer: Option<Checked>) -> Result<(), StoreError> {
        self.run(|ledger| ledger.answered(claim, answer.as_ref()))
    }

    async fn cancel(
        &self,
        service: &str,
        id: VerificationId,
        origin: Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        self.run(|ledger| ledger.cancel(service, id, &origin, detail, now))
    }

    async fn delivered(&self, delivered: Vec<Delivered>) -> Result<usize, StoreError> {
        self.run(|ledger| ledger.delivered_all(delivered))
    }

    async fn receipt(&self, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        self.run(move |ledger| ledger.receipt(receipt))
    }

    async fn release(&self, failures: BucketKey, event: Event) -> Result<bool, StoreError> {
        self.run(|ledger| ledger.release(&failures, event))
    }

    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError> {
        self.run(|ledger| Ok(ledger.buckets.take_all(&takes, now)))
    }

    async fn clear(&self, buckets: Vec<BucketKey>) -> Result<(), StoreError> {
        self.run(|ledger| {
            ledger.clear(&buckets);
            Ok(())
        })
    }

    async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        self.run(|ledger| ledger.get(service, id))
    }

    async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError> {
        Ok(self.ledger().rows.events.get(&id).cloned().unwrap_or_default())
    }

    async fn list(
        &self,
        service: &str,
        destination: [u8; 16],
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        let ledger = self.ledger();
        let newest_first = ledger.rows.verifications.values().rev();
        let wanted = newest_first
            .filter(|row| *row.service == *service && row.destination.key() == destination)
            .filter(|row| before.is_none_or(|before| row.id < before));
        let with_bucket = |row: &Verification| (row.clone(), ledger.buckets.get(&row.sends_key()).clone());
        Ok(wanted.take(limit).map(with_bucket).collect())
    }

    async fn undelivered(&self, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
        let ledger = self.ledger();
        let rows = ledger.rows.verifications.values();
        Ok(rows.filter(|row| row.delivery == Delivery::Queued && row.status_at(now) == Status::Pending).cloned().collect())
    }

    async fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
        let mut ledger = self.ledger();
        let old: Vec<_> = ledger.rows.verifications.values().filter(|row| row.created_at < before).map(|row| row.id).collect();
        for id in &old {
            ledger.rows.verifications.remove(id);
            ledger.rows.events.remove(id);
        }
        ledger.rows.idempotency.retain(|_, row| row.created_at + IDEMPOTENCY_LIFE > now);
        ledger.buckets.tidy(now);
        ledger.pending.tidy(now);
        Ok(old.len())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
