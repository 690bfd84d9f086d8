//! `account_event`: what happened to accounts, for the audit log (LOG-01). Written with the change that it tells of.

use uuid::Uuid;

use super::AccountTables;
use crate::clock::Timestamp;
use crate::db::database::{Change, DataError, statement};

/// Something that happened.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id, in time order.
    pub id: Uuid,
    /// To whom; none where nobody is known.
    pub account: Option<Uuid>,
    /// When.
    pub at: Timestamp,
    /// Stable name, as `account.signed_in`.
    pub kind: &'static str,
    /// The end user's network.
    pub address: String,
    /// In a few words, without secrets and full addresses.
    pub detail: String,
}

/// Writes an event as part of a change.
pub(in crate::db) async fn note(change: &mut Change, event: &NewEvent) -> Result<(), DataError> {
    let query = statement("INSERT INTO account_event (id, account_id, at, kind, address, detail) VALUES (?, ?, ?, ?, ?, ?)");
    let query = query.bind(event.id).bind(event.account).bind(event.at).bind(event.kind).bind(&event.address);
    query.bind(&event.detail).execute(change).await.map(drop)
}

impl AccountTables {
    /// Notes what changed nothing else.
    pub async fn note(&self, event: &NewEvent) -> Result<(), DataError> {
        let mut change = self.change().await?;
        note(&mut change, event).await?;
        change.commit().await
    }

    /// The names and details of what happened to an account, newest first.
    pub async fn events(&self, account: Uuid, limit: i64) -> Result<Vec<(Timestamp, String, String)>, DataError> {
        let sql = "SELECT at, kind, detail FROM account_event WHERE account_id = ? ORDER BY id DESC LIMIT ?";
        let rows: Vec<(i64, String, String)> = statement(sql).bind(account.to_string()).bind(limit).fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(|(at, kind, detail)| (Timestamp(at), kind, detail)).collect())
    }
}
