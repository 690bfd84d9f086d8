//! The courier: a bounded queue, workers for each provider, and a report to the store for each message.
//!
//! A start never waits for a provider. The verification's history says `queued` until the report arrives, so what a crash
//! interrupts is sent by the next start of the server. A provider that hangs holds up its own lane and no other (R05).
//!
//! What may follow a failure is decided here, once ([`Lanes::after`]): the next provider of the route when the message was
//! certainly not sent; the next one, once, with the same code when nobody knows (or the same one, where it makes the code: it
//! repeats its own); the same ones again after a while, but never past half the code's life; nobody when the destination is
//! the problem.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::{Clock, Timestamp};
use crate::delivery::health::{Breaker, Gate, Health};
use crate::delivery::http;
use crate::delivery::inbox::{Content, Inbox};
use crate::delivery::message::Envelope;
use crate::delivery::provider::{Family, Fault, Provider, SendError};
use crate::delivery::receipt::{MessageNumber, References};
use crate::delivery::route::Routes;
use crate::delivery::text::Renderer;
use crate::secret::{Code, Entropy};
use crate::telemetry::Metrics;
use crate::verification::courier::{CodeMaker, Courier, NotJudged, Parcel, ProviderVerdict, QueueFull};
use crate::verification::destination::Country;
use crate::verification::model::{Channel, Delivery, Verification, VerificationId};
use crate::verification::store::{Delivered, Store, Undelivered};

/// Messages that one provider is asked to send at once.
const AT_ONCE: usize = 64;
/// Reports in one transition.
const REPORTS_AT_ONCE: usize = 128;
/// Rounds over the whole route after the first (R02).
const RETRIES: u32 = 2;
/// A message that no provider takes now looks again after so many times the wait before a retry, at most.
const LOOK_AGAIN_AFTER: u32 = 10;
/// A code with less life left than this is not worth sending (R03); nor is one whose life is half over, where that is less.
const LIFE_WORTH_SENDING: Duration = Duration::from_secs(60);

/// What the workers share.
pub struct Tools {
    /// Hears what became of messages.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for weights and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Texts.
    pub renderer: Arc<Renderer>,
    /// Names of messages for receipts.
    pub references: References,
    /// Dev mode only.
    pub inbox: Option<Arc<Inbox>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Wait before the first retry; each later one is twice as long. Jitter of up to a half is added.
    pub retry_wait: Duration,
    /// How long a silent provider is waited for while another one could send the same code (R01: failover within 5 s).
    pub patience: Duration,
    /// How long it is waited for when there is nobody else.
    pub last_patience: Duration,
    /// Messages that may wait or be under way, in all lanes together.
    pub queue: usize,
    /// Verifications whose message certainly went to nobody: whoever listens may send them on another channel.
    pub failed: mpsc::UnboundedSender<(Arc<str>, VerificationId)>,
}

/// A parcel on its way.
struct Job {
    parcel: Parcel,
    /// Places of providers, in the order of the route.
    path: Vec<usize>,
    /// Where in the path it is.
    at: usize,
    /// Rounds over the whole path before this one.
    round: u32,
    /// Some provider was asked in this lap.
    asked: bool,
    /// Of those that could not be asked in this lap, the least that one has to wait.
    soonest: Option<Duration>,
    /// Some provider has perhaps sent it already.
    perhaps_sent: bool,
    /// The time that it may take: half the code's life.
    until: Timestamp,
    _place: OwnedSemaphorePermit,
}

impl Job {
    /// From the first provider on.
    fn next_lap(&mut self) {
        self.asked = false;
        self.soonest = None;
        self.at = 0;
    }
}

struct Lane {
    provider: Provider,
    queue: mpsc::UnboundedSender<Job>,
    health: Arc<Mutex<Health>>,
}

