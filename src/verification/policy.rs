//! The rules of one service: what [`crate::config`] says, checked against the allowed ranges.
//!
//! A [`Policy`] cannot be made outside the ranges, so nothing else in the engine asks whether a length or a life is sane.
//! Sources of the ranges: NIST SP 800-63B-4, 3.1.3.2 (length, life) and 3.2.2 (failures); OWASP ASVS 5.0, 6.5.4 and 6.5.5.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::verification::destination::Country;
use crate::verification::limit::{FailureRule, Quota, SendRule};
use crate::verification::model::Channel;
use crate::verification::request::InvalidField;
use crate::verification::template::Templates;
use crate::verification::wording::callers_brand;

/// The service that always exists: public routes act in it.
pub const DEFAULT_SERVICE: &str = "default";
/// No verification lives longer than this, however often its code is sent again.
pub const LIFE_MAX: Duration = Duration::from_secs(3600);
/// Most messages that an exact window can hold.
pub const WINDOW_COUNT_MAX: u32 = 100;

/// Life that a code must have left to be worth sending (R03): whoever waits for it would get it too late. Of a code that
/// lives less than two minutes, half.
pub fn worth_sending(life: Duration) -> Duration {
    MINUTE.min(life / 2)
}

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// The rules of one service.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The service's name.
    pub service: Arc<str>,
    /// What people read in the message.
    pub brand: Arc<str>,
    /// Digits of a code.
    pub code_length: u8,
    /// Life of a code by channel.
    pub code_life: BTreeMap<&'static str, Duration>,
    /// Checks of one verification.
    pub max_checks: u32,
    /// A resend repeats the code.
    pub same_code: bool,
    /// A start re-arms the pending verification.
    pub rearm: bool,
    /// The caller may choose the code.
    pub custom_code: bool,
    /// The caller may choose what people read as the brand of one message.
    pub custom_brand: bool,
    /// The caller may word text messages (OTP-11).
    pub caller_wording: bool,
    /// Countries that may be sent to; `None`: every one.
    pub countries: Option<Vec<Country>>,
    /// Region of numbers without a country code.
    pub default_region: Option<Country>,
    /// Locale when the caller names none.
    pub locale: Arc<str>,
    /// Host of the last line of an SMS.
    pub origin: Option<String>,
    /// The app's hash, as the last line of an SMS. Never together with `origin`.
    pub android_app_hash: Option<String>,
    /// Messages to one destination.
    pub sends: Arc<SendRule>,
    /// Messages for one end user's address.
    pub ip_sends: Quota,
    /// Checks from one end user's address.
    pub ip_checks: Quota,
    /// Messages of the service.
    pub service_sends: Quota,
    /// Messages to one country.
    pub country_sends: Quota,
    /// Wrong codes in a row before starts wait.
    pub soft_failures: u32,
    /// Wrong codes in a row before the bucket closes.
    pub hard_failures: u32,
    /// Channels in the order in which a message that fails goes on; empty: it does not.
    pub channel_fallback: Vec<Channel>,
    /// The operator's texts.
    pub templates: Templates,
}

/// A setting outside its range. `key` is its name within the service's section.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key} {rule}")]
pub struct PolicyError {
    /// The setting.
    pub key: String,
    /// What it must be.
    pub rule: String,
}

impl Policy {
    /// Accepts the rules if each lies in its range; otherwise names the first that does not.
    pub fn checked(self) -> Result<Policy, PolicyError> {
        within("code_length", u64::from(self.code_length), 6, 10, "digits")?;
        for (channel, life) in &self.code_life {
            within_time(&format!("code_ttl_{channel}"), *life, MINUTE, 10 * MINUTE)?;
        }
        within("max_checks", u64::from(self.max_checks), 3, 5, "checks")?;
        for wait in &self.sends.waits {
            within_time("resend_waits", *wait, 30 * SECOND, 10 * MINUTE)?;
        }
        let fallback = &self.channel_fallback;
        if (1..fallback.len()).any(|at| fallback[..at].contains(&fallback[at])) {
            return Err(PolicyError { key: "channel_fallback".into(), rule: "must name each channel once".into() });
        }
        if self.sends.quotas.is_empty() {
            return Err(PolicyError { key: "limits.destination".into(), rule: "must name at least one limit".into() });
        }
        for quota in &self.sends.quotas {
            let count = u64::from(quota.count);
            within("limits.destination", count, 1, u64::from(WINDOW_COUNT_MAX), "messages")?;
        }
        let rates = [
            ("limits.ip_sends", self.ip_sends),
            ("limits.ip_checks", self.ip_checks),
            ("limits.service_sends", self.service_sends),
            ("limits.country_sends", self.country_sends),
        ];
        for (key, quota) in rates {
            within(key, u64::from(quota.count), 1, u64::from(u32::MAX), "")?;
            within_time(key, quota.per, SECOND, 31 * 24 * 60 * MINUTE)?;
        }
        within("limits.hard_failures", u64::from(self.hard_failures), 1, 100, "failures")?;
        within("limits.soft_failures", u64::from(self.soft_failures), 1, u64::from(self.hard_failures), "failures")?;
        Ok(self)
    }

