//! What an authenticated caller may say of a verification without a code: that it holds. And how it is found by destination.

use crate::verification::Engine;
use crate::verification::model::{CodeBy, Status, Verification, VerificationId};
use crate::verification::request::{Caller, InvalidField};
use crate::verification::store::{Approve, Snapshot, StoreError};

/// Verifications of one destination that are looked at, newest first.
const LOOKED_AT: usize = 20;

/// What came of a caller's word.
#[derive(Debug)]
pub enum Vouched {
    /// Pending → approved.
    Approved(Box<Verification>),
    /// It had ended before.
    Ended(Status),
    /// None such in this service, for this purpose.
    NotFound,
}

impl Engine {
    /// Approves a pending verification on the caller's word: they have judged the code themselves, or proven the destination in
    /// another way. Once, as with a code; the timeline shows an approval that no check came before.
    pub async fn vouch(&self, caller: &Caller, id: VerificationId, purpose: &str) -> Result<Vouched, StoreError> {
        // A resend between the read and the guarded write replaces the code: then read again. Each round loses to a message
        // that went out, and a destination gets few of those, so this ends.
        for _ in 0..8 {
            let Some((verification, _)) = self.get_for(&caller.service, id, purpose).await? else { return Ok(Vouched::NotFound) };
            let now = self.clock.now();
            let status = verification.status_at(now);
            if status != Status::Pending {
                return Ok(Vouched::Ended(status));
            }
            let generation = verification.generation;
            if self.store.approve(Approve { id, generation, idempotency: None, origin: caller.origin(), now }).await? {
                // Its code is of no use any more, wherever it was made.
                if verification.code_by == CodeBy::Provider {
                    self.courier.call_off(&verification).await;
                }
                let approved = Verification { status: Status::Approved, ended_at: Some(now), ..verification };
                return Ok(Vouched::Approved(Box::new(approved)));
            }
        }
        Err(StoreError::Overloaded)
    }

    /// One verification of a service, if it is for that purpose.
    pub async fn get_for(&self, service: &str, id: VerificationId, purpose: &str) -> Result<Option<(Verification, Snapshot)>, StoreError> {
        Ok(self.get(service, id).await?.filter(|(verification, _)| *verification.purpose == *purpose))
    }

    /// The verification that a caller means who names a destination only: the newest one that is pending, or else the newest
    /// whose checks are used up and whose time is not over.
    pub async fn newest(&self, service: &str, to: &str, purpose: &str) -> Result<Result<Option<Verification>, InvalidField>, StoreError> {
        let policy = self.policies.current(service).await?;
        let destination = match self.destination(&policy, to) {
            Ok(destination) => destination,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let now = self.clock.now();
        let mut exhausted = None;
        for (verification, _) in self.store.list(service, destination.key(), None, LOOKED_AT).await? {
            if *verification.purpose != *purpose {
                continue;
            }
            match verification.status_at(now) {
                Status::Pending => return Ok(Ok(Some(verification))),
                Status::Exhausted => exhausted = exhausted.or(Some(verification)),
                Status::Approved | Status::Canceled | Status::Expired => {}
            }
        }
        Ok(Ok(exhausted))
    }
}
