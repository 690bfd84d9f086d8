//! What a store must do that several servers share. Each case gets three handles, as three servers on the same empty data.
//! That the cases bite is itself a test: three stores that share nothing fail every one of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use super::fixtures::{NOW, SERVICE, approve, attempt, claim, destination, limit, resend, start, verification};
use super::{Outcome, ensure, takeovers};
use crate::verification::limit::{FailureRule, LimitName, Quota, Rule, Take};
use crate::verification::model::{CodeBy, Event, EventKind, Origin, Status, Verification, VerificationId, failures_key};
use crate::verification::store::{
    AttemptOutcome, CancelOutcome, Checked, Delivered, Receipt, ReceiptState, Sending, Store, StoreError, Target,
};

/// Servers on the same data.
pub type Replicas = Vec<Arc<dyn Store>>;
/// Runs on three handles to an empty store.
pub type SharedCase = fn(Replicas) -> BoxFuture<'static, Outcome>;

/// Rounds of a race: each on rows of its own.
const ROUNDS: u32 = 5;

macro_rules! cases {
    ($($name:path),+ $(,)?) => {
        &[$((stringify!($name), |replicas| Box::pin($name(replicas)))),+]
    };
}

/// Every case.
pub const CASES: &[(&str, SharedCase)] = cases![
    what_one_wrote_the_others_read,
    one_approval_over_all,
    wrong_checks_are_counted_over_all,
    limits_hold_over_all,
    a_rate_holds_over_all,
    one_key_is_one_verification,
    who_is_limited_had_no_answer,
    one_key_is_one_check,
    one_resend_for_one_revision,
    starts_that_rearm_find_each_other,
    either_canceled_or_approved,
    one_reference_is_one_code,
    one_receipt_is_one_event,
    a_subject_is_closed_and_released_for_all,
    takeovers::the_dead_leave_their_messages_to_one,
    takeovers::who_took_over_may_die_too,
    takeovers::who_was_taken_for_dead_hears_of_it,
    takeovers::what_was_sent_again_is_not_left_behind,
    all_may_sweep_at_once,
];

/// Runs every case on data of its own.
pub async fn run_shared(mut empty: impl AsyncFnMut() -> Replicas) {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        if let Err(text) = case(empty().await).await {
            failed.push(format!("{name}: {text}"));
        }
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

/// The suite's own test.
#[tokio::test(flavor = "multi_thread")]
async fn stores_that_share_nothing_fail_every_case() {
    use crate::verification::store::memory::MemoryStore;
    let mut passed = Vec::new();
    for (name, case) in CASES {
        let apart = (0..3).map(|_| Arc::new(MemoryStore::new(Arc::new(crate::audit::AuditLog))) as Arc<dyn Store>).collect();
        if case(apart).await.is_ok() {
            passed.push(name);
        }
    }
    assert!(passed.is_empty(), "these pass on stores that share nothing: {passed:?}");
}

/// For [`Outcome`].
pub fn text(error: StoreError) -> String {
    error.to_string()
}

/// That many callers at once, in turn at each replica.
pub async fn over<T: Send + 'static, F>(
    replicas: &Replicas,
    callers: u32,
    call: impl Fn(Arc<dyn Store>, u32) -> F,
) -> Result<Vec<T>, String>
where
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let tasks: Vec<_> =
        (0..callers).map(|number| tokio::spawn(call(Arc::clone(&replicas[number as usize % replicas.len()]), number))).collect();
    let answers = join_all(tasks).await.into_iter();
    answers.map(|answer| answer.expect("a caller panicked").map_err(text)).collect()
}

/// The verification, begun there.
pub async fn begun(store: &Arc<dyn Store>, verification: Verification) -> Result<Verification, String> {
    match store.start(start(verification)).await.map_err(text)? {
        Sending::Queued(verification, _) => Ok(*verification),
        other => Err(format!("the start was not queued: {other:?}")),
    }
}

async fn row(store: &Arc<dyn Store>, id: VerificationId) -> Result<Verification, String> {
    let found = store.get(SERVICE, id).await.map_err(text)?;
    found.map(|(row, _)| row).ok_or_else(|| "the row is not there".to_owned())
}

fn count<T>(answers: &[T], which: impl Fn(&T) -> bool) -> usize {
    answers.iter().filter(|answer| which(answer)).count()
}

