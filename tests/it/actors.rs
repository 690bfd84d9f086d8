//! Who takes part in the stories.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::app::App;
use countersign::verification::model::{Delivery, Status};
use countersign::verification::policy::DEFAULT_SERVICE;
use serde_json::{Value, json};

use crate::wire::{Answer, Wire};

/// A caller of the API, with its key.
#[derive(Clone)]
pub struct Client {
    pub wire: Arc<Wire>,
    pub key: String,
}

impl Client {
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", bearer.as_str())];
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        self.wire.send(method, path, &all, body).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &[], body.to_string()).await
    }

    /// With an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> Answer {
        self.call("POST", path, &[("idempotency-key", key)], body.to_string()).await
    }

    pub async fn start(&self, body: Value) -> Answer {
        self.post("/v1/verifications", body).await
    }

    /// Starts one that must pass, and returns it.
    pub async fn started(&self, body: Value) -> Value {
        self.start(body).await.expect(201)
    }

    pub async fn check(&self, verification: &Value, code: &str) -> Answer {
        self.post(&path(verification, "/check"), json!({ "code": code })).await
    }

    pub async fn check_destination(&self, body: Value) -> Answer {
        self.post("/v1/verifications/check", body).await
    }

    pub async fn resend(&self, verification: &Value) -> Answer {
        self.post(&path(verification, "/resend"), json!({})).await
    }

    pub async fn cancel(&self, verification: &Value) -> Answer {
        self.call("POST", &path(verification, "/cancel"), &[], String::new()).await
    }

    /// With its timeline.
    pub async fn get(&self, verification: &Value) -> Answer {
        self.call("GET", &path(verification, ""), &[], String::new()).await
    }

    pub async fn list(&self, to: &str, more: &str) -> Answer {
        let to = to.replace('+', "%2B");
        self.call("GET", &format!("/v1/verifications?to={to}{more}"), &[], String::new()).await
    }

    pub async fn release(&self, body: Value) -> Answer {
        self.post("/v1/failures/release", body).await
    }

    /// The verification once its newest message was handed over: later events come after that one.
    pub async fn sent(&self, verification: &Value) -> Value {
        eventually("the message is sent", async || {
            let found = self.get(verification).await.expect(200);
            (found["delivery"] == "sent").then_some(found)
        })
        .await
    }

    /// The names of what happened, oldest first.
    pub async fn events(&self, verification: &Value) -> Vec<String> {
        let found = self.get(verification).await.expect(200);
        let timeline = found["timeline"].as_array().expect("a timeline").iter();
        timeline.map(|event| event["event"].as_str().expect("a name").to_owned()).collect()
    }
}

fn path(verification: &Value, end: &str) -> String {
    format!("/v1/verifications/{}{end}", id(verification))
}

/// The id of a verification.
pub fn id(verification: &Value) -> &str {
    verification["id"].as_str().expect("an id")
}

/// Somebody from the street, without a key.
#[derive(Clone)]
pub struct Stranger {
    pub wire: Arc<Wire>,
}

impl Stranger {
    pub async fn get(&self, path: &str) -> Answer {
        self.wire.get(path, &[]).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.wire.send("POST", path, &all, body.to_string()).await
    }
}

/// The one place where codes are shown.
#[derive(Clone)]
pub struct Inbox {
    pub wire: Arc<Wire>,
}

impl Inbox {
    /// The code of a verification's first message.
    pub async fn code(&self, verification: &Value) -> String {
        self.code_of_message(verification, 1).await
    }

    /// The code of its message with that number.
    pub async fn code_of_message(&self, verification: &Value, number: u32) -> String {
        let message = self.message(verification, number).await;
        message["code"].as_str().expect("a code").to_owned()
    }

    pub async fn message(&self, verification: &Value, number: u32) -> Value {
        let wanted = format!("{}.{number}", id(verification));
        let all = format!("message {wanted} is in the inbox");
        eventually(&all, async || self.messages().await.into_iter().find(|message| message["id"] == wanted.as_str())).await
    }

    /// Every message that is still kept, newest first.
    pub async fn messages(&self) -> Vec<Value> {
        let answer = self.wire.get("/dev/inbox.json?limit=100000", &[]).await.expect(200);
        answer.as_array().expect("a list").clone()
    }
}

/// Asks again until there is an answer: for what happens behind an answer that has gone out already.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until no message to somebody is on its way: the newest that the inbox shows is then the newest that there is.
pub async fn all_arrived(app: &App, to: &str) {
    eventually("every message has arrived", async || {
        let begun = app.engine.list(DEFAULT_SERVICE, to, None, 100).await.expect("an answer").expect("a destination");
        let is_under_way = begun.iter().any(|found| found.status == Status::Pending && found.delivery == Delivery::Queued);
        (!is_under_way).then_some(())
    })
    .await;
}

/// A code of the same length that is not this one; `step` (1 to 9) tells which.
pub fn wrong(code: &str, step: u8) -> String {
    let (last, rest) = code.as_bytes().split_last().expect("a code is not empty");
    let last = (last - b'0' + step) % 10;
    format!("{}{last}", std::str::from_utf8(rest).expect("digits"))
}

/// A valid mobile number, another one for each index.
pub fn number(index: u32) -> String {
    format!("+49151{:08}", 10_000_000 + index)
}
