//! One caller after another: what each transition does and refuses.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::{LIFE, NOW, SERVICE, approve, attempt, claim, destination, limit, resend, start, verification};
use super::{Outcome, ensure};
use crate::verification::limit::{FailureRule, LimitName, Quota, Rule, SendRule, Take};
use crate::verification::model::{Channel, CodeBy, Delivery, Event, EventKind, Origin, Status, Verification, failures_key};
use crate::verification::store::{AttemptOutcome, CancelOutcome, Checked, Delivered, Sending, Store, StoreError, Target, Undelivered};

fn text(error: StoreError) -> String {
    error.to_string()
}

async fn begun(store: &Arc<dyn Store>, verification: Verification) -> Result<Verification, String> {
    match store.start(start(verification)).await.map_err(text)? {
        Sending::Queued(verification, _) => Ok(*verification),
        other => Err(format!("the start was not queued: {other:?}")),
    }
}

async fn judged(store: &Arc<dyn Store>, verification: &Verification) -> Result<bool, String> {
    let outcome = store.attempt(attempt(verification.id, NOW)).await.map_err(text)?;
    Ok(matches!(outcome, AttemptOutcome::Judge(_)))
}

async fn row(store: &Arc<dyn Store>, verification: &Verification) -> Result<Verification, String> {
    let found = store.get(SERVICE, verification.id).await.map_err(text)?;
    found.map(|(row, _)| row).ok_or_else(|| "the row is gone".to_owned())
}

pub async fn a_start_takes_from_all_limits_or_none(store: Arc<dyn Store>) -> Outcome {
    let with = |number, takes| {
        let mut start = start(verification(number, number));
        start.takes = takes;
        start
    };
    let first = store.start(with(1, vec![limit(1, 2), limit(2, 1)])).await.map_err(text)?;
    ensure!(matches!(first, Sending::Queued(..)), "refused with room: {first:?}");
    let second = store.start(with(2, vec![limit(1, 2), limit(2, 1)])).await.map_err(text)?;
    let Sending::Limited(limited) = &second else { return Err(format!("a full limit let pass: {second:?}")) };
    ensure!(limited.retry_after == Duration::from_millis(599_999), "wait {:?}", limited.retry_after);
    let gone = store.get(SERVICE, verification(2, 2).id).await.map_err(text)?;
    ensure!(gone.is_none(), "a refused start left a row");
    let third = store.start(with(3, vec![limit(1, 2)])).await.map_err(text)?;
    ensure!(matches!(third, Sending::Queued(..)), "the refused start took from the other limit");
    Ok(())
}

pub async fn a_bare_limit_is_taken_and_cleared(store: Arc<dyn Store>) -> Outcome {
    let both = || vec![limit(1, 2), limit(2, 1)];
    ensure!(store.take(both(), NOW).await.map_err(text)?.is_ok(), "refused with room");
    ensure!(store.take(both(), NOW).await.map_err(text)?.is_err(), "a full limit let pass");
    ensure!(store.take(vec![limit(1, 2)], NOW).await.map_err(text)?.is_ok(), "the refused one took from the other limit");
    store.clear(vec![limit(1, 2).key, limit(2, 1).key]).await.map_err(text)?;
    ensure!(store.take(both(), NOW).await.map_err(text)?.is_ok(), "what was cleared is still full");
    Ok(())
}

pub async fn attempts_are_counted_before_they_are_judged(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, verification(1, 1)).await?;
    for number in 1..=5 {
        let outcome = store.attempt(attempt(verification.id, NOW)).await.map_err(text)?;
        let AttemptOutcome::Judge(judged) = outcome else { return Err(format!("check {number}: {outcome:?}")) };
        ensure!(judged.attempts == number, "check {number} is counted as {}", judged.attempts);
        ensure!(row(&store, &verification).await?.attempts == number, "check {number} is not stored");
    }
    let sixth = store.attempt(attempt(verification.id, NOW)).await.map_err(text)?;
    let AttemptOutcome::Ended(ended) = sixth else { return Err(format!("a sixth check: {sixth:?}")) };
    ensure!(ended.status_at(NOW) == Status::Exhausted && ended.attempts == 5, "{ended:?}");
    Ok(())
}

