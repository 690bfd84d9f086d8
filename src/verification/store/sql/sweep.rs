//! Removes the old, a few rows at a time. Several replicas may do so at once: what one has removed the other does not find.

use std::sync::{Mutex, PoisonError};

use super::connection::Connections;
use super::failure::Failure;
use super::records::{self, json};
use super::statement::{BUCKET, EVENT, IDEMPOTENCY, REFERENCE, Table, VERIFICATION};
use crate::clock::Timestamp;
use crate::db::database::Value;
use crate::id;
use crate::verification::store::ledger::IDEMPOTENCY_LIFE;

/// Verifications removed in one step.
const STEP: i64 = 100;
/// Small rows removed in one step.
const SMALL_STEP: i64 = 200;
/// Buckets looked at in one step. They lie in the order of their keys, which are hashes: a turn through all of them costs no
/// index that every taking would have to keep.
const WALK: i64 = 500;
/// How long a replica that is gone is remembered.
const REPLICA_KEPT_MS: i64 = 24 * 3600 * 1000;

/// Goes through the buckets, and remembers where it is.
#[derive(Debug, Default)]
pub struct Broom {
    after: Mutex<String>,
}

impl Broom {
    /// One step. The number of rows that went.
    pub async fn sweep(&self, connections: &Connections, before: Timestamp, now: Timestamp) -> Result<usize, Failure> {
        let verifications = "SELECT id AS found FROM verification WHERE id < ? ORDER BY id LIMIT ?";
        let old = keys(connections, verifications, id::lowest(before).to_string().into(), STEP).await?;
        let mut removed = match verifications_of(connections, old).await {
            Err(Failure::Again(_)) => 0,
            removed => removed?,
        };

        let spent = (now - IDEMPOTENCY_LIFE).0;
        let idempotency = "SELECT idempotency_key AS found FROM idempotency WHERE created_at < ? ORDER BY created_at LIMIT ?";
        let old = keys(connections, idempotency, spent.into(), SMALL_STEP).await?;
        removed += remove(connections, &IDEMPOTENCY, &old, &format!("idempotency.created_at < {spent}")).await?;

        let references = "SELECT reference_key AS found FROM provider_reference WHERE forget_at <= ? ORDER BY forget_at LIMIT ?";
        let old = keys(connections, references, now.0.into(), SMALL_STEP).await?;
        removed += remove(connections, &REFERENCE, &old, &format!("provider_reference.forget_at <= {}", now.0)).await?;

        removed += self.buckets(connections, now).await?;
        let gone = [(now.0 - REPLICA_KEPT_MS).into()];
        connections.execute("DELETE FROM replica WHERE lives_until < ?".to_owned(), gone).await?;
        Ok(removed)
    }

    async fn buckets(&self, connections: &Connections, now: Timestamp) -> Result<usize, Failure> {
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sql = "SELECT bucket_key AS found, forget_at FROM bucket WHERE bucket_key > ? ORDER BY bucket_key LIMIT ?";
        let rows = connections.rows(sql.to_owned(), [after.into(), WALK.into()]).await?;
        let is_last = (rows.len() as i64) < WALK;
        let (mut last, mut old) = (String::new(), Vec::new());
        for row in rows {
            last = records::text(&row, "found")?;
            if records::time(&row, "forget_at")? <= now {
                old.push(last.clone());
            }
        }
        let removed = remove(connections, &BUCKET, &old, &format!("bucket.forget_at <= {}", now.0)).await?;
        *self.after.lock().unwrap_or_else(PoisonError::into_inner) = if is_last { String::new() } else { last };
        Ok(removed)
    }
}

/// Once their row is gone nobody adds an event to it.
async fn verifications_of(connections: &Connections, old: Vec<String>) -> Result<usize, Failure> {
    if old.is_empty() {
        return Ok(0);
    }
    let (rows, events) = (json(&VERIFICATION.keyed(old.clone()))?, json(&EVENT.keyed(old))?);
    let mut change = connections.change().await?;
    let removed = change.execute(change.dialect.delete(&VERIFICATION, "1 = 1"), [rows.into()]).await?;
    change.execute(change.dialect.delete(&EVENT, "1 = 1"), [events.into()]).await?;
    change.commit().await?;
    Ok(removed as usize)
}

async fn keys(connections: &Connections, sql: &str, bound: Value, limit: i64) -> Result<Vec<String>, Failure> {
    let rows = connections.rows(sql.to_owned(), [bound, limit.into()]).await?;
    rows.iter().map(|row| Ok(records::text(row, "found")?)).collect()
}

/// Where somebody is using the rows it is for the next time.
async fn remove(connections: &Connections, table: &Table, keys: &[String], guard: &str) -> Result<usize, Failure> {
    if keys.is_empty() {
        return Ok(0);
    }
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    let rows = json(&table.keyed(keys))?;
    match connections.execute(connections.dialect().delete(table, guard), [rows.into()]).await {
        Ok(removed) => Ok(removed as usize),
        Err(Failure::Again(_)) => Ok(0),
        Err(failure) => Err(failure),
    }
}
