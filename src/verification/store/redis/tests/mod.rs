#![cfg(test)]
//! The store against real servers: a private one for each test, made by `redis-server`, which must be installed.
//! `tests/databases/run` runs them.

mod arithmetic;
mod keys;
mod losses;
mod peers;
mod server;
mod speed;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::durable::{DurableLog, Entry, Kind};
use super::link::Link;
use super::{PeerConfig, RedisStore};
use crate::audit::AuditLog;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::verification::limit::BucketKey;
use crate::verification::store::{Store, StoreError, conformance};

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// What would lie in SQL.
#[derive(Default)]
pub struct MemoryLog {
    entries: Mutex<HashMap<(Kind, BucketKey), Entry>>,
}

#[async_trait]
impl DurableLog for MemoryLog {
    async fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut kept = self.entries.lock().expect("nobody panics");
        for entry in entries {
            let place = kept.entry((entry.kind, entry.key)).or_insert_with(|| entry.clone());
            if place.sequence < entry.sequence {
                *place = entry.clone();
            }
        }
        Ok(())
    }

    async fn load(&self, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
        Ok(self.entries.lock().expect("nobody panics").values().filter(|entry| entry.forget_at > now).cloned().collect())
    }

    async fn sweep(&self, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
}

/// A replica of its own on what lies under the prefix.
pub fn replica(url: &str, prefix: &str, log: &Arc<MemoryLog>) -> Arc<RedisStore> {
    static REPLICAS: AtomicU32 = AtomicU32::new(1);
    let peer = PeerConfig::parse(url).and_then(|config| config.peer()).expect("a URL");
    let name = Uuid::from_u128(REPLICAS.fetch_add(1, Ordering::Relaxed).into());
    let log: Arc<dyn DurableLog> = Arc::clone(log) as _;
    Arc::new(RedisStore::new(Link::new(peer, prefix), log, Arc::new(AuditLog), name, 90 * DAY))
}

/// An empty store under a prefix of its own.
pub fn empty(url: &str) -> Arc<RedisStore> {
    static PREFIXES: AtomicU32 = AtomicU32::new(1);
    let prefix = format!("test-{}-{}", std::process::id(), PREFIXES.fetch_add(1, Ordering::Relaxed));
    replica(url, &prefix, &Arc::default())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_redis_store_conforms() {
    let server = server::Server::start(&[]).await;
    conformance::run_all(async || empty(&server.url()) as Arc<dyn Store>).await;
    let mut number = 0;
    let three = async || {
        number += 1;
        let log = Arc::default();
        (0..3).map(|_| replica(&server.url(), &format!("shared-{number}"), &log) as Arc<dyn Store>).collect::<Vec<_>>()
    };
    conformance::replicas::run_shared(three).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_shared_clock_is_right() {
    let server = server::Server::start(&[]).await;
    let shown = empty(&server.url()).shared_clock().await.expect("an answer").expect("a time");
    assert!((SystemClock.now().0 - shown.0).abs() < 5000, "{shown}");
}

/// On the servers that the environment names: a Cluster, a Valkey, Sentinels …
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs COUNTERSIGN_TEST_REDIS_URL"]
#[expect(clippy::disallowed_methods, reason = "where tests run is no setting of the server")]
async fn the_store_conforms_on_a_given_server() {
    let urls = std::env::var("COUNTERSIGN_TEST_REDIS_URL").expect("COUNTERSIGN_TEST_REDIS_URL, one or more with spaces between");
    for url in urls.split_whitespace() {
        conformance::run_all(async || empty(url) as Arc<dyn Store>).await;
    }
}
