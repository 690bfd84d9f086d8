//! The two routes of the OTP gateway tutorial: its words to the letter, with the limits that it asks for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::actors::{eventually, id, number, wrong};
use crate::app::TestApp;
use crate::wire::Answer;

const TRUE: &str = r#"{"verified":true}"#;
const FALSE: &str = r#"{"verified":false}"#;

async fn send(app: &TestApp, to: &str) -> Answer {
    app.stranger().post("/auth/send-otp", &[], json!({ "phone": to })).await
}

async fn verify(app: &TestApp, request_id: &Value, code: &str) -> Answer {
    app.stranger().post("/auth/verify-otp", &[], json!({ "request_id": request_id, "code": code })).await
}

/// Sends one that must pass: the request's id, and the code.
async fn sent(app: &TestApp, to: &str) -> (Value, String) {
    let request_id = send(app, to).await.expect(200)["request_id"].clone();
    let code = eventually("the message", async || {
        let all = app.inbox().messages().await;
        let its = all.iter().find(|message| message["verification"] == request_id)?;
        Some(its["code"].as_str().expect("a code").to_owned())
    })
    .await;
    (request_id, code)
}

#[tokio::test]
async fn its_client_gets_the_answers_that_it_was_written_for() {
    let app = TestApp::new().await;
    let answer = send(&app, &number(1)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let body = answer.json();
    assert_eq!(body.as_object().expect("an object").keys().collect::<Vec<_>>(), ["expires_at", "request_id"]);
    let expires_at = body["expires_at"].as_str().expect("text");
    assert!(expires_at.ends_with('Z') && expires_at.contains('T'), "RFC 3339: {expires_at}");

    let (request_id, code) = sent(&app, &number(2)).await;
    let nobody = json!("01a1fd5f-f5ce-7cab-bd7d-434883653c8d");
    for (request_id, given) in [
        (&request_id, wrong(&code, 1)),
        (&body["request_id"], wrong(&code, 2)),
        (&nobody, code.clone()),
        (&json!("nonsense"), code.clone()),
        (&json!(""), code.clone()),
        (&request_id, String::new()),
        (&request_id, "abc".into()),
    ] {
        let refused = verify(&app, request_id, &given).await;
        assert_eq!((refused.status, refused.body.as_str()), (200, FALSE), "{request_id} {given}");
    }
    let passed = verify(&app, &request_id, &code).await;
    assert_eq!((passed.status, passed.body.as_str()), (200, TRUE));
    let again = verify(&app, &request_id, &code).await;
    assert_eq!((again.status, again.body.as_str()), (200, FALSE), "once is enough");
}

/// The tutorial never shows the request of its second route: every spelling that its author uses elsewhere works.
#[tokio::test]
async fn the_code_goes_by_each_of_its_names() {
    let app = TestApp::new().await;
    for (index, name) in ["code", "otp", "otp_code", "otpCode"].into_iter().enumerate() {
        let (request_id, code) = sent(&app, &number(index as u32)).await;
        let body = json!({ "request_id": request_id, name: code, "utm": "x" });
        assert_eq!(app.stranger().post("/auth/verify-otp", &[], body).await.body, TRUE, "{name}");
    }
    let (request_id, code) = sent(&app, &number(9)).await;
    let body = format!("requestId={}&otpCode={code}", request_id.as_str().expect("text"));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(app.wire.send("POST", "/auth/verify-otp", &headers, body).await.body, TRUE, "as a form");
}

#[tokio::test]
async fn of_fifty_right_answers_at_once_one_passes() {
    let app = TestApp::new().await;
    let (request_id, code) = sent(&app, &number(1)).await;
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (stranger, body) = (app.stranger(), json!({ "request_id": request_id, "otp": code }));
        answers.spawn(async move { stranger.post("/auth/verify-otp", &[], body).await });
    }
    let answers = answers.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(answers.iter().filter(|answer| answer.body == TRUE).count(), 1);
}

#[tokio::test]
async fn an_expired_code_is_a_wrong_one() {
    let app = TestApp::new().await;
    let (request_id, code) = sent(&app, &number(1)).await;
    app.advance(300);
    assert_eq!(verify(&app, &request_id, &code).await.body, FALSE);
}

