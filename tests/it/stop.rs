//! R17: a stop lets requests under way finish, takes no new ones, and loses nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::actors::{id, number};
use crate::app::TestApp;
use crate::binary::Binary;
use crate::raw::Raw;

/// The head and the first half of a start; the rest comes later.
fn halves(key: &str, to: &str) -> (String, String) {
    let body = json!({ "to": to }).to_string();
    let head = format!(
        "POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (first, second) = body.split_at(5);
    (format!("{head}{first}"), second.to_owned())
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_sigterm() {
    let binary = Binary::new();
    let server = binary.serve().await;
    let address = server.url.trim_start_matches("http://").parse().expect("an address");
    let (first, second) = halves(&server.key, &number(1));
    let mut raw = Raw::connect(address).await;
    raw.say(first).await;
    // Another answer on another connection: by then the first one's head has been read as well.
    server.stranger().get("/livez").await.expect(200);
    server.signal("TERM");
    crate::actors::eventually("nothing new is taken", async || tokio::net::TcpStream::connect(address).await.is_err().then_some(())).await;
    raw.say(second).await;
    let heard = raw.hear(|_| false).await;
    assert!(heard.starts_with("HTTP/1.1 201 Created"), "{heard}");
    let started: serde_json::Value = serde_json::from_str(heard.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let (code, log) = server.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");

    // What was acknowledged on the way out is there, and its message was handed over.
    let server = binary.serve().await;
    let found = server.client().get(&started).await.expect(200);
    assert_eq!((id(&found), &found["delivery"]), (id(&started), &json!("sent")));
}

/// A request that never ends does not keep the server from ending.
#[tokio::test]
async fn draining_has_an_end() {
    let server = Binary::new().with("COUNTERSIGN_SERVER__DRAIN_TIMEOUT", "200ms").serve().await;
    let address = server.url.trim_start_matches("http://").parse().expect("an address");
    let (first, _) = halves(&server.key, &number(1));
    let mut raw = Raw::connect(address).await;
    raw.say(first).await;
    server.stranger().get("/livez").await.expect(200);
    let asked = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended().await.0, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

/// Browsers open connections before they need them: these hold up no stop.
#[tokio::test]
async fn idle_connections_do_not_delay_a_stop() {
    let mut app = TestApp::new().await;
    let mut silent = Raw::connect(app.address).await;
    let mut kept = Raw::connect(app.address).await;
    kept.say("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    kept.hear(|heard| heard.ends_with('}')).await;
    let asked = Instant::now();
    app.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    for raw in [&mut silent, &mut kept] {
        assert!(raw.closed_after(Duration::from_secs(1)).await.is_some());
    }
}

/// The inbox's stream would otherwise stay open for ever.
#[tokio::test]
async fn an_open_stream_does_not_delay_a_stop() {
    let mut app = TestApp::new().await;
    let mut raw = Raw::connect(app.address).await;
    raw.say("GET /dev/inbox/events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.hear(|heard| heard.contains("text/event-stream")).await;
    app.client().started(json!({ "to": number(1) })).await;
    let heard = raw.hear(|heard| heard.contains(&number(1))).await;
    assert!(heard.contains("event: message"), "{heard}");
    let asked = Instant::now();
    app.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

/// Messages that were queued when the server stopped are not lost.
#[tokio::test]
async fn queued_messages_go_out_before_the_end() {
    let app = TestApp::new().await;
    let client = app.client();
    let mut started = Vec::new();
    for index in 0..100 {
        started.push(client.started(json!({ "to": number(index) })).await);
    }
    let app = app.restart().await;
    let client = app.client();
    for verification in &started {
        assert_eq!(client.get(verification).await.expect(200)["delivery"], "sent");
    }
}
