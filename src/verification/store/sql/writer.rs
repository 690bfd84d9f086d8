//! Group commit over a shared database: one task takes every queued transition into one transaction.
//!
//! A batch locks what it touches once, however many transitions touch it, and costs a handful of round trips. While the
//! database works the next batch gathers. Nobody is answered before the commit, so a batch that was undone may run again; one
//! whose commit was not answered may not, and its callers hear that the store failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use super::batch::Batch;
use super::connection::{Change, Connections};
use super::failure::Failure;
use super::job::{Job, job};
use super::needs::Needs;
use super::rows::SqlRows;
use crate::verification::model::Event;
use crate::verification::store::ledger::{Ledger, database};
use crate::verification::store::name::Name;
use crate::verification::store::{EventSink, StoreError};

/// Transitions that may wait; one more is refused, and the caller answers 503.
const QUEUE: usize = 8192;
/// Transitions in one transaction at most: bounds the wait of the first, and what others wait for.
const BATCH: usize = 512;
/// How often a batch that was in the way of another one runs, at most.
const RUNS: u32 = 8;
/// The wait before it runs again, doubled with each time.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the database may take over a batch. No run begins later than that after the first: its callers wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database took longer than that.
#[derive(Debug, thiserror::Error)]
#[error("the database did not answer in time")]
struct Silent;

type Jobs = Vec<Box<dyn Job>>;

/// Hands transitions to the task. Once the last handle is dropped the task finishes what waits, and ends.
pub struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

/// What the task owns.
struct Desk {
    connections: Connections,
    name: Arc<Name>,
    sink: Arc<dyn EventSink>,
}

impl Writer {
    /// Starts the task. Must be called within the runtime.
    pub fn start(connections: Connections, name: Arc<Name>, sink: Arc<dyn EventSink>) -> Writer {
        let (jobs, queue) = mpsc::channel(QUEUE);
        tokio::spawn(Desk { connections, name, sink }.work(queue));
        Writer { jobs }
    }

    /// Runs a transition in the next batch; the answer comes once that is durable.
    pub async fn run<T, F>(&self, needs: Needs, transition: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Ledger<SqlRows>) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer) = job(needs, transition);
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Transitions that wait now.
    pub fn queue_depth(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }
}

/// Whether a batch that failed so, and whose first run began so long ago, has another run.
fn runs_again(failure: &Failure, run: u32, since: Duration) -> bool {
    since < PATIENCE
        && match failure {
            Failure::Again(_) => run < RUNS,
            // The connection may have been cut while it rested, and the database be well.
            Failure::Down(_) => run == 1,
            Failure::Unknown(_) | Failure::Own(_) => false,
        }
}

impl Desk {
    async fn work(self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = queue.recv().await {
            // Whoever is about to bring one gets a turn: a commit of many, where there would be many of few.
            tokio::task::yield_now().await;
            let mut jobs = vec![first];
            while jobs.len() < BATCH
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            self.settle(jobs).await;
        }
    }

    /// Answers them all. Where one of them is wrong in itself the others shall not suffer: halves, until it is alone.
    async fn settle(&self, jobs: Jobs) {
        let mut waiting = vec![jobs];
        while let Some(mut jobs) = waiting.pop() {
            let undone = match self.run(&mut jobs).await {
                Ok(events) => {
                    self.sink.committed(&events);
                    None
                }
                Err(Failure::Own(_) | Failure::Again(_)) if jobs.len() > 1 => {
                    let second = jobs.split_off(jobs.len() / 2);
                    waiting.extend([second, jobs]);
                    continue;
                }
                Err(failure) => {
                    tracing::error!(%failure, transitions = jobs.len(), "a batch did not come through");
                    if matches!(failure, Failure::Unknown(_)) {
                        self.name.give_up();
                    }
                    Some(failure.into_error())
                }
            };
            for job in jobs {
                job.answer(undone.clone());
            }
        }
    }

    /// Runs them, again and again while others are in the way.
    #[expect(clippy::disallowed_methods, reason = "measures a duration")]
    async fn run(&self, jobs: &mut Jobs) -> Result<Vec<Event>, Failure> {
        let began = std::time::Instant::now();
        let mut run = 1;
        loop {
            match self.commit(jobs).await {
                Err(failure) if runs_again(&failure, run, began.elapsed()) => {
                    tracing::debug!(%failure, run, "a batch runs again");
                    tokio::time::sleep(PAUSE * (1 << (run - 1))).await;
                    run += 1;
                }
                // Halves of it would wait as long for what is in the way.
                Err(Failure::Again(error)) if began.elapsed() >= PATIENCE => return Err(Failure::Down(error)),
                done => return done,
            }
        }
    }

    /// Runs them once. A database that falls silent is not waited for: before the commit nothing has happened, after it nobody
    /// knows.
    async fn commit(&self, jobs: &mut Jobs) -> Result<Vec<Event>, Failure> {
        let (change, events) = timeout(PATIENCE, self.prepare(jobs)).await.map_err(|_| Failure::Down(database(Silent)))??;
        timeout(PATIENCE, change.commit()).await.map_err(|_| Failure::Unknown(database(Silent)))??;
        Ok(events)
    }

    async fn prepare(&self, jobs: &mut Jobs) -> Result<(Change, Vec<Event>), Failure> {
        let mut needs = Needs::default();
        for job in jobs.iter() {
            needs.join(job.needs());
        }
        let mut change = self.connections.change().await?;
        let replica = self.name.get().to_string().into();
        let mut batch = Batch::load(&mut change, needs, &replica).await?;
        let ran = catch_unwind(AssertUnwindSafe(|| jobs.iter_mut().try_for_each(|job| job.run(&mut batch.ledger))));
        ran.map_err(|_| StoreError::Closed)??;
        let events = batch.write(&mut change).await?;
        Ok((change, events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::database::{DataError, Reason};

    /// R08: whoever waits for a batch hears of it before they have given up: it is not the database's turn for ever.
    #[test]
    fn a_batch_does_not_wait_again_for_what_took_too_long() {
        let failed = |reason| Failure::from(DataError::because(reason, ""));
        let again = |reason, run, since| runs_again(&failed(reason), run, since);
        let soon = Duration::from_millis(3);
        assert!(again(Reason::Conflict, 1, soon) && again(Reason::Conflict, RUNS - 1, soon) && !again(Reason::Conflict, RUNS, soon));
        assert!(again(Reason::Unreachable, 1, soon) && !again(Reason::Unreachable, 2, soon), "a cut connection has one more run");
        assert!(again(Reason::Slow, 1, soon) && !again(Reason::Slow, 2, soon));
        for reason in [Reason::Conflict, Reason::Unreachable, Reason::Slow] {
            assert!(!again(reason, 1, PATIENCE), "{reason:?}");
        }
        assert!(!runs_again(&Failure::Unknown(database(Silent)), 1, soon), "what may have happened");
    }
}
