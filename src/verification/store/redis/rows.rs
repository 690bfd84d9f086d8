//! Verifications and events, as scripts take and give them.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::hex;
use crate::secret::Tag;
use crate::verification::destination::{Country, Destination};
use crate::verification::limit::{Bucket, LimitName};
use crate::verification::model::{Channel, CodeBy, Delivery, Event, EventKind, Metadata, Origin, Status, Verification, VerificationId};
use crate::verification::store::ledger::database;
use crate::verification::store::pending::{holder_key, pending_key};
use crate::verification::store::redis::reply::{Reply, unreadable};
use crate::verification::store::redis::script::Call;
use crate::verification::store::{Snapshot, StoreError};

/// The name of an id in keys: in its order of time.
pub fn id_text(id: VerificationId) -> String {
    id.simple().to_string()
}

/// The list that a listing of a destination reads.
pub fn index_key(service: &str, destination: &[u8; 16]) -> [u8; 16] {
    LimitName::Destination.key(&[service.as_bytes(), destination])
}

/// Adds a new verification, field by field in the order of `rows.lua`.
pub fn add_row(call: Call, row: &Verification) -> Result<Call, StoreError> {
    let destination = row.destination.key();
    let metadata = if row.metadata.is_empty() { String::new() } else { serde_json::to_string(&row.metadata).map_err(database)? };
    let (provider, reference) = row.delivered_by.clone().unwrap_or_default();
    let holder = if row.code_by == CodeBy::Provider { hex::digits(&holder_key(row)) } else { String::new() };
    Ok(call
        .add(row.service.as_bytes())
        .add(row.purpose.as_bytes())
        .add(row.destination.canonical())
        .add(row.destination.country().map(|country| country.as_str().to_owned()).unwrap_or_default())
        .add(row.channel.as_str())
        .add(row.subject.as_deref().unwrap_or_default())
        .add(row.locale.as_bytes())
        .add(row.status.as_str())
        .number(row.revision.into())
        .number(row.generation.into())
        .number(row.sends.into())
        .number(row.attempts.into())
        .number(row.max_attempts.into())
        .add(row.seed)
        .number(row.pepper_id.into())
        .add(row.tag.0)
        .add(row.code_by.as_str())
        .key(&row.failures_key)
        .number(row.created_at.0)
        .number(row.queued_at.0)
        .number(row.expires_at.0)
        .add(row.ended_at.map(|at| at.0.to_string()).unwrap_or_default())
        .add(row.delivery.as_str())
        .add(provider)
        .add(reference)
        .add(metadata)
        .key(&row.sends_key())
        .key(&pending_key(&row.service, &row.purpose, &destination))
        .key(&index_key(&row.service, &destination))
        .add(holder)
        .key(&row.all_services_key()))
}

/// A verification, as `shown` in `rows.lua` gives it.
pub fn row(mut reply: Reply) -> Result<Verification, StoreError> {
    fn fixed<const LENGTH: usize>(bytes: Option<Vec<u8>>) -> Result<[u8; LENGTH], StoreError> {
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        // What a snapshot is made of comes without them.
        bytes.map_or(Ok([0; LENGTH]), |bytes| bytes.try_into().map_err(|_| unreadable("a seed or a tag")))
    }
    let id = Uuid::from_bytes(reply.key()?);
    let (service, purpose) = (reply.needed()?.into(), reply.needed()?.into());
    let (canonical, country) = (reply.needed()?, reply.text()?);
    Ok(Verification {
        id,
        service,
        purpose,
        destination: Destination::from_canonical(canonical, country.as_deref().and_then(Country::parse)),
        channel: reply.named(Channel::parse)?,
        subject: reply.text()?.map(Into::into),
        locale: reply.text()?.unwrap_or_default().into(),
        status: reply.named(Status::parse_stored)?,
        revision: reply.number()?,
        generation: reply.number()?,
        sends: reply.number()?,
        attempts: reply.number()?,
        max_attempts: reply.number()?,
        seed: fixed(reply.bytes()?)?,
        pepper_id: reply.number()?,
        tag: Tag(fixed(reply.bytes()?)?),
        code_by: reply.named(CodeBy::parse)?,
        failures_key: reply.key()?,
        created_at: Timestamp(reply.number()?),
        queued_at: Timestamp(reply.number()?),
        expires_at: Timestamp(reply.number()?),
        ended_at: reply.text()?.map(|at| at.parse().map(Timestamp)).transpose().map_err(|_| unreadable("an end"))?,
        delivery: reply.named(Delivery::parse)?,
        delivered_by: reply.text()?.zip(reply.text()?),
        queued_by: None,
        metadata: match reply.text()? {
            Some(json) => serde_json::from_str::<Metadata>(&json).map_err(database)?,
            None => Metadata::new(),
        },
    })
}

/// A verification, and the bucket of its messages.
pub fn row_and_bucket(mut reply: Reply) -> Result<(Verification, Bucket), StoreError> {
    let row = row(reply.list()?)?;
    let text = reply.text()?.unwrap_or_default();
    let values = text.split(',').filter(|value| !value.is_empty()).map(str::parse);
    // Redis forgets buckets by itself.
    let bucket = Bucket { values: values.collect::<Result<_, _>>().map_err(|_| unreadable("a bucket"))?, ..Bucket::default() };
    Ok((row, bucket))
}

/// What a message was queued as, and what its caller is told: `sending_answer` in `claims.lua`.
pub fn sending(mut reply: Reply) -> Result<(Verification, Snapshot), StoreError> {
    let row = row(reply.list()?)?;
    let (left, wait) = (reply.number()?, Duration::from_micros(reply.number()?));
    let snapshot = Snapshot::with(&row, (left, wait), Timestamp(reply.number()?));
    Ok((row, snapshot))
}

/// Who asked, as it stands in events.
pub fn origin_text(origin: &Origin) -> String {
    let client = origin.client.map(|client| client.simple().to_string()).unwrap_or_default();
    format!("{client}|{}", origin.ip.map(|ip| ip.to_string()).unwrap_or_default())
}

/// An event that no script makes.
pub fn event_text(event: &Event) -> String {
    let start = format!("{}|{}|{}|{}", event.revision, event.at.0, event.kind.as_str(), origin_text(&event.origin));
    event.detail.as_ref().map_or_else(|| start.clone(), |detail| format!("{start}|{detail}"))
}

/// An event of the timeline.
pub fn event(about: Uuid, text: &str) -> Result<Event, StoreError> {
    let mut parts = text.splitn(6, '|');
    let mut part = || parts.next();
    let (revision, at, kind) = (part(), part(), part());
    let (client, ip, detail) = (part().unwrap_or_default(), part().unwrap_or_default(), part());
    let known = || {
        Some(Event {
            about,
            revision: revision?.parse().ok()?,
            at: Timestamp(at?.parse().ok()?),
            kind: EventKind::parse(kind?)?,
            origin: Origin { client: client.parse::<Uuid>().ok(), ip: ip.parse::<IpAddr>().ok() },
            detail: detail.map(str::to_owned),
        })
    };
    known().ok_or_else(|| unreadable("an event"))
}
