//! The file of an embedded store that no server has open, for a move: all that it holds, as rows of the tables that servers
//! share (`migrations/*/0003_verifications.sql`), and such rows taken in.
//!
//! What both keep is the same; how they keep it is not. Here a verification stands where its events say, there in a row of its
//! own; here limits lie in journals and shards, there in a row each. The ids, the hashes and the times are the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::journal::BucketJournal;
use super::{OpenError, lock, rows};
use crate::clock::Timestamp;
use crate::db::{self, Synchronous};
use crate::hex;
use crate::verification::buckets::Buckets;
use crate::verification::limit::Bucket;
use crate::verification::model::{Delivery, Status, Verification};
use crate::verification::sharded::SHARDS;
use crate::verification::store::StoreError;
use crate::verification::store::ledger::database;
use crate::verification::store::pending::Holder;
use crate::verification::store::sql::records::{BucketRecord, EventRecord, IdempotencyRecord, ReferenceRecord, VerificationRecord};

/// A row of a shared table: its columns by name.
pub type SharedRow = Map<String, Value>;

/// The shared tables whose rows an embedded store has, too.
pub const SHARED_TABLES: [&str; 5] = ["bucket", "event", "idempotency", "provider_reference", "verification"];

/// Who is said to have queued a message: no replica is called so, and the first that looks sends it.
const NOBODY: Uuid = Uuid::nil();

// Rows come as one JSON array. What is text there and bytes here, an id or a hash, is hexadecimal.
const TAKE_VERIFICATIONS: &str = "INSERT INTO verification (id, service, purpose, destination, country, subject, locale, max_attempts, seed, \
    code_by, failures_key, created_at, metadata, channel, pepper_id, tag, expires_at) \
    SELECT unhex(value ->> 'id', '-'), value ->> 'service', value ->> 'purpose', value ->> 'destination', value ->> 'country', \
    value ->> 'subject', value ->> 'locale', value ->> 'max_attempts', unhex(value ->> 'seed'), value ->> 'code_by', \
    unhex(value ->> 'failures_key'), value ->> 'created_at', value ->> 'metadata', value ->> 'channel', value ->> 'pepper_id', \
    unhex(value ->> 'tag'), value ->> 'expires_at' FROM json_each(?1)";
/// Where a verification stands is what its last event says.
const TAKE_STATES: &str = "UPDATE event SET status = item ->> 'status', generation = item ->> 'generation', sends = item ->> 'sends', \
    attempts = item ->> 'attempts', queued_at = item ->> 'queued_at', ended_at = item ->> 'ended_at', delivery = item ->> 'delivery', \
    provider = item ->> 'provider', reference = item ->> 'reference' \
    FROM (SELECT value AS item, unhex(value ->> 'id', '-') AS id, value ->> 'revision' AS last FROM json_each(?1)) AS taken \
    WHERE event.about = taken.id AND event.revision = taken.last";
const TAKE_INDEX: &str = "INSERT INTO destination_index SELECT unhex(value ->> 'list_key'), unhex(value ->> 'id', '-') FROM json_each(?1)";
const TAKE_EVENTS: &str = "INSERT INTO event (about, revision, at, kind, client, ip, detail) \
    SELECT unhex(value ->> 'about', '-'), value ->> 'revision', value ->> 'at', value ->> 'kind', unhex(value ->> 'client', '-'), \
    value ->> 'ip', value ->> 'detail' FROM json_each(?1)";
const TAKE_IDEMPOTENCY: &str = "INSERT INTO idempotency (key, payload, answer, created_at) \
    SELECT unhex(value ->> 'idempotency_key'), unhex(value ->> 'payload'), value ->> 'answer', value ->> 'created_at' FROM json_each(?1)";

/// A row that is none of these tables', or a verification that came before its events.
#[derive(Debug, thiserror::Error)]
#[error("a row of {0} is not what it should be")]
pub struct Misshapen(String);

/// An embedded store without its server.
pub struct RestingStore {
    connection: Connection,
    buckets: Buckets,
    // Held for as long as rows are read or taken in.
    _lock: File,
}