pub async fn what_has_ended_is_not_judged(store: Arc<dyn Store>) -> Outcome {
    let expired = begun(&store, verification(1, 1)).await?;
    let last_moment = expired.expires_at + Duration::ZERO - Duration::from_millis(1);
    let in_time = store.attempt(attempt(expired.id, last_moment)).await.map_err(text)?;
    ensure!(matches!(in_time, AttemptOutcome::Judge(_)), "a moment before its end: {in_time:?}");
    let late = store.attempt(attempt(expired.id, expired.expires_at)).await.map_err(text)?;
    ensure!(matches!(late, AttemptOutcome::Ended(_)), "at its end: {late:?}");

    let canceled = begun(&store, verification(2, 2)).await?;
    let outcome = store.cancel(SERVICE, canceled.id, Origin::default(), None, NOW).await.map_err(text)?;
    ensure!(matches!(outcome, CancelOutcome::Canceled(_)), "{outcome:?}");
    ensure!(!judged(&store, &canceled).await?, "a canceled one was judged");
    ensure!(!store.approve(approve(canceled.id)).await.map_err(text)?, "a canceled one was approved");
    let again = store.cancel(SERVICE, canceled.id, Origin::default(), None, NOW).await.map_err(text)?;
    ensure!(matches!(again, CancelOutcome::Ended(_)), "canceled twice: {again:?}");

    let approved = begun(&store, verification(3, 3)).await?;
    ensure!(store.approve(approve(approved.id)).await.map_err(text)?, "not approved");
    ensure!(!judged(&store, &approved).await?, "an approved one was judged");
    ensure!(row(&store, &approved).await?.status == Status::Approved, "the status is not stored");
    Ok(())
}

/// OPS-07, A52.
pub async fn other_services_see_nothing(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, verification(1, 1)).await?;
    let mut foreign = attempt(verification.id, NOW);
    foreign.service = "other".into();
    let outcome = store.attempt(foreign).await.map_err(text)?;
    ensure!(matches!(outcome, AttemptOutcome::NotFound), "{outcome:?}");
    let mut foreign = resend(&verification);
    foreign.service = "other".into();
    let outcome = store.resend(foreign).await.map_err(text)?;
    ensure!(matches!(outcome, Sending::NotFound), "{outcome:?}");
    let outcome = store.cancel("other", verification.id, Origin::default(), None, NOW).await.map_err(text)?;
    ensure!(matches!(outcome, CancelOutcome::NotFound), "{outcome:?}");
    ensure!(store.get("other", verification.id).await.map_err(text)?.is_none(), "another service got it");
    let listed = store.list("other", verification.destination.key(), None, 10).await.map_err(text)?;
    ensure!(listed.is_empty(), "another service listed it");
    ensure!(row(&store, &verification).await?.attempts == 0, "another service's check was counted");
    Ok(())
}

pub async fn approval_is_for_the_judged_code_only(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, verification(1, 1)).await?;
    ensure!(judged(&store, &verification).await?, "not judged");
    let moved = row(&store, &verification).await?;
    store.resend(resend(&moved)).await.map_err(text)?;
    ensure!(!store.approve(approve(verification.id)).await.map_err(text)?, "the code before the resend approved");
    let mut right = approve(verification.id);
    right.generation = 1;
    ensure!(store.approve(right).await.map_err(text)?, "the new code did not approve");
    Ok(())
}

