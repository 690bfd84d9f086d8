//! Which passwords are accepted: long ones that nobody would try first (PWD-01).
//!
//! There are no rules about kinds of characters, and nobody has to change a password after a time. What is refused is what an
//! attacker tries first: lists of passwords in use, words, names, rows of keys, repetitions, and what the account itself tells
//! (name, number, address, the brand). Judged by `zxcvbn`, which carries those lists (30,000 passwords among them).

use zxcvbn::Score;
use zxcvbn::feedback::Warning;

use super::Password;
use crate::verification::request::InvalidField;

/// Shortest password of an account with a second factor.
pub const WITH_SECOND_FACTOR_MIN_CHARS: usize = 8;
/// Shortest password that opens an account alone.
pub const ALONE_MIN_CHARS: usize = 15;
/// Shorter words of the account's own are chance.
const OWN_WORD_MIN_CHARS: usize = 4;
/// What must be left of a password without the account's own words.
const OWN_REST_MIN_CHARS: usize = 5;
/// So many digits of somebody's number are their number.
const OWN_DIGITS: usize = 7;

/// How hard a password is to guess, for the page on which it is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    /// 0 (guessed at once) to 4 (not guessed).
    pub score: u8,
    /// Names the sentence that says what to do: `password_common`, `password_pattern`, `password_word`, `password_date`,
    /// `password_longer`, `password_fair`, `password_strong`.
    pub hint: &'static str,
}

/// Whether the password may be set. `own_words` are what strangers may know of the account: name, address, number, brand.
pub fn acceptable(password: &Password, with_second_factor: bool, own_words: &[&str]) -> Result<(), InvalidField> {
    let least = if with_second_factor { WITH_SECOND_FACTOR_MIN_CHARS } else { ALONE_MIN_CHARS };
    let refused = |rule: String| Err(InvalidField::new("password", rule));
    if password.characters() < least {
        return refused(format!("must have {least} characters or more"));
    }
    let own = own(own_words);
    if is_own(password.expose(), &own) {
        return refused("must not be made of the account's own name, address or number".into());
    }
    let judged = judge(password, &own);
    if judged.score() < Score::Two {
        return refused(
            match hint(&judged) {
                "password_pattern" => "is a row of keys, a sequence or a repetition, which is guessed at once",
                "password_date" => "is little more than a date, which is guessed at once",
                "password_word" => "is a common name or word, which is guessed at once",
                _ => "is in use by many people, or close to one that is, and would be guessed at once",
            }
            .into(),
        );
    }
    Ok(())
}

/// How strong it is, and what would make it stronger.
pub fn strength(password: &Password, own_words: &[&str]) -> Strength {
    let own = own(own_words);
    if is_own(password.expose(), &own) {
        return Strength { score: 0, hint: "password_common" };
    }
    let judged = judge(password, &own);
    Strength { score: u8::from(judged.score()), hint: hint(&judged) }
}

fn judge(password: &Password, own: &[String]) -> zxcvbn::Entropy {
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    // It looks at 100 characters: its time is bounded.
    zxcvbn::zxcvbn(password.expose(), &own)
}

fn hint(judged: &zxcvbn::Entropy) -> &'static str {
    let warning = judged.feedback().and_then(|feedback| feedback.warning());
    match (warning, judged.score()) {
        (_, Score::Four) => "password_strong",
        (_, Score::Three) => "password_fair",
        (Some(Warning::RecentYearsAreEasyToGuess | Warning::DatesAreOftenEasyToGuess), _) => "password_date",
        (
            Some(
                Warning::AWordByItselfIsEasyToGuess
                | Warning::NamesAndSurnamesByThemselvesAreEasyToGuess
                | Warning::CommonNamesAndSurnamesAreEasyToGuess,
            ),
            _,
        ) => "password_word",
        (
            Some(
                Warning::StraightRowsOfKeysAreEasyToGuess
                | Warning::ShortKeyboardPatternsAreEasyToGuess
                | Warning::RepeatsLikeAaaAreEasyToGuess
                | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess
                | Warning::SequencesLikeAbcAreEasyToGuess,
            ),
            _,
        ) => "password_pattern",
        (Some(_), _) => "password_common",
        (None, _) => "password_longer",
    }
}

