//! The workers: each hands the messages of one provider over, and reports what became of them.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Timestamp;
use crate::delivery::health::{Gate, Health};
use crate::delivery::inbox::Content;
use crate::delivery::lanes::{Job, Lanes, Tools};
use crate::delivery::message::Envelope;
use crate::delivery::provider::{Family, Provider, SendError};
use crate::delivery::receipt::MessageNumber;
use crate::verification::courier::{Objection, Parcel};
use crate::verification::model::{Delivery, Status, Verification};
use crate::verification::policy::worth_sending;
use crate::verification::report;
use crate::verification::store::{Delivered, Undelivered};

/// Messages that one provider is asked to send at once.
const AT_ONCE: usize = 64;
/// Reports in one transition.
const REPORTS_AT_ONCE: usize = 128;
/// A message that no provider takes now looks again after so many times the wait before a retry, at most.
const LOOK_AGAIN_AFTER: u32 = 10;
/// A message that waited so long is looked up before it is sent.
const SUPERSEDED_AFTER: Duration = Duration::from_secs(1);
/// How long the store may take to say so.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(1);

struct Report {
    service: Arc<str>,
    delivered: Delivered,
    objection: Option<Objection>,
    noted: Option<oneshot::Sender<Option<Objection>>>,
}

/// One task for each provider: its messages take turns, and one that waits for the provider lets the others go on. What
/// became of them is reported many at a time: each report is a transition of the store.
///
/// The lanes hold the other end of `jobs`, so only a weak hold on them lets it ever close.
pub async fn work(health: Arc<Mutex<Health>>, jobs: mpsc::UnboundedReceiver<Job>, lanes: Weak<Lanes>, tools: Arc<Tools>) {
    let (reports, reported) = mpsc::channel(tools.queue);
    let reporter = tokio::spawn(report(reported, tools));
    let jobs = stream::unfold(jobs, |mut jobs| async move { Some((jobs.recv().await?, jobs)) });
    jobs.for_each_concurrent(AT_ONCE, |job| async {
        let Some(shared) = lanes.upgrade() else { return };
        let place = job.path[job.at];
        if let Some(report) = deliver(&shared, &shared.providers[place], &health, job).await {
            // The reporter outlives this task: it ends when the last sender is gone.
            let _ = reports.send(report).await;
        }
    })
    .await;
    drop(reports);
    let _ = reporter.await;
}

