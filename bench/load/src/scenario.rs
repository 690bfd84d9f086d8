//! What a connection does next, and whether the answer was the expected one.

use clap::ValueEnum;

use crate::number::Numbers;
use crate::response::Response;
use crate::wire::{Started, Wire};

/// A code that is never right: no target is told to use it.
pub const WRONG_CODE: &str = "000000";

/// Wrong codes per verification: one fewer than the usual five, so that every one of them is really judged.
const WRONG_CHECKS: u8 = 4;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Each request starts a verification for a new number.
    Start,
    /// Each request checks a wrong code; the verifications are started before the clock runs.
    CheckWrong,
    /// A start, then a check of the right code; the two count once.
    Pairs,
}

/// What one connection is in the middle of.
#[derive(Debug, Default)]
pub enum Task {
    /// Nothing: the next request begins something new.
    #[default]
    Idle,
    /// A start for this number is under way.
    Starting(Box<str>),
    /// The right code is to be checked, or its check is under way.
    CheckingRight(Started),
    /// A wrong code is being checked; so many more may follow for the same verification.
    CheckingWrong(Started, u8),
}

/// What an answer amounted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected, and it completes what is counted.
    Counted,
    /// As expected, with more to come before it counts.
    Halfway,
    /// Not the status that was expected.
    UnexpectedStatus,
    /// The right status with the wrong words, as a wrong code accepted.
    UnexpectedBody,
}

/// Hands work to the connections.
#[derive(Debug)]
pub struct Plan {
    scenario: Scenario,
    wire: Wire,
    numbers: Numbers,
    /// While true, connections only start verifications, for the checks to come.
    preparing: bool,
    starts_left: u64,
    prepared: Vec<Started>,
}

impl Plan {
    /// A plan that first starts `prepare` verifications, if the scenario only checks.
    pub fn new(scenario: Scenario, wire: Wire, numbers: Numbers, prepare: u64) -> Self {
        let preparing = scenario == Scenario::CheckWrong;
        Self { scenario, wire, numbers, preparing, starts_left: prepare, prepared: Vec::new() }
    }

    /// Whether the starts that come before the clock are still to be made.
    pub fn is_preparing(&self) -> bool {
        self.preparing
    }

    /// Ends the preparation and says how many verifications it made.
    pub fn end_preparation(&mut self) -> usize {
        self.preparing = false;
        self.prepared.len()
    }

    /// Appends the connection's next request; `false` when there is nothing left to do.
    pub fn next_request(&mut self, task: &mut Task, output: &mut Vec<u8>) -> bool {
        *task = match std::mem::take(task) {
            Task::CheckingRight(started) => {
                self.wire.check(output, &started.handle, &started.code);
                Task::CheckingRight(started)
            }
            Task::CheckingWrong(started, left) if left > 0 => {
                self.wire.check(output, &started.handle, WRONG_CODE);
                Task::CheckingWrong(started, left - 1)
            }
            _ if self.preparing && self.starts_left == 0 => return false,
            _ if !self.preparing && self.scenario == Scenario::CheckWrong => {
                let Some(started) = self.prepared.pop() else {
                    return false;
                };
                self.wire.check(output, &started.handle, WRONG_CODE);
                Task::CheckingWrong(started, WRONG_CHECKS - 1)
            }
            _ => {
                self.starts_left = self.starts_left.saturating_sub(1);
                let number = self.numbers.next_number();
                self.wire.start(output, &number, self.scenario != Scenario::Start);
                Task::Starting(number)
            }
        };
        true
    }

    /// Judges an answer, and leaves in `task` what follows from it.
    pub fn judge(&mut self, task: &mut Task, response: &Response<'_>) -> Verdict {
        match std::mem::take(task) {
            Task::Idle => Verdict::UnexpectedBody,
            Task::Starting(number) => match self.wire.read_start(response, &number) {
                None if (200..300).contains(&response.status) => Verdict::UnexpectedBody,
                None => Verdict::UnexpectedStatus,
                Some(started) if self.preparing => {
                    self.prepared.push(started);
                    Verdict::Counted
                }
                Some(started) if self.scenario == Scenario::Pairs => {
                    *task = Task::CheckingRight(started);
                    Verdict::Halfway
                }
                Some(_) => Verdict::Counted,
            },
            Task::CheckingRight(_) => self.judge_check(response, true),
            Task::CheckingWrong(started, left) => {
                let verdict = self.judge_check(response, false);
                *task = Task::CheckingWrong(started, left);
                verdict
            }
        }
    }

    fn judge_check(&self, response: &Response<'_>, expected: bool) -> Verdict {
        match self.wire.read_check(response) {
            Some(valid) if valid == expected => Verdict::Counted,
            Some(_) => Verdict::UnexpectedBody,
            None => Verdict::UnexpectedStatus,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::wire::Target;

    fn plan(scenario: Scenario, prepare: u64) -> Plan {
        let wire = Wire::new(Target::Ceiling, None, "482915");
        Plan::new(scenario, wire, Numbers::from_offset(0), prepare)
    }

    fn answer(status: u16, body: &'static str) -> Response<'static> {
        Response { status, body: Cow::Borrowed(body.as_bytes()), code: None }
    }

    #[test]
    fn a_verification_gets_four_wrong_codes_and_no_more() {
        let mut plan = plan(Scenario::CheckWrong, 1);
        let (mut task, mut output) = (Task::default(), Vec::new());
        assert!(plan.next_request(&mut task, &mut output));
        assert_eq!(plan.judge(&mut task, &answer(201, r#"{"id":"one"}"#)), Verdict::Counted);
        assert!(!plan.next_request(&mut task, &mut output));
        assert_eq!(plan.end_preparation(), 1);
        for _ in 0..4 {
            assert!(plan.next_request(&mut task, &mut output));
            assert_eq!(plan.judge(&mut task, &answer(200, r#"{"valid":false}"#)), Verdict::Counted);
        }
        assert!(!plan.next_request(&mut task, &mut output));
    }

    #[test]
    fn a_pair_counts_once_and_a_refused_right_code_is_an_error() {
        let mut plan = plan(Scenario::Pairs, 0);
        let (mut task, mut output) = (Task::default(), Vec::new());
        for (body, verdict) in [(r#"{"valid":true}"#, Verdict::Counted), (r#"{"valid":false}"#, Verdict::UnexpectedBody)] {
            assert!(plan.next_request(&mut task, &mut output));
            assert_eq!(plan.judge(&mut task, &answer(201, r#"{"id":"one"}"#)), Verdict::Halfway);
            assert!(plan.next_request(&mut task, &mut output));
            assert_eq!(plan.judge(&mut task, &answer(200, body)), verdict);
        }
    }
}
