//! Rows as the database holds them: what is written, as JSON, and what is read.

use std::str::FromStr;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::hex;
use crate::secret::Tag;
use crate::verification::destination::{Country, Destination};
use crate::verification::limit::{Bucket, BucketKey, LimitName};
use crate::verification::model::{Channel, CodeBy, Delivery, Event, EventKind, Metadata, Origin, Status, Verification};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::{IdempotencyRow, database};
use crate::verification::store::pending::{Holder, pending_key};

/// A value in the database that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("column {0} holds what this version cannot read")]
pub struct Unreadable(&'static str);

/// A verification, whole.
#[derive(Serialize)]
pub struct VerificationRecord<'v> {
    service: &'v str,
    purpose: &'v str,
    destination: &'v str,
    country: Option<String>,
    subject: Option<&'v str>,
    locale: &'v str,
    max_attempts: u32,
    seed: String,
    code_by: &'v str,
    created_at: i64,
    metadata: Option<String>,
    failures_key: String,
    sends_key: String,
    list_key: String,
    #[serde(flatten)]
    state: StateRecord<'v>,
}

/// What of a verification changes.
#[derive(Serialize)]
pub struct StateRecord<'v> {
    id: Uuid,
    channel: &'v str,
    status: &'v str,
    revision: u32,
    generation: u32,
    sends: u32,
    attempts: u32,
    pepper_id: u32,
    tag: String,
    queued_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    delivery: &'v str,
    provider: Option<&'v str>,
    reference: Option<&'v str>,
    pending_key: Option<String>,
    queued_by: Option<&'v str>,
}

impl<'v> VerificationRecord<'v> {
    /// The row of a new verification.
    pub fn new(row: &'v Verification, queued_by: Option<&'v str>) -> Result<VerificationRecord<'v>, StoreError> {
        Ok(VerificationRecord {
            service: &row.service,
            purpose: &row.purpose,
            destination: row.destination.canonical(),
            country: row.destination.country().map(|country| country.as_str().to_owned()),
            subject: row.subject.as_deref(),
            locale: &row.locale,
            max_attempts: row.max_attempts,
            seed: hex::digits(&row.seed),
            code_by: row.code_by.as_str(),
            created_at: row.created_at.0,
            metadata: if row.metadata.is_empty() { None } else { Some(json(&row.metadata)?) },
            failures_key: hex::digits(&row.failures_key),
            sends_key: hex::digits(&row.sends_key()),
            list_key: list_key(&row.service, &row.destination.key()),
            state: StateRecord::new(row, queued_by),
        })
    }
}

impl<'v> StateRecord<'v> {
    /// The state of a verification.
    pub fn new(row: &'v Verification, queued_by: Option<&'v str>) -> StateRecord<'v> {
        let pending = || hex::digits(&pending_key(&row.service, &row.purpose, &row.destination.key()));
        let (provider, reference) = row.delivered_by.as_ref().map(|(provider, reference)| (provider.as_str(), reference.as_str())).unzip();
        StateRecord {
            id: row.id,
            channel: row.channel.as_str(),
            status: row.status.as_str(),
            revision: row.revision,
            generation: row.generation,
            sends: row.sends,
            attempts: row.attempts,
            pepper_id: row.pepper_id,
            tag: hex::digits(&row.tag.0),
            queued_at: row.queued_at.0,
            expires_at: row.expires_at.0,
            ended_at: row.ended_at.map(|at| at.0),
            delivery: row.delivery.as_str(),
            provider,
            reference,
            pending_key: (row.status == Status::Pending).then(pending),
            queued_by,
        }
    }
}

/// An event.
#[derive(Serialize)]
pub struct EventRecord<'e> {
    about: Uuid,
    revision: u32,
    at: i64,
    kind: &'e str,
    client: Option<Uuid>,
    ip: Option<std::net::IpAddr>,
    detail: Option<&'e str>,
}

impl<'e> EventRecord<'e> {
    /// The row of an event.
    pub fn new(event: &'e Event) -> EventRecord<'e> {
        EventRecord {
            about: event.about,
            revision: event.revision,
            at: event.at.0,
            kind: event.kind.as_str(),
            client: event.origin.client,
            ip: event.origin.ip,
            detail: event.detail.as_deref(),
        }
    }
}

/// A bucket.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketRecord {
    bucket_key: String,
    state: String,
    forget_at: i64,
}

impl BucketRecord {
    /// The row of a bucket.
    pub fn new(key: &BucketKey, bucket: &Bucket) -> Result<BucketRecord, StoreError> {
        Ok(BucketRecord { bucket_key: hex::digits(key), state: json(&bucket.values)?, forget_at: bucket.forget_at.0 })
    }
}

/// What is kept for a caller's key.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdempotencyRecord<'r> {
    idempotency_key: String,
    payload: String,
    answer: Option<&'r str>,
    created_at: i64,
}

impl<'r> IdempotencyRecord<'r> {
    /// The row of a key.
    pub fn new(key: &[u8; 32], row: &'r IdempotencyRow) -> IdempotencyRecord<'r> {
        IdempotencyRecord {
            idempotency_key: hex::digits(key),
            payload: hex::digits(&row.payload),
            answer: row.answer.as_deref(),
            created_at: row.created_at.0,
        }
    }
}

/// Whose a provider's reference is.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceRecord {
    reference_key: String,
    verification: Uuid,
    good_for: String,
    expires_at: i64,
    forget_at: i64,
}

