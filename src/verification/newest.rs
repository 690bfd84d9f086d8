//! One code at a time, for faces whose standard says so: a newer one ends those before it.
//!
//! Only a start that asks for it does this, and only to verifications of its own service, purpose and subject: a stranger at
//! another door ends nobody's code (see [`crate::verification::engine`]).

use tokio::sync::{Mutex, MutexGuard};

use crate::verification::engine::Engine;
use crate::verification::model::{Status, Verification, VerificationId};
use crate::verification::policy::WINDOW_COUNT_MAX;
use crate::verification::request::Caller;
use crate::verification::store::StoreError;

/// What the timeline says of the one that was ended.
const SUPERSEDED: &str = "a newer code was asked for";

/// Such starts for one destination take turns within this process, so that each knows which ones came before it. Destinations
/// share a few places; who has one only asks the store.
pub struct Turns(Vec<Mutex<()>>);

/// Whom a start ends.
pub(super) struct Earlier<'e> {
    ids: Vec<VerificationId>,
    _turn: MutexGuard<'e, ()>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns((0..64).map(|_| Mutex::default()).collect())
    }
}

impl Turns {
    async fn take(&self, destination: [u8; 16]) -> MutexGuard<'_, ()> {
        self.0[usize::from(destination[0]) % self.0.len()].lock().await
    }
}

impl Engine {
    /// The pending ones of the same service, purpose, subject and destination, which a start is to end, and its turn to do so.
    pub(super) async fn earlier(&self, like: &Verification) -> Result<Earlier<'_>, StoreError> {
        let turn = self.turns.take(like.destination.key()).await;
        Ok(Earlier { ids: self.pending_like(like).await?, _turn: turn })
    }

    /// Ends them, once the message of the new one is on its way.
    ///
    /// Those that were there before the start are ended whatever their ids say: clocks of replicas differ, and a millisecond
    /// is long. One that another replica has started in between is ended by whoever has the later id, so that one of the two
    /// is left. A store that fails after the start does not keep the new code from its receiver: the earlier one then lives until its end.
    pub(super) async fn end_earlier(&self, caller: &Caller, earlier: Earlier<'_>, started: &Verification) {
        if let Err(error) = self.end_others(caller, started, &earlier.ids).await {
            tracing::warn!(%error, verification = %started.id, "the codes before this one could not be ended");
        }
    }

    async fn end_others(&self, caller: &Caller, started: &Verification, before: &[VerificationId]) -> Result<(), StoreError> {
        let is_earlier = |id: &VerificationId| *id != started.id && (before.contains(id) || *id < started.id);
        for earlier in self.pending_like(started).await?.into_iter().filter(is_earlier) {
            self.call_off(caller, earlier, Some(SUPERSEDED)).await?;
        }
        Ok(())
    }

    async fn pending_like(&self, started: &Verification) -> Result<Vec<VerificationId>, StoreError> {
        let listed = self.store.list(&started.service, started.destination.key(), None, WINDOW_COUNT_MAX as usize).await?;
        let now = self.clock.now();
        let alike = |found: &Verification| {
            found.purpose == started.purpose && found.subject == started.subject && found.status_at(now) == Status::Pending
        };
        Ok(listed.into_iter().map(|(found, _)| found).filter(alike).map(|found| found.id).collect())
    }
}
