//! Sending again: what changes, what stays, and how long to wait.

use serde_json::json;

use crate::actors::{number, wrong};
use crate::app::TestApp;

/// OTP-06.
#[tokio::test]
async fn a_resend_brings_a_new_code_and_kills_the_old_one() {
    let app = TestApp::with("[service.default]\ncode_length = 10").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let old = app.inbox().code(&started).await;
    app.advance(30);
    let resent = client.resend(&started).await.expect(200);
    assert_eq!(resent["id"], started["id"]);
    assert_eq!(resent["expires_at"], "2026-01-01T00:05:30Z", "the new code has its own life");
    let new = app.inbox().code_of_message(&started, 2).await;
    assert_ne!(old, new);
    assert_eq!(client.check(&started, &old).await.expect(200)["valid"], false);
    assert_eq!(client.check(&started, &new).await.expect(200)["valid"], true);
}

/// OTP-06, A03.
#[tokio::test]
async fn a_resend_does_not_renew_the_checks() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    for step in 1..=4 {
        client.check(&started, &wrong(&code, step)).await.expect(200);
    }
    app.advance(30);
    assert_eq!(client.resend(&started).await.expect(200)["attempts_left"], 1);
    let code = app.inbox().code_of_message(&started, 2).await;
    assert_eq!(client.check(&started, &wrong(&code, 1)).await.expect(200)["status"], "exhausted");
    assert_eq!(client.check(&started, &code).await.expect(200)["valid"], false);
    app.advance(60);
    client.resend(&started).await.problem(409, "verification_ended");
}

/// ATT-12: the wait grows, and whoever obeys `Retry-After` passes at the first try.
#[tokio::test]
async fn obeying_retry_after_passes() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    for (message, wait) in [(2, 30), (3, 40), (4, 60), (5, 90)] {
        let refused = client.resend(&started).await;
        let problem = refused.problem(429, "limited");
        assert_eq!((refused.retry_after(), &problem["retry_after"], &problem["limit"]), (wait, &json!(wait), &json!("destination")));
        assert_eq!(refused.header("ratelimit"), Some(format!("\"destination\";r=0;t={wait}").as_str()));
        assert_eq!(refused.header("ratelimit-policy"), Some(format!("\"destination\";q=1;w={wait}").as_str()));
        app.advance(wait - 1);
        assert_eq!(client.resend(&started).await.retry_after(), 1, "a second too early");
        app.advance(1);
        client.resend(&started).await.expect(200);
        app.inbox().message(&started, message).await;
    }
    // Five in ten minutes: the sixth waits for the first to be ten minutes old, wherever it comes from.
    for refused in [client.resend(&started).await, client.start(json!({ "to": number(1) })).await] {
        refused.problem(429, "limited");
        assert_eq!(refused.header("ratelimit-policy"), Some("\"destination\";q=5;w=600"));
        assert_eq!(refused.retry_after(), 600 - 220);
    }
    app.advance(600 - 220);
    client.started(json!({ "to": number(1) })).await;
}

/// What a page needs for its countdown is true.
#[tokio::test]
async fn resend_after_and_sends_left_tell_the_truth() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    assert_eq!((&started["sends_left"], &started["resend_after"]), (&json!(4), &json!("2026-01-01T00:00:30Z")));
    app.advance(30);
    let resent = client.resend(&started).await.expect(200);
    assert_eq!((&resent["sends_left"], &resent["resend_after"]), (&json!(3), &json!("2026-01-01T00:01:10Z")));
}

#[tokio::test]
async fn another_channel_may_carry_the_next_message() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    app.advance(30);
    let path = format!("/v1/verifications/{}/resend", crate::actors::id(&started));
    assert_eq!(client.post(&path, json!({ "channel": "email" })).await.problem(422, "invalid_field")["field"], "channel");
    assert_eq!(client.post(&path, json!({ "channel": "call" })).await.expect(200)["channel"], "call");
    assert_eq!(app.inbox().message(&started, 2).await["channel"], "call");
}

#[tokio::test]
async fn the_same_code_keeps_its_end() {
    let app = TestApp::with("[service.default]\nsame_code = true\ncode_length = 10").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    app.advance(60);
    let resent = client.resend(&started).await.expect(200);
    assert_eq!(resent["expires_at"], started["expires_at"]);
    let codes = (app.inbox().code(&started).await, app.inbox().code_of_message(&started, 2).await);
    assert_eq!(codes.0, codes.1);
    assert_eq!(client.check(&started, &codes.1).await.expect(200)["valid"], true);
}

/// Twilio Verify's ways: a start while one is pending is that one, with its code, again.
#[tokio::test]
async fn the_twilio_preset_sends_the_pending_one_again() {
    let app = TestApp::with("[service.default]\npreset = \"twilio\"\ncode_length = 10").await;
    let client = app.client();
    let first = client.started(json!({ "to": number(1) })).await;
    assert_eq!(first["expires_at"], "2026-01-01T00:10:00Z");
    let second = client.started(json!({ "to": number(1) })).await;
    assert_eq!((&second["id"], &second["expires_at"]), (&first["id"], &first["expires_at"]));
    assert_eq!(app.inbox().code(&first).await, app.inbox().code_of_message(&first, 2).await);

    let other_purpose = client.started(json!({ "to": number(1), "purpose": "login" })).await;
    assert_ne!(other_purpose["id"], first["id"]);

    let code = app.inbox().code(&first).await;
    for step in 1..=4 {
        client.check(&first, &wrong(&code, step)).await.expect(200);
    }
    let third = client.started(json!({ "to": number(1) })).await;
    assert_eq!((&third["id"], &third["attempts_left"]), (&first["id"], &json!(1)), "the checks are not renewed");
    assert_eq!(client.check(&first, &code).await.expect(200)["valid"], true);
    let fourth = client.started(json!({ "to": number(1) })).await;
    assert_ne!(fourth["id"], first["id"], "what has ended is not sent again");
    assert_ne!(app.inbox().code(&fourth).await, code);
}

/// The caller's own code is not kept, so it has to come again.
#[tokio::test]
async fn an_own_code_must_be_given_again() {
    let app = TestApp::with("[service.default]\ncustom_code = true").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "code": "112233" })).await;
    app.advance(30);
    assert_eq!(client.resend(&started).await.problem(422, "invalid_field")["field"], "code");
    let path = format!("/v1/verifications/{}/resend", crate::actors::id(&started));
    client.post(&path, json!({ "code": "445566" })).await.expect(200);
    assert_eq!(client.check(&started, "112233").await.expect(200)["valid"], false);
    assert_eq!(client.check(&started, "445566").await.expect(200)["valid"], true);
}

/// However often it is sent again, a verification ends an hour after it began at the latest.
#[tokio::test]
async fn no_verification_lives_longer_than_an_hour() {
    let app =
        TestApp::with("[service.default]\nresend_waits = []\nlimits.destination = [\"100/24h\"]\n[limits]\ndestination = \"100/24h\"")
            .await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    for _ in 0..14 {
        app.advance(240);
        client.resend(&started).await.expect(200);
    }
    app.advance(239);
    let resent = client.resend(&started).await.expect(200);
    assert_eq!(resent["expires_at"], "2026-01-01T01:00:00Z");
    app.advance(1);
    client.resend(&started).await.problem(409, "verification_ended");
}
