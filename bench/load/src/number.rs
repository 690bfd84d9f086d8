//! Phone numbers that never repeat within a run: `+49151` and eight digits, in order.

/// How many numbers there are before they begin again.
const RANGE: u64 = 100_000_000;

/// Hands out one number after another.
#[derive(Debug)]
pub struct Numbers {
    next: u64,
}

impl Numbers {
    /// Begins at `offset`, so that two runs against one server need not share a number.
    pub fn from_offset(offset: u64) -> Self {
        Self { next: offset }
    }

    /// The next number, in E.164.
    pub fn next_number(&mut self) -> Box<str> {
        let number = format!("+49151{:08}", self.next % RANGE);
        self.next += 1;
        number.into_boxed_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sequential_and_of_one_length() {
        let mut numbers = Numbers::from_offset(99_999_999);
        assert_eq!(&*numbers.next_number(), "+4915199999999");
        assert_eq!(&*numbers.next_number(), "+4915100000000");
    }
}
