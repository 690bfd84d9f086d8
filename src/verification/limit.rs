//! Limits: pure functions from a bucket's state and the time to "yes" or "not before …".
//!
//! A store keeps the numbers in [`super::buckets::Buckets`], whose `take_all` runs inside the transaction that creates or
//! changes a verification, so one call takes from every limit or from none. Three shapes are enough:
//!
//! - [`Rule::Windows`]: exact sliding windows over the times of the last few messages, with the wait that grows between
//!   them. Exact, because GCRA with a burst of 10 a day lets 19 through in a day (see docs/decisions/0003-limits.md).
//! - [`Rule::Rate`]: GCRA, one number, for the limits with large counts.
//! - [`Rule::Failures`]: a gate on wrong codes in a row. It takes nothing; [`count_failure`] and [`clear`] move it.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::{Timestamp, milliseconds};

/// 128 bits that name a bucket.
pub type BucketKey = [u8; 16];

/// Which limit refused: the stable names of the `RateLimit` header, the problem body and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Messages to one destination from one service, and the wait between them.
    Destination,
    /// Messages to one destination from all services.
    DestinationAllServices,
    /// Wrong codes in a row.
    Failures,
    /// Messages for one end user's address.
    IpSends,
    /// Checks from one end user's address.
    IpChecks,
    /// Messages of one service.
    Service,
    /// Messages of one service to one country.
    Country,
    /// Starts for one value of a limit that the service's caller has made.
    Own,
    /// Sign-ins begun from one end user's address.
    IpSignIns,
    /// Wrong passwords of one account from one address or browser.
    SignInFailures,
    /// Wrong passwords of one account from browsers that never signed in to it.
    AccountFailures,
    /// Accounts registered from one end user's address.
    IpRegistrations,
    /// Passwords and recovery codes that one account is given anew.
    AccountChanges,
}

impl LimitName {
    /// The name as it appears outside.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitName::Destination => "destination",
            LimitName::DestinationAllServices => "destination_all_services",
            LimitName::Failures => "failures",
            LimitName::IpSends => "ip_sends",
            LimitName::IpChecks => "ip_checks",
            LimitName::Service => "service",
            LimitName::Country => "country",
            LimitName::Own => "own",
            LimitName::IpSignIns => "ip_sign_ins",
            LimitName::SignInFailures => "sign_in_failures",
            LimitName::AccountFailures => "account_failures",
            LimitName::IpRegistrations => "ip_registrations",
            LimitName::AccountChanges => "account_changes",
        }
    }

    /// Every one.
    pub const ALL: [LimitName; 13] = [
        LimitName::Destination,
        LimitName::DestinationAllServices,
        LimitName::Failures,
        LimitName::IpSends,
        LimitName::IpChecks,
        LimitName::Service,
        LimitName::Country,
        LimitName::Own,
        LimitName::IpSignIns,
        LimitName::SignInFailures,
        LimitName::AccountFailures,
        LimitName::IpRegistrations,
        LimitName::AccountChanges,
    ];

    /// The key of this limit's bucket for what `parts` name.
    pub fn key(self, parts: &[&[u8]]) -> BucketKey {
        let mut digest = Sha256::new().chain_update(self.as_str());
        for part in parts {
            digest.update((part.len() as u32).to_be_bytes());
            digest.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&digest.finalize()[..16]);
        key
    }
}

/// "At most `count` in any `per`".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

impl Quota {
    /// Time between two that come evenly. At least 1 µs: a million a second is the finest rate told apart.
    pub fn interval_us(self) -> i64 {
        (self.per.as_micros() as i64 / i64::from(self.count.max(1))).max(1)
    }
}

/// Wrong codes in a row, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRule {
    /// From here on a start waits: 30 s, doubling with every fifth further failure, 1 h at most (NIST 3.2.2, ATT-08).
    pub soft: u32,
    /// From here on the bucket is closed.
    pub hard: u32,
    /// Closed until released (an account's factor), or for [`CLOSED_FOR`] (a bare destination, which a stranger can name).
    pub until_released: bool,
}

/// How long the failures of a bare destination are kept after the last one.
pub const FAILURES_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a bare destination stays closed after the hard cap.
pub const CLOSED_FOR: Duration = Duration::from_secs(24 * 3600);
const SOFT_DELAY_FIRST: Duration = Duration::from_secs(30);
const SOFT_DELAY_LAST: Duration = Duration::from_secs(3600);
/// What is said where waiting does not help.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The limit on messages to one destination: windows, the shortest first, and the waits between messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendRule {
    /// The windows. A bucket holds as many times as the largest count.
    pub quotas: Vec<Quota>,
    /// The wait after the n-th message of the shortest window; the last one repeats. Empty: none.
    pub waits: Vec<Duration>,
}