impl Lane {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all workers see.
struct Lanes {
    providers: Vec<Provider>,
    routes: Routes,
    /// Emptied when the server stops.
    lanes: RwLock<Vec<Lane>>,
    tools: Arc<Tools>,
}

/// Queues messages for the providers of their routes.
pub struct Dispatcher {
    shared: Arc<Lanes>,
    places: Arc<Semaphore>,
    workers: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
}

/// How one provider stands, for `/readyz`.
#[derive(Debug, serde::Serialize)]
pub struct ProviderState {
    /// Its name.
    pub provider: Arc<str>,
    /// Its breaker.
    pub breaker: Breaker,
}

impl Dispatcher {
    /// Starts a worker for each provider. Must be called within the runtime.
    pub fn new(providers: Vec<Provider>, routes: Routes, tools: Tools) -> Dispatcher {
        let tools = Arc::new(tools);
        let shared = Arc::new(Lanes { providers: providers.clone(), routes, lanes: RwLock::default(), tools: Arc::clone(&tools) });
        let (mut lanes, mut workers) = (Vec::new(), Vec::new());
        for provider in providers {
            let (queue, jobs) = mpsc::unbounded_channel();
            let health = Arc::<Mutex<Health>>::default();
            workers.push(tokio::spawn(work(Arc::clone(&health), jobs, Arc::downgrade(&shared), Arc::clone(&tools))));
            lanes.push(Lane { provider, queue, health });
        }
        *shared.lanes.write().unwrap_or_else(PoisonError::into_inner) = lanes;
        Dispatcher { shared, places: Arc::new(Semaphore::new(tools.queue)), workers: tokio::sync::Mutex::new(workers) }
    }

    /// Takes no more, and returns once everything in the lanes was handed over. What waits for a retry stays queued in the
    /// store, for the next start of the server.
    pub async fn drain(&self) {
        self.shared.lanes.write().unwrap_or_else(PoisonError::into_inner).clear();
        for worker in self.workers.lock().await.drain(..) {
            if worker.await.is_err() {
                tracing::error!("a delivery worker died");
            }
        }
    }

    /// How the providers stand.
    pub fn states(&self) -> Vec<ProviderState> {
        let now = self.shared.tools.clock.now();
        let state = |lane: &Lane| ProviderState { provider: Arc::clone(&lane.provider.name), breaker: lane.health().breaker(now) };
        self.shared.lanes().iter().map(state).collect()
    }

    /// Messages that wait or are under way.
    pub fn queued(&self) -> usize {
        self.shared.tools.queue - self.places.available_permits()
    }

    /// The provider of that name.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.shared.providers.iter().find(|provider| &*provider.name == name)
    }

    /// A receipt told whether a message of that provider arrived: it counts in the order of adaptive routes.
    pub fn note_receipt(&self, provider: &str, country: Option<Country>, arrived: bool) {
        if let Some(lane) = self.shared.lanes().iter().find(|lane| &*lane.provider.name == provider) {
            lane.health().note_receipt(country, arrived);
        }
    }
}

#[async_trait]
impl Courier for Dispatcher {
    fn code_maker(&self, channel: Channel, country: Option<Country>) -> Option<CodeMaker> {
        let first = self.shared.routes.first(&self.shared.providers, channel, country);
        first.map(|place| match &self.shared.providers[place].family {
            Family::Message(_) => CodeMaker::Us,
            Family::Verify(provider) => CodeMaker::Provider(provider.limits()),
        })
    }