/// An answer that one server gave is true for the next one that is asked.
async fn what_one_wrote_the_others_read(replicas: Replicas) -> Outcome {
    for number in 0..30 {
        let (one, other) = (&replicas[number as usize % 3], &replicas[(number as usize + 1) % 3]);
        let begun = begun(one, verification(number, number)).await?;
        ensure!(row(other, begun.id).await?.revision == 0, "not as it began");
        let mut newest = attempt(begun.id, NOW);
        newest.target = Target::Newest { purpose: "login".into(), destination: destination(number).key() };
        let judged = other.attempt(newest).await.map_err(text)?;
        ensure!(matches!(&judged, AttemptOutcome::Judge(meant) if meant.id == begun.id), "the newest: {judged:?}");
        ensure!(one.approve(approve(begun.id)).await.map_err(text)?, "not approved");
        ensure!(row(other, begun.id).await?.status == Status::Approved, "not approved for the other");
        let listed = other.list(SERVICE, destination(number).key(), None, 10).await.map_err(text)?;
        ensure!(listed.len() == 1 && listed[0].0.attempts == 1 && !listed[0].1.values.is_empty(), "{listed:?}");
        ensure!(other.timeline(begun.id).await.map_err(text)?.len() == 3, "the timeline is not whole");
    }
    Ok(())
}

/// OTP-04, A02: 200 right answers at once.
async fn one_approval_over_all(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS {
        let id = begun(&replicas[0], verification(round, round)).await?.id;
        let answers = over(&replicas, 200, move |store, _| async move {
            match store.attempt(attempt(id, NOW)).await? {
                AttemptOutcome::Judge(judged) => Ok((true, store.approve(super::fixtures::approve(judged.id)).await?)),
                _ => Ok((false, false)),
            }
        })
        .await?;
        let (judged, approved) = (count(&answers, |(judged, _)| *judged), count(&answers, |(_, approved)| *approved));
        ensure!(approved == 1 && judged <= 5, "{approved} approvals of {judged} that were judged");
        let kinds: Vec<_> = replicas[1].timeline(id).await.map_err(text)?.into_iter().map(|event| event.kind).collect();
        ensure!(count(&kinds, |kind| *kind == EventKind::Approved) == 1, "{kinds:?}");
        ensure!(count(&kinds, |kind| *kind == EventKind::Checked) == judged, "{judged} were judged: {kinds:?}");
    }
    Ok(())
}

/// ATT-04, A01: 500 wrong answers at once.
async fn wrong_checks_are_counted_over_all(replicas: Replicas) -> Outcome {
    let begun = begun(&replicas[0], verification(1, 1)).await?;
    let id = begun.id;
    let answers = over(&replicas, 500, move |store, _| async move { store.attempt(attempt(id, NOW)).await }).await?;
    let judged = count(&answers, |answer| matches!(answer, AttemptOutcome::Judge(_)));
    ensure!(judged == 5, "{judged} checks were judged, 5 allowed");
    let gate = Take {
        key: begun.failures_key,
        name: LimitName::Failures,
        rule: Rule::Failures(FailureRule { soft: 5, hard: 50, until_released: false }),
    };
    let refused = replicas[2].take(vec![gate], NOW).await.map_err(text)?;
    ensure!(refused.is_err(), "five failures were not counted in a row");
    Ok(())
}

/// ABU-01: 200 starts and 200 bare takes, room for 7 each, in buckets that nobody has used yet and in one that is in use.
async fn limits_hold_over_all(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS {
        let key = round as u8;
        replicas[0].take(vec![limit(200, 255)], NOW).await.map_err(text)?.map_err(|limited| format!("{limited:?}"))?;
        let answers = over(&replicas, 200, move |store, number| async move {
            let mut start = start(verification(round * 1000 + number, round * 1000 + number));
            start.takes.extend([limit(key, 7), limit(200, 255)]);
            start.now = NOW;
            store.start(start).await
        })
        .await?;
        let passed = count(&answers, |answer| matches!(answer, Sending::Queued(..)));
        ensure!(passed == 7, "{passed} starts passed a limit of 7");
        let answers = over(&replicas, 200, move |store, _| async move { store.take(vec![limit(100 + key, 7)], NOW).await }).await?;
        let passed = count(&answers, Result::is_ok);
        ensure!(passed == 7, "{passed} passed a limit of 7");
    }
    // Every start that passed took from the bucket that all share, and no other one did.
    let left = 255 - ROUNDS as usize * 8;
    let answers = over(&replicas, 255, |store, _| async move { store.take(vec![limit(200, 255)], NOW).await }).await?;
    let passed = count(&answers, Result::is_ok);
    ensure!(passed == left, "{passed} passed where {left} had room");
    Ok(())
}

async fn a_rate_holds_over_all(replicas: Replicas) -> Outcome {
    let rule = Rule::Rate(Quota { count: 20, per: Duration::from_secs(600) });
    let take = Take { key: [9; 16], name: LimitName::Service, rule };
    let answers = over(&replicas, 200, move |store, _| {
        let take = take.clone();
        async move { store.take(vec![take], NOW).await }
    })
    .await?;
    let passed = count(&answers, Result::is_ok);
    ensure!(passed == 20, "{passed} passed a rate of 20");
    Ok(())
}

