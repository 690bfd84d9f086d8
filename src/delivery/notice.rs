//! Sends notices (NOT-01): a bounded number at a time, over the routes that codes take, behind the same breakers.
//!
//! Whoever causes one does not wait. A notice that cannot be sent is tried again for some minutes; one that is given up is
//! logged and counted, without its address. They are held in memory: a crash loses those that wait, and a stop gives up those
//! that wait for a retry. Providers that make the codes, or that fill in templates of their own, cannot carry one, and
//! no notice leaves its route for another provider.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::account::notice::{Notice, Notifier};
use crate::clock::Timestamp;
use crate::delivery::health::Gate;
use crate::delivery::inbox::Content;
use crate::delivery::lanes::Lanes;
use crate::delivery::message::{Envelope, Message};
use crate::delivery::provider::{Fault, MessageProvider, Provider, SendError};
use crate::delivery::receipt::MessageNumber;
use crate::id;
use crate::verification::buckets::Buckets;
use crate::verification::destination::Destination;
use crate::verification::limit::{LimitName, Quota, Rule, SendRule, Take};
use crate::verification::model::{Channel, Delivery};
use crate::verification::policy::Policy;

/// Notices that may wait or be under way.
const QUEUE: u32 = 1024;
/// Notices for which a provider is asked at once: few, so that codes go first.
const AT_ONCE: usize = 16;
/// Of one kind to one destination: nobody floods a mailbox by way of us (ABU-03). Counted in memory: a restart forgets.
const QUOTA: Quota = Quota { count: 10, per: Duration::from_secs(24 * 3600) };
/// Rounds over the whole route after the first.
const RETRIES: u32 = 5;
/// Each wait for the next round is so many times as long: half a second becomes two minutes.
const LONGER: u32 = 4;
/// What providers are told of its life: news of yesterday still count, but nobody should be woken by them.
const LIFE: Duration = Duration::from_secs(4 * 3600);

/// The notifier of a running server.
pub struct Notices(Arc<Work>);

struct Work {
    shared: Arc<Lanes>,
    policy: Arc<Policy>,
    /// Where people reset their password.
    forgot: Option<String>,
    places: Arc<Semaphore>,
    turns: Semaphore,
    limits: Mutex<(Buckets, Arc<SendRule>)>,
    stopping: watch::Sender<bool>,
    runtime: Handle,
}

/// One notice to one destination.
struct Note {
    id: uuid::Uuid,
    to: Destination,
    channel: Channel,
    locale: Arc<str>,
    notice: Notice,
    at: Timestamp,
}

/// What became of one: the name in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Sent,
    /// Ten of its kind went there today.
    Limited,
    /// The service sends nothing to that country.
    Country,
    /// Too many wait.
    QueueFull,
    /// No provider of the route can carry one.
    Nobody,
    /// The destination is the problem.
    Rejected,
    /// Perhaps sent, and asked for twice.
    Uncertain,
    /// Tried to the end.
    Unavailable,
    /// The server stopped in between.
    Stopped,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Sent => "sent",
            Outcome::Limited => "limited",
            Outcome::Country => "country",
            Outcome::QueueFull => "queue_full",
            Outcome::Nobody => "nobody",
            Outcome::Rejected => "rejected",
            Outcome::Uncertain => "uncertain",
            Outcome::Unavailable => "unavailable",
            Outcome::Stopped => "stopped",
        }
    }
}

impl Notices {
    /// Must be called within the runtime. `policy`: of the service whose brand, language and countries count.
    pub(super) fn new(shared: Arc<Lanes>, policy: Arc<Policy>, forgot: Option<String>) -> Notices {
        Notices(Arc::new(Work {
            shared,
            policy,
            forgot,
            places: Arc::new(Semaphore::new(QUEUE as usize)),
            turns: Semaphore::new(AT_ONCE),
            limits: Mutex::new((Buckets::default(), Arc::new(SendRule { quotas: vec![QUOTA], waits: Vec::new() }))),
            stopping: watch::Sender::new(false),
            runtime: Handle::current(),
        }))
    }

    /// Takes no more, and returns once those that providers are asked for are through.
    pub(super) async fn drain(&self) {
        self.0.stopping.send_replace(true);
        // Every place is free when nothing is under way.
        let _ = self.0.places.acquire_many(QUEUE).await;
        self.0.places.close();
    }
}

impl Notifier for Notices {
    fn notify(&self, to: Destination, locale: Arc<str>, notice: Notice) {
        let work = &self.0;
        let at = work.shared.tools.clock.now();
        let channel = if to.is_phone() { Channel::Sms } else { Channel::Email };
        let note = Note { id: id::new(at, work.shared.tools.entropy.as_ref()), to, channel, locale, notice, at };
        if let Err(outcome) = work.admit(&note) {
            return work.conclude(&note, outcome);
        }
        let Ok(place) = Arc::clone(&work.places).try_acquire_owned() else { return work.conclude(&note, Outcome::QueueFull) };
        let work = Arc::clone(work);
        self.0.runtime.spawn(async move {
            // A fault in the wording of one is no silence about it.
            let delivered = AssertUnwindSafe(work.deliver(&note)).catch_unwind().await;
            work.conclude(&note, delivered.unwrap_or(Outcome::Unavailable));
            drop(place);
        });
    }
}

impl Work {
    /// Whether it may be sent at all.
    fn admit(&self, note: &Note) -> Result<(), Outcome> {
        if let (Some(countries), Some(country)) = (&self.policy.countries, note.to.country())
            && !countries.contains(&country)
        {
            return Err(Outcome::Country);
        }
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let (buckets, rule) = &mut *limits;
        let name = LimitName::Destination;
        let key = name.key(&[b"notice", &note.to.key(), note.notice.name().as_bytes()]);
        let taken = buckets.take_all(&[Take { key, name, rule: Rule::Windows(Arc::clone(rule)) }], note.at);
        buckets.changed();
        buckets.tidy(note.at);
        taken.map_err(|_| Outcome::Limited)
    }

