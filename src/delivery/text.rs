//! The words of messages, by service, channel and locale. Templates are the operator's or ours; nothing that a request says
//! adds text or links (OTP-11).

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use serde::Deserialize;

use crate::delivery::message::{Envelope, Mail, Message, Speech};
use crate::secret::Code;
use crate::verification::model::Channel;
use crate::verification::policy::Policy;

macro_rules! locales {
    ($($locale:literal),*) => {
        /// The languages that are shipped, and their texts.
        const BUILT_IN: &[(&str, &str)] = &[$(($locale, include_str!(concat!("../../templates/messages/", $locale, ".toml")))),*];
    };
}
locales!("en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "uk", "ar", "he", "hi", "id", "vi", "th", "zh", "ja", "ko");

/// The language that is always there.
const LAST_RESORT: &str = "en";

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

/// A template that does not render. Found when the configuration is read.
#[derive(Debug, thiserror::Error)]
#[error("templates.{locale} {rule}")]
pub struct TemplateError {
    /// Its service.
    pub service: String,
    /// Its locale.
    pub locale: String,
    /// What is wrong.
    pub rule: String,
}

/// Renders messages; compiles each template once.
pub struct Renderer {
    environment: Environment<'static>,
    built_in: HashMap<&'static str, Texts>,
    own: HashMap<(String, String), String>,
}

impl Renderer {
    /// Compiles the templates of all services, and renders each once with sample values.
    pub fn new<'a>(policies: impl Iterator<Item = &'a Arc<Policy>>) -> Result<Renderer, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let mut built_in = HashMap::new();
        for (locale, source) in BUILT_IN {
            let texts: Texts = toml::from_str(source).map_err(|error| wrong("built-in", locale, &error))?;
            let templates = [
                ("sms", &texts.sms),
                ("subject", &texts.mail.subject),
                ("greeting", &texts.call.greeting),
                ("again", &texts.call.again),
                ("goodbye", &texts.call.goodbye),
            ];
            for (part, template) in templates {
                let added = environment.add_template_owned(format!("{locale}/{part}"), template.clone());
                added.map_err(|error| wrong("built-in", locale, &error))?;
            }
            built_in.insert(*locale, texts);
        }
        let mut own = HashMap::new();
        for policy in policies {
            for (locale, source) in &policy.templates {
                let name = format!("{}/{locale}", policy.service);
                let added = environment.add_template_owned(name.clone(), source.clone());
                added.map_err(|error| wrong(&policy.service, locale, &error))?;
                let sample = context! { code => "123456", brand => &policy.brand, minutes => 5 };
                let text = environment.get_template(&name).and_then(|template| template.render(sample));
                if !text.map_err(|error| wrong(&policy.service, locale, &error))?.contains("123456") {
                    return Err(wrong(&policy.service, locale, &"must contain {{ code }}"));
                }
                own.insert((policy.service.to_string(), locale.clone()), name);
            }
        }
        Ok(Renderer { environment, built_in, own })
    }

    /// The finished message.
    pub fn render(&self, envelope: Envelope, code: Code, policy: &Policy) -> Result<Message, minijinja::Error> {
        let minutes = (envelope.expires_at.0 - envelope.now.0).max(0) as u64;
        let values = context! { code => code.expose(), brand => &policy.brand, minutes => minutes.div_ceil(60_000) };
        let locale = self.locale(&envelope.locale, &policy.locale);
        let part = |part: &str| self.environment.get_template(&format!("{locale}/{part}"))?.render(&values);
        let mut body = match self.own_template(&policy.service, &envelope.locale, &policy.locale) {
            Some(name) => self.environment.get_template(name)?.render(&values)?,
            None => part("sms")?,
        };
        if let (Channel::Sms, Some(origin)) = (envelope.channel, &policy.origin) {
            // https://wicg.github.io/sms-one-time-codes: the last line, and nothing after it.
            body.push_str(&format!("\n@{origin} #{}", code.expose()));
        }
        let mail = match envelope.channel {
            Channel::Email => Some(Mail { subject: part("subject")?, html: String::new() }),
            _ => None,
        };
        let speech = match envelope.channel {
            Channel::Call => Some(Speech {
                language: self.built_in.get(locale).map_or_else(|| "en-US".to_owned(), |texts| texts.speech.clone()),
                greeting: part("greeting")?,
                again: part("again")?,
                goodbye: part("goodbye")?,
            }),
            _ => None,
        };
        Ok(Message { envelope, code, body, mail, speech })
    }

    /// The shipped language nearest to the wanted one, to the service's, or the last resort.
    fn locale(&self, wanted: &str, service: &str) -> &'static str {
        [wanted, language(wanted), service, language(service)]
            .into_iter()
            .find_map(|locale| self.built_in.get_key_value(locale).map(|(locale, _)| *locale))
            .unwrap_or(LAST_RESORT)
    }

    /// The operator's text in that locale, in its language, or in the service's locale.
    fn own_template(&self, service: &str, locale: &str, service_locale: &str) -> Option<&str> {
        if self.own.is_empty() {
            return None;
        }
        let mut wanted = [locale, language(locale), service_locale].into_iter();
        wanted.find_map(|locale| self.own.get(&(service.to_owned(), locale.to_owned()))).map(String::as_str)
    }
}

fn language(locale: &str) -> &str {
    locale.split('-').next().unwrap_or(locale)
}

fn wrong(service: &str, locale: &str, error: &dyn std::fmt::Display) -> TemplateError {
    TemplateError { service: service.into(), locale: locale.into(), rule: format!("does not render: {error}") }
}
