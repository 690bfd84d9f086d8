//! A stand-in for delivery providers, on loopback: it speaks their wire formats, keeps what it is given, and fails on demand.
//!
//! For people who develop against Countersign without accounts (`countersign dev-provider`), and for our own tests, which
//! run it in their process. It delivers nothing, keeps everything in memory, and judges like the vendors where a caller can
//! notice. It knows nothing of the server: what it answers is written from the vendors' documentation, so that the two can
//! prove each other wrong.

pub mod fault;
pub mod knobs;
pub mod receipt;
pub mod startmessaging;
pub mod twilio;
pub mod verify;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::delivery::http::{Http, HttpError};
use crate::secret::Entropy;
use fault::Outcome;
use knobs::{Change, Knobs};

/// The secret that accounts here are opened with, and that receipts are signed with.
pub const AUTH_TOKEN: &str = "dev-provider-token";

/// A running stand-in, or one that is about to run.
pub struct DevProvider {
    /// Where it is reached.
    pub url: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    http: Http,
    knobs: Mutex<Knobs>,
    received: Mutex<Vec<Received>>,
    count: AtomicUsize,
    verifications: Mutex<HashMap<String, verify::Pending>>,
}

/// Something that it was asked to send.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// Its place, from 1.
    pub number: usize,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// Whose wire format.
    pub vendor: &'static str,
    /// The resource: Messages, Calls, Verifications …
    pub resource: &'static str,
    /// The destination.
    pub to: String,
    /// The whole text, or the code that the stand-in made.
    pub text: String,
    /// Whether a person would get it. What leaves the caller in doubt is taken: the worst case.
    pub taken: bool,
    /// The id that it was given.
    pub id: String,
    /// Where receipts go.
    pub callback: Option<String>,
    /// Receipts so far, and what they were answered.
    pub receipts: Vec<String>,
    /// Every field, as it came.
    pub fields: BTreeMap<String, String>,
}

/// What a face of the stand-in hands to [`DevProvider::take`].
pub struct Offer {
    /// Whose wire format.
    pub vendor: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The destination.
    pub to: String,
    /// What a person would read or hear.
    pub text: String,
    /// The id that an answer names.
    pub id: String,
    /// Where receipts go.
    pub callback: Option<String>,
    /// Every field.
    pub fields: Vec<(String, String)>,
}

/// Why a face refuses in its vendor's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The destination is the problem.
    Rejected,
    /// It is down.
    Unavailable,
    /// It wants to be left alone for so many seconds.
    TooMany(u64),
}

impl DevProvider {
    /// One that will be reached under `url`.
    pub fn new(url: String, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Arc<DevProvider>, HttpError> {
        Ok(Arc::new(DevProvider {
            url,
            clock,
            entropy,
            http: Http::new()?,
            knobs: Mutex::default(),
            received: Mutex::default(),
            count: AtomicUsize::new(0),
            verifications: Mutex::default(),
        }))
    }

    /// Serves until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/messages", get(messages).delete(forget))
            .route("/control", get(knobs).post(control))
            .merge(twilio::router())
            .merge(verify::router())
            .merge(startmessaging::router())
            .fallback(|| async {
                (StatusCode::NOT_FOUND, Json(json!({ "message": "the stand-in does not speak this; see countersign dev-provider --help" })))
            })
            .with_state(self)
    }

    /// How it behaves now.
    pub fn knobs(&self) -> Knobs {
        lock(&self.knobs).clone()
    }

    /// How it behaves from now on.
    pub fn set(&self, change: Change) {
        lock(&self.knobs).change(change);
    }

    /// Everything that it was asked to send, oldest first.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// Forgets what it was asked to send.
    pub fn forget(&self) {
        lock(&self.received).clear();
    }

    /// A name as vendors give them: two letters and 32 hexadecimal digits.
    pub fn new_sid(&self, letters: &str) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        format!("{letters}{:032x}", u128::from_be_bytes(bytes))
    }

    /// Keeps a message, and answers it as the knobs say: as the face would, or with a failure.
    pub async fn take(self: &Arc<Self>, offer: Offer, refuse: fn(Refusal) -> Response, accepted: Response) -> Response {
        let knobs = self.knobs();
        let Offer { vendor, resource, to, text, id, callback, fields } = offer;
        let (number, outcome) = {
            let mut received = lock(&self.received);
            let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            let outcome = knobs.fail.outcome(number, &knobs);
            let taken = !matches!(outcome, Outcome::Refuse(_));
            let at = self.clock.now().0;
            let fields = fields.into_iter().collect();
            received.push(Received { number, at, vendor, resource, to, text, taken, id, callback, receipts: Vec::new(), fields });
            (number, outcome)
        };
        if !matches!(outcome, Outcome::Refuse(_)) {
            receipt::report(self, number, knobs.receipts);
        }
        if knobs.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(knobs.delay_ms)).await;
        }
        match outcome {
            Outcome::Accept => accepted,
            Outcome::Refuse(refusal) => refuse(refusal),
            Outcome::Spoil(spoil) => spoil.answer().await,
        }
    }
}

/// A stand-in whose state one test cannot poison for another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first field of that name that is not empty.
fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, value)| field == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

async fn messages(State(provider): State<Arc<DevProvider>>) -> Json<Vec<Received>> {
    Json(provider.received())
}

async fn forget(State(provider): State<Arc<DevProvider>>) -> StatusCode {
    provider.forget();
    StatusCode::NO_CONTENT
}

async fn knobs(State(provider): State<Arc<DevProvider>>) -> Json<Knobs> {
    Json(provider.knobs())
}

async fn control(State(provider): State<Arc<DevProvider>>, body: Bytes) -> Response {
    // Whatever the content type: this is typed by hand.
    match serde_json::from_slice::<Change>(&body) {
        Ok(change) => {
            provider.set(change);
            Json(provider.knobs()).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "message": error.to_string() }))).into_response(),
    }
}
