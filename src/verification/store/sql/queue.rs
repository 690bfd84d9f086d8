//! Whose messages are whose: a replica that no longer says that it lives loses what it had queued to whoever asks first.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::any::AnyRow;

use super::connection::Connections;
use super::failure::Failure;
use super::records::{self, json};
use super::statement::{CLAIM, VERIFICATION};
use crate::clock::Timestamp;
use crate::verification::model::{Delivery, Status, Verification, VerificationId};

/// Messages claimed in one transaction.
const STEP: i64 = 200;

#[derive(Serialize)]
struct Claimed<'r> {
    id: VerificationId,
    queued_by: &'r str,
}

/// Says until when a replica lives.
pub async fn heartbeat(connections: &Connections, replica: &str, until: Timestamp) -> Result<(), Failure> {
    let beat = async || {
        let values = [until.0.into(), replica.into()];
        connections.execute("UPDATE replica SET lives_until = ? WHERE id = ?".to_owned(), values).await
    };
    if beat().await? == 0 {
        let insert = "INSERT INTO replica (id, lives_until) VALUES (?, ?)".to_owned();
        match connections.execute(insert, [replica.into(), until.0.into()]).await {
            // Twice at once: the other one made the row.
            Err(Failure::Again(_)) => beat().await.map(drop)?,
            made => made.map(drop)?,
        }
    }
    Ok(())
}

/// Takes over what is queued by replicas that no longer live at that time.
pub async fn undelivered(connections: &Connections, replica: &str, now: Timestamp) -> Result<Vec<Verification>, Failure> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let orphans = orphans(connections, now, &after).await?;
        let Some(last) = orphans.last() else { return Ok(found) };
        after.clone_from(&last.0);
        found.extend(claim(connections, replica, now, orphans).await?);
    }
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

/// Of those, the ones that are still waiting where they were, now ours.
async fn claim(
    connections: &Connections,
    replica: &str,
    now: Timestamp,
    orphans: Vec<(String, String)>,
) -> Result<Vec<Verification>, Failure> {
    let mut change = connections.change().await?;
    let ids = VERIFICATION.keyed(orphans.iter().map(|(id, _)| id.clone()));
    let orphans: HashMap<_, _> = orphans.into_iter().collect();
    let mut claimed = Vec::new();
    for row in change.rows(change.dialect.lock(&VERIFICATION), [json(&ids)?.into()]).await? {
        let (verification, queued_by) = records::verification(&row)?;
        let is_same = queued_by.is_some() && queued_by.as_ref() == orphans.get(&verification.id.to_string());
        if is_same && verification.delivery == Delivery::Queued && verification.status_at(now) == Status::Pending {
            claimed.push(verification);
        }
    }
    if !claimed.is_empty() {
        let rows: Vec<_> = claimed.iter().map(|verification| Claimed { id: verification.id, queued_by: replica }).collect();
        change.execute(change.dialect.update(&CLAIM), [json(&rows)?.into()]).await?;
    }
    change.commit().await?;
    Ok(claimed)
}
