//! WEB-03: the security headers are on every answer, errors included.

use serde_json::json;

use crate::actors::number;
use crate::app::TestApp;
use crate::wire::{Answer, Wire};

#[track_caller]
fn is_guarded(answer: &Answer, what: &str) {
    let header = |name: &str| answer.header(name).unwrap_or_else(|| panic!("{what}: no {name}"));
    let age: u64 = header("strict-transport-security").split(['=', ';']).nth(1).and_then(|age| age.parse().ok()).expect("max-age");
    assert!(age >= 31_536_000, "{what}: a year at least");
    let policy = header("content-security-policy");
    for directive in ["default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(directive), "{what}: {directive}");
    }
    assert!(!policy.contains("unsafe-") && !policy.contains('*'), "{what}: {policy}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{what}");
    assert!(header("x-request-id").len() >= 8, "{what}");
    // WEB-04: no other origin is let in, whatever it says.
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{what}");
    assert_eq!(answer.header("server"), None, "{what}");
    // SES-08: only files that are the same for everybody may be kept.
    if !what.contains("/static/") {
        assert_eq!(header("cache-control"), "no-store", "{what}");
    }
}

#[tokio::test]
async fn every_answer_is_guarded() {
    let app = TestApp::new().await;
    let client = app.client();
    let origin = [("origin", "https://evil.example"), ("accept", "*/*")];
    for path in [
        "/",
        "/docs",
        "/openapi.json",
        "/livez",
        "/readyz",
        "/static/countersign.css",
        "/static/inbox.js",
        "/dev/inbox",
        "/dev/inbox.json",
        "/nothing",
        "/v1/verifications?to=x",
    ] {
        is_guarded(&app.wire.get(path, &origin).await, path);
        is_guarded(&app.wire.get(path, &[("accept", "text/html")]).await, path);
        is_guarded(&app.wire.send("OPTIONS", path, &[("origin", "null"), ("access-control-request-method", "POST")], "").await, path);
        is_guarded(&app.wire.send("HEAD", path, &[], "").await, path);
    }
    let started = client.start(json!({ "to": number(1) })).await;
    is_guarded(&started, "201");
    let started = started.expect(201);
    let answers = [
        (200, client.get(&started).await),
        (400, client.start(json!({})).await),
        (404, client.get(&json!({ "id": uuid::Uuid::from_u128(7) })).await),
        (405, client.call("DELETE", "/v1/verifications", &[], String::new()).await),
        (413, client.start(json!({ "to": "x".repeat(70_000) })).await),
        (415, client.call("POST", "/v1/verifications", &[("content-type", "text/plain")], "x".into()).await),
        (422, client.start(json!({ "to": "x" })).await),
        (429, client.start(json!({ "to": number(1) })).await),
        (200, app.stranger().post("/send-code", &[], json!({ "phoneNumber": number(2) })).await),
        (400, app.stranger().post("/verify-code", &[], json!({ "phoneNumber": number(2), "smsCode": "" })).await),
        (429, app.stranger().post("/send-code", &[], json!({ "phoneNumber": number(2) })).await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        is_guarded(&answer, &status.to_string());
    }
    let admin = Wire::new(app.admin_address);
    for path in ["/metrics", "/livez", "/nothing"] {
        is_guarded(&admin.get(path, &[]).await, path);
    }
    let http2 = Wire::http2(app.address).await;
    is_guarded(&http2.get("/nothing", &[]).await, "HTTP/2");
}
