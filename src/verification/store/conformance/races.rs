//! Many callers at once: what breaks when a store reads and then writes.

use std::sync::Arc;

use super::fixtures::{NOW, approve, attempt, claim, limit, resend, start, verification};
use super::{Outcome, ensure};
use crate::verification::model::Origin;
use crate::verification::store::{AttemptOutcome, CancelOutcome, Sending, Store};

/// Callers at once.
const CALLERS: u32 = 64;

pub(super) async fn at_once<T: Send + 'static, F>(store: &Arc<dyn Store>, call: impl Fn(Arc<dyn Store>, u32) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..CALLERS).map(|number| tokio::spawn(call(Arc::clone(store), number))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("a caller panicked"));
    }
    answers
}

/// ABU-01: 64 starts, room for 5.
pub async fn starts_never_outrun_a_limit(store: Arc<dyn Store>) -> Outcome {
    let answers = at_once(&store, |store, number| async move {
        let mut start = start(verification(number, number));
        start.takes = vec![limit(1, 5)];
        store.start(start).await
    })
    .await;
    let passed = answers.iter().filter(|answer| matches!(answer, Ok(Sending::Queued(..)))).count();
    ensure!(passed == 5, "{passed} of {CALLERS} starts passed a limit of 5");
    Ok(())
}

/// PWD-03: 64 sign-ins, room for 5.
pub async fn bare_takes_never_outrun_a_limit(store: Arc<dyn Store>) -> Outcome {
    let answers = at_once(&store, |store, _| async move { store.take(vec![limit(1, 5)], NOW).await }).await;
    let passed = answers.iter().filter(|answer| matches!(answer, Ok(Ok(())))).count();
    ensure!(passed == 5, "{passed} of {CALLERS} passed a limit of 5");
    Ok(())
}

/// ATT-04, A01: 64 checks, 5 to be judged.
pub async fn attempts_never_outrun_their_count(store: Arc<dyn Store>) -> Outcome {
    let verification = verification(1, 1);
    let id = verification.id;
    store.start(start(verification)).await.map_err(|error| error.to_string())?;
    let answers = at_once(&store, |store, _| async move { store.attempt(attempt(id, NOW)).await }).await;
    let judged = answers.iter().filter(|answer| matches!(answer, Ok(AttemptOutcome::Judge(_)))).count();
    ensure!(judged == 5, "{judged} of {CALLERS} checks were judged, 5 allowed");
    Ok(())
}

/// OTP-04, A02: 64 approvals of one right code, one to win.
pub async fn exactly_one_approval(store: Arc<dyn Store>) -> Outcome {
    let verification = verification(1, 1);
    let id = verification.id;
    store.start(start(verification)).await.map_err(|error| error.to_string())?;
    let answers = at_once(&store, |store, _| async move { store.approve(approve(id)).await }).await;
    let won = answers.iter().filter(|answer| matches!(answer, Ok(true))).count();
    ensure!(won == 1, "{won} of {CALLERS} approvals won");
    Ok(())
}

/// OPS-05: 64 starts with one key make one verification, and all hear of that one.
pub async fn one_verification_for_one_idempotency_key(store: Arc<dyn Store>) -> Outcome {
    let answers = at_once(&store, |store, number| async move {
        let mut start = start(verification(number, 1));
        start.idempotency = claim(1, 1);
        store.start(start).await
    })
    .await;
    let queued = answers.iter().filter(|answer| matches!(answer, Ok(Sending::Queued(..)))).count();
    ensure!(queued == 1, "{queued} messages for one key");
    let mut ids: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Ok(Sending::Queued(_, snapshot) | Sending::Replayed(snapshot)) => Some(snapshot.id),
            _ => None,
        })
        .collect();
    ensure!(ids.len() == CALLERS as usize, "{} of {CALLERS} were answered", ids.len());
    ids.dedup();
    ensure!(ids.len() == 1, "they heard of {} verifications", ids.len());
    Ok(())
}

/// Two resends made from one state never both pass: each would send a code of its own.
pub async fn one_resend_for_one_revision(store: Arc<dyn Store>) -> Outcome {
    let verification = verification(1, 1);
    let resend = resend(&verification);
    store.start(start(verification)).await.map_err(|error| error.to_string())?;
    let answers = at_once(&store, move |store, _| {
        let resend = resend.clone();
        async move { store.resend(resend).await }
    })
    .await;
    let passed = answers.iter().filter(|answer| matches!(answer, Ok(Sending::Queued(..)))).count();
    ensure!(passed == 1, "{passed} resends passed");
    Ok(())
}

/// A cancel and an approval at once: one of them, never both.
pub async fn either_canceled_or_approved(store: Arc<dyn Store>) -> Outcome {
    let verification = verification(1, 1);
    let id = verification.id;
    store.start(start(verification)).await.map_err(|error| error.to_string())?;
    let answers = at_once(&store, |store, number| async move {
        if number % 2 == 0 {
            store.approve(approve(id)).await.unwrap_or(false)
        } else {
            matches!(store.cancel(super::fixtures::SERVICE, id, Origin::default(), None, NOW).await, Ok(CancelOutcome::Canceled(_)))
        }
    })
    .await;
    let won = answers.iter().filter(|won| **won).count();
    ensure!(won == 1, "{won} ends of one verification");
    Ok(())
}
