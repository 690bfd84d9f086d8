//! `[web_app]`: an app of the operator's own that this server hands out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// What the server's own paths begin with.
const OURS: [&str; 25] = [
    "v1",
    "v2",
    "auth",
    "login",
    "logout",
    "register",
    "verify",
    "profile",
    "forgot",
    "reset",
    "recover",
    "security",
    "protected",
    "static",
    "docs",
    "openapi.json",
    "dev",
    "webhooks",
    "not-me",
    "livez",
    "readyz",
    "send-code",
    "verify-code",
    "one-time-password-sms",
    "oauth2",
];

/// `[web_app]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebAppConfig {
    /// Where it is.
    pub path: String,
    /// Its files; none: there is no app.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

impl WebAppConfig {
    /// Whether the path can be one.
    pub fn check(&self) -> Result<(), ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
        let good = self.path.starts_with('/') && self.path.len() > 1 && !self.path.ends_with('/') && self.path.bytes().all(plain);
        if !good || self.path.contains("//") {
            return Err(ConfigError::rule("web_app.path", "must be a path such as \"/app\": letters, digits, - and _, no / at its end"));
        }
        let first = self.path.split('/').nth(1).unwrap_or_default();
        if OURS.contains(&first) {
            return Err(ConfigError::rule("web_app.path", format!("must not begin with \"/{first}\": that is the server's own")));
        }
        Ok(())
    }

    /// Its path and its files, where there is one.
    pub fn app(&self) -> Result<Option<(String, PathBuf)>, ConfigError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        if !directory.join("index.html").is_file() {
            let rule = format!("\"{}\" has no index.html: build the app first", directory.display());
            return Err(ConfigError::rule("web_app.directory", rule));
        }
        Ok(Some((self.path.clone(), directory.clone())))
    }
}
