//! Clients that an older version kept beside the verifications: taken over once, with their keys.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{Client, Scope, insert};
use crate::clock::Timestamp;
use crate::db::database::{DataError, Database, Reason};
use uuid::Uuid;

/// Says that it has happened. Without it a client that was revoked since would come back with every new database. The old rows
/// stay, so that the older version can still be started.
const MARK: &str = "client_moved";

/// Takes them over from the embedded store's file, where there are any.
pub async fn take_over(database: &Database, embedded: &Path) -> Result<(), DataError> {
    let failed = |error: rusqlite::Error| DataError::because(Reason::Other, format!("its clients cannot be taken over: {error}"));
    if !embedded.exists() {
        return Ok(());
    }
    let clients = waiting(embedded).map_err(failed)?;
    if clients.is_empty() {
        return Ok(());
    }
    let mut change = database.change().await?;
    let count = clients.len();
    for (client, key_hash) in clients {
        insert(&mut change, &client, &key_hash).await?;
    }
    change.commit().await?;
    tracing::info!(clients = count, "API clients were taken over from the file of the verifications");
    mark(embedded).map_err(failed)
}

fn waiting(embedded: &Path) -> rusqlite::Result<Vec<(Client, Vec<u8>)>> {
    let connection = Connection::open_with_flags(embedded, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(crate::db::BUSY_TIMEOUT)?;
    let sql =
        "SELECT COUNT(CASE name WHEN 'client' THEN 1 END), COUNT(CASE name WHEN ?1 THEN 1 END) FROM sqlite_schema WHERE type = 'table'";
    let (there, moved): (i64, i64) = connection.query_row(sql, [MARK], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if there == 0 || moved > 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT id, service, name, key_prefix, key_hash, scopes, created_at, last_used_at, revoked_at FROM client";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let scopes: String = row.get(5)?;
        let client = Client {
            id: Uuid::from_bytes(row.get(0)?),
            service: row.get::<_, String>(1)?.into(),
            name: row.get(2)?,
            key_prefix: row.get(3)?,
            scopes: scopes.split(' ').filter_map(Scope::parse).collect(),
            created_at: Timestamp(row.get(6)?),
            last_used_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
            revoked_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        };
        Ok((client, row.get(4)?))
    });
    rows?.collect()
}

fn mark(embedded: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(embedded)?;
    connection.busy_timeout(crate::db::BUSY_TIMEOUT)?;
    connection.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {MARK} (at INTEGER) STRICT"))
}
