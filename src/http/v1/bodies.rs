//! The bodies of the native API.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::secret::Code;
use crate::verification::model::{Channel, Delivery, Event, EventKind, Metadata, Status};
use crate::verification::store::{Checked, Snapshot};

/// Send a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    /// A phone number (E.164, or a national spelling where the service has a default region) or a mail address.
    #[schema(example = "+4915112345678", min_length = 1, max_length = 254, format = "destination")]
    pub to: String,
    /// How the code travels. Left out: `sms` to a number, `email` to an address.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub channel: Option<Channel>,
    /// What the code is good for. A code of one purpose is worth nothing for another. Left out: `default`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "login", pattern = "^[a-z0-9._-]{1,32}$")]
    pub purpose: Option<String>,
    /// Language of the message (BCP 47). Left out: the service's.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "en", max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
    pub locale: Option<String>,
    /// Your own code, where the service allows it (`custom_code`).
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, pattern = "^[0-9]{6,10}$")]
    pub code: Option<CodeText>,
    /// The end user's address, for the limits per address. Never your own server's.
    #[serde(default, deserialize_with = "address")]
    #[schema(nullable = false, value_type = String, format = "ip", example = "203.0.113.9")]
    pub ip: Option<IpAddr>,
    /// The person whom you have already authenticated (an account's id): gives them limits of their own, which no stranger
    /// who knows the destination can use up.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    pub subject: Option<String>,
    /// Answer only once it is known what became of the message (`delivery`, `message_id`), or after 12 s. Left out: at once.
    #[serde(default)]
    #[schema(default = false)]
    pub wait: bool,
    /// Your own notes, at most 20 pairs; given back with the verification.
    #[serde(default, deserialize_with = "unique_metadata")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: Metadata,
}

/// Check a code of a verification whose id you kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// What the person typed: digits only.
    #[schema(value_type = String, example = "123456", pattern = "^[0-9]{6,10}$")]
    pub code: CodeText,
    /// The end user's address, for the limits per address.
    #[serde(default, deserialize_with = "address")]
    #[schema(nullable = false, value_type = String, format = "ip", example = "203.0.113.9")]
    pub ip: Option<IpAddr>,
}

/// Check a code of the newest pending verification to a destination.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckDestinationBody {
    /// Any spelling of the destination.
    #[schema(example = "+4915112345678", min_length = 1, max_length = 254, format = "destination")]
    pub to: String,
    /// What the code is good for. Left out: `default`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, pattern = "^[a-z0-9._-]{1,32}$")]
    pub purpose: Option<String>,
    /// What the person typed: digits only.
    #[schema(value_type = String, example = "123456", pattern = "^[0-9]{6,10}$")]
    pub code: CodeText,
    /// The end user's address, for the limits per address.
    #[serde(default, deserialize_with = "address")]
    #[schema(nullable = false, value_type = String, format = "ip", example = "203.0.113.9")]
    pub ip: Option<IpAddr>,
}

/// Send again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResendBody {
    /// Another channel than before.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub channel: Option<Channel>,
    /// Your own code again, where the verification began with one: it is not kept.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = String, pattern = "^[0-9]{6,10}$")]
    pub code: Option<CodeText>,
    /// The end user's address, for the limits per address.
    #[serde(default, deserialize_with = "address")]
    #[schema(nullable = false, value_type = String, format = "ip", example = "203.0.113.9")]
    pub ip: Option<IpAddr>,
    /// Answer only once it is known what became of the message, or after 12 s. Left out: at once.
    #[serde(default)]
    #[schema(default = false)]
    pub wait: bool,
}

/// Forgive the wrong codes of a destination, or of a subject at a destination.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    /// Any spelling of the destination.
    #[schema(example = "+4915112345678", min_length = 1, max_length = 254, format = "destination")]
    pub to: String,
    /// The subject that the verifications were started with, beside the destination. Left out: the destination's own wrong codes.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    pub subject: Option<String>,
}

