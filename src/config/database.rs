//! `[database]`: where accounts and API clients are kept, and under which names other systems say so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::values::{authorities, value_or_file};
use crate::config::{ConfigError, DurationText};
use crate::db::Synchronous;
use crate::db::database::{Place, Settings};
use crate::secret::Redacted;

/// The variable that many hosts and frameworks set.
const URL_VARIABLE: &str = "DATABASE_URL";
/// The variable of services written in Go; a DSN of its MySQL driver, or a URL.
const SOURCE_VARIABLE: &str = "DB_SOURCE";
/// The file in the data directory where nothing else is said.
const FILE: &str = "accounts.db";

/// `[database]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// A URL; it may hold a password.
    pub url: Option<Redacted<String>>,
    /// A file with it.
    pub url_file: Option<PathBuf>,
    /// Who vouches for its certificate, besides whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Connections to a server at most.
    pub connections: u32,
    /// How long a request waits for one.
    pub acquire_timeout: DurationText,
    /// How long a statement may take.
    pub statement_timeout: DurationText,
}

impl DatabaseConfig {
    /// Checked. `embedded`: the file of the embedded store, which is none of ours.
    pub fn settings(
        &self,
        environment: &BTreeMap<String, String>,
        data_dir: &Path,
        embedded: PathBuf,
        synchronous: Synchronous,
    ) -> Result<Settings, ConfigError> {
        let refused = |key: &str, rule: &str| ConfigError::rule(format!("database.{key}"), rule);
        if !(1..=1000).contains(&self.connections) {
            return Err(refused("connections", "must be from 1 to 1000"));
        }
        for (key, value) in [("acquire_timeout", self.acquire_timeout), ("statement_timeout", self.statement_timeout)] {
            if value.0.as_millis() < 100 || value.0.as_secs() > 60 {
                return Err(refused(key, "must be from 100 ms to 60 s"));
            }
        }
        let place = match self.url(environment)? {
            Some((key, url)) => Place::parse(url.expose(), synchronous).map_err(|rule| ConfigError::rule(key, rule))?,
            None => Place::File(data_dir.join(FILE), synchronous),
        };
        let place = match authorities("database.ca_file", self.ca_file.as_deref())? {
            Some((file, _)) => place.trusting(file),
            None => place,
        };
        if matches!(&place, Place::File(file, _) if std::path::absolute(file).ok() == std::path::absolute(&embedded).ok()) {
            return Err(refused("url", "must not be the file of store.path: that one is the embedded store's alone"));
        }
        let (acquire_timeout, statement_timeout) = (self.acquire_timeout.0, self.statement_timeout.0);
        Ok(Settings { place, connections: self.connections, acquire_timeout, statement_timeout, embedded: Some(embedded) })
    }

    /// The URL, and who says so.
    fn url(&self, environment: &BTreeMap<String, String>) -> Result<Option<(&'static str, Redacted<String>)>, ConfigError> {
        let variable = |name| environment.get(name).filter(|value: &&String| !value.is_empty());
        if let Some(given) = value_or_file(["database.url", "database.url_file"], self.url.as_ref(), self.url_file.as_deref())? {
            return Ok(Some(given));
        }
        match (variable(URL_VARIABLE), variable(SOURCE_VARIABLE)) {
            (Some(url), _) => Ok(Some((URL_VARIABLE, Redacted::new(url.clone())))),
            (None, Some(source)) => {
                let url = source_url(source).map_err(|rule| ConfigError::rule(SOURCE_VARIABLE, rule))?;
                Ok(Some((SOURCE_VARIABLE, Redacted::new(url))))
            }
            (None, None) => Ok(None),
        }
    }
}

