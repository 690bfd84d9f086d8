//! Transactions and statements on the shared database, with failures as a batch sees them.

use sqlx::any::AnyRow;

use super::failure::Failure;
use crate::db::database::{self, AssertSqlSafe, Database, Dialect, On, Query, Value};

/// The shared database.
#[derive(Debug, Clone)]
pub struct Connections {
    database: Database,
}

/// Statements that happen together. Undone when dropped.
pub struct Change {
    change: database::Change,
    /// Whose SQL.
    pub dialect: Dialect,
}

impl Connections {
    /// Over that database.
    pub fn new(database: Database) -> Connections {
        Connections { database }
    }

    /// Whose SQL.
    pub fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    /// Begins a change.
    pub async fn change(&self) -> Result<Change, Failure> {
        Ok(Change { change: self.database.change_by_keys().await?, dialect: self.dialect() })
    }

    /// What a statement by itself finds.
    pub async fn rows(&self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<Vec<AnyRow>, Failure> {
        Ok(bound(sql, values).fetch_rows(&self.database).await?)
    }

    /// How many rows a statement by itself changed.
    pub async fn execute(&self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<u64, Failure> {
        Ok(bound(sql, values).execute(&self.database).await?)
    }
}

impl Change {
    /// What a statement finds.
    pub async fn rows(&mut self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<Vec<AnyRow>, Failure> {
        Ok(bound(sql, values).fetch_rows(On::Within(&mut self.change)).await?)
    }

    /// How many rows a statement changed.
    pub async fn execute(&mut self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<u64, Failure> {
        Ok(bound(sql, values).execute(On::Within(&mut self.change)).await?)
    }

    /// Makes it last.
    pub async fn commit(self) -> Result<(), Failure> {
        self.change.commit().await.map_err(Failure::of_commit)
    }
}

fn bound(sql: String, values: impl IntoIterator<Item = Value>) -> Query {
    values.into_iter().fold(database::statement(AssertSqlSafe(sql)), Query::bind)
}
