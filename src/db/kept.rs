//! `kept_failure`: what must outlive Redis, where verifications lie there ([`DurableLog`]).

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, Database, statement};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::database as failed;
use crate::verification::store::redis::durable::{DurableLog, Entry, Kind};

/// Rows that are read at once.
const PAGE: i64 = 5_000;
/// Rows that one sweep removes.
const SWEPT_AT_ONCE: i64 = 200;

/// The newest stays, in whatever order servers write. MySQL assigns from left to right: the number that decides comes last.
const KEEP_NEWEST: &str = " ON CONFLICT (kind, id) DO UPDATE SET \
    failures = CASE WHEN excluded.sequence > kept_failure.sequence THEN excluded.failures ELSE kept_failure.failures END, \
    at = CASE WHEN excluded.sequence > kept_failure.sequence THEN excluded.at ELSE kept_failure.at END, \
    forget_at = CASE WHEN excluded.sequence > kept_failure.sequence THEN excluded.forget_at ELSE kept_failure.forget_at END, \
    sequence = CASE WHEN excluded.sequence > kept_failure.sequence THEN excluded.sequence ELSE kept_failure.sequence END";

/// Wrong codes and used codes, in SQL.
#[derive(Debug, Clone)]
pub struct KeptFailures {
    database: Database,
}

type Row = (String, String, i64, i64, i64, i64);

impl KeptFailures {
    /// Those in that database.
    pub fn new(database: Database) -> KeptFailures {
        KeptFailures { database }
    }

    async fn page(&self, after: (&str, &str), now: Timestamp) -> Result<Vec<Row>, DataError> {
        let (kind, id) = after;
        let query = statement(
            "SELECT kind, id, failures, at, forget_at, sequence FROM kept_failure \
             WHERE forget_at > ? AND (kind > ? OR (kind = ? AND id > ?)) ORDER BY kind, id LIMIT ?",
        );
        query.bind(now).bind(kind).bind(kind).bind(id).bind(PAGE).fetch_all(&self.database).await
    }
}

#[async_trait]
impl DurableLog for KeptFailures {
    async fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        // In one order, so that two servers that write the same rows wait for each other and do not block each other.
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_unstable_by_key(|entry| (entry.kind.as_str(), entry.key));
        let places = vec!["(?, ?, ?, ?, ?, ?)"; sorted.len()].join(", ");
        let insert = format!("INSERT INTO kept_failure (kind, id, failures, at, forget_at, sequence) VALUES {places}{KEEP_NEWEST}");
        let query = sorted.into_iter().fold(statement(AssertSqlSafe(insert)), |query, entry| {
            let id = format!("{:032x}", u128::from_be_bytes(entry.key));
            let query = query.bind(entry.kind.as_str()).bind(id).bind(i64::from(entry.count)).bind(entry.at);
            query.bind(entry.forget_at).bind(entry.sequence)
        });
        query.execute(&self.database).await.map(drop).map_err(failed)
    }

    async fn load(&self, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        let mut last = (String::new(), String::new());
        loop {
            let rows = self.page((&last.0, &last.1), now).await.map_err(failed)?;
            let is_last = (rows.len() as i64) < PAGE;
            if let Some((kind, id, ..)) = rows.last() {
                last = (kind.clone(), id.clone());
            }
            entries.extend(rows.iter().filter_map(entry));
            if is_last {
                return Ok(entries);
            }
        }
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let select = statement("SELECT kind, id FROM kept_failure WHERE forget_at <= ? ORDER BY forget_at LIMIT ?");
        let old: Vec<(String, String)> = select.bind(now).bind(SWEPT_AT_ONCE).fetch_all(&self.database).await.map_err(failed)?;
        let mut removed = 0;
        for (kind, id) in old {
            // It may have been written anew meanwhile.
            let delete = statement("DELETE FROM kept_failure WHERE kind = ? AND id = ? AND forget_at <= ?");
            removed += delete.bind(kind).bind(id).bind(now).execute(&self.database).await.map_err(failed)?;
        }
        Ok(removed as usize)
    }
}

/// A kind that this version does not know is left where it is.
fn entry((kind, id, failures, at, forget_at, sequence): &Row) -> Option<Entry> {
    Some(Entry {
        kind: Kind::parse(kind)?,
        key: u128::from_str_radix(id, 16).ok()?.to_be_bytes(),
        count: u32::try_from(*failures).ok()?,
        at: Timestamp(*at),
        forget_at: Timestamp(*forget_at),
        sequence: *sequence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::database::testing::OwnDatabase;

    fn one(key: u8, count: u32, sequence: i64) -> Entry {
        Entry { kind: Kind::Failures, key: [key; 16], count, at: Timestamp(5), forget_at: Timestamp(100), sequence }
    }

    /// R11: whichever server writes last, the newest count stays; what nobody needs is neither loaded nor kept.
    #[tokio::test]
    async fn the_newest_count_stays() {
        let own = OwnDatabase::new().await;
        let kept = KeptFailures::new(Database::own(&own).await);
        let subject = Entry { forget_at: Timestamp(i64::MAX), ..one(2, 12, 7) };
        let used = Entry { kind: Kind::Used, ..one(1, 1, 3) };
        kept.write(&[one(1, 3, 30), subject.clone(), used.clone()]).await.expect("written");
        kept.write(&[one(1, 2, 20)]).await.expect("written late");
        kept.write(&[one(1, 4, 40), one(3, 9, 1)]).await.expect("written");
        let mut loaded = kept.load(Timestamp(99)).await.expect("loaded");
        loaded.sort_by_key(|entry| (entry.kind.as_str(), entry.key));
        assert_eq!(loaded, [one(1, 4, 40), subject.clone(), one(3, 9, 1), used]);
        assert_eq!(kept.load(Timestamp(100)).await.expect("loaded"), std::slice::from_ref(&subject));
        assert_eq!(kept.sweep(Timestamp(100)).await.expect("swept"), 3);
        assert_eq!(kept.sweep(Timestamp(100)).await.expect("swept"), 0);
        assert_eq!(kept.load(Timestamp(0)).await.expect("loaded"), [subject]);
    }
}
