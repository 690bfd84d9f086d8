//! Durable data: accounts and what belongs to them, API clients. A pool, its migrations, and how a change is made in one step.
//!
//! One SQL text for every dialect ([`statement`]): ids and hashes as text, times as milliseconds, no value that a database makes
//! up. Where nothing else is configured this is a file of its own beside the embedded store, so that a sign-in never waits for
//! the writer of verifications.
//!
//! In SQLite one change is made at a time. The servers make many at once, each statement seeing what was committed before it
//! (READ COMMITTED): whoever reads before it writes locks what it read (` FOR UPDATE`), or a name for what is not there yet
//! ([`Change::lock`]).

mod dialect;
mod doubt;
mod error;
mod lent;
#[cfg(test)]
#[path = "../../../tests/it/link.rs"]
pub(crate) mod link;
mod migrations;
pub mod patience;
mod query;
mod settings;
#[cfg(test)]
mod silence;
#[cfg(test)]
#[path = "../../../tests/it/own_database.rs"]
pub(crate) mod testing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, Connection, SqlSafeStr, SqlStr};
use tokio::time::timeout;

use crate::db::{Migration, client, restrict};

use doubt::Doubt;
use lent::Lent;

pub use dialect::Dialect;
pub use error::{DataError, Reason};
pub use migrations::in_sqlite;
pub use query::{On, Query, Value, statement};
pub use settings::{Place, Settings};
pub use sqlx::AssertSqlSafe;

/// Connections to a file. SQLite has one writer; more of them only wait for each other.
const FILE_CONNECTIONS: u32 = 4;
/// The pauses before a change that was in the way of another is tried again.
const PAUSES: [u64; 6] = [2, 5, 10, 25, 50, 100];
/// Rows that stand for names that are locked (`lock_slot`).
const LOCK_SLOTS: i64 = 64;

/// Durable data. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
    dialect: Dialect,
    settings: Arc<Settings>,
    doubt: Arc<Doubt>,
    /// Whether the tables are known to be up to date.
    is_ready: Arc<AtomicBool>,
}

/// A change in several statements. Undone when dropped.
pub struct Change {
    lent: Lent,
    dialect: Dialect,
}

impl Database {
    /// Opens it, makes a file that is not there (readable by its owner only), and brings the tables up to date.
    pub async fn open(settings: Settings) -> Result<Database, DataError> {
        let database = Database::unprepared(settings)?;
        database.prepare().await?;
        Ok(database)
    }

