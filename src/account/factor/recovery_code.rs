//! Recovery codes: for the day on which the phone is gone. Ten on a sheet of paper, each for one use.
//!
//! The first four characters only find the code among those of the account, so that one try costs one hash; the other
//! sixteen are the secret, of which a salted hash is kept (REC-01). People copy them by hand: whatever they make of case,
//! spaces and hyphens is the same code, and characters that look alike are one.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::base32;
use crate::secret::Entropy;

/// How many a person gets.
pub const CODES: usize = 10;
const SELECTOR_CHARACTERS: usize = 4;
const CHARACTERS: usize = 20;
const GROUP: usize = 4;
/// Enough for 20 characters of 5 bits each.
const RANDOM_BYTES: usize = 13;

/// A recovery code in its one canonical form. It has no `Debug` and no `Display`, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode(String);

impl RecoveryCode {
    /// What finds it among the codes of its account. No secret.
    pub fn selector(&self) -> &str {
        &self.0[..SELECTOR_CHARACTERS]
    }

    /// 80 bits, to be hashed or compared with a hash. Each call is a place to look at in a review.
    pub fn secret(&self) -> &str {
        &self.0[SELECTOR_CHARACTERS..]
    }

    /// As people see it, once: `ABCD-EFGH-JKMN-PQRS-TVWX`.
    pub fn grouped(&self) -> Zeroizing<String> {
        let mut grouped = Zeroizing::new(String::with_capacity(CHARACTERS / GROUP * (GROUP + 1)));
        for (place, character) in self.0.chars().enumerate() {
            if place > 0 && place % GROUP == 0 {
                grouped.push('-');
            }
            grouped.push(character);
        }
        grouped
    }

    fn random(entropy: &dyn Entropy) -> RecoveryCode {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        entropy.fill(bytes.as_mut());
        let mut code = base32::encode(base32::CROCKFORD, bytes.as_slice());
        // The last characters are what is left of the last byte.
        code.truncate(CHARACTERS);
        RecoveryCode(std::mem::take(&mut *code))
    }
}

/// A sheet of new ones. No two share a selector.
pub fn generate(entropy: &dyn Entropy) -> Vec<RecoveryCode> {
    let mut codes: Vec<RecoveryCode> = Vec::with_capacity(CODES);
    while codes.len() < CODES {
        let code = RecoveryCode::random(entropy);
        if codes.iter().all(|other| other.selector() != code.selector()) {
            codes.push(code);
        }
    }
    codes
}

/// What somebody typed, in its canonical form; none when it cannot be a recovery code.
pub fn parse(typed: &str) -> Option<RecoveryCode> {
    let mut code = RecoveryCode(String::with_capacity(CHARACTERS));
    for character in typed.chars().filter(|character| !is_separator(*character)) {
        let canonical = match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        let known = u8::try_from(canonical).is_ok_and(|byte| base32::CROCKFORD.contains(&byte));
        if !known || code.0.len() == CHARACTERS {
            return None;
        }
        code.0.push(canonical);
    }
    (code.0.len() == CHARACTERS).then_some(code)
}

/// Spaces, and every dash that a word processor makes of a hyphen.
fn is_separator(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// REC-01: ten of them, 80 bits behind a selector of their own.
    #[test]
    fn a_sheet_has_ten_codes_that_differ() {
        let codes = generate(&SystemEntropy);
        assert_eq!(codes.len(), 10);
        for (place, code) in codes.iter().enumerate() {
            assert_eq!((code.selector().len(), code.secret().len()), (4, 16));
            assert!(codes[..place].iter().all(|other| other.selector() != code.selector() && other.secret() != code.secret()));
        }
    }

    /// REC-01: every character is random, the last one too.
    #[test]
    fn every_place_takes_every_character() {
        let codes: Vec<_> = (0..200).flat_map(|_| generate(&SystemEntropy)).collect();
        for place in 0..CHARACTERS {
            let seen: std::collections::BTreeSet<_> = codes.iter().map(|code| code.0.as_bytes()[place]).collect();
            assert_eq!(seen.len(), 32, "place {place}");
        }
    }

    /// A source that says everything twice.
    struct Echo(AtomicU8);

    impl Entropy for Echo {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::SeqCst) / 2 * 9);
        }
    }

    #[test]
    fn no_two_on_a_sheet_share_a_selector() {
        let codes = generate(&Echo(AtomicU8::new(0)));
        let selectors: std::collections::BTreeSet<_> = codes.iter().map(RecoveryCode::selector).collect();
        assert_eq!(selectors.len(), 10);
    }

    #[test]
    fn it_is_shown_in_groups() {
        let code = parse("0123456789ABCDEFGHJK").expect("a code");
        assert_eq!(code.grouped().as_str(), "0123-4567-89AB-CDEF-GHJK");
        assert_eq!((code.selector(), code.secret()), ("0123", "456789ABCDEFGHJK"));
    }

    /// TOTP-06, A09: however it is typed, one code has one form.
    #[test]
    fn every_spelling_is_one_code() {
        let spellings = [
            "0123-4567-89AB-CDEF-GHJK",
            "  o i 2 3 4 5 6 7 8 9 a b c d e f g h j k\n",
            "OL23\u{2011}4567\u{2013}89ab\u{a0}cdef\u{2212}ghjk",
            "0l234567-89abcdefghjk",
        ];
        for spelling in spellings {
            assert_eq!(parse(spelling).expect(spelling).0, "0123456789ABCDEFGHJK", "{spelling}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let wrong = ["", "0123-4567-89AB-CDEF-GHJ", "0123-4567-89AB-CDEF-GHJK-M", "0123-4567-89AB-CDEF-GHJU", "٠123-4567-89AB-CDEF-GHJK"];
        for wrong in wrong {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    proptest! {
        /// What is read is read the same again: `f(f(x)) = f(x)`.
        #[test]
        fn reading_twice_changes_nothing(typed in "[0-9A-Za-z -]{16,26}") {
            if let Some(code) = parse(&typed) {
                prop_assert_eq!(&parse(&code.grouped()).expect("still a code").0, &code.0);
            }
        }
    }
}
