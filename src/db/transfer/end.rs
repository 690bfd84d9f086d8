//! The two ends of a move: a database, and where the verifications beside it lie.
//!
//! Wrong codes in a row must count wherever the data go. Beside Redis they lie in `kept_failure`, elsewhere in buckets like every
//! limit; a row of the one becomes a row of the other on its way.

use serde_json::json;

use super::table::{Row, Table};
use super::{Counts, TransferError};
use crate::clock::Timestamp;
use crate::db::database::{Database, statement};
use crate::verification::limit::{self, Bucket};
use crate::verification::store::sqlite::resting::{RestingStore, SHARED_TABLES};

/// What must outlive Redis.
const KEPT_FAILURE: &str = "kept_failure";
/// Its name for failures; the other one is for used codes, which are dead where their verification is unknown.
const FAILURES: &str = "f";

/// Where verifications and limits lie.
pub enum Verifications {
    /// In the same database, where servers share them.
    Shared,
    /// In the file of an embedded store.
    Embedded(Box<RestingStore>),
    /// In Redis: what is under way there stays there.
    Redis,
}

/// One end.
pub struct End {
    /// Durable data.
    pub database: Database,
    /// Verifications and limits.
    pub verifications: Verifications,
}

impl End {
    /// The tables of the database that are in use here, of all that there are.
    pub(super) fn uses(&self, table: &Table) -> bool {
        let of_verifications = SHARED_TABLES.contains(&table.name.as_str());
        match self.verifications {
            Verifications::Shared => table.name != KEPT_FAILURE,
            Verifications::Embedded(_) => !of_verifications && table.name != KEPT_FAILURE,
            Verifications::Redis => !of_verifications,
        }
    }

    /// Refuses where servers live on the database: they would change what is read, or what is written. (Those on an embedded file
    /// hold its lock. Those beside Redis are not known here.)
    pub(super) async fn nobody_lives(&self, now: Timestamp) -> Result<(), TransferError> {
        let sql = "SELECT COUNT(*) FROM replica WHERE lives_until > ?";
        let (alive,): (i64,) = statement(sql).bind(now).fetch_one(&self.database).await?;
        if alive == 0 { Ok(()) } else { Err(TransferError::Alive(alive)) }
    }

    /// Rows of the embedded file, where there is one.
    pub(super) fn embedded_counts(&self) -> Result<Counts, TransferError> {
        match &self.verifications {
            Verifications::Embedded(file) => Ok(file.counts()?.into_iter().map(|(table, count)| (table.to_owned(), count)).collect()),
            Verifications::Shared | Verifications::Redis => Ok(Counts::new()),
        }
    }
}

/// Where a row goes.
pub(super) enum Arrival {
    /// Into the table of that name.
    Into(&'static str, Row),
    /// As it is, into its own.
    AsItIs(Row),
    /// Nowhere: it is of no use at this end.
    Nowhere,
}

impl Verifications {
    /// What becomes of a row of that table at this end.
    pub(super) fn arrival(&self, table: &str, row: Row, now: Timestamp) -> Arrival {
        match self {
            Verifications::Redis if table == "bucket" => kept(&row, now).map_or(Arrival::Nowhere, |row| Arrival::Into(KEPT_FAILURE, row)),
            Verifications::Redis if SHARED_TABLES.contains(&table) => Arrival::Nowhere,
            Verifications::Shared | Verifications::Embedded(_) if table == KEPT_FAILURE => {
                bucket(&row, now).map_or(Arrival::Nowhere, |row| Arrival::Into("bucket", row))
            }
            // It follows from the verifications.
            Verifications::Embedded(_) if table == "provider_reference" => Arrival::Nowhere,
            _ => Arrival::AsItIs(row),
        }
    }
}

/// The failures of a bucket as they are kept beside Redis; none where it has none, or where they are forgotten.
fn kept(row: &Row, now: Timestamp) -> Option<Row> {
    let forget_at = Timestamp(row.get("forget_at")?.as_i64()?);
    let values = serde_json::from_str(row.get("state")?.as_str()?).ok()?;
    let (count, at) = limit::failures(&Bucket { values, forget_at })?;
    let kept = json!({
        "kind": FAILURES, "id": row.get("bucket_key")?, "failures": count, "at": at.0, "forget_at": forget_at.0,
        // As Redis's scripts number changes.
        "sequence": at.0.checked_mul(1000)?,
    });
    kept.as_object().filter(|_| forget_at > now).cloned()
}

/// The other way round.
fn bucket(row: &Row, now: Timestamp) -> Option<Row> {
    let number = |name: &str| row.get(name)?.as_i64();
    let (failures, at, forget_at) = (number("failures")?, number("at")?, number("forget_at")?);
    let counts = row.get("kind")? == FAILURES && failures > 0 && Timestamp(forget_at) > now;
    let bucket = json!({ "bucket_key": row.get("id")?, "state": format!("[{failures},{at}]"), "forget_at": forget_at });
    bucket.as_object().filter(|_| counts).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    fn row(json: serde_json::Value) -> Row {
        json.as_object().cloned().expect("an object")
    }

    /// ATT-02: failures are the same after they went to Redis's side and back; nothing else becomes failures.
    #[test]
    fn failures_change_their_place_and_not_their_number() {
        let of = |state: &str, forget_at: i64| row(json!({ "bucket_key": "ab", "state": state, "forget_at": forget_at }));
        let failures = of("[7,1767225599000]", i64::MAX);
        let moved = kept(&failures, NOW).expect("failures");
        assert_eq!((&moved["failures"], &moved["sequence"]), (&json!(7), &json!(1_767_225_599_000_000_i64)));
        assert_eq!(bucket(&moved, NOW), Some(failures));
        assert_eq!(kept(&of("[7,1767225599000]", NOW.0), NOW), None, "forgotten");
        assert_eq!(kept(&of("[1767225590000,1767225599000]", i64::MAX), NOW), None, "two messages");
        let used = row(json!({ "kind": "u", "id": "ab", "failures": 1, "at": 5, "forget_at": i64::MAX, "sequence": 9 }));
        assert_eq!(bucket(&used, NOW), None);
    }
}
