//! The messages that dev mode shows: the last few, in memory, each with what became of it, and whoever watches hears of every
//! change.
//!
//! A change is not sent to the watchers: they are told that there is one, and ask for what changed since the mark that they
//! hold. So a slow one misses nothing that is still kept, and a reconnection is the same as the next change.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::delivery::message::{Envelope, Message};
use crate::delivery::receipt::MessageNumber;
use crate::verification::model::{Channel, Delivery};

/// A message as the inbox shows it: the only place where a code is given out, and only in dev mode.
#[derive(Clone, Serialize)]
pub struct InboxMessage {
    /// Verification and number of the message: `ID.1`, `ID.2` …
    pub id: String,
    /// The verification's id; a notice belongs to none.
    pub verification: Option<String>,
    /// Where it went, in full.
    pub to: String,
    /// How.
    pub channel: String,
    /// By whom: the provider that was asked last.
    pub provider: String,
    /// The service's brand.
    pub sender: String,
    /// Of a mail.
    pub subject: Option<String>,
    /// The whole text.
    pub body: String,
    /// Where the mail's page is, if it has one.
    pub html: Option<String>,
    /// Of a call: what is said.
    pub spoken: Option<String>,
    /// The code; none where the provider makes it, which never tells, and in a notice.
    pub code: Option<String>,
    /// How far it got.
    pub delivery: &'static str,
    /// Why it failed, or is still queued after a first try.
    pub cause: Option<String>,
    /// RFC 3339.
    pub created_at: String,
}

impl InboxMessage {
    /// One without values: the page's script fills them in.
    pub fn blank(channel: Channel) -> InboxMessage {
        let text = String::new;
        let given = || (channel == Channel::Email).then(text);
        InboxMessage {
            id: text(),
            verification: Some(text()),
            to: text(),
            channel: channel.to_string(),
            provider: text(),
            sender: text(),
            subject: given(),
            body: text(),
            html: given(),
            spoken: (channel == Channel::Call).then(text),
            code: Some(text()),
            delivery: Delivery::Queued.as_str(),
            cause: None,
            created_at: text(),
        }
    }

    /// How far it got, for people.
    pub fn fate(&self) -> &'static str {
        match self.delivery {
            "queued" => "Queued",
            "sent" => "Sent",
            "delivered" => "Delivered",
            _ => "Failed",
        }
    }
}

/// What is in a message.
#[derive(Clone)]
pub enum Content {
    /// Ours.
    Message(Arc<Message>),
    /// The provider's own, which is never seen here.
    Unseen(Box<Envelope>),
}

impl Content {
    fn envelope(&self) -> &Envelope {
        match self {
            Content::Message(message) => &message.envelope,
            Content::Unseen(envelope) => envelope,
        }
    }

    fn message(&self) -> Option<&Message> {
        match self {
            Content::Message(message) => Some(message),
            Content::Unseen(_) => None,
        }
    }
}

#[derive(Clone)]
struct Entry {
    content: Content,
    provider: Arc<str>,
    delivery: Delivery,
    cause: Option<String>,
    /// Place in the order of all changes: when it came, and when it changed last.
    arrived: u64,
    changed: u64,
}

impl Entry {
    fn number(&self) -> MessageNumber {
        self.content.envelope().message()
    }

    fn shown(&self) -> InboxMessage {
        let envelope = self.content.envelope();
        let message = self.content.message();
        let id = format!("{}.{}", envelope.verification, envelope.number);
        let mail = message.and_then(|message| message.mail.as_ref());
        let unseen = || format!("{} makes the code and words the message: neither is seen here.", self.provider);
        InboxMessage {
            verification: message.is_none_or(|message| message.code.is_some()).then(|| envelope.verification.to_string()),
            to: envelope.to.canonical().to_owned(),
            channel: envelope.channel.to_string(),
            provider: self.provider.to_string(),
            sender: envelope.brand.to_string(),
            subject: mail.map(|mail| mail.subject.clone()),
            body: message.map_or_else(unseen, |message| message.body.clone()),
            html: mail.filter(|mail| !mail.html.is_empty()).map(|_| format!("/dev/inbox/mail/{id}")),
            spoken: message.and_then(spoken),
            code: message.and_then(|message| message.code.as_ref()).map(|code| code.expose().to_owned()),
            delivery: self.delivery.as_str(),
            cause: self.cause.clone(),
            created_at: envelope.now.to_string(),
            id,
        }
    }
}

