//! The store that everybody writes first: read, decide, write. It exists to fail the races.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::verification::limit::{Bucket, BucketKey, Limited, Take};
use crate::verification::model::{Event, Origin, Status, Verification, VerificationId};
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, IdempotencyClaim, Receipt, Resend, Sending, Snapshot, Start,
    Store, StoreError, Target,
};

#[derive(Default)]
pub struct NaiveStore {
    verifications: Mutex<HashMap<VerificationId, Verification>>,
    buckets: Mutex<HashMap<BucketKey, Bucket>>,
}

impl NaiveStore {
    fn read(&self, id: VerificationId) -> Option<Verification> {
        self.verifications.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn write(&self, verification: Verification) {
        self.verifications.lock().unwrap_or_else(PoisonError::into_inner).insert(verification.id, verification);
    }

    fn bucket(&self, key: &BucketKey) -> Bucket {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }
}

/// What a round trip to a database is to the other tasks: their turn.
async fn round_trip() {
    tokio::task::yield_now().await;
}

#[async_trait]
impl Store for NaiveStore {
    async fn start(&self, start: Start) -> Result<Sending, StoreError> {
        let mut changed = Vec::new();
        for take in &start.takes {
            let mut bucket = self.bucket(&take.key);
            round_trip().await;
            if let Err(limited) = take.judge(&bucket, start.now) {
                return Ok(Sending::Limited(limited));
            }
            take.apply(&mut bucket, start.now);
            changed.push((take.key, bucket));
        }
        round_trip().await;
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).extend(changed);
        self.write(Verification::clone(&start.verification));
        let snapshot = Snapshot::of(&start.verification, &Bucket::default(), &start.sends, start.now);
        Ok(Sending::Queued(start.verification, snapshot))
    }

    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        let Target::Id(id) = attempt.target else { return Err(StoreError::Closed) };
        let Some(mut verification) = self.read(id) else { return Ok(AttemptOutcome::NotFound) };
        round_trip().await;
        if verification.status_at(attempt.now) != Status::Pending {
            return Ok(AttemptOutcome::Ended(Box::new(verification)));
        }
        verification.attempts += 1;
        round_trip().await;
        self.write(verification.clone());
        Ok(AttemptOutcome::Judge(Box::new(verification)))
    }

    async fn approve(&self, approve: Approve) -> Result<bool, StoreError> {
        let Some(mut verification) = self.read(approve.id) else { return Ok(false) };
        round_trip().await;
        if verification.status != Status::Pending {
            return Ok(false);
        }
        verification.status = Status::Approved;
        round_trip().await;
        self.write(verification);
        Ok(true)
    }

    async fn resend(&self, _: Resend) -> Result<Sending, StoreError> {
        Err(StoreError::Closed)
    }

    async fn answered(&self, _: IdempotencyClaim, _: Option<Checked>) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn cancel(
        &self,
        _: &str,
        _: VerificationId,
        _: Origin,
        _: Option<&'static str>,
        _: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        Err(StoreError::Closed)
    }

    async fn delivered(&self, _: Vec<Delivered>) -> Result<usize, StoreError> {
        Err(StoreError::Closed)
    }

    async fn receipt(&self, _: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        Ok(None)
    }

    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError> {
        for take in &takes {
            let mut bucket = self.bucket(&take.key);
            round_trip().await;
            if let Err(limited) = take.judge(&bucket, now) {
                return Ok(Err(limited));
            }
            take.apply(&mut bucket, now);
            round_trip().await;
            self.buckets.lock().unwrap_or_else(PoisonError::into_inner).insert(take.key, bucket);
        }
        Ok(Ok(()))
    }

    async fn clear(&self, _: Vec<BucketKey>) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn release(&self, _: BucketKey, _: Event) -> Result<bool, StoreError> {
        Err(StoreError::Closed)
    }

    async fn get(&self, _: &str, _: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn timeline(&self, _: VerificationId) -> Result<Vec<Event>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn list(&self, _: &str, _: [u8; 16], _: Option<VerificationId>, _: usize) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn undelivered(&self, _: Timestamp) -> Result<Vec<Verification>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn sweep(&self, _: Timestamp, _: Timestamp) -> Result<usize, StoreError> {
        Err(StoreError::Closed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}
