//! `[redis]`: where verifications and limits are kept that many servers share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::config::values::{authorities, value_or_file};
use crate::secret::Redacted;
use crate::verification::store::redis::PeerConfig;

/// The variable that many hosts and libraries set.
const URL_VARIABLE: &str = "REDIS_URL";

/// `[redis]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// A URL; it may hold a password.
    pub url: Option<Redacted<String>>,
    /// A file with it.
    pub url_file: Option<PathBuf>,
    /// Who vouches for its certificate; none: whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// What every key begins with.
    pub prefix: String,
}

impl RedisConfig {
    /// Who is asked, if anybody.
    pub fn peer(&self, environment: &BTreeMap<String, String>) -> Result<Option<PeerConfig>, ConfigError> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.chars().all(is_plain) {
            return Err(ConfigError::rule("redis.prefix", "must be 1 to 64 letters, digits or -_.:"));
        }
        let Some((key, url)) = self.url(environment)? else { return Ok(None) };
        let peer = PeerConfig::parse(url.expose()).map_err(|error| ConfigError::rule(key, error.to_string()))?;
        let Some((_, authorities)) = authorities("redis.ca_file", self.ca_file.as_deref())? else { return Ok(Some(peer)) };
        let trusting = peer.trusting(authorities);
        trusting.map(Some).map_err(|error| ConfigError::rule("redis.ca_file", error.to_string()))
    }

    /// The URL, and who says so.
    fn url(&self, environment: &BTreeMap<String, String>) -> Result<Option<(&'static str, Redacted<String>)>, ConfigError> {
        if let Some(given) = value_or_file(["redis.url", "redis.url_file"], self.url.as_ref(), self.url_file.as_deref())? {
            return Ok(Some(given));
        }
        let set = environment.get(URL_VARIABLE).filter(|url| !url.is_empty());
        Ok(set.map(|url| (URL_VARIABLE, Redacted::new(url.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_comes_before_the_variable_and_neither_is_repeated() {
        let environment = BTreeMap::from([(URL_VARIABLE.to_owned(), "redis://:hush@one:6379".to_owned())]);
        let mut config = RedisConfig { url: None, url_file: None, ca_file: None, prefix: "countersign".into() };
        let shown = |config: &RedisConfig| config.peer(&environment).map(|peer| peer.map(|peer| peer.shown()));
        assert_eq!(shown(&config).ok().flatten().as_deref(), Some("redis://one:6379"));
        config.url = Some(Redacted::new("redis://two".into()));
        assert_eq!(shown(&config).ok().flatten().as_deref(), Some("redis://two"));
        config.url = Some(Redacted::new("http://hush".into()));
        let refused = shown(&config).expect_err("no URL of Redis").to_string();
        assert!(refused.contains("redis.url") && !refused.contains("hush"), "{refused}");
        config.prefix = "{}".into();
        assert!(shown(&config).is_err());
    }
}
