//! What a provider is: a configured account that delivers. Adding a kind is one file beside this one, one line in `app/mod.rs`,
//! and its section in the configuration reference.
//!
//! The families are closed, a family is open. A [`MessageProvider`] sends our code, and another one of its family may send
//! the same code when it cannot; a [`VerifyProvider`] makes the code itself and is asked whether a guess is right. Failover
//! stays inside the first family, so that two codes are never live.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use crate::clock::{Clock, Timestamp};
use crate::delivery::http::Http;
use crate::delivery::message::{Envelope, Message};
use crate::delivery::receipt::{Answer, ReceiptError, ReceiptRequest};
use crate::secret::Code;
use crate::verification::courier::{Objection, ProviderLimits, ProviderVerdict};
use crate::verification::destination::Country;
use crate::verification::model::Channel;

/// A configured account.
#[derive(Clone)]
pub struct Provider {
    /// Its name in answers, events, metrics and routes: that of its section.
    pub name: Arc<str>,
    /// What it does.
    pub family: Family,
}

/// Who makes the code.
#[derive(Clone)]
pub enum Family {
    /// We do.
    Message(Arc<dyn MessageProvider>),
    /// The provider does.
    Verify(Arc<dyn VerifyProvider>),
}

impl Provider {
    /// Whether it serves that channel to that country.
    pub fn serves(&self, channel: Channel, country: Option<Country>) -> bool {
        match &self.family {
            Family::Message(provider) => provider.channels().contains(&channel) && provider.reaches(country),
            Family::Verify(provider) => provider.channels().contains(&channel) && provider.reaches(country),
        }
    }

    /// The channels that it serves.
    pub fn channels(&self) -> &[Channel] {
        match &self.family {
            Family::Message(provider) => provider.channels(),
            Family::Verify(provider) => provider.channels(),
        }
    }
}

/// Sends our code.
#[async_trait]
pub trait MessageProvider: Send + Sync {
    /// What it serves, as it is configured.
    fn channels(&self) -> &[Channel];
    /// Whether it sends to numbers of that country; none: a mail address.
    fn reaches(&self, _country: Option<Country>) -> bool {
        true
    }
    /// Whether it can carry this code at all; some carry no long ones.
    fn carries(&self, _code: &Code) -> bool {
        true
    }
    /// Whether it carries words of ours without a code, by SMS or mail. Who fills in a template of its own does not.
    fn carries_notices(&self) -> bool {
        false
    }
    /// Sends, and returns the provider's reference for the message.
    async fn send(&self, message: &Message) -> Result<String, SendError>;
    /// Reads what the provider posts to `/webhooks/NAME`. It checks the signature first, in constant time (OPS-04).
    fn receipts(&self, _request: &ReceiptRequest<'_>) -> Result<Answer, ReceiptError> {
        Err(ReceiptError::NoReceipts)
    }
}

/// Makes a code, sends it, and judges guesses.
#[async_trait]
pub trait VerifyProvider: Send + Sync {
    /// What it serves, as it is configured.
    fn channels(&self) -> &[Channel];
    /// Whether it sends to numbers of that country; none: a mail address.
    fn reaches(&self, _country: Option<Country>) -> bool {
        true
    }
    /// What it allows. A policy outside refuses to start.
    fn limits(&self) -> ProviderLimits;
    /// Has a code sent, and returns the provider's reference. The same reference as another verification's means the same code.
    async fn start(&self, envelope: &Envelope) -> Result<String, SendError>;
    /// Judges a guess.
    async fn check(&self, reference: &str, code: &Code) -> Result<ProviderVerdict, SendError>;
    /// Calls the code off.
    async fn cancel(&self, _reference: &str) -> Result<(), SendError> {
        Ok(())
    }
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}{}", .code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct SendError {
    /// What may be done about it.
    pub fault: Fault,
    /// In plain words, ours. Never the address, never the code.
    pub cause: String,
    /// The provider's own code for it.
    pub code: Option<String>,
    /// The provider wants to be left alone for that long.
    pub retry_after: Option<Duration>,
    /// It tells of this message or its country, and nothing of the provider's health: others may pass.
    pub about_message: bool,
    /// The destination's owner or carrier wants no messages.
    pub barred: bool,
}

