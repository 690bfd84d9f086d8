//! The conformance suite over real databases. Each case gets a database of its own, made and dropped here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use uuid::Uuid;

use super::SqlStore;
use crate::audit::AuditLog;
use crate::verification::limit::{LimitName, Quota, Rule, Take};
use crate::verification::model::{EventKind, Status};
use crate::verification::store::conformance::fixtures::{NOW, SERVICE, approve, attempt, start, verification};
use crate::verification::store::conformance::replicas::run_shared;
use crate::verification::store::conformance::run_all;
use crate::verification::store::{AttemptOutcome, Store};

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

/// Cuts the connections of a server in the middle of what they do, again and again, as a failing network or an operator would.
async fn cut(url: &str, is_over: &AtomicBool) {
    let mut connection = AnyConnection::connect(url).await.expect("a connection");
    let name = url.rsplit('/').next().expect("a database");
    while !is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(60)).await;
        if url.starts_with("postgres") {
            let kill = format!(
                "SELECT 1 FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid() AND pg_terminate_backend(pid)"
            );
            let _ = sqlx::raw_sql(AssertSqlSafe(kill)).execute(&mut connection).await;
        } else {
            let of = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND ID <> CONNECTION_ID()");
            let ids: Vec<(i64,)> = sqlx::query_as(AssertSqlSafe(of)).fetch_all(&mut connection).await.unwrap_or_default();
            for (id,) in ids {
                let _ = sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}"))).execute(&mut connection).await;
            }
        }
    }
}

/// R10, OTP-04, ATT-04: what was acknowledged is there, what was refused is not half there, and no answer is given twice, though
/// connections break in the middle of batches. A failed call is one of which nothing is known.
async fn cuts_leave_nothing_half(databases: Databases) {
    let url = databases.empty().await;
    let (one, other) = (store(&url, 1).await, store(&url, 2).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let cutter = tokio::spawn({
        let (url, is_over) = (url.clone(), Arc::clone(&is_over));
        async move { cut(&url, &is_over).await }
    });
    let workers: Vec<_> = (0..16_u32)
        .map(|worker| {
            let store = Arc::clone(if worker % 2 == 0 { &one } else { &other });
            tokio::spawn(async move {
                let (mut begun, mut approved, mut unknown) = (Vec::new(), Vec::new(), 0);
                for number in 0..60 {
                    let row = verification(worker * 1000 + number, worker * 1000 + number);
                    let id = row.id;
                    let mut start = start(row);
                    start.takes.push(shared());
                    start.now = NOW;
                    match store.start(start).await {
                        Ok(_) => begun.push(id),
                        Err(_) => unknown += 1,
                    }
                    if let Ok(AttemptOutcome::Judge(_)) = store.attempt(attempt(id, NOW)).await
                        && let Ok(true) = store.approve(approve(id)).await
                    {
                        approved.push(id);
                    }
                }
                (begun, approved, unknown)
            })
        })
        .collect();
    let (mut begun, mut approved, mut unknown) = (Vec::new(), Vec::new(), 0);
    for worker in workers {
        let (theirs, right, lost) = worker.await.expect("a worker");
        begun.extend(theirs);
        approved.extend(right);
        unknown += lost;
    }
    is_over.store(true, Ordering::Relaxed);
    cutter.await.expect("the cutter");
    assert!(unknown > 0, "nothing was cut");
    assert!(!approved.is_empty(), "nothing came through");
    let fresh = store(&url, 3).await;
    for id in &begun {
        assert!(fresh.get(SERVICE, *id).await.expect("an answer").is_some(), "an acknowledged start is gone");
    }
    let mut rows = 0;
    for id in (0..16_u32).flat_map(|worker| (0..60).map(move |number| verification(worker * 1000 + number, 0).id)) {
        let timeline = fresh.timeline(id).await.expect("a timeline");
        let Some((row, _)) = fresh.get(SERVICE, id).await.expect("an answer") else {
            assert!(timeline.is_empty(), "events without a row");
            continue;
        };
        rows += 1;
        assert_eq!(timeline.len(), row.revision as usize + 1, "row and events disagree");
        let checks = timeline.iter().filter(|event| event.kind == EventKind::Checked).count();
        assert_eq!(checks, row.attempts as usize, "row and events disagree");
        if approved.contains(&id) {
            assert_eq!(row.status, Status::Approved, "an acknowledged approval is gone");
        }
    }
    // Each start that happened took once from the limit that all share, and none that did not happen took.
    let mut taken = 0;
    while fresh.take(vec![shared()], NOW).await.expect("an answer").is_ok() {
        taken += 1;
    }
    assert_eq!(taken, SHARED - rows, "{rows} starts happened, {taken} of {SHARED} were left");
    println!("{rows} of 960 starts happened, {} were acknowledged, of {unknown} nothing is known", begun.len());
}

/// Room in the limit that all starts take from.
const SHARED: u32 = 1000;

fn shared() -> Take {
    let rule = Rule::Rate(Quota { count: SHARED, per: Duration::from_secs(1_000_000_000) });
    Take { key: [7; 16], name: LimitName::Service, rule }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: tests/databases/run"]
async fn cut_connections_leave_nothing_half_in_postgres() {
    cuts_leave_nothing_half(server("COUNTERSIGN_TEST_POSTGRES_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MariaDB: tests/databases/run"]
async fn cut_connections_leave_nothing_half_in_mysql() {
    cuts_leave_nothing_half(server("COUNTERSIGN_TEST_MYSQL_URL")).await;
}

/// A value that the database does not take fails its own transition, and not those beside it in the batch.
async fn one_wrong_transition_fails_alone(databases: Databases) {
    let store = store(&databases.empty().await, 1).await;
    let tasks: Vec<_> = (0..64_u32)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut row = verification(number, number);
                if number % 16 == 0 {
                    // Somebody else's id: the row is there already.
                    row.id = verification(1000, 0).id;
                }
                store.start(start(row)).await
            })
        })
        .collect();
    let mut failed = 0;
    for task in tasks {
        failed += usize::from(task.await.expect("a caller").is_err());
    }
    assert_eq!(failed, 3, "one of the four with one id may pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_transition_fails_alone_in_a_file() {
    one_wrong_transition_fails_alone(Databases::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: tests/databases/run"]
async fn one_wrong_transition_fails_alone_in_postgres() {
    one_wrong_transition_fails_alone(server("COUNTERSIGN_TEST_POSTGRES_URL")).await;
}

/// How fast it is; `./test` does not ask.
async fn rate(databases: Databases) {
    let store = store(&databases.empty().await, 1).await;
    let tasks = 64_u32;
    let each = 100_u32;
    for (what, checks) in [("starts", false), ("checks", true)] {
        let began = std::time::Instant::now();
        let workers: Vec<_> = (0..tasks)
            .map(|worker| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for number in 0..each {
                        let row = verification(worker * 1000 + number, worker * 1000 + number);
                        if checks {
                            store.attempt(attempt(row.id, NOW)).await.expect("a check");
                        } else {
                            let mut start = start(row);
                            start
                                .takes
                                .push(Take { rule: Rule::Rate(Quota { count: 1_000_000, per: Duration::from_secs(1) }), ..shared() });
                            store.start(start).await.expect("a start");
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.expect("a worker");
        }
        println!("{what}: {:.0} a second", f64::from(tasks * each) / began.elapsed().as_secs_f64());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rate_of_postgres() {
    rate(server("COUNTERSIGN_TEST_POSTGRES_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rate_of_mysql() {
    rate(server("COUNTERSIGN_TEST_MYSQL_URL")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rate_of_a_file() {
    rate(Databases::sqlite()).await;
}
