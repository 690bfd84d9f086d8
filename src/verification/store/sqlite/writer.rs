//! Group commit: one thread owns the connection and takes every queued transition into one transaction.
//!
//! It runs what waits, commits once, and only then answers all of them, so each answer is as durable as `synchronous`
//! says. While the disk works the next batch gathers, which is why throughput rises with load and not the wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::id;
use crate::verification::policy::LIFE_MAX;
use crate::verification::store::ledger::{Ledger, database};
use crate::verification::store::pending::PendingIndex;
use crate::verification::store::sqlite::journal::BucketJournal;
use crate::verification::store::sqlite::rows::{self, SqliteRows};
use crate::verification::store::{EventSink, StoreError};

/// Transitions that may wait; one more is refused, and the caller answers 503.
const QUEUE: usize = 8192;
/// Transitions in one transaction at most: bounds the wait of the first.
const BATCH: usize = 512;

/// Works on the ledger, then says how to answer once the batch is durable or undone.
type Job = Box<dyn FnOnce(&mut Ledger<SqliteRows<'_>>) -> Done + Send>;

struct Done {
    failed: Option<StoreError>,
    answer: Box<dyn FnOnce(Option<StoreError>) + Send>,
}

/// Hands transitions to the writer thread. Dropping it lets the thread finish what waits, and joins it.
pub struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread owns.
struct Desk<'connection> {
    ledger: Ledger<SqliteRows<'connection>>,
    journal: BucketJournal,
    index_sequence: i64,
    sink: Arc<dyn EventSink>,
    opened_at: Timestamp,
}

impl Writer {
    /// Loads the limits and the pending verifications, and starts the thread.
    pub fn open(connection: Connection, sink: Arc<dyn EventSink>, now: Timestamp) -> Result<Writer, StoreError> {
        let (jobs, queue) = bounded(QUEUE);
        let (opened, opening) = bounded(1);
        let work = move || match Desk::open(&connection, sink, now) {
            Ok(mut desk) => {
                let _ = opened.send(Ok(()));
                desk.work(&queue);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(work).map_err(database)?;
        opening.recv().map_err(|_| StoreError::Closed)??;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs a transition in the next batch; the answer comes once that is durable.
    pub async fn run<T, F>(&self, transition: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Ledger<SqliteRows<'_>>) -> Result<T, StoreError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |ledger| {
            let result = transition(ledger);
            let failed = result.as_ref().err().cloned();
            let answer = Box::new(move |undone: Option<StoreError>| {
                // A caller that went away does not want the answer.
                let _ = sender.send(undone.map_or(result, Err));
            });
            Done { failed, answer }
        });
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }

    /// Transitions that wait now.
    pub fn queue_depth(&self) -> usize {
        self.jobs.as_ref().map_or(0, Sender::len)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What waits, or comes when the threads that might bring it get a turn. On a busy machine that makes a commit of many
/// transitions where there would be many of few; on an idle one it costs nothing.
fn next(queue: &Receiver<Job>) -> Option<Job> {
    queue.try_recv().ok().or_else(|| {
        std::thread::yield_now();
        queue.try_recv().ok()
    })
}

impl<'connection> Desk<'connection> {
    fn open(connection: &'connection Connection, sink: Arc<dyn EventSink>, now: Timestamp) -> Result<Desk<'connection>, StoreError> {
        let rows = SqliteRows::new(connection)?;
        let ledger = Ledger { rows, buckets: Default::default(), pending: Default::default(), events: Vec::new() };
        let journal = BucketJournal::default();
        let mut desk = Desk { ledger, journal, index_sequence: 0, sink, opened_at: now };
        desk.load()?;
        Ok(desk)
    }

    /// Reads what is kept in memory: at start, and again after a batch was undone.
    fn load(&mut self) -> Result<(), StoreError> {
        let ledger = &mut self.ledger;
        ledger.events.clear();
        ledger.rows.undo();
        let connection = ledger.rows.connection;
        (self.journal, ledger.buckets) = BucketJournal::open(connection)?;
        self.index_sequence =
            connection.query_row("SELECT COALESCE(MAX(sequence), 0) FROM index_journal", [], |row| row.get(0)).map_err(database)?;
        // Not from the opening on, which may be weeks ago: housekeeping knows the time.
        let now = ledger.pending.tidied_at().max(self.opened_at);
        let mut pending = PendingIndex::at(now);
        for verification in rows::pending(connection, id::lowest(now - LIFE_MAX), now)? {
            pending.enter(&verification);
        }
        ledger.pending = pending;
        Ok(())
    }

    fn work(&mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut answers = Vec::with_capacity(BATCH);
            let batch = std::iter::once(first).chain(std::iter::from_fn(|| next(queue)).take(BATCH - 1));
            let outcome = catch_unwind(AssertUnwindSafe(|| self.commit(batch, &mut answers)));
            let undone = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(StoreError::Closed),
            };
            if let Some(error) = &undone {
                tracing::error!(%error, transitions = answers.len(), "a batch was undone");
                self.undo();
            } else {
                let events = std::mem::take(&mut self.ledger.events);
                self.sink.committed(&events);
            }
            for answer in answers {
                answer(undone.clone());
            }
        }
    }

    fn commit(
        &mut self,
        batch: impl Iterator<Item = Job>,
        answers: &mut Vec<Box<dyn FnOnce(Option<StoreError>) + Send>>,
    ) -> Result<(), StoreError> {
        // Outside a transaction each statement would stand by itself: without one, nothing runs. What is not taken from the
        // queue waits there for the next batch.
        self.execute("BEGIN IMMEDIATE")?;
        for job in batch {
            let done = job(&mut self.ledger);
            answers.push(done.answer);
            if let Some(error) = done.failed {
                return Err(error);
            }
        }
        let Ledger { rows, buckets, .. } = &mut self.ledger;
        if !rows.unindexed.is_empty() {
            self.index_sequence += 1;
            let mut statement = rows.connection.prepare_cached("INSERT INTO index_journal VALUES (?1, ?2)").map_err(database)?;
            statement.execute((self.index_sequence, &rows.unindexed)).map_err(database)?;
            rows.unindexed.clear();
        }
        self.journal.write(rows.connection, buckets)?;
        self.execute("COMMIT")
    }

    fn undo(&mut self) {
        // Nothing is open when BEGIN itself failed.
        if !self.ledger.rows.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "the rollback failed too");
        }
        if let Err(error) = self.load() {
            tracing::error!(%error, "the limits could not be read again");
        }
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        let mut statement = self.ledger.rows.connection.prepare_cached(sql).map_err(database)?;
        statement.execute([]).map(drop).map_err(database)
    }
}
