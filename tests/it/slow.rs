//! A50, R18: connections that take their time. Each is closed when its time is up, and holds up nobody else.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;

use crate::actors::number;
use crate::app::TestApp;
use crate::raw::Raw;

const SHORT: &str = "[server]\nheader_timeout = \"300ms\"";
/// Before this nothing may be closed: a slow phone is no attack.
const EARLIEST: Duration = Duration::from_millis(250);
/// After this everything must be: the time-out, and what a busy machine adds.
const LATEST: Duration = Duration::from_secs(5);

async fn is_closed_in_time(app: &TestApp, beginning: &str) {
    let mut raw = Raw::connect(app.address).await;
    raw.say(beginning).await;
    let closed = raw.closed_after(LATEST).await;
    let (after, _) = closed.unwrap_or_else(|| panic!("still open {LATEST:?} after {beginning:?}"));
    assert!(after >= EARLIEST, "closed {after:?} after {beginning:?}");
}

#[tokio::test]
async fn silence_is_closed() {
    let app = TestApp::with(SHORT).await;
    is_closed_in_time(&app, "").await;
}

#[tokio::test]
async fn half_a_head_is_closed() {
    let app = TestApp::with(SHORT).await;
    for beginning in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        is_closed_in_time(&app, beginning).await;
    }
}

/// The first letters of POST, PUT and PATCH are those of HTTP/2's preface as well: whoever sends only these leaves the
/// server undecided about the protocol.
#[tokio::test]
async fn an_undecided_protocol_is_closed() {
    let app = TestApp::with(SHORT).await;
    for beginning in ["P", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        is_closed_in_time(&app, beginning).await;
    }
}

#[tokio::test]
async fn an_http2_connection_without_a_request_is_closed() {
    let app = TestApp::with(SHORT).await;
    is_closed_in_time(&app, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
}

/// Every byte in time, and never a whole head: the whole has a time, not each part.
#[tokio::test]
async fn a_dripping_head_is_closed() {
    let app = TestApp::with(SHORT).await;
    let mut raw = Raw::connect(app.address).await;
    raw.say("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    for _ in 0..200 {
        if let Some((after, _)) = raw.closed_after(Duration::from_millis(20)).await {
            assert!(after >= EARLIEST, "closed after {after:?}");
            return;
        }
        raw.say("x").await;
    }
    panic!("a head that never ends is waited for for ever");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    let app = TestApp::with(SHORT).await;
    let mut raw = Raw::connect(app.address).await;
    raw.say("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(raw.hear(|heard| heard.ends_with("{\"status\":\"live\"}")).await.starts_with("HTTP/1.1 200 OK"));
    let (after, _) = raw.closed_after(LATEST).await.expect("closed in time");
    assert!(after >= EARLIEST, "closed after {after:?}");
}

#[tokio::test]
async fn slow_ones_hold_up_nobody() {
    let app = TestApp::with(SHORT).await;
    let mut slow = Vec::new();
    for beginning in ["", "GET / HT", "P"].iter().cycle().take(300) {
        let mut raw = Raw::connect(app.address).await;
        raw.say(beginning).await;
        slow.push(raw);
    }
    for _ in 0..20 {
        app.stranger().get("/readyz").await.expect(200);
    }
}

/// R19, INP-04: a body that stops half-way is given up after ten seconds. The clock of the runtime is stopped, and jumps
/// when nothing else is left to do, so nobody waits for them. Not before the server is up: opening a database takes time.
#[tokio::test]
async fn a_body_that_stalls_is_408() {
    let app = TestApp::with("accounts.enabled = false\n[server]\nheader_timeout = \"60s\"").await;
    let mut raw = Raw::connect(app.address).await;
    raw.say("POST /verify-code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"phoneNumber\":")
        .await;
    tokio::time::pause();
    let heard = raw.hear(|heard| heard.contains("\r\n\r\n")).await;
    assert!(heard.starts_with("HTTP/1.1 408 Request Timeout"), "{heard}");
}

