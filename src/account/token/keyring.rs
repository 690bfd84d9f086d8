//! The keys as this process knows them: read from the table again every few seconds, so that all processes on one database
//! agree, and before a key that nobody here knows is refused, but not more than once a second whatever strangers send.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::TokenError;
use super::keys::{self, KeySet, READ_AGAIN};
use crate::clock::Timestamp;
use crate::db::database::Database;
use crate::db::signing_key::{self, SigningKeyRow};
use crate::secret::{Entropy, Peppers};

/// How often unknown keys make us read.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(1);

/// Keys, where they are kept, and what opens them.
pub struct Keyring {
    database: Database,
    peppers: Peppers,
    entropy: Arc<dyn Entropy>,
    known: Mutex<Option<Known>>,
    /// One reader at a time.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    /// When they were read, or could not be.
    at: Timestamp,
}

impl Keyring {
    /// The keys in that database.
    pub fn new(database: Database, peppers: Peppers, entropy: Arc<dyn Entropy>) -> Keyring {
        Keyring { database, peppers, entropy, known: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// Keys with one among them that signs; the first is made here.
    pub async fn signing(&self, now: Timestamp) -> Result<Arc<KeySet>, TokenError> {
        let keys = self.no_older_than(READ_AGAIN, now).await?;
        if keys.signing(now).is_some() {
            return Ok(keys);
        }
        let _reading = self.reading.lock().await;
        let new = keys::make(&self.peppers, self.entropy.as_ref(), now, now)?;
        let rows = signing_key::change(&self.database, |rows| keys::first(&self.peppers, rows, new, now)).await?;
        Ok(self.learn(&rows, now))
    }

    /// Keys to look `kid` up in. Where it is not among them, it was not in the table a second ago either.
    pub async fn with(&self, kid: &str, now: Timestamp) -> Result<Arc<KeySet>, TokenError> {
        let keys = self.no_older_than(READ_AGAIN, now).await?;
        if keys.find(kid, now).is_some() { Ok(keys) } else { self.no_older_than(UNKNOWN_AGAIN, now).await }
    }

    async fn no_older_than(&self, age: Duration, now: Timestamp) -> Result<Arc<KeySet>, TokenError> {
        // A clock that was set back must not keep old keys for ever.
        let fresh = |known: &Known| known.at.until(now) < age && known.at <= now + READ_AGAIN;
        let mut known = self.known();
        if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
            return Ok(Arc::clone(&known.keys));
        }
        let _reading = match (self.reading.try_lock(), &known) {
            (Ok(reading), _) => reading,
            // Somebody reads already: what we know will do until they have.
            (Err(_), Some(known)) if age == READ_AGAIN => return Ok(Arc::clone(&known.keys)),
            (Err(_), _) => {
                let reading = self.reading.lock().await;
                known = self.known();
                if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
                    return Ok(Arc::clone(&known.keys));
                }
                reading
            }
        };
        match (signing_key::all(&self.database).await, known) {
            (Ok(rows), _) => Ok(self.learn(&rows, now)),
            (Err(error), Some(Known { keys, .. })) => {
                tracing::warn!(%error, "the signing keys could not be read again; those known before are used");
                self.remember(Arc::clone(&keys), now);
                Ok(keys)
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    fn learn(&self, rows: &[SigningKeyRow], now: Timestamp) -> Arc<KeySet> {
        let keys = Arc::new(KeySet::new(&self.peppers, rows));
        let told = self.known().is_some_and(|known| known.keys.sealed == keys.sealed);
        if !told && !keys.sealed.is_empty() {
            tracing::warn!(keys = ?keys.sealed, "signing keys do not open with this server's pepper and are not used");
        }
        self.remember(Arc::clone(&keys), now);
        keys
    }

    fn remember(&self, keys: Arc<KeySet>, at: Timestamp) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { keys, at });
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
