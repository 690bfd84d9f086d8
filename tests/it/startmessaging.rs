//! StartMessaging on loopback: the tutorials' contract, in which it makes the code, and the newer one, in which we do.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::actors::{number, wrong};
use crate::app::TestApp;
use crate::upstream::{Asked, Reply, Upstream};

const INDIAN: &str = "+919876543210";
const CODE: &str = "428571";

/// Answers of a start in turn (the last one again and again), and the one code that it ever makes.
fn india(starts: Vec<Reply>) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    let starts = Arc::new(Mutex::new(starts));
    move |asked| match (asked.path.as_str(), asked.header("x-api-key")) {
        (_, None) => Reply::new(401, json!({ "message": "missing key" }).to_string()),
        ("/otp/send", _) => {
            let mut starts = starts.lock().expect("no test panics with the lock");
            if starts.len() > 1 { starts.remove(0) } else { Reply::new(starts[0].status, starts[0].body.clone()) }
        }
        ("/otp/verify", _) => {
            let asked = asked.json();
            let verified = asked["requestId"] == "otp-1" && asked["otpCode"] == CODE;
            Reply::new(200, json!({ "data": { "verified": verified } }).to_string())
        }
        _ => Reply::new(404, ""),
    }
}

fn taken() -> Reply {
    Reply::new(200, json!({ "data": { "requestId": "otp-1", "expiresAt": "2026-04-01T10:05:00Z", "attemptsLeft": 3 } }).to_string())
}

async fn app(api: &Upstream, more: &str) -> TestApp {
    let settings = "type = \"startmessaging\"\napi_key = \"sm_live_1\"";
    TestApp::with(&format!("[delivery]\nretry_wait = \"1ms\"\n[provider.india]\n{settings}\nbase_url = \"{}\"\n{more}", api.url)).await
}

#[tokio::test]
async fn they_make_the_code_and_a_retry_has_the_same_key() {
    let api = Upstream::new(india(vec![Reply::new(503, ""), Reply::new(500, "<html>"), taken()])).await;
    let app = app(&api, "").await;
    let client = app.client();
    let started = client.started(json!({ "to": INDIAN })).await;
    client.sent(&started).await;
    assert!(!client.check(&started, &wrong(CODE, 1)).await.expect(200)["valid"].as_bool().expect("a verdict"));
    app.advance(31);
    client.resend(&started).await.expect(200);
    client.sent(&started).await;

    let asked = api.asked_at("/otp/send");
    assert!(asked.iter().all(|asked| asked.header("x-api-key") == Some("sm_live_1")));
    let bodies: Vec<Value> = asked.iter().map(Asked::json).collect();
    let keys: Vec<_> = bodies.iter().map(|body| body["idempotencyKey"].as_str().expect("a key")).collect();
    assert_eq!(bodies[0], json!({ "phoneNumber": INDIAN, "idempotencyKey": keys[0] }));
    assert!(keys.len() == 4 && keys[0] == keys[1] && keys[1] == keys[2], "one message, one key: {keys:?}");
    assert_ne!(keys[2], keys[3], "the next message is another one");

    assert_eq!(client.check(&started, CODE).await.expect(200)["valid"], true);
    assert_eq!(api.asked_at("/otp/verify")[1].json(), json!({ "requestId": "otp-1", "otpCode": CODE }));
}

#[tokio::test]
async fn numbers_elsewhere_are_refused_at_the_door() {
    let api = Upstream::new(india(vec![taken()])).await;
    let app = app(&api, "").await;
    app.client().start(json!({ "to": number(1) })).await.problem(422, "invalid_field");
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn with_own_code_it_carries_ours() {
    let newer = json!({ "success": true, "statusCode": 201, "requestId": "req_trace", "timestamp": "2026-02-15T10:30:00.000Z",
        "data": { "otpRequestId": "otp-2", "messageId": "message-2", "status": "queued" } });
    let api = Upstream::new(india(vec![Reply::new(201, newer.to_string())])).await;
    let app = app(
        &api,
        "own_code = true\ntemplate_id = \"dlt-7\"\n[service.default]\nbrand = \"Corner Shop\"\n[service.long]\ncode_length = 8\n",
    )
    .await;
    let client = app.client();
    let started = client.started(json!({ "to": INDIAN })).await;
    assert_eq!(client.sent(&started).await["message_id"], "message-2");
    let code = app.inbox().code(&started).await;
    let body = json!({ "phoneNumber": INDIAN, "templateId": "dlt-7", "variables": { "otp": code, "appName": "Corner Shop" } });
    assert_eq!(api.asked()[0].json(), body);
    assert_eq!(client.check(&started, &code).await.expect(200)["valid"], true);

    // Eight digits are more than its contract has room for.
    let long = app.client_of("long", &countersign::db::client::Scope::ALL);
    let started = long.start(json!({ "to": "+919876543211", "wait": true })).await.expect(201);
    assert_eq!(started["delivery"], "failed");
    assert_eq!(api.asked().len(), 1);
}