    fn dispatch(&self, parcel: Parcel) -> Result<(), QueueFull> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Err(QueueFull(parcel)) };
        let verification = &parcel.verification;
        let path = self.shared.path(verification.channel, verification.destination.country());
        let life = verification.expires_at.0 - verification.queued_at.0;
        let until = Timestamp(verification.queued_at.0 + life / 2);
        self.shared.hand_over(Job {
            parcel,
            path,
            at: 0,
            round: 0,
            asked: false,
            soonest: None,
            perhaps_sent: false,
            until,
            _place: place,
        });
        Ok(())
    }

    async fn judge(&self, verification: &Verification, code: &Code) -> Result<ProviderVerdict, NotJudged> {
        // A message that never went out has no code that could be right.
        let Some((name, reference)) = &verification.delivered_by else { return Ok(ProviderVerdict::Refused) };
        let Some(Family::Verify(provider)) = self.provider(name).map(|provider| &provider.family) else {
            return Err(NotJudged(format!("{name} is no longer configured")));
        };
        match tokio::time::timeout(http::TIMEOUT, provider.check(reference, code)).await {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(error)) => Err(NotJudged(format!("{name}: {error}"))),
            Err(_) => Err(NotJudged(format!("{name}: no answer in time"))),
        }
    }

    async fn call_off(&self, verification: &Verification) {
        let Some((name, reference)) = &verification.delivered_by else { return };
        if let Some(Family::Verify(provider)) = self.provider(name).map(|provider| &provider.family)
            && let Err(error) = provider.cancel(reference).await
        {
            tracing::info!(verification = %verification.id, provider = name, %error, "the provider was not told of the end");
        }
    }
}

impl Lanes {
    fn lanes(&self) -> std::sync::RwLockReadGuard<'_, Vec<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, channel: Channel, country: Option<Country>) -> Vec<usize> {
        let mut draw = [0; 8];
        if self.routes.is_drawn() {
            self.tools.entropy.fill(&mut draw);
        }
        let lanes = self.lanes();
        let now = self.tools.clock.now();
        let score = |place: usize| lanes.get(place).map_or(0.0, |lane| lane.health().score(country, now));
        self.routes.path(&self.providers, channel, country, u64::from_be_bytes(draw), score)
    }

    /// Puts a job into the lane that it is due in. When the server stops there is none, and the store says `queued` still.
    fn hand_over(&self, job: Job) {
        let lanes = self.lanes();
        if let Some(lane) = job.path.get(job.at).and_then(|&place| lanes.get(place)) {
            let _ = lane.queue.send(job);
        }
    }

    /// Hands a job over later.
    fn hand_over_later(self: &Arc<Self>, job: Job, wait: Duration) {
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(shared) = shared.upgrade() {
                shared.hand_over(job);
            }
        });
    }

    /// What follows a failure: the job goes on, or comes back with what to report.
    fn after(self: &Arc<Self>, mut job: Job, error: &SendError, now: Timestamp) -> Option<Job> {
        let last = job.at + 1 == job.path.len();
        match error.fault {
            Fault::Rejected => return Some(job),
            // Two messages at most, and both carry one code (R06).
            Fault::Uncertain if job.perhaps_sent || (last && !self.repeats(&job)) => {
                job.perhaps_sent = true;
                return Some(job);
            }
            Fault::Uncertain => job.perhaps_sent = true,
            Fault::Unavailable => {}
        }
        if !last {
            job.at += 1;
            self.hand_over(job);
            return None;
        }
        // The rest that one of several asks for is its own: its gate keeps it while the others are asked.
        let rest = error.retry_after.filter(|_| job.path.len() == 1);
        self.again(job, rest.unwrap_or_default(), now)
    }

    /// Another round, after a pause of at least `rest`; or the job comes back.
    fn again(self: &Arc<Self>, mut job: Job, rest: Duration, now: Timestamp) -> Option<Job> {
        let wait = self.jittered(self.tools.retry_wait * 2_u32.pow(job.round.min(16))).max(rest);
        if job.round >= RETRIES || now + wait >= job.until || (job.perhaps_sent && !self.repeats(&job)) {
            return Some(job);
        }
        job.next_lap();
        job.round += 1;
        self.hand_over_later(job, wait);
        None
    }

    /// Whether asking again sends the same message again: a provider that makes the codes repeats the pending one, and
    /// without its reference the code that it sent could never pass.
    fn repeats(&self, job: &Job) -> bool {
        job.path.get(job.at).is_some_and(|&place| matches!(self.providers[place].family, Family::Verify(_)))
    }

    fn jittered(&self, wait: Duration) -> Duration {
        let mut draw = [0; 1];
        self.tools.entropy.fill(&mut draw);
        wait + wait * u32::from(draw[0]) / 512
    }
}