/// The account's words, whole and in parts: "ann.lee@example.com" is also "ann.lee", "example" and so on.
fn own(words: &[&str]) -> Vec<String> {
    let mut own = Vec::new();
    for word in words.iter().map(|word| word.to_lowercase()) {
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        if let Some(tail) = digits.len().checked_sub(OWN_DIGITS) {
            own.push(digits[tail..].to_owned());
        }
        own.extend(word.split(|letter: char| !letter.is_alphanumeric()).map(str::to_owned));
        own.extend(word.split('@').map(str::to_owned));
    }
    own.retain(|word| word.chars().count() >= OWN_WORD_MIN_CHARS);
    // Long ones first: "example.com" goes before "example".
    own.sort_by_key(|word| std::cmp::Reverse(word.len()));
    own.dedup();
    own
}

/// Whether hardly anything is left without the account's own words, or it is their number in another spelling.
fn is_own(password: &str, own: &[String]) -> bool {
    let mut rest = password.to_lowercase();
    let whole = rest.len();
    for word in own {
        rest = rest.replace(word.as_str(), "");
    }
    let only_digits = rest.chars().all(|letter| letter.is_ascii_digit() || !letter.is_alphanumeric());
    let letters = rest.chars().filter(|letter| letter.is_alphanumeric()).count();
    rest.len() < whole && (letters < OWN_REST_MIN_CHARS || only_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 4] = ["Ann-Kathrin Leeuwen", "ann.leeuwen@mailbox.example", "+4915198761234", "Countersign"];

    fn refused(password: &str, with_second_factor: bool) -> Option<String> {
        acceptable(&Password::parse(password).expect("a password"), with_second_factor, &OWN).err().map(|error| error.to_string())
    }

    /// PWD-01: lengths, in characters, and no rules about kinds of them.
    #[test]
    fn long_enough_is_15_alone_and_8_with_a_second_factor() {
        assert!(refused("qvzjxkw", true).is_some() && refused("qvzjxkwp", true).is_none());
        assert!(refused("qvzjxkwpmtrbhd", false).is_some() && refused("qvzjxkwpmtrbhds", false).is_none());
        assert!(refused("ÄÖ鍵ß漢字カナ", true).is_none() && refused("ÄÖ鍵ß漢字カ", true).is_some());
        assert!(refused("quiet lamps under seven bridges", false).is_none());
        assert!(refused(&"rk7 vd ".repeat(36), false).is_none_or(|reason| reason.contains("repetition")));
    }

    /// PWD-01: what is tried first is refused, with a reason.
    #[test]
    fn what_is_guessed_at_once_is_refused() {
        for password in
            ["password", "Passw0rd", "P@ssword1", "12345678", "qwertyuiop", "iloveyou1", "drowssap", "11111111", "abcdefgh", "19841984"]
        {
            assert!(refused(password, true).is_some_and(|reason| reason.contains("guessed at once")), "{password}");
        }
        for password in ["aaaaaaaaaaaaaaaaaaaa", "12345678901234567890", "passwordpassword", "abcdefghijklmnopqrstuvwxyz"] {
            assert!(refused(password, false).is_some(), "{password}");
        }
    }

    /// PWD-01: what the account itself tells is no password.
    #[test]
    fn own_words_are_refused() {
        for password in [
            "Ann-Kathrin1",
            "leeuwen2026",
            "ann.leeuwen@mailbox.example",
            "015198761234",
            "0151 98761234",
            "countersign123",
            "Countersign!",
        ] {
            let reason = refused(password, true);
            assert!(reason.is_some_and(|reason| reason.contains("account's own")), "{password}");
        }
        assert!(refused("leeuwen keeps violet umbrellas", false).is_none());
    }

    /// The hint rises with the password.
    #[test]
    fn the_hint_tells_weak_from_strong() {
        let strength = |password: &str| super::strength(&Password::parse(password).expect("a password"), &OWN);
        assert_eq!(strength("password"), Strength { score: 0, hint: "password_common" });
        assert_eq!(strength("qwertyuiop").score, 0);
        assert_eq!(strength("countersign").score, 0);
        assert_eq!(strength("quiet lamps under seven bridges"), Strength { score: 4, hint: "password_strong" });
    }
}
