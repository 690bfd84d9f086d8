//! Which client a key belongs to: a look-up that is remembered for a second, so that a revoked key dies within one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::db::client::{Client, Clients, KeyedClient, prefix_of};
use crate::db::database::DataError;

/// How long a look-up is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);
/// How exactly the last use is noted.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);
/// Prefixes remembered at most; then all are forgotten.
const PREFIXES: usize = 10_000;

#[derive(Clone)]
struct Entry {
    found: Option<Arc<KeyedClient>>,
    looked_up_at: Timestamp,
    noted_at: Option<Timestamp>,
}

/// Keys, as the routes ask for them.
pub struct Keys {
    clients: Clients,
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<String, Entry>>,
}

impl Keys {
    /// The keys of these clients.
    pub fn new(clients: Clients, clock: Arc<dyn Clock>) -> Keys {
        Keys { clients, clock, entries: Mutex::default() }
    }

    /// The client with this very key, if it is not revoked.
    pub async fn client_of(&self, key: &str) -> Result<Option<Arc<Client>>, DataError> {
        let Some(prefix) = prefix_of(key) else { return Ok(None) };
        self.found(prefix, |keyed| keyed.has_key(key)).await
    }

    /// The client whose key begins so, if it is not revoked: for who has proven in another way that the client sent them.
    pub async fn client_with_prefix(&self, prefix: &str) -> Result<Option<Arc<Client>>, DataError> {
        self.found(prefix, |_| true).await
    }

    async fn found(&self, prefix: &str, is_it: impl Fn(&KeyedClient) -> bool) -> Result<Option<Arc<Client>>, DataError> {
        let now = self.clock.now();
        let entry = match self.remembered(prefix, now) {
            (Some(entry), true) => entry,
            (earlier, _) => self.look_up(prefix, earlier.and_then(|entry| entry.noted_at), now).await?,
        };
        let Some(keyed) = entry.found.filter(|keyed| is_it(keyed)) else { return Ok(None) };
        if entry.noted_at.is_none_or(|noted| now >= noted + USE_NOTED_EVERY) {
            self.note_use(prefix, &keyed, now);
        }
        Ok(Some(Arc::clone(&keyed.client)))
    }

    /// What is remembered of a key, and whether that will do. Of all who find it too old only the first is told so and looks
    /// it up again; the others need not all do the same at once.
    fn remembered(&self, prefix: &str, now: Timestamp) -> (Option<Entry>, bool) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(prefix) else { return (None, false) };
        let fresh = now < entry.looked_up_at + REMEMBERED;
        if !fresh {
            entry.looked_up_at = now;
        }
        (Some(entry.clone()), fresh)
    }

    async fn look_up(&self, prefix: &str, noted_at: Option<Timestamp>, now: Timestamp) -> Result<Entry, DataError> {
        let found = self.clients.by_prefix(prefix).await?;
        let entry = Entry { found: found.map(Arc::new), looked_up_at: now, noted_at };
        let mut entries = self.entries();
        if entries.len() >= PREFIXES {
            entries.clear();
        }
        entries.insert(prefix.to_owned(), entry.clone());
        Ok(entry)
    }

    fn note_use(&self, prefix: &str, keyed: &KeyedClient, now: Timestamp) {
        if let Some(entry) = self.entries().get_mut(prefix) {
            entry.noted_at = Some(now);
        }
        let (clients, id) = (self.clients.clone(), keyed.client.id);
        tokio::spawn(async move {
            if let Err(error) = clients.used(id, now).await {
                tracing::warn!(%error, client = %id, "the use of a key could not be noted");
            }
        });
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
