//! What holds for a message that was queued, whatever the store does afterwards.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::audit::AuditLog;
use crate::clock::{Clock, TestClock, Timestamp};
use crate::config::Config;
use crate::secret::{Pepper, Peppers, SystemEntropy};
use crate::telemetry::Metrics;
use crate::verification::courier::{Courier, NotJudged, ProviderVerdict};
use crate::verification::destination::Country;
use crate::verification::engine::Verdict;
use crate::verification::lease::Lease;
use crate::verification::limit::{Bucket, BucketKey, Limited, Quota, SendRule, Take};
use crate::verification::model::{Channel, Event, Origin};
use crate::verification::newest::Turns;
use crate::verification::policies::Policies;
use crate::verification::request::{Caller, StartRequest, Which};
use crate::verification::store::memory::MemoryStore;
use crate::verification::store::{Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, IdempotencyClaim, Resend, Start, Store};

/// What happened, in this order.
type Log = Arc<Mutex<Vec<&'static str>>>;

fn note(log: &Log, what: &'static str) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

/// A store that takes every start, and fails at other things when told to.
struct Faulty {
    inner: MemoryStore,
    log: Log,
    reads_fail: AtomicBool,
    /// Emptied after a check was counted.
    is_emptied: AtomicBool,
    /// Reports that it has no room for.
    refuses: AtomicU32,
}

#[async_trait]
impl Store for Faulty {
    async fn start(&self, start: Start) -> Result<Sending, StoreError> {
        self.inner.start(start).await
    }

    async fn resend(&self, resend: Resend) -> Result<Sending, StoreError> {
        self.inner.resend(resend).await
    }

    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        self.inner.attempt(attempt).await
    }

    async fn approve(&self, approve: Approve) -> Result<bool, StoreError> {
        if self.is_emptied.load(Ordering::SeqCst) { Ok(false) } else { self.inner.approve(approve).await }
    }

    async fn answered(&self, claim: IdempotencyClaim, answer: Option<Checked>) -> Result<(), StoreError> {
        self.inner.answered(claim, answer).await
    }

    async fn cancel(
        &self,
        service: &str,
        id: VerificationId,
        origin: Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        note(&self.log, "canceled");
        self.inner.cancel(service, id, origin, detail, now).await
    }

    async fn delivered(&self, delivered: Vec<Delivered>) -> Result<usize, StoreError> {
        let refuses = self.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refuses.is_ok() { Err(StoreError::Overloaded) } else { self.inner.delivered(delivered).await }
    }

    async fn receipt(&self, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        self.inner.receipt(receipt).await
    }

    async fn release(&self, failures: BucketKey, event: Event) -> Result<bool, StoreError> {
        self.inner.release(failures, event).await
    }

    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError> {
        self.inner.take(takes, now).await
    }

    async fn clear(&self, buckets: Vec<BucketKey>) -> Result<(), StoreError> {
        self.inner.clear(buckets).await
    }

    async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        if self.is_emptied.load(Ordering::SeqCst) {
            return Ok(None);
        }
        if self.reads_fail.load(Ordering::SeqCst) { Err(StoreError::Overloaded) } else { self.inner.get(service, id).await }
    }

    async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError> {
        self.inner.timeline(id).await
    }

    async fn list(
        &self,
        service: &str,
        destination: [u8; 16],
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        self.inner.list(service, destination, before, limit).await
    }

    async fn undelivered(&self, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
        self.inner.undelivered(now).await
    }

    async fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
        self.inner.sweep(before, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// A courier with no place, or one that loses what it takes.
struct Boy {
    log: Log,
    is_full: AtomicBool,
}

#[async_trait]
impl Courier for Boy {
    fn code_maker(&self, _: Channel, _: Option<Country>) -> Option<CodeMaker> {
        Some(CodeMaker::Us)
    }

    fn dispatch(&self, parcel: Parcel) -> Result<(), QueueFull> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(QueueFull(parcel));
        }
        note(&self.log, "dispatched");
        Ok(())
    }

    async fn judge(&self, _: &Verification, _: &Code) -> Result<ProviderVerdict, NotJudged> {
        Ok(ProviderVerdict::Refused)
    }

    async fn call_off(&self, _: &Verification) {}
}

struct Stage {
    engine: Engine,
    store: Arc<Faulty>,
    boy: Arc<Boy>,
    log: Log,
}

