//! The courier: a bounded queue and workers for each provider, and a report to the store for each message.
//!
//! A start never waits for a provider. The verification's row says `queued` until the report arrives, so what a crash
//! interrupts is sent by the next start of the server.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::delivery::inbox::Inbox;
use crate::delivery::message::Renderer;
use crate::delivery::provider::{MessageProvider, SendError};
use crate::telemetry::Metrics;
use crate::verification::courier::{Courier, Parcel, QueueFull};
use crate::verification::model::Channel;
use crate::verification::store::{Delivered, Store, Undelivered};

/// Messages that may wait for one provider.
const QUEUE: usize = 16_384;
/// Messages that one provider is asked to send at once.
const AT_ONCE: usize = 64;
/// Reports in one transition.
const REPORTS_AT_ONCE: usize = 128;
/// A provider that has not answered by then has perhaps sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What the workers share.
pub struct Tools {
    /// Hears what became of messages.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Texts.
    pub renderer: Renderer,
    /// Dev mode only.
    pub inbox: Option<Arc<Inbox>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

struct Lane {
    provider: Arc<dyn MessageProvider>,
    queue: mpsc::Sender<Parcel>,
}

/// Queues messages for the first provider that serves their channel.
pub struct Dispatcher {
    lanes: std::sync::RwLock<Vec<Lane>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Dispatcher {
    /// Starts a worker for each provider. Must be called within the runtime.
    pub fn new(providers: Vec<Arc<dyn MessageProvider>>, tools: Tools) -> Dispatcher {
        let tools = Arc::new(tools);
        let (mut lanes, mut workers) = (Vec::new(), Vec::new());
        for provider in providers {
            let (queue, parcels) = mpsc::channel(QUEUE);
            workers.push(tokio::spawn(work(Arc::clone(&provider), parcels, Arc::clone(&tools))));
            lanes.push(Lane { provider, queue });
        }
        Dispatcher { lanes: std::sync::RwLock::new(lanes), workers: Mutex::new(workers) }
    }

    /// Takes no more, and returns once everything queued was handed over.
    pub async fn drain(&self) {
        if let Ok(mut lanes) = self.lanes.write() {
            lanes.clear();
        }
        for worker in self.workers.lock().await.drain(..) {
            if worker.await.is_err() {
                tracing::error!("a delivery worker died");
            }
        }
    }
}

impl Courier for Dispatcher {
    fn serves(&self, channel: Channel) -> bool {
        self.lanes.read().is_ok_and(|lanes| lanes.iter().any(|lane| lane.provider.channels().contains(&channel)))
    }

    fn dispatch(&self, parcel: Parcel) -> Result<(), QueueFull> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let channel = parcel.verification.channel;
        match lanes.iter().find(|lane| lane.provider.channels().contains(&channel)) {
            Some(lane) => lane.queue.try_send(parcel).map_err(|error| QueueFull(error.into_inner())),
            // Stopping: the next start of the server sends it.
            None => Ok(()),
        }
    }
}

/// One task for each provider: its messages take turns, and one that waits for the provider lets the others go on. What
/// became of them is reported many at a time: each report is a transition of the store.
async fn work(provider: Arc<dyn MessageProvider>, parcels: mpsc::Receiver<Parcel>, tools: Arc<Tools>) {
    let (reports, reported) = mpsc::channel(QUEUE);
    let reporter = tokio::spawn(report(reported, Arc::clone(&tools)));
    let parcels = stream::unfold(parcels, |mut parcels| async move { Some((parcels.recv().await?, parcels)) });
    parcels
        .for_each_concurrent(AT_ONCE, |parcel| async {
            // The reporter outlives this task: it ends when the last sender is gone.
            let _ = reports.send(deliver(provider.as_ref(), parcel, &tools).await).await;
        })
        .await;
    drop(reports);
    let _ = reporter.await;
}

async fn report(mut reported: mpsc::Receiver<Delivered>, tools: Arc<Tools>) {
    let mut batch = Vec::new();
    while reported.recv_many(&mut batch, REPORTS_AT_ONCE).await > 0 {
        let messages = batch.len();
        if let Err(error) = tools.store.delivered(std::mem::take(&mut batch)).await {
            tracing::warn!(%error, messages, "deliveries could not be noted");
        }
    }
}

async fn deliver(provider: &dyn MessageProvider, parcel: Parcel, tools: &Tools) -> Delivered {
    let result = send(provider, &parcel, tools).await;
    let verification = &parcel.verification;
    tools.metrics.sent(provider.name(), verification, result.is_ok());
    if let Err(error) = &result {
        tracing::warn!(verification = %verification.id, message = verification.sends, provider = provider.name(), %error, "not delivered");
    }
    Delivered {
        id: verification.id,
        message: verification.sends,
        queued_at: parcel.queued_at,
        result: result
            .map(|reference| (provider.name().to_owned(), reference))
            .map_err(|error| Undelivered { cause: error.to_string(), perhaps_sent: matches!(error, SendError::Uncertain(_)) }),
        now: tools.clock.now(),
    }
}

async fn send(provider: &dyn MessageProvider, parcel: &Parcel, tools: &Tools) -> Result<String, SendError> {
    let now = tools.clock.now();
    let message =
        tools.renderer.render(parcel, now).map_err(|error| SendError::Unavailable(format!("the text does not render: {error}")))?;
    let message = Arc::new(message);
    if let Some(inbox) = &tools.inbox {
        inbox.add(Arc::clone(&message), provider.name());
    }
    match tokio::time::timeout(SEND_TIMEOUT, provider.send(&message)).await {
        Ok(result) => result,
        Err(_) => Err(SendError::Uncertain(format!("no answer within {} s", SEND_TIMEOUT.as_secs()))),
    }
}