/// OPS-05: one message, and all hear of it.
async fn one_key_is_one_verification(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS {
        let answers = over(&replicas, 100, move |store, number| async move {
            let mut start = start(verification(round * 1000 + number, round));
            start.idempotency = claim(round as u8, 1);
            store.start(start).await
        })
        .await?;
        let queued = count(&answers, |answer| matches!(answer, Sending::Queued(..)));
        ensure!(queued == 1, "{queued} messages for one key");
        let mut ids: Vec<_> = answers
            .iter()
            .filter_map(|answer| match answer {
                Sending::Queued(_, snapshot) | Sending::Replayed(snapshot) => Some(snapshot.id),
                _ => None,
            })
            .collect();
        ensure!(ids.len() == answers.len(), "{} of {} were answered", ids.len(), answers.len());
        ids.dedup();
        ensure!(ids.len() == 1, "they heard of {} verifications", ids.len());
        let mut other = start(verification(900 + round, round));
        other.idempotency = claim(round as u8, 2);
        let other = replicas[2].start(other).await.map_err(text)?;
        ensure!(matches!(other, Sending::KeyReused), "{other:?}");
    }
    Ok(())
}

/// OPS-05: a key that has an answer gives it, though the limit from which that took is used up by now.
async fn who_is_limited_had_no_answer(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS * 4 {
        let answers = over(&replicas, 30, move |store, number| async move {
            let mut start = start(verification(round * 1000 + number, round));
            start.takes = vec![limit(round as u8, 1)];
            start.idempotency = claim(round as u8, 1);
            start.now = NOW;
            store.start(start).await
        })
        .await?;
        let queued = count(&answers, |answer| matches!(answer, Sending::Queued(..)));
        let replayed = count(&answers, |answer| matches!(answer, Sending::Replayed(_)));
        ensure!((queued, replayed) == (1, 29), "{queued} queued, {replayed} told the same, the others refused");
    }
    Ok(())
}

/// OPS-05: one check is counted, and its answer is everybody's.
async fn one_key_is_one_check(replicas: Replicas) -> Outcome {
    let id = begun(&replicas[0], verification(1, 1)).await?.id;
    let keyed = move || {
        let mut check = attempt(id, NOW);
        check.idempotency = claim(1, 1);
        check
    };
    let answers = over(&replicas, 100, move |store, _| async move { store.attempt(keyed()).await }).await?;
    let judged = count(&answers, |answer| matches!(answer, AttemptOutcome::Judge(_)));
    let waiting = count(&answers, |answer| matches!(answer, AttemptOutcome::InFlight));
    ensure!(judged == 1 && waiting == 99, "{judged} judged, {waiting} told to wait");
    let answer = Checked { id, status: Status::Pending, valid: false, attempts_left: 4 };
    replicas[1].answered(claim(1, 1).ok_or("no claim")?, Some(answer.clone())).await.map_err(text)?;
    for store in &replicas {
        let replayed = store.attempt(keyed()).await.map_err(text)?;
        ensure!(matches!(&replayed, AttemptOutcome::Replayed(same) if *same == answer), "{replayed:?}");
    }
    Ok(())
}

async fn one_resend_for_one_revision(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS {
        let resend = resend(&begun(&replicas[0], verification(round, round)).await?);
        let answers = over(&replicas, 60, move |store, _| {
            let resend = resend.clone();
            async move { store.resend(resend).await }
        })
        .await?;
        let passed = count(&answers, |answer| matches!(answer, Sending::Queued(..)));
        let late = count(&answers, |answer| matches!(answer, Sending::Moved));
        ensure!(passed == 1 && late == 59, "{passed} resends passed, {late} came too late");
    }
    Ok(())
}

/// Starts that would join the pending one, at servers that do not see each other's yet.
async fn starts_that_rearm_find_each_other(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS {
        let answers = over(&replicas, 60, move |store, number| async move {
            let mut start = start(verification(round * 1000 + number, round));
            (start.rearm, start.now) = (true, NOW);
            store.start(start).await
        })
        .await?;
        let mut ids: Vec<_> = answers
            .iter()
            .filter_map(|answer| match answer {
                Sending::Queued(verification, _) => Some(verification.id),
                _ => None,
            })
            .collect();
        ensure!(ids.len() == 60, "{} of 60 were queued", ids.len());
        ids.sort_unstable();
        ids.dedup();
        ensure!(ids.len() == 1, "{} verifications where one would do", ids.len());
        ensure!(row(&replicas[0], ids[0]).await?.sends == 60, "messages were not counted");
    }
    Ok(())
}

