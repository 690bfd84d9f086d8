//! `[server]` and `[admin]`: the listeners.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, DurationText, Mode};

/// `[server]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address or name to listen on.
    pub host: String,
    /// Port; 0 lets the system choose one.
    pub port: u16,
    /// Dev mode beyond this machine.
    pub allow_dev_on_public_address: bool,
    /// Where others reach this server.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Proxy>,
    /// PEM.
    #[serde(default)]
    pub tls_certificate_file: Option<PathBuf>,
    /// PEM.
    #[serde(default)]
    pub tls_key_file: Option<PathBuf>,
    /// Connections at once.
    pub max_connections: usize,
    /// Requests at once.
    pub max_requests: usize,
    /// First byte, whole head, next request.
    pub header_timeout: DurationText,
    /// Body and answer.
    pub request_timeout: DurationText,
    /// After a signal.
    pub drain_timeout: DurationText,
    /// After the signal, before anything stops: `/readyz` says 503 already.
    pub stop_delay: DurationText,
}

/// An address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Proxy(pub IpNet);

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Proxy, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(Proxy).ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is no address or network such as \"10.0.0.0/8\"")))
    }
}

/// `[admin]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Address or name to listen on.
    pub host: String,
    /// Port; 0 lets the system choose one.
    pub port: u16,
}

impl ServerConfig {
    pub(super) fn check(&self, mode: Mode) -> Result<(), ConfigError> {
        let key = |name: &str| format!("server.{name}");
        let loopback = is_loopback(&self.host);
        if mode == Mode::Dev && !loopback && !self.allow_dev_on_public_address {
            return Err(ConfigError::rule(
                key("host"),
                format!(
                    "\"{}\" can be reached by others, who would see every code in dev mode. Use 127.0.0.1, or mode = \"production\", \
                     or say server.allow_dev_on_public_address = true (COUNTERSIGN_SERVER__ALLOW_DEV_ON_PUBLIC_ADDRESS)",
                    self.host
                ),
            ));
        }
        if let Some(url) = &self.public_url {
            let plain = url::Url::parse(url).is_ok_and(|parsed| {
                matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && parsed.path() == "/" && parsed.query().is_none()
            });
            if !plain || url.ends_with('/') {
                return Err(ConfigError::rule(key("public_url"), "must be like https://otp.example.com: no path, no slash at the end"));
            }
        }
        if self.tls_certificate_file.is_some() != self.tls_key_file.is_some() {
            return Err(ConfigError::rule(key("tls_key_file"), "must be set together with server.tls_certificate_file"));
        }
        if !(1..=1_000_000).contains(&self.max_connections) {
            return Err(ConfigError::rule(key("max_connections"), "must be from 1 to 1000000"));
        }
        if !(1..=1_000_000).contains(&self.max_requests) {
            return Err(ConfigError::rule(key("max_requests"), "must be from 1 to 1000000"));
        }
        for (name, value, most) in [
            ("header_timeout", self.header_timeout, 120),
            ("request_timeout", self.request_timeout, 120),
            ("drain_timeout", self.drain_timeout, 600),
        ] {
            if value.0.is_zero() || value.0.as_secs() > most {
                return Err(ConfigError::rule(key(name), format!("must be more than 0 s and at most {most} s")));
            }
        }
        if self.stop_delay.0.as_secs() > 120 {
            return Err(ConfigError::rule(key("stop_delay"), "must be at most 120 s"));
        }
        Ok(())
    }
}

impl AdminConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.host.is_empty() {
            return Err(ConfigError::rule("admin.host", "must be an address or a name"));
        }
        Ok(())
    }
}

/// Whether only this machine can reach the address. A name other than localhost counts as public.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `HOST` may be a URL, as some tutorials have it: then its host name.
pub(super) fn host_of(text: &str) -> Result<String, ConfigError> {
    let bare = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let bare = bare.split('/').next().unwrap_or_default();
    let bare = match bare.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        // One colon is a port, which PORT says already; more are an IPv6 address.
        None if bare.matches(':').count() == 1 => bare.split(':').next().unwrap_or_default(),
        None => bare,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte);
    if bare.is_empty() || !bare.bytes().all(plain) {
        return Err(ConfigError::rule("server.host", "must be an address, a name, or a URL with one"));
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_be_a_url() {
        for (text, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("http://localhost", "localhost"),
            ("http://localhost:4500/", "localhost"),
            ("https://[::1]:4500", "::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(host_of(text).expect(text), host);
        }
        assert!(host_of("").is_err());
        assert!(host_of("http://").is_err());
        assert!(host_of("a b").is_err());
    }

    #[test]
    fn only_this_machine_is_loopback() {
        assert!(is_loopback("127.0.0.1") && is_loopback("::1") && is_loopback("localhost"));
        assert!(!is_loopback("0.0.0.0") && !is_loopback("::") && !is_loopback("example.com"));
    }
}
