//! The words of the pages: one file for each language under `templates/login/`, embedded, and read when somebody first wants it:
//! most servers speak one or two of them, and all take some megabytes. A language in which a key or the place for a value is
//! missing is refused whole, so a page never shows half of one; a test reads them all, so that none is.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, de};

use crate::delivery::words::{LAST_RESORT, language};

macro_rules! locales {
    ($($locale:literal),*) => {
        /// The languages that are shipped, and their files.
        pub const SHIPPED: &[(&str, &str)] =
            &[$(($locale, include_str!(concat!("../../../../templates/login/", $locale, ".toml")))),*];
    };
}
locales!("en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "uk", "ar", "he", "hi", "id", "vi", "th", "zh", "ja", "ko");

/// A text with a place for one value. The value is not put into the text but between its halves, where a template can
/// isolate its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What stands before the value.
    pub before: String,
    /// What stands behind it.
    pub after: String,
}

impl Gap {
    /// The whole, where there is no markup to put around the value.
    pub fn with(&self, value: &str) -> String {
        format!("{}{value}{}", self.before, self.after)
    }

    /// As it stands in its file, for a script to fill.
    pub fn open(&self) -> String {
        self.with("{}")
    }
}

impl<'de> Deserialize<'de> for Gap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Gap, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split("{}").collect::<Vec<_>>()[..] {
            [before, after] => Ok(Gap { before: before.to_owned(), after: after.to_owned() }),
            _ => Err(de::Error::custom("must have exactly one {}")),
        }
    }
}

/// A text without a place for a value.
fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() || text.contains(['{', '}']) {
        return Err(de::Error::custom("must have words, and no {}"));
    }
    Ok(text)
}

