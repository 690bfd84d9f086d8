//! What is handed to a provider.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::delivery::provider::SendError;
use crate::delivery::receipt::MessageNumber;
use crate::secret::Code;
use crate::verification::destination::Destination;
use crate::verification::model::{Channel, VerificationId};

/// Whom a message goes to, and under which names: all that a provider needs that makes its own code.
#[derive(Clone)]
pub struct Envelope {
    /// The verification that it belongs to; of a notice, an id of its own.
    pub verification: VerificationId,
    /// The number of the message within it, from 1.
    pub number: u32,
    /// Where to.
    pub to: Destination,
    /// How it travels.
    pub channel: Channel,
    /// BCP 47.
    pub locale: Arc<str>,
    /// The service's brand.
    pub brand: Arc<str>,
    /// Our own name for the message, the same in every retry: an idempotency key where the provider takes one, and what
    /// a receipt gives back (see [`crate::delivery::receipt::References`]). 38 characters of A-Z, a-z, 0-9, - and _.
    pub reference: String,
    /// The URL for receipts; none when providers cannot reach this server.
    pub callback: Option<String>,
    /// When it is handed over.
    pub now: Timestamp,
    /// From then on the code is dead.
    pub expires_at: Timestamp,
}

impl Envelope {
    /// Which message of which verification it is.
    pub fn message(&self) -> MessageNumber {
        MessageNumber { verification: self.verification, number: self.number }
    }
}

/// A message, finished, and the pieces that it was made of (for providers that use a template of their own).
#[derive(Clone)]
pub struct Message {
    /// Whom to.
    pub envelope: Envelope,
    /// The code; a notice has none.
    pub code: Option<Code>,
    /// The whole text.
    pub body: String,
    /// Of a mail.
    pub mail: Option<Mail>,
    /// Of a call.
    pub speech: Option<Speech>,
}

impl Message {
    /// The code, for whoever sends nothing else: a notice has none.
    pub fn code(&self) -> Result<&Code, SendError> {
        self.code.as_ref().ok_or_else(|| SendError::unavailable("it carries codes only").about_message())
    }
}

/// What a mail has beside its text.
#[derive(Clone)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// The same as the text, as a page.
    pub html: String,
}

/// What is spoken: the greeting, the digits, `again`, the digits, the goodbye.
#[derive(Clone)]
pub struct Speech {
    /// The voice's language (BCP 47).
    pub language: String,
    /// "Your … code is:"
    pub greeting: String,
    /// "Once more:"
    pub again: String,
    /// "Goodbye."
    pub goodbye: String,
}

impl Speech {
    /// All that is spoken, to read.
    pub fn transcript(&self, code: &str) -> String {
        let digits: Vec<_> = code.chars().map(String::from).collect();
        let digits = digits.join(" ");
        format!("{} {digits}. {} {digits}. {}", self.greeting, self.again, self.goodbye)
    }
}
