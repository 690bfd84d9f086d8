//! A database for one test: a file, or, where COUNTERSIGN_TEST_DATABASE_URL names a server (as `tests/databases/run` does), a
//! database of its own there. Gone with the test. Used by the tests within the library, too.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// Names the server: a URL that may create and drop databases.
const SERVER: &str = "COUNTERSIGN_TEST_DATABASE_URL";

/// What is opened, and dropped in the end.
pub struct OwnDatabase {
    /// Where it is.
    pub url: String,
    server: Option<(String, String)>,
    _directory: tempfile::TempDir,
}

/// The server that the environment names, if it names one.
#[expect(clippy::disallowed_methods, reason = "where tests run is no setting of the server")]
pub fn server() -> Option<String> {
    std::env::var(SERVER).ok().filter(|url| !url.is_empty())
}

impl OwnDatabase {
    /// An empty one.
    pub async fn new() -> OwnDatabase {
        let directory = tempfile::tempdir().expect("a directory");
        match server() {
            Some(server) => OwnDatabase::on(&server, directory).await,
            None => {
                OwnDatabase { url: format!("sqlite:{}", directory.path().join("own.db").display()), server: None, _directory: directory }
            }
        }
    }

    async fn on(server: &str, directory: tempfile::TempDir) -> OwnDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let create = match server.starts_with("postgres") {
            true => format!("CREATE DATABASE {name} TEMPLATE template0"),
            false => format!("CREATE DATABASE {name}"),
        };
        tell(server, create).await;
        let mut url = url::Url::parse(server).expect("a URL");
        url.set_path(&name);
        OwnDatabase { url: url.into(), server: Some((server.to_owned(), name)), _directory: directory }
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = self.server.take() else { return };
        let force = if server.starts_with("postgres") { " WITH (FORCE)" } else { "" };
        // MariaDB would wait a day for a transaction that the test has dropped and its runtime has not undone yet. What stays goes
        // with the server.
        let patience = if server.starts_with("postgres") { "" } else { "SET SESSION lock_wait_timeout = 1; " };
        let drop = format!("{patience}DROP DATABASE IF EXISTS {name}{force}");
        // A runtime of its own: that of the test may be on its way out.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(tell(&server, drop));
        });
        let _ = dropped.join();
    }
}

/// A connection of its own to it.
pub async fn connect(url: &str) -> AnyConnection {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
    AnyConnection::connect(url).await.expect("a server of databases")
}

/// Tells a database something, behind the back of whoever uses it. What only SQLite understands is told to SQLite only.
pub async fn tell(url: &str, sql: String) {
    let mut connection = connect(url).await;
    let is_file = url.starts_with("sqlite:");
    let sql = sql.split("; ").filter(|one| is_file || !one.starts_with("PRAGMA ")).collect::<Vec<_>>().join("; ");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a statement");
    connection.close().await.expect("a goodbye");
}
