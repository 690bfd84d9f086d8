//! The provider of dev mode: shows messages on standard output instead of sending them. Refused in production, where a
//! code on a console is a code in a log.

use std::io::Write;

use async_trait::async_trait;

use crate::delivery::message::Message;
use crate::delivery::provider::{MessageProvider, SendError};
use crate::verification::model::Channel;

/// Prints, or only pretends to have sent.
pub struct Console {
    /// Whether to print.
    pub print: bool,
}

#[async_trait]
impl MessageProvider for Console {
    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn carries_notices(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> Result<String, SendError> {
        let envelope = &message.envelope;
        if self.print {
            let mut out = std::io::stdout().lock();
            // A closed standard output is no reason to fail: the inbox has the message.
            let _ = writeln!(out, "{} to {}: {}", envelope.channel, envelope.to.canonical(), message.body);
        }
        Ok(format!("console-{}-{}", envelope.verification.simple(), envelope.number))
    }
}