impl RestingStore {
    /// Opens (or makes) the file, and brings its tables up to date. Refused while a server has it.
    pub fn open(path: &Path, now: Timestamp) -> Result<RestingStore, OpenError> {
        let lock = lock(path)?;
        db::migrate(path)?;
        let connection = db::connect(path, Synchronous::Full)?;
        let (_, mut buckets) = BucketJournal::open(&connection)?;
        for _ in 0..SHARDS {
            buckets.tidy(now);
        }
        Ok(RestingStore { connection, buckets, _lock: lock })
    }

    /// How many rows it has, by table. Providers' references are no rows here: they follow from the verifications.
    pub fn counts(&self) -> Result<BTreeMap<&'static str, u64>, StoreError> {
        let mut counts = BTreeMap::from([("bucket", self.buckets.len() as u64)]);
        for table in ["event", "idempotency", "verification"] {
            let count = self.connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0));
            counts.insert(table, count.map_err(database)?);
        }
        Ok(counts)
    }

    /// Hands out every row with its table; events before the verifications that they are about.
    pub fn read<E: From<StoreError>>(
        &self,
        now: Timestamp,
        mut each: impl FnMut(&'static str, SharedRow) -> Result<(), E>,
    ) -> Result<(), E> {
        for (key, bucket) in (0..SHARDS).flat_map(|shard| self.buckets.shard(shard)) {
            each("bucket", row(&BucketRecord::new(key, bucket)?)?)?;
        }
        rows::all_events(&self.connection, |event| each("event", row(&EventRecord::new(&event))?))?;
        rows::all_idempotency(&self.connection, |key, kept| each("idempotency", row(&IdempotencyRecord::new(&key, &kept))?))?;
        let mut references = BTreeMap::new();
        let nobody = NOBODY.to_string();
        rows::since(&self.connection, Uuid::nil(), |verification| {
            references.extend(Holder::of(&verification).filter(|(_, holder)| holder.until > now));
            let queued_by = is_queued(&verification, now).then_some(nobody.as_str());
            each("verification", row(&VerificationRecord::new(&verification, queued_by)?)?)
        })?;
        references.iter().try_for_each(|(key, holder)| each("provider_reference", row(&ReferenceRecord::new(key, holder))?))
    }

    /// Begins to take rows in. Without [`RestingStore::keep`] it takes none.
    pub fn begin(&self) -> Result<(), StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(database)
    }

    /// Takes rows of a shared table in; events before the verifications that they are about.
    pub fn take(&mut self, table: &str, taken: &[SharedRow]) -> Result<(), StoreError> {
        let misshapen = || database(Misshapen(table.to_owned()));
        let statements: &[&str] = match table {
            "bucket" => {
                for row in taken {
                    let (key, bucket) = bucket(row).ok_or_else(misshapen)?;
                    self.buckets.restore(key, bucket);
                }
                return Ok(());
            }
            "event" => &[TAKE_EVENTS],
            "idempotency" => &[TAKE_IDEMPOTENCY],
            "verification" => &[TAKE_VERIFICATIONS, TAKE_STATES, TAKE_INDEX],
            _ => return Err(misshapen()),
        };
        let json = serde_json::to_string(taken).map_err(database)?;
        for sql in statements {
            let changed = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([&json])).map_err(database)?;
            if changed != taken.len() {
                return Err(misshapen());
            }
        }
        Ok(())
    }

    /// Makes it last.
    pub fn keep(self) -> Result<(), StoreError> {
        BucketJournal::default().write_whole(&self.connection, &self.buckets)?;
        self.connection.execute_batch("COMMIT").map_err(database)
    }
}

/// Whether its message still has to be handed to a provider.
fn is_queued(verification: &Verification, now: Timestamp) -> bool {
    verification.delivery == Delivery::Queued && verification.status_at(now) == Status::Pending
}

fn row(record: &impl Serialize) -> Result<SharedRow, StoreError> {
    match serde_json::to_value(record).map_err(database)? {
        Value::Object(row) => Ok(row),
        _ => Err(database(Misshapen("a record".to_owned()))),
    }
}

fn bucket(row: &SharedRow) -> Option<([u8; 16], Bucket)> {
    let key = hex::bytes(row.get("bucket_key")?.as_str()?)?.try_into().ok()?;
    let values = serde_json::from_str(row.get("state")?.as_str()?).ok()?;
    Some((key, Bucket { values, forget_at: Timestamp(row.get("forget_at")?.as_i64()?) }))
}
