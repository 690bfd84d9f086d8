//! The embedded store: one SQLite file, durable before the answer, fast by group commit.
//!
//! [`writer`] is the thread that commits, [`rows`] the tables, [`journal`] the limits, [`index`] the listing by
//! destination, filled when there is time, [`sweep`] what removes the old. It refuses a file that another server holds.
//! [`resting`] is the file without its server, for a move.

mod index;
mod journal;
pub mod resting;
pub mod rows;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use crate::clock::Timestamp;
use crate::db::{self, Synchronous};
use crate::id;
use crate::verification::limit::{Bucket, BucketKey, Limited, Take};
use crate::verification::model::{Delivery, Event, Origin, Verification, VerificationId};
use crate::verification::policy::LIFE_MAX;
use crate::verification::store::ledger::Ledger;
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, EventSink, IdempotencyClaim, Receipt, Resend, Sending, Start,
    Store, StoreError,
};

use rows::SqliteRows;
use writer::Writer;

/// Why the file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two servers on one file would each keep their own limits.
    #[error("{0} is in use by another countersign server: stop that one first")]
    InUse(String),
    /// The file system refused.
    #[error("cannot open {0}: {1}")]
    File(String, #[source] std::io::Error),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] db::DatabaseError),
    /// The rows could not be loaded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Verifications and limits in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
    // Held until the store is dropped; after `writer`, so that its last batch is still ours.
    _lock: File,
}

impl SqliteStore {
    /// Opens (or makes) the file, brings its tables up to date, and loads the limits.
    pub fn open(path: &Path, synchronous: Synchronous, sink: Arc<dyn EventSink>, now: Timestamp) -> Result<SqliteStore, OpenError> {
        let lock = lock(path)?;
        db::migrate(path)?;
        let connection = db::connect(path, synchronous)?;
        let reader = db::connect(path, synchronous)?;
        let writer = Writer::open(connection, sink, now)?;
        Ok(SqliteStore { writer, reader: Arc::new(Mutex::new(reader)), _lock: lock })
    }

    /// Transitions that wait for the next batch.
    pub fn queue_depth(&self) -> usize {
        self.writer.queue_depth()
    }

    async fn run<T, F>(&self, transition: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Ledger<SqliteRows<'_>>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.run(transition).await
    }

    async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let reader = Arc::clone(&self.reader);
        let task = tokio::task::spawn_blocking(move || query(&reader.lock().unwrap_or_else(PoisonError::into_inner)));
        task.await.map_err(|_| StoreError::Closed)?
    }
}

/// Keeps every server off the file, for as long as what it returns lives. Refused while one has it.
pub fn lock(path: &Path) -> Result<File, OpenError> {
    let path = path.with_extension("lock");
    let name = path.display().to_string();
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| OpenError::File(name.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(name)),
        Err(std::fs::TryLockError::Error(error)) => Err(OpenError::File(name, error)),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn start(&self, start: Start) -> Result<Sending, StoreError> {
        self.run(|ledger| ledger.start(start)).await
    }

    async fn resend(&self, resend: Resend) -> Result<Sending, StoreError> {
        self.run(|ledger| ledger.resend(resend)).await
    }

    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        self.run(|ledger| ledger.attempt(attempt)).await
    }

    async fn approve(&self, approve: Approve) -> Result<bool, StoreError> {
        self.run(|ledger| ledger.approve(approve)).await
    }

    async fn answered(&self, claim: IdempotencyClaim, answer: Option<Checked>) -> Result<(), StoreError> {
        self.run(move |ledger| ledger.answered(claim, answer.as_ref())).await
    }

    async fn cancel(
        &self,
        service: &str,
        id: VerificationId,
        origin: Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let service = service.to_owned();
        self.run(move |ledger| ledger.cancel(&service, id, &origin, detail, now)).await
    }

    async fn delivered(&self, delivered: Vec<Delivered>) -> Result<usize, StoreError> {
        self.run(|ledger| ledger.delivered_all(delivered)).await
    }

    async fn receipt(&self, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        self.run(move |ledger| ledger.receipt(receipt)).await
    }

    async fn release(&self, failures: BucketKey, event: Event) -> Result<bool, StoreError> {
        self.run(move |ledger| ledger.release(&failures, event)).await
    }

    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError> {
        self.run(move |ledger| Ok(ledger.buckets.take_all(&takes, now))).await
    }

    async fn clear(&self, buckets: Vec<BucketKey>) -> Result<(), StoreError> {
        self.run(move |ledger| {
            ledger.clear(&buckets);
            Ok(())
        })
        .await
    }

    async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        let service = service.to_owned();
        self.run(move |ledger| ledger.get(&service, id)).await
    }

    async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError> {
        self.read(move |connection| rows::events(connection, id)).await
    }

    async fn list(
        &self,
        service: &str,
        destination: [u8; 16],
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        let key = rows::index_key(service, &destination);
        let ids = self.read(move |connection| index::newest_first(connection, &key, before, limit)).await?;
        let service = service.to_owned();
        // One turn at the writer for all of them: it knows the buckets, and where the newest rows stand.
        self.run(move |ledger| ids.into_iter().filter_map(|id| ledger.get(&service, id).transpose()).collect()).await
    }

    async fn undelivered(&self, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
        let live = self.read(move |connection| rows::pending(connection, id::lowest(now - LIFE_MAX), now)).await?;
        Ok(live.into_iter().filter(|row| row.delivery == Delivery::Queued).collect())
    }

    async fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
        self.run(move |ledger| {
            ledger.buckets.tidy(now);
            ledger.pending.tidy(now);
            let moved = index::fill(ledger.rows.connection)?;
            let removed = sweep::step(ledger.rows.connection, id::lowest(before), now)?;
            for id in &removed {
                ledger.rows.forget(*id);
            }
            Ok(removed.len() + moved)
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.run(|_| Ok(())).await
    }
}
