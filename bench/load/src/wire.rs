//! How each target is asked to start and to check, and how its answers read.
//!
//! Requests are written as bytes, with no client library in between: one thread must ask faster than the
//! fastest target can answer.

use std::io::Write;

use clap::ValueEnum;

use crate::response::{Response, text_field, truth_field};

/// Whom we speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// This project's server, over its native API.
    Countersign,
    /// The same, over Twilio Verify's API: forms, and destinations in place of ids.
    Twilio,
    /// A bare handler of the same shape: what the web framework alone can do.
    Ceiling,
    /// `peers/express-redis`.
    Express,
    /// `peers/better-auth`.
    BetterAuth,
}

/// What a check needs to know about the start before it.
#[derive(Clone, Debug)]
pub struct Started {
    /// What the target calls the verification: our id; or the phone number, as the peers and Twilio's callers do.
    pub handle: Box<str>,
    /// The code which is now right.
    pub code: Box<str>,
}

/// The requests of one target.
#[derive(Debug)]
pub struct Wire {
    target: Target,
    /// Everything between the request line and the length of the body, the same each time.
    headers: String,
    /// What is before the paths, for Twilio's: the service.
    prefix: String,
    /// The code that starts ask for, or that the peer was told to use always.
    code: Box<str>,
    body: Vec<u8>,
}

impl Wire {
    /// A wire to `target`; `key` is the API key for those that want one (Twilio's: user and password, as `Basic` wants them),
    /// `code` the code to agree on.
    pub fn new(target: Target, key: Option<&str>, code: &str) -> Self {
        let (kind, scheme) = match target {
            Target::Twilio => ("application/x-www-form-urlencoded", "Basic"),
            Target::Countersign | Target::Ceiling | Target::Express | Target::BetterAuth => ("application/json", "Bearer"),
        };
        let mut headers = format!("Host: 127.0.0.1\r\nContent-Type: {kind}\r\n");
        if let Some(key) = key {
            headers.push_str(&format!("Authorization: {scheme} {key}\r\n"));
        }
        if target == Target::BetterAuth {
            // It refuses a POST that a browser could not have sent from its own pages.
            headers.push_str("Origin: http://127.0.0.1\r\n");
        }
        Self { target, headers, prefix: String::new(), code: code.into(), body: Vec::with_capacity(256) }
    }

    /// The same within a service, where paths name one.
    pub fn within(self, service: Option<&str>) -> Self {
        Self { prefix: service.map(|sid| format!("/v2/Services/{sid}")).unwrap_or_default(), ..self }
    }

