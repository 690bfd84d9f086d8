//! A blocking client that tells "answered" from "no answer".
//!
//! An `Err` means that no answer came: what the server did is then unknown, never "failed".

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::response::{parse, text_field, truth_field};

/// Longer than any answer of a healthy server, and short enough to end a round.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that came.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The text field `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        text_field(&self.body, name)
    }

    /// Whether the answer says that the code was right.
    pub fn is_valid(&self) -> bool {
        truth_field(&self.body, "valid") == Some(true)
    }

    /// Whether this is a check's regular answer, be it right or wrong.
    pub fn is_checked(&self) -> bool {
        self.status == 200 && truth_field(&self.body, "valid").is_some()
    }

    /// The number field `attempts_left`.
    pub fn attempts_left(&self) -> Option<i64> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        value.get("attempts_left")?.as_i64()
    }
}

/// One keep-alive connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    key: String,
}

impl Client {
    /// Connects to a server on this machine.
    pub fn connect(port: u16, key: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, key: key.to_owned() })
    }

    /// Asks for `path`.
    pub fn get(&mut self, path: &str) -> std::io::Result<Answer> {
        self.ask("GET", path, "")
    }

    /// Starts a verification with a code of our choice.
    pub fn start(&mut self, number: &str, code: &str) -> std::io::Result<Answer> {
        self.ask("POST", "/v1/verifications", &format!(r#"{{"to":"{number}","code":"{code}"}}"#))
    }

    /// Checks a code.
    pub fn check(&mut self, id: &str, code: &str) -> std::io::Result<Answer> {
        self.ask("POST", &format!("/v1/verifications/{id}/check"), &format!(r#"{{"code":"{code}"}}"#))
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        self.call(method, path, "", body)
    }

    /// Any request; `header` is whole lines, or nothing.
    pub fn call(&mut self, method: &str, path: &str, header: &str, body: &str) -> std::io::Result<Answer> {
        let (key, length) = (&self.key, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\n{header}Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes())?;
        let mut buffer = Vec::with_capacity(1024);
        let mut piece = [0; 4096];
        loop {
            let count = self.stream.read(&mut piece)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            buffer.extend_from_slice(&piece[..count]);
            let response = parse(&buffer).map_err(std::io::Error::other)?;
            if let Some(response) = response {
                return Ok(Answer { status: response.status, body: response.body.into_owned() });
            }
        }
    }
}
