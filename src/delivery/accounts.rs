//! From sections and the environment to configured accounts.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use figment::value::{Dict, Value};

use crate::clock::Clock;
use crate::delivery::http::Http;
use crate::delivery::provider::{Account, Kind, Provider};

/// The key that says what kind of provider a section is of.
const TYPE: &str = "type";

/// What accounts are made of.
pub struct Sources<'a> {
    /// Every kind there is, in the order in which the environment's accounts are asked.
    pub kinds: &'a [Kind],
    /// `[provider.NAME]`.
    pub sections: &'a BTreeMap<String, Dict>,
    /// The environment.
    pub environment: &'a BTreeMap<String, String>,
    /// The shared client.
    pub http: Http,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A section that makes no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {rule}")]
pub struct AccountError {
    /// The section, or its key.
    pub key: String,
    /// What is wrong.
    pub rule: String,
}

/// An account, and where it comes from.
pub struct Configured {
    /// The account.
    pub provider: Provider,
    /// What people call its kind.
    pub title: &'static str,
    /// The environment variables that it uses.
    pub variables: Vec<&'static str>,
}

impl Sources<'_> {
    /// Every account: first those with a section, by name; then those that the environment alone completes, in the order of
    /// the kinds, for kinds that no section is of.
    pub fn accounts(&self) -> Result<Vec<Configured>, AccountError> {
        let mut accounts = Vec::new();
        for (name, section) in self.sections {
            accounts.push(self.of_section(name, section)?);
        }
        for kind in self.kinds {
            let given = kind.from_environment(|variable| self.environment.get(variable).cloned());
            let has_section = self.sections.values().any(|section| kind_name(section) == Some(kind.name));
            if !given.is_empty() && !has_section && kind.is_complete(|setting| given.contains_key(setting)) {
                accounts.push(self.build(kind, kind.name, Dict::new())?);
            }
        }
        Ok(accounts)
    }

    fn of_section(&self, name: &str, section: &Dict) -> Result<Configured, AccountError> {
        let wrong = |key: &str, rule: String| AccountError { key: format!("provider.{name}{key}"), rule };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if name.len() > 40 || !name.bytes().all(plain) {
            return Err(wrong("", "the name must be 1 to 40 of a-z, 0-9, '_' and '-'".into()));
        }
        let known = || self.kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        let wanted = kind_name(section).ok_or_else(|| wrong(".type", format!("is missing: one of {}", known())))?;
        let kind = self.kinds.iter().find(|kind| kind.name == wanted);
        let kind = kind.ok_or_else(|| wrong(".type", format!("\"{wanted}\" is none of {}", known())))?;
        let mut settings = section.clone();
        settings.remove(TYPE);
        self.build(kind, name, settings)
    }

    /// What a section does not say, the environment may.
    fn build(&self, kind: &Kind, name: &str, mut settings: Dict) -> Result<Configured, AccountError> {
        let wrong = |rule: String| AccountError { key: format!("provider.{name}"), rule };
        for secret in kind.secrets {
            if let Some(file) = settings.remove(&format!("{secret}_file")) {
                if settings.contains_key(*secret) {
                    return Err(wrong(format!("{secret} must not be set together with {secret}_file")));
                }
                let file = file.as_str().unwrap_or_default();
                let text = fs::read_to_string(file).map_err(|error| wrong(format!("{secret}_file: cannot read {file}: {error}")))?;
                settings.insert((*secret).to_owned(), Value::from(text.trim()));
            }
        }
        let given = kind.from_environment(|variable| self.environment.get(variable).cloned());
        let mut open: Vec<&str> = given.keys().map(String::as_str).filter(|setting| !settings.contains_key(*setting)).collect();
        let mut variables = Vec::new();
        for (variable, setting) in kind.environment {
            let place = open.iter().position(|open| open == setting);
            let is_set = self.environment.get(*variable).is_some_and(|value| !value.is_empty());
            if let Some(place) = place.filter(|_| is_set) {
                // Of two names for one setting the first counts.
                open.remove(place);
                variables.push(*variable);
            }
        }
        for (setting, value) in given {
            settings.entry(setting).or_insert_with(|| Value::from(value));
        }
        // Paths are appended to it.
        if let Some(base_url) = settings.get("base_url").and_then(|url| url.as_str()).map(|url| url.trim_end_matches('/').to_owned()) {
            settings.insert("base_url".to_owned(), Value::from(base_url));
        }
        let name: Arc<str> = name.into();
        let account = Account { name: Arc::clone(&name), settings, http: self.http.clone(), clock: Arc::clone(&self.clock) };
        let family = (kind.build)(&account).map_err(|error| wrong(error.0))?;
        Ok(Configured { provider: Provider { name, family }, title: kind.title, variables })
    }
}

fn kind_name(section: &Dict) -> Option<&str> {
    section.get(TYPE)?.as_str()
}
