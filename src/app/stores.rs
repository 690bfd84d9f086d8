//! The stores that a configuration means: where durable data lie, and who keeps verifications and limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{BuildError, make_data_dir};
use crate::audit::AuditLog;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::db::database::{Database, Place, Reason, Settings};
use crate::secret::Entropy;
use crate::verification::store::Store;
use crate::verification::store::sqlite::SqliteStore;

/// The first pause before a database that did not answer is asked again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Who keeps verifications and limits.
pub struct Verifications {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Transitions that wait for it.
    pub queue_depth: Box<dyn Fn() -> usize + Send + Sync>,
}

/// Opens the store of verifications.
pub fn verifications(config: &Config, settings: &Settings, now: Timestamp) -> Result<Verifications, BuildError> {
    if matches!(settings.place, Place::Server(..)) {
        tracing::warn!(file = %config.database().display(), "verifications and limits stay in a file: no second server may share them");
    }
    let store = Arc::new(SqliteStore::open(&config.database(), config.store.synchronous, Arc::new(AuditLog), now)?);
    let queue = Arc::clone(&store);
    Ok(Verifications { store, queue_depth: Box::new(move || queue.queue_depth()) })
}

/// Opens the database of accounts and clients, for a command that cannot do without.
pub async fn database(config: &Config) -> Result<Database, BuildError> {
    make_data_dir(config)?;
    Database::open(config.database_settings()?).await.map_err(BuildError::Database)
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
        Err(error) if matches!(error.reason(), Reason::Unreachable | Reason::Slow) && !database.is_file() => {
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
