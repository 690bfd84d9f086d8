//! How the stand-in behaves, and how that is changed while it runs.

use serde::{Deserialize, Serialize};

use crate::dev_provider::fault::Fail;

/// Which receipts follow a message that was taken and names a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipts {
    /// It was handed to the carrier, and arrived.
    #[default]
    Delivered,
    /// It was handed to the carrier, and never arrived.
    Failed,
    /// None at all.
    None,
    /// The same as `delivered`, several times and out of order.
    Duplicate,
}

impl Receipts {
    /// Every one, with its name.
    pub const ALL: [(&'static str, Receipts); 4] =
        [("delivered", Receipts::Delivered), ("failed", Receipts::Failed), ("none", Receipts::None), ("duplicate", Receipts::Duplicate)];
}

/// How it behaves.
#[derive(Debug, Clone, Serialize)]
pub struct Knobs {
    /// What it does instead of taking a message.
    pub fail: Fail,
    /// Which receipts it sends.
    pub receipts: Receipts,
    /// It answers so much later. The message is taken at once: a success that comes too late.
    pub delay_ms: u64,
    /// What a 429 asks for, in seconds.
    pub retry_after: u64,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs { fail: Fail::None, receipts: Receipts::Delivered, delay_ms: 0, retry_after: 1 }
    }
}

/// A change of some of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// See [`Knobs::fail`].
    pub fail: Option<Fail>,
    /// See [`Knobs::receipts`].
    pub receipts: Option<Receipts>,
    /// See [`Knobs::delay_ms`].
    pub delay_ms: Option<u64>,
    /// See [`Knobs::retry_after`].
    pub retry_after: Option<u64>,
}

impl Knobs {
    /// What the change does not name stays.
    pub fn change(&mut self, change: Change) {
        let Change { fail, receipts, delay_ms, retry_after } = change;
        self.fail = fail.unwrap_or(self.fail);
        self.receipts = receipts.unwrap_or(self.receipts);
        self.delay_ms = delay_ms.unwrap_or(self.delay_ms);
        self.retry_after = retry_after.unwrap_or(self.retry_after);
    }
}