pub async fn failures_count_until_a_right_code(store: Arc<dyn Store>) -> Outcome {
    let gate = |verification: &Verification| Take {
        key: verification.failures_key,
        name: LimitName::Failures,
        rule: Rule::Failures(FailureRule { soft: 10, hard: 12, until_released: false }),
    };
    let gated = |number| {
        let mut start = start(verification(number, 1));
        start.takes = vec![gate(&start.verification)];
        start
    };
    for number in 1..=2 {
        let verification = begun(&store, verification(number, 1)).await?;
        for _ in 0..5 {
            ensure!(judged(&store, &verification).await?, "not judged");
        }
    }
    let refused = store.start(gated(3)).await.map_err(text)?;
    ensure!(matches!(&refused, Sending::Limited(limited) if limited.name == LimitName::Failures), "after ten failures: {refused:?}");
    // Somebody who holds a live code is judged all the same, and a right one clears the count.
    let holder = begun(&store, verification(4, 1)).await?;
    ensure!(judged(&store, &holder).await?, "the holder of a live code was shut out");
    ensure!(store.approve(approve(holder.id)).await.map_err(text)?, "not approved");
    let free = store.start(gated(5)).await.map_err(text)?;
    ensure!(matches!(free, Sending::Queued(..)), "after a right code: {free:?}");
    Ok(())
}

/// ATT-02.
pub async fn a_subject_is_closed_until_released(store: Arc<dyn Store>) -> Outcome {
    let of_subject = |number| {
        let mut verification = verification(number, 1);
        verification.subject = Some("account-1".into());
        verification.failures_key = failures_key(SERVICE, &destination(1), Some("account-1"));
        verification
    };
    let key = of_subject(1).failures_key;
    for number in 1..=3 {
        let verification = begun(&store, of_subject(number)).await?;
        for _ in 0..5 {
            let later = NOW + Duration::from_millis(1);
            store.attempt(attempt(verification.id, later)).await.map_err(text)?;
        }
    }
    let fresh = begun(&store, of_subject(4)).await?;
    let shut = store.attempt(attempt(fresh.id, NOW + LIFE - Duration::from_secs(1))).await.map_err(text)?;
    ensure!(matches!(&shut, AttemptOutcome::Limited(limited) if limited.name == LimitName::Failures), "above the cap: {shut:?}");
    let event = Event {
        about: uuid::Uuid::from_u128(77),
        revision: 0,
        at: NOW,
        kind: EventKind::FailuresReleased,
        origin: Origin::default(),
        detail: None,
    };
    ensure!(store.release(key, event.clone()).await.map_err(text)?, "nothing to release");
    ensure!(!store.release(key, event).await.map_err(text)?, "released twice");
    ensure!(judged(&store, &fresh).await?, "not judged after the release");
    Ok(())
}

/// OTP-06, A03.
pub async fn a_resend_keeps_the_count_and_is_guarded(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, verification(1, 1)).await?;
    for _ in 0..4 {
        ensure!(judged(&store, &verification).await?, "not judged");
    }
    let stale = store.resend(resend(&verification)).await.map_err(text)?;
    ensure!(matches!(stale, Sending::Moved), "made from an old state: {stale:?}");
    let moved = row(&store, &verification).await?;
    let outcome = store.resend(resend(&moved)).await.map_err(text)?;
    let Sending::Queued(resent, snapshot) = outcome else { return Err(format!("{outcome:?}")) };
    ensure!(resent.attempts == 4 && snapshot.attempts_left == 1, "the resend renewed the checks");
    ensure!(resent.sends == 2 && resent.generation == 1 && resent.channel == Channel::Whatsapp, "{resent:?}");
    ensure!(resent.expires_at == verification.expires_at + LIFE, "the end did not move");
    ensure!(judged(&store, &verification).await? && !judged(&store, &verification).await?, "not one check more");
    let ended = store.resend(resend(&row(&store, &verification).await?)).await.map_err(text)?;
    ensure!(matches!(ended, Sending::Ended(Status::Exhausted)), "{ended:?}");
    Ok(())
}

