//! What is wrong with a value that cannot be read, in words of ours: the key as people write it, the rule, and where it came from.
//!
//! figment's own words put its profile before the key and a service's name behind it. They also repeat the value, and of a file
//! that is no TOML the line: either may be a secret.

use figment::error::{Error, Kind};
use figment::{Metadata, Source};

use crate::config::ConfigError;

/// How figment calls the environment.
const ENVIRONMENT: &str = "environment variable(s)";

impl From<Error> for ConfigError {
    /// A line for each that is wrong.
    fn from(error: Error) -> ConfigError {
        ConfigError::Value(error.into_iter().map(|error| complaint(&error)).collect::<Vec<_>>().join("\n"))
    }
}

fn complaint(error: &Error) -> String {
    let (key, rule) = (key(error), rule(&error.kind));
    let said = if key.is_empty() { rule } else { format!("{key}: {rule}") };
    match error.metadata.as_ref().and_then(|metadata| origin(metadata, &error.path)) {
        Some(origin) => format!("{said} (from {origin})"),
        None => said,
    }
}

/// The key with its sections: `route[0].channel`.
fn key(error: &Error) -> String {
    let missing = match &error.kind {
        Kind::MissingField(name) => Some(&**name),
        _ => None,
    };
    let parts = error.path.iter().map(String::as_str).chain(missing);
    let key = parts.map(|part| if is_place(part) { format!("[{part}]") } else { format!(".{part}") }).collect::<Vec<_>>().concat();
    key.trim_start_matches('.').to_owned()
}

/// Whether this part of a path is a place in a list.
fn is_place(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The file, or the variable. None of what is built in.
fn origin(metadata: &Metadata, path: &[String]) -> Option<String> {
    if let Some(file @ Source::File(_)) = &metadata.source {
        return Some(file.to_string());
    }
    if !metadata.name.ends_with(ENVIRONMENT) {
        return None;
    }
    let names: Vec<_> = path.iter().filter(|part| !is_place(part)).map(|part| part.to_ascii_uppercase()).collect();
    // HOST and PORT have no prefix, and stand for server.host and server.port.
    if metadata.name == ENVIRONMENT { names.last().cloned() } else { Some(format!("COUNTERSIGN_{}", names.join("__"))) }
}

fn rule(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => without_line(message).unwrap_or_else(|| message.clone()),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("must be {}", in_words(expected)),
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        Kind::UnknownField(_, known) => format!("is no setting; there are {}", known.join(", ")),
        Kind::MissingField(_) => "is missing".into(),
        other => other.to_string(),
    }
}

/// What the parser of TOML says, without the line that it shows between its first line and its last ones.
fn without_line(message: &str) -> Option<String> {
    let mut lines = message.strip_prefix("TOML parse error at ")?.lines();
    let place = lines.next()?;
    let rule: Vec<_> = lines.skip(3).collect();
    Some(format!("no TOML at {place}: {}", rule.join(", ")))
}

/// What serde expected.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a sequence" => "a list",
        "a map" => "a section",
        expected if expected.starts_with("struct ") => "a section",
        expected if expected.starts_with("enum ") => "text in quotes",
        expected => expected,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_complaint_names_the_key_as_it_is_written_and_not_the_value() {
        for (toml, complaint) in [
            ("[server]\nport = \"hunter2\"", "server.port: must be a whole number from 0 to 65535"),
            ("[server]\nport = 70000", "server.port: must be a whole number from 0 to 65535"),
            ("[service.shop]\ncode_length = \"hunter2\"", "service.shop.code_length: must be a whole number from 0 to 255"),
            // A service inherits the mistake, and is not where it was made.
            ("[service.default]\ncode_length = \"x\"\n[service.a]", "service.default.code_length: must be a whole number from 0 to 255"),
            ("service = 5", "service: must be a section"),
            ("route = 5", "route: must be a list"),
            ("[[route]]\nchannel = \"sms\"", "route[0].providers: is missing"),
            ("mode = \"hunter2\"", "mode: must be one of dev, production"),
            ("[service.shop]\npreset = \"hunter2\"", "service.shop.preset: must be one of standard, twilio"),
            ("[console]\nprinted = true", "console.printed: is no setting; there are print"),
            ("[secrets]\npepper = \"hunter2\n", "no TOML at line 2, column 18: invalid basic string"),
        ] {
            let error = Config::from_toml(toml).expect_err(toml);
            assert_eq!(error.to_string(), complaint, "{toml}");
        }
    }
}