    /// Appends a request that starts a verification; `with_code` asks for the agreed code where a target lets us.
    pub fn start(&mut self, output: &mut Vec<u8>, number: &str, with_code: bool) {
        let path = match self.target {
            Target::Countersign => "/v1/verifications",
            Target::Twilio => &format!("{}/Verifications", self.prefix),
            Target::Ceiling => "/start",
            Target::Express => "/send-code",
            Target::BetterAuth => "/api/auth/phone-number/send-otp",
        };
        let code = &self.code;
        self.body.clear();
        let written = match self.target {
            Target::Countersign | Target::Ceiling if with_code => {
                write!(self.body, r#"{{"to":"{number}","code":"{code}"}}"#)
            }
            Target::Countersign | Target::Ceiling => write!(self.body, r#"{{"to":"{number}"}}"#),
            Target::Twilio if with_code => write!(self.body, "To={}&Channel=sms&CustomCode={code}", escaped(number)),
            Target::Twilio => write!(self.body, "To={}&Channel=sms", escaped(number)),
            Target::Express | Target::BetterAuth => {
                write!(self.body, r#"{{"phoneNumber":"{number}"}}"#)
            }
        };
        written.expect("a vector takes every byte");
        self.finish(output, path);
    }

    /// Appends a request that checks `code`.
    pub fn check(&mut self, output: &mut Vec<u8>, handle: &str, code: &str) {
        self.body.clear();
        let (path, written) = match self.target {
            Target::Countersign => (format!("/v1/verifications/{handle}/check"), write!(self.body, r#"{{"code":"{code}"}}"#)),
            Target::Twilio => (format!("{}/VerificationCheck", self.prefix), write!(self.body, "To={}&Code={code}", escaped(handle))),
            Target::Ceiling => (format!("/start/{handle}/check"), write!(self.body, r#"{{"code":"{code}"}}"#)),
            Target::Express => (String::from("/verify-code"), write!(self.body, r#"{{"phoneNumber":"{handle}","smsCode":"{code}"}}"#)),
            Target::BetterAuth => {
                (String::from("/api/auth/phone-number/verify"), write!(self.body, r#"{{"phoneNumber":"{handle}","code":"{code}"}}"#))
            }
        };
        written.expect("a vector takes every byte");
        self.finish(output, &path);
    }

    fn finish(&self, output: &mut Vec<u8>, path: &str) {
        let (headers, length) = (&self.headers, self.body.len());
        write!(output, "POST {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n").expect("a vector takes every byte");
        output.extend_from_slice(&self.body);
    }

    /// What was started, or `None` when this is not the answer that a start must get.
    pub fn read_start(&self, response: &Response<'_>, number: &str) -> Option<Started> {
        let (expected, handle) = match self.target {
            Target::Countersign | Target::Ceiling => (201, text_field(&response.body, "id")?),
            Target::Twilio => (201, number),
            Target::Express | Target::BetterAuth => (200, number),
        };
        let code = match response.code {
            Some(told) => std::str::from_utf8(told).ok()?,
            None => &self.code,
        };
        (response.status == expected).then(|| Started { handle: handle.into(), code: code.into() })
    }

    /// Whether the code was found right, or `None` when this is not an answer that a check may get.
    pub fn read_check(&self, response: &Response<'_>) -> Option<bool> {
        match (self.target, response.status) {
            (Target::Countersign | Target::Twilio | Target::Ceiling, 200) => truth_field(&response.body, "valid"),
            (Target::Express, 200) => Some(true),
            // Both peers say 400 for many things: only the words tell that the code was compared and found wrong.
            (Target::Express, 400) => contains(&response.body, b"doesn't match").then_some(false),
            (Target::BetterAuth, 200) => truth_field(&response.body, "status"),
            (Target::BetterAuth, 400) => contains(&response.body, b"INVALID_OTP").then_some(false),
            _ => None,
        }
    }
}

/// A number as a form writes it.
fn escaped(number: &str) -> String {
    number.replace('+', "%2B")
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_length_and_key() {
        let mut output = Vec::new();
        Wire::new(Target::Countersign, Some("secret"), "482915").start(&mut output, "+4915100000000", true);
        let text = String::from_utf8(output).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/verifications HTTP/1.1\r\n"));
        assert!(head.contains("Authorization: Bearer secret\r\n"));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        assert_eq!(body, r#"{"to":"+4915100000000","code":"482915"}"#);
    }

    #[test]
    fn twilios_callers_send_forms() {
        let mut wire = Wire::new(Target::Twilio, Some("QUM6dA=="), "482915").within(Some("VA1"));
        let (mut start, mut check) = (Vec::new(), Vec::new());
        wire.start(&mut start, "+4915100000000", true);
        wire.check(&mut check, "+4915100000000", "482915");
        let start = String::from_utf8(start).unwrap();
        assert!(start.starts_with("POST /v2/Services/VA1/Verifications HTTP/1.1\r\n"));
        assert!(start.contains("Authorization: Basic QUM6dA==\r\n"));
        assert!(start.ends_with("To=%2B4915100000000&Channel=sms&CustomCode=482915"));
        let check = String::from_utf8(check).unwrap();
        assert!(check.starts_with("POST /v2/Services/VA1/VerificationCheck HTTP/1.1\r\n"));
        assert!(check.ends_with("To=%2B4915100000000&Code=482915"));
    }
}
