//! Every door at which a code can be asked for and shown counts in the same place (ATT-06, A07): the API, the published
//! tutorials' routes, and CAMARA's. A door that is added belongs into [`DOORS`].

use countersign::db::client::Scope;
use serde_json::{Value, json};

use crate::actors::{Client, eventually, number, wrong};
use crate::app::TestApp;
use crate::wire::Answer;

/// The doors without a person behind them. Where an account is known its person has counts of their own (ATT-08).
const DOORS: [Door; 4] = [
    Door {
        name: "native",
        send: ("/v1/verifications", |to| json!({ "to": to })),
        id: "id",
        check: |id, _, code| (format!("/v1/verifications/{id}/check"), json!({ "code": code })),
    },
    Door {
        name: "gateway tutorial",
        send: ("/auth/send-otp", |to| json!({ "phone": to })),
        id: "request_id",
        check: |id, _, code| ("/auth/verify-otp".into(), json!({ "request_id": id, "code": code })),
    },
    Door {
        name: "express tutorial",
        send: ("/send-code", |to| json!({ "phoneNumber": to })),
        id: "",
        check: |_, to, code| ("/verify-code".into(), json!({ "phoneNumber": to, "smsCode": code })),
    },
    Door {
        name: "CAMARA",
        send: ("/one-time-password-sms/vwip/send-code", |to| json!({ "phoneNumber": to, "message": "{{code}}" })),
        id: "authenticationId",
        check: |id, _, code| ("/one-time-password-sms/vwip/validate-code".into(), json!({ "authenticationId": id, "code": code })),
    },
];

/// One door: how a code is asked for, and how it is shown.
struct Door {
    name: &'static str,
    send: (&'static str, fn(&str) -> Value),
    id: &'static str,
    check: fn(&str, &str, &str) -> (String, Value),
}

impl Door {
    async fn send(&self, client: &Client, to: &str) -> Answer {
        client.post(self.send.0, (self.send.1)(to)).await
    }

    async fn guess(&self, client: &Client, sent: &Answer, to: &str, code: &str) -> Answer {
        let body = sent.json();
        let (path, body) = (self.check)(body[self.id].as_str().unwrap_or_default(), to, code);
        client.post(&path, body).await
    }
}

async fn newest_code(app: &TestApp, count: usize) -> String {
    let newest = eventually("the message", async || {
        let messages = app.inbox().messages().await;
        (messages.len() == count).then(|| messages[0]["code"].clone())
    });
    newest.await.as_str().expect("a code").to_owned()
}

/// ATT-06, A07: a wrong code at each door is one more of the same count, and when it is full every door is closed.
#[tokio::test]
async fn wrong_codes_at_all_doors_are_one_count() {
    let app = TestApp::with("[service.default]\nresend_waits = []\nlimits.soft_failures = 4\nlimits.hard_failures = 4").await;
    let (client, to) = (app.client_of("default", &Scope::ALL), number(1));
    for (index, door) in DOORS.iter().enumerate() {
        let sent = door.send(&client, &to).await;
        assert!(sent.status < 300, "{} sends: {}", door.name, sent.body);
        let code = newest_code(&app, index + 1).await;
        let answer = door.guess(&client, &sent, &to, &wrong(&code, 1)).await;
        assert!(matches!(answer.status, 200 | 400), "{} judges: {}", door.name, answer.body);
    }
    for door in &DOORS {
        let answer = door.send(&client, &to).await;
        assert!(matches!(answer.status, 403 | 429), "{} is open: {} {}", door.name, answer.status, answer.body);
        assert!(door.send(&client, &number(9)).await.status < 300, "{} is closed for another", door.name);
        app.advance(60);
    }
}

/// A07: messages through all doors are one count, too.
#[tokio::test]
async fn messages_through_all_doors_are_one_count() {
    let app = TestApp::with("[service.default]\nresend_waits = []\nlimits.destination = [\"4/10m\"]").await;
    let (client, to) = (app.client_of("default", &Scope::ALL), number(1));
    for door in &DOORS {
        let sent = door.send(&client, &to).await;
        assert!(sent.status < 300, "{} sends: {}", door.name, sent.body);
    }
    for door in &DOORS {
        let answer = door.send(&client, &to).await;
        assert!(matches!(answer.status, 403 | 429), "{} is open: {} {}", door.name, answer.status, answer.body);
    }
    assert_eq!(app.messages_in_the_end().await, DOORS.len());
}
