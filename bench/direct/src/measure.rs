//! When it begins and ends to count, and how long answers took meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Options;

/// A time, or a number of units.
#[derive(Debug)]
pub struct Course {
    measured_from: Instant,
    until: Option<Instant>,
    units: AtomicU64,
}

impl Course {
    /// Begins now.
    pub fn new(options: &Options) -> Course {
        let now = Instant::now();
        match options.count {
            Some(count) => Course { measured_from: now, until: None, units: count.into() },
            None => {
                let measured_from = now + Duration::from_secs_f64(options.warm_up);
                let until = measured_from + Duration::from_secs_f64(options.seconds);
                Course { measured_from, until: Some(until), units: AtomicU64::default() }
            }
        }
    }

    /// Whether one more unit is to be begun.
    pub fn goes_on(&self) -> bool {
        match self.until {
            Some(until) => Instant::now() < until,
            None => self.units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok(),
        }
    }

    fn counts(&self, moment: Instant) -> bool {
        moment >= self.measured_from && self.until.is_none_or(|until| moment < until)
    }

    fn seconds(&self) -> f64 {
        (self.until.unwrap_or_else(Instant::now) - self.measured_from).as_secs_f64()
    }
}

/// What one task saw, or all of them.
#[derive(Debug, Default)]
pub struct Record {
    microseconds: Vec<u32>,
    counted: u64,
    all: u64,
}

impl Record {
    /// Waits for an answer, and notes how long that took.
    pub async fn timed<T>(&mut self, course: &Course, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = work.await;
        let now = Instant::now();
        if course.counts(now) {
            self.microseconds.push(u32::try_from((now - began).as_micros()).unwrap_or(u32::MAX));
        }
        answer
    }

    /// Notes a unit that is complete.
    pub fn completed(&mut self, course: &Course) {
        self.all += 1;
        self.counted += u64::from(course.counts(Instant::now()));
    }

    /// What another task saw as well.
    pub fn add(&mut self, other: Record) {
        self.microseconds.extend(other.microseconds);
        self.counted += other.counted;
        self.all += other.all;
    }

    /// The figures, by the names that the load generator gives them. `all` counts what came before the clock, too.
    pub fn report(mut self, course: &Course) -> Value {
        self.microseconds.sort_unstable();
        let last = self.microseconds.len().saturating_sub(1);
        let milliseconds = |share: f64| self.microseconds.get((last as f64 * share) as usize).map(|time| f64::from(*time) / 1000.0);
        let seconds = course.seconds();
        json!({
            "requests": self.counted,
            "answers": self.microseconds.len(),
            "all": self.all,
            "seconds": seconds,
            "rps": self.counted as f64 / seconds,
            "p50_ms": milliseconds(0.5),
            "p99_ms": milliseconds(0.99),
        })
    }
}
