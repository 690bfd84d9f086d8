//! OPS-05: the same request twice is one request.

use countersign::db::client::Scope;
use serde_json::json;
use tokio::task::JoinSet;

use crate::actors::{id, number, wrong};
use crate::app::TestApp;

const STARTS: &str = "/v1/verifications";

#[tokio::test]
async fn the_same_start_gives_the_same_answer_and_one_message() {
    let app = TestApp::new().await;
    let client = app.client();
    let body = json!({ "to": number(1), "metadata": { "order": "17" } });
    let first = client.post_once(STARTS, "key-1", body.clone()).await.expect(201);
    app.advance(45);
    for _ in 0..3 {
        assert_eq!(client.post_once(STARTS, "key-1", body.clone()).await.expect(201), first, "word for word");
    }
    // The destination under another spelling is the same request.
    let respelled = json!({ "metadata": { "order": "17" }, "to": "+49 151 10000001" });
    assert_eq!(client.post_once(STARTS, "key-1", respelled).await.expect(201), first);
    assert_eq!(app.messages_in_the_end().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_equal_starts_at_once_send_one_message() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let client = app.client();
    for round in 0..5 {
        let mut starts = JoinSet::new();
        for _ in 0..100 {
            let (client, key) = (client.clone(), format!("round-{round}"));
            starts.spawn(async move { client.post_once(STARTS, &key, json!({ "to": number(round) })).await.expect(201) });
        }
        let answers = starts.join_all().await;
        assert!(answers.iter().all(|answer| answer == &answers[0]), "round {round}");
    }
    assert_eq!(app.messages_in_the_end().await, 5);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let app = TestApp::with("[service.default]\ncustom_code = true").await;
    let client = app.client();
    let first = json!({ "to": number(1), "purpose": "login", "code": "123456", "metadata": { "order": "17" } });
    client.post_once(STARTS, "key-1", first.clone()).await.expect(201);
    let changes = [
        ("to", json!(number(2))),
        ("purpose", json!("payment")),
        ("channel", json!("call")),
        ("locale", json!("de")),
        ("code", json!("123457")),
        ("subject", json!("account-17")),
        ("metadata", json!({ "order": "18" })),
        ("metadata", json!({})),
    ];
    for (field, value) in changes {
        let mut other = first.clone();
        other[field] = value;
        client.post_once(STARTS, "key-1", other).await.problem(422, "idempotency_key_reused");
    }
    assert_eq!(app.messages_in_the_end().await, 1);
}

/// A refusal is no answer to keep: the same key passes once the limit does.
#[tokio::test]
async fn a_refused_start_may_be_tried_again_under_its_key() {
    let app = TestApp::new().await;
    let client = app.client();
    client.started(json!({ "to": number(1) })).await;
    let again = async || client.post_once(STARTS, "key-1", json!({ "to": number(1) })).await;
    again().await.problem(429, "limited");
    app.advance(30);
    again().await.expect(201);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let app = TestApp::new().await;
    let client = app.client();
    let start = async || client.post_once(STARTS, "key-1", json!({ "to": number(1) })).await.expect(201);
    let first = start().await;
    app.advance(24 * 3600 - 1);
    assert_eq!(id(&start().await), id(&first));
    app.advance(1);
    assert_ne!(id(&start().await), id(&first));
}

/// A key belongs to a service and to an operation.
#[tokio::test]
async fn keys_of_services_and_operations_are_apart() {
    let app = TestApp::with("[service.shop]").await;
    let (client, shop) = (app.client(), app.client_of("shop", &Scope::ALL));
    let ours = client.post_once(STARTS, "key-1", json!({ "to": number(1) })).await.expect(201);
    let theirs = shop.post_once(STARTS, "key-1", json!({ "to": number(2) })).await.expect(201);
    assert_ne!(id(&ours), id(&theirs));
    let code = app.inbox().code(&ours).await;
    let check = format!("{STARTS}/{}/check", id(&ours));
    assert_eq!(client.post_once(&check, "key-1", json!({ "code": code })).await.expect(200)["valid"], true);
}

#[tokio::test]
async fn a_check_is_counted_once_under_its_key() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    let check = format!("{STARTS}/{}/check", id(&started));

    let missed = client.post_once(&check, "guess-1", json!({ "code": wrong(&code, 1) })).await.expect(200);
    assert_eq!(missed["attempts_left"], 4);
    for _ in 0..3 {
        assert_eq!(client.post_once(&check, "guess-1", json!({ "code": wrong(&code, 1) })).await.expect(200), missed);
    }
    client.post_once(&check, "guess-1", json!({ "code": code })).await.problem(422, "idempotency_key_reused");
    assert_eq!(client.get(&started).await.expect(200)["attempts_left"], 4);

    // An answer that was lost on the way can be asked for again; without its key the code is used.
    let passed = client.post_once(&check, "guess-2", json!({ "code": code })).await.expect(200);
    assert_eq!(passed["valid"], true);
    assert_eq!(client.post_once(&check, "guess-2", json!({ "code": code })).await.expect(200), passed);
    assert_eq!(client.check(&started, &code).await.expect(200)["valid"], false);
    assert_eq!(client.post_once(&check, "guess-3", json!({ "code": code })).await.expect(200)["valid"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_equal_checks_at_once_are_one_check() {
    let app = TestApp::new().await;
    let client = app.client();
    for round in 0..5 {
        let started = client.started(json!({ "to": number(round) })).await;
        let code = app.inbox().code(&started).await;
        let path = format!("{STARTS}/{}/check", id(&started));
        for (key, code, valid) in [("wrong", wrong(&code, 1), false), ("right", code, true)] {
            let mut checks = JoinSet::new();
            for _ in 0..100 {
                let (client, path, key, body) = (client.clone(), path.clone(), format!("{key}-{round}"), json!({ "code": code }));
                checks.spawn(async move { client.post_once(&path, &key, body).await });
            }
            for answer in checks.join_all().await {
                // While the first is being judged, the others are told to come again.
                if answer.status == 409 {
                    answer.problem(409, "idempotency_key_in_flight");
                    assert!(answer.retry_after() >= 1);
                } else {
                    assert_eq!(answer.expect(200)["valid"], valid);
                }
            }
        }
        let events = client.events(&started).await;
        assert_eq!(events.iter().filter(|event| *event == "verification.checked").count(), 2, "round {round}: one wrong, one right");
    }
}

#[tokio::test]
async fn a_key_must_be_plain_text() {
    let app = TestApp::new().await;
    let client = app.client();
    for key in ["", &"k".repeat(256)] {
        let refused = client.post_once(STARTS, key, json!({ "to": number(1) })).await;
        assert_eq!(refused.problem(422, "invalid_field")["field"], "Idempotency-Key");
    }
    client.post_once(STARTS, &"k".repeat(255), json!({ "to": number(1) })).await.expect(201);
}
