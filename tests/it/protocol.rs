//! HTTP at its edges: versions, sizes, load, and handlers that go wrong.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use countersign::app::App;
use countersign::http;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::actors::{Client, number};
use crate::app::TestApp;
use crate::raw::Raw;
use crate::wire::Wire;

#[tokio::test]
async fn http2_without_tls_works() {
    let app = TestApp::new().await;
    let client = Client { wire: Wire::http2(app.address).await, key: app.client().key };
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    assert_eq!(client.check(&started, &code).await.expect(200)["valid"], true);
    client.call("GET", "/nothing", &[], String::new()).await.problem(404, "not_found");
}

/// INP-04: 16 KiB of head, and no more.
#[tokio::test]
async fn a_long_head_is_431() {
    let app = TestApp::new().await;
    let long = "x".repeat(17 * 1024);
    for head in [format!("X-Long: {long}\r\n"), "X-Many: x\r\n".repeat(2_000)] {
        let mut raw = Raw::connect(app.address).await;
        raw.say(format!("GET /livez HTTP/1.1\r\nHost: x\r\n{head}\r\n")).await;
        let heard = raw.hear(|heard| heard.contains("\r\n\r\n")).await;
        assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
    }
    let enough = app.wire.get("/livez", &[("x-long", &"x".repeat(12 * 1024))]).await;
    assert_eq!(enough.status, 200);
    let http2 = Wire::http2(app.address).await;
    assert_eq!(http2.get("/livez", &[("x-long", &long)]).await.status, 431);
    assert_eq!(http2.get("/livez", &[]).await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let app = TestApp::new().await;
    for nonsense in [
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\r\n\r\n",
        "EHLO example.com\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut raw = Raw::connect(app.address).await;
        raw.say(nonsense).await;
        let heard = raw.hear(|heard| heard.contains("\r\n\r\n")).await;
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 4"), "{nonsense:?}: {heard}");
    }
    app.stranger().get("/livez").await.expect(200);
}

/// Two lengths, or a length and chunks, are how one server's body becomes the next one's request.
#[tokio::test]
async fn a_smuggled_request_is_not_answered() {
    let app = TestApp::new().await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for lengths in [
        format!("Content-Length: 5\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
    ] {
        let mut raw = Raw::connect(app.address).await;
        raw.say(format!("POST /verify-code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n{lengths}")).await;
        let heard = raw.hear(|_| false).await;
        assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
    }
}

/// OPS-02: a panic is a 500 that tells nothing, and the next request is answered.
#[tokio::test]
async fn a_panic_is_caught() {
    let routes = |app: &Arc<App>| {
        http::public(app).merge(Router::new().route("/panic", get(async || -> &'static str { panic!("the secret is hunter2") })))
    };
    let app = TestApp::with_routes("", routes).await;
    for _ in 0..3 {
        let answer = app.stranger().get("/panic").await;
        let problem = answer.problem(500, "internal");
        assert!(!answer.body.contains("hunter2") && problem.get("detail").is_none(), "{}", answer.body);
    }
    app.stranger().get("/readyz").await.expect(200);
}

/// R10: work that does not end is given up, and says when to come again.
#[tokio::test]
async fn a_handler_that_hangs_is_503() {
    let routes = |_: &Arc<App>| Router::new().route("/hang", get(async || std::future::pending::<&'static str>().await));
    let app = TestApp::with_routes("[server]\nrequest_timeout = \"100ms\"", routes).await;
    let answer = app.stranger().get("/hang").await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.retry_after(), 1);
}

/// R21: more requests than places are told to come again, at once; the others are served.
#[tokio::test]
async fn overload_is_shed() {
    let release = Arc::new(Notify::new());
    let (arrived, released) = (Arc::new(Notify::new()), Arc::clone(&release));
    let arrivals = Arc::clone(&arrived);
    let wait = async move || {
        arrivals.notify_one();
        released.notified().await;
        "done"
    };
    let app = TestApp::with_routes("[server]\nmax_requests = 3", |_| Router::new().route("/wait", get(wait))).await;
    let mut held = JoinSet::new();
    for _ in 0..3 {
        let stranger = app.stranger();
        held.spawn(async move { stranger.get("/wait").await.status });
        arrived.notified().await;
    }
    for _ in 0..10 {
        let shed = app.stranger().get("/wait").await;
        shed.problem(503, "unavailable");
        assert_eq!(shed.retry_after(), 1);
    }
    for _ in 0..3 {
        release.notify_one();
    }
    assert_eq!(held.join_all().await, [200, 200, 200]);
}

/// OPS-03: metrics are for the admin listener, and the API is for the public one.
#[tokio::test]
async fn metrics_are_on_the_admin_listener_only() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    client.check(&started, &code).await.expect(200);
    client.start(json!({ "to": number(1) })).await.problem(429, "limited");

    app.stranger().get("/metrics").await.problem(404, "not_found");
    let admin = Wire::new(app.admin_address);
    let metrics = admin.get("/metrics", &[]).await;
    assert_eq!(metrics.status, 200);
    for line in [
        "countersign_starts_total{service=\"default\",result=\"sending\"} 1",
        "countersign_starts_total{service=\"default\",result=\"limited\"} 1",
        "countersign_checks_total{service=\"default\",result=\"approved\"} 1",
        "countersign_limits_hit_total{service=\"default\",limit=\"destination\"} 1",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} is not in\n{}", metrics.body);
    }
    assert!(!metrics.body.contains(crate::actors::id(&started)), "labels hold no ids");
    for path in ["/v1/verifications?to=x", "/dev/inbox.json", "/send-code", "/docs"] {
        admin.get(path, &[]).await.problem(404, "not_found");
    }
    assert_eq!(admin.get("/readyz", &[]).await.status, 200);
}
