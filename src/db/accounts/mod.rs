//! The tables of accounts. Each method is one step: what must not be half done is one change, and a guarded write tells by
//! its row count who won.

mod account;
mod browser;
mod event;
mod factor;
mod flow;
mod identifier;
mod session;

pub use account::{NewAccount, NewPassword, Registering};
pub use event::NewEvent;
pub use factor::{FactorRow, NewFactor};
pub use flow::Flow;
pub use identifier::Proving;
pub use session::{Completion, NewSession};

use uuid::Uuid;

use crate::account::model::AccountId;
use crate::clock::Timestamp;
use crate::db::database::{Change, DataError, Database, statement};

/// The tables, over a pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccountTables {
    database: Database,
}

impl AccountTables {
    /// The tables of that database.
    pub fn new(database: Database) -> AccountTables {
        AccountTables { database }
    }

    /// Removes what has ended (flows, sessions, browsers), and events from before `kept_since`.
    pub async fn sweep(&self, now: Timestamp, kept_since: Timestamp) -> Result<(), DataError> {
        let database = &self.database;
        for sql in [
            "DELETE FROM flow WHERE expires_at <= ?",
            "DELETE FROM session WHERE expires_at <= ? OR seen_at + idle <= ?",
            "DELETE FROM refresh_token WHERE expires_at <= ?",
            "DELETE FROM browser WHERE expires_at <= ?",
        ] {
            let query = (0..sql.matches('?').count()).fold(statement(sql), |query, _| query.bind(now.0));
            query.execute(database).await?;
        }
        statement("DELETE FROM account_event WHERE at < ?").bind(kept_since.0).execute(database).await?;
        Ok(())
    }

    /// The database, for the tables that stand beside these.
    pub fn database(&self) -> &Database {
        &self.database
    }

    async fn change(&self) -> Result<Change, DataError> {
        self.database.change().await
    }
}

/// Waits until nobody else is changing what hangs on the account, and keeps others from it until the end of the change. False:
/// there is no such account.
async fn lock_account(change: &mut Change, account: AccountId) -> Result<bool, DataError> {
    let found: Option<(String,)> =
        statement("SELECT id FROM account WHERE id = ? FOR UPDATE").bind(account.to_string()).fetch_optional(change).await?;
    Ok(found.is_some())
}

/// An id as it stands in a row. What is none, which only a hand in the database can have put there, names nothing.
fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}
