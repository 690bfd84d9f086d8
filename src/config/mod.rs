//! The configuration: what may be set, where it may come from, and what happens when it is wrong.
//!
//! `config.default.toml` is the reference and the default at once. Seen only by `app/` and the command line; domain code
//! gets a checked [`crate::verification::policy::Policy`] and never a section of this.

mod accounts;
mod camara;
mod complaint;
mod database;
mod delivery;
mod redis;
mod secrets;
mod server;
mod service;
mod tokens;
mod values;
mod web_app;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::account::settings::AccountSettings;
use crate::account::token::settings::TokenSettings;
use crate::db::Synchronous;
use crate::db::database::{Place, Settings};
use crate::telemetry::LogFormat;
use crate::verification::Destination;
use crate::verification::policy::{DEFAULT_SERVICE, Policy};
use crate::verification::store::redis::PeerConfig;

pub use accounts::{AccountLimitsConfig, AccountsConfig};
pub use camara::CamaraConfig;
pub use database::DatabaseConfig;
pub use delivery::{DeliveryConfig, ProviderSection, RouteConfig};
pub use redis::RedisConfig;
pub use secrets::{PEPPER_FILE, SecretsConfig};
pub use server::{AdminConfig, ServerConfig};
pub use service::ServiceConfig;
pub use tokens::TokensConfig;
pub use values::{DurationText, QuotaText};
pub use web_app::WebAppConfig;

/// The reference, embedded.
pub const DEFAULT_TOML: &str = include_str!("../../config.default.toml");

/// What kind of place this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One developer's machine: codes are shown.
    Dev,
    /// Everything else.
    Production,
}

/// On, off, or on in dev mode only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// On in dev mode.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Switch, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Flag(bool),
            Word(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Flag(true) => Ok(Switch::On),
            Raw::Flag(false) => Ok(Switch::Off),
            Raw::Word(word) if word == "auto" => Ok(Switch::Auto),
            Raw::Word(_) => Err(serde::de::Error::custom("expected true, false or \"auto\"")),
        }
    }
}

impl Serialize for Switch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Switch::Auto => serializer.serialize_str("auto"),
            Switch::On => serializer.serialize_bool(true),
            Switch::Off => serializer.serialize_bool(false),
        }
    }
}

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Dev or production.
    pub mode: Mode,
    /// Where files are kept.
    pub data_dir: PathBuf,
    /// The public listener.
    pub server: ServerConfig,
    /// The private listener.
    pub admin: AdminConfig,
    /// Logs.
    pub log: LogConfig,
    /// The embedded database.
    pub store: StoreConfig,
    /// Accounts and clients.
    pub database: DatabaseConfig,
    /// Verifications and limits, where servers share them.
    pub redis: RedisConfig,
    /// Server keys.
    pub secrets: SecretsConfig,
    /// The console provider.
    pub console: ConsoleConfig,
    /// How messages travel.
    pub delivery: DeliveryConfig,
    /// Who is asked, by channel and country.
    #[serde(default)]
    pub route: Vec<RouteConfig>,
    /// Accounts by name.
    #[serde(default)]
    pub provider: BTreeMap<String, ProviderSection>,
    /// The tutorials' routes.
    pub tutorial: TutorialConfig,
    /// Twilio Verify's API.
    pub twilio_face: TwilioFaceConfig,
    /// CAMARA's API.
    pub camara: CamaraConfig,
    /// People.
    pub accounts: AccountsConfig,
    /// An app of the operator's own.
    pub web_app: WebAppConfig,
    /// Tokens for other services.
    pub tokens: TokensConfig,
    /// Dev mode.
    pub dev: DevConfig,
    /// Services by name; `default` among them. Complete: presets and inheritance are worked in ([`service::resolve`]).
    #[serde(deserialize_with = "service::skip")]
    pub service: BTreeMap<String, ServiceConfig>,
    /// Limits over all services.
    pub limits: AllServicesConfig,
    /// What services that are made at run time start from.
    #[serde(skip)]
    pub run_time_service: Option<ServiceConfig>,
    /// The process's environment, for the names that providers' own libraries use. Empty where none was asked for.
    #[serde(skip)]
    pub environment: BTreeMap<String, String>,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines are written.
    pub filter: String,
}

/// `[store]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The file.
    pub path: PathBuf,
    /// How durable an answer is.
    pub synchronous: Synchronous,
    /// How long ended verifications are kept.
    pub retention: DurationText,
}

/// `[console]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Whether messages are printed.
    pub print: bool,
}

/// `[tutorial]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TutorialConfig {
    /// Whether the routes exist.
    pub api: Switch,
}