/// A verification.
#[derive(Serialize, ToSchema)]
#[schema(as = Verification)]
pub struct VerificationBody {
    /// Its id: keep it for the check.
    pub id: Uuid,
    /// The destination, masked.
    #[schema(example = "+49*********78")]
    pub to: String,
    /// How the newest message travels.
    pub channel: Channel,
    /// What the code is good for.
    #[schema(value_type = String, example = "default")]
    pub purpose: Arc<str>,
    /// Where it stands.
    pub status: Status,
    /// When it began (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// From then on the newest code is dead.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// From then on a resend can pass the destination's limits.
    #[schema(format = DateTime)]
    pub resend_after: String,
    /// Checks that remain; a resend does not renew them.
    #[schema(example = 5)]
    pub attempts_left: u32,
    /// Messages that the destination's tightest limit still has room for.
    #[schema(example = 4)]
    pub sends_left: u32,
    /// How far the newest message got.
    pub delivery: Delivery,
    /// The provider that took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "twilio")]
    pub provider: Option<String>,
    /// The provider's own name for the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "SM0123456789abcdef0123456789abcdef")]
    pub message_id: Option<String>,
    /// Your own notes.
    pub metadata: BTreeMap<String, String>,
}

/// A verification and what happened to it.
#[derive(Serialize, ToSchema)]
#[schema(as = VerificationWithTimeline)]
pub struct TimelineBody {
    /// The verification.
    #[serde(flatten)]
    pub verification: VerificationBody,
    /// What happened, oldest first.
    pub timeline: Vec<EventBody>,
}

/// Something that happened to a verification.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub at: String,
    /// What.
    pub event: EventKind,
    /// The client whose key was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Uuid>,
    /// The end user's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The provider, or a cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The answer to a check.
#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
pub struct CheckedBody {
    /// The verification.
    pub id: Uuid,
    /// Where it stands now.
    pub status: Status,
    /// Whether this very check approved it. True once, ever.
    pub valid: bool,
    /// Checks that remain.
    #[schema(example = 4)]
    pub attempts_left: u32,
}

/// A page of verifications.
#[derive(Serialize, ToSchema)]
#[schema(as = VerificationList)]
pub struct ListBody {
    /// Newest first.
    pub data: Vec<VerificationBody>,
    /// Pass it as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_before: Option<Uuid>,
}

/// The answer to a release.
#[derive(Serialize, ToSchema)]
#[schema(as = Release)]
pub struct ReleasedBody {
    /// Whether there was anything to forgive.
    pub released: bool,
}

impl From<Snapshot> for VerificationBody {
    fn from(snapshot: Snapshot) -> VerificationBody {
        let (provider, message_id) = snapshot.delivered_by.unzip();
        VerificationBody {
            id: snapshot.id,
            to: snapshot.to,
            channel: snapshot.channel,
            purpose: snapshot.purpose,
            status: snapshot.status,
            created_at: snapshot.created_at.to_string(),
            expires_at: snapshot.expires_at.to_string(),
            resend_after: snapshot.resend_after.to_string(),
            attempts_left: snapshot.attempts_left,
            sends_left: snapshot.sends_left,
            delivery: snapshot.delivery,
            provider,
            message_id,
            metadata: snapshot.metadata,
        }
    }
}

impl From<Event> for EventBody {
    fn from(event: Event) -> EventBody {
        EventBody {
            at: event.at.to_string(),
            event: event.kind,
            client: event.origin.client,
            ip: event.origin.ip.map(|ip| ip.to_string()),
            detail: event.detail,
        }
    }
}

impl From<Checked> for CheckedBody {
    fn from(checked: Checked) -> CheckedBody {
        CheckedBody { id: checked.id, status: checked.status, valid: checked.valid, attempts_left: checked.attempts_left }
    }
}

/// A code in a body: parsed at once, and never printed.
pub struct CodeText(pub Code);

impl<'de> Deserialize<'de> for CodeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CodeText, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        Code::parse(&text).map(CodeText).map_err(de::Error::custom)
    }
}

/// `null` is no way to leave a field out (INP-01).
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// An IP address, refused in words of ours.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|_| de::Error::custom("must be an IPv4 or IPv6 address"))
}

/// A map would keep the last of two equal names; here the second is refused.
fn unique_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Metadata, D::Error> {
    struct Unique;

    impl<'de> Visitor<'de> for Unique {
        type Value = Metadata;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
            let mut metadata = Metadata::new();
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                if metadata.insert(name, value).is_some() {
                    return Err(de::Error::custom("has a name twice"));
                }
            }
            Ok(metadata)
        }
    }

    deserializer.deserialize_map(Unique)
}
