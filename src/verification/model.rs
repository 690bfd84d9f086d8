//! The nouns: a verification, its parts, and what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::secret::{CodeContext, SEED_BYTES, Tag};
use crate::verification::destination::Destination;
use crate::verification::limit::{BucketKey, LimitName};

/// Names a verification: a UUIDv7, so that ids lie in the order of time, with 74 random bits.
pub type VerificationId = Uuid;

/// How a code travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A text message.
    Sms,
    /// A WhatsApp message.
    Whatsapp,
    /// A phone call that speaks the digits.
    Call,
    /// A mail.
    Email,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Channel; 4] = [Channel::Sms, Channel::Whatsapp, Channel::Call, Channel::Email];

    /// The name as it appears outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Sms => "sms",
            Channel::Whatsapp => "whatsapp",
            Channel::Call => "call",
            Channel::Email => "email",
        }
    }

    /// The channel of that name.
    pub fn parse(name: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.as_str() == name)
    }

    /// Whether it reaches this kind of destination.
    pub fn reaches(self, destination: &Destination) -> bool {
        destination.is_phone() == (self != Channel::Email)
    }

    /// What is used when the caller names none.
    pub fn usual(destination: &Destination) -> Channel {
        if destination.is_phone() { Channel::Sms } else { Channel::Email }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Where a verification stands. The first three are stored, the others follow from the time and the count of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for its code.
    Pending,
    /// The right code came, once.
    Approved,
    /// Called off.
    Canceled,
    /// Its time ran out.
    Expired,
    /// Its checks ran out.
    Exhausted,
}

impl Status {
    /// The name as it appears outside and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Approved => "approved",
            Status::Canceled => "canceled",
            Status::Expired => "expired",
            Status::Exhausted => "exhausted",
        }
    }

    /// The stored status of that name. Expired and exhausted are never stored.
    pub fn parse_stored(name: &str) -> Option<Status> {
        [Status::Pending, Status::Approved, Status::Canceled].into_iter().find(|status| status.as_str() == name)
    }
}

/// How far the newest message got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Waits to be handed to a provider; handed over after a restart too.
    Queued,
    /// A provider took it.
    Sent,
    /// It arrived: a receipt says so.
    Delivered,
    /// No provider took it, or a receipt says that it never arrived. The wait before a resend is lifted.
    Failed,
}

impl Delivery {
    /// The name as it appears outside and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::Queued => "queued",
            Delivery::Sent => "sent",
            Delivery::Delivered => "delivered",
            Delivery::Failed => "failed",
        }
    }

    /// The delivery of that name.
    pub fn parse(name: &str) -> Option<Delivery> {
        let all = [Delivery::Queued, Delivery::Sent, Delivery::Delivered, Delivery::Failed];
        all.into_iter().find(|delivery| delivery.as_str() == name)
    }

    /// Whether it may still become `next`: states only move forward, however late, often or disordered receipts come (OPS-04).
    /// That it arrived outdoes that it failed: who gave up on a silent provider, or on one of two phones, may be mistaken.
    pub fn may_become(self, next: Delivery) -> bool {
        let rank = |delivery| match delivery {
            Delivery::Queued => 0,
            Delivery::Sent => 1,
            Delivery::Failed => 2,
            Delivery::Delivered => 3,
        };
        rank(self) < rank(next)
    }
}

/// Who made the code, and so who can make it again and who judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeBy {
    /// This server: derived, so it can be sent again, and compared here.
    Server,
    /// The caller: compared here, but not kept.
    Caller,
    /// The provider: never seen here, and the provider is asked.
    Provider,
}

impl CodeBy {
    /// The name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            CodeBy::Server => "server",
            CodeBy::Caller => "caller",
            CodeBy::Provider => "provider",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<CodeBy> {
        [CodeBy::Server, CodeBy::Caller, CodeBy::Provider].into_iter().find(|by| by.as_str() == name)
    }
}

