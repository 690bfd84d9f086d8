//! What callers ask of the engine, and the rules for the text in it.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::secret::Code;
use crate::verification::limit::{LimitName, Quota, Rule, SendRule, Take};
use crate::verification::model::{Channel, Metadata, Origin, VerificationId};
use crate::verification::policy::WINDOW_COUNT_MAX;

/// The purpose of a verification whose caller names none.
pub const PURPOSE_DEFAULT: &str = "default";

/// A field that breaks a rule. The text never repeats the value.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{field} {rule}")]
pub struct InvalidField {
    /// The field, as the caller spells it.
    pub field: &'static str,
    /// The rule.
    pub rule: String,
    /// What kind of rule it is, for faces that tell kinds apart.
    pub kind: InvalidKind,
}

/// What kind of rule a field breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidKind {
    /// How it is written.
    #[default]
    Form,
    /// It is written well, and no number of any country's plan.
    NoSuchNumber,
    /// A number that codes are never sent to.
    RefusedNumber,
    /// A number that the service, or its providers, do not send to.
    NotServed,
}

impl InvalidField {
    /// A broken rule.
    pub fn new(field: &'static str, rule: impl Into<String>) -> InvalidField {
        InvalidField { field, rule: rule.into(), kind: InvalidKind::Form }
    }

    /// Of another kind than its form.
    pub fn kind(self, kind: InvalidKind) -> InvalidField {
        InvalidField { kind, ..self }
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The service whose name-space is used.
    pub service: Arc<str>,
    /// The client whose key was shown; none on public routes.
    pub client: Option<Uuid>,
    /// The end user's address.
    pub ip: Option<IpAddr>,
    /// The caller's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// What a message takes from the limits was taken before: it takes nothing now ([`crate::verification::Engine::message_limits`]).
    pub has_paid: bool,
}

impl Caller {
    /// For the audit log.
    pub fn origin(&self) -> Origin {
        Origin { client: self.client, ip: self.ip }
    }
}

/// Send a code.
#[derive(Clone, Default)]
pub struct StartRequest {
    /// Any spelling of a phone number or a mail address.
    pub to: String,
    /// How; the usual one of the destination when none is named.
    pub channel: Option<Channel>,
    /// What the code is good for.
    pub purpose: Option<String>,
    /// Language of the message.
    pub locale: Option<String>,
    /// The caller's own code.
    pub code: Option<Code>,
    /// The person whom the caller has already authenticated: gives them limits that no stranger can use up.
    pub subject: Option<String>,
    /// The caller's own notes.
    pub metadata: Metadata,
    /// What few callers ask for.
    pub extras: Extras,
    /// The caller's own words for a text message, with `{{code}}` in them; used where the service allows that (OTP-11).
    pub wording: Option<String>,
    /// One code at a time: this one ends those before it of the same service, purpose and destination.
    pub supersedes: bool,
}

/// What few callers ask for with a start.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// The brand of this message, where the service allows it.
    pub brand: Option<String>,
    /// The hash of the Android app that waits for this message.
    pub app_hash: Option<String>,
    /// Limits of the caller's own, taken from together with ours.
    pub own_limits: Vec<OwnLimit>,
}

/// A limit that a caller has made, for one value: so many starts for this session, this device …
#[derive(Debug, Clone)]
pub struct OwnLimit {
    /// Names the limit among those of its service.
    pub name: String,
    /// What is limited.
    pub value: String,
    /// How often.
    pub quota: Quota,
}

impl OwnLimit {
    /// What a start in that service takes. Exact where a window can hold so many.
    pub fn take(&self, service: &str) -> Take {
        let exact = self.quota.count <= WINDOW_COUNT_MAX;
        let rule = match exact {
            true => Rule::Windows(Arc::new(SendRule { quotas: vec![self.quota], waits: Vec::new() })),
            false => Rule::Rate(self.quota),
        };
        // The two kinds of rule read a bucket's numbers differently: neither may find the other's.
        let parts = [service.as_bytes(), self.name.as_bytes(), self.value.as_bytes(), &[u8::from(exact)]];
        Take { key: LimitName::Own.key(&parts), name: LimitName::Own, rule }
    }
}

