//! What must outlive Redis: wrong codes in a row, and codes that were used.
//!
//! A Redis that is emptied, or that starts again from what it wrote a moment ago, would otherwise forget that somebody has
//! guessed all day, and let a used code pass again (ATT-02, R11). So each such change goes to SQL too before it is answered, many
//! at a time, and a Redis that lacks them gets them back before it judges anything. Each change has a number that only grows:
//! in whatever order two servers write, the newest stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use crate::clock::Timestamp;
use crate::verification::limit::BucketKey;
use crate::verification::store::StoreError;
use crate::verification::store::redis::link::Link;
use crate::verification::store::redis::packed::Packed;
use crate::verification::store::redis::reply::{Reply, unreadable};
use crate::verification::store::redis::script::{Call, REMEMBER};

/// Changes that may wait to be written; one more is refused.
const QUEUE: usize = 8192;
/// Changes that are written at once.
const BATCH: usize = 512;
/// Entries that one script brings back: a millisecond or two of Redis's time.
const BROUGHT_AT_ONCE: usize = 500;
/// How long SQL may take over them. Those that were not answered may be written; again they change nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Housekeeping in SQL.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// In scripts: later than every time, and exact as a double.
const FOR_EVER: i64 = 1 << 53;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Wrong codes in a row, by bucket.
    Failures,
    /// A code that was used, by verification.
    Used,
}

impl Kind {
    /// The name in rows and scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Failures => "f",
            Kind::Used => "u",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        [Kind::Failures, Kind::Used].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One thing to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub kind: Kind,
    /// Which.
    pub key: BucketKey,
    /// How many in a row; 0 once they were cleared.
    pub count: u32,
    /// When.
    pub at: Timestamp,
    /// From then on nobody needs it.
    pub forget_at: Timestamp,
    /// Larger than that of every change before.
    pub sequence: i64,
}

/// Where entries are kept besides Redis.
#[async_trait]
pub trait DurableLog: Send + Sync {
    /// Keeps these durably, each unless one with a larger number is there.
    async fn write(&self, entries: &[Entry]) -> Result<(), StoreError>;
    /// All that are worth remembering at that time.
    async fn load(&self, now: Timestamp) -> Result<Vec<Entry>, StoreError>;
    /// Removes some that nobody needs any more. How many.
    async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError>;
}

type Waiting = (Vec<Entry>, oneshot::Sender<Result<(), StoreError>>);

/// Writes entries, and brings them back.
pub struct Durable {
    log: Arc<dyn DurableLog>,
    queue: mpsc::Sender<Waiting>,
    bringing: Mutex<()>,
    brought: AtomicU64,
    swept_at: AtomicI64,
}

impl Durable {
    /// Over this log. Must be called within the runtime.
    pub fn new(log: Arc<dyn DurableLog>) -> Durable {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(Arc::clone(&log), waiting));
        Durable { log, queue, bringing: Mutex::default(), brought: AtomicU64::default(), swept_at: AtomicI64::new(i64::MIN) }
    }

    /// Writes what a script says has changed, together with what else waits.
    pub async fn write(&self, changes: Reply) -> Result<(), StoreError> {
        let entries = entries(changes)?;
        if entries.is_empty() {
            return Ok(());
        }
        let (answer, written) = oneshot::channel();
        self.queue.try_send((entries, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        written.await.map_err(|_| StoreError::Closed)?
    }

    /// Brings everything to a Redis that said that it lacks it. Many may find that out at once: one brings it.
    pub async fn bring(&self, link: &Link, now: Timestamp) -> Result<(), StoreError> {
        let seen = self.brought.load(Ordering::Acquire);
        let _alone = self.bringing.lock().await;
        if self.brought.load(Ordering::Acquire) != seen {
            return Ok(());
        }
        let run = link.meet(now).await?.run;
        let entries = self.log.load(now).await?;
        tracing::info!(entries = entries.len(), "Redis gets the failures that it lacks");
        let mut chunks = entries.chunks(BROUGHT_AT_ONCE).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let is_last = chunks.peek().is_none();
            let arguments = chunk.iter().fold(Packed::new().add(&run).flag(is_last).list(chunk.len()), add);
            let mut answer = Reply::of(link.run(&Call::new(&REMEMBER, now, arguments)).await?)?;
            if is_last || answer.needed()? == "WARM" {
                break;
            }
        }
        self.brought.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// See [`DurableLog::sweep`]. Now and then only: SQL is not asked five times a second for what is nearly always nothing.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        if now < Timestamp(self.swept_at.load(Ordering::Relaxed)) + SWEEP_EVERY {
            return Ok(0);
        }
        let swept = self.log.sweep(now).await?;
        if swept == 0 {
            self.swept_at.store(now.0, Ordering::Relaxed);
        }
        Ok(swept)
    }
}

fn add(arguments: Packed, entry: &Entry) -> Packed {
    let arguments = arguments.list(6).add(entry.kind.as_str()).key(&entry.key).number(entry.count.into()).number(entry.at.0);
    arguments.number(entry.forget_at.0.min(FOR_EVER)).number(entry.sequence)
}

fn entries(mut changes: Reply) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    while !changes.is_empty() {
        let mut change = changes.list()?;
        let mut entry = Entry {
            kind: change.named(Kind::parse)?,
            key: change.key()?,
            count: change.number()?,
            at: Timestamp(change.number()?),
            forget_at: Timestamp(change.number()?),
            sequence: change.number()?,
        };
        if !change.is_empty() {
            return Err(unreadable("a change"));
        }
        if entry.forget_at.0 >= FOR_EVER {
            entry.forget_at = Timestamp(i64::MAX);
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Takes what waits, writes it at once, answers all of it: as the embedded store commits.
async fn write_all(log: Arc<dyn DurableLog>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let mut newest: HashMap<(Kind, BucketKey), Entry> = HashMap::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        for (entries, answer) in batch.drain(..) {
            for entry in entries {
                let place = newest.entry((entry.kind, entry.key)).or_insert_with(|| entry.clone());
                if place.sequence < entry.sequence {
                    *place = entry;
                }
            }
            answers.push(answer);
        }
        let entries: Vec<_> = newest.into_values().collect();
        // Everybody waits behind this: a database that has vanished must not keep it.
        let written = timeout(PATIENCE, log.write(&entries)).await.unwrap_or(Err(StoreError::Overloaded));
        for answer in answers {
            // A caller that went away does not want the answer.
            let _ = answer.send(written.clone());
        }
    }
}
