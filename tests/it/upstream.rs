//! A provider's API, on loopback: it answers as a test says and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    /// The path and what follows it.
    pub uri: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// What it answers.
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub body: String,
    /// It goes out once so many answers wait for each other.
    pub together: Option<Arc<Barrier>>,
}

/// Where it is, and what it was asked so far.
pub struct Upstream {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: JoinHandle<()>,
}

impl Upstream {
    pub async fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (answer, remembered) = (Arc::new(answer), Arc::clone(&asked));
        let router = Router::new().fallback(move |request: Request| {
            let (answer, remembered) = (Arc::clone(&answer), Arc::clone(&remembered));
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.expect("a body");
                let asked = Asked {
                    path: parts.uri.path().to_owned(),
                    uri: parts.uri.to_string(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).expect("text"),
                };
                let reply = answer(&asked);
                remembered.lock().expect("no test panics with the lock").push(asked);
                if let Some(others) = &reply.together {
                    others.wait().await;
                }
                let mut response = Response::builder().status(reply.status).header("content-type", "application/json");
                // No connection outlives the listener: see `vanish`.
                response = response.header("connection", "close");
                if let Some(seconds) = reply.retry_after {
                    response = response.header("retry-after", seconds);
                }
                response.body(Body::from(reply.body)).expect("a response")
            }
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Upstream { url, asked, server }
    }

    /// Everything so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics with the lock").clone()
    }

    /// What was asked on paths that end so.
    pub fn asked_at(&self, end: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.ends_with(end)).collect()
    }

    /// Nobody listens there any more.
    pub fn vanish(&self) {
        self.server.abort();
    }
}

impl Asked {
    pub fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// User and password of HTTP Basic.
    pub fn basic(&self) -> Option<String> {
        String::from_utf8(STANDARD.decode(self.header("authorization")?.strip_prefix("Basic ")?).ok()?).ok()
    }
}

impl Reply {
    pub fn new(status: u16, body: impl Into<String>) -> Reply {
        Reply { status, retry_after: None, body: body.into(), together: None }
    }

    /// With `Retry-After` in seconds.
    pub fn retry_after(self, seconds: u64) -> Reply {
        Reply { retry_after: Some(seconds), ..self }
    }
}