async fn report(mut reported: mpsc::Receiver<Report>, tools: Arc<Tools>) {
    let mut batch = Vec::new();
    while reported.recv_many(&mut batch, REPORTS_AT_ONCE).await > 0 {
        let (mut delivered, mut noted, mut failed) = (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        let mut shown = Vec::new();
        for report in batch.drain(..) {
            if tools.inbox.is_some() {
                shown.push(fate(&report.delivered));
            }
            // What was perhaps sent is not sent again on another channel: two messages are enough (R06).
            if report.delivered.result.as_ref().is_err_and(|undelivered| !undelivered.perhaps_sent) {
                failed.push((report.service, report.delivered.id));
            }
            delivered.push(report.delivered);
            noted.extend(report.noted.map(|noted| (noted, report.objection)));
        }
        report::insist(tools.store.as_ref(), &tools.lease, delivered).await;
        if let Some(inbox) = &tools.inbox {
            for (message, delivery, cause) in shown {
                inbox.note(message, delivery, cause);
            }
        }
        for one in failed {
            // Nobody listens while the server stops.
            let _ = tools.failed.send(one);
        }
        for (noted, objection) in noted {
            // Whoever waited may be gone.
            let _ = noted.send(objection);
        }
    }
}

/// For the inbox.
fn fate(delivered: &Delivered) -> (MessageNumber, Delivery, Option<String>) {
    let message = MessageNumber { verification: delivered.id, number: delivered.message };
    match &delivered.result {
        Ok(_) => (message, Delivery::Sent, None),
        Err(undelivered) => (message, Delivery::Failed, Some(undelivered.cause.clone())),
    }
}

/// Hands one job to a provider. A report, unless the job goes on.
async fn deliver(shared: &Arc<Lanes>, provider: &Provider, health: &Mutex<Health>, mut job: Job) -> Option<Report> {
    let tools = &shared.tools;
    // What another replica may have taken over is the other's: its fate too.
    if !tools.lease.permits(job.parcel.verification.queued_by).await {
        return None;
    }
    let now = tools.clock.now();
    let verification = &job.parcel.verification;
    // A provider's own code keeps the provider's time.
    let least = worth_sending(job.parcel.policy.life(verification.channel));
    if job.parcel.code.is_some() && now.until(verification.expires_at) < least {
        let error = SendError::unavailable("its turn came when the code had less than a minute to live");
        show(tools, provider, &job, Some(&error));
        return Some(failed(provider, job, &error, now));
    }
    if now > verification.queued_at + SUPERSEDED_AFTER && is_superseded(tools, verification).await {
        return None;
    }
    // Once more, at the last moment: the store may have taken its time.
    if !tools.lease.permits(job.parcel.verification.queued_by).await {
        return None;
    }
    let health = || health.lock().unwrap_or_else(PoisonError::into_inner);
    // Let go of at once: what follows takes the lock of the lanes, and whoever holds that one may ask for this one.
    let gate = health().enter(now);
    if let Gate::Wait(until) = gate {
        let wait = Duration::from_millis((until.0 - now.0).max(0) as u64);
        show(tools, provider, &job, Some(&SendError::unavailable("it takes no messages for now, after too many failures")));
        return pass_by(shared, provider, job, wait, now);
    }
    let started = now;
    job.asked = true;
    // A fault in one provider's file ends one message, and not the lane with all that wait in it.
    let result = AssertUnwindSafe(ask(shared, provider, &job)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(provider = &*provider.name, "a provider panicked");
        Err(SendError::uncertain("it broke down while it was asked"))
    });
    let now = tools.clock.now();
    let took = Duration::from_millis((now.0 - started.0).max(0) as u64);
    let country = job.parcel.verification.destination.country();
    health().note(country, result.as_ref().map(drop), took, now);
    let outcome = match &result {
        Ok(_) => "sent",
        Err(error) => error.fault.as_str(),
    };
    tools.metrics.sent(&provider.name, job.parcel.verification.channel, country, outcome, took);
    match result {
        Ok(reference) => {
            let verification = &job.parcel.verification;
            let result = Ok((provider.name.to_string(), reference));
            let delivered = Delivered { id: verification.id, message: verification.sends, result, now };
            Some(Report { service: Arc::clone(&verification.service), delivered, objection: None, noted: job.parcel.noted })
        }
        // Who stood still finds all his calls timed out: what others took over meanwhile is not his to give up.
        Err(_) if !tools.lease.owns(job.parcel.verification.queued_by) => None,
        Err(error) => {
            let verification = &job.parcel.verification;
            tracing::warn!(
                verification = %verification.id, message = verification.sends, provider = &*provider.name, fault = ?error.fault, %error,
                "not delivered"
            );
            show(tools, provider, &job, Some(&error));
            let job = shared.after(job, &error, now)?;
            Some(failed(provider, job, &error, now))
        }
    }
}

/// Whether nobody waits for the message any more: it ended, or a newer one was queued. In doubt it is sent.
async fn is_superseded(tools: &Tools, verification: &Verification) -> bool {
    match tokio::time::timeout(LOOKED_UP_WITHIN, tools.store.get(&verification.service, verification.id)).await {
        Ok(Ok(Some((now, _)))) => now.status != Status::Pending || now.sends != verification.sends,
        Ok(Ok(None) | Err(_)) | Err(_) => false,
    }
}

/// The provider takes none now: the next one does, or the job waits until one does.
fn pass_by(shared: &Arc<Lanes>, provider: &Provider, mut job: Job, wait: Duration, now: Timestamp) -> Option<Report> {
    let wait = job.soonest.map_or(wait, |soonest| soonest.min(wait));
    job.soonest = Some(wait);
    if job.at + 1 < job.path.len() {
        job.at += 1;
        shared.hand_over(job);
        return None;
    }
    let nobody = |job| Some(failed(provider, job, &SendError::unavailable("no provider takes messages now"), now));
    if job.asked {
        return shared.again(job, Duration::ZERO, now).and_then(nobody);
    }
    // A lap in which nobody was asked is no retry: it only waits until somebody may be.
    if now + wait >= job.until || job.perhaps_sent {
        return nobody(job);
    }
    job.next_lap();
    let step = wait.min(shared.tools.retry_wait * LOOK_AGAIN_AFTER).max(Duration::from_millis(50));
    shared.hand_over_later(job, shared.jittered(step));
    None
}