/// The caller's own notes: at most 20 pairs.
pub type Metadata = BTreeMap<String, String>;

/// One code sent to prove a destination, from start to its end.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Its id.
    pub id: VerificationId,
    /// The service that it belongs to; nobody else sees it (OPS-07).
    pub service: Arc<str>,
    /// What the code is good for ("login"); a code of one purpose is worth nothing for another (OTP-05).
    pub purpose: Arc<str>,
    /// Where it goes.
    pub destination: Destination,
    /// How it travels.
    pub channel: Channel,
    /// The person whom the caller has already authenticated, in the caller's words.
    pub subject: Option<Arc<str>>,
    /// Language of the message (BCP 47).
    pub locale: Arc<str>,
    /// The stored status; see [`Verification::status_at`].
    pub status: Status,
    /// One more with every transition: the number of its newest event.
    pub revision: u32,
    /// 0 for the first code, one more for every new one.
    pub generation: u32,
    /// Messages so far.
    pub sends: u32,
    /// Checks so far. No resend makes it fewer (OTP-06).
    pub attempts: u32,
    /// Checks at most (ATT-01).
    pub max_attempts: u32,
    /// Random bytes that codes are derived from. Never leaves the server.
    pub seed: [u8; SEED_BYTES],
    /// The pepper in use when the code was made.
    pub pepper_id: u32,
    /// What the code is compared with.
    pub tag: Tag,
    /// Who made the code.
    pub code_by: CodeBy,
    /// Bucket of wrong codes in a row: the subject's, or else the destination's.
    pub failures_key: BucketKey,
    /// When it began.
    pub created_at: Timestamp,
    /// When the newest message was queued, which is when it took from its limits.
    pub queued_at: Timestamp,
    /// When the newest code dies.
    pub expires_at: Timestamp,
    /// When it was approved or canceled.
    pub ended_at: Option<Timestamp>,
    /// How far the newest message got.
    pub delivery: Delivery,
    /// The provider that took it, and the provider's reference.
    pub delivered_by: Option<(String, String)>,
    /// The caller's own notes.
    pub metadata: Metadata,
    /// Where replicas share the store and the message is queued: which of them is to hand it over. Known of what was just
    /// queued or taken over.
    pub queued_by: Option<Uuid>,
}

impl Verification {
    /// Where it stands at that time. A code is dead from `expires_at` on.
    pub fn status_at(&self, now: Timestamp) -> Status {
        match self.status {
            Status::Pending if now >= self.expires_at => Status::Expired,
            Status::Pending if self.attempts >= self.max_attempts => Status::Exhausted,
            status => status,
        }
    }

    /// Checks that remain; none once it ended.
    pub fn attempts_left(&self, now: Timestamp) -> u32 {
        match self.status_at(now) {
            Status::Pending => self.max_attempts.saturating_sub(self.attempts),
            _ => 0,
        }
    }

    /// Another message is queued: what became of the last one is history. A provider that made the code is still the one to ask.
    pub fn forget_delivery(&mut self) {
        if self.code_by != CodeBy::Provider {
            self.delivered_by = None;
        }
    }

    /// The bucket of messages that this one counts in: its destination's within the service, or its subject's own, which a
    /// stranger who knows the destination cannot use up (ATT-08, A47).
    pub fn sends_key(&self) -> BucketKey {
        sends_key(&self.service, &self.destination, self.subject.as_deref())
    }

    /// The bucket of messages from all services that this one counts in.
    pub fn all_services_key(&self) -> BucketKey {
        all_services_key(&self.destination, self.subject.as_deref())
    }

    /// What its codes are bound to.
    pub fn code_context(&self) -> CodeContext<'_> {
        CodeContext {
            service: &self.service,
            verification: self.id.as_bytes(),
            purpose: &self.purpose,
            destination: self.destination.canonical(),
            generation: self.generation,
        }
    }
}

