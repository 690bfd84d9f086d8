//! Removes the old from the tables, some rows at a time: one statement for all of them would lock them all, and where it takes
//! longer than a statement may it would be undone, this time and every time after.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, Database, statement};

/// Rows that one statement removes.
const STEP: usize = 200;
/// The pause after it, in which others have their turn.
const BREATH: Duration = Duration::from_millis(10);

/// Removes all rows of which `old` is true at that time; each `?` in it is the time. How many there were.
pub async fn all(database: &Database, table: &str, key: &str, old: &str, at: Timestamp) -> Result<u64, DataError> {
    let mut removed = 0;
    loop {
        let find = format!("SELECT {key} FROM {table} WHERE {old} LIMIT {STEP}");
        let mut found: Vec<(String,)> = statement(AssertSqlSafe(find)).bind(at).fetch_all(database).await?;
        if found.is_empty() {
            return Ok(removed);
        }
        // Another replica may be at the same rows: in one order the two wait for each other, and do not block each other.
        found.sort_unstable();
        let places = vec!["?"; found.len()].join(", ");
        let remove = statement(AssertSqlSafe(format!("DELETE FROM {table} WHERE {key} IN ({places}) AND {old}")));
        let remove = found.iter().fold(remove, |remove, (key,)| remove.bind(key)).bind(at);
        removed += remove.execute(database).await?;
        if found.len() < STEP {
            return Ok(removed);
        }
        tokio::time::sleep(BREATH).await;
    }
}