impl ReferenceRecord {
    /// The row of a reference.
    pub fn new(key: &BucketKey, holder: &Holder) -> ReferenceRecord {
        ReferenceRecord {
            reference_key: hex::digits(key),
            verification: holder.id,
            good_for: hex::digits(&holder.key),
            expires_at: holder.expires_at.0,
            forget_at: holder.until.0,
        }
    }
}

/// The key under which a verification is listed.
pub fn list_key(service: &str, destination: &[u8; 16]) -> String {
    hex::digits(&LimitName::Destination.key(&[service.as_bytes(), destination]))
}

/// As JSON.
pub fn json(value: &(impl Serialize + ?Sized)) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(database)
}

/// The verification in a row, and the replica that its message waits at.
pub fn verification(row: &AnyRow) -> Result<(Verification, Option<String>), StoreError> {
    let country = optional(row, "country")?.and_then(|country| Country::parse(&country));
    let metadata = match optional(row, "metadata")? {
        Some(json) => serde_json::from_str::<Metadata>(&json).map_err(|_| unreadable("metadata"))?,
        None => Metadata::new(),
    };
    let found = Verification {
        id: id(row, "id")?,
        service: text(row, "service")?.into(),
        purpose: text(row, "purpose")?.into(),
        destination: Destination::from_canonical(text(row, "destination")?, country),
        channel: named(row, "channel", Channel::parse)?,
        subject: optional(row, "subject")?.map(Into::into),
        locale: text(row, "locale")?.into(),
        status: named(row, "status", Status::parse_stored)?,
        revision: count(row, "revision")?,
        generation: count(row, "generation")?,
        sends: count(row, "sends")?,
        attempts: count(row, "attempts")?,
        max_attempts: count(row, "max_attempts")?,
        seed: bytes(row, "seed")?,
        pepper_id: count(row, "pepper_id")?,
        tag: Tag(bytes(row, "tag")?),
        code_by: named(row, "code_by", CodeBy::parse)?,
        failures_key: bytes(row, "failures_key")?,
        created_at: time(row, "created_at")?,
        queued_at: time(row, "queued_at")?,
        expires_at: time(row, "expires_at")?,
        ended_at: row.try_get::<Option<i64>, _>("ended_at").map_err(database)?.map(Timestamp),
        delivery: named(row, "delivery", Delivery::parse)?,
        delivered_by: optional(row, "provider")?.zip(optional(row, "reference")?),
        queued_by: None,
        metadata,
    };
    Ok((found, optional(row, "queued_by")?))
}

/// The event about that in a row.
pub fn event(row: &AnyRow) -> Result<Event, StoreError> {
    let client = optional(row, "client")?.map(|client| parsed(&client, "client")).transpose()?;
    Ok(Event {
        about: id(row, "about")?,
        revision: count(row, "revision")?,
        at: time(row, "at")?,
        kind: named(row, "kind", EventKind::parse)?,
        origin: Origin { client, ip: optional(row, "ip")?.and_then(|ip| ip.parse().ok()) },
        detail: optional(row, "detail")?,
    })
}

/// The bucket in a row, if there is one in it.
pub fn bucket(row: &AnyRow) -> Result<Option<Bucket>, StoreError> {
    let Some(state) = optional(row, "state")? else { return Ok(None) };
    let values = serde_json::from_str(&state).map_err(|_| unreadable("state"))?;
    Ok(Some(Bucket { values, forget_at: time(row, "forget_at")? }))
}

/// What is kept for a key.
pub fn idempotency(row: &AnyRow) -> Result<([u8; 32], IdempotencyRow), StoreError> {
    let kept = IdempotencyRow { payload: bytes(row, "payload")?, answer: optional(row, "answer")?, created_at: time(row, "created_at")? };
    Ok((bytes(row, "idempotency_key")?, kept))
}

/// Whose a reference is.
pub fn reference(row: &AnyRow) -> Result<(BucketKey, Holder), StoreError> {
    let holder = Holder {
        id: id(row, "verification")?,
        key: bytes(row, "good_for")?,
        expires_at: time(row, "expires_at")?,
        until: time(row, "forget_at")?,
    };
    Ok((bytes(row, "reference_key")?, holder))
}

/// An id.
pub fn id(row: &AnyRow, column: &'static str) -> Result<Uuid, StoreError> {
    parsed(&text(row, column)?, column)
}

/// Bytes, of hexadecimal digits.
pub fn bytes<const LENGTH: usize>(row: &AnyRow, column: &'static str) -> Result<[u8; LENGTH], StoreError> {
    hex::bytes(&text(row, column)?).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| unreadable(column))
}

/// Text.
pub fn text(row: &AnyRow, column: &'static str) -> Result<String, StoreError> {
    row.try_get(column).map_err(database)
}

fn optional(row: &AnyRow, column: &'static str) -> Result<Option<String>, StoreError> {
    row.try_get(column).map_err(database)
}

/// A time.
pub fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, StoreError> {
    row.try_get(column).map(Timestamp).map_err(database)
}

fn count(row: &AnyRow, column: &'static str) -> Result<u32, StoreError> {
    let count: i64 = row.try_get(column).map_err(database)?;
    u32::try_from(count).map_err(|_| unreadable(column))
}

fn named<T>(row: &AnyRow, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    parse(&text(row, column)?).ok_or_else(|| unreadable(column))
}

fn parsed<T: FromStr>(text: &str, column: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| unreadable(column))
}

fn unreadable(column: &'static str) -> StoreError {
    database(Unreadable(column))
}
