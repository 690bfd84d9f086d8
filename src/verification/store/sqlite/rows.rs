//! Verifications, events and idempotency keys as SQLite rows.

use std::collections::{HashMap, VecDeque};

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::secret::Tag;
use crate::verification::destination::{Country, Destination};
use crate::verification::limit::LimitName;
use crate::verification::model::{Channel, Delivery, Event, EventKind, Metadata, Origin, Status, Verification, VerificationId};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::{IdempotencyRow, Rows, database};

const COLUMNS: &str = "id, service, purpose, destination, country, channel, subject, locale, status, revision, generation, sends, \
    attempts, max_attempts, seed, pepper_id, tag, custom_code, failures_key, created_at, expires_at, ended_at, delivery, provider, \
    reference, metadata";

/// A value in the database that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds what this version cannot read")]
pub struct Unreadable {
    column: &'static str,
}

/// Rows kept in memory: what is sent and checked is mostly what began a moment ago.
const RECENT: usize = 16_384;

/// The writer's connection.
pub struct SqliteRows {
    /// In a transaction while the ledger works.
    pub connection: Connection,
    /// What the index of destinations lacks: key and id, 32 bytes each, of the rows that this batch created.
    pub unindexed: Vec<u8>,
    /// The newest rows as they stand, and their ids, oldest first.
    recent: HashMap<VerificationId, Verification>,
    recent_ids: VecDeque<VerificationId>,
}

impl SqliteRows {
    /// Rows over a connection that nobody else writes through.
    pub fn new(connection: Connection) -> SqliteRows {
        SqliteRows { connection, unindexed: Vec::new(), recent: HashMap::new(), recent_ids: VecDeque::new() }
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
        self.recent.insert(row.id, row.clone());
        self.recent_ids.push_back(row.id);
        if self.recent_ids.len() > RECENT
            && let Some(oldest) = self.recent_ids.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }
}

impl Rows for SqliteRows {
    fn get(&mut self, id: VerificationId) -> Result<Option<Verification>, StoreError> {
        match self.recent.get(&id) {
            Some(row) => Ok(Some(row.clone())),
            None => get(&self.connection, id),
        }
    }

    fn insert(&mut self, row: &Verification) -> Result<(), StoreError> {
        self.unindexed.extend_from_slice(&index_key(&row.service, &row.destination.key()));
        self.unindexed.extend_from_slice(row.id.as_bytes());
        let metadata = if row.metadata.is_empty() { None } else { Some(serde_json::to_string(&row.metadata).map_err(database)?) };
        let (provider, reference) = row.delivered_by.clone().unzip();
        let mut statement = self
            .connection
            .prepare_cached(
                "INSERT INTO verification VALUES \
                 (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)",
            )
            .map_err(database)?;
        let inserted = statement.execute(params![
            row.id.as_bytes(),
            row.service,
            row.purpose,
            row.destination.canonical(),
            row.destination.country().as_ref().map(Country::as_str),
            row.channel.as_str(),
            row.subject,
            row.locale,
            row.status.as_str(),
            row.revision,
            row.generation,
            row.sends,
            row.attempts,
            row.max_attempts,
            row.seed,
            row.pepper_id,
            row.tag.0,
            row.custom_code,
            row.failures_key,
            row.created_at.0,
            row.expires_at.0,
            row.ended_at.map(|at| at.0),
            row.delivery.as_str(),
            provider,
            reference,
            metadata,
        ]);
        inserted.map_err(database)?;
        drop(statement);
        self.remember(row);
        Ok(())
    }

    fn update(&mut self, row: &Verification) -> Result<(), StoreError> {
        let (provider, reference) = row.delivered_by.as_ref().map(|(provider, reference)| (provider, reference)).unzip();
        let mut statement = self
            .connection
            .prepare_cached(
                "UPDATE verification SET channel = ?2, status = ?3, revision = ?4, generation = ?5, sends = ?6, attempts = ?7, \
                 pepper_id = ?8, tag = ?9, expires_at = ?10, ended_at = ?11, delivery = ?12, provider = ?13, reference = ?14 \
                 WHERE id = ?1 AND revision = ?4 - 1",
            )
            .map_err(database)?;
        let updated = statement.execute(params![
            row.id.as_bytes(),
            row.channel.as_str(),
            row.status.as_str(),
            row.revision,
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
        if let Some(recent) = self.recent.get_mut(&row.id) {
            recent.clone_from(row);
        }
        match updated.map_err(database)? {
            1 => Ok(()),
            // Another process wrote to this file: the lock on it was circumvented. Nothing of the batch may stand.
            _ => Err(database(Unreadable { column: "revision" })),
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        insert_event(&self.connection, event)
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
    let mut statement = connection.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)").map_err(database)?;
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
    let sql = const_format_select();
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    statement.query_row([id.as_bytes()], read).optional().map_err(database)
}

/// Pending verifications that began at or after `from` and live at `now`, oldest first.
pub fn pending(connection: &Connection, from: VerificationId, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM verification WHERE id >= ?1 AND status = 'pending' AND expires_at > ?2 ORDER BY id");
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

fn const_format_select() -> &'static str {
    static SELECT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!("SELECT {COLUMNS} FROM verification WHERE id = ?1"));
    &SELECT
}

fn read(row: &Row<'_>) -> rusqlite::Result<Verification> {
    let country = row.get::<_, Option<String>>(4)?.and_then(|country| Country::parse(&country));
    let metadata = match row.get::<_, Option<String>>(25)? {
        Some(json) => serde_json::from_str::<Metadata>(&json).map_err(|_| unreadable(25, "metadata"))?,
        None => Metadata::new(),
    };
    Ok(Verification {
        id: Uuid::from_bytes(row.get(0)?),
        service: row.get(1)?,
        purpose: row.get(2)?,
        destination: Destination::from_canonical(row.get(3)?, country),
        channel: named(row, 5, "channel", Channel::parse)?,
        subject: row.get(6)?,
        locale: row.get(7)?,
        status: named(row, 8, "status", Status::parse_stored)?,
        revision: row.get(9)?,
        generation: row.get(10)?,
        sends: row.get(11)?,
        attempts: row.get(12)?,
        max_attempts: row.get(13)?,
        seed: row.get(14)?,
        pepper_id: row.get(15)?,
        tag: Tag(row.get(16)?),
        custom_code: row.get(17)?,
        failures_key: row.get(18)?,
        created_at: Timestamp(row.get(19)?),
        expires_at: Timestamp(row.get(20)?),
        ended_at: row.get::<_, Option<i64>>(21)?.map(Timestamp),
        delivery: named(row, 22, "delivery", Delivery::parse)?,
        delivered_by: row.get::<_, Option<String>>(23)?.zip(row.get(24)?),
        metadata,
    })
}

fn named<T>(row: &Row<'_>, index: usize, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str().map_err(|_| unreadable(index, column))?;
    parse(text).ok_or_else(|| unreadable(index, column))
}

fn unreadable(index: usize, column: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(Unreadable { column }))
}
