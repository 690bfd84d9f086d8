//! Round trips, counted by the server itself; and how fast it is, for whoever asks (`--run-ignored=only --no-capture`).

use std::sync::Arc;

use super::server::Server;
use super::{MemoryLog, replica};
use crate::clock::{Clock, SystemClock};
use crate::verification::store::conformance::fixtures::{NOW, approve, attempt, start, verification};
use crate::verification::store::{AttemptOutcome, Sending, Store};

/// Scripts and other commands since the last reset.
async fn calls(server: &Server) -> (u64, u64) {
    let info = server.text(&["INFO", "commandstats"]).await;
    let stats = info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    let stats = stats.filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(',')?.0.parse::<u64>().ok()?)));
    stats.fold((0, 0), |(scripts, loads), (name, count)| match name.as_str() {
        "evalsha" => (scripts + count, loads),
        "eval" | "script|load" | "client|setinfo" | "hello" => (scripts, loads + count),
        _ => (scripts, loads),
    })
}

/// One script a transition: a start is one round trip, a wrong check one, a right check two.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_start_is_one_round_trip_and_a_check_two() {
    let server = Server::start(&[]).await;
    let store = replica(&server.url(), "countersign", &Arc::new(MemoryLog::default()));
    let pair = async |number: u32| {
        let row = verification(number, number);
        let id = row.id;
        assert!(matches!(store.start(start(row)).await, Ok(Sending::Queued(..))));
        assert!(matches!(store.attempt(attempt(id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
        assert!(matches!(store.approve(approve(id)).await, Ok(true)));
    };
    pair(1).await;
    server.ask(&["CONFIG", "RESETSTAT"]).await.expect("reset");
    for number in 2..102 {
        pair(number).await;
    }
    assert_eq!(calls(&server).await, (300, 0));
}

/// Not a test of anything: prints rates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures() {
    const TASKS: u32 = 64;
    const EACH: u32 = 400;
    let server = Server::start(&["--appendonly", "yes"]).await;
    let store = replica(&server.url(), "countersign", &Arc::new(MemoryLog::default()));
    store.ping().await.expect("ready");
    let timed = async |what: &str, job: fn(Arc<super::RedisStore>, u32) -> futures_util::future::BoxFuture<'static, ()>| {
        let begun = SystemClock.now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for number in 0..EACH {
                        job(Arc::clone(&store), task * EACH + number).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        let rate = f64::from(TASKS * EACH) / begun.until(SystemClock.now()).as_secs_f64();
        eprintln!("{what}: {rate:.0}/s");
    };
    timed("takes of nothing (the smallest script)", |store, _| Box::pin(async move { store.ping().await.expect("an answer") })).await;
    timed("starts", |store, number| {
        Box::pin(async move { assert!(matches!(store.start(start(verification(number, number))).await, Ok(Sending::Queued(..)))) })
    })
    .await;
    timed("right checks (two scripts)", |store, number| {
        Box::pin(async move {
            let id = verification(number, number).id;
            assert!(matches!(store.attempt(attempt(id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
            assert!(matches!(store.approve(approve(id)).await, Ok(true)));
        })
    })
    .await;
    let stats = server.text(&["INFO", "commandstats"]).await;
    eprintln!("{}", stats.lines().filter(|line| line.contains("eval")).collect::<Vec<_>>().join("\n"));
    eprintln!("{}", server.text(&["INFO", "memory"]).await.lines().find(|line| line.starts_with("used_memory_human")).unwrap_or_default());
}
