//! The published tutorial's two routes: its words to the letter, without its faults.

use countersign::dev_provider::fault::Fail;
use serde_json::{Value, json};

use crate::actors::{eventually, number, wrong};
use crate::app::TestApp;
use crate::stand_in::StandIn;

const NO_MATCH: &str = r#"{"message":"The phone number and the SMS code doesn't match."}"#;
const MATCH: &str = r#"{"message":"This is a valid match!"}"#;

async fn newest_code(app: &TestApp, to: &str, messages: usize) -> String {
    eventually("the message", async || {
        let all = app.inbox().messages().await;
        let to_it: Vec<&Value> = all.iter().filter(|message| message["to"] == to).collect();
        (to_it.len() == messages).then(|| to_it[0]["code"].as_str().expect("a code").to_owned())
    })
    .await
}

/// A message that no provider took may be asked for again: the answer says when.
#[tokio::test]
async fn what_no_provider_took_may_be_asked_for_again() {
    let down = StandIn::failing(Fail::Rejected).await;
    let app = crate::delivery::app(&[down.section("a")]).await;
    let refused = app.stranger().post("/send-code", &[], json!({ "phoneNumber": number(1) })).await;
    assert_eq!((refused.status, refused.retry_after()), (503, 2));
}

#[tokio::test]
async fn its_client_gets_the_answers_that_it_was_written_for() {
    let app = TestApp::new().await;
    let stranger = app.stranger();
    let sent = stranger.post("/send-code", &[], json!({ "phoneNumber": number(1) })).await;
    assert_eq!((sent.status, sent.header("content-type")), (200, Some("application/json")));
    let message = sent.json()["message"].as_str().expect("a message").to_owned();
    let reference = message.strip_prefix("Message sent with id: SM").unwrap_or_else(|| panic!("{message}"));
    assert!(reference.len() == 32 && reference.bytes().all(|byte| byte.is_ascii_hexdigit()), "{message}");
    assert_eq!(sent.json().as_object().map(serde_json::Map::len), Some(1), "nothing but the message");

    let code = newest_code(&app, &number(1), 1).await;
    let verify = async |to: &str, code: &str| stranger.post("/verify-code", &[], json!({ "phoneNumber": to, "smsCode": code })).await;
    for (to, given) in [
        (number(1), wrong(&code, 1)),
        (number(2), code.clone()),
        (number(1), String::new()),
        (number(1), "abc".into()),
        ("nonsense".into(), code.clone()),
    ] {
        let refused = verify(&to, &given).await;
        assert_eq!((refused.status, refused.body.as_str()), (400, NO_MATCH), "{to} {given}");
    }
    let passed = verify(&number(1), &code).await;
    assert_eq!((passed.status, passed.body.as_str()), (200, MATCH));
    let again = verify(&number(1), &code).await;
    assert_eq!((again.status, again.body.as_str()), (400, NO_MATCH), "its own fault, not repeated: once is enough");
}

/// Its pages post JSON or forms, and send fields of their own along.
#[tokio::test]
async fn forms_work_as_well() {
    let app = TestApp::new().await;
    let form = async |path: &str, body: String| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        app.wire.send("POST", path, &headers, body).await
    };
    let to = number(1).replace('+', "%2B");
    form("/send-code", format!("phoneNumber={to}&utm=x")).await.expect(200);
    let code = newest_code(&app, &number(1), 1).await;
    let passed = form("/verify-code", format!("smsCode={code}&phoneNumber={to}")).await;
    assert_eq!((passed.status, passed.body.as_str()), (200, MATCH));
    assert_eq!(form("/verify-code", format!("smsCode={code}")).await.status, 400);
}

/// The tutorial lets anybody guess as often as he likes.
#[tokio::test]
async fn guesses_and_messages_are_limited() {
    let app = TestApp::new().await;
    let stranger = app.stranger();
    let send = async || stranger.post("/send-code", &[], json!({ "phoneNumber": number(1) })).await;
    send().await.expect(200);
    let refused = send().await;
    assert_eq!((refused.status, refused.retry_after()), (429, 30));
    assert!(refused.json()["message"].is_string());
    let code = newest_code(&app, &number(1), 1).await;
    for step in 1..=5 {
        stranger.post("/verify-code", &[], json!({ "phoneNumber": number(1), "smsCode": wrong(&code, step) })).await.expect(400);
    }
    let late = stranger.post("/verify-code", &[], json!({ "phoneNumber": number(1), "smsCode": code })).await;
    assert_eq!((late.status, late.body.as_str()), (400, NO_MATCH));
    app.advance(30);
    send().await.expect(200);
    let code = newest_code(&app, &number(1), 2).await;
    assert_eq!(stranger.post("/verify-code", &[], json!({ "phoneNumber": number(1), "smsCode": code })).await.status, 200);
}

/// OTP-05: its codes are good for its own routes only, and it accepts no others.
#[tokio::test]
async fn its_codes_are_worth_nothing_elsewhere() {
    let app = TestApp::with("[service.default]\ncode_length = 10\nresend_waits = []").await;
    let (client, stranger) = (app.client(), app.stranger());
    stranger.post("/send-code", &[], json!({ "phoneNumber": number(1) })).await.expect(200);
    let its = newest_code(&app, &number(1), 1).await;
    client.check_destination(json!({ "to": number(1), "code": its })).await.problem(404, "not_found");
    let started = client.started(json!({ "to": number(1) })).await;
    let ours = app.inbox().code(&started).await;
    assert_eq!(stranger.post("/verify-code", &[], json!({ "phoneNumber": number(1), "smsCode": ours })).await.body, NO_MATCH);
}

#[tokio::test]
async fn broken_requests_are_refused_in_its_own_words() {
    let app = TestApp::new().await;
    let stranger = app.stranger();
    let bodies = [
        json!({}),
        json!({ "phoneNumber": 5 }),
        json!({ "phoneNumber": ["+4915112345678"] }),
        json!({ "phoneNumber": { "$ne": "" } }),
        json!({ "phoneNumber": null }),
        json!([]),
    ];
    for body in bodies {
        for path in ["/send-code", "/verify-code"] {
            let refused = stranger.post(path, &[], body.clone()).await;
            assert_eq!(refused.status, 400, "{path} {body}");
            assert!(refused.json()["message"].is_string());
        }
    }
    let refused = stranger.post("/send-code", &[], json!({ "phoneNumber": "not a number" })).await;
    assert_eq!(refused.status, 422);
    assert!(refused.json()["message"].is_string());
    assert_eq!(app.messages_in_the_end().await, 0);
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let app = TestApp::with("[tutorial]\napi = false").await;
    for path in ["/send-code", "/verify-code"] {
        app.stranger().post(path, &[], json!({ "phoneNumber": number(1), "smsCode": "123456" })).await.problem(404, "not_found");
    }
}
