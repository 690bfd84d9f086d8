//! The words that are shipped: one file for each language under `templates/messages/`, embedded.

use std::collections::BTreeMap;

use serde::Deserialize;

macro_rules! locales {
    ($($locale:literal),*) => {
        /// The languages that are shipped, and their texts.
        pub const SHIPPED: &[(&str, &str)] = &[$(($locale, include_str!(concat!("../../templates/messages/", $locale, ".toml")))),*];
    };
}
locales!("en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "uk", "ar", "he", "hi", "id", "vi", "th", "zh", "ja", "ko");

/// The language that is always there.
pub const LAST_RESORT: &str = "en";

/// Languages written from right to left, for words of the operator's own in a language that is not shipped.
const RIGHT_TO_LEFT: [&str; 10] = ["ar", "he", "fa", "ur", "ps", "sd", "ug", "yi", "dv", "ckb"];

/// The texts of one language: see `templates/messages/en.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// Its own name for itself.
    pub language: String,
    /// "ltr" or "rtl".
    pub direction: String,
    /// For text-to-speech.
    pub speech: String,
    /// A text message.
    pub sms: String,
    /// A mail.
    pub mail: MailTexts,
    /// A call.
    pub call: CallTexts,
    /// The page where a person calls off a code that they did not ask for.
    pub page: PageTexts,
    /// What people are told of their account.
    pub notice: NoticeTexts,
}

/// Of a mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the files")]
pub struct MailTexts {
    pub subject: String,
    pub heading: String,
    pub instruction: String,
    pub validity: String,
    pub warning: String,
    pub not_me: String,
    pub not_me_hint: String,
}

/// Of a call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the files")]
pub struct CallTexts {
    pub greeting: String,
    pub again: String,
    pub goodbye: String,
}

/// Of the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the files")]
pub struct PageTexts {
    pub title: String,
    pub text: String,
    pub button: String,
    pub done_title: String,
    pub done_text: String,
    pub gone_title: String,
    pub gone_text: String,
}

/// Of notices.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeTexts {
    /// Joins brand, what happened and the advice to a text message.
    pub sms: String,
    /// Joins brand and what happened to the subject of a mail.
    pub subject: String,
    /// What happened, by [`Notice::name`](crate::account::notice::Notice::name): a sentence without its full stop.
    pub what: BTreeMap<String, String>,
    /// [`Advice::Secure`](crate::account::notice::Advice::Secure).
    pub secure: String,
    /// [`Advice::Ignore`](crate::account::notice::Advice::Ignore).
    pub ignore: String,
    /// [`Advice::Ask`](crate::account::notice::Advice::Ask).
    pub ask: String,
    /// What people call such an app.
    pub authenticator: String,
    /// What people call such a key.
    pub passkey: String,
}

impl Texts {
    /// Every template in it by its name; those of the mail's page once more, as HTML.
    pub fn templates(&self) -> [(&'static str, &str); 16] {
        let mail = &self.mail;
        [
            ("sms", &self.sms),
            ("subject", &mail.subject),
            ("heading", &mail.heading),
            ("instruction", &mail.instruction),
            ("validity", &mail.validity),
            ("warning", &mail.warning),
            ("not_me", &mail.not_me),
            ("not_me_hint", &mail.not_me_hint),
            ("heading.html", &mail.heading),
            ("validity.html", &mail.validity),
            ("warning.html", &mail.warning),
            ("greeting", &self.call.greeting),
            ("again", &self.call.again),
            ("goodbye", &self.call.goodbye),
            ("notice_sms", &self.notice.sms),
            ("notice_subject", &self.notice.subject),
        ]
    }
}

/// The language of a locale: "de" of "de-AT".
pub fn language(locale: &str) -> &str {
    locale.split('-').next().unwrap_or(locale)
}

/// "ltr" or "rtl".
pub fn direction(locale: &str) -> &'static str {
    if RIGHT_TO_LEFT.contains(&language(locale)) { "rtl" } else { "ltr" }
}