/// `[twilio_face]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioFaceConfig {
    /// Whether the routes exist.
    pub enabled: Switch,
    /// Whether integrators may send texts of their own.
    pub messages: bool,
    /// Whether integrators may be told at plain HTTP, and at addresses that are not public.
    pub private_webhooks: bool,
}

/// `[dev]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DevConfig {
    /// Fixed codes by destination.
    #[serde(default)]
    pub test_destinations: BTreeMap<String, crate::secret::Redacted<String>>,
    /// Messages that the inbox keeps.
    pub inbox_size: usize,
}

/// `[limits]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AllServicesConfig {
    /// Messages to one destination.
    pub destination: QuotaText,
}

/// What follows `COUNTERSIGN_` in variables that are arguments of single commands, and of the examples, and no settings.
const OF_COMMANDS: [&str; 4] = ["config", "key", "import_from", "url"];

/// Flags of the command line, the strongest layer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flags {
    /// `--host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `--port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What is wrong with the configuration: the key, the rule, and where the value came from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Unreadable, unknown or of the wrong type.
    #[error("{0}")]
    Value(String),
    /// Outside its range, or not allowed together with something else.
    #[error("{key}: {rule}")]
    Rule {
        /// The key, with its section.
        key: String,
        /// The rule.
        rule: String,
    },
    /// The file named does not exist.
    #[error("the configuration file {0} does not exist")]
    NoFile(String),
}

impl ConfigError {
    /// A broken rule.
    pub fn rule(key: impl Into<String>, rule: impl Into<String>) -> ConfigError {
        ConfigError::Rule { key: key.into(), rule: rule.into() }
    }
}

