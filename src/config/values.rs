//! Values with a spelling of their own: durations ("5m") and limits ("5/10m"), and those that may lie in a file.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::ConfigError;
use crate::secret::Redacted;
use crate::verification::limit::Quota;

/// A duration, written "90s", "5m", "24h", "30d" or "1h 30m".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationText(pub Duration);

/// A limit, written "COUNT/DURATION".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaText(pub Quota);

impl fmt::Display for DurationText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        // The largest unit that says it exactly.
        let exact = units.into_iter().find(|(unit, _)| milliseconds.is_multiple_of(*unit));
        exact.map_or(Ok(()), |(unit, name)| write!(formatter, "{}{name}", milliseconds / unit))
    }
}

impl fmt::Display for QuotaText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.0.count, DurationText(self.0.per))
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for QuotaText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurationText, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text).map(DurationText).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for QuotaText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<QuotaText, D::Error> {
        let text = String::deserialize(deserializer)?;
        quota(&text).map(QuotaText).map_err(de::Error::custom)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("\"{text}\" is no duration such as \"90s\", \"5m\", \"24h\" or \"30d\""))
}

fn quota(text: &str) -> Result<Quota, String> {
    let wrong = || format!("\"{text}\" is no limit such as \"5/10m\" (COUNT/DURATION)");
    let (count, per) = text.split_once('/').ok_or_else(wrong)?;
    let count = count.trim().parse().map_err(|_| wrong())?;
    let per = duration(per.trim()).map_err(|_| wrong())?;
    if count == 0 || per.is_zero() { Err(wrong()) } else { Ok(Quota { count, per }) }
}

/// What may stand in the configuration itself or in a file that it names, with the key that it comes from. Empty is not set.
pub(super) fn value_or_file(
    [key, file_key]: [&'static str; 2],
    value: Option<&Redacted<String>>,
    file: Option<&Path>,
) -> Result<Option<(&'static str, Redacted<String>)>, ConfigError> {
    let value = value.filter(|value| !value.expose().is_empty());
    let file = file.filter(|file| !file.as_os_str().is_empty());
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::rule(key, format!("must not be set together with {file_key}"))),
        (Some(value), None) => Ok(Some((key, value.clone()))),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|error| ConfigError::rule(file_key, format!("cannot read {}: {error}", file.display())))?;
            Ok(Some((file_key, Redacted::new(text.trim().to_owned()))))
        }
        (None, None) => Ok(None),
    }
}

/// The certificates of authorities that a file in PEM holds, at least one, with the file. Empty is not set.
pub(super) fn authorities<'f>(key: &'static str, file: Option<&'f Path>) -> Result<Option<(&'f Path, Vec<u8>)>, ConfigError> {
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else { return Ok(None) };
    let pem = std::fs::read(file).map_err(|error| ConfigError::rule(key, format!("cannot read {}: {error}", file.display())))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    if read.is_ok_and(|certificates| !certificates.is_empty()) {
        return Ok(Some((file, pem)));
    }
    Err(ConfigError::rule(key, format!("{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written_the_same() {
        let limit = quota("5/10m").expect("a limit");
        assert_eq!(limit, Quota { count: 5, per: Duration::from_secs(600) });
        assert_eq!(QuotaText(limit).to_string(), "5/10m");
        for text in ["90d", "24h", "90m", "90s", "1500ms"] {
            let read = duration(text).expect(text);
            assert_eq!(duration(&DurationText(read).to_string()), Ok(read), "{text}");
        }
        assert_eq!(DurationText(Duration::from_secs(90 * 86_400)).to_string(), "90d");
        for wrong in ["", "5", "5/", "/10m", "0/10m", "5/0s", "-1/10m", "five/10m"] {
            assert!(quota(wrong).is_err(), "{wrong}");
        }
    }
}
