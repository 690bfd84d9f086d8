//! What the workers share: a lane for each provider, and the one rule about what follows a failure.
//!
//! The next provider of the route when the message was certainly not sent; the next one, once, with the same code when nobody
//! knows (or the same one, where it makes the code: it repeats its own); the same ones again after a while, but never past
//! half the code's life; nobody when the destination is the problem.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::clock::{Clock, Timestamp};
use crate::delivery::health::Health;
use crate::delivery::inbox::Inbox;
use crate::delivery::provider::{Family, Fault, Provider, SendError};
use crate::delivery::receipt::References;
use crate::delivery::route::Routes;
use crate::delivery::text::Renderer;
use crate::secret::Entropy;
use crate::telemetry::Metrics;
use crate::verification::VerificationId;
use crate::verification::courier::Parcel;
use crate::verification::destination::Country;
use crate::verification::lease::Lease;
use crate::verification::model::Channel;
use crate::verification::store::Store;

/// Rounds over the whole route after the first (R02).
const RETRIES: u32 = 2;

/// What the workers share.
pub struct Tools {
    /// Hears what became of messages.
    pub store: Arc<dyn Store>,
    /// Asked right before a message is handed over.
    pub lease: Arc<Lease>,
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
pub struct Job {
    pub parcel: Parcel,
    /// Places of providers, in the order of the route.
    pub path: Vec<usize>,
    /// Where in the path it is.
    pub at: usize,
    /// Rounds over the whole path before this one.
    pub round: u32,
    /// Some provider was asked in this lap.
    pub asked: bool,
    /// Of those that could not be asked in this lap, the least that one has to wait.
    pub soonest: Option<Duration>,
    /// Some provider has perhaps sent it already.
    pub perhaps_sent: bool,
    /// The time that it may take: half the code's life.
    pub until: Timestamp,
    pub _place: OwnedSemaphorePermit,
}

impl Job {
    /// From the first provider on.
    pub fn next_lap(&mut self) {
        self.asked = false;
        self.soonest = None;
        self.at = 0;
    }
}

pub struct Lane {
    pub provider: Provider,
    pub queue: mpsc::UnboundedSender<Job>,
    pub health: Arc<Mutex<Health>>,
}

impl Lane {
    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all workers see.
pub struct Lanes {
    pub providers: Vec<Provider>,
    pub routes: Routes,
    /// Emptied when the server stops.
    pub lanes: RwLock<Vec<Lane>>,
    pub tools: Arc<Tools>,
}

impl Lanes {
    pub fn lanes(&self) -> std::sync::RwLockReadGuard<'_, Vec<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn path(&self, channel: Channel, country: Option<Country>) -> Vec<usize> {
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
    pub fn hand_over(&self, job: Job) {
        let lanes = self.lanes();
        if let Some(lane) = job.path.get(job.at).and_then(|&place| lanes.get(place)) {
            let _ = lane.queue.send(job);
        }
    }

    /// Hands a job over later.
    pub fn hand_over_later(self: &Arc<Self>, job: Job, wait: Duration) {
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(shared) = shared.upgrade() {
                shared.hand_over(job);
            }
        });
    }

    /// What follows a failure: the job goes on, or comes back with what to report.
    pub fn after(self: &Arc<Self>, mut job: Job, error: &SendError, now: Timestamp) -> Option<Job> {
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
    pub fn again(self: &Arc<Self>, mut job: Job, rest: Duration, now: Timestamp) -> Option<Job> {
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
    pub fn repeats(&self, job: &Job) -> bool {
        job.path.get(job.at).is_some_and(|&place| matches!(self.providers[place].family, Family::Verify(_)))
    }

    pub fn jittered(&self, wait: Duration) -> Duration {
        let mut draw = [0; 1];
        self.tools.entropy.fill(&mut draw);
        wait + wait * u32::from(draw[0]) / 512
    }
}
