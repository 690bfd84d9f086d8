//! What a provider must do. Adding one is one file beside this one, one line in `app.rs`, and its section in the
//! configuration reference.

use async_trait::async_trait;

use crate::delivery::message::Message;
use crate::verification::model::Channel;

/// Why a message was not delivered, by what may be done about it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    /// The destination is the problem: nobody else should try.
    #[error("the destination was rejected: {0}")]
    Rejected(String),
    /// Certainly not sent: another provider may try.
    #[error("the provider is unavailable: {0}")]
    Unavailable(String),
    /// Perhaps sent: a retry must carry the same code.
    #[error("it is not known whether the message was sent: {0}")]
    Uncertain(String),
}

/// A provider that sends our code in our words.
#[async_trait]
pub trait MessageProvider: Send + Sync {
    /// Its name in answers, events and metrics.
    fn name(&self) -> &'static str;
    /// What it serves.
    fn channels(&self) -> &'static [Channel];
    /// Sends, and returns the provider's reference for the message.
    async fn send(&self, message: &Message) -> Result<String, SendError>;
}