    /// Connects to nothing yet. Statements fail until [`Database::prepare`] has succeeded.
    pub fn unprepared(settings: Settings) -> Result<Database, DataError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let dialect = settings.place.dialect();
        let connections = if dialect == Dialect::Sqlite { FILE_CONNECTIONS } else { settings.connections };
        let words = greeting(&settings);
        let options = AnyPoolOptions::new().max_connections(connections).acquire_timeout(settings.acquire_timeout);
        let options = match dialect {
            // Twice in the time after which the server would, and would write a warning into its log.
            Dialect::Mysql => options.idle_timeout(patience::RESTED_TOO_LONG / 2),
            Dialect::Sqlite | Dialect::Postgres => options,
        };
        let options = options.after_connect(move |connection, _| {
            let words = words.clone();
            Box::pin(async move { sqlx::raw_sql(words).execute(connection).await.map(drop) })
        });
        let doubt = Arc::<Doubt>::default();
        let doubted = Arc::clone(&doubt);
        let options = options.test_before_acquire(false).before_acquire(move |connection, found| {
            let doubted = Arc::clone(&doubted);
            Box::pin(async move {
                if doubted.is_about(found.age) {
                    return Ok(false);
                }
                if found.idle_for <= patience::RESTED {
                    return Ok(true);
                }
                let answer = timeout(patience::PING, connection.ping()).await;
                let answer = answer.unwrap_or_else(|silent| Err(std::io::Error::from(silent).into()));
                answer.map(|()| true).inspect_err(|_| doubted.raise())
            })
        });
        let pool = options.connect_lazy(&address(&settings)?)?;
        Ok(Database { pool, dialect, settings: Arc::new(settings), doubt, is_ready: Arc::default() })
    }

    /// Brings the tables up to date and takes over what an older version kept elsewhere.
    pub fn prepare(&self) -> BoxFuture<'_, Result<(), DataError>> {
        let work = async {
            migrations::run(self.connection().await?, self.dialect).await?;
            self.is_ready.store(true, Ordering::Release);
            if let Some(embedded) = &self.settings.embedded {
                client::take_over(self, embedded).await.inspect_err(|_| self.is_ready.store(false, Ordering::Release))?;
            }
            Ok(())
        };
        Box::pin(work)
    }

    /// Every migration, and whether the database has it. Changes nothing.
    pub async fn migrations(settings: Settings) -> Result<Vec<Migration>, DataError> {
        // Looking makes no file.
        if let Place::File(file, _) = &settings.place
            && !file.exists()
        {
            return Ok(migrations::none_applied());
        }
        let database = Database::unprepared(settings)?;
        let mut connection = database.connection().await?;
        let status = migrations::status(&mut connection).await?;
        connection.close().await?;
        Ok(status)
    }

    /// Whether it can be used now.
    pub async fn ping(&self) -> Result<(), DataError> {
        statement("SELECT 1").execute(self).await.map(drop)
    }

    /// Whether it is a file, which either opens or does not.
    pub fn is_file(&self) -> bool {
        self.dialect == Dialect::Sqlite
    }

    /// Whether it has been reached and its tables are up to date.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Whose SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Where it is, for people.
    pub fn shown(&self) -> String {
        self.settings.place.shown()
    }

    /// Begins a change. Keep it short, and wait for nothing else in it: in SQLite nobody else writes meanwhile.
    pub async fn change(&self) -> Result<Change, DataError> {
        self.begin(match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres | Dialect::Mysql => "BEGIN",
        })
        .await
    }

    /// Begins a change whose statements find all of their rows by keys. PostgreSQL keeps the plans of statements: one that was
    /// made while a table was small must not read all of it ever after.
    pub async fn change_by_keys(&self) -> Result<Change, DataError> {
        self.begin(match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off",
            Dialect::Mysql => "BEGIN",
        })
        .await
    }

    async fn begin(&self, words: &'static str) -> Result<Change, DataError> {
        let mut lent = self.lend().await?;
        lent.begin(words).await?;
        Ok(Change { lent, dialect: self.dialect })
    }

    /// Does the work, which makes one change, and does it anew while the database undoes it for being in the way of another.
    /// A change of which it is not known whether it was made is not repeated.
    pub async fn retrying<T, F>(&self, work: impl Fn() -> F) -> Result<T, DataError>
    where
        F: Future<Output = Result<T, DataError>>,
    {
        for pause in PAUSES {
            match work().await {
                Err(error) if error.reason() == Reason::Conflict => tokio::time::sleep(Duration::from_millis(pause)).await,
                done => return done,
            }
        }
        work().await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self.is_file() {
            true => self.pool.close().await,
            // A server that does not answer hears it from the system.
            false => drop(timeout(patience::FAREWELL, self.pool.close()).await),
        }
    }

    /// A connection of the pool.
    async fn lend(&self) -> Result<Lent, DataError> {
        self.ready()?;
        let patience = (!self.is_file()).then(|| self.settings.statement_timeout + patience::WAY);
        Ok(Lent::new(self.pool.acquire().await?, patience, Arc::clone(&self.doubt)))
    }

    /// One connection beside the pool, without its time limits on statements.
    async fn connection(&self) -> Result<AnyConnection, DataError> {
        if let Place::File(file, _) = &self.settings.place {
            restrict(file);
        }
        let address = address(&self.settings)?;
        // A file opens or does not; only a server may keep one waiting.
        let mut connection = match self.is_file() {
            true => AnyConnection::connect(&address).await?,
            false => {
                let connected = timeout(self.settings.acquire_timeout, AnyConnection::connect(&address)).await;
                connected.map_err(|_| DataError::because(Reason::Unreachable, "no connection in time"))??
            }
        };
        if self.dialect == Dialect::Sqlite {
            sqlx::raw_sql(greeting(&self.settings)).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    fn ready(&self) -> Result<(), DataError> {
        match self.is_ready() {
            true => Ok(()),
            false => Err(DataError::because(Reason::NotReady, "")),
        }
    }
}

impl Change {
    /// Makes it so.
    pub async fn commit(self) -> Result<(), DataError> {
        self.lent.commit().await
    }

    /// Waits until no other change has locked one of these names, and locks them until the end of this one: for what is
    /// decided by rows that are not there. Name all that a change needs at once, or two can wait for each other.
    pub async fn lock(&mut self, names: &[&str]) -> Result<(), DataError> {
        // Who changes SQLite has locked all of it.
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let slot = |name: &&str| i64::from(Sha256::digest(name.as_bytes())[0]) % LOCK_SLOTS;
        let mut slots: Vec<i64> = names.iter().map(slot).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let _: (i64,) = statement("SELECT slot FROM lock_slot WHERE slot = ? FOR UPDATE").bind(slot).fetch_one(&mut *self).await?;
        }
        Ok(())
    }
}

fn address(settings: &Settings) -> Result<String, DataError> {
    match &settings.place {
        Place::Server(_, url) => Ok(url.expose().clone()),
        Place::File(file, _) => {
            let path = std::path::absolute(file).map_err(sqlx::Error::Io)?;
            let url = url::Url::from_file_path(path).map_err(|()| sqlx::Error::Configuration("the file's name is no path".into()))?;
            Ok(url.as_str().replacen("file://", "sqlite://", 1))
        }
    }
}

