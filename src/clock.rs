//! Time as an argument.
//!
//! Everything that depends on the time takes a [`Clock`]; nothing else may ask the system for it (`clippy.toml` says so).
//! It refuses to know about time zones: a [`Timestamp`] is milliseconds since the Unix epoch, in UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// How long until `later`; zero when that has passed.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis((later.0 - self.0).max(0) as u64)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(milliseconds(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(milliseconds(duration)))
    }
}

/// RFC 3339 in UTC, whole seconds: `2026-11-21T08:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0.div_euclid(1000)) {
            Ok(timestamp) => write!(formatter, "{timestamp}"),
            Err(_) => formatter.write_str("out of range"),
        }
    }
}

/// Whole milliseconds of a duration, as the stores keep them.
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Whole seconds, rounded up: what `Retry-After` may promise.
pub fn seconds_rounded_up(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000) as u64
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// How long something runs already that nobody can set: to measure how much time has passed, however often the clock
    /// itself is put forward or back (R16).
    fn steady(&self) -> Duration;
}

/// The system's clock, which nobody puts back: where that is done to the machine's, this one goes on from the latest time that it
/// has shown. So a code that has expired and a key that was revoked stay so (R16). A process that starts then believes the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        static ANCHOR: Anchor = Anchor::new();
        // In this order: whoever is stopped between the two finds the clocks closer together, and never further apart.
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        ANCHOR.now(wall, self.steady())
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn steady(&self) -> Duration {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        FIRST.get_or_init(Instant::now).elapsed()
    }
}

/// By how much a clock may be put forward or back before somebody should look at it (R16).
const STEP_AT_MOST: Duration = Duration::from_secs(5);
/// How often that is said.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What ties the clock that can be set to the one that cannot. It moves forward only.
struct Anchor {
    /// The most that the first was ever ahead of the second, in microseconds.
    ahead: AtomicI64,
    /// When the steady clock showed what, the next warning is due, in microseconds.
    warn_from: AtomicI64,
}

impl Anchor {
    const fn new() -> Anchor {
        Anchor { ahead: AtomicI64::new(i64::MIN), warn_from: AtomicI64::new(i64::MIN) }
    }

    /// The time, where the clock that can be set shows `wall`.
    fn now(&self, wall: Duration, steady: Duration) -> Timestamp {
        let (ahead, steady) = (microseconds(wall) - microseconds(steady), microseconds(steady));
        let before = self.ahead.fetch_max(ahead, Ordering::Relaxed);
        let step = if before == i64::MIN { 0 } else { ahead - before };
        if step.abs() > microseconds(STEP_AT_MOST) {
            self.warn(step, steady);
        }
        Timestamp((steady + ahead.max(before)) / 1000)
    }

    fn warn(&self, step: i64, steady: i64) {
        let due = self.warn_from.load(Ordering::Relaxed);
        let next = steady + microseconds(WARN_EVERY);
        if steady >= due && self.warn_from.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let seconds = step / 1_000_000;
            if step < 0 {
                tracing::warn!(seconds, "this machine's clock was put back; here the time goes on as if it had not been");
            } else {
                tracing::warn!(seconds, "this machine's clock was put forward, or the machine stood still");
            }
        }
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct TestClock {
    now: AtomicI64,
    started: AtomicI64,
}

impl TestClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> TestClock {
        TestClock { now: AtomicI64::new(start.0), started: AtomicI64::new(start.0) }
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.now.fetch_add(milliseconds(duration), Ordering::SeqCst);
    }

    /// Somebody puts the clock forward: it shows another time, and none has passed.
    pub fn put_forward(&self, duration: Duration) {
        self.started.fetch_add(milliseconds(duration), Ordering::SeqCst);
        self.advance(duration);
    }

    /// Somebody puts the clock back.
    pub fn put_back(&self, duration: Duration) {
        self.started.fetch_sub(milliseconds(duration), Ordering::SeqCst);
        self.now.fetch_sub(milliseconds(duration), Ordering::SeqCst);
    }
}

/// 2026-01-01T00:00:00Z.
impl Default for TestClock {
    fn default() -> TestClock {
        TestClock::new(Timestamp(1_767_225_600_000))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        Timestamp(self.started.load(Ordering::SeqCst)).until(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_without_fractions() {
        assert_eq!(Timestamp(1_767_225_600_999).to_string(), "2026-01-01T00:00:00Z");
    }

    /// R16: a clock that is put back revives nothing, and one that is put forward is believed.
    #[test]
    fn the_time_never_goes_back() {
        let anchor = Anchor::new();
        let now = |wall, steady| anchor.now(Duration::from_secs(wall), Duration::from_secs(steady)).0 / 1000;
        assert_eq!(now(1000, 1), 1000);
        assert_eq!(now(400, 2), 1001, "put back by ten minutes");
        assert_eq!(now(460, 62), 1061, "and it goes on");
        assert_eq!(now(1070, 70), 1070, "the wall clock has caught up");
        assert_eq!(now(5000, 71), 5000);
        assert_eq!(now(1072, 72), 5001);
    }

    #[test]
    fn retry_after_never_promises_too_early() {
        assert_eq!(seconds_rounded_up(Duration::from_millis(1001)), 2);
        assert_eq!(seconds_rounded_up(Duration::ZERO), 0);
    }
}
