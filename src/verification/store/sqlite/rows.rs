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
use crate::verification::model::{Channel, CodeBy, Delivery, Event, EventKind, Metadata, Origin, Status, Verification, VerificationId};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::{IdempotencyRow, Rows, database};

/// Verifications, each with its events in their order: a row for each event.
const HISTORY: &str = "SELECT id, service, purpose, destination, country, subject, locale, max_attempts, seed, code_by, failures_key, \
    created_at, metadata, verification.channel, verification.pepper_id, verification.tag, verification.expires_at, \
    revision, status, event.channel, generation, sends, attempts, event.pepper_id, event.tag, queued_at, event.expires_at, ended_at, \
    delivery, provider, reference \
    FROM verification JOIN event ON about = id";

/// Entries of the audit log.
const EVENTS: &str = "SELECT about, revision, at, kind, client, ip, detail FROM event";

/// A value in the database that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds what this version cannot read")]
pub struct Unreadable {
    column: &'static str,
}

/// Rows kept in memory: what is sent and checked is mostly what began, or was asked for, a moment ago.
const RECENT: usize = 16_384;

/// The writer's connection, and what it does all the time.
pub struct SqliteRows<'connection> {
    /// In a transaction while the ledger works.
    pub connection: &'connection Connection,
    /// What the index of destinations lacks: key and id, 32 bytes each, of the rows that this batch created.
    pub unindexed: Vec<u8>,
    insert: Statement<'connection>,
    append: Statement<'connection>,
    /// The verifications used last as they stand, and their ids in the order in which they came.
    recent: HashMap<VerificationId, Verification>,
    recent_ids: VecDeque<VerificationId>,
}

