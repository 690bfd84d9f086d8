//! The text form of a hash, `$name$v=19$m=19456,t=2$salt$hash`: taken apart, and no more. What the parts mean is for whoever
//! asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Longest text that is looked at.
const MAX_CHARS: usize = 512;

/// A hash in its parts.
pub struct Phc<'a> {
    /// What made it.
    pub name: &'a str,
    /// `v=`.
    pub version: Option<&'a str>,
    /// `m=19456,t=2`, and what stands there without a name.
    parameters: &'a str,
    /// The bytes of the salt.
    pub salt: Vec<u8>,
    /// The bytes of the hash.
    pub hash: Vec<u8>,
}

impl<'a> Phc<'a> {
    /// Takes a hash apart; none when it has another form.
    pub fn parse(text: &'a str) -> Option<Phc<'a>> {
        if text.len() > MAX_CHARS {
            return None;
        }
        let mut parts = text.strip_prefix('$')?.split('$').peekable();
        let name = parts.next()?;
        let version = parts.next_if(|part| part.starts_with("v=")).and_then(|part| part.strip_prefix("v="));
        let (parameters, salt, hash) = (parts.next()?, decode(parts.next()?)?, decode(parts.next()?)?);
        parts.next().is_none().then_some(Phc { name, version, parameters, salt, hash })
    }

    /// A parameter by its name.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.parameters.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// A parameter that is a number.
    pub fn number(&self, name: &str) -> Option<u32> {
        number(self.text(name)?)
    }

    /// What stands in the place of parameters where that is one number without a name.
    pub fn bare_number(&self) -> Option<u32> {
        number(self.parameters)
    }
}

/// Digits only: `u32::from_str` would take a plus sign.
pub fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Base64, padded or not, with `+` or (as passlib writes it) `.`.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text.trim_end_matches('=').replace('.', "+")).ok()
}

/// Base64 as hashes have it.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_taken_apart() {
        let phc = Phc::parse("$argon2id$v=19$m=19456,t=2,p=1,keyid=AAAABw$c2FsdHNhbHQ$aGFzaA").expect("a hash");
        assert_eq!((phc.name, phc.version, phc.number("m"), phc.number("p")), ("argon2id", Some("19"), Some(19_456), Some(1)));
        assert_eq!((phc.text("keyid"), phc.number("x"), &*phc.salt, &*phc.hash), (Some("AAAABw"), None, &b"saltsalt"[..], &b"hash"[..]));
        let bare = Phc::parse("$pbkdf2-sha256$29000$N2YM..c$hash").expect("a hash");
        assert_eq!((bare.bare_number(), bare.version), (Some(29_000), None));
    }

    #[test]
    fn other_forms_are_none() {
        for text in ["", "$", "plain", "$a$m=1$salt", "$a$m=1$c2FsdA$aGFzaA$more", "$a$m=1$sa lt$aGFzaA", "$2b$12$abc"] {
            assert!(Phc::parse(text).is_none(), "{text}");
        }
        assert!(Phc::parse(&format!("$a$m=1$c2FsdA${}", "A".repeat(512))).is_none());
        assert_eq!((number("+1"), number("-1"), number(""), number("99999999999")), (None, None, None, None));
    }
}
