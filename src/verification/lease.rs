//! One of several servers on the same data: what tells the others that it lives, and tells itself when it may not act.
//!
//! What a replica queues is its own for as long as its lease lasts, which it renews in the store all the time. Where it
//! cannot (it stood still, or the store is out of reach) the others take its queue over; so it looks at its own clocks right
//! before it hands a message to a provider, and waits while they say that the lease may be over. When it is heard again the
//! store says whether anything was taken over: if not, what waited goes out; if so, none of it does.
//!
//! The others see a lease end by their clocks: they may go as much ahead as [`LASTS`] is longer than two beats. Clocks that
//! differ by more make messages come twice; so each replica compares its own with the store's, and says so in time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::verification::Engine;
use crate::verification::store::{Heartbeat, StoreError};

/// For how long a beat is good: so long a killed replica's queue waits. Codes live for minutes, and three beats may be lost.
pub const LASTS: Duration = Duration::from_secs(10);
/// How often it is renewed, and how often somebody looks for what the dead left.
pub const EVERY: Duration = Duration::from_secs(2);
/// What must be left of it where a message is handed over: a provider has mostly answered within that.
const LEAST: Duration = Duration::from_secs(2);
/// A store that has not answered a beat by then is asked again.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause after a beat that somebody waited for, so that a store that is down is not asked all the time.
const BREATH: Duration = Duration::from_millis(100);

/// How often this machine's clock is compared with the store's, in beats.
const COMPARED_EVERY: u32 = 30;
/// By how much they may differ (R16): beyond that a lease may seem to end too soon.
const SKEW_AT_MOST: Duration = Duration::from_secs(5);

/// Until when it is this replica's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Never heard by the store.
    Nothing,
    /// Nobody else is there.
    Always,
    /// By the clock that can be set and by the one that cannot: a machine that slept may have stopped either.
    Until { now: Timestamp, steady: Duration },
}

#[derive(Debug)]
struct State {
    /// What the store calls this replica: what was queued under another name is, or will be, somebody else's.
    name: Option<Uuid>,
    holds: Holds,
    /// Since when there was no gap in it.
    unbroken_since: Duration,
    closing: bool,
    ended: bool,
}

/// The lease of this process.
pub struct Lease {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// One beat at a time: the last word is the newest.
    beating: tokio::sync::Mutex<()>,
    /// Something changed.
    changed: watch::Sender<()>,
    /// Somebody waits for a beat.
    wanted: Notify,
}

impl Lease {
    /// Held by nobody yet.
    pub fn new(clock: Arc<dyn Clock>) -> Lease {
        let state = State { name: None, holds: Holds::Nothing, unbroken_since: Duration::ZERO, closing: false, ended: false };
        Lease {
            clock,
            state: Mutex::new(state),
            beating: tokio::sync::Mutex::default(),
            changed: watch::Sender::default(),
            wanted: Notify::new(),
        }
    }

    /// Whether others leave to this replica what it has queued.
    pub fn is_held(&self) -> bool {
        self.lasts_for(self.state().holds, Duration::ZERO)
    }

    /// Whether nobody else is there to take anything from.
    fn is_alone(&self) -> bool {
        self.state().holds == Holds::Always
    }

    /// A start failed: the store may have given this replica's name up, so that nobody waits for what may have been queued
    /// under it. Under the next one it is to be heard soon, for until then what it queues is not its own.
    pub fn hurry(&self) {
        self.wanted.notify_one();
    }