impl SqliteRows<'_> {
    /// Rows over a connection that nobody else writes through.
    pub fn new(connection: &Connection) -> Result<SqliteRows<'_>, StoreError> {
        let insert = connection
            .prepare("INSERT INTO verification VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)");
        let append = connection.prepare(
            "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
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
        if let Some(row) = self.recent.get(&id) {
            return Ok(Some(row.clone()));
        }
        // Who is asked for once is asked for again: a person tries a code more than once.
        let found = get(self.connection, id)?;
        if let Some(row) = &found {
            self.remember(row);
        }
        Ok(found)
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
            row.code_by.as_str(),
            row.failures_key,
            row.created_at.0,
            metadata,
            row.channel.as_str(),
            row.pepper_id,
            row.tag.0,
            row.expires_at.0,
        ]);
        inserted.map(drop).map_err(database)
    }

    /// Fails where another process appended first (the lock on the file was circumvented): nothing of the batch may stand.
    fn append(&mut self, row: &Verification, event: &Event) -> Result<(), StoreError> {
        let known = self.recent.get(&row.id);
        // What the row says already, or what was so before, is not said again.
        let is_new = row.revision == 0;
        let changed = |differs: fn(&Verification, &Verification) -> bool| !is_new && known.is_none_or(|known| differs(known, row));
        let recoded = changed(|known, row| known.generation != row.generation);
        let delivered = changed(|known, row| known.delivered_by != row.delivered_by);
        let (provider, reference) =
            row.delivered_by.as_ref().filter(|_| delivered).map(|(provider, reference)| (provider, reference)).unzip();
        let appended = self.append.execute(params![
            event.about.as_bytes(),
            event.revision,
            event.at.0,
            event.kind.as_str(),
            event.origin.client.as_ref().map(Uuid::as_bytes),
            event.origin.ip.map(|ip| ip.to_string()),
            event.detail,
            changed(|known, row| known.status != row.status).then(|| row.status.as_str()),
            changed(|known, row| known.channel != row.channel).then(|| row.channel.as_str()),
            recoded.then_some(row.generation),
            changed(|known, row| known.sends != row.sends).then_some(row.sends),
            changed(|known, row| known.attempts != row.attempts).then_some(row.attempts),
            recoded.then_some(row.pepper_id),
            recoded.then_some(row.tag.0),
            changed(|known, row| known.queued_at != row.queued_at).then_some(row.queued_at.0),
            changed(|known, row| known.expires_at != row.expires_at).then_some(row.expires_at.0),
            row.ended_at.map(|at| at.0),
            changed(|known, row| known.delivery != row.delivery).then(|| row.delivery.as_str()),
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
        statement.query_row([key], idempotency).optional().map_err(database)
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
    static SELECT: LazyLock<String> = LazyLock::new(|| format!("{HISTORY} WHERE id = ?1 ORDER BY revision"));
    let mut statement = connection.prepare_cached(&SELECT).map_err(database)?;
    let mut found = None;
    standing(statement.query([id.as_bytes()]).map_err(database)?, |row| {
        found = Some(row);
        Ok::<_, StoreError>(())
    })?;
    Ok(found)
}

/// Pending verifications that began at or after `from` and live at `now`, oldest first.
pub fn pending(connection: &Connection, from: VerificationId, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
    let mut pending = Vec::new();
    since(connection, from, |row| {
        if row.status == Status::Pending && row.expires_at > now {
            pending.push(row);
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(pending)
}

/// Verifications that began at or after `from`, oldest first, each where it stands.
pub fn since<E: From<StoreError>>(
    connection: &Connection,
    from: VerificationId,
    each: impl FnMut(Verification) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = connection.prepare_cached(&format!("{HISTORY} WHERE id >= ?1 ORDER BY id, revision")).map_err(database)?;
    standing(statement.query([from.as_bytes()]).map_err(database)?, each)
}

/// Works each verification's events into it, and hands it over where it stands.
fn standing<E: From<StoreError>>(mut rows: rusqlite::Rows<'_>, mut each: impl FnMut(Verification) -> Result<(), E>) -> Result<(), E> {
    let mut current: Option<Verification> = None;
    while let Some(row) = rows.next().map_err(database)? {
        let id = Uuid::from_bytes(row.get(0).map_err(database)?);
        let mut verification = match current.take() {
            Some(same) if same.id == id => same,
            before => {
                before.map_or(Ok(()), &mut each)?;
                begun(row).map_err(database)?
            }
        };
        happened(&mut verification, row).map_err(database)?;
        current = Some(verification);
    }
    current.map_or(Ok(()), each)
}

/// The events about one thing, oldest first.
pub fn events(connection: &Connection, about: Uuid) -> Result<Vec<Event>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{EVENTS} WHERE about = ?1 ORDER BY revision")).map_err(database)?;
    let rows = statement.query_map([about.as_bytes()], event).map_err(database)?;
    rows.collect::<Result<_, _>>().map_err(database)
}

/// Every event, beside the others about the same.
pub fn all_events<E: From<StoreError>>(connection: &Connection, mut each: impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
    let mut statement = connection.prepare(&format!("{EVENTS} ORDER BY about, revision")).map_err(database)?;
    let rows = statement.query_map([], event).map_err(database)?;
    rows.into_iter().try_for_each(|found| each(found.map_err(database)?))
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let origin = Origin {
        client: row.get::<_, Option<[u8; 16]>>(4)?.map(Uuid::from_bytes),
        ip: row.get::<_, Option<String>>(5)?.and_then(|ip| ip.parse().ok()),
    };
    Ok(Event {
        about: Uuid::from_bytes(row.get(0)?),
        revision: row.get(1)?,
        at: Timestamp(row.get(2)?),
        kind: named(row, 3, "kind", EventKind::parse)?,
        origin,
        detail: row.get(6)?,
    })
}

/// Everything that is kept for callers' keys.
pub fn all_idempotency<E: From<StoreError>>(
    connection: &Connection,
    mut each: impl FnMut([u8; 32], IdempotencyRow) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = connection.prepare("SELECT payload, answer, created_at, key FROM idempotency").map_err(database)?;
    let rows = statement.query_map([], |row| Ok((row.get(3)?, idempotency(row)?))).map_err(database)?;
    rows.into_iter().try_for_each(|found| {
        let (key, row) = found.map_err(database)?;
        each(key, row)
    })
}

fn idempotency(row: &Row<'_>) -> rusqlite::Result<IdempotencyRow> {
    Ok(IdempotencyRow { payload: row.get(0)?, answer: row.get(1)?, created_at: Timestamp(row.get(2)?) })
}

/// A verification as it began.
fn begun(row: &Row<'_>) -> rusqlite::Result<Verification> {
    let country = row.get::<_, Option<String>>(4)?.and_then(|country| Country::parse(&country));
    let metadata = match row.get::<_, Option<String>>(12)? {
        Some(json) => serde_json::from_str::<Metadata>(&json).map_err(|_| unreadable(12, "metadata"))?,
        None => Metadata::new(),
    };
    let created_at = Timestamp(row.get(11)?);
    Ok(Verification {
        id: Uuid::from_bytes(row.get(0)?),
        service: row.get(1)?,
        purpose: row.get(2)?,
        destination: Destination::from_canonical(row.get::<_, String>(3)?, country),
        subject: row.get(5)?,
        locale: row.get(6)?,
        max_attempts: row.get(7)?,
        seed: row.get(8)?,
        code_by: named(row, 9, "code_by", CodeBy::parse)?,
        failures_key: row.get(10)?,
        created_at,
        metadata,
        channel: named(row, 13, "channel", Channel::parse)?,
        pepper_id: row.get(14)?,
        tag: Tag(row.get(15)?),
        expires_at: Timestamp(row.get(16)?),
        revision: 0,
        status: Status::Pending,
        generation: 0,
        sends: 1,
        attempts: 0,
        queued_at: created_at,
        ended_at: None,
        delivery: Delivery::Queued,
        delivered_by: None,
        queued_by: None,
    })
}

/// What one event changed.
fn happened(verification: &mut Verification, row: &Row<'_>) -> rusqlite::Result<()> {
    fn set<T: rusqlite::types::FromSql>(place: &mut T, row: &Row<'_>, index: usize) -> rusqlite::Result<()> {
        if let Some(value) = row.get(index)? {
            *place = value;
        }
        Ok(())
    }
    verification.revision = row.get(17)?;
    if let Some(value) = named_if_set(row, 18, "status", Status::parse_stored)? {
        verification.status = value;
    }
    if let Some(value) = named_if_set(row, 19, "channel", Channel::parse)? {
        verification.channel = value;
    }
    set(&mut verification.generation, row, 20)?;
    set(&mut verification.sends, row, 21)?;
    set(&mut verification.attempts, row, 22)?;
    set(&mut verification.pepper_id, row, 23)?;
    set(&mut verification.tag.0, row, 24)?;
    set(&mut verification.queued_at.0, row, 25)?;
    set(&mut verification.expires_at.0, row, 26)?;
    verification.ended_at = row.get::<_, Option<i64>>(27)?.map(Timestamp).or(verification.ended_at);
    if let Some(delivery) = named_if_set(row, 28, "delivery", Delivery::parse)? {
        verification.delivery = delivery;
        if verification.delivery == Delivery::Queued {
            verification.forget_delivery();
        }
    }
    if let Some(delivered_by) = row.get::<_, Option<String>>(29)?.zip(row.get(30)?) {
        verification.delivered_by = Some(delivered_by);
    }
    Ok(())
}

fn named_if_set<T>(row: &Row<'_>, index: usize, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
    match row.get_ref(index)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => named(row, index, column, parse).map(Some),
    }
}

fn named<T>(row: &Row<'_>, index: usize, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str().map_err(|_| unreadable(index, column))?;
    parse(text).ok_or_else(|| unreadable(index, column))
}

fn unreadable(index: usize, column: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(Unreadable { column }))
}