/// The tutorial asks for limits per address and a window per number, and for guesses that end.
#[tokio::test]
async fn guesses_and_messages_are_limited() {
    let app = TestApp::with("[service.default.limits]\nip_sends = \"3/1h\"\nip_checks = \"10/1h\"").await;
    let (request_id, code) = sent(&app, &number(1)).await;
    let refused = send(&app, &number(1)).await;
    assert_eq!((refused.status, refused.retry_after()), (429, 30));
    assert_eq!(refused.json()["code"], "limited");
    for step in 1..=5 {
        assert_eq!(verify(&app, &request_id, &wrong(&code, step)).await.body, FALSE);
    }
    assert_eq!(verify(&app, &request_id, &code).await.body, FALSE, "its checks are used up");

    for index in 2..=3 {
        send(&app, &number(index)).await.expect(200);
    }
    let refused = send(&app, &number(4)).await;
    assert!(refused.status == 429 && refused.retry_after() > 0, "per address: {}", refused.body);
    // Unknown ids and no ids at all are counted for the address like any other.
    for request_id in ["01a1fd5f-f5ce-7cab-bd7d-434883653c8d", "x", "", "x"] {
        assert_eq!(verify(&app, &json!(request_id), "000000").await.body, FALSE);
    }
    let refused = verify(&app, &json!("x"), "000000").await;
    assert!(refused.status == 429 && refused.retry_after() > 0, "{}", refused.body);
}

/// OTP-05: an id of another face is an unknown one here, however right the code is.
#[tokio::test]
async fn its_codes_are_worth_nothing_elsewhere() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let (client, stranger) = (app.client(), app.stranger());
    let started = client.started(json!({ "to": number(1) })).await;
    let ours = app.inbox().code(&started).await;
    assert_eq!(verify(&app, &json!(id(&started)), &ours).await.body, FALSE);
    assert_eq!(client.get(&started).await.expect(200)["attempts_left"], 5, "not even a check is lost");
    assert_eq!(client.check(&started, &ours).await.expect(200)["valid"], true);

    let (_, its) = sent(&app, &number(2)).await;
    client.check_destination(json!({ "to": number(2), "code": its })).await.problem(404, "not_found");
    stranger.post("/verify-code", &[], json!({ "phoneNumber": number(2), "smsCode": its })).await.expect(400);
}

#[tokio::test]
async fn broken_requests_are_refused_in_its_own_words() {
    let app = TestApp::new().await;
    let bodies = [
        json!({}),
        json!([]),
        json!({ "phone": 5, "request_id": 5, "code": "123456" }),
        json!({ "phone": ["+4915112345678"], "request_id": "x", "code": 123456 }),
        json!({ "phone": { "$ne": "" }, "request_id": { "$ne": "" }, "code": "123456" }),
        json!({ "phone": null, "request_id": "x", "code": null }),
        json!({ "request_id": "x", "code": "123456", "otp": "123456", "phone": true }),
    ];
    let mut sentences = BTreeSet::new();
    for body in bodies {
        for path in ["/auth/send-otp", "/auth/verify-otp"] {
            let refused = app.stranger().post(path, &[], body.clone()).await;
            let said = refused.expect(400);
            assert_eq!(said["code"], "invalid_body", "{path} {body}");
            sentences.insert(said["error"].as_str().expect("text").to_owned());
        }
    }
    assert_eq!(sentences.len(), 1, "one sentence for one kind of failure: {sentences:?}");
    let refused = send(&app, "not a number").await.expect(422);
    assert_eq!(refused["code"], "invalid_field");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.starts_with("phone ")), "{refused}");
    assert_eq!(app.messages_in_the_end().await, 0);
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let app = TestApp::with("[tutorial]\napi = false\n[accounts]\nenabled = false").await;
    for path in ["/auth/send-otp", "/auth/verify-otp"] {
        app.stranger().post(path, &[], json!({ "phone": number(1) })).await.problem(404, "not_found");
    }
    // Where people sign in, the second path is theirs, and knows nothing of the gateway.
    let app = TestApp::with("[tutorial]\napi = false").await;
    app.stranger().post("/auth/send-otp", &[], json!({ "phone": number(1) })).await.problem(404, "not_found");
    assert_eq!(verify(&app, &json!("x"), "000000").await.expect(400)["field"], "request_id");
}
