//! Durable data: opening the database, bringing its tables up to date, and the plain tables beside the verifications.

pub mod accounts;
pub mod attempt;
pub mod backup;
pub mod client;
pub mod database;
pub mod entities;
pub mod foreign_table;
pub mod import;
pub mod kept;
pub mod rate_limit;
pub mod refresh_token;
pub mod sealed;
pub mod service;
pub mod signing_key;
pub mod sweep;
pub mod transfer;
pub mod twilio;

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Migrations in the order in which they are applied. The name is what `countersign migrate` shows.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_first", include_str!("../../migrations/embedded/0001_first.sql")),
    ("0002_append_only", include_str!("../../migrations/embedded/0002_append_only.sql")),
];

/// How long a statement waits for another process (the CLI) that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite said no.
    #[error("the database {path} failed: {source}")]
    Sqlite {
        /// The file.
        path: String,
        /// What it said.
        source: rusqlite::Error,
    },
    /// Made by a newer version.
    #[error("the database {path} has migration {found}, this version knows {known}: run the newer version")]
    Newer {
        /// The file.
        path: String,
        /// Migrations that it has.
        found: usize,
        /// Migrations that this version has.
        known: usize,
    },
}

/// How durable a commit is when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// On the disk.
    Full,
    /// On the disk a moment later; a power cut can lose the last moments.
    Normal,
}

impl Synchronous {
    /// As SQLite calls it.
    fn as_sql(self) -> &'static str {
        match self {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        }
    }
}

/// One applied or waiting migration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Migration {
    /// Its file's name.
    pub name: Cow<'static, str>,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether this version has it. One that it has not is a newer version's: this one does not start on such a database.
    pub known: bool,
}

impl Migration {
    /// One of this version's.
    fn of_ours(name: &'static str, applied: bool) -> Migration {
        Migration { name: name.into(), applied, known: true }
    }

    /// One that a newer version has applied.
    fn of_newer(name: String) -> Migration {
        Migration { name: name.into(), applied: true, known: false }
    }
}

/// A connection with the settings that every user of the file shares.
pub fn connect(path: &Path, synchronous: Synchronous) -> Result<Connection, DatabaseError> {
    let failed = |source| DatabaseError::Sqlite { path: path.display().to_string(), source };
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    let synchronous = synchronous.as_sql();
    // The log is written back every 2,000 pages (16 MB): rarely enough to be cheap, often enough to be short.
    // Pages of 8 KB: rows are mostly appended, and each page is two system calls when it is logged.
    let settings = format!(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 2000; \
         PRAGMA journal_size_limit = 67108864; PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;"
    );
    connection.execute_batch(&settings).map_err(failed)?;
    Ok(connection)
}

/// Applies what is missing, all or nothing, and returns the names of what it applied.
pub fn migrate(path: &Path) -> Result<Vec<&'static str>, DatabaseError> {
    restrict(path);
    let failed = |source| DatabaseError::Sqlite { path: path.display().to_string(), source };
    let connection = connect(path, Synchronous::Full)?;
    // Two processes that start at once: the second waits here, then finds nothing to do.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let found = version(&connection).map_err(failed)?;
    if found > MIGRATIONS.len() {
        let path = path.display().to_string();
        return Err(DatabaseError::Newer { path, found, known: MIGRATIONS.len() });
    }
    let missing = &MIGRATIONS[found..];
    for (_, sql) in missing {
        connection.execute_batch(sql).map_err(failed)?;
    }
    connection.pragma_update(None, "user_version", MIGRATIONS.len()).map_err(failed)?;
    connection.execute_batch("COMMIT").map_err(failed)?;
    Ok(missing.iter().map(|(name, _)| *name).collect())
}

/// Every migration, and whether the database has it.
pub fn migrations(path: &Path) -> Result<Vec<Migration>, DatabaseError> {
    let failed = |source| DatabaseError::Sqlite { path: path.display().to_string(), source };
    let found = if path.exists() { version(&connect(path, Synchronous::Full)?).map_err(failed)? } else { 0 };
    let known = MIGRATIONS.iter().enumerate().map(|(index, (name, _))| Migration::of_ours(name, index < found));
    // It keeps their number, and not their names.
    let newer = (MIGRATIONS.len()..found).map(|index| Migration::of_newer(format!("{:04}", index + 1)));
    Ok(known.chain(newer).collect())
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes the file readable by its owner only, before SQLite makes it for everybody.
fn restrict(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    // An existing file keeps the mode that its owner gave it; another failure shows when SQLite opens the file.
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}
