//! What happens to a message after it was queued: it is handed over, falls back to another channel, or is given up.
//!
//! Whoever queued it must come here, or nobody sends it while this process lives: so callers that may be dropped in the middle,
//! as a request whose client hangs up is, run in a task of their own.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::secret::Code;
use crate::verification::courier::{CodeMaker, Objection, Parcel, QueueFull};
use crate::verification::engine::{Engine, Started};
use crate::verification::model::{CodeBy, Delivery, Verification, VerificationId};
use crate::verification::policy::Policy;
use crate::verification::report;
use crate::verification::store::{Delivered, Receipt, ReceiptState, Sending, Snapshot, StoreError, Undelivered};
use crate::verification::wording::Wording;

/// Hears once the store knows what became of a message.
pub(super) type Noted = oneshot::Receiver<Option<Objection>>;

impl Engine {
    /// Hands messages that a restart, or another replica's end, left queued to the courier again. Nothing while this replica
    /// is taken for dead itself.
    pub async fn resume(&self) -> Result<usize, StoreError> {
        // The time first: at that time this replica then lived.
        let now = self.clock.now();
        if !self.lease.is_held() {
            return Ok(0);
        }
        let left = self.store.undelivered(now).await?;
        let count = left.len();
        for verification in left {
            // Nobody else is given what was claimed: nothing here may end the loop.
            let policy = self.policy_under_way(&verification.service).await;
            if self.courier.code_maker(verification.channel, verification.destination.country()).is_none() {
                self.give_up(&verification, "no configured provider serves it any more").await;
                continue;
            }
            match self.code_of(&verification) {
                None if verification.code_by != CodeBy::Provider => {
                    self.give_up(&verification, "the caller's own code was lost in a restart").await;
                }
                code => self.dispatch(verification, code, None, &policy, None).await,
            }
        }
        Ok(count)
    }

    /// Notes what a provider reports later of a message. None: it changed nothing.
    pub async fn receipt(&self, provider: &str, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        let state = receipt.state;
        let moved = self.store.receipt(receipt).await?;
        let result = match (&moved, state) {
            (None, _) => "changed_nothing",
            (Some(_), ReceiptState::Underway) => "underway",
            (Some(_), ReceiptState::Delivered) => "delivered",
            (Some(_), ReceiptState::Failed) => "failed",
        };
        self.metrics.receipt(provider, result);
        if let (ReceiptState::Failed, Some(verification)) = (state, &moved) {
            self.fall_back(Verification::clone(verification)).await;
        }
        Ok(moved)
    }