pub async fn newest_pending_is_meant_by_destination(store: Arc<dyn Store>) -> Outcome {
    let (older, newer) = (begun(&store, verification(1, 1)).await?, begun(&store, verification(2, 1)).await?);
    begun(&store, verification(3, 2)).await?;
    let by_destination = |purpose: &str| {
        let mut attempt = attempt(older.id, NOW);
        attempt.target = Target::Newest { purpose: purpose.into(), destination: destination(1).key() };
        attempt
    };
    let outcome = store.attempt(by_destination("login")).await.map_err(text)?;
    ensure!(matches!(&outcome, AttemptOutcome::Judge(meant) if meant.id == newer.id), "{outcome:?}");
    let outcome = store.attempt(by_destination("payment")).await.map_err(text)?;
    ensure!(matches!(outcome, AttemptOutcome::NotFound), "another purpose: {outcome:?}");
    for (purpose, is_found) in [("login", true), ("payment", false)] {
        let mut by_id = attempt(newer.id, NOW);
        by_id.target = Target::IdFor { id: newer.id, purpose };
        let outcome = store.attempt(by_id).await.map_err(text)?;
        ensure!(matches!(outcome, AttemptOutcome::Judge(_)) == is_found, "by id for {purpose}: {outcome:?}");
    }
    store.cancel(SERVICE, newer.id, Origin::default(), None, NOW).await.map_err(text)?;
    let outcome = store.attempt(by_destination("login")).await.map_err(text)?;
    ensure!(matches!(&outcome, AttemptOutcome::Judge(meant) if meant.id == older.id), "after the newer ended: {outcome:?}");
    Ok(())
}

pub async fn a_rearmed_start_keeps_its_id(store: Arc<dyn Store>) -> Outcome {
    let first = begun(&store, verification(1, 1)).await?;
    let mut again = start(verification(2, 1));
    again.rearm = true;
    let outcome = store.start(again.clone()).await.map_err(text)?;
    let Sending::Queued(armed, _) = &outcome else { return Err(format!("{outcome:?}")) };
    ensure!(armed.id == first.id && armed.sends == 2 && armed.tag.matches(&first.tag), "{armed:?}");
    ensure!(armed.expires_at == first.expires_at, "the same code lives longer than it may");
    let mut later = again;
    later.now = first.expires_at;
    later.verification.created_at = later.now;
    let outcome = store.start(later).await.map_err(text)?;
    ensure!(matches!(&outcome, Sending::Queued(fresh, _) if fresh.id != first.id), "an expired one was re-armed: {outcome:?}");
    Ok(())
}

fn fate(verification: &Verification, message: u32, result: Result<(String, String), Undelivered>) -> Vec<Delivered> {
    vec![Delivered { id: verification.id, message, result, now: NOW }]
}

fn lost(cause: &str) -> Result<(String, String), Undelivered> {
    Err(Undelivered { cause: cause.into(), perhaps_sent: false })
}

pub async fn an_older_message_does_not_overwrite_a_newer_one(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, verification(1, 1)).await?;
    store.resend(resend(&verification)).await.map_err(text)?;
    let sent = Ok(("console".to_owned(), "reference".to_owned()));
    ensure!(store.delivered(fate(&verification, 1, lost("late"))).await.map_err(text)? == 0, "the first message's fate was noted");
    ensure!(store.delivered(fate(&verification, 2, sent.clone())).await.map_err(text)? == 1, "the second message's fate was not noted");
    ensure!(store.delivered(fate(&verification, 2, sent)).await.map_err(text)? == 0, "noted twice");
    let row = row(&store, &verification).await?;
    ensure!(row.delivery == Delivery::Sent && row.delivered_by == Some(("console".into(), "reference".into())), "{row:?}");
    Ok(())
}

