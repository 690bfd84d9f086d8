//! How well a provider does: a circuit breaker, the rest that it asked for, and figures by country.
//!
//! Pure: the time is an argument, and nothing here waits.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::delivery::provider::{Fault, SendError};
use crate::verification::destination::Country;

/// So many failures within the window open the breaker (R01).
const FAILURES: usize = 5;
/// The window.
const WINDOW: Duration = Duration::from_secs(10);
/// How long it stays open before one message may try.
const OPEN_FOR: Duration = Duration::from_secs(30);
/// Weight of the newest result in a moving average.
const NEWEST: f64 = 0.1;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Messages pass.
    Closed,
    /// One message may try.
    HalfOpen,
    /// None pass.
    Open,
}

impl Breaker {
    /// The value of its gauge.
    pub fn number(self) -> i64 {
        match self {
            Breaker::Closed => 0,
            Breaker::HalfOpen => 1,
            Breaker::Open => 2,
        }
    }
}

/// What is known of one provider.
#[derive(Debug, Default)]
pub struct Health {
    failures: VecDeque<Timestamp>,
    open_until: Option<Timestamp>,
    probing: bool,
    rest_until: Option<Timestamp>,
    countries: HashMap<Option<Country>, Figures>,
}

/// Moving averages for one country.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Of messages taken, 0 to 1.
    taken: f64,
    /// Of messages that arrived, by receipts, 0 to 1.
    arrived: f64,
    /// Seconds until the provider answered.
    seconds: f64,
}

impl Default for Figures {
    fn default() -> Figures {
        // Nobody is bad before something is known of them.
        Figures { taken: 1.0, arrived: 1.0, seconds: 0.5 }
    }
}

/// Whether a message may be handed over now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Pass,
    /// Not before that time.
    Wait(Timestamp),
}

impl Health {
    /// Asks for a pass. Of those who come when the breaker is half open, one gets it.
    pub fn enter(&mut self, now: Timestamp) -> Gate {
        if let Some(until) = self.rest_until.filter(|&until| until > now) {
            return Gate::Wait(until);
        }
        match self.open_until {
            Some(until) if until > now => Gate::Wait(until),
            Some(_) if self.probing => Gate::Wait(now + Duration::from_secs(1)),
            Some(_) => {
                self.probing = true;
                Gate::Pass
            }
            None => Gate::Pass,
        }
    }

    /// Notes what came of a pass.
    pub fn note(&mut self, country: Option<Country>, result: Result<(), &SendError>, took: Duration, now: Timestamp) {
        self.probing = false;
        // A refused destination is the provider at work.
        let failed = result.is_err_and(|error| error.fault != Fault::Rejected && !error.about_message);
        let figures = self.countries.entry(country).or_default();
        average(&mut figures.taken, if failed { 0.0 } else { 1.0 });
        average(&mut figures.seconds, took.as_secs_f64());
        // A limit on one destination ("too many codes to this number") is no wish to be left alone by all.
        if let Err(SendError { retry_after: Some(rest), fault, .. }) = result
            && *fault != Fault::Rejected
        {
            self.rest_until = Some(now + *rest);
        }
        if !failed {
            self.failures.clear();
            self.open_until = None;
            return;
        }
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|&first| first + WINDOW < now) {
            self.failures.pop_front();
        }
        if self.open_until.is_some() || self.failures.len() >= FAILURES {
            self.open_until = Some(now + OPEN_FOR);
            self.failures.clear();
        }
    }

    /// Notes a receipt.
    pub fn note_receipt(&mut self, country: Option<Country>, arrived: bool) {
        average(&mut self.countries.entry(country).or_default().arrived, if arrived { 1.0 } else { 0.0 });
    }

    /// Where the breaker stands.
    pub fn breaker(&self, now: Timestamp) -> Breaker {
        match self.open_until {
            Some(until) if until > now => Breaker::Open,
            Some(_) => Breaker::HalfOpen,
            None => Breaker::Closed,
        }
    }

    /// More is better: mostly what arrives, and a little the speed.
    pub fn score(&self, country: Option<Country>, now: Timestamp) -> f64 {
        let figures = self.countries.get(&country).copied().unwrap_or_default();
        let open = if self.breaker(now) == Breaker::Open { 1.0 } else { 0.0 };
        figures.taken * figures.arrived - figures.seconds.min(10.0) / 100.0 - open
    }
}

