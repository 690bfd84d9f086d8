//! `[tokens]`: what other services read of a session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::token::settings::{PersonalClaim, TokenSettings};
use crate::config::{ConfigError, DurationText, Mode};
use crate::secret::Redacted;

/// The variable of systems that share a secret with the services behind them.
const SHARED_SECRET_VARIABLE: &str = "JWT_SECRET";

/// `[tokens]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokensConfig {
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`.
    pub audience: Option<String>,
    /// Other services that a token may be asked for.
    pub audiences: Vec<String>,
    /// Life of an access token.
    pub life: Option<DurationText>,
    /// What it tells of the person.
    pub claims: Vec<PersonalClaim>,
    /// How long a refresh token waits for its use.
    pub refresh_idle: DurationText,
    /// Signs instead of our own keys.
    pub shared_secret: Option<Redacted<String>>,
}

impl TokensConfig {
    /// Checked; what may run and should not is logged. `public_url`: where the server is reached.
    pub fn settings(&self, public_url: &str, environment: &BTreeMap<String, String>, mode: Mode) -> Result<TokenSettings, ConfigError> {
        let issuer = self.issuer.clone().unwrap_or_else(|| public_url.to_owned());
        let mut settings = TokenSettings::new(issuer);
        settings.claims.clone_from(&self.claims);
        settings.audiences.clone_from(&self.audiences);
        settings.refresh_idle = self.refresh_idle.0;
        let secret = self.shared_secret.as_ref().map(Redacted::expose).or_else(|| environment.get(SHARED_SECRET_VARIABLE));
        if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
            settings = settings.with_shared_secret(secret.clone());
        }
        if let Some(audience) = &self.audience {
            settings.audience.clone_from(audience);
        }
        if let Some(life) = self.life {
            settings.life = life.0;
        }
        let warnings = settings.check(mode == Mode::Dev);
        let warnings = warnings.map_err(|wrong| ConfigError::rule(format!("tokens.{}", wrong.key), wrong.rule))?;
        for warning in warnings {
            tracing::warn!("{}", warning.as_str());
        }
        Ok(settings)
    }
}
