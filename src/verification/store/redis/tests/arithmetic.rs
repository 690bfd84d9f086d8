//! The limits in Lua are the limits in Rust: the same takes, at the same times, give the same verdicts and waits.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::server::Server;
use super::{RedisStore, empty};
use crate::verification::buckets::Buckets;
use crate::verification::limit::{FailureRule, LimitName, Quota, Rule, SendRule, Take};
use crate::verification::store::conformance::fixtures::{NOW, attempt, destination, start, verification};
use crate::verification::store::{AttemptOutcome, Sending, Snapshot, Store};

fn quota() -> impl Strategy<Value = Quota> {
    (1_u32..12, prop_oneof![1_u64..2_000, 1_000_u64..90_000_000]).prop_map(|(count, per)| Quota { count, per: Duration::from_millis(per) })
}

fn sends() -> impl Strategy<Value = SendRule> {
    let waits = proptest::collection::vec((0_u64..100_000).prop_map(Duration::from_millis), 0..6);
    (proptest::collection::vec(quota(), 1..4), waits).prop_map(|(quotas, waits)| SendRule { quotas, waits })
}

fn rule() -> impl Strategy<Value = Rule> {
    let failures = (1_u32..20, 0_u32..40, any::<bool>());
    let failures = failures.prop_map(|(soft, more, until_released)| FailureRule { soft, hard: soft + more, until_released });
    prop_oneof![sends().prop_map(|rule| Rule::Windows(Arc::new(rule))), quota().prop_map(Rule::Rate), failures.prop_map(Rule::Failures)]
}

/// What happens next: time passes (or a slower clock speaks), and then a wrong code or a few takes.
#[derive(Debug, Clone)]
enum Step {
    Failure,
    Take(Vec<u8>),
    Clear(u8),
}

fn step() -> impl Strategy<Value = (i64, Step)> {
    let gap = prop_oneof![4 => 0_i64..3_000, 3 => 0_i64..100_000, 1 => 0_i64..100_000_000, 1 => -500_i64..0];
    let step = prop_oneof![
        2 => Just(Step::Failure),
        6 => proptest::collection::vec(0_u8..4, 1..4).prop_map(Step::Take),
        1 => (0_u8..4).prop_map(Step::Clear),
    ];
    (gap, step)
}

/// One run through both.
async fn compared(store: Arc<RedisStore>, rules: Vec<Rule>, steps: Vec<(i64, Step)>, subject: bool) -> Result<(), TestCaseError> {
    let mut buckets = Buckets::default();
    let mut guessed = verification(1, 1);
    guessed.max_attempts = u32::MAX;
    guessed.expires_at = NOW + Duration::from_secs(10 * 365 * 24 * 3600);
    guessed.subject = subject.then(|| "account-1".into());
    let failures_key = guessed.failures_key;
    let begun = store.start(start(guessed.clone())).await;
    prop_assert!(matches!(begun, Ok(Sending::Queued(..))), "{begun:?}");
    let take = |place: u8| {
        let rule = rules[usize::from(place)].clone();
        let key = if matches!(rule, Rule::Failures(_)) { failures_key } else { [place; 16] };
        Take { key, name: [LimitName::Service, LimitName::Country, LimitName::Destination, LimitName::IpSends][usize::from(place)], rule }
    };
    let never = FailureRule { soft: u32::MAX, hard: u32::MAX, until_released: false };
    let mut now = NOW;
    for (gap, step) in steps {
        now.0 += gap;
        match step {
            Step::Failure => {
                let attempt = crate::verification::store::Attempt { subject_failures: never, ..attempt(guessed.id, now) };
                let judged = store.attempt(attempt).await;
                prop_assert!(matches!(judged, Ok(AttemptOutcome::Judge(_))), "{judged:?}");
                buckets.count_failure(failures_key, subject, now);
            }
            Step::Take(places) => {
                let takes: Vec<_> = places.into_iter().map(take).collect();
                let ours = buckets.take_all(&takes, now);
                let theirs = store.take(takes, now).await.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(theirs, ours);
            }
            Step::Clear(place) => {
                let key = take(place).key;
                buckets.clear(&key);
                store.clear(vec![key]).await.map_err(|error| TestCaseError::fail(error.to_string()))?;
            }
        }
    }
    Ok(())
}

/// ABU-01, ATT-12 through Redis.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn lua_and_rust_judge_alike() {
    let server = Server::start(&[]).await;
    let runtime = tokio::runtime::Handle::current();
    let url = server.url();
    let run = move || {
        let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        let strategy = (proptest::collection::vec(rule(), 4), proptest::collection::vec(step(), 1..60), any::<bool>());
        runner.run(&strategy, |(rules, steps, subject)| runtime.block_on(async { compared(empty(&url), rules, steps, subject).await }))
    };
    let outcome = tokio::task::spawn_blocking(run).await.expect("no panic");
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// What a snapshot tells of the next message is what Rust would tell.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn snapshots_tell_the_same_wait() {
    let server = Server::start(&[]).await;
    let runtime = tokio::runtime::Handle::current();
    let url = server.url();
    let run = move || {
        let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        let strategy = (sends(), proptest::collection::vec(0_i64..200_000, 1..20));
        runner.run(&strategy, |(rule, gaps)| runtime.block_on(told(empty(&url), rule, gaps)))
    };
    let outcome = tokio::task::spawn_blocking(run).await.expect("no panic");
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

async fn told(store: Arc<RedisStore>, rule: SendRule, gaps: Vec<i64>) -> Result<(), TestCaseError> {
    let rule = Arc::new(rule);
    let mut buckets = Buckets::default();
    let mut now = NOW;
    for (number, gap) in gaps.into_iter().enumerate() {
        now.0 += gap;
        let mut start = start(verification(number as u32, 1));
        prop_assert_eq!(start.verification.destination.key(), destination(1).key());
        let take = Take { key: start.verification.sends_key(), name: LimitName::Destination, rule: Rule::Windows(Arc::clone(&rule)) };
        (start.now, start.takes, start.sends) = (now, vec![take.clone()], Arc::clone(&rule));
        (start.verification.created_at, start.verification.queued_at) = (now, now);
        start.verification.expires_at = now + Duration::from_secs(300);
        let ours = buckets.take_all(std::slice::from_ref(&take), now);
        match store.start(start).await {
            Ok(Sending::Queued(row, snapshot)) => {
                prop_assert!(ours.is_ok(), "{ours:?}");
                prop_assert_eq!(&snapshot, &Snapshot::of(&row, buckets.get(&take.key), &rule, now));
                let (_, bucket) = store.get(&row.service, row.id).await.ok().flatten().expect("the row");
                prop_assert_eq!(&bucket.values, &buckets.get(&take.key).values);
            }
            Ok(Sending::Limited(limited)) => prop_assert_eq!(Err(limited), ours),
            other => prop_assert!(false, "{other:?}"),
        }
    }
    Ok(())
}