/// Which verification is meant.
#[derive(Debug, Clone)]
pub enum Which {
    /// That one.
    Id(VerificationId),
    /// That one, if it is for this purpose: on public routes an id alone must not reach another face's codes (OTP-05).
    IdFor {
        /// The id.
        id: VerificationId,
        /// What it is good for.
        purpose: &'static str,
    },
    /// The newest pending one to a destination.
    To {
        /// Any spelling.
        to: String,
        /// What it is good for.
        purpose: Option<String>,
    },
}

/// `[a-z0-9._-]`, 1 to 32.
pub fn purpose(input: Option<String>) -> Result<Arc<str>, InvalidField> {
    let Some(purpose) = input else { return Ok(PURPOSE_DEFAULT.into()) };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if (1..=32).contains(&purpose.len()) && purpose.bytes().all(plain) {
        Ok(purpose.into())
    } else {
        Err(InvalidField::new("purpose", "must be 1 to 32 of a-z, 0-9, '.', '_' and '-'"))
    }
}

/// A BCP 47 tag of plain parts ("pt-BR").
pub fn locale(input: Option<String>, default: &Arc<str>) -> Result<Arc<str>, InvalidField> {
    let Some(locale) = input else { return Ok(Arc::clone(default)) };
    let mut parts = locale.split('-');
    let language = parts.next().is_some_and(|part| (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let rest = parts.all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if language && rest && locale.len() <= 35 {
        Ok(locale.into())
    } else {
        Err(InvalidField::new("locale", "must be a language tag such as en or pt-BR (BCP 47)"))
    }
}

/// 1 to 128 characters, none of them a control character.
pub fn subject(input: Option<String>) -> Result<Option<Arc<str>>, InvalidField> {
    match input {
        Some(subject) if subject.is_empty() || subject.chars().count() > 128 || subject.chars().any(char::is_control) => {
            Err(InvalidField::new("subject", "must have 1 to 128 characters and no control characters"))
        }
        subject => Ok(subject.map(Into::into)),
    }
}

/// At most 20 pairs; names of 1 to 40 plain characters, values of at most 200. Not every database takes a NUL.
pub fn metadata(input: Metadata) -> Result<Metadata, InvalidField> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = |(name, value): (&String, &String)| {
        (1..=40).contains(&name.len()) && name.bytes().all(plain) && value.chars().count() <= 200 && !value.contains('\0')
    };
    if input.len() <= 20 && input.iter().all(good) {
        Ok(input)
    } else {
        let rule = "must have at most 20 pairs, names of 1 to 40 of A-Z, a-z, 0-9, '.', '_' and '-', values of at most 200 characters and without NUL";
        Err(InvalidField::new("metadata", rule))
    }
}

/// 1 to 255 visible ASCII characters.
pub fn idempotency_key(input: &str) -> Result<(), InvalidField> {
    if (1..=255).contains(&input.len()) && input.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(InvalidField::new("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))
    }
}

/// The network that one end user's address stands for: a whole IPv4 address, the /64 of an IPv6 one (ATT-10). To show.
pub fn ip_network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_network_are_one() {
        for (address, network) in
            [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64")]
        {
            assert_eq!(ip_network(address.parse().expect("an address")), network);
        }
    }

    #[test]
    fn rules_of_text() {
        assert_eq!(purpose(None), Ok("default".into()));
        assert!(purpose(Some("log-in.2".into())).is_ok());
        for wrong in ["", "Login", "log in", "a\u{301}", &"a".repeat(33)] {
            assert!(purpose(Some(wrong.into())).is_err(), "{wrong:?}");
        }
        assert_eq!(locale(None, &"en".into()), Ok("en".into()));
        assert!(locale(Some("zh-Hant-TW".into()), &"en".into()).is_ok());
        for wrong in ["", "e", "en_GB", "en-", "../en", "en-\u{0}ab"] {
            assert!(locale(Some(wrong.into()), &"en".into()).is_err(), "{wrong:?}");
        }
        assert!(subject(Some("a\nb".into())).is_err());
        assert!(metadata(Metadata::from([("order".into(), "x".repeat(201))])).is_err());
        assert!(metadata(Metadata::from([("no spaces".into(), "x".into())])).is_err());
    }
}