    /// To its end: nothing is lost without a word.
    fn conclude(&self, note: &Note, outcome: Outcome) {
        self.shared.tools.metrics.noticed(note.notice.name(), note.channel, outcome.as_str());
        if outcome != Outcome::Sent {
            let (notice, channel, result) = (note.notice.name(), note.channel.as_str(), outcome.as_str());
            tracing::warn!(id = %note.id, notice, channel, result, "a notice was not sent");
        }
    }

    async fn deliver(&self, note: &Note) -> Outcome {
        let mut stopping = self.stopping.subscribe();
        let mut perhaps_sent = false;
        for round in 0..=RETRIES {
            if round > 0 {
                let wait = self.shared.jittered(self.shared.tools.retry_wait * LONGER.pow(round - 1));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = stopping.wait_for(|stopping| *stopping) => return Outcome::Stopped,
                }
            }
            match self.round(note, &mut perhaps_sent).await {
                Some(outcome) => return outcome,
                // Somebody may have it already, and nobody else could be asked.
                None if perhaps_sent => return Outcome::Uncertain,
                None => {}
            }
        }
        Outcome::Unavailable
    }

    /// Asks one provider after the other. None: none of them took it, for now.
    async fn round(&self, note: &Note, perhaps_sent: &mut bool) -> Option<Outcome> {
        let path = self.shared.path(note.channel, note.to.country());
        let mut path = path.into_iter().filter_map(|place| Some((place, self.shared.carrier(place)?))).peekable();
        if path.peek().is_none() {
            return Some(Outcome::Nobody);
        }
        for (place, (provider, carrier)) in path {
            match self.ask(note, place, provider, carrier).await {
                Ok(()) => return Some(Outcome::Sent),
                Err(error) => match error.fault {
                    Fault::Rejected => return Some(Outcome::Rejected),
                    // Two at most, as with codes (R06).
                    Fault::Uncertain if *perhaps_sent => return Some(Outcome::Uncertain),
                    Fault::Uncertain => *perhaps_sent = true,
                    Fault::Unavailable => {}
                },
            }
        }
        None
    }

    /// Asks one, if its breaker lets us.
    async fn ask(&self, note: &Note, place: usize, provider: &Provider, carrier: &dyn MessageProvider) -> Result<(), SendError> {
        let Ok(_turn) = self.turns.acquire().await else { return Err(SendError::unavailable("the server stops")) };
        let tools = &self.shared.tools;
        let started = tools.clock.now();
        let health = self.shared.lanes().get(place).map(|lane| Arc::clone(&lane.health));
        let health = || health.as_ref().map(|health| health.lock().unwrap_or_else(PoisonError::into_inner));
        let message = self.message(note, provider, started)?;
        if let Some(inbox) = &tools.inbox {
            inbox.handed(Content::Message(Arc::new(message.clone())), Arc::clone(&provider.name));
        }
        if let Some(Gate::Wait(_)) = health().map(|mut health| health.enter(started)) {
            let error = SendError::unavailable("it takes no messages for now, after too many failures");
            self.show(note, provider, Err(&error));
            return Err(error);
        }
        let sending = AssertUnwindSafe(carrier.send(&message)).catch_unwind();
        let result = match tokio::time::timeout(tools.last_patience, sending).await {
            Ok(Ok(result)) => result.map(drop),
            Ok(Err(_)) => Err(SendError::uncertain("it broke down while it was asked")),
            Err(_) => Err(SendError::uncertain("no answer in time")),
        };
        let now = tools.clock.now();
        let (country, took) = (note.to.country(), started.until(now));
        if let Some(mut health) = health() {
            health.note(country, result.as_ref().map(drop), took, now);
        }
        let outcome = result.as_ref().map_or_else(|error| error.fault.as_str(), |()| "sent");
        tools.metrics.sent(&provider.name, note.channel, country, outcome, took);
        if let Err(error) = &result {
            tracing::info!(id = %note.id, notice = note.notice.name(), provider = &*provider.name, fault = ?error.fault, %error, "not taken");
        }
        self.show(note, provider, result.as_ref().map(drop));
        result
    }

    fn message(&self, note: &Note, provider: &Provider, now: Timestamp) -> Result<Message, SendError> {
        let tools = &self.shared.tools;
        let envelope = Envelope {
            verification: note.id,
            number: 1,
            to: note.to.clone(),
            channel: note.channel,
            locale: Arc::clone(&note.locale),
            brand: Arc::clone(&self.policy.brand),
            reference: tools.references.seal(&provider.name, MessageNumber { verification: note.id, number: 1 }),
            // Nobody waits for a receipt.
            callback: None,
            now,
            expires_at: now + LIFE,
        };
        let message = tools.renderer.notice(envelope, &note.notice, note.at, self.forgot.as_deref(), &self.policy);
        message.map_err(|error| SendError::unavailable(format!("the text does not render: {error}")).about_message())
    }

    /// What dev mode shows of it.
    fn show(&self, note: &Note, provider: &Provider, result: Result<(), &SendError>) {
        let Some(inbox) = &self.shared.tools.inbox else { return };
        let message = MessageNumber { verification: note.id, number: 1 };
        let cause = |error: &SendError| format!("{}: {error}", provider.name);
        match result {
            Ok(()) => inbox.note(message, Delivery::Sent, None),
            Err(error) if error.fault == Fault::Rejected => inbox.note(message, Delivery::Failed, Some(cause(error))),
            Err(error) => inbox.troubled(message, cause(error)),
        }
    }
}
