//! Verifications by destination, for listings: filled behind the writes.
//!
//! Entries arrive in a journal (one row a commit) and are moved into the index, sorted, when a sweep comes by. A listing
//! reads both, so it misses nothing; and a start does not pay for a random page that nobody may ever read.

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::verification::model::VerificationId;
use crate::verification::store::StoreError;
use crate::verification::store::ledger::database;

/// Entries moved in one step, about: each may touch a page of its own, and together they take about a millisecond.
const FILL_STEP: usize = 128;
const ENTRY: usize = 32;

/// Moves the oldest journal rows into the index, in the transaction that is open, and says how many.
pub fn fill(connection: &Connection) -> Result<usize, StoreError> {
    let mut oldest = connection.prepare_cached("SELECT sequence, entries FROM index_journal ORDER BY sequence").map_err(database)?;
    let mut rows = oldest.query([]).map_err(database)?;
    let (mut last, mut entries) = (None, Vec::<[u8; ENTRY]>::new());
    while entries.len() < FILL_STEP
        && let Some(row) = rows.next().map_err(database)?
    {
        last = Some(row.get::<_, i64>(0).map_err(database)?);
        let blob = row.get_ref(1).and_then(|blob| Ok(blob.as_blob()?)).map_err(database)?;
        entries.extend_from_slice(blob.as_chunks::<ENTRY>().0);
    }
    drop(rows);
    let Some(last) = last else { return Ok(0) };
    entries.sort_unstable();
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO destination_index VALUES (?1, ?2)").map_err(database)?;
    for entry in &entries {
        insert.execute(params![&entry[..16], &entry[16..]]).map_err(database)?;
    }
    let mut cut = connection.prepare_cached("DELETE FROM index_journal WHERE sequence <= ?1").map_err(database)?;
    cut.execute([last]).map_err(database)
}

/// The newest ids under a key, older than `before`.
pub fn newest_first(
    connection: &Connection,
    key: &[u8; 16],
    before: Option<VerificationId>,
    limit: usize,
) -> Result<Vec<VerificationId>, StoreError> {
    let before = before.unwrap_or(Uuid::max());
    // One read transaction: an entry that is being moved is seen on one side or the other.
    let snapshot = connection.unchecked_transaction().map_err(database)?;
    let mut ids = Vec::new();
    let mut indexed = snapshot
        .prepare_cached("SELECT id FROM destination_index WHERE destination_key = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3")
        .map_err(database)?;
    let rows = indexed.query_map(params![key, before.as_bytes(), limit], |row| row.get::<_, [u8; 16]>(0)).map_err(database)?;
    for id in rows {
        ids.push(Uuid::from_bytes(id.map_err(database)?));
    }
    let mut journal = snapshot.prepare_cached("SELECT entries FROM index_journal").map_err(database)?;
    let mut rows = journal.query([]).map_err(database)?;
    while let Some(row) = rows.next().map_err(database)? {
        let blob = row.get_ref(0).and_then(|blob| Ok(blob.as_blob()?)).map_err(database)?;
        for entry in blob.as_chunks::<ENTRY>().0 {
            if let (entry_key, Some(id)) = (&entry[..16], entry[16..].first_chunk::<16>())
                && entry_key == key
                && Uuid::from_bytes(*id) < before
            {
                ids.push(Uuid::from_bytes(*id));
            }
        }
    }
    ids.sort_unstable_by(|left, right| right.cmp(left));
    ids.dedup();
    ids.truncate(limit);
    Ok(ids)
}

/// Removes an entry. One that still waits in the journal stays, and finds no row.
pub fn remove(connection: &Connection, key: &[u8; 16], id: &[u8; 16]) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("DELETE FROM destination_index WHERE destination_key = ?1 AND id = ?2").map_err(database)?;
    statement.execute(params![key, id]).map(drop).map_err(database)
}