struct Report {
    service: Arc<str>,
    delivered: Delivered,
    noted: Option<oneshot::Sender<()>>,
}

/// One task for each provider: its messages take turns, and one that waits for the provider lets the others go on. What
/// became of them is reported many at a time: each report is a transition of the store.
///
/// The lanes hold the other end of `jobs`, so only a weak hold on them lets it ever close.
async fn work(health: Arc<Mutex<Health>>, jobs: mpsc::UnboundedReceiver<Job>, lanes: Weak<Lanes>, tools: Arc<Tools>) {
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
        let messages = batch.len();
        let (mut delivered, mut noted, mut failed) = (Vec::with_capacity(messages), Vec::new(), Vec::new());
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
            noted.extend(report.noted);
        }
        if let Err(error) = tools.store.delivered(delivered).await {
            tracing::warn!(%error, messages, "deliveries could not be noted");
        }
        if let Some(inbox) = &tools.inbox {
            for (message, delivery, cause) in shown {
                inbox.note(message, delivery, cause);
            }
        }
        for one in failed {
            // Nobody listens while the server stops.
            let _ = tools.failed.send(one);
        }
        for noted in noted {
            // Whoever waited may be gone.
            let _ = noted.send(());
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
    let now = tools.clock.now();
    let verification = &job.parcel.verification;
    let worth_sending = LIFE_WORTH_SENDING.min(job.parcel.policy.life(verification.channel) / 2);
    if now + worth_sending > verification.expires_at {
        let error = SendError::unavailable("its turn came when the code had less than a minute to live");
        show(tools, provider, &job, Some(&error));
        return Some(failed(provider, job, &error, now));
    }
    let health = || health.lock().unwrap_or_else(PoisonError::into_inner);
    if let Gate::Wait(until) = health().enter(now) {
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
    tools.metrics.sent(&provider.name, &job.parcel.verification, outcome, took);
    match result {
        Ok(reference) => {
            let verification = &job.parcel.verification;
            let result = Ok((provider.name.to_string(), reference));
            let delivered = Delivered { id: verification.id, message: verification.sends, result, now };
            Some(Report { service: Arc::clone(&verification.service), delivered, noted: job.parcel.noted })
        }
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
    Report { service: Arc::clone(&verification.service), delivered, noted: job.parcel.noted }
}

/// Dev mode shows that it goes to this provider, and what came in between.
fn show(tools: &Tools, provider: &Provider, job: &Job, trouble: Option<&SendError>) {
    let Some(inbox) = &tools.inbox else { return };
    let envelope = envelope(tools, provider, job);
    let number = MessageNumber { verification: envelope.verification, number: envelope.number };
    let content = match (&job.parcel.code, &provider.family) {
        (Some(code), Family::Message(_)) => match tools.renderer.render(envelope, code.clone(), &job.parcel.policy) {
            Ok(message) => Content::Message(Arc::new(message)),
            // What does not render is reported where it is sent.
            Err(_) => return,
        },
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
    let Parcel { code, policy, .. } = &job.parcel;
    let envelope = envelope(tools, provider, job);
    let patience = if job.at + 1 < job.path.len() { tools.patience } else { tools.last_patience };
    let sending = async {
        match (&provider.family, code) {
            (Family::Verify(verify_provider), _) => {
                if let Some(inbox) = &tools.inbox {
                    inbox.handed(Content::Unseen(Box::new(envelope.clone())), Arc::clone(&provider.name));
                }
                verify_provider.start(&envelope).await
            }
            (Family::Message(_), None) => Err(SendError::unavailable("the code's maker is no longer on this route")),
            (Family::Message(message_provider), Some(code)) => {
                if !message_provider.carries(code) {
                    return Err(SendError::unavailable("it cannot carry a code of that length"));
                }
                let message = tools.renderer.render(envelope, code.clone(), policy);
                let message = Arc::new(message.map_err(|error| SendError::unavailable(format!("the text does not render: {error}")))?);
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