    /// Whether what was queued under that name may be handed to a provider now. Waits while only the store can tell; false: it
    /// is, or may soon be, somebody else's.
    pub async fn permits(&self, queued_by: Option<Uuid>) -> bool {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let (name, holds, closing) = {
                let state = self.state();
                (state.name, state.holds, state.closing)
            };
            if name != queued_by {
                // While a beat is under way the store may have given the new name to a message before it was told here.
                drop(self.beating.lock().await);
                if self.state().name != queued_by {
                    return false;
                }
                continue;
            }
            if self.lasts_for(holds, LEAST) {
                return true;
            }
            if closing {
                return false;
            }
            self.wanted.notify_one();
            // Fails when the lease is gone, and with it everything that could be handed over.
            if changed.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Whether what was queued under that name is still this replica's, as far as it has heard.
    pub fn owns(&self, queued_by: Option<Uuid>) -> bool {
        self.state().name == queued_by
    }

    /// The server stops: whoever waits for the lease waits no longer, and what is left is for others.
    pub fn close(&self) {
        self.state().closing = true;
        self.changed.send_replace(());
    }

    /// Whether the server stops.
    pub fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// Tells the store that this replica lives, and remembers what it answered.
    async fn beat<F: Future<Output = Result<Heartbeat, StoreError>>>(
        &self,
        tell: impl FnOnce(Timestamp) -> F,
    ) -> Result<Heartbeat, StoreError> {
        let _turn = self.beating.lock().await;
        if self.state().ended {
            return Err(StoreError::Closed);
        }
        // From before the store was asked: it may have taken its time.
        let (now, steady) = (self.clock.now() + LASTS, self.clock.steady());
        let heartbeat = timeout(PATIENCE, tell(now)).await.map_err(|_| StoreError::Overloaded)??;
        let mut state = self.state();
        if !self.lasts_for(state.holds, Duration::ZERO) {
            state.unbroken_since = steady;
        }
        if let Heartbeat::Renamed(name) = heartbeat {
            state.name = Some(name);
            state.unbroken_since = steady;
        }
        state.holds = if heartbeat == Heartbeat::Alone { Holds::Always } else { Holds::Until { now, steady: steady + LASTS } };
        drop(state);
        self.changed.send_replace(());
        Ok(heartbeat)
    }

    /// Whether it was held without a gap for as long as a beat is good: by then everybody who was only out of reach, as this
    /// one may have been, has said that he lives.
    fn is_settled(&self) -> bool {
        self.is_held() && self.clock.steady() >= self.state().unbroken_since + LASTS
    }

    /// Nothing is this replica's any more.
    async fn end<F: Future<Output = Result<Heartbeat, StoreError>>>(&self, tell: impl FnOnce(Timestamp) -> F) -> Result<(), StoreError> {
        let _turn = self.beating.lock().await;
        let held = std::mem::replace(&mut self.state().holds, Holds::Nothing);
        self.close();
        self.state().ended = true;
        self.wanted.notify_one();
        if let Holds::Until { .. } = held {
            timeout(PATIENCE, tell(Timestamp(0))).await.map_err(|_| StoreError::Overloaded)??;
        }
        Ok(())
    }

    fn lasts_for(&self, holds: Holds, least: Duration) -> bool {
        match holds {
            Holds::Nothing => false,
            Holds::Always => true,
            Holds::Until { now, steady } => self.clock.now() + least < now && self.clock.steady() + least < steady,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first beat, and all that follow until the server stops or nobody holds the engine any more. Must be called within the
/// runtime. A store that is out of reach is no reason not to start: then nothing is handed over before it answers.
pub async fn join(engine: &Arc<Engine>) {
    match engine.beat().await {
        Ok(Heartbeat::Alone) => return,
        Ok(Heartbeat::Kept | Heartbeat::Renamed(_)) => {}
        Err(error) => tracing::warn!(%error, "the store does not hear that this replica is there"),
    }
    let (lease, engine) = (Arc::clone(&engine.lease), Arc::downgrade(engine));
    tokio::spawn(async move {
        for beat in (0..COMPARED_EVERY).cycle() {
            if timeout(EVERY, lease.wanted.notified()).await.is_ok() {
                tokio::time::sleep(BREATH).await;
            }
            let Some(engine) = engine.upgrade() else { return };
            if lease.state().ended || !engine.live().await {
                return;
            }
            if beat == 0 {
                engine.compare_clocks().await;
            }
        }
    });
}

/// How much two clocks differ at least, of which one showed `shared` at some time between what the other showed.
fn skew(before: Timestamp, shared: Timestamp, after: Timestamp) -> Duration {
    shared.until(before).max(after.until(shared))
}

impl Engine {
    async fn beat(&self) -> Result<Heartbeat, StoreError> {
        self.lease.beat(|until| self.store.heartbeat(until)).await
    }

    /// Lets go of what is still queued, so that the others need not wait for the lease to end.
    pub async fn leave(&self) {
        if let Err(error) = self.lease.end(|until| self.store.heartbeat(until)).await {
            tracing::warn!(%error, "the other replicas hear of the end of this one later");
        }
    }

    /// Somebody must hear of clocks that differ before messages come twice.
    async fn compare_clocks(&self) {
        let before = self.clock.now();
        let Ok(Ok(Some(shared))) = timeout(PATIENCE, self.store.shared_clock()).await else { return };
        let skew = skew(before, shared, self.clock.now());
        if skew > SKEW_AT_MOST {
            let seconds = skew.as_secs();
            tracing::warn!(
                seconds,
                "this machine's clock and the store's differ: replicas take each other for dead, and messages come twice"
            );
        }
    }

    /// Hands over what the last run left queued, before anybody is served. Where others share the store that waits for the first
    /// round in which this replica has been heard for a whole lease: the database may have come back with it, and the living
    /// need a moment to say so.
    pub async fn resume_alone(&self) -> Result<usize, StoreError> {
        if self.lease.is_alone() { self.resume().await } else { Ok(0) }
    }

    /// One round of a replica's life. False: it is over.
    async fn live(&self) -> bool {
        let (was_held, was_heard) = (self.lease.is_held(), self.lease.state().name.is_some());
        match self.beat().await {
            Ok(Heartbeat::Alone) => return false,
            Ok(Heartbeat::Renamed(_)) if was_heard => {
                tracing::warn!("this replica was taken for dead: what it had queued is sent by others")
            }
            Ok(Heartbeat::Kept | Heartbeat::Renamed(_)) if !was_held => tracing::info!("the store hears again that this replica is there"),
            Ok(Heartbeat::Kept | Heartbeat::Renamed(_)) => {}
            Err(StoreError::Closed) if self.lease.is_closing() => return false,
            Err(error) => tracing::warn!(%error, "the store does not hear that this replica is there"),
        }
        // Not while it stops: what it took over it would have to leave again.
        if self.lease.is_settled() && !self.lease.is_closing() {
            match self.resume().await {
                Ok(0) => {}
                Ok(messages) => tracing::info!(messages, "sending what another replica left queued"),
                Err(error) => tracing::warn!(%error, "what other replicas left queued could not be read"),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::clock::TestClock;

    fn lease() -> (Arc<TestClock>, Lease) {
        let clock = Arc::new(TestClock::default());
        (Arc::clone(&clock), Lease::new(clock))
    }

    async fn hears(lease: &Lease, heartbeat: Heartbeat) {
        lease.beat(|_| std::future::ready(Ok(heartbeat))).await.expect("it is heard");
    }

    /// None: the answer has to be waited for.
    fn permits(lease: &Lease, queued_by: Option<Uuid>) -> Option<bool> {
        lease.permits(queued_by).now_or_never()
    }

    const FIRST: Option<Uuid> = Some(Uuid::from_u128(1));
    const NAMED: Heartbeat = Heartbeat::Renamed(Uuid::from_u128(1));
    const RENAMED: Heartbeat = Heartbeat::Renamed(Uuid::from_u128(2));

    #[tokio::test]
    async fn nothing_is_handed_over_before_the_store_has_heard() {
        let (_, lease) = lease();
        assert_eq!((lease.is_held(), permits(&lease, None), permits(&lease, FIRST)), (false, None, Some(false)));
        hears(&lease, NAMED).await;
        // What was queued under no name that the store knows may be anybody's.
        assert_eq!((permits(&lease, None), permits(&lease, FIRST)), (Some(false), Some(true)));
        assert!(lease.owns(FIRST) && !lease.owns(None));
    }

    /// The store knows the new name a moment earlier: what it queued under it must not be dropped.
    #[tokio::test]
    async fn a_name_that_is_on_its_way_is_waited_for() {
        let (_, lease) = lease();
        let beat = lease.beat(|_| async {
            tokio::task::yield_now().await;
            Ok(NAMED)
        });
        let (heard, permitted) = tokio::join!(beat, lease.permits(FIRST));
        assert!(heard.is_ok() && permitted);
    }

    #[tokio::test]
    async fn who_is_alone_need_not_say_so_again() {
        let (clock, lease) = lease();
        hears(&lease, Heartbeat::Alone).await;
        assert!(lease.is_alone());
        clock.advance(LASTS * 1000);
        assert_eq!(permits(&lease, None), Some(true));
    }

    /// R24: a process that stood still sends nothing of what others may have taken over, and goes on with what they did not.
    #[tokio::test]
    async fn a_lapsed_lease_is_waited_for_and_its_queue_kept_or_lost() {
        for (heartbeat, kept) in [(Heartbeat::Kept, true), (RENAMED, false)] {
            let (clock, lease) = lease();
            hears(&lease, NAMED).await;
            clock.advance(LASTS - LEAST - Duration::from_millis(1));
            assert_eq!(permits(&lease, FIRST), Some(true));
            clock.advance(Duration::from_millis(1));
            assert_eq!(permits(&lease, FIRST), None, "others may take it over before a provider has answered");
            let (waited, ()) = tokio::join!(lease.permits(FIRST), hears(&lease, heartbeat));
            assert_eq!(waited, kept, "{heartbeat:?}");
        }
    }

    /// R16: a clock that is put back makes no lease longer, and one that is put forward ends it.
    #[tokio::test]
    async fn a_clock_that_is_put_back_makes_no_lease_longer() {
        let (clock, lease) = lease();
        hears(&lease, NAMED).await;
        clock.put_back(Duration::from_secs(3600));
        clock.advance(LASTS);
        assert!(!lease.is_held());
        hears(&lease, Heartbeat::Kept).await;
        assert!(lease.is_held());
        clock.put_forward(Duration::from_secs(3600));
        assert!(!lease.is_held());
    }

    /// A lease counts from before the store was asked, however long it took to answer.
    #[tokio::test]
    async fn a_slow_answer_makes_no_lease_longer() {
        let (clock, lease) = lease();
        let slow = lease.beat(|_| {
            clock.advance(LASTS);
            std::future::ready(Ok(NAMED))
        });
        slow.await.expect("it is heard");
        assert!(!lease.is_held());
    }

    #[tokio::test]
    async fn only_who_was_there_all_the_time_takes_over() {
        let (clock, lease) = lease();
        hears(&lease, NAMED).await;
        for _ in 0..5 {
            assert!(!lease.is_settled() && !lease.is_alone());
            clock.advance(EVERY);
            hears(&lease, Heartbeat::Kept).await;
        }
        assert!(lease.is_settled());
        clock.advance(LASTS);
        hears(&lease, Heartbeat::Kept).await;
        assert!(!lease.is_settled(), "the others may have been cut off as well, and need a moment to say that they live");
    }

    /// R16: what the answer took is nobody's skew.
    #[test]
    fn clocks_are_compared() {
        let at = |seconds: i64| Timestamp(1000 * seconds);
        for (before, shared, after, seconds) in [(10, 10, 10, 0), (10, 12, 13, 0), (10, 4, 13, 6), (10, 20, 13, 7)] {
            assert_eq!(skew(at(before), at(shared), at(after)), Duration::from_secs(seconds));
        }
    }

    #[tokio::test]
    async fn a_stop_keeps_nobody_waiting_and_tells_the_others() {
        let (_, lease) = lease();
        let ((), waited) = tokio::join!(async { lease.close() }, lease.permits(None));
        assert!(!waited);
        hears(&lease, NAMED).await;
        assert_eq!(permits(&lease, FIRST), Some(true), "what is queued goes out while the server stops");
        let mut told = None;
        let end = lease.end(|until| {
            told = Some(until);
            std::future::ready(Ok(Heartbeat::Kept))
        });
        end.await.expect("it is heard");
        assert_eq!((told, lease.is_held()), (Some(Timestamp(0)), false));
        assert!(lease.beat(|_| std::future::ready(Ok(Heartbeat::Kept))).await.is_err(), "nobody comes back from there");
    }
}
