//! OTP-05: a code is good for one verification, one purpose, one destination, one service, and nothing else.

use countersign::db::client::Scope;
use serde_json::{Value, json};

use crate::actors::{Client, number};
use crate::app::TestApp;

/// Ten digits, so that no two of the codes here are equal by chance.
const TWO_SERVICES: &str = "[service.default]\ncode_length = 10\n[service.shop]\nbrand = \"Shop\"";

struct Live {
    client: Client,
    started: Value,
    to: String,
    purpose: &'static str,
    code: String,
}

/// One live verification for every purpose, destination and service.
async fn live(app: &TestApp, clients: &[Client]) -> Vec<Live> {
    let mut live = Vec::new();
    for purpose in ["login", "payment"] {
        // The wait between two messages to one destination.
        app.advance(30);
        for client in clients {
            for to in [number(1), number(2), "ann@example.com".to_owned()] {
                let started = client.started(json!({ "to": to, "purpose": purpose })).await;
                let code = app.inbox().code(&started).await;
                live.push(Live { client: client.clone(), started, to: to.clone(), purpose, code });
            }
        }
    }
    live
}

/// Each round tries on every verification the code of another one, each time a different other one, and then its own.
#[tokio::test]
async fn only_the_diagonal_passes() {
    let app = TestApp::with(TWO_SERVICES).await;
    let clients = [app.client(), app.client_of("shop", &Scope::ALL)];
    let mut tried = 0;
    let mut shift = 1;
    loop {
        // A day later every limit is as good as new.
        app.advance(24 * 3600);
        let live = live(&app, &clients).await;
        for (index, target) in live.iter().enumerate() {
            let other = &live[(index + shift) % live.len()];
            let by_id = target.client.check(&target.started, &other.code).await.expect(200);
            let by_destination = json!({ "to": target.to, "purpose": target.purpose, "code": other.code });
            let by_destination = target.client.check_destination(by_destination).await.expect(200);
            for checked in [by_id, by_destination] {
                assert_eq!(
                    checked["valid"], false,
                    "the code of {} {} passed for {} {}",
                    other.to, other.purpose, target.to, target.purpose
                );
                assert_eq!(checked["id"], target.started["id"]);
            }
            tried += 1;
        }
        for target in &live {
            let own = json!({ "to": target.to, "purpose": target.purpose, "code": target.code });
            let own = target.client.check_destination(own).await.expect(200);
            assert_eq!((&own["valid"], &own["id"]), (&json!(true), &target.started["id"]), "its own code");
        }
        shift += 1;
        if shift == live.len() {
            break;
        }
    }
    assert_eq!(tried, 12 * 11, "every pair but the diagonal");
}

/// A code of the wrong place is a wrong code: it is counted.
#[tokio::test]
async fn a_code_of_another_verification_is_counted_as_wrong() {
    let app = TestApp::with(TWO_SERVICES).await;
    let client = app.client();
    let login = client.started(json!({ "to": number(1), "purpose": "login" })).await;
    let payment = client.started(json!({ "to": number(2), "purpose": "payment" })).await;
    let code = app.inbox().code(&payment).await;
    assert_eq!(client.check(&login, &code).await.expect(200)["attempts_left"], 4);
    assert_eq!(client.get(&payment).await.expect(200)["attempts_left"], 5, "the other one was not touched");
}