/// A limit's rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Exact windows, with waits.
    Windows(Arc<SendRule>),
    /// GCRA: `count` at once, then evenly.
    Rate(Quota),
    /// A gate on failures.
    Failures(FailureRule),
}

/// One limit to take from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// The bucket.
    pub key: BucketKey,
    /// Its name, for whoever is refused.
    pub name: LimitName,
    /// Its rule.
    pub rule: Rule,
}

/// A refusal: nothing was taken from any limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// The limit with the longest wait.
    pub name: LimitName,
    /// The quota that is used up, where there is one to name.
    pub quota: Option<Quota>,
    /// When the same call can pass.
    pub retry_after: Duration,
}

/// A bucket's state: a few numbers, whose meaning is the rule's. Empty: full of credit, never used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Windows: times of the last takings (ms), oldest first. Rate: the theoretical arrival time (µs).
    /// Failures: how many in a row, and the time of the last (ms).
    pub values: Vec<i64>,
    /// When the bucket is as good as new and may be forgotten.
    pub forget_at: Timestamp,
}

impl Take {
    /// Whether the bucket would give now.
    pub fn judge(&self, bucket: &Bucket, now: Timestamp) -> Result<(), Limited> {
        let (retry_after, quota) = match &self.rule {
            Rule::Windows(rule) => windows_retry_after(rule, &bucket.values, now),
            Rule::Rate(quota) => (rate_retry_after(*quota, &bucket.values, now), Some(*quota)),
            Rule::Failures(rule) => (failures_retry_after(*rule, &bucket.values, now), None),
        };
        if retry_after.is_zero() { Ok(()) } else { Err(Limited { name: self.name, quota, retry_after }) }
    }

    /// Takes. Only after every take of the call was judged.
    pub fn apply(&self, bucket: &mut Bucket, now: Timestamp) {
        match &self.rule {
            Rule::Windows(rule) => {
                let quotas = &rule.quotas;
                let longest = quotas.iter().map(|quota| quota.per).max().unwrap_or_default();
                let most = quotas.iter().map(|quota| quota.count as usize).max().unwrap_or_default();
                let from = (now - longest).0;
                bucket.values.retain(|&time| time > from);
                while bucket.values.len() >= most.max(1) {
                    bucket.values.remove(0);
                }
                bucket.values.reserve_exact(1);
                bucket.values.push(now.0);
                bucket.forget_at = now + longest;
            }
            Rule::Rate(quota) => {
                let arrival = bucket.values.first().copied().unwrap_or(i64::MIN).max(microseconds(now)) + quota.interval_us();
                bucket.values = vec![arrival];
                bucket.forget_at = Timestamp(arrival / 1000 + 1);
            }
            Rule::Failures(_) => {}
        }
    }
}

/// One more wrong code in a row. Failures do not fade: a right code or a release clears them (NIST 3.2.2 counts those in a
/// row). Those of a bare destination are forgotten after [`FAILURES_KEPT_FOR`], or everybody who mistypes once would stay in
/// memory for ever; those of a subject never are.
pub fn count_failure(bucket: &mut Bucket, of_subject: bool, now: Timestamp) {
    let failures = bucket.values.first().copied().unwrap_or(0) + 1;
    bucket.values = vec![failures, now.0];
    bucket.forget_at = if of_subject { Timestamp(i64::MAX) } else { now + FAILURES_KEPT_FOR };
}

/// How many failures in a row a bucket counts, and when the last one was; none where its numbers are another rule's. Those are
/// times, and a time has more digits than anybody fails.
pub fn failures(bucket: &Bucket) -> Option<(u32, Timestamp)> {
    let [count, last] = bucket.values[..] else { return None };
    let count = u32::try_from(count).ok().filter(|count| *count > 0)?;
    Some((count, Timestamp(last)))
}

/// Forgets the failures, after a right code or a release.
pub fn clear(bucket: &mut Bucket) {
    *bucket = Bucket::default();
}

/// What is left of the shortest window, and when the next taking can pass: for a caller who wants to show a countdown.
pub fn remaining(rule: &SendRule, bucket: &Bucket, now: Timestamp) -> (u32, Duration) {
    let left = rule.quotas.iter().map(|quota| quota.count.saturating_sub(within(&bucket.values, quota.per, now) as u32)).min();
    let (retry_after, _) = windows_retry_after(rule, &bucket.values, now);
    (left.unwrap_or(0), retry_after)
}