/// What may be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The destination is the problem: nobody else should try on this channel.
    Rejected,
    /// Certainly not sent: another provider may try, or this one later.
    Unavailable,
    /// Perhaps sent: whoever sends again sends the same code.
    Uncertain,
}

impl Fault {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Rejected => "rejected",
            Fault::Unavailable => "unavailable",
            Fault::Uncertain => "uncertain",
        }
    }
}

impl SendError {
    /// The destination is the problem.
    pub fn rejected(cause: impl Into<String>) -> SendError {
        SendError { fault: Fault::Rejected, cause: cause.into(), code: None, retry_after: None, about_message: false, barred: false }
    }

    /// The destination's owner or carrier wants no messages.
    pub fn barred(cause: impl Into<String>) -> SendError {
        SendError { barred: true, ..SendError::rejected(cause) }
    }

    /// What it says against the destination, if that is the problem.
    pub fn objection(&self) -> Option<Objection> {
        match self.fault {
            Fault::Rejected if self.barred => Some(Objection::Barred),
            Fault::Rejected => Some(Objection::CannotReceive),
            Fault::Unavailable | Fault::Uncertain => None,
        }
    }

    /// Certainly not sent.
    pub fn unavailable(cause: impl Into<String>) -> SendError {
        SendError { fault: Fault::Unavailable, ..SendError::rejected(cause) }
    }

    /// Perhaps sent.
    pub fn uncertain(cause: impl Into<String>) -> SendError {
        SendError { fault: Fault::Uncertain, ..SendError::rejected(cause) }
    }

    /// With the provider's own code.
    pub fn code(self, code: impl ToString) -> SendError {
        SendError { code: Some(code.to_string()), ..self }
    }

    /// Of this message only.
    pub fn about_message(self) -> SendError {
        SendError { about_message: true, ..self }
    }

    /// With the time that the provider wants to be left alone.
    pub fn retry_after(self, retry_after: Option<Duration>) -> SendError {
        SendError { retry_after, ..self }
    }
}

/// A kind of provider: what it tells of itself before it is configured.
pub struct Kind {
    /// `type` in its section, and the name of one made from the environment alone.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Environment variables that its makers' own libraries and examples use, and the settings that they stand for.
    pub environment: &'static [(&'static str, &'static str)],
    /// Of each group one setting must be known for an account to exist.
    pub needs: &'static [&'static [&'static str]],
    /// Settings that may be given as `NAME_file` too.
    pub secrets: &'static [&'static str],
    /// Makes one.
    pub build: fn(&Account) -> Result<Family, SettingError>,
}

/// What an account is made of.
pub struct Account {
    /// Its name.
    pub name: Arc<str>,
    /// Its settings: those of its section, and of the environment.
    pub settings: Dict,
    /// The shared client.
    pub http: Http,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A setting that is missing or wrong. The text names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(pub String);

impl Account {
    /// The settings as the kind's own struct (with `deny_unknown_fields`).
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, SettingError> {
        Value::from(self.settings.clone()).deserialize().map_err(|error| SettingError(error.to_string()))
    }
}

impl Kind {
    /// What of the environment stands for settings of this kind.
    pub fn from_environment(&self, variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for (name, setting) in self.environment {
            if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
                // Of two names for one setting the first in the list counts.
                settings.entry((*setting).to_owned()).or_insert(value);
            }
        }
        settings
    }

    /// Whether these settings make an account.
    pub fn is_complete(&self, settings: impl Fn(&str) -> bool) -> bool {
        self.needs.iter().all(|group| group.iter().any(|setting| settings(setting)))
    }
}

/// A length of time in an account's settings ("10m"): how long the codes live that a provider makes.
pub fn life_setting(name: &str, text: Option<&str>, default: Duration) -> Result<Duration, SettingError> {
    let Some(text) = text else { return Ok(default) };
    let life = humantime::parse_duration(text).map_err(|error| SettingError(format!("{name}: {error} (write \"90s\", \"10m\")")))?;
    if life < Duration::from_secs(60) { Err(SettingError(format!("{name} must be at least 60 s"))) } else { Ok(life) }
}

/// Seconds from now until a time, for validity periods.
pub fn seconds_left(until: Timestamp, now: Timestamp) -> u64 {
    (until.0 - now.0).max(0) as u64 / 1000
}
