//! The limits' buckets on disk: a journal row a commit, and shards written whole in turn.
//!
//! A row for each bucket would cost a random page for each limit of each call. Instead every commit appends *one* row with
//! the buckets that it changed (they must be in the same transaction: a counter lost in a crash is a bypass), and when
//! enough has been journalled the next shard is written whole, so that the journal stays within about twice the size of
//! what lives. At start the shards are read, then the journal is replayed over them.

use rusqlite::{Connection, params};

use crate::clock::Timestamp;
use crate::verification::buckets::Buckets;
use crate::verification::limit::{Bucket, BucketKey};
use crate::verification::sharded::{SHARDS, shard_of};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::database;

/// Bytes journalled before a shard is written, at least.
const SHARD_EVERY_BYTES: usize = 64 * 1024;

/// Writes the buckets of one ledger.
#[derive(Debug, Default)]
pub struct BucketJournal {
    sequence: i64,
    next_shard: usize,
    unsharded_bytes: usize,
    scratch: Vec<u8>,
}

impl BucketJournal {
    /// Reads all buckets.
    pub fn open(connection: &Connection) -> Result<(BucketJournal, Buckets), StoreError> {
        let mut buckets = Buckets::default();
        let mut included = [0_i64; SHARDS];
        let mut shards = connection.prepare("SELECT shard, sequence, buckets FROM bucket_shard").map_err(database)?;
        let mut rows = shards.query([]).map_err(database)?;
        while let Some(row) = rows.next().map_err(database)? {
            let shard: usize = row.get(0).map_err(database)?;
            if let Some(sequence) = included.get_mut(shard) {
                *sequence = row.get(1).map_err(database)?;
            }
            decode(row.get_ref(2).and_then(|blob| Ok(blob.as_blob()?)).map_err(database)?, |key, bucket| buckets.restore(key, bucket));
        }
        // Goes on with the shard that is furthest behind, so that short runs complete a turn together.
        let next_shard = included.iter().enumerate().min_by_key(|(_, sequence)| **sequence).map_or(0, |(shard, _)| shard);
        let sequence = included.iter().copied().max().unwrap_or(0);
        let mut journal = BucketJournal { sequence, next_shard, ..BucketJournal::default() };
        let mut statement = connection.prepare("SELECT sequence, buckets FROM bucket_journal ORDER BY sequence").map_err(database)?;
        let mut rows = statement.query([]).map_err(database)?;
        while let Some(row) = rows.next().map_err(database)? {
            let sequence: i64 = row.get(0).map_err(database)?;
            journal.sequence = journal.sequence.max(sequence);
            decode(row.get_ref(1).and_then(|blob| Ok(blob.as_blob()?)).map_err(database)?, |key, bucket| {
                if sequence > included[shard_of(&key)] {
                    buckets.restore(key, bucket);
                }
            });
        }
        Ok((journal, buckets))
    }

    /// Writes what changed since the last call, in the transaction that is open.
    pub fn write(&mut self, connection: &Connection, buckets: &mut Buckets) -> Result<(), StoreError> {
        let changed = buckets.changed();
        if changed.is_empty() {
            return Ok(());
        }
        self.scratch.clear();
        for key in &changed {
            encode(&mut self.scratch, key, buckets.get(key));
        }
        self.sequence += 1;
        let mut statement = connection.prepare_cached("INSERT INTO bucket_journal VALUES (?1, ?2)").map_err(database)?;
        statement.execute(params![self.sequence, self.scratch]).map_err(database)?;
        self.unsharded_bytes += self.scratch.len();
        // About 40 bytes a bucket: a whole turn of shards costs what was journalled since the last one.
        if self.unsharded_bytes >= SHARD_EVERY_BYTES.max(buckets.len() * 40 / SHARDS) {
            self.write_shard(connection, buckets)?;
        }
        Ok(())
    }

    /// Writes all of them.
    pub fn write_whole(&mut self, connection: &Connection, buckets: &Buckets) -> Result<(), StoreError> {
        (0..SHARDS).try_for_each(|_| self.write_shard(connection, buckets))
    }

    fn write_shard(&mut self, connection: &Connection, buckets: &Buckets) -> Result<(), StoreError> {
        self.unsharded_bytes = 0;
        self.scratch.clear();
        for (key, bucket) in buckets.shard(self.next_shard) {
            encode(&mut self.scratch, key, bucket);
        }
        let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO bucket_shard VALUES (?1, ?2, ?3)").map_err(database)?;
        statement.execute(params![self.next_shard, self.sequence, self.scratch]).map_err(database)?;
        self.next_shard = (self.next_shard + 1) % SHARDS;
        let mut statement = connection
            .prepare_cached(
                "DELETE FROM bucket_journal WHERE sequence <= \
                 (SELECT CASE WHEN COUNT(*) = ?1 THEN MIN(sequence) ELSE 0 END FROM bucket_shard)",
            )
            .map_err(database)?;
        statement.execute([SHARDS]).map(drop).map_err(database)
    }
}

fn encode(out: &mut Vec<u8>, key: &BucketKey, bucket: &Bucket) {
    out.extend_from_slice(key);
    out.extend_from_slice(&bucket.forget_at.0.to_be_bytes());
    // A bucket holds at most as many numbers as the largest quota of exact windows (100: see the configuration).
    out.push(bucket.values.len() as u8);
    for value in &bucket.values {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Stops at the first byte that is missing; a row is written whole or not at all, so none ever is.
fn decode(mut bytes: &[u8], mut each: impl FnMut(BucketKey, Bucket)) {
    while let Some((key, rest)) = bytes.split_first_chunk::<16>()
        && let Some((forget_at, rest)) = rest.split_first_chunk::<8>()
        && let Some((&[count], rest)) = rest.split_first_chunk::<1>()
        && let Some((numbers, rest)) = rest.split_at_checked(usize::from(count) * 8)
    {
        let (numbers, _) = numbers.as_chunks::<8>();
        let values = numbers.iter().map(|number| i64::from_be_bytes(*number)).collect();
        each(*key, Bucket { values, forget_at: Timestamp(i64::from_be_bytes(*forget_at)) });
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().expect("sqlite");
        connection.execute_batch(include_str!("../../../../migrations/embedded/0001_first.sql")).expect("schema");
        connection
    }

    /// What is read back is what was written last, through many turns of shards, and the journal stays short.
    #[test]
    fn buckets_survive_and_the_journal_is_cut() {
        let connection = database();
        let (mut journal, mut buckets) = BucketJournal::open(&connection).expect("open");
        for round in 0..20_000_u32 {
            for part in 0..10_u32 {
                let key = crate::verification::limit::LimitName::Failures.key(&[&((round * 7 + part * 131) % 5_000).to_be_bytes()]);
                buckets.count_failure(key, false, Timestamp(i64::from(round)));
            }
            journal.write(&connection, &mut buckets).expect("write");
        }
        let (_, read) = BucketJournal::open(&connection).expect("open again");
        assert_eq!(read.len(), 5_000);
        for shard in 0..SHARDS {
            for (key, bucket) in buckets.shard(shard) {
                assert_eq!(read.get(key), bucket);
            }
        }
        let rows: i64 = connection.query_row("SELECT COUNT(*) FROM bucket_journal", [], |row| row.get(0)).expect("count");
        assert!(rows < 20_000, "{rows} journal rows: nothing was cut");
    }
}