/// The head of a request whose body stops after its first byte, to a route that waits for it.
const HALF: &str = "POST /send-code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n";
/// Four places, and behind a proxy.
const FOUR: &str = "[server]\nmax_requests = 4\ntrusted_proxies = [\"127.0.0.1\"]";

async fn half_a_body(app: &TestApp, from: &str) -> Raw {
    let mut raw = Raw::connect(app.address).await;
    raw.say(format!("{HALF}X-Forwarded-For: {from}\r\n\r\n{{")).await;
    raw
}

/// Everybody else is served: health, readers, and whoever sends all that there is to send.
async fn serves(app: &TestApp) {
    // Those before have been seen by then, and have waited longer than anybody should who means it.
    tokio::time::sleep(Duration::from_millis(600)).await;
    for path in ["/livez", "/readyz"] {
        app.stranger().get(path).await.expect(200);
    }
    let started = app.client().started(json!({ "to": number(1) })).await;
    app.client().get(&started).await.expect(200);
}

/// R18, R21, A50: whoever sends half a body holds no place, however many they are.
#[tokio::test]
async fn half_a_body_holds_no_place() {
    let app = TestApp::with(FOUR).await;
    let mut halves = Vec::new();
    for last in 1..=8 {
        halves.push(half_a_body(&app, &format!("192.0.2.{last}")).await);
    }
    serves(&app).await;
    // Four are waited for, and the others are told to come again.
    let mut shed = 0;
    for half in &mut halves {
        let heard = tokio::time::timeout(Duration::from_millis(50), half.hear(|heard| heard.contains("\r\n\r\n"))).await;
        if let Ok(heard) = heard {
            assert!(heard.starts_with("HTTP/1.1 503 ") && heard.contains("retry-after: 1\r\n"), "{heard}");
            shed += 1;
        }
    }
    assert_eq!(shed, 4);
}

/// The same by the streams of one HTTP/2 connection.
#[tokio::test]
async fn half_a_body_of_http2_holds_no_place() {
    let app = TestApp::with(FOUR).await;
    let stream = TcpStream::connect(app.address).await.expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("an HTTP/2 handshake");
    tokio::spawn(connection);
    let mut halves = Vec::new();
    for _ in 0..50 {
        let body = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let request = hyper::Request::post(format!("http://{}/send-code", app.address)).header("content-type", "application/json");
        sender.ready().await.expect("the connection lives");
        halves.push(tokio::spawn(sender.send_request(request.body(body).expect("a request"))));
    }
    serves(&app).await;
    let answered = halves.iter().filter(|half| half.is_finished()).count();
    assert_eq!(answered, 49, "one address, one share: a 32nd part of four places is one of them");
    for half in halves.into_iter().filter(|half| half.is_finished()) {
        assert_eq!(half.await.expect("no panic").expect("an answer").status(), 503);
    }
}

/// A slow line is no attack: its body is waited for, and answered.
#[tokio::test]
async fn a_slow_body_is_answered() {
    let app = TestApp::with(FOUR).await;
    let mut raw = Raw::connect(app.address).await;
    let body = json!({ "phoneNumber": number(1) }).to_string();
    let length = body.len();
    raw.say(format!("POST /send-code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")).await;
    for part in body.as_bytes().chunks(8) {
        raw.say(part).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let heard = raw.hear(|heard| heard.contains("\r\n\r\n")).await;
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
}

/// More connections than allowed are closed at the door; a place that is left is a place again.
#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let app = TestApp::with("[server]\nmax_connections = 2").await;
    let request = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(app.address).await;
        raw.say(request).await;
        assert!(raw.hear(|heard| heard.ends_with('}')).await.contains(" 200 "));
        inside.push(raw);
    }
    let mut outside = Raw::connect(app.address).await;
    let (_, heard) = outside.closed_after(LATEST).await.expect("closed at once");
    assert!(heard.is_empty());

    inside.clear();
    crate::actors::eventually("a place is free again", async || {
        let mut raw = Raw::connect(app.address).await;
        raw.say(request).await;
        raw.hear(|heard| heard.ends_with('}')).await.contains(" 200 ").then_some(())
    })
    .await;
}
