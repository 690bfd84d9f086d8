//! Every JSON body, as it is. The clock stands still, so times are part of what is compared; what is random is not.

use serde_json::{Value, json};

use crate::actors::{number, wrong};
use crate::app::TestApp;

/// Ids and codes are random: their places are compared, their values are not.
fn redacted(value: Value) -> Value {
    match value {
        Value::String(text) => json!(redacted_text(&text)),
        Value::Array(values) => values.into_iter().map(redacted).collect(),
        Value::Object(fields) => fields.into_iter().map(redacted_field).collect(),
        other => other,
    }
}

fn redacted_field((name, value): (String, Value)) -> (String, Value) {
    let value = match name.as_str() {
        "code" if is_code(&value) => json!("[code]"),
        "request_id" => json!("[request id]"),
        _ => redacted(value),
    };
    (name, value)
}

fn is_code(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn redacted_text(text: &str) -> String {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if uuid::Uuid::try_parse(text).is_ok() {
        "[id]".into()
    } else if let Some((verification, number)) = text.split_once('.').filter(|(start, _)| uuid::Uuid::try_parse(start).is_ok()) {
        assert!(!verification.is_empty());
        format!("[id].{number}")
    } else if let Some((id, number)) = text.strip_prefix("console-").and_then(|rest| rest.split_once('-')) {
        assert!(is_hex(id));
        format!("console-[hex]-{number}")
    } else if let Some(message) = text.strip_prefix("/dev/inbox/mail/") {
        format!("/dev/inbox/mail/{}", redacted_text(message))
    } else if let Some(reference) = text.strip_prefix("Message sent with id: SM") {
        assert!(is_hex(reference));
        "Message sent with id: SM[hex]".into()
    } else if let Some((code, rest)) = text.split_once(" is your ").filter(|(code, _)| code.len() == 6) {
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()));
        format!("[code] is your {rest}")
    } else {
        // A mail's text has its code in a line of its own, and so its link.
        text.split('\n').map(redacted_line).collect::<Vec<_>>().join("\n")
    }
}

fn redacted_line(line: &str) -> &str {
    if line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()) {
        "[code]"
    } else if line.starts_with("http") && line.contains("/not-me/") {
        "[link]"
    } else {
        line
    }
}

macro_rules! snapshot {
    ($name:literal, $value:expr) => {
        insta::assert_json_snapshot!($name, redacted($value));
    };
}

#[tokio::test]
async fn verifications() {
    let app = TestApp::with("[service.default]\nresend_waits = [\"30s\"]").await;
    let client = app.client();
    let body = json!({ "to": number(1), "purpose": "login", "ip": "203.0.113.9", "metadata": { "order": "17" } });
    let started = client.started(body).await;
    snapshot!("started", started.clone());
    client.sent(&started).await;
    let message = app.inbox().message(&started, 1).await;
    let code = message["code"].as_str().expect("a code").to_owned();
    snapshot!("inbox_message", message);
    snapshot!("check_wrong", client.check(&started, &wrong(&code, 1)).await.expect(200));
    app.advance(30);
    snapshot!("resent", client.resend(&started).await.expect(200));
    client.sent(&started).await;
    let code = app.inbox().code_of_message(&started, 2).await;
    snapshot!("check_right", client.check(&started, &code).await.expect(200));
    snapshot!("timeline", client.get(&started).await.expect(200));
    app.advance(30);
    let mail = client.started(json!({ "to": "ann.lee@example.com" })).await;
    client.sent(&mail).await;
    snapshot!("inbox_mail", app.inbox().message(&mail, 1).await);
    snapshot!("canceled", client.cancel(&mail).await.expect(200));
    app.advance(30);
    client.started(json!({ "to": number(1) })).await;
    let page = client.list(&number(1), "&limit=1").await.expect(200);
    // Whether its message has gone out by now is not what this is about.
    snapshot!(
        "list",
        json!({ "names": page["data"][0].as_object().expect("an object").keys().collect::<Vec<_>>(), "next_before": page["next_before"] })
    );
    snapshot!("list_empty", client.list(&number(9), "").await.expect(200));
    snapshot!("released", client.release(json!({ "to": number(1) })).await.expect(200));
}

#[tokio::test]
async fn problems() {
    let app = TestApp::with("[service.default]\nlimits.soft_failures = 1\nlimits.hard_failures = 1").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "subject": "account-17" })).await;
    let closed = client.started(json!({ "to": number(2), "subject": "account-17" })).await;
    client.check(&closed, "0000000000").await.expect(200);
    let unknown = json!({ "id": uuid::Uuid::from_u128(7) });
    client.post_once("/v1/verifications", "key", json!({ "to": number(3) })).await.expect(201);
    client.cancel(&started).await.expect(200);
    let stranger = app.stranger();
    let problems = [
        ("invalid_body", client.start(json!({ "to": number(4), "verified": true })).await),
        ("invalid_field", client.start(json!({ "to": "hello" })).await),
        ("unauthorized", stranger.get("/v1/verifications?to=x").await),
        ("forbidden", app.client_of("default", &[]).get(&started).await),
        ("not_found", client.get(&unknown).await),
        ("method_not_allowed", client.call("DELETE", "/v1/verifications", &[], String::new()).await),
        ("verification_ended", client.resend(&started).await),
        ("body_too_large", client.start(json!({ "to": "x".repeat(70_000) })).await),
        ("unsupported_media_type", client.call("POST", "/v1/verifications", &[("content-type", "text/plain")], "x".into()).await),
        ("idempotency_key_reused", client.post_once("/v1/verifications", "key", json!({ "to": number(4) })).await),
        ("limited", client.start(json!({ "to": number(3) })).await),
        ("limited_for_good", client.start(json!({ "to": number(2), "subject": "account-17" })).await),
    ];
    for (name, answer) in problems {
        answer.any_problem();
        insta::assert_json_snapshot!(format!("problem_{name}"), redacted(answer.json()));
    }
}

#[tokio::test]
async fn tutorials_and_operation() {
    let app = TestApp::new().await;
    let stranger = app.stranger();
    snapshot!("tutorial_sent", stranger.post("/send-code", &[], json!({ "phoneNumber": number(1) })).await.expect(200));
    snapshot!("tutorial_limited", stranger.post("/send-code", &[], json!({ "phoneNumber": number(1) })).await.expect(429));
    snapshot!(
        "tutorial_no_match",
        stranger.post("/verify-code", &[], json!({ "phoneNumber": number(2), "smsCode": "000000" })).await.expect(400)
    );
    snapshot!("gateway_sent", stranger.post("/auth/send-otp", &[], json!({ "phone": number(3) })).await.expect(200));
    snapshot!("gateway_limited", stranger.post("/auth/send-otp", &[], json!({ "phone": number(3) })).await.expect(429));
    let guess = json!({ "request_id": "x", "code": "000000" });
    snapshot!("gateway_not_verified", stranger.post("/auth/verify-otp", &[], guess).await.expect(200));
    snapshot!("livez", stranger.get("/livez").await.expect(200));
    snapshot!("readyz", stranger.get("/readyz").await.expect(200));
}

#[tokio::test]
async fn the_description_of_the_api() {
    let app = TestApp::new().await;
    let mut description = app.stranger().get("/openapi.json").await.expect(200);
    // Changes with every release, and with nothing else.
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    description["info"]["version"] = json!("[version]");
    insta::assert_json_snapshot!("openapi", description);
}
