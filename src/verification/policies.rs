//! The rules of every service: those that are configured, and those of services that are made at run time.
//!
//! The latter lie in the database, where other replicas change them too. What was read is remembered for a second, so that a
//! change is seen everywhere within one, and a start costs no look-up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Clock, Timestamp};
use crate::verification::policy::{DEFAULT_SERVICE, Policy};
use crate::verification::service::Service;
use crate::verification::store::StoreError;

/// How long what was read is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Services remembered at most; then all are forgotten.
const SERVICES: usize = 10_000;
/// Under which name metrics count services that are made at run time: anybody with credentials can make many.
const LABEL: &str = "made at run time";

/// Where services that are made at run time lie.
#[async_trait]
pub trait StoredServices: Send + Sync {
    /// The service of that name.
    async fn by_name(&self, name: &str) -> Result<Option<Service>, StoreError>;
}

/// A service that was made at run time, with the rules that follow from its settings.
#[derive(Clone)]
pub struct Stored {
    /// The service.
    pub service: Arc<Service>,
    /// Its rules.
    pub policy: Arc<Policy>,
}

#[derive(Clone)]
struct Entry {
    found: Option<Stored>,
    read_at: Timestamp,
}

struct Kept {
    source: Arc<dyn StoredServices>,
    base: Arc<Policy>,
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<Arc<str>, Entry>>,
}

/// The rules by service.
pub struct Policies {
    configured: HashMap<Arc<str>, Arc<Policy>>,
    kept: Option<Kept>,
    label: Arc<str>,
}

impl Policies {
    /// Configured ones only. `default` must be among them.
    pub fn new(configured: impl IntoIterator<Item = Arc<Policy>>) -> Policies {
        let configured = configured.into_iter().map(|policy| (Arc::clone(&policy.service), policy)).collect();
        Policies { configured, kept: None, label: LABEL.into() }
    }

    /// And those from there, each starting from `base`.
    pub fn with_stored(self, source: Arc<dyn StoredServices>, base: Arc<Policy>, clock: Arc<dyn Clock>) -> Policies {
        Policies { kept: Some(Kept { source, base, clock, entries: Mutex::default() }), ..self }
    }

    /// The rules of a service as far as they are known here, without asking anybody. Were it removed since, the default's hold.
    pub fn known(&self, service: &str) -> Arc<Policy> {
        let stored = || self.kept.as_ref().and_then(|kept| kept.entries().get(service)?.found.clone()).map(|stored| stored.policy);
        let found = self.configured.get(service).map(Arc::clone).or_else(stored);
        let found = found.or_else(|| self.configured.get(DEFAULT_SERVICE).map(Arc::clone));
        #[expect(clippy::expect_used, reason = "the configuration always has the default service")]
        found.expect("the default service")
    }

    /// The rules of a service as they are now.
    pub async fn current(&self, service: &str) -> Result<Arc<Policy>, StoreError> {
        if let Some(policy) = self.configured.get(service) {
            return Ok(Arc::clone(policy));
        }
        Ok(self.stored(service).await?.map_or_else(|| self.known(DEFAULT_SERVICE), |stored| stored.policy))
    }

    /// The rules of the configuration, in no order.
    pub fn configured(&self) -> impl Iterator<Item = &Policy> {
        self.configured.values().map(AsRef::as_ref)
    }

    /// The service of that name that was made at run time.
    pub async fn stored(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let now = kept.clock.now();
        if let Some(found) = kept.remembered(name, now) {
            return Ok(found);
        }
        let found = kept.source.by_name(name).await?.and_then(|service| kept.with_policy(service));
        kept.remember(name, found.clone(), now);
        Ok(found)
    }

    /// What a service that starts with these settings would be held to.
    pub fn base(&self) -> Option<&Arc<Policy>> {
        self.kept.as_ref().map(|kept| &kept.base)
    }

    /// Forgets what is remembered of a service, because it was changed here.
    pub fn forget(&self, name: &str) {
        if let Some(kept) = &self.kept {
            kept.entries().remove(name);
        }
    }

    /// The name under which metrics count a service.
    pub fn label<'a>(&'a self, service: &'a Arc<str>) -> &'a Arc<str> {
        if self.configured.contains_key(service) { service } else { &self.label }
    }
}

impl Kept {
    fn with_policy(&self, service: Service) -> Option<Stored> {
        match service.settings.policy(&service.name, &self.base) {
            Ok(policy) => Some(Stored { service: Arc::new(service), policy: Arc::new(policy) }),
            Err(error) => {
                // Only what was written behind our back, or before a range became narrower.
                tracing::warn!(service = %service.name, %error, "a stored service breaks a rule and is left out");
                None
            }
        }
    }

    /// What is remembered of a service, if that will do. Of all who find it too old only the first is told so and reads it
    /// again; the others need not all do the same at once.
    fn remembered(&self, name: &str, now: Timestamp) -> Option<Option<Stored>> {
        let mut entries = self.entries();
        let entry = entries.get_mut(name)?;
        if now >= entry.read_at + REMEMBERED {
            entry.read_at = now;
            return None;
        }
        Some(entry.found.clone())
    }

    fn remember(&self, name: &str, found: Option<Stored>, read_at: Timestamp) {
        let mut entries = self.entries();
        if entries.len() >= SERVICES {
            entries.clear();
        }
        entries.insert(name.into(), Entry { found, read_at });
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::TestClock;
    use crate::config::Config;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    #[async_trait]
    impl StoredServices for Counted {
        async fn by_name(&self, _: &str) -> Result<Option<Service>, StoreError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(None)
        }
    }

    #[tokio::test]
    async fn what_is_too_old_is_read_again_by_one() {
        let (clock, source) = (Arc::new(TestClock::default()), Arc::new(Counted::default()));
        let configured = Config::from_toml("").expect("settings").policies().expect("policies");
        let base = Arc::new(Policy::clone(configured.first().expect("the default service")));
        let policies = Policies::new([]).with_stored(Arc::clone(&source) as _, base, Arc::clone(&clock) as _);
        for reads in 1..=3 {
            let all = futures_util::future::join_all((0..if reads == 1 { 1 } else { 50 }).map(|_| policies.stored("made"))).await;
            assert!(all.iter().all(|found| matches!(found, Ok(None))));
            assert_eq!(source.0.load(Ordering::Relaxed), reads);
            clock.advance(REMEMBERED);
        }
    }
}