fn within(times: &[i64], per: Duration, now: Timestamp) -> usize {
    let from = (now - per).0;
    times.iter().filter(|&&time| time > from).count()
}

fn windows_retry_after(rule: &SendRule, times: &[i64], now: Timestamp) -> (Duration, Option<Quota>) {
    let SendRule { quotas, waits } = rule;
    let mut longest = (Duration::ZERO, quotas.first().copied());
    for quota in quotas {
        let used = within(times, quota.per, now);
        if used >= quota.count as usize {
            // Free again when the oldest of the last `count` falls out of the window.
            let oldest = times[times.len() - quota.count as usize];
            let wait = now.until(Timestamp(oldest) + quota.per);
            if wait > longest.0 {
                longest = (wait, Some(*quota));
            }
        }
    }
    if let (Some(&last), Some(shortest)) = (times.last(), quotas.first()) {
        // The step is the message's place in its window when it was sent: it must not change while somebody waits.
        let place = within(times, shortest.per, Timestamp(last));
        let wait = waits.get(place.saturating_sub(1)).or(waits.last()).copied().unwrap_or_default();
        let left = now.until(Timestamp(last) + wait);
        // Where there is no wait, a last message of a moment yet to come is only another server's clock.
        if !wait.is_zero() && left > longest.0 {
            longest = (left, Some(Quota { count: 1, per: wait }));
        }
    }
    longest
}

fn microseconds(time: Timestamp) -> i64 {
    time.0.saturating_mul(1000)
}

fn rate_retry_after(quota: Quota, values: &[i64], now: Timestamp) -> Duration {
    let arrival = values.first().copied().unwrap_or(i64::MIN);
    let tolerance = quota.per.as_micros() as i64 - quota.interval_us();
    let early = arrival.saturating_sub(tolerance).saturating_sub(microseconds(now));
    Duration::from_micros(early.max(0) as u64)
}

fn failures_retry_after(rule: FailureRule, values: &[i64], now: Timestamp) -> Duration {
    let [failures, last] = values else { return Duration::ZERO };
    let failures = *failures as u32;
    if failures >= rule.hard && rule.until_released {
        return NEVER;
    }
    let delay = if failures >= rule.hard {
        CLOSED_FOR
    } else if failures >= rule.soft {
        let doublings = (failures - rule.soft) / 5;
        SOFT_DELAY_FIRST.saturating_mul(1 << doublings.min(16)).min(SOFT_DELAY_LAST)
    } else {
        // Not even where the last one is of a moment yet to come, by the clock of another server.
        return Duration::ZERO;
    };
    now.until(Timestamp(*last) + delay)
}

