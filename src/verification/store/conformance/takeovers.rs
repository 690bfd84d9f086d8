//! Whose messages are whose where several servers share a store: cases of [`super::replicas`].

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::{LIFE, NOW, SERVICE, resend, start, verification};
use super::replicas::{Replicas, begun, over, text};
use super::{Outcome, ensure};
use crate::clock::Timestamp;
use crate::verification::model::{Origin, VerificationId};
use crate::verification::store::{Delivered, Heartbeat, Sending, Store};

const BEAT: Duration = Duration::from_secs(10);

async fn ids_left(store: &Arc<dyn Store>, at: Timestamp) -> Result<Vec<VerificationId>, String> {
    let left = store.undelivered(at).await.map_err(text)?;
    Ok(left.into_iter().map(|verification| verification.id).collect())
}

/// What the living have queued is theirs. What the dead had is handed out once, however many ask.
pub async fn the_dead_leave_their_messages_to_one(replicas: Replicas) -> Outcome {
    for store in &replicas {
        store.heartbeat(NOW + BEAT).await.map_err(text)?;
    }
    let mut mine = Vec::new();
    for number in 0..30 {
        mine.push(begun(&replicas[0], verification(number, number)).await?.id);
    }
    let theirs = begun(&replicas[1], verification(100, 100)).await?.id;
    for store in &replicas {
        let left = ids_left(store, NOW + BEAT - Duration::from_millis(1)).await?;
        ensure!(left.is_empty(), "{} messages of the living were handed out", left.len());
    }
    // The first one was quick enough with some of them, and called one off.
    let sent = mine.split_off(20);
    for id in &sent[1..] {
        let report = Delivered { id: *id, message: 1, result: Ok(("console".into(), "reference".into())), now: NOW };
        replicas[0].delivered(vec![report]).await.map_err(text)?;
    }
    replicas[2].cancel(SERVICE, sent[0], Origin::default(), None, NOW).await.map_err(text)?;
    // The others go on living.
    for store in &replicas[1..] {
        store.heartbeat(NOW + 3 * BEAT).await.map_err(text)?;
    }
    let living = replicas[1..].to_vec();
    let answers = over(&living, 16, |store, _| async move { store.undelivered(NOW + BEAT).await }).await?;
    let mut handed_out: Vec<_> = answers.into_iter().flatten().map(|verification| verification.id).collect();
    handed_out.sort_unstable();
    ensure!(handed_out == mine, "{} handed out, {} were left", handed_out.len(), mine.len());
    ensure!(!handed_out.contains(&theirs), "a message of the living was handed out");
    for store in &living {
        ensure!(ids_left(store, NOW + BEAT).await?.is_empty(), "handed out twice");
    }
    Ok(())
}

async fn named(store: &Arc<dyn Store>, until: Timestamp) -> Result<uuid::Uuid, String> {
    match store.heartbeat(until).await.map_err(text)? {
        Heartbeat::Renamed(name) => Ok(name),
        other => Err(format!("a new name was due: {other:?}")),
    }
}

/// R24: a replica that was silent for long keeps what nobody took over. From whom something was taken hears so, and what it had
/// queued is another one's by name.
pub async fn who_was_taken_for_dead_hears_of_it(replicas: Replicas) -> Outcome {
    let (silent, other) = (&replicas[0], &replicas[1]);
    let (name, others) = (named(silent, NOW + BEAT).await?, named(other, NOW + LIFE).await?);
    ensure!(name != others, "two replicas of one name");
    let begun = begun(silent, verification(1, 1)).await?;
    ensure!(begun.queued_by == Some(name), "queued by {:?}, and not by {name}", begun.queued_by);
    let kept = silent.heartbeat(NOW + 2 * BEAT).await.map_err(text)?;
    ensure!(kept == Heartbeat::Kept, "nobody took anything: {kept:?}");
    let late = NOW + 3 * BEAT;
    let left = other.undelivered(late).await.map_err(text)?;
    ensure!(left.len() == 1 && left[0].queued_by == Some(others), "not taken over by name: {left:?}");
    let renamed = named(silent, late + BEAT).await?;
    ensure!(renamed != name && renamed != others, "a name was used twice");
    let after = match silent.start(start(verification(2, 2))).await.map_err(text)? {
        Sending::Queued(verification, _) => verification,
        other => return Err(format!("{other:?}")),
    };
    ensure!(after.queued_by == Some(renamed), "queued by {:?}, and not by {renamed}", after.queued_by);
    let left = other.undelivered(late).await.map_err(text)?;
    ensure!(left.is_empty(), "what is queued under the new name is its own");
    Ok(())
}

/// A chain: each time the heartbeat ends the next one gets the message, and its report counts.
pub async fn who_took_over_may_die_too(replicas: Replicas) -> Outcome {
    let id = begun(&replicas[0], verification(1, 1)).await?.id;
    replicas[1].heartbeat(NOW + BEAT).await.map_err(text)?;
    ensure!(ids_left(&replicas[1], NOW).await? == [id], "who never said that it lives keeps its messages");
    replicas[2].heartbeat(NOW + 3 * BEAT).await.map_err(text)?;
    ensure!(ids_left(&replicas[2], NOW).await?.is_empty(), "taken from the living");
    ensure!(ids_left(&replicas[2], NOW + BEAT).await? == [id], "not taken from the dead");
    replicas[0].heartbeat(NOW + 3 * BEAT).await.map_err(text)?;
    ensure!(ids_left(&replicas[0], NOW + BEAT).await?.is_empty(), "who came back took it back");
    let report = Delivered { id, message: 1, result: Ok(("console".into(), "reference".into())), now: NOW };
    ensure!(replicas[2].delivered(vec![report]).await.map_err(text)? == 1, "the report of who took over was not noted");
    ensure!(ids_left(&replicas[1], NOW + 4 * BEAT).await?.is_empty(), "what was sent is handed out");
    Ok(())
}

/// A message is whose server queued it last.
pub async fn what_was_sent_again_is_not_left_behind(replicas: Replicas) -> Outcome {
    let begun = begun(&replicas[0], verification(1, 1)).await?;
    replicas[1].heartbeat(NOW + LIFE).await.map_err(text)?;
    replicas[2].heartbeat(NOW + LIFE).await.map_err(text)?;
    let again = replicas[1].resend(resend(&begun)).await.map_err(text)?;
    ensure!(matches!(again, Sending::Queued(..)), "{again:?}");
    ensure!(ids_left(&replicas[2], NOW).await?.is_empty(), "the message of one that lives was handed out");
    let mut rearmed = start(verification(2, 1));
    (rearmed.rearm, rearmed.now) = (true, NOW + BEAT);
    replicas[0].start(rearmed).await.map_err(text)?;
    ensure!(ids_left(&replicas[2], NOW + BEAT).await? == [begun.id], "the message of the dead was not handed out");
    Ok(())
}