pub async fn a_failed_delivery_frees_the_wait(store: Arc<dyn Store>) -> Outcome {
    let rule = Arc::new(SendRule { quotas: vec![Quota { count: 5, per: Duration::from_secs(600) }], waits: vec![Duration::from_secs(30)] });
    let limited = |number| {
        let mut start = start(verification(number, 1));
        let key = start.verification.sends_key();
        start.takes = vec![Take { key, name: LimitName::Destination, rule: Rule::Windows(rule.clone()) }];
        start.sends = rule.clone();
        start
    };
    let first = store.start(limited(1)).await.map_err(text)?;
    let Sending::Queued(first, snapshot) = first else { return Err(format!("{first:?}")) };
    ensure!(snapshot.resend_after == first.created_at + Duration::from_secs(30), "{snapshot:?}");
    let soon = store.start(limited(2)).await.map_err(text)?;
    ensure!(matches!(soon, Sending::Limited(_)), "no wait: {soon:?}");
    ensure!(store.delivered(fate(&first, 1, lost("unreachable"))).await.map_err(text)? == 1, "not noted");
    let freed = store.start(limited(3)).await.map_err(text)?;
    let Sending::Queued(third, _) = freed else { return Err(format!("still waiting: {freed:?}")) };
    // What was perhaps sent keeps its place: the person may get it yet.
    let perhaps = Err(Undelivered { cause: "no answer".into(), perhaps_sent: true });
    ensure!(store.delivered(fate(&third, 1, perhaps)).await.map_err(text)? == 1, "not noted");
    let soon = store.start(limited(4)).await.map_err(text)?;
    ensure!(matches!(soon, Sending::Limited(_)), "an uncertain message freed the wait: {soon:?}");
    Ok(())
}

/// OPS-05.
pub async fn idempotency_keys_replay_and_refuse(store: Arc<dyn Store>) -> Outcome {
    let keyed = |number, key, payload| {
        let mut start = start(verification(number, number));
        start.idempotency = claim(key, payload);
        start
    };
    let first = store.start(keyed(1, 1, 1)).await.map_err(text)?;
    let Sending::Queued(verification, snapshot) = first else { return Err(format!("{first:?}")) };
    let again = store.start(keyed(2, 1, 1)).await.map_err(text)?;
    ensure!(matches!(&again, Sending::Replayed(same) if *same == snapshot), "{again:?}");
    let other = store.start(keyed(3, 1, 2)).await.map_err(text)?;
    ensure!(matches!(other, Sending::KeyReused), "{other:?}");
    let mut next_day = keyed(4, 1, 2);
    next_day.now = NOW + Duration::from_secs(25 * 3600);
    let free = store.start(next_day).await.map_err(text)?;
    ensure!(matches!(free, Sending::Queued(..)), "a day later: {free:?}");

    let mut check = attempt(verification.id, NOW);
    check.idempotency = claim(2, 1);
    let counted = store.attempt(check.clone()).await.map_err(text)?;
    ensure!(matches!(counted, AttemptOutcome::Judge(_)), "{counted:?}");
    let unanswered = store.attempt(check.clone()).await.map_err(text)?;
    ensure!(matches!(unanswered, AttemptOutcome::InFlight), "{unanswered:?}");
    // Nothing was answered: it may come again at once, and is counted again.
    store.answered(claim(2, 2).ok_or("no claim")?, None).await.map_err(text)?;
    let unanswered = store.attempt(check.clone()).await.map_err(text)?;
    ensure!(matches!(unanswered, AttemptOutcome::InFlight), "another request freed the key: {unanswered:?}");
    store.answered(claim(2, 1).ok_or("no claim")?, None).await.map_err(text)?;
    let counted = store.attempt(check.clone()).await.map_err(text)?;
    ensure!(matches!(counted, AttemptOutcome::Judge(_)), "the key is not free: {counted:?}");
    let answer = Checked { id: verification.id, status: Status::Pending, valid: false, attempts_left: 3 };
    store.answered(claim(2, 1).ok_or("no claim")?, Some(answer.clone())).await.map_err(text)?;
    store.answered(claim(2, 1).ok_or("no claim")?, None).await.map_err(text)?;
    let replayed = store.attempt(check).await.map_err(text)?;
    ensure!(matches!(&replayed, AttemptOutcome::Replayed(same) if *same == answer), "{replayed:?}");
    ensure!(row(&store, &verification).await?.attempts == 2, "a replay was counted");

    let mut right = attempt(verification.id, NOW);
    right.idempotency = claim(3, 1);
    store.attempt(right.clone()).await.map_err(text)?;
    let mut approve = approve(verification.id);
    approve.idempotency = claim(3, 1);
    ensure!(store.approve(approve).await.map_err(text)?, "not approved");
    let replayed = store.attempt(right).await.map_err(text)?;
    ensure!(matches!(&replayed, AttemptOutcome::Replayed(same) if same.valid), "{replayed:?}");

    let second = begun(&store, self::verification(9, 9)).await?;
    let mut sent_again = resend(&second);
    sent_again.idempotency = claim(5, 1);
    let queued = store.resend(sent_again.clone()).await.map_err(text)?;
    ensure!(matches!(queued, Sending::Queued(..)), "{queued:?}");
    let replayed = store.resend(sent_again).await.map_err(text)?;
    ensure!(matches!(replayed, Sending::Replayed(_)), "a resend was sent twice for one key: {replayed:?}");

    let mut crashed = attempt(verification.id, NOW);
    crashed.idempotency = claim(4, 1);
    let ended = store.attempt(crashed).await.map_err(text)?;
    ensure!(matches!(ended, AttemptOutcome::Ended(_)), "{ended:?}");
    Ok(())
}

