//! The conformance suite over real databases. Each case gets a database of its own, made and dropped here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use uuid::Uuid;

use super::SqlStore;
use crate::audit::AuditLog;
use crate::verification::store::Store;
use crate::verification::store::conformance::replicas::run_shared;
use crate::verification::store::conformance::run_all;

const SQLITE: &str = include_str!("../../../../migrations/sqlite/0003_verifications.sql");
const POSTGRES: &str = include_str!("../../../../migrations/postgres/0003_verifications.sql");
const MYSQL: &str = include_str!("../../../../migrations/mysql/0003_verifications.sql");

async fn execute(url: &str, sql: String) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.expect("a connection");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a statement");
    connection.close().await.expect("closed");
}

/// Databases on a server, or files in a directory.
pub struct Databases {
    server: String,
    _directory: tempfile::TempDir,
    number: AtomicU32,
}

impl Databases {
    pub fn on(server: impl Into<String>) -> Databases {
        Databases { server: server.into(), _directory: tempfile::tempdir().expect("a directory"), number: AtomicU32::new(0) }
    }

    pub fn sqlite() -> Databases {
        let directory = tempfile::tempdir().expect("a directory");
        Databases { server: format!("sqlite://{}", directory.path().display()), _directory: directory, number: AtomicU32::new(0) }
    }

    pub async fn empty(&self) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        if self.server.starts_with("sqlite") {
            let url = format!("{}/{number}.db?mode=rwc", self.server);
            execute(&url, SQLITE.into()).await;
            return url;
        }
        let name = format!("countersign_test_{}_{number}", std::process::id());
        execute(&self.server, format!("DROP DATABASE IF EXISTS {name}")).await;
        execute(&self.server, format!("CREATE DATABASE {name}")).await;
        let mut url = url::Url::parse(&self.server).expect("a URL");
        url.set_path(&name);
        execute(url.as_str(), if url.scheme().starts_with("postgres") { POSTGRES } else { MYSQL }.into()).await;
        url.into()
    }
}

pub async fn store(url: &str, replica: u128) -> Arc<dyn Store> {
    Arc::new(SqlStore::open(url, Uuid::from_u128(replica), Arc::new(AuditLog)).await.expect("the store opens"))
}

fn server(variable: &str) -> Databases {
    Databases::on(std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server: tests/databases/run starts one")))
}

async fn conforms(databases: Databases) {
    run_all(async || store(&databases.empty().await, 1).await).await;
}

async fn is_shared(databases: Databases) {
    run_shared(async || {
        let url = databases.empty().await;
        let mut replicas = Vec::new();
        for replica in 1..=3 {
            replicas.push(store(&url, replica).await);
        }
        replicas
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_file_conforms() {
    conforms(Databases::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: tests/databases/run"]
async fn postgres_conforms() {
    conforms(server("COUNTERSIGN_TEST_POSTGRES_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MariaDB: tests/databases/run"]
async fn mysql_conforms() {
    conforms(server("COUNTERSIGN_TEST_MYSQL_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: tests/databases/run"]
async fn postgres_is_shared() {
    is_shared(server("COUNTERSIGN_TEST_POSTGRES_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MariaDB: tests/databases/run"]
async fn mysql_is_shared() {
    is_shared(server("COUNTERSIGN_TEST_MYSQL_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_shared() {
    is_shared(Databases::sqlite()).await;
}