fn average(value: &mut f64, newest: f64) {
    *value += NEWEST * (newest - *value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000);

    fn at(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    fn fail(health: &mut Health, seconds: u64) {
        health.note(None, Err(&SendError::unavailable("down")), Duration::from_millis(10), at(seconds));
    }

    /// R01: five failures in ten seconds.
    #[test]
    fn the_breaker_opens_tries_once_and_closes() {
        let mut health = Health::default();
        for second in [0, 3, 6, 9] {
            fail(&mut health, second);
        }
        assert_eq!(health.breaker(at(9)), Breaker::Closed);
        fail(&mut health, 20);
        assert_eq!(health.breaker(at(20)), Breaker::Closed, "the first four are long ago");
        for _ in 0..4 {
            fail(&mut health, 21);
        }
        assert_eq!((health.breaker(at(21)), health.enter(at(30))), (Breaker::Open, Gate::Wait(at(51))));
        assert_eq!(health.breaker(at(51)), Breaker::HalfOpen);
        assert_eq!(health.enter(at(51)), Gate::Pass, "one may try");
        assert!(matches!(health.enter(at(51)), Gate::Wait(_)), "and only one");
        fail(&mut health, 52);
        assert_eq!(health.enter(at(53)), Gate::Wait(at(82)), "one failure opens it again");
        assert_eq!(health.enter(at(82)), Gate::Pass);
        health.note(None, Ok(()), Duration::from_millis(10), at(83));
        assert_eq!((health.breaker(at(83)), health.enter(at(83))), (Breaker::Closed, Gate::Pass));
    }

    /// R03.
    #[test]
    fn the_rest_that_a_provider_asks_for_is_kept() {
        let mut health = Health::default();
        let busy = SendError::unavailable("busy").retry_after(Some(Duration::from_secs(7)));
        health.note(None, Err(&busy), Duration::ZERO, at(0));
        assert_eq!(health.enter(at(6)), Gate::Wait(at(7)));
        assert_eq!(health.enter(at(7)), Gate::Pass);
    }

    #[test]
    fn a_refused_destination_is_no_failure_of_the_provider() {
        let mut health = Health::default();
        let too_many = SendError::rejected("too many codes to this number").retry_after(Some(Duration::from_secs(600)));
        health.note(None, Err(&too_many), Duration::ZERO, at(0));
        assert_eq!(health.enter(at(0)), Gate::Pass, "the wait is that destination's own");
        for _ in 0..20 {
            health.note(None, Err(&SendError::rejected("no such number")), Duration::ZERO, at(0));
            health.note(None, Err(&SendError::unavailable("not on Telegram").about_message()), Duration::ZERO, at(0));
        }
        assert_eq!(health.breaker(at(0)), Breaker::Closed);
    }

    #[test]
    fn what_arrives_counts_more_than_speed_and_by_country() {
        let (mut quick, mut sure) = (Health::default(), Health::default());
        let germany = Country::parse("DE");
        for _ in 0..30 {
            quick.note(germany, Ok(()), Duration::from_millis(50), at(0));
            sure.note(germany, Ok(()), Duration::from_secs(2), at(0));
            quick.note_receipt(germany, false);
            sure.note_receipt(germany, true);
        }
        assert!(sure.score(germany, at(0)) > quick.score(germany, at(0)));
        assert!(quick.score(Country::parse("FR"), at(0)) > 0.9, "nothing is known of France");
    }
}