/// See [`Verification::sends_key`].
pub fn sends_key(service: &str, destination: &Destination, subject: Option<&str>) -> BucketKey {
    LimitName::Destination.key(&[service.as_bytes(), &destination.key(), subject.unwrap_or_default().as_bytes()])
}

/// See [`Verification::all_services_key`]. Strangers cannot use up the share of people whom some caller has authenticated.
pub fn all_services_key(destination: &Destination, subject: Option<&str>) -> BucketKey {
    LimitName::DestinationAllServices.key(&[&destination.key(), &[u8::from(subject.is_some())]])
}

/// The bucket of wrong codes in a row: the subject's, where the caller has authenticated one, or else the destination's.
pub fn failures_key(service: &str, destination: &Destination, subject: Option<&str>) -> BucketKey {
    LimitName::Failures.key(&[service.as_bytes(), &destination.key(), subject.unwrap_or_default().as_bytes()])
}

/// What happened to a verification: the audit log and the timeline are the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum EventKind {
    /// It began, and its first message was queued.
    #[serde(rename = "verification.started")]
    Started,
    /// Another message was queued.
    #[serde(rename = "verification.resent")]
    Resent,
    /// A provider took the message.
    #[serde(rename = "verification.sent")]
    Sent,
    /// A receipt says that the message arrived.
    #[serde(rename = "verification.delivered")]
    Delivered,
    /// No provider took the message, or a receipt says that it never arrived.
    #[serde(rename = "verification.delivery_failed")]
    DeliveryFailed,
    /// A check was counted. What follows it, if anything, says that it was right.
    #[serde(rename = "verification.checked")]
    Checked,
    /// The right code came.
    #[serde(rename = "verification.approved")]
    Approved,
    /// It was called off.
    #[serde(rename = "verification.canceled")]
    Canceled,
    /// Failures of a destination or subject were forgiven.
    #[serde(rename = "failures.released")]
    FailuresReleased,
    /// An API key was made.
    #[serde(rename = "client.created")]
    ClientCreated,
    /// An API key was revoked.
    #[serde(rename = "client.revoked")]
    ClientRevoked,
}

impl EventKind {
    /// Every kind: a test holds the names of rows and of JSON together.
    pub const ALL: [EventKind; 11] = [
        EventKind::Started,
        EventKind::Resent,
        EventKind::Sent,
        EventKind::Delivered,
        EventKind::DeliveryFailed,
        EventKind::Checked,
        EventKind::Approved,
        EventKind::Canceled,
        EventKind::FailuresReleased,
        EventKind::ClientCreated,
        EventKind::ClientRevoked,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Started => "verification.started",
            EventKind::Resent => "verification.resent",
            EventKind::Sent => "verification.sent",
            EventKind::Delivered => "verification.delivered",
            EventKind::DeliveryFailed => "verification.delivery_failed",
            EventKind::Checked => "verification.checked",
            EventKind::Approved => "verification.approved",
            EventKind::Canceled => "verification.canceled",
            EventKind::FailuresReleased => "failures.released",
            EventKind::ClientCreated => "client.created",
            EventKind::ClientRevoked => "client.revoked",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One entry of the audit log (LOG-01). Holds no code and no address (LOG-02).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about: a verification or a client.
    pub about: Uuid,
    /// Its place in the history of that.
    pub revision: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// Who and from where.
    pub origin: Origin,
    /// More, in a few plain words: a provider, a cause.
    pub detail: Option<String>,
}

/// Who asked, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client whose key was used; none on public routes.
    pub client: Option<Uuid>,
    /// The end user's address: the peer's on public routes, what the client passed on the native API.
    pub ip: Option<std::net::IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_rows_and_in_json_are_the_same() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("json"), kind.as_str());
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        }
        for channel in Channel::ALL {
            assert_eq!(serde_json::to_value(channel).expect("json"), channel.as_str());
            assert_eq!(Channel::parse(channel.as_str()), Some(channel));
        }
    }
}
