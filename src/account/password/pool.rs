//! Threads that do nothing but hash, and a queue of bounded length before them (PWD-03).
//!
//! A password costs as much as a thousand codes. On threads of its own it delays no code, and as many as there are bound the
//! memory: each keeps what Argon2id fills, and gives it back when nobody has signed in for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use argon2::Block;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

/// How long a thread keeps its memory while there is nothing to do.
const KEEP: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// Why nothing was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// The queue is full.
    Busy,
    /// The thread failed.
    Failed,
}

/// The threads. They end when this is dropped.
pub struct Pool {
    jobs: Sender<Job>,
}

impl Pool {
    /// Starts the threads.
    pub fn new(threads: usize, queue: usize) -> std::io::Result<Pool> {
        let (jobs, waiting) = crossbeam_channel::bounded::<Job>(queue);
        for number in 0..threads {
            let waiting = waiting.clone();
            std::thread::Builder::new().name(format!("password-{number}")).spawn(move || work(&waiting))?;
        }
        Ok(Pool { jobs })
    }

    /// Has it computed on one of the threads. Whoever stops waiting takes the place in the queue, and no time.
    pub async fn run<T: Send + 'static>(&self, compute: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static) -> Result<T, Unserved> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move |blocks| {
            if !answer.is_closed() {
                let _ = answer.send(compute(blocks));
            }
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Unserved::Busy,
            TrySendError::Disconnected(_) => Unserved::Failed,
        })?;
        answered.await.map_err(|_| Unserved::Failed)
    }

    /// Jobs that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }
}

/// Sign-ins wait for codes and not the other way round (R22). The least share that there is, and not "only when nobody else
/// wants to": on a machine that others keep busy nobody could sign in.
/// For a thread alone this exists on Linux only; elsewhere it would be the whole process.
#[cfg(target_os = "linux")]
fn step_back() {
    const NICE: i32 = 19;
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "the threads that hash passwords keep the priority of all others");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

fn work(waiting: &Receiver<Job>) {
    step_back();
    let mut blocks = Vec::new();
    loop {
        match waiting.recv_timeout(KEEP) {
            // A job that panics leaves nothing behind but memory that the next one overwrites; the thread must live on.
            Ok(job) => drop(catch_unwind(AssertUnwindSafe(|| job(&mut blocks)))),
            Err(RecvTimeoutError::Timeout) => blocks = Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// PWD-03: what does not fit into the queue is told so at once.
    #[tokio::test]
    async fn a_full_queue_says_so() {
        let pool = std::sync::Arc::new(Pool::new(1, 1).expect("threads"));
        let (release, released) = crossbeam_channel::bounded::<()>(0);
        let (began, begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move |_| {
                    let _ = began.send(());
                    let _ = released.recv();
                })
                .await
            }
        });
        begun.await.expect("it began");
        let second = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|_| 2).await }
        });
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|_| 3).await, Err(Unserved::Busy));
        drop(release);
        assert_eq!(first.await.expect("no panic"), Ok(()));
        assert_eq!(second.await.expect("no panic"), Ok(2));
    }

    /// What nobody waits for is not computed, and a panic ends no thread.
    #[tokio::test]
    async fn the_thread_outlives_whoever_asked() {
        let pool = Pool::new(1, 4).expect("threads");
        assert_eq!(pool.run::<()>(|_| panic!("a test")).await, Err(Unserved::Failed));
        let (release, released) = crossbeam_channel::bounded::<()>(0);
        let (computed, was_computed) = crossbeam_channel::unbounded();
        let mut first = Box::pin(pool.run(move |_| released.recv().is_err()));
        let mut gone = Box::pin(pool.run(move |_| computed.send(()).is_ok()));
        assert!((&mut first).now_or_never().is_none() && (&mut gone).now_or_never().is_none());
        drop(gone);
        drop(release);
        assert_eq!(first.await, Ok(true));
        assert_eq!(pool.run(|_| 1).await, Ok(1));
        assert!(was_computed.is_empty());
    }
}
