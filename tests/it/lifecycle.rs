//! One code, from its start to each of its ends.

use serde_json::json;

use crate::actors::{number, wrong};
use crate::app::TestApp;

#[tokio::test]
async fn the_right_code_passes_and_never_again() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "purpose": "login", "metadata": { "order": "17" } })).await;
    assert_eq!((&started["status"], &started["attempts_left"]), (&json!("pending"), &json!(5)));
    let code = app.inbox().code(&started).await;
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "OTP-02: {code}");

    let checked = client.check(&started, &code).await.expect(200);
    assert_eq!((&checked["valid"], &checked["status"], &checked["id"]), (&json!(true), &json!("approved"), &started["id"]));
    for _ in 0..3 {
        let again = client.check(&started, &code).await.expect(200);
        assert_eq!((&again["valid"], &again["status"], &again["attempts_left"]), (&json!(false), &json!("approved"), &json!(0)));
    }
    // Nor by destination: nothing is pending there any more.
    client.check_destination(json!({ "to": number(1), "purpose": "login", "code": code })).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_start_tells_where_it_is() {
    let app = TestApp::new().await;
    let client = app.client();
    let answer = client.start(json!({ "to": number(1) })).await;
    let location = answer.header("location").expect("a Location").to_owned();
    let started = answer.expect(201);
    assert_eq!(client.call("GET", &location, &[], String::new()).await.expect(200)["id"], started["id"]);
    assert_eq!(client.sent(&started).await["delivery"], "sent");
}

#[tokio::test]
async fn a_mail_address_gets_a_mail_with_a_subject() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": "Ann.Lee@Example.com" })).await;
    assert_eq!(started["channel"], "email");
    let message = app.inbox().message(&started, 1).await;
    let code = message["code"].as_str().expect("a code");
    assert!(message["subject"].as_str().is_some_and(|subject| subject.contains(code)));
    assert!(message["body"].as_str().is_some_and(|body| body.contains(code)));
    assert_eq!(client.check(&started, code).await.expect(200)["valid"], true);
}

/// ATT-01.
#[tokio::test]
async fn five_wrong_codes_use_it_up() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    for (step, left, status) in [(1, 4, "pending"), (2, 3, "pending"), (3, 2, "pending"), (4, 1, "pending"), (5, 0, "exhausted")] {
        let checked = client.check(&started, &wrong(&code, step)).await.expect(200);
        assert_eq!((&checked["valid"], &checked["attempts_left"], &checked["status"]), (&json!(false), &json!(left), &json!(status)));
    }
    let late = client.check(&started, &code).await.expect(200);
    assert_eq!((&late["valid"], &late["status"]), (&json!(false), &json!("exhausted")));
    let counted = client.events(&started).await.iter().filter(|event| *event == "verification.checked").count();
    assert_eq!(counted, 5, "what came after the end was not evaluated");
}

/// OTP-03: the last second counts, the next one does not.
#[tokio::test]
async fn a_code_lives_as_long_as_its_channel_says() {
    for (to, channel, seconds) in
        [(number(1), "sms", 300), (number(1), "whatsapp", 300), (number(1), "call", 300), ("ann@example.com".to_owned(), "email", 600)]
    {
        for (waited, passes) in [(seconds - 1, true), (seconds, false), (seconds + 1, false)] {
            let app = TestApp::new().await;
            let client = app.client();
            let started = client.started(json!({ "to": to, "channel": channel })).await;
            let code = app.inbox().code(&started).await;
            app.advance(waited);
            let checked = client.check(&started, &code).await.expect(200);
            let status = if passes { "approved" } else { "expired" };
            assert_eq!((&checked["valid"], &checked["status"]), (&json!(passes), &json!(status)), "{channel} after {waited} s");
        }
    }
}

#[tokio::test]
async fn a_canceled_one_is_dead() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    assert_eq!(client.cancel(&started).await.expect(200)["status"], "canceled");
    let checked = client.check(&started, &code).await.expect(200);
    assert_eq!((&checked["valid"], &checked["status"]), (&json!(false), &json!("canceled")));
    assert_eq!(client.cancel(&started).await.expect(200)["status"], "canceled", "calling off twice changes nothing");
    client.resend(&started).await.problem(409, "verification_ended");
}

#[tokio::test]
async fn an_approved_one_cannot_be_called_off() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    client.check(&started, &app.inbox().code(&started).await).await.expect(200);
    assert_eq!(client.cancel(&started).await.expect(200)["status"], "approved");
}

#[tokio::test]
async fn the_timeline_tells_the_story_in_order() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "ip": "203.0.113.9" })).await;
    client.sent(&started).await;
    let code = app.inbox().code(&started).await;
    app.advance(30);
    client.check(&started, &wrong(&code, 1)).await.expect(200);
    client.resend(&started).await.expect(200);
    client.sent(&started).await;
    let code = app.inbox().code_of_message(&started, 2).await;
    app.advance(5);
    client.check(&started, &code).await.expect(200);

    let names = ["started", "sent", "checked", "resent", "sent", "checked", "approved"].map(|name| format!("verification.{name}"));
    assert_eq!(client.events(&started).await, names);
    let timeline = client.get(&started).await.expect(200)["timeline"].clone();
    let times: Vec<_> = timeline.as_array().expect("a list").iter().map(|event| event["at"].as_str().expect("a time").to_owned()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!((times[0].as_str(), times[6].as_str()), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:35Z"));
    assert_eq!((&timeline[0]["ip"], &timeline[1]["detail"]), (&json!("203.0.113.9"), &json!("console")));
}

/// A caller's own code: only where the service says so.
#[tokio::test]
async fn an_own_code_is_used_where_it_is_allowed() {
    let app = TestApp::with("[service.default]\ncustom_code = true\ncode_length = 8").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "code": "00112233" })).await;
    assert_eq!(app.inbox().code(&started).await, "00112233");
    assert_eq!(client.check(&started, "00112233").await.expect(200)["valid"], true);
    let short = client.start(json!({ "to": number(2), "code": "123456" })).await.problem(422, "invalid_field");
    assert_eq!(short["field"], "code", "shorter than the service's own codes");

    let strict = TestApp::new().await;
    let refused = strict.client().start(json!({ "to": number(1), "code": "00112233" })).await.problem(422, "invalid_field");
    assert_eq!(refused["field"], "code");
    assert_eq!(strict.messages_in_the_end().await, 0);
}

/// OPS-03: fixed codes for named destinations, and for nobody else.
#[tokio::test]
async fn a_test_destination_gets_its_fixed_code() {
    let app = TestApp::with("[dev]\ntest_destinations = { \"+15005550006\" = \"123456\" }").await;
    let client = app.client();
    let started = client.started(json!({ "to": "+15005550006" })).await;
    assert_eq!(app.inbox().code(&started).await, "123456");
    app.advance(30);
    client.resend(&started).await.expect(200);
    assert_eq!(client.check(&started, "123456").await.expect(200)["valid"], true);
}
