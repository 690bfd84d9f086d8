//! What was acknowledged, and therefore must hold after a crash.

/// How many checks a verification allows, as the server's default is.
pub const ATTEMPTS: i64 = 5;

/// One verification whose start was acknowledged.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The server's id.
    pub id: String,
    /// The code that was asked for.
    pub code: String,
    /// Wrong codes that were answered as wrong.
    pub wrong: i64,
    /// Checks of a wrong code without an answer: counted or not, both are right.
    pub wrong_unknown: i64,
    /// What became of the right code.
    pub right: Right,
}

/// What became of the right code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It was never sent.
    Unsent,
    /// It was sent, and no answer came.
    Unknown,
    /// It was accepted, so it must never be accepted again.
    Accepted,
}

impl Entry {
    /// A fresh verification.
    pub fn new(id: &str, code: &str) -> Self {
        Self { id: id.to_owned(), code: code.to_owned(), wrong: 0, wrong_unknown: 0, right: Right::Unsent }
    }

    /// What is wrong with `attempts_left` after a crash, if anything is.
    ///
    /// Fewer left than the acknowledged wrong codes explain is a wrong code lost from the count, a free guess. More used
    /// than was ever sent would be a charge that nobody caused.
    pub fn judge_attempts(&self, attempts_left: i64) -> Result<(), String> {
        let most = ATTEMPTS - self.wrong;
        // One that was approved has no checks left, whatever was used; and a right code without an answer may have approved.
        let least = if self.right == Right::Unsent { (most - self.wrong_unknown).max(0) } else { 0 };
        if attempts_left > most {
            return Err(format!("attempts_left is {attempts_left}, but {} wrong codes were acknowledged", self.wrong));
        }
        if attempts_left < least {
            return Err(format!("attempts_left is {attempts_left}, but at most {} codes were sent", ATTEMPTS - least));
        }
        Ok(())
    }
}

/// Everything that happened in one round.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The acknowledged verifications.
    pub entries: Vec<Entry>,
    /// Calls without an answer.
    pub unknown: u64,
    /// Answers that no healthy server gives.
    pub violations: Vec<String>,
}

impl Ledger {
    /// Takes over what another worker noted.
    pub fn absorb(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.unknown += other.unknown;
        self.violations.extend(other.violations);
    }

    /// How many codes were accepted.
    pub fn accepted(&self) -> usize {
        self.entries.iter().filter(|entry| entry.right == Right::Accepted).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unanswered_check_may_count_or_not_but_an_answered_one_must() {
        let mut entry = Entry::new("one", "482915");
        entry.wrong = 2;
        entry.wrong_unknown = 1;
        assert!(entry.judge_attempts(4).is_err());
        assert!(entry.judge_attempts(3).is_ok());
        assert!(entry.judge_attempts(2).is_ok());
        assert!(entry.judge_attempts(1).is_err());
    }
}
