//! The engine's view of delivery: somebody who takes a code away at once, and tells the store later what became of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::secret::Code;
use crate::verification::destination::Country;
use crate::verification::model::{Channel, Verification};
use crate::verification::policy::Policy;
use crate::verification::wording::Wording;

/// A message to send.
pub struct Parcel {
    /// Whom and how; `sends` is the number of this message.
    pub verification: Verification,
    /// The code; none where the provider makes it.
    pub code: Option<Code>,
    /// The rules of its service: brand, texts, life.
    pub policy: Arc<Policy>,
    /// The caller's own words for this message. They are kept nowhere else: what a restart or another channel sends again has the
    /// service's words.
    pub wording: Option<Wording>,
    /// Hears once the store knows what became of the message; what a provider has against the number, if that is why.
    pub noted: Option<oneshot::Sender<Option<Objection>>>,
}

/// What a provider has against a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// It cannot receive such messages.
    CannotReceive,
    /// Its owner or its carrier wants none.
    Barred,
}

/// Who makes the codes that travel a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeMaker {
    /// This server.
    Us,
    /// The provider, within its own limits.
    Provider(ProviderLimits),
}

/// What a provider that makes the codes allows. A service's policy must stay within (checked when the server starts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderLimits {
    /// Life of a code at most.
    pub life: Duration,
    /// Checks of one code.
    pub checks: u32,
}

/// What a provider that made a code says of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderVerdict {
    /// Right. The provider has used it up.
    Approved,
    /// Wrong, or it knows of no live code.
    Refused,
}

/// The provider could not be asked, or did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the provider did not judge the code: {0}")]
pub struct NotJudged(pub String);

/// Takes messages away.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Who makes the code of a message on that channel to that country; none: no provider serves it.
    fn code_maker(&self, channel: Channel, country: Option<Country>) -> Option<CodeMaker>;
    /// Queues the message, or says that the queue is full. Never waits.
    #[expect(clippy::result_large_err, reason = "the parcel is handed back, not copied; a box would be made for each that fits")]
    fn dispatch(&self, parcel: Parcel) -> Result<(), QueueFull>;
    /// Asks the provider that made the code. A wrong answer costs a check there as well.
    async fn judge(&self, verification: &Verification, code: &Code) -> Result<ProviderVerdict, NotJudged>;
    /// Tells the provider that made the code that it is called off. Best effort: it dies there by itself.
    async fn call_off(&self, verification: &Verification);
}

/// Too many messages wait: here is yours back.
pub struct QueueFull(pub Parcel);