macro_rules! texts {
    ($($(#[$about:meta])* $name:ident { $($key:ident: $kind:ident),* $(,)? })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, Deserialize)]
            #[serde(deny_unknown_fields)]
            #[expect(missing_docs, reason = "named as in the files")]
            pub struct $name { $(pub $key: texts!(@type $kind)),* }
        )*
    };
    (@type text) => { Text };
    (@type gap) => { Gap };
}

/// A text that is shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text(#[serde(deserialize_with = "plain")] String);

impl std::fmt::Display for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

texts! {
    /// Short forms of units.
    Time { seconds: gap, minutes: gap }
    /// Labels and hints.
    FieldTexts {
        full_name: text, phone: text, phone_hint: text, email: text, email_optional: text, phone_or_email: text, password: text,
        current_password: text, new_password: text, password_hint: gap, show_password: text, weak: text, fair: text, strong: text,
        code: text, recovery_code: text, passkey_name: text,
    }
    /// What is wrong with a field.
    InvalidTexts {
        missing: text, phone: text, email: text, phone_or_email: text, taken: text, too_short: gap, too_long: text, common: text,
        code: text,
    }
    /// What a page opens with.
    NoticeTexts {
        account_created: text, wrong_credentials: text, sign_in_again: text, signed_out: text, password_changed: text, wait: gap,
        busy: text, form_expired: text, code_sent: text, code_not_sent: text, passkey_failed: text, saved: text, confirmed: text,
        last_one: text,
    }
    /// `/register`
    RegisterTexts { title: text, button: text, have_account: text }
    /// `/login`
    LoginTexts { title: text, passkey: text, by_code: text, forgot: text, new_here: text }
    /// `/verify`
    VerifyTexts {
        title: text, sent: gap, totp: text, passkey_title: text, passkey: text, button: text, resend: text, resend_in: gap,
        other_ways: text, lost: gap, remember: text,
    }
    /// Ways to prove who one is.
    MethodTexts { sms: gap, whatsapp: gap, call: gap, email: gap, totp: text, passkey: text, recovery_code: text }
    /// `/profile`
    ProfileTexts { greeting: gap, text: text }
    /// `/logout`
    LogoutTexts { title: text, button: text }
    /// `/forgot`
    ForgotTexts { text: text, button: text }
    /// `/reset`
    ResetTexts { title: text, text: gap, button: text }
    /// `/security/confirm`
    ConfirmTexts { title: text, text: text }
    /// `/recover`
    RecoverTexts { title: text, text: text }
    /// `/security`
    SecurityTexts {
        title: text, identifiers: text, unconfirmed: text, confirm: text, add: text, remove: text, back: text,
        totp_text: text, is_on: text, set_up: text, passkeys: text, passkeys_text: text, add_passkey: text, passkeys_missing: text, passkey_known: text,
        added: gap, recovery_codes: text, recovery_text: gap, make_codes: text, make_codes_hint: text, sessions: text,
        this_browser: text, last_used: gap, sign_out_others: text,
    }
    /// `/security/totp`
    TotpTexts { title: text, scan: text, enlarge: text, open: text, key: text, then: text, button: text }
    /// `/security/recovery-codes`
    CodesTexts { title: text, text: text, print: text, done: text }
}

/// The texts of one language: see `templates/login/en.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the files")]
pub struct Texts {
    /// BCP 47; the name of the file.
    #[serde(skip)]
    pub locale: &'static str,
    /// Its own name for itself.
    pub language: Text,
    /// "ltr" or "rtl".
    pub direction: Text,
    pub time: Time,
    pub field: FieldTexts,
    pub invalid: InvalidTexts,
    pub notice: NoticeTexts,
    pub register: RegisterTexts,
    pub login: LoginTexts,
    pub verify: VerifyTexts,
    pub method: MethodTexts,
    pub profile: ProfileTexts,
    pub logout: LogoutTexts,
    pub forgot: ForgotTexts,
    pub reset: ResetTexts,
    pub confirm: ConfirmTexts,
    pub recover: RecoverTexts,
    pub security: SecurityTexts,
    pub totp: TotpTexts,
    pub codes: CodesTexts,
}

impl Texts {
    /// So many seconds in a short form without a plural: whole minutes, rounded up, from two minutes on.
    pub fn duration(&self, seconds: u64) -> String {
        if seconds < 120 { self.time.seconds.with(&seconds.to_string()) } else { self.time.minutes.with(&seconds.div_ceil(60).to_string()) }
    }
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("templates/login/{locale}.toml: {cause}")]
pub struct TextsError {
    locale: &'static str,
    cause: toml::de::Error,
}

/// A language that is read at its first use.
#[derive(Debug)]
struct Shelf {
    locale: &'static str,
    source: &'static str,
    /// None where the file cannot be used.
    texts: OnceLock<Option<Box<Texts>>>,
}

impl Shelf {
    fn texts(&self) -> Option<&Texts> {
        let texts = self.texts.get_or_init(|| match read(self.locale, self.source) {
            Ok(texts) => Some(Box::new(texts)),
            Err(error) => {
                tracing::error!(%error, "pages in this language are shown in English");
                None
            }
        });
        texts.as_deref()
    }
}

/// All languages.
#[derive(Debug)]
pub struct Catalogue {
    last_resort: Texts,
    others: HashMap<&'static str, Shelf>,
}

impl Catalogue {
    /// Reads English, and knows where the others are.
    pub fn load() -> Result<Catalogue, TextsError> {
        let shelf = |(locale, source): &(&'static str, &'static str)| (*locale, Shelf { locale, source, texts: OnceLock::new() });
        let mut others: HashMap<_, _> = SHIPPED.iter().map(shelf).collect();
        let english = others.remove(LAST_RESORT).map_or("", |shelf| shelf.source);
        Ok(Catalogue { last_resort: read(LAST_RESORT, english)?, others })
    }

    /// The words for a locale or its language; English where there are none.
    pub fn of(&self, locale: &str) -> &Texts {
        self.exactly(locale).unwrap_or(&self.last_resort)
    }

    /// The words for what a browser asks for in `Accept-Language`, or else for `usual`, the service's own locale.
    pub fn best(&self, accept_language: Option<&str>, usual: &str) -> &Texts {
        let mut wanted: Vec<(&str, f32)> = accept_language.unwrap_or_default().split(',').filter_map(wish).collect();
        // Stable: of equal wishes the first counts.
        wanted.sort_by(|one, other| other.1.total_cmp(&one.1));
        wanted.iter().find_map(|(locale, _)| self.exactly(locale)).unwrap_or_else(|| self.of(usual))
    }

    fn exactly(&self, locale: &str) -> Option<&Texts> {
        let locale = locale.to_ascii_lowercase();
        let language = language(&locale);
        if language == LAST_RESORT { Some(&self.last_resort) } else { self.others.get(language).and_then(Shelf::texts) }
    }
}

/// One entry of `Accept-Language`: "de-AT;q=0.7". None for what is not wanted, or no entry at all.
fn wish(entry: &str) -> Option<(&str, f32)> {
    let (locale, weight) = entry.split_once(';').unwrap_or((entry, "q=1"));
    let weight = weight.trim().strip_prefix("q=")?.parse().ok()?;
    (weight > 0.0 && weight <= 1.0).then_some((locale.trim(), weight))
}

fn read(locale: &'static str, source: &str) -> Result<Texts, TextsError> {
    let texts: Texts = toml::from_str(source).map_err(|cause| TextsError { locale, cause })?;
    Ok(Texts { locale, ..texts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::words;

    /// Whoever gets messages in a language gets pages in it too.
    #[test]
    fn the_languages_are_those_of_messages() {
        let names = |shipped: &[(&'static str, &'static str)]| shipped.iter().map(|(locale, _)| *locale).collect::<Vec<_>>();
        assert_eq!(names(SHIPPED), names(words::SHIPPED));
        let catalogue = Catalogue::load().expect("texts");
        for (locale, source) in SHIPPED {
            let read = read(locale, source).map(|texts| texts.locale).map_err(|error| error.to_string());
            assert_eq!((read, catalogue.of(locale).locale), (Ok(*locale), *locale));
            assert_eq!(catalogue.of(locale).direction.to_string(), words::direction(locale), "{locale}");
        }
    }

    #[test]
    fn a_file_with_a_gap_is_refused() {
        let english = SHIPPED[0].1;
        assert!(read("en", english).is_ok());
        for (found, instead, complaint) in [
            ("resend = \"Send a new code\"\n", "", "missing field `resend`"),
            ("resend = \"Send a new code\"\n", "resend = \" \"\n", "must have words"),
            ("resend = \"Send a new code\"\n", "resend = \"Send {} codes\"\n", "no {}"),
            ("greeting = \"Hello, {}!\"", "greeting = \"Hello!\"", "exactly one {}"),
            ("greeting = \"Hello, {}!\"", "greeting = \"{} {}\"", "exactly one {}"),
            ("[codes]\n", "[codes]\nextra = \"More\"\n", "unknown field `extra`"),
        ] {
            assert!(english.contains(found), "{found}");
            let error = read("en", &english.replace(found, instead)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with("templates/login/en.toml") && error.contains(complaint), "{instead:?}: {error}");
        }
    }

    /// What nobody asked for takes no memory; what somebody did is read once.
    #[test]
    fn a_language_is_read_when_it_is_wanted() {
        let catalogue = Catalogue::load().expect("texts");
        let read = |catalogue: &Catalogue| catalogue.others.values().filter(|shelf| shelf.texts.get().is_some()).count();
        assert_eq!((read(&catalogue), catalogue.of("en").locale), (0, "en"));
        let german: *const Texts = catalogue.of("de-AT");
        assert!(std::ptr::eq(german, catalogue.best(Some("de"), "fr")));
        assert_eq!(read(&catalogue), 1);
    }

    #[test]
    fn the_browsers_wish_counts_first() {
        let catalogue = Catalogue::load().expect("texts");
        for (wish, usual, expected) in [
            (Some("de-AT,de;q=0.9,en;q=0.8"), "fr", "de"),
            (Some("en;q=0.5, fr;q=0.7"), "de", "fr"),
            (Some("xx, en-GB;q=0.2"), "de", "en"),
            (Some("zh-Hant-TW"), "en", "zh"),
            (Some("de;q=0, PT-br;q=0.1"), "en", "pt"),
            (Some("*"), "ko-KR", "ko"),
            (Some("de;q=2,;;q=,\u{0}"), "ja", "ja"),
            (None, "xx", "en"),
        ] {
            assert_eq!(catalogue.best(wish, usual).locale, expected, "{wish:?}");
        }
    }

    #[test]
    fn waits_are_short_and_never_promise_too_early() {
        let catalogue = Catalogue::load().expect("texts");
        let times = [0, 1, 119, 120, 121, 3600].map(|seconds| catalogue.of("en").duration(seconds));
        assert_eq!(times, ["0 s", "1 s", "119 s", "2 min", "3 min", "60 min"]);
    }
}
