//! `[service.NAME]`: presets, inheritance, and the way to a checked policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Dict;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, DurationText, Mode, QuotaText};
use crate::verification::destination::Country;
use crate::verification::limit::SendRule;
use crate::verification::model::Channel;
use crate::verification::policy::{DEFAULT_SERVICE, Policy, checked_app_hash, checked_brand};
use crate::verification::template::Templates;

/// Twilio Verify's behaviour, as far as it is ours to choose.
const PRESET_TWILIO: &str = r#"
code_ttl_sms = "10m"
code_ttl_whatsapp = "10m"
code_ttl_call = "10m"
code_ttl_email = "10m"
resend_waits = []
same_code = true
rearm = true
"#;

/// A named set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Ours.
    #[default]
    Standard,
    /// Twilio Verify's.
    Twilio,
}

/// `[service.NAME]`, complete.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// What people read in the message.
    pub brand: String,
    /// What the other settings start from.
    pub preset: Preset,
    /// Digits.
    pub code_length: u8,
    /// Life of a code sent by text message.
    pub code_ttl_sms: DurationText,
    /// Life of a code sent by WhatsApp.
    pub code_ttl_whatsapp: DurationText,
    /// Life of a spoken code.
    pub code_ttl_call: DurationText,
    /// Life of a mailed code.
    pub code_ttl_email: DurationText,
    /// Checks of one verification.
    pub max_checks: u32,
    /// Waits between messages.
    pub resend_waits: Vec<DurationText>,
    /// A resend repeats the code.
    pub same_code: bool,
    /// A start re-arms the pending verification.
    pub rearm: bool,
    /// The caller may choose the code.
    pub custom_code: bool,
    /// The caller may word text messages.
    pub caller_wording: bool,
    /// ISO 3166 codes, or "*".
    pub countries: Vec<String>,
    /// Region of national spellings.
    pub default_region: String,
    /// BCP 47.
    pub locale: String,
    /// Host of the last line of an SMS.
    pub origin: String,
    /// An app's hash as the last line of an SMS.
    pub android_app_hash: String,
    /// Limits.
    pub limits: LimitsConfig,
    /// Channels in the order in which a message that fails goes on.
    pub channel_fallback: Vec<Channel>,
    /// Texts.
    #[serde(default)]
    pub templates: Templates,
}

/// `[service.NAME.limits]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Messages to one destination.
    pub destination: Vec<QuotaText>,
    /// Messages for one address.
    pub ip_sends: QuotaText,
    /// Checks from one address.
    pub ip_checks: QuotaText,
    /// Messages of the service.
    pub service_sends: QuotaText,
    /// Messages to one country.
    pub country_sends: QuotaText,
    /// Wrong codes before starts wait.
    pub soft_failures: u32,
    /// Wrong codes before the bucket closes.
    pub hard_failures: u32,
}

/// Every service: the reference, then `default`'s preset and settings, then its own preset and settings; the later wins.
pub(super) fn resolve(reference: &Figment, own: &Figment) -> Result<BTreeMap<String, ServiceConfig>, ConfigError> {
    let named = match own.extract_inner::<Dict>("service") {
        Err(error) if error.missing() => Dict::new(),
        named => named?,
    };
    // The default first: its mistakes are not those of who inherits them.
    let names = [DEFAULT_SERVICE].into_iter().chain(named.keys().map(String::as_str));
    let mut services = BTreeMap::new();
    for name in names {
        check_name(name)?;
        let mut layers = with_settings(Figment::new().merge(reference.focus("service.default")), own, DEFAULT_SERVICE);
        if name != DEFAULT_SERVICE {
            layers = with_settings(layers, own, name);
        }
        let service = layers.extract().map_err(|error| within(name, error))?;
        services.insert(name.to_owned(), service);
    }
    Ok(services)
}

/// What a service that is made at run time starts from: `default`, and over it the preset. What only the operator's own messages
/// carry is left out.
pub(super) fn run_time(reference: &Figment, own: &Figment) -> Result<ServiceConfig, ConfigError> {
    let layers = with_settings(Figment::new().merge(reference.focus("service.default")), own, DEFAULT_SERVICE);
    let service: ServiceConfig = layers.merge(Toml::string(PRESET_TWILIO)).extract().map_err(|error| within(DEFAULT_SERVICE, error))?;
    Ok(ServiceConfig { origin: String::new(), android_app_hash: String::new(), templates: Templates::default(), ..service })
}

/// The layers of a service know nothing of the section that they are cut from.
fn within(name: &str, mut error: figment::Error) -> figment::Error {
    error.path.splice(..0, ["service".to_owned(), name.to_owned()]);
    error
}

