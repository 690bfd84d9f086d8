//! The words of messages, by service, channel and locale. Templates are the operator's or ours; nothing that a request says
//! adds text or links (OTP-11), unless the operator lets the service's callers word its text messages: what a template may use is the code, the brand, the minutes, and in a mail the link.
//!
//! The language counts first: the exact locale, its language, the service's locale, its language, English; and in each of
//! them the operator's own words before the shipped ones.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, context};

use crate::delivery::mail::{self, Block, Page};
use crate::delivery::message::{Envelope, Mail, Message, Speech};
use crate::delivery::not_me::CancelLinks;
use crate::delivery::words::{LAST_RESORT, PageTexts, SHIPPED, Texts, direction, language};
use crate::secret::Code;
use crate::verification::VerificationId;
use crate::verification::model::Channel;
use crate::verification::policy::Policy;
use crate::verification::request;
use crate::verification::wording::Wording;

/// Longest subject of a mail, in characters: a header line holds it.
const SUBJECT_MAX_CHARS: usize = 200;

/// A template that cannot be used. Found when the configuration is read.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {rule}")]
pub struct TemplateError {
    /// The setting, with its section.
    pub key: String,
    /// What is wrong.
    pub rule: String,
}

/// Renders messages; compiles each template once.
pub struct Renderer {
    environment: Environment<'static>,
    shipped: HashMap<&'static str, Texts>,
    /// The operator's own, by service, channel and locale (in lower case); the value is the voice's language, of a call.
    own: HashMap<String, Option<String>>,
    links: Option<CancelLinks>,
}

/// The words of the page behind a mail's link.
pub struct PageWords<'a> {
    /// BCP 47.
    pub language: &'a str,
    /// "ltr" or "rtl".
    pub direction: &'a str,
    /// Its texts.
    pub texts: &'a PageTexts,
}

/// What was chosen for a message.
struct Choice<'a> {
    /// The locale whose words they are.
    locale: String,
    /// What the names of its templates begin with.
    prefix: String,
    /// The language's shipped texts; none where the words are the operator's own.
    shipped: Option<&'a Texts>,
}

