//! The stores, opened as the server opens them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use countersign::audit::AuditLog;
use countersign::clock::{Clock, SystemClock, Timestamp};
use countersign::db::Synchronous;
use countersign::db::database::{Database, Place, Settings};
use countersign::db::kept::KeptFailures;
use countersign::verification::store::redis::durable::{DurableLog, Entry};
use countersign::verification::store::redis::link::Link;
use countersign::verification::store::redis::{PeerConfig, RedisStore};
use countersign::verification::store::sql::SqlStore;
use countersign::verification::store::sqlite::SqliteStore;
use countersign::verification::store::{Store, StoreError};
use uuid::Uuid;

use crate::{Options, Way};

/// The default of `redis.prefix`.
const PREFIX: &str = "countersign";
/// The default of `store.retention`.
const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// One store, or one for each task.
pub async fn open(options: &Options) -> Result<Vec<Arc<dyn Store>>> {
    if let Some(file) = &options.file {
        let store = SqliteStore::open(file, Synchronous::Full, Arc::new(AuditLog), SystemClock.now())?;
        return Ok(vec![Arc::new(store)]);
    }
    let url = options.sql.as_deref().context("neither --file nor DATABASE_URL says where")?;
    match (&options.redis, options.way) {
        (Some(redis), Way::Store) => Ok(vec![scripts(redis, Arc::new(KeptFailures::new(database(url, None).await?)))?]),
        (Some(redis), Way::Scripts) => Ok(vec![scripts(redis, Arc::new(Nowhere))?]),
        (None, Way::Store) => Ok(vec![statements(database(url, None).await?)]),
        (None, Way::Alone) => {
            let mut stores = Vec::new();
            for _ in 0..options.tasks {
                stores.push(statements(database(url, Some(1)).await?));
            }
            Ok(stores)
        }
        (Some(_), Way::Alone) | (None, Way::Scripts) => bail!("{:?} is nothing for this store", options.way),
    }
}

async fn database(url: &str, connections: Option<u32>) -> Result<Database> {
    let usual = Settings::new(Place::parse(url, Synchronous::Full).map_err(|rule| anyhow!("the URL {rule}"))?);
    let connections = connections.unwrap_or(usual.connections);
    Ok(Database::open(Settings { connections, ..usual }).await?)
}

fn statements(database: Database) -> Arc<dyn Store> {
    Arc::new(SqlStore::new(database, Uuid::now_v7(), Arc::new(AuditLog)))
}

fn scripts(url: &str, log: Arc<dyn DurableLog>) -> Result<Arc<dyn Store>> {
    let link = Link::new(PeerConfig::parse(url)?.peer()?, PREFIX);
    Ok(Arc::new(RedisStore::new(link, log, Arc::new(AuditLog), Uuid::now_v7(), RETENTION)))
}

/// Keeps nothing: what is left are the scripts.
struct Nowhere;

#[async_trait]
impl DurableLog for Nowhere {
    async fn write(&self, _entries: &[Entry]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn load(&self, _now: Timestamp) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn sweep(&self, _now: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
}
