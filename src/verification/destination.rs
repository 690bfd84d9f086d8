//! Where a code goes: a phone number or a mail address, parsed once into a type with one canonical form.
//!
//! All spellings of one destination give the same [`Destination::key`], and every limit, look-up and stored row uses that
//! form (INP-02, INP-03, A08, A19). Refused here, before anything is counted or sent: numbers that are not valid in their
//! country's plan, extensions, letters, and ranges that bill the caller (premium, shared cost, satellite … ABU-02).

use std::fmt;
use std::sync::Arc;

use email_address::{EmailAddress, Options};
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType, Region};
use sha2::{Digest, Sha256};

use crate::verification::request::InvalidKind;

/// Longest input that is looked at: an address may have 254 characters (RFC 5321, 4.5.3.1.3 less the brackets).
pub const DESTINATION_MAX_CHARS: usize = 254;

/// ISO 3166-1 alpha-2 code of a phone number's country.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Two upper-case letters ("DE"); `None` for anything else.
    pub fn parse(code: &str) -> Option<Country> {
        match code.as_bytes() {
            [first, second] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => Some(Country([*first, *second])),
            _ => None,
        }
    }

    /// The same as somebody names it in a setting: one that no number belongs to is a slip, and would refuse every number.
    pub fn named(code: &str) -> Result<Country, String> {
        let country = Country::parse(code).ok_or_else(|| format!("\"{code}\" is no ISO 3166 code in capitals, such as DE"))?;
        if PHONE_NUMBER_UTIL.get_supported_regions().any(|region| region.as_region_str().as_str() == code) {
            return Ok(country);
        }
        let meant = if code == "UK" { " (GB?)" } else { "" };
        Err(format!("{code} is no country that has numbers{meant}"))
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A destination in canonical form. `Debug` shows it masked (LOG-02).
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    canonical: Arc<str>,
    /// Of a phone number; none of a mail address.
    country: Option<Country>,
    key: [u8; 16],
}

/// Why an input is no destination. The text goes to the caller; it never repeats the input.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DestinationError {
    /// Nothing there, or longer than any destination.
    #[error("must have 1 to {DESTINATION_MAX_CHARS} characters")]
    Length,
    /// A character that does not belong in a phone number.
    #[error("must be a phone number (+, digits, spaces and -./() only) or one mail address")]
    Characters,
    /// A national spelling, and no default region is configured.
    #[error("must start with + and the country code (E.164, such as +4915112345678)")]
    NoCountryCode,
    /// Not a number of its country's plan.
    #[error("is not a valid phone number in its country's numbering plan")]
    InvalidNumber,
    /// Extensions cannot receive codes.
    #[error("must not have an extension")]
    Extension,
    /// Valid, but such numbers are not sent to.
    #[error("is a {0} number, which codes are not sent to")]
    RefusedRange(&'static str),
    /// Not a single plain address.
    #[error("is not a valid mail address (one plain address: no name, list, quotes, comment or IP address)")]
    InvalidEmail,
}

impl DestinationError {
    /// What kind of rule it breaks.
    pub fn kind(&self) -> InvalidKind {
        match self {
            DestinationError::InvalidNumber => InvalidKind::NoSuchNumber,
            DestinationError::RefusedRange(_) => InvalidKind::RefusedNumber,
            _ => InvalidKind::Form,
        }
    }
}

impl Destination {
    /// Parses any spelling. `default_region` is the region of numbers written without a country code, if there is one.
    pub fn parse(input: &str, default_region: Option<Country>) -> Result<Destination, DestinationError> {
        let input = input.trim();
        if input.is_empty() || input.chars().count() > DESTINATION_MAX_CHARS {
            return Err(DestinationError::Length);
        }
        if input.contains('@') { parse_email(input) } else { parse_phone(input, default_region) }
    }

    /// Restores what [`Destination::canonical`] gave, from a row. The country is the row's: a number has one, an address none.
    ///
    /// The key is made from the form that limits and look-ups share: mail addresses in lower case, since no provider of note
    /// tells the cases of the local part apart, while an attacker would.
    pub fn from_canonical(canonical: impl Into<Arc<str>>, country: Option<Country>) -> Destination {
        let canonical = canonical.into();
        let digest = match country {
            Some(_) => Sha256::digest(canonical.as_bytes()),
            None => Sha256::digest(canonical.to_ascii_lowercase().as_bytes()),
        };
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Destination { canonical, country, key }
    }

    /// What messages are sent to: E.164 (`+` and up to 15 digits), or the mail address with its local part as it was written
    /// and its domain in lower-case ASCII.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The country of a phone number.
    pub fn country(&self) -> Option<Country> {
        self.country
    }

    /// Whether it is a phone number; a mail address otherwise.
    pub fn is_phone(&self) -> bool {
        self.country.is_some()
    }

    /// 128 bits that stand for all spellings in keys of limits and indexes. Not a secret: a hash of a number can be undone.
    pub fn key(&self) -> [u8; 16] {
        self.key
    }