impl Renderer {
    /// Compiles the templates of all services, and renders those of the operator with sample values.
    pub fn new<'a>(policies: impl Iterator<Item = &'a Arc<Policy>>) -> Result<Renderer, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None });
        let mut shipped = HashMap::new();
        for (locale, source) in SHIPPED {
            let texts: Texts = toml::from_str(source).map_err(|error| wrong(locale, &error))?;
            for (part, template) in texts.templates() {
                let added = environment.add_template_owned(format!("{locale}/{part}"), template.to_owned());
                added.map_err(|error| wrong(&format!("{locale}.{part}"), &error))?;
            }
            shipped.insert(*locale, texts);
        }
        let mut renderer = Renderer { environment, shipped, own: HashMap::new(), links: None };
        for policy in policies {
            renderer.add_own(policy)?;
        }
        Ok(renderer)
    }

    /// With a link in each mail by which its receiver can call the code off.
    pub fn with_links(self, links: Option<CancelLinks>) -> Renderer {
        Renderer { links, ..self }
    }

    /// The finished message.
    pub fn render(&self, envelope: Envelope, code: Code, policy: &Policy) -> Result<Message, minijinja::Error> {
        self.worded(envelope, code, policy, None)
    }

    /// The same, in the caller's words where the service allows them and it is a text message.
    pub fn worded(&self, envelope: Envelope, code: Code, policy: &Policy, wording: Option<&Wording>) -> Result<Message, minijinja::Error> {
        let minutes = (envelope.expires_at.0 - envelope.now.0).max(0) as u64;
        let values = Values { code: code.expose(), brand: &policy.brand, minutes: minutes.div_ceil(60_000) };
        let (mut mail, mut speech) = (None, None);
        let body = match envelope.channel {
            Channel::Sms => {
                let text = match wording {
                    Some(wording) => wording.with(&code),
                    None => self.sms(&envelope.locale, policy, &values)?,
                };
                format!("{text}{}", last_line(policy, code.expose()))
            }
            Channel::Whatsapp => self.sms(&envelope.locale, policy, &values)?,
            Channel::Call => {
                let spoken = self.speech(&envelope.locale, policy, &values)?;
                let body = spoken.transcript(code.expose());
                speech = Some(spoken);
                body
            }
            Channel::Email => {
                let (written, body) = self.mail(&envelope.locale, policy, &values, envelope.verification)?;
                mail = Some(written);
                body
            }
        };
        Ok(Message { envelope, code: Some(code), body, mail, speech })
    }

    /// The words of the page behind a mail's link.
    pub fn page(&self, locale: &str, policy: &Policy) -> Option<PageWords<'_>> {
        self.shipped(locale, policy).map(|(language, texts)| PageWords { language, direction: &texts.direction, texts: &texts.page })
    }

    /// The shipped words that are nearest to a locale, and their language.
    pub(super) fn shipped(&self, locale: &str, policy: &Policy) -> Option<(&'static str, &Texts)> {
        candidates(locale, policy)
            .find_map(|locale| self.shipped.get_key_value(locale.as_str()))
            .map(|(language, texts)| (*language, texts))
    }

    /// The locales that a service has words in: the shipped ones, and the operator's own.
    pub fn locales(&self, policy: &Policy) -> Vec<String> {
        let own = &policy.templates;
        let own = own.sms.keys().chain(own.email.keys()).chain(own.call.keys()).cloned();
        let mut locales: Vec<_> = SHIPPED.iter().map(|(locale, _)| (*locale).to_owned()).chain(own).collect();
        locales.sort();
        locales.dedup();
        locales
    }

    fn sms(&self, locale: &str, policy: &Policy, values: &Values<'_>) -> Result<String, minijinja::Error> {
        let choice = self.choose("sms", locale, policy);
        let name = if choice.shipped.is_some() { format!("{}/sms", choice.prefix) } else { choice.prefix };
        Ok(self.part(&name, &values.plain())?.trim_end().to_owned())
    }

    fn speech(&self, locale: &str, policy: &Policy, values: &Values<'_>) -> Result<Speech, minijinja::Error> {
        let choice = self.choose("call", locale, policy);
        let values = values.without_code();
        let part = |part: &str| self.part(&format!("{}/{part}", choice.prefix), &values);
        let voice = match choice.shipped {
            Some(texts) => Some(&texts.speech),
            None => self
                .own
                .get(&choice.prefix)
                .and_then(Option::as_ref)
                .or_else(|| self.shipped.get(language(&choice.locale)).map(|texts| &texts.speech)),
        };
        let language = voice.cloned().unwrap_or_else(|| choice.locale.clone());
        Ok(Speech { language, greeting: part("greeting")?, again: part("again")?, goodbye: part("goodbye")? })
    }

    /// The mail's own, and its plain text.
    fn mail(&self, locale: &str, policy: &Policy, values: &Values<'_>, id: VerificationId) -> Result<(Mail, String), minijinja::Error> {
        let choice = self.choose("email", locale, policy);
        let link = self.links.as_ref().map(|links| links.link(&policy.service, id));
        let values = values.clone().with_link(link.as_deref());
        let plain = values.plain();
        let part = |part: &str| self.part(&format!("{}/{part}", choice.prefix), &plain);
        let marked = |part: &str| self.part(&format!("{}/{part}.html", choice.prefix), &values.marked());
        let subject = part("subject")?;
        let (text, blocks) = match choice.shipped {
            None => {
                let text = part("text")?;
                if self.environment.get_template(&format!("{}/html.html", choice.prefix)).is_ok() {
                    let html = self.part(&format!("{}/html.html", choice.prefix), &plain)?;
                    return Ok((Mail { subject, html }, text));
                }
                let blocks = mail::blocks_of(&text, values.code, link.as_deref());
                (text, blocks)
            }
            Some(_) => {
                let head = format!("{}\n\n{}\n\n{}\n", part("heading")?, part("instruction")?, values.code);
                let mut text = format!("{head}\n{}\n\n{}\n", part("validity")?, part("warning")?);
                let mut blocks = vec![
                    Block::Heading(marked("heading")?),
                    Block::Text(mail::escaped(&part("instruction")?)),
                    Block::Code(values.code.to_owned()),
                    Block::Text(marked("validity")?),
                    Block::Text(marked("warning")?),
                ];
                if let Some(url) = link.clone() {
                    text.push_str(&format!("\n{}\n{url}\n", part("not_me_hint")?));
                    blocks.push(Block::Link { hint: part("not_me_hint")?, label: part("not_me")?, url });
                }
                (text, blocks)
            }
        };
        let direction = choice.shipped.map_or_else(|| direction(&choice.locale), |texts| texts.direction.as_str());
        let page = Page { language: &choice.locale, direction, subject: &subject, blocks };
        let html = page.render().map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
        Ok((Mail { subject, html }, text))
    }

    fn choose(&self, kind: &str, locale: &str, policy: &Policy) -> Choice<'_> {
        for locale in candidates(locale, policy) {
            if !self.own.is_empty() {
                let prefix = own_name(policy, kind, &locale);
                if self.own.contains_key(&prefix) {
                    return Choice { locale, prefix, shipped: None };
                }
            }
            if let Some(texts) = self.shipped.get(locale.as_str()) {
                return Choice { prefix: locale.clone(), locale, shipped: Some(texts) };
            }
        }
        Choice { locale: LAST_RESORT.into(), prefix: LAST_RESORT.into(), shipped: self.shipped.get(LAST_RESORT) }
    }

    /// What one template makes of values.
    pub(super) fn part(&self, name: &str, values: &Value) -> Result<String, minijinja::Error> {
        self.environment.get_template(name)?.render(values)
    }

    fn add_own(&mut self, policy: &Policy) -> Result<(), TemplateError> {
        let templates = &policy.templates;
        for (locale, text) in &templates.sms {
            let own = self.begin(policy, "sms", locale, None)?;
            self.add(&own, None, text, Kind::Text)?;
        }
        for (locale, mail) in &templates.email {
            let own = self.begin(policy, "email", locale, None)?;
            self.add(&own, Some("subject"), &mail.subject, Kind::Subject)?;
            self.add(&own, Some("text"), &mail.text, Kind::Text)?;
            if let Some(html) = &mail.html {
                self.add(&own, Some("html"), html, Kind::Html)?;
            }
        }
        for (locale, call) in &templates.call {
            let own = self.begin(policy, "call", locale, call.speech.clone())?;
            for (part, text) in [("greeting", &call.greeting), ("again", &call.again), ("goodbye", &call.goodbye)] {
                self.add(&own, Some(part), text, Kind::Spoken)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, policy: &Policy, kind: &str, locale: &str, voice: Option<String>) -> Result<Own, TemplateError> {
        let key = format!("service.{}.templates.{kind}.{locale}", policy.service);
        if let Err(invalid) = request::locale(Some(locale.to_owned()), &policy.locale) {
            return Err(TemplateError { key, rule: invalid.rule.to_string() });
        }
        let name = own_name(policy, kind, &locale.to_ascii_lowercase());
        self.own.insert(name.clone(), voice);
        Ok(Own { key, name, brand: Arc::clone(&policy.brand) })
    }

    /// Compiles one, and looks at what it makes of samples. Two codes: one may stand in the template as it is.
    fn add(&mut self, own: &Own, part: Option<&str>, source: &str, kind: Kind) -> Result<(), TemplateError> {
        let key = part.map_or_else(|| own.key.clone(), |part| format!("{}.{part}", own.key));
        let name = match (part, kind) {
            (None, _) => own.name.clone(),
            (Some(part), Kind::Html) => format!("{}/{part}.html", own.name),
            (Some(part), _) => format!("{}/{part}", own.name),
        };
        let fails = |error: minijinja::Error| TemplateError { key: key.clone(), rule: format!("does not render: {error}") };
        let refused = |rule: &str| Err(TemplateError { key: key.clone(), rule: rule.to_owned() });
        self.environment.add_template_owned(name.clone(), source.to_owned()).map_err(fails)?;
        for code in ["123456", "9071863542"] {
            let values = Values { code, brand: &own.brand, minutes: 5 };
            let values = match kind {
                Kind::Spoken => values.without_code(),
                Kind::Text if part.is_none() => values.plain(),
                _ => values.with_link(Some("https://otp.example/not-me/sample")).plain(),
            };
            let text = self.part(&name, &values).map_err(fails)?;
            match kind {
                Kind::Text | Kind::Html if !text.contains(code) => return refused("must contain {{ code }}"),
                Kind::Subject if text.trim() != text || text.is_empty() || text.chars().count() > SUBJECT_MAX_CHARS => {
                    return refused("must have 1 to 200 characters, and no space at its ends");
                }
                Kind::Subject | Kind::Spoken if text.chars().any(char::is_control) => return refused("must be one line"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The operator's own words for one channel and locale, while they are read.
struct Own {
    key: String,
    name: String,
    brand: Arc<str>,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Html,
    Subject,
    Spoken,
}

/// All that a template may use.
#[derive(Clone)]
struct Values<'a> {
    code: &'a str,
    brand: &'a str,
    minutes: u64,
}

/// Of a mail.
struct MailValues<'a> {
    code: &'a str,
    brand: &'a str,
    minutes: u64,
    link: Option<&'a str>,
}

impl<'a> Values<'a> {
    fn plain(&self) -> Value {
        context! { code => self.code, brand => self.brand, minutes => self.minutes }
    }

    /// A voice would read the code as a number: its digits are spoken by themselves.
    fn without_code(&self) -> Value {
        context! { brand => self.brand, minutes => self.minutes }
    }

    fn with_link(self, link: Option<&'a str>) -> MailValues<'a> {
        MailValues { code: self.code, brand: self.brand, minutes: self.minutes, link }
    }
}

impl MailValues<'_> {
    fn plain(&self) -> Value {
        context! { code => self.code, brand => self.brand, minutes => self.minutes, link => self.link.unwrap_or_default() }
    }

    /// For markup of ours.
    fn marked(&self) -> Value {
        context! { brand => Value::from_safe_string(mail::isolated(self.brand)), minutes => self.minutes }
    }
}

/// What makes a phone fill the code in: the site's line (<https://wicg.github.io/sms-one-time-codes>), or the app's hash (the
/// SMS Retriever of Android). Each must be the last line, so a service has one of them.
fn last_line(policy: &Policy, code: &str) -> String {
    match (&policy.origin, &policy.android_app_hash) {
        (Some(origin), _) => format!("\n@{origin} #{code}"),
        (None, Some(hash)) => format!("\n{hash}"),
        (None, None) => String::new(),
    }
}

/// Locales in the order in which their words are looked for, in lower case. Mostly the first one has them.
fn candidates<'a>(wanted: &'a str, policy: &'a Policy) -> impl Iterator<Item = String> + use<'a> {
    let service = &*policy.locale;
    [wanted, language(wanted), service, language(service), LAST_RESORT].into_iter().map(str::to_ascii_lowercase)
}

fn own_name(policy: &Policy, kind: &str, locale: &str) -> String {
    format!("{}/{kind}/{locale}", policy.service)
}

fn wrong(place: &str, error: &dyn std::fmt::Display) -> TemplateError {
    TemplateError { key: format!("the shipped texts {place}"), rule: error.to_string() }
}