/// A DSN of Go's MySQL driver, `user:password@net(address)/database?parameters`, as a URL. What is a URL stays one. Errors say
/// nothing of what is wrong but where.
fn source_url(source: &str) -> Result<String, &'static str> {
    if ["sqlite:", "postgres:", "postgresql:", "mysql:", "mariadb:"].iter().any(|scheme| source.starts_with(scheme))
        && !source.contains('(')
    {
        return Ok(source.to_owned());
    }
    const FORM: &str = "must read user:password@tcp(host:3306)/database, or be a URL";
    // A password may hold any letter: the last slash and the last at sign before it are those that part.
    let (before, after) = source.rsplit_once('/').ok_or(FORM)?;
    let (login, at) = before.rsplit_once('@').unwrap_or(("", before));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (net, address) = match at.split_once('(') {
        Some((net, address)) => (net, address.strip_suffix(')').ok_or(FORM)?),
        None => (at, ""),
    };
    let (database, parameters) = after.split_once('?').unwrap_or((after, ""));
    let mut url = Url::parse("mysql://127.0.0.1:3306").map_err(|_| FORM)?;
    url.set_username(user).map_err(|()| FORM)?;
    url.set_password(Some(password).filter(|password| !password.is_empty())).map_err(|()| FORM)?;
    url.set_path(database);
    match net {
        "" | "tcp" | "tcp4" | "tcp6" if !address.is_empty() => {
            let (host, port) = match address.rsplit_once(':') {
                Some((host, port)) if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) => (host, port),
                _ => (address, "3306"),
            };
            url.set_host(Some(if host.is_empty() { "127.0.0.1" } else { host })).map_err(|_| FORM)?;
            url.set_port(Some(port.parse().map_err(|_| FORM)?)).map_err(|()| FORM)?;
        }
        "" | "tcp" | "tcp4" | "tcp6" => {}
        "unix" => {
            let socket = if address.is_empty() { "/tmp/mysql.sock" } else { address };
            url.query_pairs_mut().append_pair("socket", socket);
        }
        _ => return Err("must name the network tcp or unix"),
    }
    for parameter in parameters.split('&') {
        let mode = match parameter.split_once('=') {
            Some(("tls", "true")) => "VERIFY_IDENTITY",
            Some(("tls", "skip-verify")) => "REQUIRED",
            Some(("tls", "preferred")) => "PREFERRED",
            Some(("tls", "false")) => "DISABLED",
            Some(("tls", _)) => return Err("must have tls=true, skip-verify, preferred or false"),
            // How times and letters come out of the driver, which is no matter of ours.
            _ => continue,
        };
        url.query_pairs_mut().append_pair("ssl-mode", mode);
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_go_are_read() {
        for (source, url) in [
            ("root:secret@tcp(localhost:3306)/bank?parseTime=true", "mysql://root:secret@localhost:3306/bank"),
            ("root@tcp(10.0.0.1)/bank", "mysql://root@10.0.0.1:3306/bank"),
            (
                "root:a@b:c/d?e@tcp([::1]:3307)/bank?tls=true&loc=Local",
                "mysql://root:a%40b%3Ac%2Fd%3Fe@[::1]:3307/bank?ssl-mode=VERIFY_IDENTITY",
            ),
            (
                "u:p@unix(/run/mysqld/mysqld.sock)/bank?charset=utf8mb4",
                "mysql://u:p@127.0.0.1:3306/bank?socket=%2Frun%2Fmysqld%2Fmysqld.sock",
            ),
            ("u:p@/bank", "mysql://u:p@127.0.0.1:3306/bank"),
            ("/bank", "mysql://127.0.0.1:3306/bank"),
            ("u@tcp(:3308)/bank?tls=skip-verify", "mysql://u@127.0.0.1:3308/bank?ssl-mode=REQUIRED"),
            ("postgresql://u:p@localhost:5432/bank?sslmode=disable", "postgresql://u:p@localhost:5432/bank?sslmode=disable"),
        ] {
            assert_eq!(source_url(source).as_deref(), Ok(url), "{source}");
            assert!(Place::parse(url, Synchronous::Full).is_ok(), "{url}");
        }
        for source in [
            "root:hush@tcp(localhost:3306)",
            "u:hush@tcp(localhost:x)/bank",
            "u:hush@pipe(x)/bank",
            "u:hush@tcp(x/bank",
            "u:hush@tcp(x)/bank?tls=custom",
        ] {
            let refused = source_url(source).expect_err(source);
            assert!(!refused.contains("hush"), "{refused}");
        }
    }
}
