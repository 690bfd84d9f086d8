//! Verifications, events and idempotency keys as SQLite rows.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::secret::Tag;
use crate::verification::destination::{Country, Destination};
use crate::verification::limit::LimitName;
use crate::verification::model::{Channel, Delivery, Event, EventKind, Metadata, Origin, Status, Verification, VerificationId};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::{IdempotencyRow, Rows, database};

/// A verification where it stands: its row, and the newest of its events.
const STANDING: &str = "SELECT id, service, purpose, destination, country, subject, locale, max_attempts, seed, custom_code, \
    failures_key, created_at, metadata, revision, status, channel, generation, sends, attempts, pepper_id, tag, expires_at, ended_at, \
    delivery, provider, reference \
    FROM verification JOIN event ON about = id AND revision = (SELECT MAX(revision) FROM event WHERE about = id)";

/// A value in the database that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds what this version cannot read")]
pub struct Unreadable {
    column: &'static str,
}

/// Rows kept in memory: what is sent and checked is mostly what began a moment ago.
const RECENT: usize = 16_384;

/// The writer's connection, and what it does all the time.
pub struct SqliteRows<'connection> {
    /// In a transaction while the ledger works.
    pub connection: &'connection Connection,
    /// What the index of destinations lacks: key and id, 32 bytes each, of the rows that this batch created.
    pub unindexed: Vec<u8>,
    insert: Statement<'connection>,
    append: Statement<'connection>,
    /// The newest verifications as they stand, and their ids, oldest first.
    recent: HashMap<VerificationId, Verification>,
    recent_ids: VecDeque<VerificationId>,
}

impl SqliteRows<'_> {
    /// Rows over a connection that nobody else writes through.
    pub fn new(connection: &Connection) -> Result<SqliteRows<'_>, StoreError> {
        let insert = connection.prepare("INSERT INTO verification VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)");
        let append = connection.prepare(
            "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        );
        Ok(SqliteRows {
            connection,
            unindexed: Vec::new(),
            insert: insert.map_err(database)?,
            append: append.map_err(database)?,
            recent: HashMap::new(),
            recent_ids: VecDeque::new(),
        })
    }

    /// Forgets what is not in the database: the transaction was undone.
    pub fn undo(&mut self) {
        self.unindexed.clear();
        self.recent.clear();
        self.recent_ids.clear();
    }

    /// Forgets a row that was removed.
    pub fn forget(&mut self, id: VerificationId) {
        self.recent.remove(&id);
    }

    fn remember(&mut self, row: &Verification) {
        match self.recent.entry(row.id) {
            Entry::Occupied(mut recent) => recent.get_mut().clone_from(row),
            // One that is older than what is kept has its place in the database only.
            Entry::Vacant(_) if row.revision > 0 => {}
            Entry::Vacant(place) => {
                place.insert(row.clone());
                self.recent_ids.push_back(row.id);
                if self.recent_ids.len() > RECENT
                    && let Some(oldest) = self.recent_ids.pop_front()
                {
                    self.recent.remove(&oldest);
                }
            }
        }
    }
}

impl Rows for SqliteRows<'_> {
    fn get(&mut self, id: VerificationId) -> Result<Option<Verification>, StoreError> {
        match self.recent.get(&id) {
            Some(row) => Ok(Some(row.clone())),
            None => get(self.connection, id),
        }
    }

    fn insert(&mut self, row: &Verification) -> Result<(), StoreError> {
        self.unindexed.extend_from_slice(&index_key(&row.service, &row.destination.key()));
        self.unindexed.extend_from_slice(row.id.as_bytes());
        let metadata = if row.metadata.is_empty() { None } else { Some(serde_json::to_string(&row.metadata).map_err(database)?) };
        let inserted = self.insert.execute(params![
            row.id.as_bytes(),
            row.service,
            row.purpose,
            row.destination.canonical(),
            row.destination.country().as_ref().map(Country::as_str),
            row.subject,
            row.locale,
            row.max_attempts,
            row.seed,
            row.custom_code,
            row.failures_key,
            row.created_at.0,
            metadata,
        ]);
        inserted.map(drop).map_err(database)
    }

    /// Fails where another process appended first (the lock on the file was circumvented): nothing of the batch may stand.
    fn append(&mut self, row: &Verification, event: &Event) -> Result<(), StoreError> {
        let (provider, reference) = row.delivered_by.as_ref().map(|(provider, reference)| (provider, reference)).unzip();
        let appended = self.append.execute(params![
            event.about.as_bytes(),
            event.revision,
            event.at.0,
            event.kind.as_str(),
            event.origin.client.as_ref().map(Uuid::as_bytes),
            event.origin.ip.map(|ip| ip.to_string()),
            event.detail,
            row.status.as_str(),
            row.channel.as_str(),
            row.generation,
            row.sends,
            row.attempts,
            row.pepper_id,
            row.tag.0,
            row.expires_at.0,
            row.ended_at.map(|at| at.0),
            row.delivery.as_str(),
            provider,
            reference,
        ]);
        appended.map_err(database)?;
        self.remember(row);
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        insert_event(self.connection, event)
    }

    fn idempotency(&mut self, key: &[u8; 32]) -> Result<Option<IdempotencyRow>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT payload, answer, created_at FROM idempotency WHERE key = ?1").map_err(database)?;
        let row = statement
            .query_row([key], |row| Ok(IdempotencyRow { payload: row.get(0)?, answer: row.get(1)?, created_at: Timestamp(row.get(2)?) }));
        row.optional().map_err(database)
    }

    fn keep_idempotency(&mut self, key: &[u8; 32], row: &IdempotencyRow) -> Result<(), StoreError> {
        let mut statement =
            self.connection.prepare_cached("INSERT OR REPLACE INTO idempotency VALUES (?1, ?2, ?3, ?4)").map_err(database)?;
        statement.execute(params![key, row.payload, row.answer, row.created_at.0]).map(drop).map_err(database)
    }
}

