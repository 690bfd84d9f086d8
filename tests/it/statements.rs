//! What a request costs the database: statements are counted in the log of a server that writes each of them down.

use std::sync::{Arc, Mutex, Weak};

use crate::actors::{eventually, number};
use crate::binary::{Binary, Running};
use crate::people::Person;

fn statements(server: &Running) -> usize {
    server.log().lines().filter(|line| line.contains("sqlx::query")).count()
}

/// A person's request asks once who that is: the session, its account and whether something is enrolled come together.
#[tokio::test]
async fn who_is_signed_in_is_one_question() {
    let binary = Binary::new().with("COUNTERSIGN_LOG__FILTER", "info,sqlx::query=debug");
    let server = binary.serve().await;
    let ann = Person {
        wire: Arc::clone(&server.wire),
        app: Weak::new(),
        phone: number(1),
        email: "ann@example.org".into(),
        jar: Some(Mutex::default()),
        headers: vec![("sec-fetch-site", "same-origin".into())],
        token: Mutex::default(),
    };
    let ann = ann.arrive().await;
    let settled = async || {
        let before = std::cell::Cell::new(usize::MAX);
        eventually("nothing more is asked", async || {
            let now = statements(&server);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            (before.replace(now) == now).then_some(now)
        })
        .await
    };
    let before = settled().await;
    assert!(before > 10, "statements are in the log: {before}");
    // One for who it is, one for what is asked.
    ann.get("/auth/sessions").await.expect(200);
    assert_eq!(settled().await - before, 2);
}
