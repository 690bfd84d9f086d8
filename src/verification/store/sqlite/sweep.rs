//! Removes the old, a few rows at a time: a step takes about a millisecond, so nobody waits long behind it.

use rusqlite::{Connection, params};

use crate::clock::Timestamp;
use crate::verification::destination::{Country, Destination};
use crate::verification::model::VerificationId;
use crate::verification::store::StoreError;
use crate::verification::store::ledger::{IDEMPOTENCY_LIFE, database};
use crate::verification::store::sqlite::{index, rows};

/// Verifications removed in one step.
const STEP: usize = 50;
/// Idempotency keys removed in one step.
const KEYS_STEP: usize = 200;

/// Removes the oldest verifications below `before`, with their events, and spent idempotency keys. Names what it removed.
pub fn step(connection: &Connection, before: VerificationId, now: Timestamp) -> Result<Vec<VerificationId>, StoreError> {
    connection
        .prepare_cached("DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE created_at < ?1 LIMIT ?2)")
        .and_then(|mut statement| statement.execute(params![(now - IDEMPOTENCY_LIFE).0, KEYS_STEP]))
        .map_err(database)?;
    let old = oldest(connection, before)?;
    let delete = |sql: &str| connection.prepare_cached(sql).map_err(database);
    let mut verifications = delete("DELETE FROM verification WHERE id = ?1")?;
    let mut events = delete("DELETE FROM event WHERE about = ?1")?;
    for (id, service, destination) in &old {
        index::remove(connection, &rows::index_key(service, &destination.key()), id.as_bytes())?;
        events.execute([id.as_bytes()]).map_err(database)?;
        verifications.execute([id.as_bytes()]).map_err(database)?;
    }
    Ok(old.into_iter().map(|(id, ..)| id).collect())
}

fn oldest(connection: &Connection, before: VerificationId) -> Result<Vec<(VerificationId, String, Destination)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id, service, destination, country FROM verification WHERE id < ?1 ORDER BY id LIMIT ?2")
        .map_err(database)?;
    let rows = statement.query_map(params![before.as_bytes(), STEP], |row| {
        let country = row.get::<_, Option<String>>(3)?.and_then(|country| Country::parse(&country));
        Ok((VerificationId::from_bytes(row.get(0)?), row.get(1)?, Destination::from_canonical(row.get::<_, String>(2)?, country)))
    });
    rows.and_then(Iterator::collect).map_err(database)
}