    /// Sends a message that no provider took on the next channel, where its service says so.
    pub async fn follow_up(&self, service: &str, id: VerificationId) {
        match self.store.get(service, id).await {
            Ok(Some((verification, _))) if verification.delivery == Delivery::Failed => self.fall_back(verification).await,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, verification = %id, "a failed message could not be followed up"),
        }
    }

    /// The next channel after the one that failed, with the same code. A code that cannot be made again stays where it is.
    async fn fall_back(&self, verification: Verification) {
        let policy = self.policy_under_way(&verification.service).await;
        let now = self.clock.now();
        let next = policy.channel_after(verification.channel).filter(|&channel| {
            let maker = self.courier.code_maker(channel, verification.destination.country());
            channel.reaches(&verification.destination) && maker == Some(CodeMaker::Us)
        });
        let (Some(channel), Some(code)) = (next, self.code_of(&verification)) else { return };
        let (id, failed) = (verification.id, verification.channel);
        let resend = self.prepare_fallback(&policy, &verification, channel, now);
        match self.store.resend(resend).await.inspect_err(|error| self.doubt(error)) {
            Ok(Sending::Queued(verification, _)) => {
                tracing::info!(verification = %id, %failed, next = %channel, "the message goes on another channel");
                self.dispatch(*verification, Some(code), None, &policy, None).await;
            }
            // Ended, limited, or sent again by the caller in the meantime: nothing to do.
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, verification = %id, "a failed message could not be followed up"),
        }
    }

    /// The rules for a message that is under way. Where the database does not answer, what is known here will do.
    async fn policy_under_way(&self, service: &str) -> Arc<Policy> {
        match self.policies.current(service).await {
            Ok(policy) => policy,
            Err(_) => self.policy(service),
        }
    }

    /// Hands what was queued to the courier. `code` is that of verification `id`. With `wait`, who hears what became of it.
    pub(super) async fn hand_over(
        &self,
        sending: Sending,
        id: VerificationId,
        code: Option<Code>,
        wording: Option<Wording>,
        policy: &Arc<Policy>,
        wait: bool,
    ) -> (Started, Option<Noted>) {
        let mut hears = None;
        let started = match sending {
            Sending::Queued(verification, snapshot) => {
                // A start that re-armed an earlier verification sends that one's code again.
                let code = if verification.id == id { code } else { self.code_of(&verification) };
                let (noted, receiver) = if wait { Some(oneshot::channel()).unzip() } else { (None, None) };
                hears = receiver;
                if code.is_none() && verification.code_by != CodeBy::Provider {
                    self.give_up(&verification, "its code was made under a pepper that is gone").await;
                } else {
                    self.dispatch(*verification, code, wording, policy, noted).await;
                }
                Started::Sending(snapshot)
            }
            Sending::Replayed(snapshot) => Started::Sending(snapshot),
            Sending::Limited(limited) => Started::Limited(limited),
            Sending::KeyReused => Started::IdempotencyKeyReused,
            Sending::NotFound | Sending::Moved => Started::NotFound,
            Sending::Ended(status) => Started::Ended(status),
        };
        self.metrics.started(self.policies.label(&policy.service), &started);
        (started, hears)
    }

    /// The same once it is known what became of the message; as far as it came when that takes too long.
    pub(super) async fn awaited(&self, service: &str, (started, hears): (Started, Option<Noted>)) -> Started {
        let (snapshot, hears) = match (started, hears) {
            (Started::Sending(snapshot), Some(hears)) => (snapshot, hears),
            (started, _) => return started,
        };
        // An error means that the message was given up, which is noted as well.
        let heard = tokio::time::timeout(self.wait_max, hears).await;
        let objection = heard.ok().and_then(Result::ok).flatten();
        // The message is on its way, whether or not the store can be read now: an error would have it sent twice.
        let snapshot = match self.get(service, snapshot.id).await {
            Ok(found) => found.map_or(snapshot, |(_, snapshot)| snapshot),
            Err(error) => {
                tracing::warn!(%error, verification = %snapshot.id, "what became of a message could not be read");
                snapshot
            }
        };
        Started::Sending(Snapshot { objection, ..snapshot })
    }

    async fn dispatch(
        &self,
        verification: Verification,
        code: Option<Code>,
        wording: Option<Wording>,
        policy: &Arc<Policy>,
        noted: Option<oneshot::Sender<Option<Objection>>>,
    ) {
        let parcel = Parcel { verification, code, policy: Arc::clone(policy), wording, noted };
        if let Err(QueueFull(parcel)) = self.courier.dispatch(parcel) {
            self.give_up(&parcel.verification, "too many messages are waiting").await;
        }
    }

    /// Whether something was queued is not known: see [`crate::verification::lease::Lease::hurry`].
    pub(super) fn doubt(&self, error: &StoreError) {
        if let StoreError::Database(_) = error {
            self.lease.hurry();
        }
    }

    async fn give_up(&self, verification: &Verification, cause: &str) {
        let result = Err(Undelivered { cause: cause.into(), perhaps_sent: false });
        let delivered = Delivered { id: verification.id, message: verification.sends, result, now: self.clock.now() };
        // Mostly at once, so that whoever asked is told. A store that has no room now is told later, and nobody waits for that.
        if self.store.delivered(vec![delivered.clone()]).await.is_err() {
            let (store, lease) = (Arc::clone(&self.store), Arc::clone(&self.lease));
            tokio::spawn(async move { report::insist(store.as_ref(), &lease, vec![delivered]).await });
        }
    }
}

#[cfg(test)]
mod tests;
