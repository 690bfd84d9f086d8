//! What every store must do, races included. A new store adds one test that runs [`CASES`].
//!
//! Each case gets an empty store and says what went wrong. That the races bite is itself a test: a store that reads, then
//! writes ([`naive`]) must fail them.

mod deliveries;
pub mod fixtures;
mod naive;
mod races;
pub mod replicas;
mod rules;
mod takeovers;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::verification::store::Store;

/// `Ok`, or what went wrong.
pub type Outcome = Result<(), String>;
/// Runs on an empty store.
pub type Case = fn(Arc<dyn Store>) -> BoxFuture<'static, Outcome>;

/// Fails the case with a text when the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
use ensure;

macro_rules! cases {
    ($($module:ident::$name:ident),+ $(,)?) => {
        &[$((stringify!($name), |store| Box::pin($module::$name(store)))),+]
    };
}

/// Rules that hold for one caller after another.
pub const RULES: &[(&str, Case)] = cases![
    rules::a_start_takes_from_all_limits_or_none,
    rules::attempts_are_counted_before_they_are_judged,
    rules::what_has_ended_is_not_judged,
    rules::other_services_see_nothing,
    rules::approval_is_for_the_judged_code_only,
    rules::a_bare_limit_is_taken_and_cleared,
    rules::failures_count_until_a_right_code,
    rules::a_subject_is_closed_until_released,
    rules::a_resend_keeps_the_count_and_is_guarded,
    rules::newest_pending_is_meant_by_destination,
    rules::a_rearmed_start_keeps_its_id,
    rules::an_older_message_does_not_overwrite_a_newer_one,
    rules::a_failed_delivery_frees_the_wait,
    rules::one_reference_is_one_code,
    rules::idempotency_keys_replay_and_refuse,
    rules::lists_are_paged_newest_first,
    rules::timelines_are_complete_and_in_order,
    rules::undelivered_are_found,
    rules::a_sweep_removes_the_old_and_keeps_the_rest,
    deliveries::receipts_only_move_forward,
    deliveries::a_quick_receipt_comes_before_the_report,
    deliveries::an_arrival_outdoes_a_failure,
    deliveries::an_undelivered_message_gives_its_send_back_once,
    deliveries::what_never_went_out_is_given_back_everywhere,
    deliveries::the_failure_of_a_copy_is_no_news,
    deliveries::an_older_messages_receipt_changes_nothing,
];

/// Rules that hold for many callers at once.
pub const RACES: &[(&str, Case)] = cases![
    races::starts_never_outrun_a_limit,
    races::bare_takes_never_outrun_a_limit,
    races::attempts_never_outrun_their_count,
    races::exactly_one_approval,
];

/// Races that the naive store does not take part in, because it has no such method.
pub const FURTHER_RACES: &[(&str, Case)] = cases![
    races::one_verification_for_one_idempotency_key,
    races::one_resend_for_one_revision,
    races::either_canceled_or_approved,
    deliveries::many_receipts_at_once_are_one_event,
];

/// Runs every case on a store of its own.
pub async fn run_all(mut empty_store: impl AsyncFnMut() -> Arc<dyn Store>) {
    let mut failed = Vec::new();
    for (name, case) in RULES.iter().chain(RACES).chain(FURTHER_RACES) {
        if let Err(text) = case(empty_store().await).await {
            failed.push(format!("{name}: {text}"));
        }
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_store_conforms() {
    run_all(async || Arc::new(crate::verification::store::memory::MemoryStore::new(Arc::new(crate::audit::AuditLog))) as Arc<dyn Store>)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_conforms() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut number = 0;
    run_all(async || {
        number += 1;
        fixtures::sqlite(&directory.path().join(format!("{number}.db")))
    })
    .await;
}

/// The suite's own test: a store that reads, waits, and writes fails every race.
#[tokio::test(flavor = "multi_thread")]
async fn the_races_bite() {
    for (name, case) in RACES {
        // A race may be won by luck now and then; not twenty times.
        let mut bitten = false;
        for _ in 0..20 {
            bitten = bitten || case(Arc::new(naive::NaiveStore::default())).await.is_err();
        }
        assert!(bitten, "{name} passes on a store without atomic transitions");
    }
}
