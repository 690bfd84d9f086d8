//! The engine's view of delivery: somebody who takes a code away at once, and tells the store later what became of it.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::secret::Code;
use crate::verification::model::{Channel, Verification};
use crate::verification::policy::Policy;

/// A message to send.
pub struct Parcel {
    /// Whom and how; `sends` is the number of this message.
    pub verification: Verification,
    /// The code.
    pub code: Code,
    /// When it was queued; unknown after a restart.
    pub queued_at: Option<Timestamp>,
    /// The rules of its service: brand, texts, life.
    pub policy: Arc<Policy>,
}

/// Takes messages away.
pub trait Courier: Send + Sync {
    /// Whether some provider serves that channel.
    fn serves(&self, channel: Channel) -> bool;
    /// Queues the message, or says that the queue is full. Never waits.
    #[expect(clippy::result_large_err, reason = "the parcel is handed back, not copied; a box would be made for each that fits")]
    fn dispatch(&self, parcel: Parcel) -> Result<(), QueueFull>;
}

/// Too many messages wait: here is yours back.
pub struct QueueFull(pub Parcel);