    /// These rules with other words for one message: its brand, and the app's hash in its last line.
    pub fn worded(self: &Arc<Policy>, brand: Option<&str>, app_hash: Option<&str>) -> Result<Arc<Policy>, InvalidField> {
        if brand.is_none() && app_hash.is_none() {
            return Ok(Arc::clone(self));
        }
        let mut policy = Policy::clone(self);
        if let Some(brand) = brand {
            if !self.custom_brand {
                return Err(InvalidField::new("brand", "must not be given: this service has one of its own"));
            }
            policy.brand = callers_brand(brand).map_err(|rule| InvalidField::new("brand", rule))?.into();
        }
        if let Some(hash) = app_hash {
            policy.android_app_hash = Some(checked_app_hash(hash).map_err(|rule| InvalidField::new("app_hash", rule))?.to_owned());
            // Each of them has to be the last line.
            policy.origin = None;
        }
        Ok(Arc::new(policy))
    }

    /// Life of a code on that channel.
    pub fn life(&self, channel: Channel) -> Duration {
        self.code_life.get(channel.as_str()).copied().unwrap_or(5 * MINUTE)
    }

    /// Where a message goes that failed on that channel; none: nowhere.
    pub fn channel_after(&self, channel: Channel) -> Option<Channel> {
        let mut order = self.channel_fallback.iter();
        order.by_ref().find(|&&failed| failed == channel)?;
        order.next().copied()
    }

    /// The gate on failures; a subject's stays closed until it is released.
    pub fn failures(&self, has_subject: bool) -> FailureRule {
        FailureRule { soft: self.soft_failures, hard: self.hard_failures, until_released: has_subject }
    }

    /// The gate on the checks of a subject: closed after the hard cap, and no delay before it. Delays are for starts, so
    /// that a live code can always be judged until the cap.
    pub fn closed_subjects(&self) -> FailureRule {
        FailureRule { soft: self.hard_failures, ..self.failures(true) }
    }

    /// Whether messages may go to that country. Mail has none.
    pub fn allows(&self, country: Option<Country>) -> bool {
        match (&self.countries, country) {
            (Some(allowed), Some(country)) => allowed.contains(&country),
            _ => true,
        }
    }
}

/// What people read in the message, where the operator says it.
pub fn checked_brand(brand: &str) -> Result<&str, &'static str> {
    let brand = brand.trim();
    if (1..=60).contains(&brand.chars().count()) && !brand.chars().any(char::is_control) {
        Ok(brand)
    } else {
        Err("must have 1 to 60 characters on one line")
    }
}

/// The hash of an Android app, as the last line of an SMS.
pub fn checked_app_hash(hash: &str) -> Result<&str, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    if hash.len() == 11 && hash.bytes().all(plain) {
        Ok(hash)
    } else {
        Err("must be the 11 characters (A-Z, a-z, 0-9, '+', '/') that Android's AppSignatureHelper prints for your app")
    }
}

fn within(key: &str, value: u64, least: u64, most: u64, unit: &str) -> Result<(), PolicyError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let rule = format!("must be from {least} to {most} {unit}, not {value}").replace(" ,", ",");
    Err(PolicyError { key: key.into(), rule })
}

fn within_time(key: &str, value: Duration, least: Duration, most: Duration) -> Result<(), PolicyError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let rule = format!("must be from {} s to {} s, not {} s", least.as_secs(), most.as_secs(), value.as_secs_f64());
    Err(PolicyError { key: key.into(), rule })
}
