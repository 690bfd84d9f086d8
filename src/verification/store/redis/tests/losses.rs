//! What Redis loses, and what must hold all the same.

use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::{MemoryLog, RedisStore, empty, replica};
use crate::clock::{Clock, SystemClock};
use crate::verification::limit::{FailureRule, LimitName, Rule, Take};
use crate::verification::model::{Status, Verification, failures_key};
use crate::verification::store::conformance::fixtures::{NOW, SERVICE, approve, attempt, destination, start, verification};
use crate::verification::store::{AttemptOutcome, Sending, Store};

fn of_subject(number: u32) -> Verification {
    let mut verification = verification(number, 1);
    verification.subject = Some("account-1".into());
    verification.failures_key = failures_key(SERVICE, &destination(1), Some("account-1"));
    verification
}

async fn guess(store: &RedisStore, number: u32, times: u32) {
    let begun = store.start(start(of_subject(number))).await;
    assert!(matches!(begun, Ok(Sending::Queued(..))), "{begun:?}");
    for _ in 0..times {
        let judged = store.attempt(attempt(of_subject(number).id, NOW)).await;
        assert!(matches!(judged, Ok(AttemptOutcome::Judge(_))), "{judged:?}");
    }
}

async fn is_closed(store: &RedisStore) -> bool {
    let rule = Rule::Failures(FailureRule { soft: 12, hard: 12, until_released: true });
    let take = Take { key: of_subject(1).failures_key, name: LimitName::Failures, rule };
    store.take(vec![take], NOW + Duration::from_secs(1)).await.expect("an answer").is_err()
}

/// The answer once Redis is back: the first calls may find the old connection dead.
async fn once_back(store: &RedisStore) {
    for _ in 0..100 {
        if store.ping().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store does not come back");
}

/// R11, ATT-02: whoever empties Redis forgives nobody.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_flush_forgives_nothing() {
    let server = Server::start(&[]).await;
    let log = Arc::new(MemoryLog::default());
    let (one, other) = (replica(&server.url(), "countersign", &log), replica(&server.url(), "countersign", &log));
    for number in 1..=2 {
        guess(&one, number, 5).await;
    }
    guess(&other, 3, 2).await;
    assert!(is_closed(&one).await && is_closed(&other).await, "twelve wrong codes do not close it");
    server.ask(&["FLUSHALL"]).await.expect("flushed");
    assert!(is_closed(&other).await && is_closed(&one).await, "the flush forgave them");
    // What was forgiven stays so.
    let event = crate::verification::model::Event {
        about: uuid::Uuid::from_u128(1),
        revision: 0,
        at: NOW,
        kind: crate::verification::model::EventKind::FailuresReleased,
        origin: Default::default(),
        detail: None,
    };
    assert!(one.release(of_subject(1).failures_key, event).await.expect("an answer"), "nothing to release");
    server.ask(&["FLUSHALL"]).await.expect("flushed");
    assert!(!is_closed(&one).await, "the flush undid the release");
}

/// R11, A13: a Redis that comes back as it was a while ago has lost an approval and wrong codes: neither code nor guesses are new.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_old_copy_of_redis_grants_nothing() {
    let mut server = Server::start(&[]).await;
    let log = Arc::new(MemoryLog::default());
    let store = replica(&server.url(), "countersign", &log);
    guess(&store, 1, 5).await;
    let used = verification(9, 9);
    assert!(matches!(store.start(start(used.clone())).await, Ok(Sending::Queued(..))));
    server.ask(&["SAVE"]).await.expect("saved");
    guess(&store, 2, 5).await;
    guess(&store, 3, 2).await;
    assert!(matches!(store.attempt(attempt(used.id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
    assert!(store.approve(approve(used.id)).await.expect("an answer"));
    server.kill();
    let silent = store.attempt(attempt(used.id, NOW)).await;
    assert!(silent.is_err(), "judged without Redis: {silent:?}");
    server.run().await;
    once_back(&store).await;
    assert!(store.get(SERVICE, of_subject(2).id).await.expect("an answer").is_none(), "the copy is not an old one");
    let again = store.attempt(attempt(used.id, NOW)).await;
    assert!(matches!(&again, Ok(AttemptOutcome::Ended(row)) if row.status == Status::Approved), "a used code is judged again: {again:?}");
    assert!(!store.approve(approve(used.id)).await.expect("an answer"), "a used code passed again");
    assert!(is_closed(&store).await, "the old copy forgave wrong codes");
}

/// A server that forgot the scripts gets them again, and everybody their answer.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn scripts_may_be_flushed_at_any_time() {
    let server = Server::start(&[]).await;
    let store = empty(&server.url());
    for number in 0..20 {
        server.ask(&["SCRIPT", "FLUSH"]).await.expect("flushed");
        let calls = (0..20).map(|call| {
            let (store, row) = (Arc::clone(&store), verification(number * 20 + call, number * 20 + call));
            async move {
                let id = row.id;
                let begun = store.start(start(row)).await;
                assert!(matches!(begun, Ok(Sending::Queued(..))), "{begun:?}");
                store.attempt(attempt(id, NOW)).await
            }
        });
        for judged in futures_util::future::join_all(calls).await {
            assert!(matches!(judged, Ok(AttemptOutcome::Judge(ref row)) if row.attempts == 1), "{judged:?}");
        }
    }
}

/// A46, R08: without Redis nothing is judged and nothing is sent, and soon; with it again, all is as it was.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_is_down_fails_closed_and_comes_back() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = empty(&server.url());
    let row = verification(1, 1);
    assert!(matches!(store.start(start(row.clone())).await, Ok(Sending::Queued(..))));
    server.kill();
    let started = SystemClock.now();
    let calls = (0..200).map(|number| {
        let store = Arc::clone(&store);
        async move {
            (
                store.attempt(attempt(verification(1, 1).id, NOW)).await.is_err(),
                store.start(start(verification(2 + number, 2))).await.is_err(),
            )
        }
    });
    let refused = futures_util::future::join_all(calls).await;
    assert!(refused.iter().all(|both| *both == (true, true)), "something passed without Redis");
    assert!(started.until(SystemClock.now()) < Duration::from_secs(4), "the refusals took {:?}", started.until(SystemClock.now()));
    assert!(store.ping().await.is_err(), "ready without Redis");
    server.run().await;
    once_back(&store).await;
    let judged = store.attempt(attempt(row.id, NOW)).await;
    assert!(matches!(&judged, Ok(AttemptOutcome::Judge(row)) if row.attempts == 1), "{judged:?}");
}

/// OTP-04: a server that hangs gets no script twice from us: what it may have run is an error, and runs once.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn what_may_have_run_is_not_run_again() {
    let server = Server::start(&[]).await;
    let store = empty(&server.url());
    let row = verification(1, 1);
    assert!(matches!(store.start(start(row.clone())).await, Ok(Sending::Queued(..))));
    server.ask(&["CLIENT", "PAUSE", "2500", "ALL"]).await.expect("paused");
    let unknown = store.attempt(attempt(row.id, NOW)).await;
    assert!(unknown.is_err(), "{unknown:?}");
    once_back(&store).await;
    let (now, _) = store.get(SERVICE, row.id).await.expect("an answer").expect("the row");
    assert!(now.attempts <= 1, "it ran {} times", now.attempts);
}
