//! HTTP as tests speak it: requests over kept connections, answers with everything that an assertion may want.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Requests under way at once: many enough for a race, few enough for the open files of one process.
const AT_ONCE: usize = 200;

/// A way to one server.
pub struct Wire {
    address: SocketAddr,
    idle: Mutex<Vec<http1::SendRequest<Full<Bytes>>>>,
    places: Semaphore,
    http2: Option<http2::SendRequest<Full<Bytes>>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

/// A connection that broke: nobody knows whether the request was worked on.
#[derive(Debug)]
pub struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<hyper::Error> for Broken {
    fn from(error: hyper::Error) -> Broken {
        Broken(format!("{error:?}"))
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Broken {
        Broken(error.to_string())
    }
}

impl Wire {
    /// HTTP/1.1 over as many connections as are needed at once.
    pub fn new(address: SocketAddr) -> Arc<Wire> {
        Arc::new(Wire { address, idle: Mutex::default(), places: Semaphore::new(AT_ONCE), http2: None })
    }

    /// HTTP/2 without TLS, all requests over one connection.
    pub async fn http2(address: SocketAddr) -> Arc<Wire> {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("an HTTP/2 handshake");
        tokio::spawn(connection);
        Arc::new(Wire { address, idle: Mutex::default(), places: Semaphore::new(1000), http2: Some(sender) })
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, Bytes::new()).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub async fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Answer, Broken> {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let body = Full::new(body.into());
        if let Some(http2) = &self.http2 {
            let mut builder = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
            for (name, value) in headers {
                builder = builder.header(*name, *value);
            }
            return read(http2.clone().send_request(builder.body(body).expect("a request")).await?).await;
        }
        let mut builder = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut connection = self.connection().await?;
        let answer = read(connection.send_request(builder.body(body).expect("a request")).await?).await?;
        self.idle.lock().expect("no test panics with the lock").push(connection);
        Ok(answer)
    }

    async fn connection(&self) -> Result<http1::SendRequest<Full<Bytes>>, Broken> {
        loop {
            let idle = self.idle.lock().expect("no test panics with the lock").pop();
            let Some(mut idle) = idle else { break };
            // One that the server closed in the meantime is dropped here.
            if idle.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        let stream = TcpStream::connect(self.address).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Answer, Broken> {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8_lossy(&bytes).into_owned() })
}

impl Answer {
    /// The body, if the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }

    /// The problem document, if it is one with this status and code, and complete.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.any_problem();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{}", self.body);
        problem
    }

    /// The problem document, whatever it says; complete, and nobody's fault but the caller's.
    #[track_caller]
    pub fn any_problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{} {}", self.status, self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{}", self.body);
        let code = problem["code"].as_str().unwrap_or_else(|| panic!("no code: {}", self.body));
        assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with(code)), "{}", self.body);
        assert!(problem["title"].is_string(), "{}", self.body);
        assert!(problem["request_id"].as_str().is_some_and(|id| id.len() >= 8), "{}", self.body);
        assert_eq!(self.header("x-request-id"), problem["request_id"].as_str());
        problem
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Retry-After` in seconds.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        let header = self.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {}", self.body));
        header.parse().expect("seconds")
    }
}
