//! Histories that are as they should be, and each of the things that may never happen.

use super::*;
use crate::chaos::history::Sent;

const RIGHT: &str = "482915";
const SECOND: Moment = 1_000_000;

/// Builds a history call by call; the clock goes on by a second with each.
struct Told {
    history: History,
    now: Moment,
}

impl Told {
    fn new() -> Told {
        Told { history: History { checks: 5, wait: 30 * SECOND, settled: 1000 * SECOND, ..History::default() }, now: 0 }
    }

    fn call(mut self, call: Call, outcome: Outcome) -> Told {
        let record = Record { replica: 0, began: self.now, ended: self.now + SECOND / 2, call, outcome };
        self.history.records.push(record);
        self.now += SECOND;
        self
    }

    /// The last call took so long that it overlaps with all before it.
    fn at_once(mut self) -> Told {
        for record in &mut self.history.records {
            record.ended = self.now;
        }
        self
    }

    fn start(self, to: &str, id: &str) -> Told {
        let now = self.now;
        let mut told = self.call(Call::Start { to: to.into(), key: None }, Outcome::Started { id: id.into() });
        told.history.sent.push(Sent { at: now, to: to.into(), code: RIGHT.into() });
        told
    }

    fn keyed(self, key: &str, to: &str, id: &str) -> Told {
        self.call(Call::Start { to: to.into(), key: Some(key.into()) }, Outcome::Started { id: id.into() })
    }

    fn check(self, code: &str, valid: bool, status: Status, left: u32) -> Told {
        self.call(Call::Check { id: "v".into(), code: code.into() }, Outcome::Checked { valid, status, left })
    }

    fn check_unknown(self, code: &str) -> Told {
        self.call(Call::Check { id: "v".into(), code: code.into() }, Outcome::Unknown("time-out".into()))
    }

    fn seen(self, status: Status, left: u32, delivery: &str) -> Told {
        self.call(Call::Get { id: "v".into() }, Outcome::Seen { status, left, delivery: delivery.into() })
    }

    fn in_the_end(mut self) -> Told {
        self.now = self.history.settled;
        self
    }

    fn fault(mut self, from: Moment, until: Moment, forgets: bool) -> Told {
        self.history.faults.push(Fault { from, until, what: "a fault".into(), forgets });
        self
    }

    fn violations(self) -> Vec<Violation> {
        violations(&self.history)
    }
}

fn begun() -> Told {
    Told::new().start("+1", "v")
}

#[test]
fn what_should_happen_is_no_violation() {
    let told = begun()
        .check("1", false, Status::Pending, 4)
        .check("2", false, Status::Pending, 3)
        .check_unknown("3")
        .check("4", false, Status::Pending, 1)
        .check(RIGHT, true, Status::Approved, 0)
        .check(RIGHT, false, Status::Approved, 0)
        .start("+2", "w")
        .in_the_end()
        .seen(Status::Approved, 0, "sent");
    assert_eq!(told.violations(), []);
    let told = begun().check_unknown(RIGHT).seen(Status::Approved, 0, "sent").check(RIGHT, false, Status::Approved, 0);
    assert_eq!(told.violations(), [], "a check without an answer may have approved it");
    let exhausted = (1..5).fold(begun(), |told, used| told.check("1", false, Status::Pending, 5 - used));
    let told = exhausted.check("1", false, Status::Exhausted, 0).check(RIGHT, false, Status::Exhausted, 0).seen(Status::Expired, 0, "sent");
    assert_eq!(told.violations(), []);
}

#[test]
fn two_approvals() {
    let told = begun().check(RIGHT, true, Status::Approved, 0).check(RIGHT, true, Status::Approved, 0);
    assert_eq!(told.violations(), [Violation::ApprovedTwice("v".into())]);
}

#[test]
fn a_wrong_code_that_passes() {
    let found = begun().check("000000", true, Status::Approved, 0).violations();
    assert!(found.contains(&Violation::WrongCodePassed("v".into())), "{found:?}");
}

#[test]
fn a_right_code_that_is_refused() {
    assert_eq!(begun().check(RIGHT, false, Status::Pending, 4).violations(), [Violation::RightCodeRefused("v".into())]);
    // Where another start without an answer may have sent the code, nobody knows whose it is.
    let told = begun().call(Call::Start { to: "+1".into(), key: Some("k".into()) }, Outcome::Unknown("time-out".into()));
    assert_eq!(told.check(RIGHT, false, Status::Pending, 4).violations(), []);
}

