//! The database of accounts and what belongs to them: a pool, its migrations, and how a change is made in one step.
//!
//! One SQL text for every dialect: ids and hashes as text, times as milliseconds, no value that a database makes up. Beside
//! the embedded store this is a file of its own, so that a sign-in never waits for the writer of verifications.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Any, AnyPool, AssertSqlSafe, SqlSafeStr, Transaction};

use crate::db::Synchronous;

/// Migrations in the order in which they are applied, by dialect the same.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_accounts", include_str!("../../migrations/sqlite/0001_accounts.sql")),
    ("0007_unproven_accounts", include_str!("../../migrations/sqlite/0007_unproven_accounts.sql")),
];

/// Connections at most. SQLite has one writer; more of them only wait for each other.
const CONNECTIONS: u32 = 4;
/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// What each connection to SQLite is told.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA synchronous = ";

/// Why a statement failed.
pub use sqlx::Error as DataError;

/// A change in several statements; the first one takes the write lock. Undone when dropped.
pub type Change = Transaction<'static, Any>;

/// Durable data. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
}

impl Database {
    /// Opens (or makes) a file, readable by its owner only, and brings its tables up to date.
    pub async fn open(file: &Path, synchronous: Synchronous) -> Result<Database, sqlx::Error> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        super::restrict(file);
        let settings = match synchronous {
            Synchronous::Full => [SETTINGS, "FULL"].concat(),
            Synchronous::Normal => [SETTINGS, "NORMAL"].concat(),
        };
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
        let options = options.after_connect(move |connection, _| {
            let settings = AssertSqlSafe(settings.clone());
            Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
        });
        let url = url::Url::from_file_path(std::path::absolute(file).map_err(sqlx::Error::Io)?);
        let url = url.map_err(|()| sqlx::Error::Configuration("the file's name is no path".into()))?;
        let pool = options.connect(&url.as_str().replacen("file://", "sqlite://", 1)).await?;
        let migrations = (1..)
            .zip(MIGRATIONS)
            .map(|(version, (name, sql))| Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false));
        Migrator::with_migrations(migrations.collect()).run(&pool).await?;
        Ok(Database { pool })
    }

    /// For single statements.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a change. Nobody else writes until it is committed or dropped: keep it short, and wait for nothing in it.
    pub async fn change(&self) -> Result<Change, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether the error says that a constraint of that name (or on that column, as SQLite reports it) refused.
pub fn is_refused_by(error: &sqlx::Error, constraint: &str, column: &str) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation()
            && (error.constraint() == Some(constraint) || error.message().contains(constraint) || error.message().contains(column))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opens_twice_keeps_its_rows_and_undoes_what_is_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("with space.db");
        let insert = "INSERT INTO account_event (id, account_id, at, kind, address, detail) VALUES (?, ?, ?, ?, ?, ?)";
        for round in 0..2_i64 {
            let database = Database::open(&file, Synchronous::Full).await.expect("opens");
            let mut change = database.change().await.expect("a change");
            let query = sqlx::query(insert).bind(round.to_string()).bind(None::<String>).bind(round).bind("a").bind("b").bind("c");
            query.execute(&mut *change).await.expect("a row");
            change.commit().await.expect("a commit");
            let mut dropped = database.change().await.expect("a change");
            sqlx::query("DELETE FROM account_event").execute(&mut *dropped).await.expect("deletes");
            drop(dropped);
            let count: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM account_event").fetch_one(database.pool()).await.expect("a count");
            assert_eq!(count.0, round + 1);
            database.close().await;
        }
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}