/// What is said of a service, over its preset.
fn with_settings(mut layers: Figment, own: &Figment, name: &str) -> Figment {
    match own.extract_inner::<Preset>(&format!("service.{name}.preset")) {
        Ok(Preset::Twilio) => layers = layers.merge(Toml::string(PRESET_TWILIO)),
        // Nothing said, or nothing known: the settings below are read once more, and then say what is wrong.
        Ok(Preset::Standard) | Err(_) => {}
    }
    layers.merge(own.focus(&format!("service.{name}")))
}

/// Reads a section without looking at it: [`resolve`] does that with each service's own layers.
pub(super) fn skip<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, ServiceConfig>, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| BTreeMap::new())
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if (1..=40).contains(&name.len()) && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(ConfigError::rule(format!("service.{name}"), "the name must be 1 to 40 of a-z, 0-9, '_' and '-'"))
    }
}

impl ServiceConfig {
    /// The rules, each in its range.
    pub(super) fn policy(&self, name: &str, mode: Mode) -> Result<Policy, ConfigError> {
        let key = |setting: &str| format!("service.{name}.{setting}");
        let lives = [self.code_ttl_sms, self.code_ttl_whatsapp, self.code_ttl_call, self.code_ttl_email];
        let mut quotas: Vec<_> = self.limits.destination.iter().map(|quota| quota.0).collect();
        quotas.sort_by_key(|quota| quota.per);
        let policy = Policy {
            service: name.into(),
            brand: checked_brand(&self.brand).map_err(|rule| ConfigError::rule(key("brand"), rule))?.into(),
            code_length: self.code_length,
            code_life: Channel::ALL.iter().map(|channel| channel.as_str()).zip(lives.map(|life| life.0)).collect(),
            max_checks: self.max_checks,
            same_code: self.same_code,
            rearm: self.rearm,
            custom_code: self.custom_code,
            custom_brand: false,
            caller_wording: self.caller_wording,
            countries: self.countries(mode).map_err(|rule| ConfigError::rule(key("countries"), rule))?,
            default_region: self.region().map_err(|rule| ConfigError::rule(key("default_region"), rule))?,
            locale: crate::verification::request::locale(Some(self.locale.clone()), &"".into())
                .map_err(|invalid| ConfigError::rule(key("locale"), invalid.rule))?,
            origin: self.origin().map_err(|rule| ConfigError::rule(key("origin"), rule))?,
            android_app_hash: self.android_app_hash().map_err(|rule| ConfigError::rule(key("android_app_hash"), rule))?,
            sends: Arc::new(SendRule { quotas, waits: self.resend_waits.iter().map(|wait| wait.0).collect() }),
            ip_sends: self.limits.ip_sends.0,
            ip_checks: self.limits.ip_checks.0,
            service_sends: self.limits.service_sends.0,
            country_sends: self.limits.country_sends.0,
            soft_failures: self.limits.soft_failures,
            hard_failures: self.limits.hard_failures,
            channel_fallback: self.channel_fallback.clone(),
            templates: self.templates.clone(),
        };
        policy.checked().map_err(|error| ConfigError::rule(key(&error.key), error.rule))
    }

    fn countries(&self, mode: Mode) -> Result<Option<Vec<Country>>, String> {
        match (self.countries.as_slice(), mode) {
            ([], Mode::Dev) => Ok(None),
            ([], Mode::Production) => {
                Err("must name the countries that you send to ([\"DE\", \"AT\"]), or be [\"*\"] if you mean the whole world".into())
            }
            ([star], _) if star == "*" => Ok(None),
            (countries, _) => countries.iter().map(|country| Country::named(country)).collect::<Result<_, _>>().map(Some),
        }
    }

    fn region(&self) -> Result<Option<Country>, String> {
        if self.default_region.is_empty() {
            return Ok(None);
        }
        Country::named(&self.default_region).map(Some)
    }

    fn origin(&self) -> Result<Option<String>, &'static str> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        match self.origin.as_str() {
            "" => Ok(None),
            host if host.len() <= 253 && host.bytes().all(plain) => Ok(Some(host.to_owned())),
            _ => Err("must be a bare host name (\"example.com\")"),
        }
    }

    fn android_app_hash(&self) -> Result<Option<String>, &'static str> {
        match self.android_app_hash.as_str() {
            "" => Ok(None),
            _ if !self.origin.is_empty() => Err(
                "must not be set together with origin: each of them has to be the last line of the message. Give the app a service of its own",
            ),
            hash => checked_app_hash(hash).map(|hash| Some(hash.to_owned())),
        }
    }
}