/// The digits one by one, as a voice says them.
fn spoken(message: &Message) -> Option<String> {
    let speech = message.speech.as_ref()?;
    Some(speech.transcript(message.code.as_ref()?.expose()))
}

/// What has changed since a mark.
pub struct Changes {
    /// In the order in which the messages came; true: came since then.
    pub messages: Vec<(InboxMessage, bool)>,
    /// The mark to ask with next.
    pub mark: String,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<Entry>,
    /// Whose these are: nearly every message is a new one, which is not looked for among them.
    numbers: HashSet<MessageNumber>,
    changes: u64,
}

impl Kept {
    fn next(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// A message that changes came a moment ago: near the front.
    fn entry(&mut self, message: MessageNumber) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.number() == message)
    }
}

/// The last messages, newest first.
pub struct Inbox {
    size: usize,
    /// Tells this run of the server from others, whose marks mean nothing here.
    run: String,
    kept: Mutex<Kept>,
    changed: watch::Sender<u64>,
}

impl Inbox {
    /// An inbox of the last `size` messages. `run`: a random number.
    pub fn new(size: usize, run: u32) -> Inbox {
        Inbox { size, run: format!("{run:08x}"), kept: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// A message is handed to `provider`, for the first time or after another one failed.
    pub fn handed(&self, content: Content, provider: Arc<str>) {
        let message = content.envelope().message();
        let mut kept = self.kept();
        let now = kept.next();
        if kept.numbers.insert(message) {
            kept.entries.push_front(Entry { content, provider, delivery: Delivery::Queued, cause: None, arrived: now, changed: now });
            if kept.entries.len() > self.size
                && let Some(oldest) = kept.entries.pop_back()
            {
                kept.numbers.remove(&oldest.number());
            }
        } else if let Some(entry) = kept.entry(message) {
            (entry.provider, entry.changed) = (provider, now);
        }
        self.tell(kept);
    }

    /// Something went wrong with it, and it is tried again.
    pub fn troubled(&self, message: MessageNumber, cause: String) {
        self.change(message, |entry| {
            let is_queued = entry.delivery == Delivery::Queued;
            if is_queued {
                entry.cause = Some(cause);
            }
            is_queued
        });
    }

    /// How far it got. Forward only.
    pub fn note(&self, message: MessageNumber, delivery: Delivery, cause: Option<String>) {
        self.change(message, |entry| {
            let moves = entry.delivery.may_become(delivery);
            if moves {
                (entry.delivery, entry.cause) = (delivery, cause);
            }
            moves
        });
    }

    fn change(&self, message: MessageNumber, change: impl FnOnce(&mut Entry) -> bool) {
        let mut kept = self.kept();
        let next = kept.changes + 1;
        let Some(entry) = kept.entry(message) else { return };
        if change(entry) {
            entry.changed = next;
            kept.changes = next;
            self.tell(kept);
        }
    }

    /// Wakes the watchers, once what they will ask for is there.
    fn tell(&self, kept: MutexGuard<'_, Kept>) {
        let changes = kept.changes;
        drop(kept);
        self.changed.send_replace(changes);
    }

    /// The newest `limit` messages, to one destination if one is named, and the mark from which on they change.
    pub fn newest(&self, to: Option<&str>, limit: usize) -> (Vec<InboxMessage>, String) {
        let kept = self.kept();
        let wanted = kept.entries.iter().filter(|entry| concerns(entry, to)).take(limit).map(Entry::shown).collect();
        (wanted, self.mark(kept.changes))
    }

    /// What changed since `mark`; everything that is kept, where that is no mark of this run.
    pub fn since(&self, mark: &str, to: Option<&str>) -> Changes {
        let known = mark.split_once('-').filter(|(run, _)| *run == self.run).and_then(|(_, changes)| changes.parse().ok());
        let known: u64 = known.unwrap_or(0);
        let kept = self.kept();
        let changed = kept.entries.iter().rev().filter(|entry| entry.changed > known && concerns(entry, to));
        let messages = changed.map(|entry| (entry.shown(), entry.arrived > known)).collect();
        Changes { messages, mark: self.mark(kept.changes) }
    }

    /// The page of a mail.
    pub fn html(&self, id: &str) -> Option<String> {
        let (verification, number) = id.split_once('.')?;
        let message = MessageNumber { verification: verification.parse().ok()?, number: number.parse().ok()? };
        let kept = self.kept();
        let entry = kept.entries.iter().find(|entry| entry.number() == message)?;
        entry.content.message()?.mail.as_ref().map(|mail| mail.html.clone()).filter(|html| !html.is_empty())
    }

    /// Hears of every change from now on.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn mark(&self, changes: u64) -> String {
        format!("{}-{changes}", self.run)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn concerns(entry: &Entry, to: Option<&str>) -> bool {
    to.is_none_or(|to| entry.content.envelope().to.canonical() == to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::verification::destination::Destination;
    use crate::verification::model::{Channel, VerificationId};

    fn envelope(number: u32) -> Box<Envelope> {
        Box::new(Envelope {
            verification: VerificationId::from_u128(7),
            number,
            to: Destination::parse("+4915112345678", None).expect("a number"),
            channel: Channel::Sms,
            locale: "en".into(),
            brand: "Acme".into(),
            reference: String::new(),
            callback: None,
            now: Timestamp(0),
            expires_at: Timestamp(300_000),
        })
    }

    fn message(number: u32) -> MessageNumber {
        MessageNumber { verification: VerificationId::from_u128(7), number }
    }

    fn fates(changes: &Changes) -> Vec<(&str, &str, bool)> {
        changes.messages.iter().map(|(message, is_new)| (&message.id[37..], message.delivery, *is_new)).collect()
    }

    #[test]
    fn watchers_get_what_changed_since_their_mark() {
        let inbox = Inbox::new(3, 1);
        inbox.handed(Content::Unseen(envelope(1)), "twilio".into());
        let (_, mark) = inbox.newest(None, 10);
        inbox.note(message(1), Delivery::Sent, None);
        inbox.handed(Content::Unseen(envelope(2)), "twilio".into());
        let changes = inbox.since(&mark, None);
        assert_eq!(fates(&changes), [("1", "sent", false), ("2", "queued", true)]);
        assert!(inbox.since(&changes.mark, None).messages.is_empty());
        for foreign in ["", "nonsense", "00000002-1"] {
            assert_eq!(fates(&inbox.since(foreign, None)), [("1", "sent", true), ("2", "queued", true)], "{foreign:?}");
        }
        assert!(inbox.since("", Some("ann@example.com")).messages.is_empty());
    }

    /// A message that two providers were asked to send is one message, and late or repeated receipts change nothing.
    #[test]
    fn a_message_has_one_entry_and_its_fate_moves_forward() {
        let inbox = Inbox::new(3, 1);
        inbox.handed(Content::Unseen(envelope(1)), "twilio".into());
        inbox.troubled(message(1), "twilio: it is down".into());
        inbox.handed(Content::Unseen(envelope(1)), "vonage".into());
        let newest = inbox.newest(None, 10).0;
        assert_eq!(newest.len(), 1);
        assert_eq!((newest[0].provider.as_str(), newest[0].cause.as_deref()), ("vonage", Some("twilio: it is down")));
        inbox.note(message(1), Delivery::Delivered, None);
        let mark = inbox.newest(None, 10).1;
        inbox.note(message(1), Delivery::Sent, None);
        inbox.note(message(1), Delivery::Failed, Some("late".into()));
        inbox.troubled(message(1), "later".into());
        assert!(inbox.since(&mark, None).messages.is_empty());
        let newest = inbox.newest(None, 10).0;
        assert_eq!((newest[0].delivery, newest[0].cause.as_deref()), ("delivered", None));
    }
}