/// What each connection is told first.
fn greeting(settings: &Settings) -> SqlStr {
    let milliseconds = settings.statement_timeout.as_millis();
    let seconds = settings.statement_timeout.as_secs().max(1);
    let (abandoned, rested) = (patience::ABANDONED.as_secs(), patience::RESTED_TOO_LONG.as_secs());
    let words = match &settings.place {
        Place::File(_, synchronous) => format!(
            "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA synchronous = {}",
            synchronous.as_sql()
        ),
        Place::Server(Dialect::Mysql, _) => format!(
            // What stands in `/*M!` is read by MariaDB alone, what stands in `/*!50708` by MySQL alone.
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', \
             innodb_lock_wait_timeout = {seconds} /*M! , max_statement_time = {seconds} */ /*M!100300 , idle_transaction_timeout = {abandoned} */ \
             /*!50708 , max_execution_time = {milliseconds} , wait_timeout = {rested} */; \
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
        ),
        Place::Server(..) => format!(
            "SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds}; \
             SET idle_in_transaction_session_timeout = '{abandoned}s'; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
        ),
    };
    AssertSqlSafe(words).into_sql_str()
}

#[cfg(test)]
impl Database {
    /// That of a test.
    pub(crate) async fn own(own: &testing::OwnDatabase) -> Database {
        let place = Place::parse(&own.url, crate::db::Synchronous::Normal).expect("a URL");
        Database::open(Settings::new(place)).await.expect("a database")
    }
}

#[cfg(test)]
mod tests {
    use super::testing::OwnDatabase;
    use super::*;
    use crate::db::Synchronous;

    const EVENT: &str = "INSERT INTO account_event (id, account_id, at, kind, address, detail) VALUES (?, ?, ?, 'a', 'b', 'c')";

    async fn count(database: &Database) -> i64 {
        let (count,): (i64,) = statement("SELECT COUNT(*) FROM account_event").fetch_one(database).await.expect("a count");
        count
    }

    #[tokio::test]
    async fn opens_twice_keeps_its_rows_and_undoes_what_is_dropped() {
        let own = OwnDatabase::new().await;
        for round in 0..2_i64 {
            let database = Database::own(&own).await;
            let mut change = database.change().await.expect("a change");
            let event = statement(EVENT).bind(round.to_string()).bind(None::<String>).bind(round);
            assert_eq!(event.execute(&mut change).await.expect("a row"), 1);
            change.commit().await.expect("a commit");
            let mut dropped = database.change().await.expect("a change");
            statement("DELETE FROM account_event").execute(&mut dropped).await.expect("deletes");
            drop(dropped);
            assert_eq!(count(&database).await, round + 1);
            database.close().await;
        }
    }

    /// OPS: ten servers that start at once on an empty database all start.
    #[tokio::test(flavor = "multi_thread")]
    async fn ten_migrate_at_once() {
        let own = OwnDatabase::new().await;
        let opened = futures_util::future::join_all((0..10).map(|_| Database::own(&own))).await;
        assert_eq!(count(&opened[9]).await, 0);
    }

    #[tokio::test]
    async fn a_newer_database_is_refused() {
        let own = OwnDatabase::new().await;
        let database = Database::own(&own).await;
        let later =
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, 'x', 0)";
        statement(later).execute(&database).await.expect("a later one");
        let settings = Settings::new(Place::parse(&own.url, Synchronous::Normal).expect("a URL"));
        let refused = Database::open(settings.clone()).await.expect_err("newer");
        assert!(refused.reason() == Reason::Newer && refused.to_string().contains("9999"), "{refused}");
        let status = Database::migrations(settings).await.expect("it can be looked at");
        let (ours, newer) = status.split_at(status.len() - 1);
        assert!(ours.iter().all(|migration| migration.known && migration.applied), "{ours:?}");
        assert_eq!(newer, [crate::db::Migration::of_newer("9999_later".into())]);
    }

    /// LOG-02: what a database says of a value does not reach logs.
    #[tokio::test]
    async fn errors_repeat_no_values() {
        let own = OwnDatabase::new().await;
        let database = Database::own(&own).await;
        let event = || statement(EVENT).bind("+4915112345678").bind(None::<String>).bind(1).execute(&database);
        event().await.expect("a row");
        let error = event().await.expect_err("there already");
        assert_eq!(error.reason(), Reason::Constraint);
        assert!(!format!("{error} {error:?}").contains("4915112345678"), "{error} {error:?}");
    }

    /// A lock on a name is held until the change ends, and what was locked by another is waited for.
    #[tokio::test(flavor = "multi_thread")]
    async fn names_are_locked_one_at_a_time() {
        let own = OwnDatabase::new().await;
        let database = Database::own(&own).await;
        let raise = async || {
            let mut change = database.change().await.expect("a change");
            change.lock(&["b", "a"]).await.expect("locked");
            let (count,): (i64,) = statement("SELECT COUNT(*) FROM account_event").fetch_one(&mut change).await.expect("a count");
            tokio::time::sleep(Duration::from_millis(5)).await;
            let event = statement(EVENT).bind(count.to_string()).bind(None::<String>).bind(count);
            event.execute(&mut change).await.expect("a number of its own");
            change.commit().await.expect("a commit");
        };
        futures_util::future::join_all((0..12).map(|_| raise())).await;
        assert_eq!(count(&database).await, 12);
    }

    #[tokio::test]
    async fn a_file_is_its_owners() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("with space.db");
        Database::open(Settings::file(&file, Synchronous::Full)).await.expect("opens");
        assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}
