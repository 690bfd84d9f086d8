//! `[secrets]`: the pepper, from a value, from a file, or made at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::ConfigError;
use crate::hex;
use crate::secret::{Entropy, PEPPER_MIN_BYTES, Pepper, Peppers, Redacted};

/// The pepper's file in the data directory.
pub const PEPPER_FILE: &str = "pepper.key";

/// `[secrets]`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// Base64 or hex.
    pub pepper: Option<Redacted<String>>,
    /// A file with it.
    pub pepper_file: Option<PathBuf>,
    /// The one before.
    pub previous_pepper: Option<Redacted<String>>,
    /// A file with it.
    pub previous_pepper_file: Option<PathBuf>,
}

impl SecretsConfig {
    /// Reads the peppers. Makes `data_dir/pepper.key` when none is configured and none was made before.
    pub fn peppers(&self, data_dir: &Path, entropy: &dyn Entropy) -> Result<Peppers, ConfigError> {
        let current = match self.configured()? {
            Some(pepper) => pepper,
            None => made(&data_dir.join(PEPPER_FILE), entropy)?,
        };
        Ok(Peppers { current, previous: self.previous()? })
    }

    /// The current pepper, where there is one. Makes none.
    pub fn current(&self, data_dir: &Path) -> Result<Option<Pepper>, ConfigError> {
        let file = data_dir.join(PEPPER_FILE);
        match self.configured()? {
            None if file.exists() => from_file("data_dir", &file).map(Some),
            configured => Ok(configured),
        }
    }

    fn configured(&self) -> Result<Option<Pepper>, ConfigError> {
        read("pepper", self.pepper.as_ref(), self.pepper_file.as_deref())
    }

    /// The pepper before the current one, where it is configured.
    pub fn previous(&self) -> Result<Option<Pepper>, ConfigError> {
        read("previous_pepper", self.previous_pepper.as_ref(), self.previous_pepper_file.as_deref())
    }
}

fn read(name: &str, value: Option<&Redacted<String>>, file: Option<&Path>) -> Result<Option<Pepper>, ConfigError> {
    match (value, file) {
        (Some(_), Some(_)) => {
            Err(ConfigError::rule(format!("secrets.{name}"), format!("must not be set together with secrets.{name}_file")))
        }
        (Some(value), None) => parse(&format!("secrets.{name}"), value.expose()).map(Some),
        (None, Some(file)) => from_file(&format!("secrets.{name}_file"), file).map(Some),
        (None, None) => Ok(None),
    }
}

fn from_file(key: &str, file: &Path) -> Result<Pepper, ConfigError> {
    let text = fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| ConfigError::rule(key, format!("cannot read {}: {error}", file.display())))?;
    parse(key, &text)
}

fn parse(key: &str, text: &str) -> Result<Pepper, ConfigError> {
    let text = text.trim();
    let bytes = hex::bytes(text).or_else(|| STANDARD.decode(text).ok()).or_else(|| URL_SAFE_NO_PAD.decode(text).ok()).map(Zeroizing::new);
    bytes.and_then(|bytes| Pepper::new(&bytes)).ok_or_else(|| {
        ConfigError::rule(key, format!("must be at least {PEPPER_MIN_BYTES} random bytes as base64 or hex (openssl rand -base64 32)"))
    })
}

fn made(file: &Path, entropy: &dyn Entropy) -> Result<Pepper, ConfigError> {
    let mut bytes = Zeroizing::new([0; PEPPER_MIN_BYTES]);
    entropy.fill(bytes.as_mut());
    let text = Zeroizing::new(STANDARD.encode(bytes.as_ref()));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut made) => {
            // The directory too: a pepper that a power cut takes back would make every code before it worthless.
            let directory = || file.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all());
            let written = made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).and_then(|()| directory());
            written.map_err(|error| ConfigError::rule("data_dir", format!("cannot write {}: {error}", file.display())))?;
            parse("secrets.pepper", &text)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => from_file("data_dir", file),
        Err(error) => Err(ConfigError::rule("data_dir", format!("cannot make {}: {error}", file.display()))),
    }
}