impl Config {
    /// Reads every layer and checks the whole.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Config, ConfigError> {
        let file = match file {
            Some(file) if !file.exists() => return Err(ConfigError::NoFile(file.display().to_string())),
            Some(file) => Some(file.to_owned()),
            None => Some(PathBuf::from("countersign.toml")).filter(|file| file.exists()),
        };
        let mut own = Figment::new();
        if let Some(file) = file {
            own = own.merge(Toml::file_exact(file));
        }
        let own = own
            .merge(Env::prefixed("COUNTERSIGN_").ignore(&OF_COMMANDS).split("__"))
            .merge(Env::raw().only(&["host", "port"]).map(|name| format!("server.{}", name.as_str().to_ascii_lowercase()).into()))
            .merge(Serialized::default("server", flags));
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
        Config::from_layers(own, environment)
    }

    /// The embedded default with `toml` over it and nothing else: no environment, no files.
    pub fn from_toml(toml: &str) -> Result<Config, ConfigError> {
        Config::from_layers(Figment::from(Toml::string(toml)), BTreeMap::new())
    }

    fn from_layers(own: Figment, environment: BTreeMap<String, String>) -> Result<Config, ConfigError> {
        let reference = Figment::from(Toml::string(DEFAULT_TOML));
        let services = service::resolve(&reference, &own)?;
        let run_time_service = service::run_time(&reference, &own)?;
        let mut config: Config = reference.merge(own).extract()?;
        config.environment = environment;
        config.service = services;
        config.run_time_service = Some(run_time_service);
        config.server.host = server::host_of(&config.server.host)?;
        config.check()?;
        Ok(config)
    }

    /// The checked rules by service.
    pub fn policies(&self) -> Result<Vec<Arc<Policy>>, ConfigError> {
        let services = self.service.iter();
        services.map(|(name, service)| service.policy(name, self.mode).map(Arc::new)).collect()
    }

    /// The rules that services start from which are made at run time.
    pub fn run_time_policy(&self) -> Result<Policy, ConfigError> {
        let service = self.run_time_service.as_ref().or_else(|| self.service.get(DEFAULT_SERVICE));
        let service = service.ok_or_else(|| ConfigError::rule("service.default", "is missing"))?;
        service.policy(DEFAULT_SERVICE, self.mode)
    }

    /// The file of the embedded store, whether it is used or not.
    pub fn store_file(&self) -> PathBuf {
        self.data_dir.join(&self.store.path)
    }

    /// Whether the embedded store keeps verifications and limits: neither Redis nor a database server does.
    pub fn stores_in_a_file(&self) -> Result<bool, ConfigError> {
        Ok(self.redis_peer()?.is_none() && matches!(self.database_settings()?.place, Place::File(..)))
    }

    /// Whether the tutorials' routes exist.
    pub fn tutorial_api(&self) -> bool {
        self.is_on(self.tutorial.api)
    }

    /// Whether CAMARA's API exists.
    pub fn camara_api(&self) -> bool {
        self.is_on(self.camara.api)
    }

    /// The rules of accounts; none where there are no accounts.
    pub fn accounts(&self) -> Result<Option<AccountSettings>, ConfigError> {
        let services: Vec<_> = self.service.keys().map(String::as_str).collect();
        let settings = self.accounts.settings(&services)?;
        if !self.is_on(self.accounts.enabled) {
            return Ok(None);
        }
        // Without TLS a session's cookie can be read, and set, by whoever is on the way (SES-07).
        let over_tls = match &self.server.public_url {
            Some(url) => url.starts_with("https://"),
            None => self.server.tls_certificate_file.is_some(),
        };
        if self.mode == Mode::Production && !over_tls {
            let rule = "must be https://… where people sign in in production, or the server must have a certificate of its own \
                        (server.tls_certificate_file): their cookies are for TLS only";
            return Err(ConfigError::rule("server.public_url", rule));
        }
        Ok(Some(settings))
    }

    /// The rules of access tokens. `reached_at` is their issuer where nothing else is said; empty while it is not known yet.
    pub fn token_settings(&self, reached_at: &str) -> Result<TokenSettings, ConfigError> {
        let somewhere = if reached_at.is_empty() { "http://127.0.0.1" } else { reached_at };
        let reached_at = self.server.public_url.as_deref().unwrap_or(somewhere);
        self.tokens.settings(reached_at, &self.environment, self.mode)
    }

    /// Whether Twilio Verify's API is served.
    pub fn twilio_face(&self) -> bool {
        self.is_on(self.twilio_face.enabled)
    }

    /// Where accounts and clients are kept, and how that is used.
    pub fn database_settings(&self) -> Result<Settings, ConfigError> {
        self.database.settings(&self.environment, &self.data_dir, self.store_file(), self.store.synchronous)
    }

    /// The Redis that keeps verifications and limits; none where a file keeps them.
    pub fn redis_peer(&self) -> Result<Option<PeerConfig>, ConfigError> {
        self.redis.peer(&self.environment)
    }

    fn is_on(&self, switch: Switch) -> bool {
        match switch {
            Switch::Auto => self.mode == Mode::Dev,
            Switch::On => true,
            Switch::Off => false,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.server.check(self.mode)?;
        self.admin.check()?;
        if self.mode == Mode::Production && !self.dev.test_destinations.is_empty() {
            return Err(ConfigError::rule("dev.test_destinations", "fixed codes exist in dev mode only (mode = \"dev\")"));
        }
        for (destination, code) in &self.dev.test_destinations {
            let e164 = destination
                .strip_prefix('+')
                .is_some_and(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
            let mail = Destination::parse(destination, None).is_ok_and(|parsed| parsed.canonical() == destination);
            if !e164 && !mail {
                let key = format!("dev.test_destinations.\"{destination}\"");
                return Err(ConfigError::rule(key, "must be a number as +4915112345678, or a plain mail address"));
            }
            if crate::secret::Code::parse(code.expose()).is_err() {
                return Err(ConfigError::rule(format!("dev.test_destinations.\"{destination}\""), "must be 6 to 10 digits"));
            }
        }
        if !(1..=100_000).contains(&self.dev.inbox_size) {
            return Err(ConfigError::rule("dev.inbox_size", "must be from 1 to 100000"));
        }
        let quota = self.limits.destination.0;
        if quota.count == 0 || quota.count > crate::verification::policy::WINDOW_COUNT_MAX {
            return Err(ConfigError::rule("limits.destination", "must allow 1 to 100 messages"));
        }
        if self.delivery.retry_wait.0 < std::time::Duration::from_millis(1) || self.delivery.retry_wait.0.as_secs() > 60 {
            return Err(ConfigError::rule("delivery.retry_wait", "must be from 1 ms to 60 s"));
        }
        for (key, value) in [("patience", self.delivery.patience), ("timeout", self.delivery.timeout), ("wait", self.delivery.wait)] {
            if value.0.is_zero() || value.0.as_secs() > 60 {
                return Err(ConfigError::rule(format!("delivery.{key}"), "must be more than 0 s and at most 60 s"));
            }
        }
        if !(1..=1_000_000).contains(&self.delivery.queue) {
            return Err(ConfigError::rule("delivery.queue", "must be from 1 to 1000000"));
        }
        if self.store.retention.0 < crate::verification::policy::LIFE_MAX {
            return Err(ConfigError::rule("store.retention", "must be at least 1h: verifications may live that long"));
        }
        self.database_settings()?;
        self.redis_peer()?;
        self.accounts()?;
        self.accounts.hashing()?;
        self.token_settings("")?;
        self.camara.check()?;
        self.web_app.check()?;
        self.policies().map(drop)
    }
}