impl Stage {
    fn new() -> Stage {
        let (log, clock) = (Log::default(), Arc::new(TestClock::default()));
        let inner = MemoryStore::new(Arc::new(AuditLog));
        let (reads_fail, is_emptied, refuses) = Default::default();
        let store = Arc::new(Faulty { inner, log: Arc::clone(&log), reads_fail, is_emptied, refuses });
        let boy = Arc::new(Boy { log: Arc::clone(&log), is_full: AtomicBool::default() });
        let config = Config::from_toml("[service.default]\nresend_waits = []\ncustom_code = true").expect("settings");
        let quotas = vec![Quota { count: 20, per: Duration::from_secs(24 * 3600) }];
        let engine = Engine {
            store: Arc::clone(&store) as _,
            lease: Arc::new(Lease::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            courier: Arc::clone(&boy) as _,
            policies: Policies::new(config.policies().expect("policies")),
            destination_all_services: Arc::new(SendRule { quotas, waits: Vec::new() }),
            peppers: Peppers { current: Pepper::new(&[7; 32]).expect("32 bytes are enough"), previous: None },
            clock,
            entropy: Arc::new(SystemEntropy),
            test_destinations: HashMap::new(),
            metrics: Arc::new(Metrics::default()),
            turns: Turns::default(),
            wait_max: Duration::from_secs(1),
        };
        Stage { engine, store, boy, log }
    }

    async fn start(&self, supersedes: bool, wait: bool) -> Result<Started, StoreError> {
        let caller = Caller { service: "default".into(), client: None, ip: None, idempotency_key: None, has_paid: false };
        let request = StartRequest { to: "+4915112345678".into(), supersedes, ..StartRequest::default() };
        self.engine.start(&caller, request, wait).await
    }

    fn log(&self) -> Vec<&'static str> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A failure would have the caller send it again: two messages, and two places in every limit.
#[tokio::test]
async fn a_message_that_went_out_is_no_failure_because_nobody_can_read() {
    let stage = Stage::new();
    stage.store.reads_fail.store(true, Ordering::SeqCst);
    let started = stage.start(false, true).await;
    assert!(matches!(&started, Ok(Started::Sending(snapshot)) if snapshot.delivery == Delivery::Queued), "{started:?}");
    assert_eq!(stage.log(), ["dispatched"]);
}

/// The new code goes out first: what follows may fail, or never come.
#[tokio::test]
async fn a_newer_code_is_on_its_way_before_the_older_ones_end() {
    let stage = Stage::new();
    for _ in 0..2 {
        let started = stage.start(true, false).await;
        assert!(matches!(started, Ok(Started::Sending(_))), "{started:?}");
    }
    assert_eq!(stage.log(), ["dispatched", "dispatched", "canceled"]);
}

/// What was given up is noted in the end, and its limits are given back, also where the store has no room for a while.
#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_noted_in_the_end() {
    let stage = Stage::new();
    stage.boy.is_full.store(true, Ordering::SeqCst);
    stage.store.refuses.store(5, Ordering::SeqCst);
    let started = stage.start(false, false).await;
    let Ok(Started::Sending(snapshot)) = started else { panic!("{started:?}") };
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (verification, bucket) = stage.store.inner.get("default", snapshot.id).await.expect("a read").expect("a row");
    assert_eq!((verification.delivery, bucket.values.len()), (Delivery::Failed, 0));
}

/// R11: a store that is emptied between the count and the approval has nothing pending: the right code is for nothing then, and
/// not wrong.
#[tokio::test]
async fn what_is_gone_while_it_is_checked_is_not_pending() {
    let stage = Stage::new();
    let code = Code::parse("482915").expect("a code");
    let caller = Caller { service: "default".into(), client: None, ip: None, idempotency_key: None, has_paid: false };
    let request = StartRequest { to: "+4915112345678".into(), code: Some(code.clone()), ..StartRequest::default() };
    let Ok(Started::Sending(snapshot)) = stage.engine.start(&caller, request, false).await else { panic!("it was not started") };
    stage.store.is_emptied.store(true, Ordering::SeqCst);
    let verdict = stage.engine.check(&caller, Which::Id(snapshot.id), &code).await;
    assert!(matches!(verdict, Ok(Verdict::NotFound)), "{verdict:?}");
}
