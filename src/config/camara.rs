//! `[camara]`: the one-time-password-sms API of the CAMARA project.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, DurationText, Switch};

/// `[camara]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CamaraConfig {
    /// Whether it exists, and the access tokens for it.
    pub api: Switch,
    /// The version segments that answer.
    pub versions: Vec<String>,
    /// Life of an access token.
    pub token_life: DurationText,
}

impl CamaraConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let good = |version: &String| (1..=20).contains(&version.len()) && version.bytes().all(plain);
        if self.versions.is_empty() || !self.versions.iter().all(good) {
            let rule = "must name at least one version, each of 1 to 20 of a-z, 0-9, '.' and '-' (\"vwip\", \"v1\")";
            return Err(ConfigError::rule("camara.versions", rule));
        }
        if (1..self.versions.len()).any(|at| self.versions[..at].contains(&self.versions[at])) {
            return Err(ConfigError::rule("camara.versions", "must name each version once"));
        }
        let (least, most) = (Duration::from_secs(60), Duration::from_secs(3600));
        if !(least..=most).contains(&self.token_life.0) {
            return Err(ConfigError::rule("camara.token_life", "must be from 1m to 1h"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_cannot_be_a_path_or_a_short_life_is_refused() {
        for wrong in [
            "versions = []",
            "versions = [\"v1/x\"]",
            "versions = [\"V1\"]",
            "versions = [\"v1\", \"v1\"]",
            "token_life = \"59s\"",
            "token_life = \"61m\"",
        ] {
            assert!(Config::from_toml(&format!("[camara]\n{wrong}")).is_err(), "{wrong}");
        }
        assert!(Config::from_toml("[camara]\nversions = [\"v0.2\"]\ntoken_life = \"1h\"").is_ok());
    }
}