/// Whether waiting is of no use: only a release opens that bucket again.
pub fn is_permanent(retry_after: Duration) -> bool {
    milliseconds(retry_after) >= milliseconds(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn quota(count: u32, seconds: u64) -> Quota {
        Quota { count, per: Duration::from_secs(seconds) }
    }

    fn take(rule: Rule) -> Take {
        Take { key: [0; 16], name: LimitName::Destination, rule }
    }

    fn standard() -> Rule {
        Rule::Windows(Arc::new(standard_sends()))
    }

    fn standard_sends() -> SendRule {
        let waits = [30, 40, 60, 90, 120].map(Duration::from_secs).to_vec();
        SendRule { quotas: vec![quota(5, 600), quota(10, 86_400)], waits }
    }

    /// Tries every second of `seconds`; the seconds at which it passed.
    fn passes(rule: Rule, seconds: i64) -> Vec<i64> {
        let (take, mut bucket) = (take(rule), Bucket::default());
        (0..seconds)
            .filter(|second| {
                let now = Timestamp(1_000_000 + second * 1000);
                let passed = take.judge(&bucket, now).is_ok();
                if passed {
                    take.apply(&mut bucket, now);
                }
                passed
            })
            .collect()
    }

    #[test]
    fn sends_climb_the_ladder_and_stop_at_five_in_ten_minutes_and_ten_a_day() {
        let times = passes(standard(), 86_400);
        assert_eq!(times[..5], [0, 30, 70, 130, 220]);
        assert_eq!(times[5], 600, "the sixth when the first is ten minutes old");
        assert_eq!(times.len(), 10, "ABU-03: ten a day");
    }

    #[test]
    fn a_rate_gives_its_burst_and_then_flows() {
        let times = passes(Rule::Rate(quota(4, 40)), 100);
        assert_eq!(times, [0, 1, 2, 3, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    }

    #[test]
    fn failures_delay_and_then_close() {
        let rule = FailureRule { soft: 10, hard: 50, until_released: false };
        let mut bucket = Bucket::default();
        let mut waits = Vec::new();
        for _ in 0..50 {
            count_failure(&mut bucket, false, Timestamp(0));
            waits.push(failures_retry_after(rule, &bucket.values, Timestamp(0)).as_secs());
        }
        assert_eq!((waits[8], waits[9], waits[14], waits[19]), (0, 30, 60, 120));
        assert_eq!((waits[48], waits[49]), (3600, 86_400));
        let for_good = FailureRule { until_released: true, ..rule };
        assert!(is_permanent(failures_retry_after(for_good, &bucket.values, Timestamp(i64::MAX / 2))));
        clear(&mut bucket);
        assert_eq!(failures_retry_after(rule, &bucket.values, Timestamp(0)), Duration::ZERO);
    }

    proptest! {
        /// ATT-12: obeying `retry_after` passes on the first retry; a moment earlier does not.
        #[test]
        fn retry_after_is_exact(gaps in proptest::collection::vec(0_i64..200_000, 1..40)) {
            let (take, mut bucket, mut now) = (take(standard()), Bucket::default(), Timestamp(1_000_000));
            for gap in gaps {
                now = Timestamp(now.0 + gap);
                match take.judge(&bucket, now) {
                    Ok(()) => take.apply(&mut bucket, now),
                    Err(limited) => {
                        prop_assert!(take.judge(&bucket, now + limited.retry_after).is_ok());
                        prop_assert!(take.judge(&bucket, now + limited.retry_after - Duration::from_millis(1)).is_err());
                    }
                }
            }
        }

        /// No window ever holds more than its count, whatever the times.
        #[test]
        fn windows_are_exact(gaps in proptest::collection::vec(0_i64..7_200_000, 1..80)) {
            let (take, mut bucket, mut now, mut passed) = (take(standard()), Bucket::default(), Timestamp(0), Vec::new());
            for gap in gaps {
                now = Timestamp(now.0 + gap);
                if take.judge(&bucket, now).is_ok() {
                    take.apply(&mut bucket, now);
                    passed.push(now.0);
                }
            }
            for quota in [quota(5, 600), quota(10, 86_400)] {
                for (index, &start) in passed.iter().enumerate() {
                    let inside = passed[index..].iter().filter(|&&time| time < start + milliseconds(quota.per)).count();
                    prop_assert!(inside <= quota.count as usize);
                }
            }
        }
    }

    /// A wait that grows has two times in its bucket: no failures.
    #[test]
    fn failures_are_told_from_times() {
        let mut bucket = Bucket::default();
        assert_eq!(failures(&bucket), None);
        for count in 1..=2 {
            count_failure(&mut bucket, true, Timestamp(1_767_225_600_000));
            assert_eq!(failures(&bucket), Some((count, Timestamp(1_767_225_600_000))));
        }
        let mut windows = Bucket::default();
        for moment in [1_767_225_600_000, 1_767_225_630_000] {
            take(standard()).apply(&mut windows, Timestamp(moment));
        }
        assert_eq!((windows.values.len(), failures(&windows)), (2, None));
    }

    /// Servers that share a store have clocks of their own: that one is slow is no reason to make people wait.
    #[test]
    fn a_clock_that_is_slow_makes_nobody_wait() {
        let no_waits = SendRule { quotas: vec![quota(5, 600)], waits: Vec::new() };
        let (take, mut bucket) = (take(Rule::Windows(Arc::new(no_waits))), Bucket::default());
        take.apply(&mut bucket, Timestamp(1_000));
        assert_eq!(take.judge(&bucket, Timestamp(900)), Ok(()));
        let mut failures = Bucket::default();
        count_failure(&mut failures, false, Timestamp(1_000));
        let rule = FailureRule { soft: 2, hard: 50, until_released: false };
        assert_eq!(failures_retry_after(rule, &failures.values, Timestamp(900)), Duration::ZERO);
    }

    #[test]
    fn remaining_counts_down() {
        let (take, mut bucket) = (take(standard()), Bucket::default());
        take.apply(&mut bucket, Timestamp(0));
        assert_eq!(remaining(&standard_sends(), &bucket, Timestamp(0)), (4, 30 * SECOND));
    }
}
