//! The inbox of dev mode: each message once, with what became of it, for pages that follow it and for those that reload.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::raw::Raw;

/// A server that answers as Twilio does: 201 with a sid, or a refusal.
async fn twilio(answer: &'static str, status: StatusCode) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = move || async move { (status, answer) };
    let router = Router::new().route("/2010-04-01/Accounts/{account}/{resource}", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn section(name: &str, base_url: &str) -> String {
    format!(
        "[provider.{name}]\ntype = \"twilio\"\naccount_sid = \"AC0\"\nauth_token = \"secret\"\nfrom = \"+15005550006\"\n\
         whatsapp_from = \"+15005550006\"\nbase_url = \"{base_url}\"\n"
    )
}

const TAKEN: &str = r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}"#;
const REFUSED: &str = r#"{"code":21211,"message":"Invalid 'To' Phone Number","status":400}"#;
const DOWN: &str = r#"{"code":20503,"message":"Service unavailable","status":503}"#;

async fn when(app: &TestApp, verification: &Value, delivery: &str) -> Value {
    eventually(delivery, async || {
        let message = app.inbox().message(verification, 1).await;
        (message["delivery"] == delivery).then_some(message)
    })
    .await
}

#[tokio::test]
async fn a_message_that_a_provider_took_and_then_lost() {
    let url = twilio(TAKEN, StatusCode::CREATED).await;
    let app = TestApp::with(&format!("[server]\npublic_url = \"http://otp.example\"\n{}", section("twilio", &url))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    let message = when(&app, &started, "sent").await;
    assert_eq!((&message["provider"], &message["cause"]), (&json!("twilio"), &Value::Null));

    // Twilio's receipt, signed as Twilio does.
    let verification = started["id"].as_str().expect("an id").parse().expect("an id");
    let sealed = app.app.references.seal("twilio", countersign::delivery::receipt::MessageNumber { verification, number: 1 });
    let path = format!("/webhooks/twilio?ref={sealed}");
    let form = [("ErrorCode", "30003"), ("MessageStatus", "undelivered")];
    let signature = signature(&format!("http://otp.example{path}"), &form);
    let body = form.map(|(name, value)| format!("{name}={value}")).join("&");
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", signature.as_str())];
    assert_eq!(app.wire.send("POST", &path, &headers, body).await.status, 200);
    let message = when(&app, &started, "failed").await;
    assert_eq!(message["cause"], "twilio: handset unreachable (30003)");

    let timeline = client.get(&started).await.expect(200)["timeline"].clone();
    let told: Vec<_> = timeline.as_array().expect("a list").iter().map(|event| (&event["event"], &event["detail"])).collect();
    assert_eq!(
        told,
        [
            (&json!("verification.started"), &json!("sms")),
            (&json!("verification.sent"), &json!("twilio")),
            (&json!("verification.delivery_failed"), &json!("twilio: handset unreachable (30003)")),
        ],
    );
}

fn signature(url: &str, form: &[(&str, &str)]) -> String {
    use base64::Engine;
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = <Hmac<sha1::Sha1> as KeyInit>::new_from_slice(b"secret").expect("any length");
    mac.update(url.as_bytes());
    for (name, value) in form {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_refused_message_says_why() {
    let url = twilio(REFUSED, StatusCode::BAD_REQUEST).await;
    let app = TestApp::with(&section("twilio", &url)).await;
    let started = app.client().started(json!({ "to": number(1) })).await;
    let message = when(&app, &started, "failed").await;
    assert_eq!(message["cause"], "twilio: the number cannot receive it (21211)");
    assert!(message["code"].is_string() && message["created_at"].is_string(), "{message}");
}

/// A message that two providers were asked to send is one message, by the one that took it.
#[tokio::test]
async fn a_message_that_went_to_two_providers_is_shown_once() {
    let (down, up) = (twilio(DOWN, StatusCode::SERVICE_UNAVAILABLE).await, twilio(TAKEN, StatusCode::CREATED).await);
    let app = TestApp::with(&format!("{}{}", section("a", &down), section("b", &up))).await;
    let started = app.client().started(json!({ "to": number(1), "wait": true })).await;
    let message = when(&app, &started, "sent").await;
    assert_eq!((&message["provider"], &message["cause"]), (&json!("b"), &Value::Null));
    assert_eq!(app.inbox().messages().await.len(), 1);
}

/// While nobody takes it, the inbox shows it as queued, and why.
#[tokio::test]
async fn a_message_that_waits_says_for_what() {
    let down = twilio(DOWN, StatusCode::SERVICE_UNAVAILABLE).await;
    let app = TestApp::with(&format!("[delivery]\nretry_wait = \"60s\"\n{}", section("twilio", &down))).await;
    let started = app.client().started(json!({ "to": number(1) })).await;
    let message = eventually("the first try failed", async || {
        let message = app.inbox().message(&started, 1).await;
        message["cause"].is_string().then_some(message)
    })
    .await;
    assert_eq!((&message["delivery"], &message["cause"]), (&json!("queued"), &json!("twilio: it is down (20503)")));
}

/// Speech is shown as it is spoken; what a phone would not show is not there.
#[tokio::test]
async fn a_call_shows_what_is_said() {
    let app = TestApp::new().await;
    let started = app.client().started(json!({ "to": number(1), "channel": "call" })).await;
    let message = app.inbox().message(&started, 1).await;
    let digits: Vec<String> = message["code"].as_str().expect("a code").chars().map(String::from).collect();
    let spoken = message["spoken"].as_str().expect("text");
    assert_eq!(spoken.matches(&digits.join(" ")).count(), 2, "twice, digit by digit: {spoken}");
    let page = app.stranger().get("/dev/inbox").await;
    assert!(page.body.contains(spoken), "{}", page.body);
    assert_eq!(app.stranger().get(&format!("/dev/inbox/mail/{}", message["id"].as_str().expect("an id"))).await.status, 404);
}

/// Who follows hears of the message, and then of what became of it, with the mark to come back with.
#[tokio::test]
async fn followers_hear_of_messages_and_of_their_fate() {
    let app = TestApp::new().await;
    let mut stream = Raw::connect(app.address).await;
    stream.say("GET /dev/inbox/events?after= HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let started = app.client().started(json!({ "to": number(1), "wait": true })).await;
    let is_sent = |heard: &str| heard.contains("\"delivery\":\"sent\"");
    let told = stream.hear(is_sent).await;
    assert!(told.contains("event: message"), "{told}");
    assert!(told.contains(started["id"].as_str().expect("an id")), "{told}");
    let mark = told.lines().rev().find_map(|line| line.strip_prefix("id: ")).expect("a mark").to_owned();
    let second = app.client().started(json!({ "to": number(2), "wait": true })).await;
    let mut again = Raw::connect(app.address).await;
    again.say(&format!("GET /dev/inbox/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {mark}\r\n\r\n")).await;
    let told = again.hear(is_sent).await;
    assert!(told.contains(second["id"].as_str().expect("an id")) && !told.contains(started["id"].as_str().expect("an id")), "{told}");
}