pub async fn lists_are_paged_newest_first(store: Arc<dyn Store>) -> Outcome {
    for number in 1..=7 {
        begun(&store, verification(number, 1)).await?;
    }
    begun(&store, verification(8, 2)).await?;
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.list(SERVICE, destination(1).key(), before, 3).await.map_err(text)?;
        let Some((last, _)) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|(row, _)| row.id));
        // A sweep in between moves rows inside the store, and must not show.
        store.sweep(NOW, NOW).await.map_err(text)?;
    }
    let expected: Vec<_> = (1..=7).rev().map(|number| verification(number, 1).id).collect();
    ensure!(seen == expected, "listed {seen:?}");
    Ok(())
}

pub async fn timelines_are_complete_and_in_order(store: Arc<dyn Store>) -> Outcome {
    let verification = begun(&store, verification(1, 1)).await?;
    store.delivered(fate(&verification, 1, Ok(("console".into(), "reference".into())))).await.map_err(text)?;
    ensure!(judged(&store, &verification).await?, "not judged");
    let moved = row(&store, &verification).await?;
    store.resend(resend(&moved)).await.map_err(text)?;
    store.delivered(fate(&verification, 2, lost("unreachable"))).await.map_err(text)?;
    store.cancel(SERVICE, verification.id, Origin::default(), None, NOW).await.map_err(text)?;
    let timeline = store.timeline(verification.id).await.map_err(text)?;
    let kinds: Vec<_> = timeline.iter().map(|event| event.kind).collect();
    let expected =
        [EventKind::Started, EventKind::Sent, EventKind::Checked, EventKind::Resent, EventKind::DeliveryFailed, EventKind::Canceled];
    ensure!(kinds == expected, "{kinds:?}");
    let revisions: Vec<_> = timeline.iter().map(|event| event.revision).collect();
    ensure!(revisions == [0, 1, 2, 3, 4, 5], "{revisions:?}");
    ensure!(timeline[2].origin == attempt(verification.id, NOW).origin, "{:?}", timeline[2]);
    ensure!(timeline[4].detail.as_deref() == Some("unreachable"), "{:?}", timeline[4]);
    // By which channel each message went.
    let channels = [0, 3].map(|place: usize| timeline[place].detail.as_deref());
    ensure!(channels == [Some("sms"), Some("whatsapp")], "{channels:?}");
    let row = row(&store, &verification).await?;
    ensure!(row.metadata == verification.metadata && row.seed == verification.seed, "{row:?}");
    Ok(())
}

pub async fn undelivered_are_found(store: Arc<dyn Store>) -> Outcome {
    let queued = begun(&store, verification(1, 1)).await?;
    let sent = begun(&store, verification(2, 2)).await?;
    store.delivered(fate(&sent, 1, Ok(("console".into(), "reference".into())))).await.map_err(text)?;
    let canceled = begun(&store, verification(3, 3)).await?;
    store.cancel(SERVICE, canceled.id, Origin::default(), None, NOW).await.map_err(text)?;
    let found = store.undelivered(NOW).await.map_err(text)?;
    ensure!(found.len() == 1 && found[0].id == queued.id, "{found:?}");
    ensure!(store.undelivered(queued.expires_at).await.map_err(text)?.is_empty(), "an expired one would be sent");
    Ok(())
}