#[test]
fn a_sixth_guess() {
    let told = (1..=5).fold(begun(), |told, used| told.check("1", false, Status::Pending, 5 - used)).at_once();
    assert_eq!(told.violations(), [Violation::TooManyJudged("v".into())], "the fifth wrong one is the end, and is told so");
    let told = begun().check("1", false, Status::Exhausted, 0).check(RIGHT, true, Status::Approved, 0);
    assert_eq!(told.violations(), [Violation::TooManyJudged("v".into()), Violation::EndUndone("v".into())]);
}

#[test]
fn a_count_that_is_lost() {
    let twice = [Violation::CountWentBack("v".into())];
    assert_eq!(begun().check("1", false, Status::Pending, 4).check("2", false, Status::Pending, 4).at_once().violations(), twice);
    assert_eq!(begun().check("1", false, Status::Pending, 3).check("2", false, Status::Pending, 4).violations(), twice);
    assert_eq!(begun().check("1", false, Status::Pending, 3).seen(Status::Pending, 4, "sent").violations(), twice);
    assert_eq!(begun().check("1", false, Status::Pending, 3).check("2", false, Status::Pending, 4).at_once().violations(), []);
}

#[test]
fn an_end_that_is_undone() {
    let undone = [Violation::EndUndone("v".into())];
    assert_eq!(begun().check(RIGHT, true, Status::Approved, 0).seen(Status::Pending, 0, "sent").violations(), undone);
    assert_eq!(begun().seen(Status::Canceled, 0, "sent").check(RIGHT, true, Status::Approved, 0).violations(), undone);
}

#[test]
fn a_last_check_that_was_being_judged() {
    let told = |began| {
        let mut told =
            begun().check("1", false, Status::Exhausted, 0).check(RIGHT, true, Status::Approved, 0).seen(Status::Approved, 0, "sent");
        told.history.records[2].began = began;
        told.violations()
    };
    assert_eq!(told(SECOND), [], "it was counted before the other one was told that there are no more");
    assert_eq!(told(2 * SECOND), [Violation::TooManyJudged("v".into()), Violation::EndUndone("v".into())]);
}

#[test]
fn a_start_that_is_gone() {
    let gone = |told: Told| told.call(Call::Get { id: "v".into() }, Outcome::NotFound);
    assert_eq!(gone(begun()).violations(), [Violation::StartLost("v".into())]);
    assert_eq!(gone(begun().fault(SECOND, SECOND, false)).violations(), [Violation::StartLost("v".into())]);
    assert_eq!(gone(begun().fault(SECOND, SECOND, true)).violations(), [], "it was lost on purpose");
}

#[test]
fn an_approval_by_nobody() {
    let told = begun().check("000000", false, Status::Pending, 4).check_unknown("000000").seen(Status::Approved, 0, "sent");
    assert_eq!(told.violations(), [Violation::ApprovedByNobody("v".into())]);
}

#[test]
fn a_key_with_two_answers() {
    let told = Told::new().keyed("k", "+1", "v").keyed("k", "+1", "v");
    assert_eq!(told.violations(), []);
    let found = Told::new().keyed("k", "+1", "v").keyed("k", "+2", "w").violations();
    assert_eq!(found, [Violation::KeyAnsweredTwice("k".into())]);
}

#[test]
fn a_limit_that_is_outrun() {
    let twice = |gap| {
        let mut told = Told::new().keyed("a", "+1", "v");
        told.now += gap;
        told.keyed("b", "+1", "w")
    };
    assert_eq!(twice(0).violations(), [Violation::LimitOutrun("+1".into())]);
    assert_eq!(twice(30 * SECOND).violations(), []);
    assert_eq!(twice(0).seen(Status::Pending, 5, "failed").violations(), [], "what failed gave its place back");
}

#[test]
fn a_message_that_comes_twice() {
    let again = |told: Told| {
        let mut told = told;
        told.history.sent.push(Sent { at: 5 * SECOND, to: "+1".into(), code: RIGHT.into() });
        told
    };
    let twice = [Violation::SentTwice("+1".into())];
    assert_eq!(again(begun()).violations(), twice);
    assert_eq!(again(begun().fault(SECOND, 2 * SECOND, false)).violations(), [], "whoever sent it may not have been able to say so");
    assert_eq!(again(begun().fault(60 * SECOND, 62 * SECOND, false)).violations(), twice, "what broke later explains nothing");
    assert_eq!(again(again(begun().fault(SECOND, 2 * SECOND, false))).violations(), twice);
}

#[test]
fn a_message_that_never_comes() {
    let never = [Violation::NeverSent("v".into())];
    assert_eq!(begun().in_the_end().seen(Status::Pending, 5, "queued").violations(), never);
    let told = Told::new().keyed("k", "+1", "v").in_the_end().seen(Status::Pending, 5, "sent");
    assert_eq!(told.violations(), never, "the server says so, and the provider knows nothing");
    assert_eq!(begun().seen(Status::Pending, 5, "queued").violations(), [], "not yet");
}