    /// For answers, events and logs: country code and the last two digits, or the first letter and the domain.
    pub fn masked(&self) -> String {
        if self.is_phone() {
            let shown_first = 3.min(self.canonical.len());
            let shown_last = self.canonical.len().saturating_sub(2).max(shown_first);
            let hidden = "*".repeat(shown_last - shown_first);
            format!("{}{hidden}{}", &self.canonical[..shown_first], &self.canonical[shown_last..])
        } else {
            let (local, domain) = self.canonical.split_once('@').unwrap_or((&self.canonical, ""));
            format!("{}***@{domain}", local.chars().next().unwrap_or('*'))
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.masked())
    }
}

fn parse_phone(input: &str, default_region: Option<Country>) -> Result<Destination, DestinationError> {
    // libphonenumber reads "1-800-FLOWERS", full-width digits and "ext. 5". A destination is data, not prose: all refused.
    let plain = |character: char| character.is_ascii_digit() || "+ -./()".contains(character);
    if !input.chars().all(plain) {
        let lower = input.to_ascii_lowercase();
        let extension = [" x", "ext", "#", ";"].iter().any(|mark| lower.contains(mark));
        return Err(if extension { DestinationError::Extension } else { DestinationError::Characters });
    }
    let international = input.starts_with('+');
    if !international && default_region.is_none() {
        return Err(DestinationError::NoCountryCode);
    }
    let region = default_region.and_then(|country| country.as_str().parse::<Region>().ok());
    let number = PHONE_NUMBER_UTIL.parse(input, region).map_err(|_| DestinationError::InvalidNumber)?;
    if number.extension.is_some() {
        return Err(DestinationError::Extension);
    }
    // Country codes of no country: satellite (870, 881, 882, 883), premium (979), freephone (800), shared cost (808) …
    if PHONE_NUMBER_UTIL.get_supported_global_network_calling_codes().any(|code| code == number.country_code) {
        return Err(DestinationError::RefusedRange("satellite or global network"));
    }
    match number.get_type() {
        PhoneNumberType::Unknown => return Err(DestinationError::InvalidNumber),
        PhoneNumberType::PremiumRate => return Err(DestinationError::RefusedRange("premium-rate")),
        PhoneNumberType::SharedCost => return Err(DestinationError::RefusedRange("shared-cost")),
        PhoneNumberType::TollFree => return Err(DestinationError::RefusedRange("toll-free")),
        PhoneNumberType::PersonalNumber => return Err(DestinationError::RefusedRange("personal (forwarded)")),
        PhoneNumberType::Pager => return Err(DestinationError::RefusedRange("pager")),
        PhoneNumberType::UAN => return Err(DestinationError::RefusedRange("company-wide access")),
        PhoneNumberType::VoiceMail => return Err(DestinationError::RefusedRange("voicemail")),
        PhoneNumberType::FixedLine | PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile | PhoneNumberType::VoIP => {}
    }
    let country = number
        .get_region_code()
        .and_then(|region| Country::parse(region.as_region_str().as_str()))
        .ok_or(DestinationError::InvalidNumber)?;
    let number = number.format_as(PhoneNumberFormat::E164).into_owned();
    Ok(Destination::from_canonical(number, Some(country)))
}

