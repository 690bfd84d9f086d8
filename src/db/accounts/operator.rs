//! What operators read and change: any account, by its id or by what it names as its own.

use std::collections::HashMap;

use uuid::Uuid;

use super::AccountTables;
use super::account::{COLUMNS, Row, account, end_flows, end_sessions};
use super::event::{NewEvent, note};
use super::identifier;
use crate::account::model::{Account, AccountId, Identifier};
use crate::db::database::{AssertSqlSafe, DataError, statement};

/// Whether an account may sign in, as it stands in its row.
fn status(active: bool) -> &'static str {
    if active { "active" } else { "disabled" }
}

impl AccountTables {
    /// Accounts from the newest on, or from the one before `before`.
    pub async fn newest_accounts(&self, before: Option<AccountId>, limit: i64) -> Result<Vec<Account>, DataError> {
        // Ids are in time order; they are hexadecimal, so that none is greater than this.
        let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        let sql = format!("SELECT {COLUMNS} FROM account a WHERE a.id < ? ORDER BY a.id DESC LIMIT ?");
        let query = statement(AssertSqlSafe(sql)).bind(before).bind(limit);
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(account).collect())
    }

    /// Whoever names this number or address, the owner first, then the oldest claims.
    pub async fn naming(&self, value: &str, limit: i64) -> Result<Vec<Account>, DataError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM identifier i JOIN account a ON a.id = i.account_id WHERE i.value = ? \
             ORDER BY CASE WHEN i.owned_value IS NOT NULL THEN 0 ELSE 1 END, i.claimed_at, a.id LIMIT ?"
        );
        let query = statement(AssertSqlSafe(sql)).bind(value).bind(limit);
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(account).collect())
    }

    /// What several accounts name as their own, in one question.
    pub async fn identifiers_of(&self, accounts: &[AccountId]) -> Result<HashMap<AccountId, Vec<Identifier>>, DataError> {
        let mut found: HashMap<AccountId, Vec<Identifier>> = HashMap::new();
        if accounts.is_empty() {
            return Ok(found);
        }
        let places = vec!["?"; accounts.len()].join(", ");
        let sql = format!("{} WHERE account_id IN ({places}) ORDER BY claimed_at, id", identifier::COLUMNS);
        let query = accounts.iter().fold(statement(AssertSqlSafe(sql)), |query, id| query.bind(id.to_string()));
        let rows: Vec<identifier::Row> = query.fetch_all(&self.database).await?;
        for identifier in rows.into_iter().map(identifier::identifier) {
            found.entry(identifier.account).or_default().push(identifier);
        }
        Ok(found)
    }

    /// Lets an account sign in, or keeps it from it. Either way every session ends, with its refresh tokens, flows and remembered
    /// browsers: who is let in again begins anew. False: it stood so before.
    pub async fn set_active(&self, account: AccountId, active: bool, event: &NewEvent) -> Result<bool, DataError> {
        self.database.retrying(|| self.set_active_once(account, active, event)).await
    }

    async fn set_active_once(&self, account: AccountId, active: bool, event: &NewEvent) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        let query = statement("UPDATE account SET status = ? WHERE id = ? AND status <> ?");
        let query = query.bind(status(active)).bind(account.to_string()).bind(status(active));
        if query.execute(&mut change).await? != 1 {
            return Ok(false);
        }
        end_flows(&mut change, account).await?;
        end_sessions(&mut change, account, None::<Uuid>).await?;
        note(&mut change, event).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Other roles. False: they were these before.
    pub async fn set_roles(&self, account: AccountId, roles: &[String], event: &NewEvent) -> Result<bool, DataError> {
        self.database.retrying(|| self.set_roles_once(account, roles, event)).await
    }

    async fn set_roles_once(&self, account: AccountId, roles: &[String], event: &NewEvent) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        let roles = roles.join(" ");
        let query = statement("UPDATE account SET roles = ? WHERE id = ? AND roles <> ?");
        if query.bind(&roles).bind(account.to_string()).bind(&roles).execute(&mut change).await? != 1 {
            return Ok(false);
        }
        note(&mut change, event).await?;
        change.commit().await?;
        Ok(true)
    }
}
