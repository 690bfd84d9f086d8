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
use crate::verification::store::redis::packed::Packed;
use crate::verification::store::redis::reply::{Reply, unreadable};
use crate::verification::store::{Snapshot, StoreError};

/// The name of an id in keys: in its order of time.
pub fn id_text(id: VerificationId) -> String {
    id.simple().to_string()
}

/// The list that a listing of a destination reads.
pub fn index_key(service: &str, destination: &[u8; 16]) -> [u8; 16] {
    LimitName::Destination.key(&[service.as_bytes(), destination])
}

/// A new verification: its id, then what transitions change, what they do not and its secrets, each in the order of `rows.lua`.
pub fn add_row(arguments: Packed, row: &Verification) -> Result<Packed, StoreError> {
    let (provider, reference) = row.delivered_by.as_ref().map(|(provider, reference)| (provider, reference)).unzip();
    let state = Packed::new()
        .add(row.status.as_str())
        .number(row.revision.into())
        .number(row.generation.into())
        .number(row.sends.into())
        .number(row.attempts.into())
        .add(row.channel.as_str())
        .number(row.pepper_id.into())
        .number(row.queued_at.0)
        .number(row.expires_at.0)
        .maybe_number(row.ended_at.map(|at| at.0))
        .add(row.delivery.as_str())
        .maybe(provider)
        .maybe(reference);
    let destination = row.destination.key();
    let holder = (row.code_by == CodeBy::Provider).then(|| hex::digits(&holder_key(row)));
    let metadata = (!row.metadata.is_empty()).then(|| serde_json::to_string(&row.metadata)).transpose().map_err(database)?;
    let fixed = Packed::new()
        .add(row.service.as_bytes())
        .add(row.purpose.as_bytes())
        .maybe(row.subject.as_deref())
        .add(row.code_by.as_str())
        .number(row.max_attempts.into())
        .number(row.created_at.0)
        .key(&row.failures_key)
        .key(&row.sends_key())
        .key(&row.all_services_key())
        .key(&pending_key(&row.service, &row.purpose, &destination))
        .key(&index_key(&row.service, &destination))
        .maybe(holder)
        .add(row.destination.canonical())
        .maybe(row.destination.country().map(|country| country.as_str().to_owned()))
        .add(row.locale.as_bytes())
        .maybe(metadata);
    let secret = Packed::new().add(row.seed).add(row.tag.0);
    Ok(arguments.add(id_text(row.id)).add(state).add(fixed).add(secret))
}

/// A verification, as `shown` in `rows.lua` gives it.
pub fn row(mut reply: Reply) -> Result<Verification, StoreError> {
    let id = Uuid::from_bytes(reply.key()?);
    let (mut state, mut fixed, mut secret) = (reply.packed()?, reply.packed()?, reply.packed()?);
    let status = state.named(Status::parse_stored)?;
    let (revision, generation, sends, attempts) = (state.number()?, state.number()?, state.number()?, state.number()?);
    let (channel, pepper_id) = (state.named(Channel::parse)?, state.number()?);
    let (queued_at, expires_at) = (Timestamp(state.number()?), Timestamp(state.number()?));
    let (ended_at, delivery) = (state.maybe_number()?.map(Timestamp), state.named(Delivery::parse)?);
    let delivered_by = state.text()?.zip(state.text()?);
    let (service, purpose) = (fixed.needed()?.into(), fixed.needed()?.into());
    let (subject, code_by) = (fixed.text()?.map(Into::into), fixed.named(CodeBy::parse)?);
    let (max_attempts, created_at, failures_key) = (fixed.number()?, Timestamp(fixed.number()?), fixed.key()?);
    // Five names of keys.
    fixed.skip(5);
    let (canonical, country, locale) = (fixed.needed()?, fixed.text()?, fixed.needed()?.into());
    Ok(Verification {
        id,
        service,
        purpose,
        destination: Destination::from_canonical(canonical, country.as_deref().and_then(Country::parse)),
        channel,
        subject,
        locale,
        status,
        revision,
        generation,
        sends,
        attempts,
        max_attempts,
        // What a snapshot is made of comes without secrets.
        seed: secret.fixed()?.unwrap_or_default(),
        pepper_id,
        tag: Tag(secret.fixed()?.unwrap_or_default()),
        code_by,
        failures_key,
        created_at,
        queued_at,
        expires_at,
        ended_at,
        delivery,
        delivered_by,
        queued_by: None,
        metadata: match fixed.text()? {
            Some(json) => serde_json::from_str::<Metadata>(&json).map_err(database)?,
            None => Metadata::new(),
        },
    })
}

/// A verification, and the bucket of its messages.
pub fn row_and_bucket(mut reply: Reply) -> Result<(Verification, Bucket), StoreError> {
    let row = row(reply.list()?)?;
    let mut values = reply.packed()?;
    // Redis forgets buckets by itself.
    let mut bucket = Bucket::default();
    if !values.is_empty() {
        let mut times = values.list()?;
        while !times.is_empty() {
            bucket.values.push(times.number()?);
        }
    }
    Ok((row, bucket))
}

/// What a message was queued as, and what its caller is told: `sending_answer` in `claims.lua`.
pub fn sending(mut reply: Reply) -> Result<(Verification, Snapshot), StoreError> {
    let row = row(reply.list()?)?;
    let (left, wait) = (reply.number()?, Duration::from_micros(reply.number()?));
    let snapshot = Snapshot::with(&row, (left, wait), Timestamp(reply.number()?));
    Ok((row, snapshot))
}

/// Adds who asked.
pub fn add_origin(arguments: Packed, origin: &Origin) -> Packed {
    let client = origin.client.map(|client| client.simple().to_string());
    arguments.list(2).maybe(client).maybe(origin.ip.map(|ip| ip.to_string()))
}

/// An event that no script makes, as `event` in `rows.lua` makes the others.
pub fn packed_event(event: &Event) -> Packed {
    let client = event.origin.client.map(|client| client.simple().to_string());
    let ip = event.origin.ip.map(|ip| ip.to_string());
    Packed::new().number(event.at.0).add(event.kind.as_str()).maybe(client).maybe(ip).maybe(event.detail.as_deref())
}

/// An event of the timeline.
pub fn event(about: Uuid, revision: u32, packed: &[u8]) -> Result<Event, StoreError> {
    let mut reply = Reply::unpacked(packed)?;
    let (at, kind) = (Timestamp(reply.number()?), reply.named(EventKind::parse)?);
    let (client, ip, detail) = (reply.text()?, reply.text()?, reply.text()?);
    let client = client.map(|client| client.parse::<Uuid>()).transpose().map_err(|_| unreadable("a client"))?;
    let ip = ip.map(|ip| ip.parse::<IpAddr>()).transpose().map_err(|_| unreadable("an address"))?;
    Ok(Event { about, revision, at, kind, origin: Origin { client, ip }, detail })
}
