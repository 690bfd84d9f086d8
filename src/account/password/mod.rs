//! Passwords: which ones are accepted, what is kept of them, and the threads on which that is computed.
//!
//! A password reaches the rest of the program as a [`Password`] only: in Unicode's composed form, of bounded length, wiped
//! when dropped, and without a way to print it (PWD-03, PWD-04, A51). What is kept is an Argon2id hash of what the pepper
//! makes of it (PWD-02): without the pepper the database is of no use to whoever guesses. Hashes that came from other systems
//! are checked as they are and replaced at the next sign-in ([`foreign`]).

pub mod foreign;
pub mod hasher;
mod keyed;
mod phc;
pub mod policy;
mod pool;
pub mod settings;

use icu_normalizer::ComposingNormalizerBorrowed;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use hasher::{HashError, Hasher, Verified};
pub use keyed::key_id;
pub use settings::HashSettings;

use crate::verification::request::InvalidField;

/// Longest password, in characters.
pub const PASSWORD_MAX_CHARS: usize = 256;
/// Longest input that is looked at: every password of 256 characters fits, taken apart into letters and accents.
const INPUT_MAX_BYTES: usize = 4096;

/// What somebody typed as a password. It has no `Debug` and no `Display`, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Password {
    /// NFC: one form for all keyboards (PWD-04).
    composed: String,
    /// As it was typed, where that differs: other systems hashed it so.
    typed: Option<String>,
}

impl Password {
    /// 1 to 256 characters of any kind, none of them cut off. What is longer is refused before any work is done (A51).
    pub fn parse(input: &str) -> Result<Password, InvalidField> {
        let wrong = || InvalidField::new("password", format!("must have 1 to {PASSWORD_MAX_CHARS} characters"));
        if input.is_empty() || input.len() > INPUT_MAX_BYTES {
            return Err(wrong());
        }
        let composed = ComposingNormalizerBorrowed::new_nfc().normalize(input).into_owned();
        let typed = (composed != input).then(|| input.to_owned());
        let password = Password { composed, typed };
        if password.characters() > PASSWORD_MAX_CHARS { Err(wrong()) } else { Ok(password) }
    }

    /// In composed form. Each call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.composed
    }

    /// The ways in which another system may have hashed it: as it was typed, and composed.
    fn spellings(&self) -> impl Iterator<Item = &str> {
        self.typed.as_deref().into_iter().chain([self.composed.as_str()])
    }

    /// Unicode code points, as NIST counts them.
    pub fn characters(&self) -> usize {
        self.composed.chars().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(input: &str) -> bool {
        Password::parse(input).is_ok()
    }

    /// PWD-03, A51: the length is judged first, in characters.
    #[test]
    fn one_to_256_characters_of_any_kind() {
        assert!(accepted("a") && accepted(&"a".repeat(256)) && accepted(&"😀".repeat(256)) && accepted("a\0b") && accepted(" "));
        assert!(!accepted("") && !accepted(&"a".repeat(257)) && !accepted(&"😀".repeat(257)) && !accepted(&"a".repeat(1 << 20)));
        // 256 characters, typed as 512.
        assert!(accepted(&"a\u{308}".repeat(256)) && !accepted(&"a\u{308}".repeat(257)));
    }

    /// PWD-04: the same letters are the same password, whichever keyboard they come from.
    #[test]
    fn letters_and_accents_are_put_together() {
        let (composed, apart) = (Password::parse("g\u{e4}nsebl\u{fc}mchen"), Password::parse("ga\u{308}nseblu\u{308}mchen"));
        let (composed, apart) = (composed.expect("a password"), apart.expect("a password"));
        assert_eq!(composed.expose(), apart.expose());
        assert_eq!((composed.spellings().count(), apart.spellings().count()), (1, 2));
    }

    #[test]
    fn the_complaint_does_not_repeat_the_password() {
        let error = Password::parse(&"secret".repeat(100)).err().expect("too long");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
