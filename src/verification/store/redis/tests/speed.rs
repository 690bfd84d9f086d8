//! Round trips, counted by the server itself; and how fast it is, for whoever asks (`--run-ignored=only --no-capture`).

use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::{MemoryLog, replica};
use crate::clock::{Clock, SystemClock};
use crate::verification::limit::{FailureRule, LimitName, Quota, Rule, SendRule, Take};
use crate::verification::store::conformance::fixtures::{NOW, approve, attempt, start, verification};
use crate::verification::store::{AttemptOutcome, Sending, Start, Store};

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

/// Microseconds that the server's main thread has worked.
async fn worked(server: &Server) -> f64 {
    let info = server.text(&["INFO", "cpu"]).await;
    let seconds = |line: &str| line.split_once("_main_thread:").and_then(|(_, seconds)| seconds.trim().parse::<f64>().ok());
    info.lines().filter_map(seconds).sum::<f64>() * 1e6
}

/// A start as the server asks for one: with the limits of its destination, of all services there, of an address, the service and
/// the country, and with the gate on failures.
fn usual_start(number: u32) -> Start {
    let mut start = start(verification(number, number));
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let quotas = vec![Quota { count: 5, per: minutes(10) }, Quota { count: 10, per: minutes(24 * 60) }];
    let sends = Arc::new(SendRule { quotas, waits: [30, 40, 60, 90, 120].map(Duration::from_secs).to_vec() });
    let all_services = Arc::new(SendRule { quotas: vec![Quota { count: 20, per: minutes(24 * 60) }], waits: Vec::new() });
    let key = |name: LimitName, of: u32| name.key(&[&of.to_be_bytes()]);
    let rate = |name, of, count, per| Take { key: key(name, of), name, rule: Rule::Rate(Quota { count, per }) };
    let windows = |key, name, rule: &Arc<SendRule>| Take { key, name, rule: Rule::Windows(Arc::clone(rule)) };
    let gate = Rule::Failures(FailureRule { soft: 10, hard: 50, until_released: false });
    start.takes = vec![
        windows(start.verification.sends_key(), LimitName::Destination, &sends),
        windows(key(LimitName::DestinationAllServices, number), LimitName::DestinationAllServices, &all_services),
        Take { key: start.verification.failures_key, name: LimitName::Failures, rule: gate },
        rate(LimitName::IpSends, number % 1000, 1_000_000, minutes(1)),
        rate(LimitName::Service, 1, 1_000_000, minutes(1)),
        rate(LimitName::Country, 1, 1_000_000, minutes(1)),
    ];
    start.sends = sends;
    start
}

/// Not a test of anything: prints rates, and what one of them costs the server. (Its processor's time, as other programs do not
/// disturb that; the rates are those of two programs on one machine.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures() {
    const TASKS: u32 = 64;
    const EACH: u32 = 100;
    let server = Server::start(&["--appendonly", "yes"]).await;
    let store = replica(&server.url(), "countersign", &Arc::new(MemoryLog::default()));
    store.ping().await.expect("ready");
    let timed = async |what: &str, job: fn(Arc<super::RedisStore>, u32) -> futures_util::future::BoxFuture<'static, ()>| {
        let (begun, before) = (SystemClock.now(), worked(&server).await);
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
        let count = f64::from(TASKS * EACH);
        let (rate, each) = (count / begun.until(SystemClock.now()).as_secs_f64(), (worked(&server).await - before) / count);
        eprintln!("{what}: {rate:.0}/s, {each:.0} µs of Redis each");
    };
    timed("takes of nothing (the smallest script)", |store, _| Box::pin(async move { store.ping().await.expect("an answer") })).await;
    timed("starts with one limit", |store, number| {
        Box::pin(async move { assert!(matches!(store.start(start(verification(number, number))).await, Ok(Sending::Queued(..)))) })
    })
    .await;
    timed("wrong checks", |store, number| {
        Box::pin(async move {
            let judged = store.attempt(attempt(verification(number, number).id, NOW)).await;
            assert!(matches!(judged, Ok(AttemptOutcome::Judge(_))));
        })
    })
    .await;
    timed("approvals", |store, number| {
        Box::pin(async move { assert!(matches!(store.approve(approve(verification(number, number).id)).await, Ok(true))) })
    })
    .await;
    timed("starts with the usual six limits", |store, number| {
        Box::pin(async move { assert!(matches!(store.start(usual_start(TASKS * EACH + number)).await, Ok(Sending::Queued(..)))) })
    })
    .await;
    eprintln!("{}", server.text(&["INFO", "memory"]).await.lines().find(|line| line.starts_with("used_memory_human")).unwrap_or_default());
}
