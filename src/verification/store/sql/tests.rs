//! The conformance suite over a real database: a file, or a server where `tests/databases/run` names one. Each case gets one of its
//! own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::connection::Connections;
use super::{SqlStore, queue, records};
use crate::audit::AuditLog;
use crate::clock::{Clock, SystemClock};
use crate::db::database::Database;
use crate::db::database::testing::{OwnDatabase, connect};
use crate::verification::limit::{LimitName, Quota, Rule, Take};
use crate::verification::model::{EventKind, Status};
use crate::verification::store::conformance::fixtures::{NOW, SERVICE, approve, attempt, start, verification};
use crate::verification::store::conformance::replicas::run_shared;
use crate::verification::store::conformance::run_all;
use crate::verification::store::name::Name;
use crate::verification::store::{AttemptOutcome, Heartbeat, Store};

async fn store(own: &OwnDatabase, replica: u128) -> Arc<dyn Store> {
    Arc::new(SqlStore::new(Database::own(own).await, Uuid::from_u128(replica), Arc::new(AuditLog)))
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let mut own = Vec::new();
    run_all(async || {
        own.push(OwnDatabase::new().await);
        store(&own[own.len() - 1], 1).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_shared() {
    let mut own = Vec::new();
    run_shared(async || {
        own.push(OwnDatabase::new().await);
        let mut replicas = Vec::new();
        for replica in 1..=3 {
            replicas.push(store(&own[own.len() - 1], replica).await);
        }
        replicas
    })
    .await;
}

/// Cuts the connections of a server in the middle of what they do, again and again, as a failing network or an operator would.
async fn cut(url: &str, is_over: &AtomicBool) -> u64 {
    let mut connection = connect(url).await;
    let name = url.rsplit('/').next().expect("a database");
    let mut cuts = 0;
    while !is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(60)).await;
        if url.starts_with("postgres") {
            let kill =
                format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()");
            let killed = sqlx::raw_sql(AssertSqlSafe(kill)).execute(&mut connection).await.expect("may end connections");
            cuts += killed.rows_affected();
        } else {
            let of = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND ID <> CONNECTION_ID()");
            let ids: Vec<(i64,)> = sqlx::query_as(AssertSqlSafe(of)).fetch_all(&mut connection).await.unwrap_or_default();
            for (id,) in ids {
                let _ = sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}"))).execute(&mut connection).await;
                cuts += 1;
            }
        }
    }
    cuts
}

/// R10, OTP-04, ATT-04: what was acknowledged is there, what was refused is not half there, and no answer is given twice, though
/// connections break in the middle of batches. A failed call is one of which nothing is known.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/databases/run"]
async fn cut_connections_leave_nothing_half() {
    let own = OwnDatabase::new().await;
    let url = own.url.clone();
    let (one, other) = (store(&own, 1).await, store(&own, 2).await);
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
    let cuts = cutter.await.expect("the cutter");
    assert!(cuts > 5, "{cuts} connections were cut");
    assert!(!approved.is_empty(), "nothing came through");
    let fresh = store(&own, 3).await;
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
    println!(
        "{cuts} connections were cut, {rows} of 960 starts happened, {} were acknowledged, of {unknown} nothing is known",
        begun.len()
    );
}

/// Room in the limit that all starts take from.
const SHARED: u32 = 1000;

fn shared() -> Take {
    let rule = Rule::Rate(Quota { count: SHARED, per: Duration::from_secs(1_000_000_000) });
    Take { key: [7; 16], name: LimitName::Service, rule }
}

/// A name whose row was made by a beat that was never answered lives as long as the next one says, and not as the first one said.
#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_was_not_answered_is_repeated() {
    let own = OwnDatabase::new().await;
    let connections = Connections::new(Database::own(&own).await);
    let until = |seconds| NOW + Duration::from_secs(seconds);
    for seconds in [10, 20] {
        // As if the one before had not been answered: the name is the first one still.
        let heard = queue::heartbeat(&connections, &Name::new(Uuid::from_u128(1)), until(seconds)).await;
        assert!(matches!(heard, Ok(Heartbeat::Renamed(_))), "{heard:?}");
    }
    let rows = connections.rows("SELECT lives_until FROM replica".to_owned(), []).await.expect("rows");
    let lives: Vec<_> = rows.iter().map(|row| records::time(row, "lives_until").expect("a time")).collect();
    assert_eq!(lives, [until(20)]);
}

/// The clock that replicas share goes like this machine's, to which servers in tests belong.
#[tokio::test(flavor = "multi_thread")]
async fn the_shared_clock_is_right() {
    let own = OwnDatabase::new().await;
    let shown = queue::shared_clock(&Connections::new(Database::own(&own).await)).await.expect("a time");
    if let Some(shown) = shown {
        let now = SystemClock.now();
        assert!((now.0 - shown.0).abs() < 5000, "{shown} and {now}");
    }
}

/// A value that the database does not take fails its own transition, and not those beside it in the batch.
#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_transition_fails_alone() {
    let own = OwnDatabase::new().await;
    let store = store(&own, 1).await;
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

/// How fast it is; `./test` does not ask.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "measures a duration")]
async fn rate() {
    let own = OwnDatabase::new().await;
    let store = store(&own, 1).await;
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