fn failed(provider: &Provider, job: Job, error: &SendError, now: Timestamp) -> Report {
    let verification = &job.parcel.verification;
    let result = Err(Undelivered { cause: format!("{}: {error}", provider.name), perhaps_sent: job.perhaps_sent });
    let delivered = Delivered { id: verification.id, message: verification.sends, result, now };
    Report { service: Arc::clone(&verification.service), delivered, objection: error.objection(), noted: job.parcel.noted }
}

/// Dev mode shows that it goes to this provider, and what came in between.
fn show(tools: &Tools, provider: &Provider, job: &Job, trouble: Option<&SendError>) {
    let Some(inbox) = &tools.inbox else { return };
    let envelope = envelope(tools, provider, job);
    let number = envelope.message();
    let content = match (&job.parcel.code, &provider.family) {
        (Some(code), Family::Message(_)) => {
            match tools.renderer.worded(envelope, code.clone(), &job.parcel.policy, job.parcel.wording.as_ref()) {
                Ok(message) => Content::Message(Arc::new(message)),
                // What does not render is reported where it is sent.
                Err(_) => return,
            }
        }
        _ => Content::Unseen(Box::new(envelope)),
    };
    inbox.handed(content, Arc::clone(&provider.name));
    if let Some(trouble) = trouble {
        inbox.troubled(number, format!("{}: {trouble}", provider.name));
    }
}

fn envelope(tools: &Tools, provider: &Provider, job: &Job) -> Envelope {
    let Parcel { verification, policy, .. } = &job.parcel;
    let number = MessageNumber { verification: verification.id, number: verification.sends };
    let reference = tools.references.seal(&provider.name, number);
    Envelope {
        verification: verification.id,
        number: verification.sends,
        to: verification.destination.clone(),
        channel: verification.channel,
        locale: Arc::clone(&verification.locale),
        brand: Arc::clone(&policy.brand),
        callback: tools.references.callback(&provider.name, &reference),
        reference,
        now: tools.clock.now(),
        expires_at: verification.expires_at,
    }
}

async fn ask(shared: &Lanes, provider: &Provider, job: &Job) -> Result<String, SendError> {
    let tools = &shared.tools;
    let Parcel { code, policy, wording, .. } = &job.parcel;
    let envelope = envelope(tools, provider, job);
    let patience = if job.at + 1 < job.path.len() { tools.patience } else { tools.last_patience };
    let sending = async {
        match (&provider.family, code) {
            (Family::Verify(_), Some(_)) => Err(SendError::unavailable("the code's maker is no longer on this route").about_message()),
            (Family::Verify(verify_provider), None) => {
                if let Some(inbox) = &tools.inbox {
                    inbox.handed(Content::Unseen(Box::new(envelope.clone())), Arc::clone(&provider.name));
                }
                verify_provider.start(&envelope).await
            }
            (Family::Message(_), None) => Err(SendError::unavailable("the code's maker is no longer on this route")),
            (Family::Message(message_provider), Some(code)) => {
                if !message_provider.carries(code) {
                    return Err(SendError::unavailable("it cannot carry a code of that length").about_message());
                }
                let message = tools.renderer.worded(envelope, code.clone(), policy, wording.as_ref());
                let message = Arc::new(
                    message.map_err(|error| SendError::unavailable(format!("the text does not render: {error}")).about_message())?,
                );
                if let Some(inbox) = &tools.inbox {
                    inbox.handed(Content::Message(Arc::clone(&message)), Arc::clone(&provider.name));
                }
                message_provider.send(&message).await
            }
        }
    };
    match tokio::time::timeout(patience, sending).await {
        Ok(result) => result,
        Err(_) => Err(SendError::uncertain(format!("no answer within {patience:?}"))),
    }
}
