//! Tells integrators what happens to factors and challenges, by the webhooks of their services.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::db::entities::EntityTables;
use crate::delivery::signed_post::SignedPost;
use crate::entity::Subscribers;
use crate::entity::model::EntityEvent;
use crate::entity::webhook::Webhook;

/// Events whose webhooks are looked up at once, or wait for that.
const QUEUE: usize = 1024;

/// The words of an event: the face knows them.
pub type Words = fn(&Webhook, &EntityEvent) -> Vec<(String, String)>;

/// The subscribers of a running server.
pub struct Webhooks {
    tables: EntityTables,
    post: Arc<SignedPost>,
    words: Words,
    places: Arc<Semaphore>,
    runtime: Handle,
}

impl Webhooks {
    /// Must be called within the runtime.
    pub fn new(tables: EntityTables, post: Arc<SignedPost>, words: Words) -> Webhooks {
        Webhooks { tables, post, words, places: Arc::new(Semaphore::new(QUEUE)), runtime: Handle::current() }
    }
}

impl Subscribers for Webhooks {
    fn publish(&self, event: EntityEvent) {
        tracing::info!(event = event.kind.as_str(), factor = %event.factor.id, service = &*event.entity.service, "a factor changed");
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(event = event.kind.as_str(), "nobody is told of an event: too many wait");
            return;
        };
        let (tables, post, words) = (self.tables.clone(), Arc::clone(&self.post), self.words);
        self.runtime.spawn(async move {
            match tables.webhooks(&event.entity.service).await {
                Ok(webhooks) => {
                    for webhook in webhooks.iter().filter(|webhook| webhook.settings.wants(event.kind)) {
                        post.post(webhook.client, webhook.settings.url.clone(), words(webhook, &event));
                    }
                }
                Err(error) => tracing::warn!(%error, event = event.kind.as_str(), "nobody is told of an event"),
            }
            drop(place);
        });
    }

    fn accepts(&self, url: &str) -> Result<(), String> {
        self.post.accepts(url)
    }
}
