//! The one HTTP client of all providers: rustls, time-outs on every call, no redirects, answers read up to a limit (R04, R05).

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use crate::delivery::provider::SendError;
use crate::delivery::public_address::{NotPublic, PublicResolver};

/// Until a connection stands, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Until the answer is read.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The client. Cloning it shares its connections.
#[derive(Clone)]
pub struct Http {
    client: Client,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot start: {0}")]
pub struct HttpError(#[from] reqwest::Error);

impl Http {
    /// A client with the system's certificates.
    pub fn new() -> Result<Http, HttpError> {
        Ok(Http { client: builder().build()? })
    }

    /// One that connects to public addresses only, and by no proxy, which would look names up on its own (OPS-06). What is
    /// an address already is not looked up: whoever calls judges it before.
    pub fn public_only() -> Result<Http, HttpError> {
        Ok(Http { client: builder().no_proxy().dns_resolver(PublicResolver).build()? })
    }

    /// Begins a POST.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.client.post(url.as_ref())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the shared client")]
fn builder() -> ClientBuilder {
    // One TLS library and one provider of cryptography in the whole program; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(Policy::none())
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .pool_idle_timeout(Duration::from_secs(60))
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// `Retry-After`, in seconds or as a date that is not looked at.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Sends a request. Says of each failure whether the provider may have acted on it.
pub async fn call(request: RequestBuilder) -> Result<Response, SendError> {
    let mut answer = request.send().await.map_err(|error| failure(&error))?;
    let status = answer.status();
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > BODY_MAX_BYTES {
            return Err(SendError::uncertain(format!("answered {status} with more than {} KiB", BODY_MAX_BYTES / 1024)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, retry_after, body })
}

fn failure(error: &reqwest::Error) -> SendError {
    // The error's own text holds the URL, and with it at times an account or an address.
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    if causes.any(|cause| cause.is::<NotPublic>()) {
        SendError::unavailable(NotPublic.to_string())
    } else if error.is_builder() {
        SendError::unavailable("the request could not be made")
    } else if error.is_connect() {
        SendError::unavailable("no connection")
    } else if error.is_timeout() {
        SendError::uncertain("no answer in time")
    } else {
        SendError::uncertain("the connection broke")
    }
}

impl Response {
    /// The body as JSON of that shape; none when it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether the request was taken.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// What an answer means that is not of the provider's own shape: by its status alone.
    ///
    /// 429 and 503 promise that nothing was done. So do 4xx, which blame our request: the account, not the destination.
    /// Everything else, a 2xx without a reference among it, proves nothing (R04).
    pub fn unexpected(&self) -> SendError {
        let cause = format!("answered {}", self.status);
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => SendError::unavailable(cause).retry_after(self.retry_after),
            status if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => SendError::unavailable(cause),
            status if status.is_success() => SendError::uncertain(format!("{cause} with something that is no answer")),
            _ => SendError::uncertain(cause),
        }
    }
}