pub async fn a_sweep_removes_the_old_and_keeps_the_rest(store: Arc<dyn Store>) -> Outcome {
    let old = begun(&store, verification(1, 1)).await?;
    let mut recent = verification(2, 1);
    recent.created_at = NOW + Duration::from_secs(7200);
    let random = [3; 10];
    recent.id = uuid::Builder::from_unix_timestamp_millis(recent.created_at.0 as u64, &random).into_uuid();
    let recent = begun(&store, recent).await?;
    let mut limited = start(verification(3, 3));
    limited.takes = vec![limit(1, 1)];
    store.start(limited.clone()).await.map_err(text)?;
    let later = NOW + Duration::from_secs(3600);
    while store.sweep(later, later).await.map_err(text)? > 0 {}
    ensure!(store.get(SERVICE, old.id).await.map_err(text)?.is_none(), "the old row is still there");
    ensure!(store.timeline(old.id).await.map_err(text)?.is_empty(), "the old events are still there");
    ensure!(store.get(SERVICE, recent.id).await.map_err(text)?.is_some(), "the recent row is gone");
    let listed = store.list(SERVICE, destination(1).key(), None, 10).await.map_err(text)?;
    ensure!(listed.len() == 1 && listed[0].0.id == recent.id, "{listed:?}");
    Ok(())
}

/// A provider that makes the codes answers two starts to one destination with one reference: with one code.
pub async fn one_reference_is_one_code(store: Arc<dyn Store>) -> Outcome {
    let theirs = |number: u32, purpose: &str, after: Duration| {
        let mut verification = verification(number, 1);
        verification.code_by = CodeBy::Provider;
        verification.purpose = purpose.into();
        verification.created_at = NOW + after;
        verification.queued_at = verification.created_at;
        verification.expires_at = verification.created_at + LIFE;
        verification
    };
    let sent = async |verification: Verification, reference: &str| {
        let begun = begun(&store, verification).await?;
        store.delivered(fate(&begun, 1, Ok(("theirs".into(), reference.into())))).await.map_err(text)?;
        let row = row(&store, &begun).await?;
        let has = (row.delivery == Delivery::Sent, row.delivered_by.is_some());
        ensure!(has.0 == has.1, "{row:?}");
        Ok::<_, String>((row, has.0))
    };
    let moment = Duration::from_secs(1);
    let hers = |number, after| Verification { subject: Some("account-17".into()), ..theirs(number, "login", after) };
    let (_, first) = sent(theirs(1, "login", Duration::ZERO), "VE1").await?;
    let (canceled, _) = sent(theirs(8, "login", moment), "VE3").await?;
    store.cancel(SERVICE, canceled.id, Origin::default(), None, NOW + moment).await.map_err(text)?;
    ensure!(first, "a new reference was refused");
    for (number, purpose, after, reference, may) in [
        (2, "payment", moment, "VE1", false),
        (3, "login", moment, "VE1", false),
        (4, "payment", moment, "VE2", true),
        // The first has expired, its code perhaps not: the same purpose may have it again, no other may.
        (5, "payment", LIFE + moment, "VE1", false),
        (6, "login", LIFE + moment, "VE1", true),
        (7, "login", LIFE + 2 * moment, "VE1", false),
    ] {
        let (row, may_have_it) = sent(theirs(number, purpose, after), reference).await?;
        ensure!(may_have_it == may, "number {number}: {row:?}");
    }
    let (_, hers) = sent(hers(10, LIFE + 3 * moment), "VE4").await?;
    let (_, again) = sent(theirs(11, "login", 2 * LIFE + 4 * moment), "VE4").await?;
    ensure!(hers && !again, "a code that was made for one person serves everybody");
    let (_, again) = sent(theirs(9, "login", 2 * LIFE + 4 * moment), "VE3").await?;
    ensure!(!again, "a code that was called off serves another one");
    Ok(())
}
