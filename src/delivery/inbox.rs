//! The messages that dev mode shows: the last few, in memory, with a stream of new ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;

use crate::delivery::message::Message;

/// A message as the inbox shows it: the only place where a code is given out, and only in dev mode.
#[derive(Clone, Serialize)]
pub struct InboxMessage {
    /// Verification and number of the message: `ID.1`, `ID.2` …
    pub id: String,
    /// The verification's id.
    pub verification: String,
    /// Where it went, in full.
    pub to: String,
    /// How.
    pub channel: String,
    /// By whom.
    pub provider: String,
    /// The service's brand.
    pub sender: String,
    /// Of a mail.
    pub subject: Option<String>,
    /// The whole text.
    pub body: String,
    /// The code.
    pub code: String,
    /// RFC 3339.
    pub created_at: String,
}

impl InboxMessage {
    fn of(Entry { message, provider }: &Entry) -> InboxMessage {
        InboxMessage {
            id: format!("{}.{}", message.envelope.verification, message.envelope.number),
            verification: message.envelope.verification.to_string(),
            to: message.envelope.to.canonical().to_owned(),
            channel: message.envelope.channel.to_string(),
            provider: provider.to_string(),
            sender: message.envelope.brand.to_string(),
            subject: message.mail.as_ref().map(|mail| mail.subject.clone()),
            body: message.body.clone(),
            code: message.code.expose().to_owned(),
            created_at: message.envelope.now.to_string(),
        }
    }
}

#[derive(Clone)]
struct Entry {
    message: Arc<Message>,
    provider: Arc<str>,
}

/// The last messages, newest first.
pub struct Inbox {
    size: usize,
    messages: Mutex<VecDeque<Entry>>,
    arrivals: broadcast::Sender<InboxMessage>,
}

impl Inbox {
    /// An inbox of the last `size` messages.
    pub fn new(size: usize) -> Inbox {
        Inbox { size, messages: Mutex::default(), arrivals: broadcast::channel(64).0 }
    }

    /// Adds a message that `provider` takes.
    pub fn add(&self, message: Arc<Message>, provider: Arc<str>) {
        let entry = Entry { message, provider };
        // Kept first, told after: who subscribes in between finds it in the list.
        let mut messages = self.messages();
        messages.push_front(entry.clone());
        messages.truncate(self.size);
        drop(messages);
        if self.arrivals.receiver_count() > 0 {
            // Nobody may listen any more by now.
            let _ = self.arrivals.send(InboxMessage::of(&entry));
        }
    }

    /// The newest `limit` messages, to one destination if one is named.
    pub fn newest(&self, to: Option<&str>, limit: usize) -> Vec<InboxMessage> {
        let messages = self.messages();
        let wanted = messages.iter().filter(|entry| to.is_none_or(|to| entry.message.envelope.to.canonical() == to));
        wanted.take(limit).map(InboxMessage::of).collect()
    }

    /// Messages from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<InboxMessage> {
        self.arrivals.subscribe()
    }

    fn messages(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
