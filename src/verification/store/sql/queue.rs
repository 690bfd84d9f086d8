//! Whose messages are whose: a replica that no longer says that it lives loses what it had queued to whoever asks first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::connection::Connections;
use super::failure::Failure;
use super::records::{self, json};
use super::statement::{CLAIM, VERIFICATION};
use crate::clock::Timestamp;
use crate::db::database::Dialect;
use crate::verification::model::{Delivery, Status, Verification, VerificationId};
use crate::verification::store::Heartbeat;
use crate::verification::store::name::Name;

/// Messages claimed in one transaction.
const STEP: i64 = 200;
/// How often a claim that was in the way of another one runs, at most, and the pause before it runs again.
const RUNS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Serialize)]
struct Claimed<'r> {
    id: VerificationId,
    queued_by: &'r str,
}

/// Says until when a replica lives. One whose row is gone was taken for dead, or was never heard: it gets a new name.
pub async fn heartbeat(connections: &Connections, name: &Name, until: Timestamp) -> Result<Heartbeat, Failure> {
    if renew(connections, name.get(), until).await? {
        return Ok(Heartbeat::Kept);
    }
    let new = name.following();
    let insert = "INSERT INTO replica (id, lives_until) VALUES (?, ?)".to_owned();
    if let Err(failure) = connections.execute(insert, [new.to_string().into(), until.0.into()]).await {
        // Should an earlier try have come through without an answer, the row is there and nobody else's, and is an old one.
        if !matches!(failure, Failure::Again(_)) || !renew(connections, new, until).await? {
            return Err(failure);
        }
    }
    name.set(new);
    Ok(Heartbeat::Renamed(new))
}

/// Whether the store knows that name. If so, it lives until then.
async fn renew(connections: &Connections, name: Uuid, until: Timestamp) -> Result<bool, Failure> {
    let values = [until.0.into(), name.to_string().into()];
    Ok(connections.execute("UPDATE replica SET lives_until = ? WHERE id = ?".to_owned(), values).await? > 0)
}

/// The time by the server's clock. A file has the clock of this machine.
pub async fn shared_clock(connections: &Connections) -> Result<Option<Timestamp>, Failure> {
    let sql = match connections.dialect() {
        Dialect::Sqlite => return Ok(None),
        Dialect::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint) AS shown",
        // In UTC: the hour that comes twice in autumn names no time.
        Dialect::Mysql => "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS shown",
    };
    let rows = connections.rows(sql.to_owned(), []).await?;
    Ok(rows.first().map(|row| records::time(row, "shown")).transpose()?)
}

/// Takes over what is queued by replicas that no longer live at that time. What was taken before something failed is ours, and
/// handed out; the rest waits for the next time.
pub async fn undelivered(connections: &Connections, name: &Name, now: Timestamp) -> Result<Vec<Verification>, Failure> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        match step(connections, name, now, &after).await {
            Ok(None) => return Ok(found),
            Ok(Some((claimed, last))) => {
                found.extend(claimed);
                after = last;
            }
            Err(failure) => {
                if matches!(failure, Failure::Unknown(_)) {
                    name.give_up();
                }
                return if found.is_empty() { Err(failure) } else { Ok(found) };
            }
        }
    }
}

/// Some of it, and the last id that was looked at; none where there is no more.
async fn step(connections: &Connections, name: &Name, now: Timestamp, after: &str) -> Result<Option<(Vec<Verification>, String)>, Failure> {
    let orphans = orphans(connections, now, after).await?;
    let Some((last, _)) = orphans.last().cloned() else { return Ok(None) };
    for _ in 1..RUNS {
        match claim(connections, name.get(), now, &orphans).await {
            Err(Failure::Again(_)) => tokio::time::sleep(PAUSE).await,
            done => return Ok(Some((done?, last))),
        }
    }
    Ok(Some((claim(connections, name.get(), now, &orphans).await?, last)))
}

/// Messages of the dead, with who they are, in the order of their ids.
async fn orphans(connections: &Connections, now: Timestamp, after: &str) -> Result<Vec<(String, String)>, Failure> {
    let sql = "SELECT verification.id, verification.queued_by FROM verification \
               WHERE verification.queued_by IS NOT NULL AND verification.id > ? AND verification.expires_at > ? \
               AND NOT EXISTS (SELECT 1 FROM replica WHERE replica.id = verification.queued_by AND replica.lives_until > ?) \
               ORDER BY verification.id LIMIT ?";
    let rows = connections.rows(sql.to_owned(), [after.into(), now.0.into(), now.0.into(), STEP.into()]).await?;
    let pair = |row: &AnyRow| Ok((records::text(row, "id")?, records::text(row, "queued_by")?));
    rows.iter().map(pair).collect()
}

/// Of those, the ones that are still waiting where they were, now ours. Whose they were is forgotten with the same step, so
/// that it hears of it should it still be there; one that was heard in between keeps its own.
async fn claim(connections: &Connections, name: Uuid, now: Timestamp, orphans: &[(String, String)]) -> Result<Vec<Verification>, Failure> {
    let mut change = connections.change().await?;
    let me = name.to_string();
    let mut alive = BTreeSet::new();
    for replica in orphans.iter().map(|(_, replica)| replica).filter(|replica| **replica != me).collect::<BTreeSet<_>>() {
        let bury = "DELETE FROM replica WHERE id = ? AND lives_until <= ?".to_owned();
        change.execute(bury, [replica.as_str().into(), now.0.into()]).await?;
        if !change.rows("SELECT id FROM replica WHERE id = ?".to_owned(), [replica.as_str().into()]).await?.is_empty() {
            alive.insert(replica.clone());
        }
    }
    // Rows are locked in the order of their keys, here as in every batch.
    let orphans: BTreeMap<_, _> = orphans.iter().filter(|(_, replica)| !alive.contains(replica)).cloned().collect();
    let ids = VERIFICATION.keyed(orphans.keys().cloned());
    let mut claimed = Vec::new();
    for row in change.rows(change.dialect.lock(&VERIFICATION), [json(&ids)?.into()]).await? {
        let (mut verification, queued_by) = records::verification(&row)?;
        let is_same = queued_by.is_some() && queued_by.as_ref() == orphans.get(&verification.id.to_string());
        if is_same && verification.delivery == Delivery::Queued && verification.status_at(now) == Status::Pending {
            verification.queued_by = Some(name);
            claimed.push(verification);
        }
    }
    if !claimed.is_empty() {
        let rows: Vec<_> = claimed.iter().map(|verification| Claimed { id: verification.id, queued_by: &me }).collect();
        change.execute(change.dialect.update(&CLAIM), [json(&rows)?.into()]).await?;
    }
    change.commit().await?;
    Ok(claimed)
}