fn parse_email(input: &str) -> Result<Destination, DestinationError> {
    let (local, domain) = input.rsplit_once('@').ok_or(DestinationError::InvalidEmail)?;
    // ASCII only before the @: look-alike letters there are another mailbox to us and the same one to a careless mail
    // server (A19). The domain goes through IDNA, which gives each spelling of a name its one ASCII form.
    if !local.is_ascii() {
        return Err(DestinationError::InvalidEmail);
    }
    let domain = idna::domain_to_ascii_strict(domain).map_err(|_| DestinationError::InvalidEmail)?;
    let address = format!("{local}@{domain}");
    let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
    let parsed = EmailAddress::parse_with_options(&address, options).map_err(|_| DestinationError::InvalidEmail)?;
    let quoted = parsed.local_part().contains(['"', '\\', '(', ')', ',', ';', ':', '<', '>', '[', ']', ' ']);
    if quoted || address.len() > DESTINATION_MAX_CHARS || address.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(DestinationError::InvalidEmail);
    }
    Ok(Destination::from_canonical(address, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(input: &str) -> Result<Destination, DestinationError> {
        Destination::parse(input, None)
    }

    #[test]
    fn spellings_of_one_number_share_one_form() {
        let germany = Country::parse("DE");
        for spelling in
            ["+4915112345678", "+49 151 12345678", "+49 (0)151-1234.5678", " +49/151/12345678 ", "015112345678", "0049 151 12345678"]
        {
            let destination = Destination::parse(spelling, germany).unwrap_or_else(|error| panic!("{spelling}: {error}"));
            assert_eq!(destination.canonical(), "+4915112345678", "{spelling}");
            assert_eq!(destination.country(), germany, "{spelling}");
        }
    }

    #[test]
    fn countries_of_a_shared_code_are_told_apart() {
        assert_eq!(parse("+14155550132").map(|to| to.country()), Ok(Country::parse("US")));
        assert_eq!(parse("+16135550132").map(|to| to.country()), Ok(Country::parse("CA")));
        assert_eq!(parse("+441534456789").map(|to| to.country()), Ok(Country::parse("JE")));
    }

    #[test]
    fn settings_name_countries_that_have_numbers() {
        assert_eq!(Country::named("GB"), Country::parse("GB").ok_or_else(String::new));
        assert_eq!(Country::named("UK"), Err("UK is no country that has numbers (GB?)".into()));
        assert_eq!(Country::named("ZZ"), Err("ZZ is no country that has numbers".into()));
        assert_eq!(Country::named("de"), Err("\"de\" is no ISO 3166 code in capitals, such as DE".into()));
    }

    #[test]
    fn what_is_no_plain_number_is_refused() {
        use DestinationError::*;
        let cases = [
            ("", Length),
            ("   ", Length),
            ("015112345678", NoCountryCode),
            ("+49151", InvalidNumber),
            ("+49151123456789012345", InvalidNumber),
            ("+1415555", InvalidNumber),
            ("+4915112345678 ext. 5", Extension),
            ("+4915112345678x5", Characters),
            ("+4915112345678;ext=5", Extension),
            ("1-800-FLOWERS", Characters),
            ("+４９１５１12345678", Characters),
            ("+49151\u{200b}12345678", Characters),
            ("tel:+4915112345678", Characters),
            ("+49 900 1234567", RefusedRange("premium-rate")),
            ("+1 900 555 0132", RefusedRange("premium-rate")),
            ("+44 844 412 3456", RefusedRange("premium-rate")),
            ("+44 7012 345678", RefusedRange("personal (forwarded)")),
            ("+1 800 234 5678", RefusedRange("toll-free")),
            ("+870 773 111 632", RefusedRange("satellite or global network")),
            ("+881 612 345 678", RefusedRange("satellite or global network")),
            ("+979 123 456 789", RefusedRange("satellite or global network")),
        ];
        for (input, expected) in cases {
            assert_eq!(parse(input), Err(expected), "{input}");
        }
    }

    #[test]
    fn one_plain_mail_address_and_nothing_else() {
        for (input, canonical) in [
            ("Ann.Lee@Example.COM", "Ann.Lee@example.com"),
            ("ann+tag@example.com", "ann+tag@example.com"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ] {
            assert_eq!(parse(input).map(|to| to.canonical().to_owned()), Ok(canonical.to_owned()), "{input}");
        }
        for input in [
            "a@x.example,b@y.example",
            "a@x.example b@y.example",
            "a@x.example\nBcc: b@y.example",
            "\"a@x.example\"@y.example",
            "Ann <ann@example.com>",
            "<ann@example.com>",
            "ann@[127.0.0.1]",
            "ann@localhost",
            "@example.com",
            "ann@",
            "ann@exa mple.com",
            "ann..lee@example.com",
            ".ann@example.com",
            "mıke@example.com",
            "ann@example.com\r\n.",
            "ann(comment)@example.com",
            "a@b@example.com",
        ] {
            assert_eq!(parse(input), Err(DestinationError::InvalidEmail), "{input:?}");
        }
    }

    #[test]
    fn cases_of_a_mail_address_share_one_key_but_not_one_spelling() {
        let (upper, lower) = (parse("Ann@example.com").expect("valid"), parse("ann@example.com").expect("valid"));
        assert_eq!(upper.key(), lower.key());
        assert_ne!(upper.canonical(), lower.canonical());
    }

    #[test]
    fn masks_hide_what_identifies() {
        assert_eq!(parse("+4915112345678").expect("valid").masked(), "+49*********78");
        assert_eq!(format!("{:?}", parse("ann.lee@example.com").expect("valid")), "a***@example.com");
    }

    proptest! {
        /// INP-02: separators never change which destination is meant.
        #[test]
        fn separators_change_nothing(subscriber in 10_000_000_u32..99_999_999, places in proptest::collection::vec((1_usize..12, prop::sample::select(vec![" ", "-", ".", "/", "  "])), 0..5)) {
            let plain = format!("+49151{subscriber}");
            let mut spelled = plain.clone();
            for (place, separator) in places {
                // Not beside another separator: "+49-- 1" is no number to libphonenumber either.
                let digits = |at: usize| spelled.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
                if digits(place) && digits(place - 1) {
                    spelled.insert_str(place, separator);
                }
            }
            let (plain, spelled) = (parse(&plain), parse(&spelled));
            prop_assume!(plain.is_ok());
            prop_assert_eq!(plain, spelled);
        }

        /// Canonical is a fixed point: `f(f(x)) = f(x)`.
        #[test]
        fn parsing_a_canonical_form_gives_itself(input in "(\\+[1-9][0-9 -]{6,17}|[a-zA-Z0-9.+]{1,12}@[a-z]{1,10}\\.[a-z]{2,4})") {
            if let Ok(destination) = parse(&input) {
                prop_assert_eq!(parse(destination.canonical()), Ok(destination.clone()));
                prop_assert!(destination.canonical().len() <= DESTINATION_MAX_CHARS);
            }
        }

        #[test]
        fn no_input_panics(input in "\\PC{0,40}") {
            let _ = parse(&input);
            let _ = Destination::parse(&input, Country::parse("US"));
        }
    }
}
