//! One code at a time, for faces whose standard says so: a newer one ends those before it.
//!
//! Only a start that asks for it does this, and only to verifications of its own service and purpose: a stranger at another
//! door ends nobody's code (see [`crate::verification::engine`]).

use crate::verification::engine::Engine;
use crate::verification::model::{Status, Verification};
use crate::verification::policy::WINDOW_COUNT_MAX;
use crate::verification::request::Caller;
use crate::verification::store::StoreError;

/// What the timeline says of the one that was ended.
const SUPERSEDED: &str = "a newer code was asked for";

impl Engine {
    /// Calls off every pending verification of the same service, purpose and destination except the newest. Of many starts at
    /// once each does this after it is committed, so the last one sees them all, and one is left whoever comes first.
    ///
    /// A store that fails here does not keep the new code from its receiver: the earlier one then lives until its end.
    pub(super) async fn end_all_but_newest(&self, caller: &Caller, started: &Verification) {
        if let Err(error) = self.end_pending(caller, started).await {
            tracing::warn!(%error, verification = %started.id, "the codes before this one could not be ended");
        }
    }

    async fn end_pending(&self, caller: &Caller, started: &Verification) -> Result<(), StoreError> {
        let listed = self.store.list(&caller.service, started.destination.key(), None, WINDOW_COUNT_MAX as usize).await?;
        let now = self.clock.now();
        let same = |verification: &Verification| verification.purpose == started.purpose && verification.subject == started.subject;
        let pending = listed.into_iter().map(|(verification, _)| verification);
        // Newest first: ids grow with time.
        for earlier in pending.filter(|found| same(found) && found.status_at(now) == Status::Pending).skip(1) {
            self.call_off(caller, earlier.id, Some(SUPERSEDED)).await?;
        }
        Ok(())
    }
}
