//! `[accounts]`: people, their passwords and their sessions.

use serde::{Deserialize, Serialize};

use crate::account::password::HashSettings;
use crate::account::settings::{AccountSettings, SecondFactor, SessionLife};
use crate::config::{ConfigError, DurationText, QuotaText, Switch};
use crate::http::login::pages::brand::{Brand, BrandSettings};
use crate::verification::policy::DEFAULT_SERVICE;

/// `[accounts]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsConfig {
    /// Whether accounts exist at all.
    pub enabled: Switch,
    /// Whether there are pages.
    pub pages: bool,
    /// Other origins whose pages may call the JSON API.
    pub origins: Vec<String>,
    /// Whose policy and texts their codes have.
    pub service: String,
    /// Whether strangers may register.
    pub registration: bool,
    /// For how long an account is kept that nobody proved.
    pub unproven_kept: DurationText,
    /// Whether the registration page says what is taken.
    pub reveal_taken: bool,
    /// Whether a second factor is asked for.
    pub second_factor: SecondFactor,
    /// Whether a code alone signs in.
    pub passwordless: bool,
    /// Whether codes go by mail.
    pub email_codes: bool,
    /// How long a browser may be remembered.
    pub remember_browser: DurationText,
    /// Whether people hear of sign-ins from new browsers.
    pub sign_in_notices: bool,
    /// Since the last proof, for changes that matter.
    pub fresh: DurationText,
    /// Life of sessions with one factor.
    pub session_aal1: DurationText,
    /// The same without a request.
    pub session_aal1_idle: DurationText,
    /// Life of sessions with two factors.
    pub session_aal2: DurationText,
    /// The same without a request.
    pub session_aal2_idle: DurationText,
    /// What the pages look like.
    pub brand: BrandConfig,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// Passwords that may wait.
    pub hash_queue: usize,
    /// Argon2id's memory, in KiB.
    pub hash_memory: u32,
    /// Argon2id's passes.
    pub hash_passes: u32,
    /// Limits.
    pub limits: AccountLimitsConfig,
}

/// `[accounts.brand]`: the name is the service's.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BrandConfig {
    /// A path on this server, or a file.
    pub logo: String,
    /// Links and buttons.
    pub accent: String,
    /// Words on them.
    pub on_accent: String,
    /// The same where it is dark.
    pub accent_dark: String,
    /// Words on them where it is dark.
    pub on_accent_dark: String,
}

impl BrandConfig {
    /// Checked; reads the logo, where it is a file.
    pub fn brand(&self, name: &str) -> Result<Brand, ConfigError> {
        fn given(text: &str) -> Option<&str> {
            Some(text).filter(|text| !text.is_empty())
        }
        let file = match given(&self.logo).filter(|logo| !logo.starts_with('/')) {
            Some(file) => Some(
                std::fs::read(file)
                    .map_err(|error| ConfigError::rule("accounts.brand.logo", format!("\"{file}\" cannot be read: {error}")))?,
            ),
            None => None,
        };
        let settings = BrandSettings {
            name,
            logo: given(&self.logo),
            logo_bytes: file.as_deref(),
            accent: given(&self.accent),
            on_accent: given(&self.on_accent),
            accent_dark: given(&self.accent_dark),
            on_accent_dark: given(&self.on_accent_dark),
        };
        Brand::new(&settings).map_err(|error| ConfigError::rule("accounts.brand", error.to_string()))
    }
}

/// `[accounts.limits]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountLimitsConfig {
    /// Sign-ins begun from one address.
    pub ip_sign_ins: QuotaText,
    /// Wrong passwords of one account from one address.
    pub sign_in_failures: QuotaText,
    /// Wrong passwords of one account from strangers' browsers.
    pub account_failures: QuotaText,
    /// Registrations from one address.
    pub ip_registrations: QuotaText,
    /// New passwords and recovery codes of one account.
    pub account_changes: QuotaText,
}

impl AccountsConfig {
    /// How passwords are hashed. Checked.
    pub fn hashing(&self) -> Result<HashSettings, ConfigError> {
        let AccountsConfig { hash_threads, hash_queue, hash_memory, hash_passes, .. } = *self;
        let settings = HashSettings { hash_threads, hash_queue, hash_memory, hash_passes };
        settings.check().map_err(|invalid| ConfigError::rule(format!("accounts.{}", invalid.field), invalid.rule))?;
        Ok(settings)
    }

    /// Checked. `services`: the names of those that are configured.
    pub fn settings(&self, services: &[&str]) -> Result<AccountSettings, ConfigError> {
        let days = |days: u64| std::time::Duration::from_secs(days * 24 * 3600);
        let at_most = |key: &str, value: DurationText, most: std::time::Duration, why: &str| {
            if value.0 > most {
                return Err(ConfigError::rule(format!("accounts.{key}"), format!("must be at most {} ({why})", DurationText(most))));
            }
            Ok(value.0)
        };
        if self.service != DEFAULT_SERVICE && !services.contains(&self.service.as_str()) {
            return Err(ConfigError::rule("accounts.service", format!("names the service \"{}\", which is not configured", self.service)));
        }
        for origin in &self.origins {
            let plain = url::Url::parse(origin).is_ok_and(|parsed| {
                matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && parsed.origin().ascii_serialization() == *origin
            });
            if !plain {
                let rule = format!(
                    "\"{origin}\" must be written as browsers send it, like https://app.example.com: no path, no slash at the end, no *"
                );
                return Err(ConfigError::rule("accounts.origins", rule));
            }
        }
        let nist = "NIST SP 800-63B";
        let session = |key: &str, whole, most, idle, most_idle| -> Result<SessionLife, ConfigError> {
            let whole = at_most(key, whole, most, nist)?;
            let idle = at_most(&format!("{key}_idle"), idle, most_idle, nist)?;
            if idle.as_secs() < 60 || idle > whole {
                return Err(ConfigError::rule(format!("accounts.{key}_idle"), format!("must be from 1m to accounts.{key}")));
            }
            Ok(SessionLife { whole, idle })
        };
        let fresh = at_most("fresh", self.fresh, std::time::Duration::from_secs(900), "a proof that is older proves little")?;
        if fresh.as_secs() < 30 {
            return Err(ConfigError::rule("accounts.fresh", "must be at least 30s: nobody types faster"));
        }
        let unproven_kept = self.unproven_kept.0;
        if !unproven_kept.is_zero() && unproven_kept < days(1) {
            return Err(ConfigError::rule("accounts.unproven_kept", "must be 0s (for ever) or at least 1d, for which a claim holds"));
        }
        Ok(AccountSettings {
            service: self.service.as_str().into(),
            registration: self.registration,
            unproven_kept,
            reveal_taken: self.reveal_taken,
            second_factor: self.second_factor,
            passwordless: self.passwordless,
            email_codes: self.email_codes,
            remember_browser: at_most("remember_browser", self.remember_browser, days(30), "a browser is no second factor for longer")?,
            sign_in_notices: self.sign_in_notices,
            session_aal1: session("session_aal1", self.session_aal1, days(30), self.session_aal1_idle, days(30))?,
            session_aal2: session(
                "session_aal2",
                self.session_aal2,
                days(1),
                self.session_aal2_idle,
                std::time::Duration::from_secs(3600),
            )?,
            fresh,
            ip_sign_ins: self.limits.ip_sign_ins.0,
            sign_in_failures: self.limits.sign_in_failures.0,
            account_failures: self.limits.account_failures.0,
            ip_registrations: self.limits.ip_registrations.0,
            account_changes: self.limits.account_changes.0,
        })
    }
}