async fn either_canceled_or_approved(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS * 4 {
        let id = begun(&replicas[0], verification(round, round)).await?.id;
        let ends = over(&replicas, 6, move |store, number| async move {
            if number % 2 == 0 {
                store.approve(approve(id)).await
            } else {
                let outcome = store.cancel(SERVICE, id, Origin::default(), None, NOW).await?;
                Ok(matches!(outcome, CancelOutcome::Canceled(_)))
            }
        })
        .await?;
        let won = count(&ends, |won| *won);
        ensure!(won == 1, "{won} ends of one verification");
        for store in &replicas {
            ensure!(row(store, id).await?.ended_at.is_some(), "it ended for some only");
        }
    }
    Ok(())
}

/// A provider that makes the codes answers starts at several servers with one reference: with one code.
async fn one_reference_is_one_code(replicas: Replicas) -> Outcome {
    for round in 0..ROUNDS {
        let mut ids = Vec::new();
        for number in 0..12 {
            let mut theirs = verification(round * 100 + number, round);
            theirs.code_by = CodeBy::Provider;
            ids.push(begun(&replicas[number as usize % 3], theirs).await?.id);
        }
        let all = ids.clone();
        over(&replicas, 12, move |store, number| {
            let result = Ok(("verify".to_owned(), format!("VE{round}")));
            let report = Delivered { id: all[number as usize], message: 1, result, now: NOW };
            async move { store.delivered(vec![report]).await }
        })
        .await?;
        let mut holders = 0;
        for id in ids {
            holders += usize::from(row(&replicas[1], id).await?.delivered_by.is_some());
        }
        ensure!(holders == 1, "{holders} verifications have one code");
    }
    Ok(())
}

/// R07.
async fn one_receipt_is_one_event(replicas: Replicas) -> Outcome {
    let id = begun(&replicas[0], verification(1, 1)).await?.id;
    let answers = over(&replicas, 60, move |store, _| async move {
        let (provider, detail) = ("twilio".to_owned(), "twilio".to_owned());
        store.receipt(Receipt { id, message: 1, provider, state: ReceiptState::Delivered, detail, now: NOW }).await
    })
    .await?;
    let noted = count(&answers, Option::is_some);
    ensure!(noted == 1, "{noted} receipts were noted");
    ensure!(replicas[1].timeline(id).await.map_err(text)?.len() == 2, "more than one event");
    Ok(())
}

/// ATT-02.
async fn a_subject_is_closed_and_released_for_all(replicas: Replicas) -> Outcome {
    let of_subject = |number| {
        let mut verification = verification(number, 1);
        verification.subject = Some("account-1".into());
        verification.failures_key = failures_key(SERVICE, &destination(1), Some("account-1"));
        verification
    };
    for number in 1..=3 {
        let id = begun(&replicas[number as usize % 3], of_subject(number)).await?.id;
        over(&replicas, 5, move |store, _| async move { store.attempt(attempt(id, NOW)).await }).await?;
    }
    let fresh = begun(&replicas[0], of_subject(4)).await?;
    for store in &replicas {
        let shut = store.attempt(attempt(fresh.id, NOW)).await.map_err(text)?;
        ensure!(matches!(&shut, AttemptOutcome::Limited(_)), "above the cap: {shut:?}");
    }
    let about = uuid::Uuid::from_u128(77);
    let event = Event { about, revision: 0, at: NOW, kind: EventKind::FailuresReleased, origin: Origin::default(), detail: None };
    ensure!(replicas[1].release(fresh.failures_key, event).await.map_err(text)?, "nothing to release");
    let judged = replicas[2].attempt(attempt(fresh.id, NOW)).await.map_err(text)?;
    ensure!(matches!(judged, AttemptOutcome::Judge(_)), "not judged after the release: {judged:?}");
    Ok(())
}

async fn all_may_sweep_at_once(replicas: Replicas) -> Outcome {
    for number in 0..120 {
        begun(&replicas[number as usize % 3], verification(number, number)).await?;
    }
    let later = NOW + Duration::from_secs(7200);
    let mut recent = verification(500, 500);
    recent.created_at = later;
    recent.id = uuid::Builder::from_unix_timestamp_millis(later.0 as u64, &[3; 10]).into_uuid();
    let recent = begun(&replicas[0], recent).await?;
    over(&replicas, 3, move |store, _| async move {
        while store.sweep(later, later).await? > 0 {}
        Ok(())
    })
    .await?;
    for store in &replicas {
        while store.sweep(later, later).await.map_err(text)? > 0 {}
        for number in 0..120 {
            let id = verification(number, number).id;
            ensure!(store.get(SERVICE, id).await.map_err(text)?.is_none(), "number {number} is still there");
            ensure!(store.timeline(id).await.map_err(text)?.is_empty(), "events of number {number} are still there");
        }
        ensure!(row(store, recent.id).await?.id == recent.id, "the recent one is gone");
    }
    Ok(())
}