/// The key under which the index of destinations lists a row.
pub fn index_key(service: &str, destination: &[u8; 16]) -> [u8; 16] {
    LimitName::Destination.key(&[service.as_bytes(), destination])
}

/// Adds an entry to the audit log.
pub fn insert_event(connection: &Connection, event: &Event) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO event (about, revision, at, kind, client, ip, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
        .map_err(database)?;
    let inserted = statement.execute(params![
        event.about.as_bytes(),
        event.revision,
        event.at.0,
        event.kind.as_str(),
        event.origin.client.as_ref().map(Uuid::as_bytes),
        event.origin.ip.map(|ip| ip.to_string()),
        event.detail,
    ]);
    inserted.map(drop).map_err(database)
}

/// One verification.
pub fn get(connection: &Connection, id: VerificationId) -> Result<Option<Verification>, StoreError> {
    static SELECT: LazyLock<String> = LazyLock::new(|| format!("{STANDING} WHERE id = ?1"));
    let mut statement = connection.prepare_cached(&SELECT).map_err(database)?;
    statement.query_row([id.as_bytes()], read).optional().map_err(database)
}

/// Pending verifications that began at or after `from` and live at `now`, oldest first.
pub fn pending(connection: &Connection, from: VerificationId, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
    let sql = format!("{STANDING} WHERE id >= ?1 AND status = 'pending' AND expires_at > ?2 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql).map_err(database)?;
    let rows = statement.query_map(params![from.as_bytes(), now.0], read).map_err(database)?;
    rows.collect::<Result<_, _>>().map_err(database)
}

/// The events about one thing, oldest first.
pub fn events(connection: &Connection, about: Uuid) -> Result<Vec<Event>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT revision, at, kind, client, ip, detail FROM event WHERE about = ?1 ORDER BY revision")
        .map_err(database)?;
    let rows = statement
        .query_map([about.as_bytes()], |row| {
            let origin = Origin {
                client: row.get::<_, Option<[u8; 16]>>(3)?.map(Uuid::from_bytes),
                ip: row.get::<_, Option<String>>(4)?.and_then(|ip| ip.parse().ok()),
            };
            Ok(Event {
                about,
                revision: row.get(0)?,
                at: Timestamp(row.get(1)?),
                kind: named(row, 2, "kind", EventKind::parse)?,
                origin,
                detail: row.get(5)?,
            })
        })
        .map_err(database)?;
    rows.collect::<Result<_, _>>().map_err(database)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Verification> {
    let country = row.get::<_, Option<String>>(4)?.and_then(|country| Country::parse(&country));
    let metadata = match row.get::<_, Option<String>>(12)? {
        Some(json) => serde_json::from_str::<Metadata>(&json).map_err(|_| unreadable(12, "metadata"))?,
        None => Metadata::new(),
    };
    Ok(Verification {
        id: Uuid::from_bytes(row.get(0)?),
        service: row.get(1)?,
        purpose: row.get(2)?,
        destination: Destination::from_canonical(row.get::<_, String>(3)?, country),
        subject: row.get(5)?,
        locale: row.get(6)?,
        max_attempts: row.get(7)?,
        seed: row.get(8)?,
        custom_code: row.get(9)?,
        failures_key: row.get(10)?,
        created_at: Timestamp(row.get(11)?),
        metadata,
        revision: row.get(13)?,
        status: named(row, 14, "status", Status::parse_stored)?,
        channel: named(row, 15, "channel", Channel::parse)?,
        generation: row.get(16)?,
        sends: row.get(17)?,
        attempts: row.get(18)?,
        pepper_id: row.get(19)?,
        tag: Tag(row.get(20)?),
        expires_at: Timestamp(row.get(21)?),
        ended_at: row.get::<_, Option<i64>>(22)?.map(Timestamp),
        delivery: named(row, 23, "delivery", Delivery::parse)?,
        delivered_by: row.get::<_, Option<String>>(24)?.zip(row.get(25)?),
    })
}

fn named<T>(row: &Row<'_>, index: usize, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str().map_err(|_| unreadable(index, column))?;
    parse(text).ok_or_else(|| unreadable(index, column))
}

fn unreadable(index: usize, column: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(Unreadable { column }))
}
