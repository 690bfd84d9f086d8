//! What became of a message is told to the store, and told again when it has no room or undid the batch: a report that is lost
//! is a message that is sent twice, a provider's code that can never pass, or a message that is queued for ever.

use std::time::Duration;

use crate::verification::lease::Lease;
use crate::verification::store::{Delivered, Store, StoreError};

/// How often a report is offered to the store: for half a minute, in which most databases are up again.
const NOTED_AT_MOST: u32 = 35;
/// How often while the server stops: not longer than people wait for that. A database that is silent takes seconds for each.
const NOTED_IN_THE_END: u32 = 4;
/// The pause before it is offered again; longer each time, up to the longest.
const NOTE_AGAIN_AFTER: Duration = Duration::from_millis(100);
const NOTE_AGAIN_AFTER_AT_MOST: Duration = Duration::from_secs(1);

/// Tells the store what became of these, until it has noted that.
pub async fn insist(store: &dyn Store, lease: &Lease, delivered: Vec<Delivered>) {
    let messages = delivered.len();
    if let Err(error) = again_and_again(|| store.delivered(delivered.clone()), || lease.is_closing()).await {
        tracing::error!(%error, messages, "deliveries could not be noted");
    }
}

async fn again_and_again<F: Future<Output = Result<usize, StoreError>>>(
    tell: impl Fn() -> F,
    stopping: impl Fn() -> bool,
) -> Result<usize, StoreError> {
    for attempt in 1..NOTED_AT_MOST {
        match tell().await {
            Err(_) if attempt < NOTED_IN_THE_END || !stopping() => {
                tokio::time::sleep((NOTE_AGAIN_AFTER * attempt).min(NOTE_AGAIN_AFTER_AT_MOST)).await;
            }
            noted => return noted,
        }
    }
    tell().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often the store was told, and what came of it, where it refuses the first few times.
    async fn told(refusals: u32, stopping: bool) -> (u32, Result<usize, StoreError>) {
        let asked = Cell::new(0);
        let tell = || {
            asked.set(asked.get() + 1);
            std::future::ready(if asked.get() <= refusals { Err(StoreError::Overloaded) } else { Ok(1) })
        };
        let noted = again_and_again(tell, || stopping).await;
        (asked.get(), noted)
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_report_is_offered_again_for_a_while() {
        assert!(matches!(told(0, false).await, (1, Ok(1))));
        assert!(matches!(told(20, false).await, (21, Ok(1))));
        assert!(matches!(told(u32::MAX, false).await, (NOTED_AT_MOST, Err(StoreError::Overloaded))));
        assert!(matches!(told(3, true).await, (4, Ok(1))));
        assert!(matches!(told(u32::MAX, true).await, (NOTED_IN_THE_END, Err(StoreError::Overloaded))));
    }
}
