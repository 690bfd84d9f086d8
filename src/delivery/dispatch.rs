//! The courier: a bounded queue, and a worker for each provider.
//!
//! A start never waits for a provider. The verification's history says `queued` until the report arrives, so what a crash
//! interrupts is sent by the next start of the server. A provider that hangs holds up its own lane and no other (R05).
//! [`super::lanes`] decides what follows a failure.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::clock::Timestamp;
use crate::db::entities::EntityTables;
use crate::delivery::free_text::{FreeTexts, Words};
use crate::delivery::health::{Breaker, Health};
use crate::delivery::http;
use crate::delivery::lanes::{Job, Lane, Lanes, Tools};
use crate::delivery::notice::Notices;
use crate::delivery::provider::{Family, Provider};
use crate::delivery::route::Routes;
use crate::delivery::signed_post::SignedPost;
use crate::delivery::work::work;
use crate::secret::Code;
use crate::verification::Engine;
use crate::verification::courier::{CodeMaker, Courier, NotJudged, Parcel, ProviderVerdict, QueueFull};
use crate::verification::destination::Country;
use crate::verification::model::{Channel, Verification};
use crate::verification::policy::Policy;

/// Queues messages for the providers of their routes.
pub struct Dispatcher {
    shared: Arc<Lanes>,
    places: Arc<Semaphore>,
    workers: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
    notices: OnceLock<Arc<Notices>>,
    /// Weak: texts hold the engine, and the engine holds this.
    texts: OnceLock<Weak<FreeTexts>>,
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
        let places = Arc::new(Semaphore::new(tools.queue));
        Dispatcher { shared, places, workers: tokio::sync::Mutex::new(workers), notices: OnceLock::new(), texts: OnceLock::new() }
    }

    /// What sends notices over the same routes; stopped with the rest. `policy`: of the service that accounts belong to;
    /// `forgot`: where people reset their password, for mails. A later call gives what the first one made.
    pub fn notices(&self, policy: Arc<Policy>, forgot: Option<String>) -> Arc<Notices> {
        Arc::clone(self.notices.get_or_init(|| Arc::new(Notices::new(Arc::clone(&self.shared), policy, forgot))))
    }

    /// What sends texts of integrators' own over the same routes; stopped with the rest. Whoever asks for it keeps it.
    pub fn free_texts(&self, engine: Arc<Engine>, tables: EntityTables, post: Arc<SignedPost>, words: Words) -> Arc<FreeTexts> {
        let texts = Arc::new(FreeTexts::new(Arc::clone(&self.shared), engine, tables, post, words));
        let _ = self.texts.set(Arc::downgrade(&texts));
        texts
    }

    /// Takes no more, and returns once everything in the lanes was handed over. What waits for a retry stays queued in the
    /// store, for the next start of the server.
    pub async fn drain(&self) {
        if let Some(notices) = self.notices.get() {
            notices.drain().await;
        }
        if let Some(texts) = self.texts.get().and_then(Weak::upgrade) {
            texts.drain().await;
        }
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
