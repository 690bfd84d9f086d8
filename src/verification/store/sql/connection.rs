//! Connections to the shared database, and a transaction on one of them.

use std::sync::Once;
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyPoolOptions, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, AssertSqlSafe, Transaction};

use super::failure::Failure;
use super::statement::Dialect;

/// A value of a statement.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text: mostly the rows of a batch, as JSON.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

/// A pool that knows whose SQL it speaks.
#[derive(Debug, Clone)]
pub struct Connections {
    pool: AnyPool,
    /// Whose SQL.
    pub dialect: Dialect,
}

/// Statements that happen together. Undone when dropped.
pub struct Change {
    transaction: Transaction<'static, Any>,
    /// Whose SQL.
    pub dialect: Dialect,
}

impl Connections {
    /// Connects when it is first needed. Must be called within the runtime.
    pub fn open(url: &str) -> Result<Connections, sqlx::Error> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let dialect = match url.split(':').next() {
            Some("postgres" | "postgresql") => Dialect::Postgres,
            Some("mysql" | "mariadb") => Dialect::Mysql,
            _ => Dialect::Sqlite,
        };
        let settings = match dialect {
            Dialect::Sqlite => "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA synchronous = NORMAL",
            // Each statement finds its rows by their keys. A plan that was made while a table was small must not read all of it
            // for ever.
            Dialect::Postgres => {
                "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
                 SET default_transaction_isolation = 'read committed'; SET jit = off"
            }
            Dialect::Mysql => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        };
        let options = AnyPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(3)).test_before_acquire(false);
        let options = options
            .after_connect(move |connection, _| Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) }));
        Ok(Connections { pool: options.connect_lazy(url)?, dialect })
    }

    /// Begins a change.
    pub async fn change(&self) -> Result<Change, Failure> {
        let begin = if self.dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        Ok(Change { transaction: self.pool.begin_with(begin).await?, dialect: self.dialect })
    }

    /// What a statement by itself finds.
    pub async fn rows(&self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<Vec<AnyRow>, Failure> {
        Ok(prepared(self.dialect, sql, values).fetch_all(&self.pool).await?)
    }

    /// How many rows a statement by itself changed.
    pub async fn execute(&self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<u64, Failure> {
        Ok(prepared(self.dialect, sql, values).execute(&self.pool).await?.rows_affected())
    }
}

impl Change {
    /// What a statement finds.
    pub async fn rows(&mut self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<Vec<AnyRow>, Failure> {
        Ok(prepared(self.dialect, sql, values).fetch_all(&mut *self.transaction).await?)
    }

    /// How many rows a statement changed.
    pub async fn execute(&mut self, sql: String, values: impl IntoIterator<Item = Value>) -> Result<u64, Failure> {
        Ok(prepared(self.dialect, sql, values).execute(&mut *self.transaction).await?.rows_affected())
    }

    /// Makes it last.
    pub async fn commit(self) -> Result<(), Failure> {
        self.transaction.commit().await.map_err(Failure::of_commit)
    }
}

fn prepared(dialect: Dialect, sql: String, values: impl IntoIterator<Item = Value>) -> Query<'static, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(dialect.numbered(sql)));
    values.into_iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
    })
}
