//! Two servers on one database, in one process: what one does the other knows at once. With real processes, faults and a model
//! of what may happen: `bench/chaos`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::people::Person;

/// SES-04: a session that was ended on one server opens nothing on the other; what is remembered is remembered for a second.
#[tokio::test]
#[ignore = "needs a server's database: tests/databases/run"]
async fn a_logout_is_heard_everywhere() {
    let one = TestApp::new().await;
    let other = one.beside().await;
    let ann = Person::browser(&one, 1);
    ann.register().await;
    ann.sign_in().await;
    let jar = ann.jar.as_ref().map(|jar| std::sync::Mutex::new(jar.lock().expect("the jar").clone()));
    let there = Person { wire: Arc::clone(&other.wire), jar, ..Person::browser(&other, 1) };
    assert!(there.is_signed_in().await, "one session, two servers");
    ann.act("POST", "/auth/logout").await.expect(200);
    other.advance(1);
    assert!(!there.is_signed_in().await);
}

/// R17: what is queued when a server stops is sent by the other, without waiting for a lease to end.
#[tokio::test]
#[ignore = "needs a server's database: tests/databases/run"]
async fn a_stop_hands_the_queue_over() {
    // Nobody listens there, so that every message waits for its retry.
    let nobody = crate::stand_in::nobody("sink").await;
    let mut one = TestApp::with(&format!("{nobody}\n[delivery]\nretry_wait = \"60s\"")).await;
    let started = one.client().started(json!({ "to": number(1) })).await;
    let other = one.beside_with(|config| config.provider.clear()).await;
    // A lease without a gap, by the clock of the test: then it takes over. (Beats come every two seconds, by a real one.)
    for _ in 0..12 {
        one.advance(1);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let client = other.client();
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "queued");
    one.stop().await;
    eventually("the other one sends it", async || (client.get(&started).await.expect(200)["delivery"] == "sent").then_some(())).await;
}

/// R24: a server that the others take for dead sends nothing of what it queues. Until it is heard again it is not ready.
#[tokio::test]
#[ignore = "needs a server's database: tests/databases/run"]
async fn who_was_not_heard_is_not_ready() {
    let app = TestApp::new().await;
    app.stranger().get("/readyz").await.expect(200);
    app.advance(60);
    app.stranger().get("/readyz").await.problem(503, "unavailable");
    eventually("it is heard", async || (app.stranger().get("/readyz").await.status == 200).then_some(())).await;
}
