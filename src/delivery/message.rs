//! The text of a message. Templates are the operator's; nothing that a request says adds text or links (OTP-11).

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior, context};

use crate::clock::Timestamp;
use crate::secret::Code;
use crate::verification::courier::Parcel;
use crate::verification::model::{Channel, VerificationId};
use crate::verification::policy::Policy;

/// The built-in text: one GSM-7 segment with any brand of up to 60 characters (OTP-10).
const TEXT: &str = "{{ code }} is your {{ brand }} code. It works for {{ minutes }} minutes. Do not share it with anybody.";
const SUBJECT: &str = "{{ code }} is your {{ brand }} code";

/// A message, finished, and the pieces that it was made of (for providers that use their own template).
#[derive(Clone)]
pub struct Message {
    /// The verification that it belongs to.
    pub verification: VerificationId,
    /// The number of the message within it, from 1.
    pub number: u32,
    /// E.164, or a mail address.
    pub to: String,
    /// How it travels.
    pub channel: Channel,
    /// BCP 47.
    pub locale: Arc<str>,
    /// The service's brand.
    pub brand: Arc<str>,
    /// Of a mail.
    pub subject: Option<String>,
    /// The whole text.
    pub body: String,
    /// The code.
    pub code: Code,
    /// When it was made.
    pub created_at: Timestamp,
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

/// Renders messages; compiles each operator's template once.
pub struct Renderer {
    environment: Environment<'static>,
    own: HashMap<(String, String), String>,
}

impl Renderer {
    /// Compiles the templates of all services, and renders each once with sample values.
    pub fn new<'a>(policies: impl Iterator<Item = &'a Arc<Policy>>) -> Result<Renderer, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let built_in = [("text", TEXT), ("subject", SUBJECT)];
        for (name, source) in built_in {
            environment.add_template(name, source).map_err(|error| wrong("built-in", "en", &error))?;
        }
        let mut own = HashMap::new();
        for policy in policies {
            for (locale, source) in &policy.templates {
                let name = format!("{}/{locale}", policy.service);
                environment.add_template_owned(name.clone(), source.clone()).map_err(|error| wrong(&policy.service, locale, &error))?;
                let sample = context! { code => "123456", brand => &policy.brand, minutes => 5 };
                let text = environment
                    .get_template(&name)
                    .and_then(|template| template.render(sample))
                    .map_err(|error| wrong(&policy.service, locale, &error))?;
                if !text.contains("123456") {
                    return Err(TemplateError {
                        service: policy.service.to_string(),
                        locale: locale.clone(),
                        rule: "must contain {{ code }}".into(),
                    });
                }
                own.insert((policy.service.to_string(), locale.clone()), name);
            }
        }
        Ok(Renderer { environment, own })
    }

    /// The finished message of a parcel.
    pub fn render(&self, parcel: &Parcel, created_at: Timestamp) -> Result<Message, minijinja::Error> {
        let Parcel { verification, code, policy, .. } = parcel;
        let minutes = verification.expires_at.0.saturating_sub(created_at.0).max(0) as u64;
        let values = context! { code => code.expose(), brand => &policy.brand, minutes => minutes.div_ceil(60_000) };
        let name = self.template_name(&policy.service, &verification.locale, &policy.locale);
        let mut body = self.environment.get_template(name)?.render(&values)?;
        if let (Channel::Sms, Some(origin)) = (verification.channel, &policy.origin) {
            // https://wicg.github.io/sms-one-time-codes: the last line, and nothing after it.
            body.push_str(&format!("\n\n@{origin} #{}", code.expose()));
        }
        let subject = match verification.channel {
            Channel::Email => Some(self.environment.get_template("subject")?.render(&values)?),
            Channel::Sms | Channel::Whatsapp | Channel::Call => None,
        };
        Ok(Message {
            verification: verification.id,
            number: verification.sends,
            to: verification.destination.canonical().to_owned(),
            channel: verification.channel,
            locale: Arc::clone(&verification.locale),
            brand: Arc::clone(&policy.brand),
            subject,
            body,
            code: code.clone(),
            created_at,
        })
    }

    /// The operator's text in that locale, in its language, in the service's locale, or the built-in one.
    fn template_name(&self, service: &str, locale: &str, service_locale: &str) -> &str {
        if self.own.is_empty() {
            return "text";
        }
        let language = locale.split('-').next().unwrap_or(locale);
        let mut wanted = [locale, language, service_locale].into_iter();
        wanted.find_map(|locale| self.own.get(&(service.to_owned(), locale.to_owned()))).map_or("text", String::as_str)
    }
}

fn wrong(service: &str, locale: &str, error: &minijinja::Error) -> TemplateError {
    TemplateError { service: service.into(), locale: locale.into(), rule: format!("does not render: {error}") }
}
