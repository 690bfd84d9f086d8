//! The stores that a configuration means: where durable data lie, and who keeps verifications and limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::{BuildError, make_data_dir};
use crate::audit::AuditLog;
use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::db::database::{Database, Place, Reason, Settings, patience};
use crate::db::kept::KeptFailures;
use crate::db::transfer::end::{End, Verifications};
use crate::secret::Entropy;
use crate::verification::store::Store;
use crate::verification::store::redis::link::Link;
use crate::verification::store::redis::{PeerConfig, RedisStore};
use crate::verification::store::sql::SqlStore;
use crate::verification::store::sqlite::SqliteStore;
use crate::verification::store::sqlite::resting::RestingStore;

/// The first pause before a database that did not answer is asked again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Who keeps verifications and limits.
pub struct VerificationStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Transitions that wait for it.
    pub queue_depth: Box<dyn Fn() -> usize + Send + Sync>,
}

/// Names this process among those that share the data.
fn replica(entropy: &dyn Entropy) -> Uuid {
    let mut name = [0; 16];
    entropy.fill(&mut name);
    uuid::Builder::from_random_bytes(name).into_uuid()
}

/// The store of verifications in Redis, and what must outlive it in the database. It connects when it is first needed.
pub fn shared_verifications(
    peer: &PeerConfig,
    config: &Config,
    database: &Database,
    entropy: &dyn Entropy,
) -> Result<VerificationStore, BuildError> {
    let replica = replica(entropy);
    let who = peer.peer().map_err(|error| ConfigError::rule("redis.url", error.to_string()))?;
    tracing::info!(redis = peer.shown(), %replica, "verifications and limits are kept in Redis");
    let link = Link::new(who, &config.redis.prefix);
    let log = Arc::new(KeptFailures::new(database.clone()));
    let store = RedisStore::new(link, log, Arc::new(AuditLog), replica, config.store.retention.0);
    // Redis has the queue.
    Ok(VerificationStore { store: Arc::new(store), queue_depth: Box::new(|| 0) })
}

/// Opens the store of verifications: in the database, where that is a server's, or else in a file of this process alone.
pub fn verifications(config: &Config, database: &Database, entropy: &dyn Entropy, now: Timestamp) -> Result<VerificationStore, BuildError> {
    if !database.is_file() {
        let replica = replica(entropy);
        tracing::info!(%replica, "verifications and limits are kept in the database");
        let store = Arc::new(SqlStore::new(database.clone(), replica, Arc::new(AuditLog)));
        let queue = Arc::clone(&store);
        return Ok(VerificationStore { store, queue_depth: Box::new(move || queue.queue_depth()) });
    }
    let store = Arc::new(SqliteStore::open(&config.store_file(), config.store.synchronous, Arc::new(AuditLog), now)?);
    let queue = Arc::clone(&store);
    Ok(VerificationStore { store, queue_depth: Box::new(move || queue.queue_depth()) })
}

/// Opens the database of accounts and clients, for a command that cannot do without.
pub async fn database(config: &Config) -> Result<Database, BuildError> {
    make_data_dir(config)?;
    let settings = config.database_settings()?;
    let statement_timeout = settings.statement_timeout.max(patience::OF_COMMANDS);
    Database::open(Settings { statement_timeout, ..settings }).await.map_err(BuildError::Database)
}

/// The same with what lies beside it, for a move. Refused while a server has the file of the embedded store.
pub async fn end(config: &Config, now: Timestamp) -> Result<End, BuildError> {
    make_data_dir(config)?;
    let is_file = matches!(config.database_settings()?.place, Place::File(..));
    let verifications = match (config.redis_peer()?, is_file) {
        (Some(_), _) => Verifications::Redis,
        (None, true) => Verifications::Embedded(Box::new(RestingStore::open(&config.store_file(), now)?)),
        (None, false) => Verifications::Shared,
    };
    Ok(End { database: database(config).await?, verifications })
}

/// Opens it for a server. One that does not answer yet is no reason not to start: it is asked again and again, and until it
/// answers whoever needs it is refused (R08).
pub async fn patient_database(
    settings: Settings,
    entropy: Arc<dyn Entropy>,
    stopping: watch::Receiver<bool>,
) -> Result<Database, BuildError> {
    let database = Database::unprepared(settings).map_err(BuildError::Database)?;
    match database.prepare().await {
        Ok(()) => {}
        Err(error) if matches!(error.reason(), Reason::Unreachable | Reason::ReadOnly | Reason::Slow) && !database.is_file() => {
            tracing::error!(%error, database = database.shown(), "starting without the database; it is asked again");
            tokio::spawn(join(database.clone(), entropy, stopping));
        }
        Err(error) => return Err(BuildError::Database(error)),
    }
    Ok(database)
}

async fn join(database: Database, entropy: Arc<dyn Entropy>, mut stopping: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Servers that began to wait together do not all come back together.
        let mut random = [0; 2];
        entropy.fill(&mut random);
        let jittered = pause.mul_f64(0.5 + f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX));
        tokio::select! {
            () = tokio::time::sleep(jittered) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        match database.prepare().await {
            Ok(()) => {
                tracing::info!(database = database.shown(), "the database has come");
                return;
            }
            Err(error) => tracing::warn!(%error, database = database.shown(), "still without the database"),
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
