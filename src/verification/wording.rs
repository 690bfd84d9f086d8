//! A caller's own words: for one text message, or as the brand in it (OTP-11).
//!
//! Text that comes with a request is how a sender of codes is made to carry somebody else's message. So it is used only where
//! the operator says so for a service (`caller_wording`), and even then it is one line that can hold no link and no second
//! number: what a phone would make tappable, or what people could take for the code. It is never read as a template: the one
//! label that it has is replaced.

use std::sync::Arc;

use crate::secret::Code;
use crate::verification::policy::{Policy, checked_brand};
use crate::verification::request::InvalidField;

/// What stands for the code.
pub const LABEL: &str = "{{code}}";
/// Longest text, in characters, with the label.
pub const WORDING_MAX_CHARS: usize = 160;
/// Digits beside the code, in all: enough for "5 minutes" or "24/7", and for no number that could be called or typed.
const DIGITS_MAX: usize = 4;

const FIELD: &str = "message";
const SEEN: &str = "must be one line, without control characters and without characters that cannot be seen";
const NO_LINK: &str = "must not contain a link, an address or a domain";

/// Words that may be sent.
#[derive(Clone)]
pub struct Wording(Arc<str>);

impl Wording {
    /// The text.
    pub fn with(&self, code: &Code) -> String {
        self.0.replace(LABEL, code.expose())
    }
}

/// What the caller wants to say, as far as the service lets it: none where it does not, though the form is checked all the same.
pub fn allowed(policy: &Policy, wording: Option<&str>) -> Result<Option<Wording>, InvalidField> {
    let Some(wording) = wording else { return Ok(None) };
    let wrong = |rule: String| Err(InvalidField::new(FIELD, rule));
    if !wording.contains(LABEL) {
        return wrong(format!("must contain {LABEL}"));
    }
    if wording.chars().count() > WORDING_MAX_CHARS {
        return wrong(format!("must have at most {WORDING_MAX_CHARS} characters"));
    }
    if !policy.caller_wording {
        return Ok(None);
    }
    // A digit for the code: it may be a part of what looks like a name ("a.{{code}}.example").
    let words = wording.replace(LABEL, "0");
    if words.chars().any(is_unseen) {
        return wrong(SEEN.into());
    }
    if words.contains("{{") || words.contains("}}") {
        return wrong(format!("must have no other label than {LABEL}"));
    }
    if holds_link(&words) {
        return wrong(NO_LINK.into());
    }
    if digits(wording) > DIGITS_MAX {
        return wrong(format!("must have at most {DIGITS_MAX} digits beside the code"));
    }
    Ok(Some(Wording(wording.into())))
}

/// A brand from somebody who is not the operator: it stands in the message as it is.
pub fn callers_brand(brand: &str) -> Result<&str, String> {
    let brand = checked_brand(brand)?;
    if brand.chars().any(is_unseen) {
        return Err(SEEN.into());
    }
    if holds_link(brand) {
        return Err(NO_LINK.into());
    }
    if digits(brand) > DIGITS_MAX {
        return Err(format!("must have at most {DIGITS_MAX} digits"));
    }
    Ok(brand)
}

fn digits(words: &str) -> usize {
    words.chars().filter(|character| character.is_numeric()).count()
}

/// Line ends and other controls, and marks that change the order or the look of what stands around them.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Anything that a phone may make tappable. A dot between two words is taken for a domain, in each form that IDNA has of it.
fn holds_link(words: &str) -> bool {
    const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];
    let characters: Vec<char> = words.chars().collect();
    let dotted = |three: &[char]| !three[0].is_whitespace() && DOTS.contains(&three[1]) && three[2].is_alphanumeric();
    // "mailto:x", "tel:123": a colon that clings to what follows.
    let scheme = |two: &[char]| matches!(two[0], ':' | '\u{ff1a}') && two[1].is_alphabetic();
    let marks = ['@', '\u{ff20}', '\\'];
    characters.windows(3).any(dotted) || characters.windows(2).any(scheme) || words.contains("//") || words.contains(marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn policy(caller_wording: bool) -> Policy {
        let config = Config::from_toml(&format!("[service.default]\ncaller_wording = {caller_wording}")).expect("settings");
        let policies = config.policies().expect("policies");
        Policy::clone(policies.first().expect("the default service"))
    }

    fn sent(policy: &Policy, wording: &str) -> Option<String> {
        let code = Code::parse("271828").expect("a code");
        allowed(policy, Some(wording)).expect(wording).map(|wording| wording.with(&code))
    }

    #[test]
    fn the_code_takes_the_place_of_its_label() {
        let policy = policy(true);
        for (wording, text) in [
            (
                "{{code}} is your short code to authenticate with Cool App via SMS",
                "271828 is your short code to authenticate with Cool App via SMS",
            ),
            ("Код {{code}}. Действует 5 минут.", "Код 271828. Действует 5 минут."),
            ("{{code}}", "271828"),
            ("Cool App: {{code}} (24/7 help in the app)", "Cool App: 271828 (24/7 help in the app)"),
        ] {
            assert_eq!(sent(&policy, wording).as_deref(), Some(text));
        }
    }

    /// OTP-11: nothing tappable, nothing that could be taken for the code, nothing that is not seen.
    #[test]
    fn links_numbers_and_tricks_are_refused() {
        let policy = policy(true);
        for wording in [
            "{{code}} http://evil.example",
            "{{code}} https:evil",
            "{{code}} evil.example/x",
            "{{code}} evil\u{3002}example",
            "{{code}} evil\u{ff0e}example",
            "{{code}} 192.0.2.7",
            "{{code}} //evil",
            "{{code}} help@evil",
            "{{code}} tel:aa",
            "evil.{{code}}.example",
            "{{code}} cafe\u{301}.example",
            "{{code}} call +49 30 1234",
            "{{code}} or 12345",
            "{{code}} or ١٢٣٤٥",
            "{{code}}\r\nVisit us",
            "{{code}}\nVisit us",
            "{{code}} \u{202e}lave",
            "{{code}} a\u{200b}b",
            "{{code}} {{ brand }}",
            "{{code}} {{7*7}}",
        ] {
            assert!(allowed(&policy, Some(wording)).is_err(), "{wording}");
        }
    }

    /// OTP-11: the same of a brand, which comes with a request, or from a service that a caller made.
    #[test]
    fn brands_hold_no_links_and_no_numbers() {
        for brand in ["Oma Erna", " Café 24/7 ", "St. Mary's & Sons", "Yahoo!", "東京銀行", "Shop: Berlin"] {
            assert_eq!(callers_brand(brand), Ok(brand.trim()));
        }
        for brand in ["evil.example", "Visit http://evil", "tel:aa", "a@evil", "Call +49 30 1234", "or 12345", "a\u{200b}b", "a\nb", ""] {
            assert!(callers_brand(brand).is_err(), "{brand:?}");
        }
    }

    /// OTP-11: where the operator has said nothing the words are left out, whatever they are; their form is checked.
    #[test]
    fn words_are_used_only_where_the_service_allows_them() {
        let policy = policy(false);
        assert_eq!(sent(&policy, "{{code}} http://evil.example\n"), None);
        for wrong in ["no label", "{{ code }}", &format!("{{{{code}}}}{}", "x".repeat(WORDING_MAX_CHARS - LABEL.len() + 1))] {
            assert!(allowed(&policy, Some(wrong)).is_err(), "{wrong}");
        }
        assert!(allowed(&policy, Some(&format!("{{{{code}}}}{}", "ß".repeat(WORDING_MAX_CHARS - LABEL.len())))).is_ok());
    }
}
