//! `browser`: browsers that signed in to an account before.

use super::AccountTables;
use crate::account::model::AccountId;
use crate::clock::Timestamp;
use crate::db::database::{DataError, statement};

impl AccountTables {
    /// Until when a browser needs no second factor for an account (0: it does); none when it never signed in to it.
    pub async fn browser(&self, token_hash: &str, account: AccountId, now: Timestamp) -> Result<Option<Timestamp>, DataError> {
        let sql = "SELECT remembered_until FROM browser WHERE token_hash = ? AND account_id = ? AND expires_at > ?";
        let query = statement(sql).bind(token_hash).bind(account.to_string()).bind(now.0);
        let row: Option<(i64,)> = query.fetch_optional(&self.database).await?;
        Ok(row.map(|(until,)| Timestamp(until)))
    }
}
