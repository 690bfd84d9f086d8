//! R09: a database that is gone without a word, as when its machine dies, under the real executable and under load.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::actors::{Client, number};
use crate::binary::Binary;
use crate::link::Link;
use crate::own_database::OwnDatabase;

/// A start and a wrong code, each with an answer that says so.
async fn passes(client: &Client) -> bool {
    let started = client.start(json!({ "to": number(rand::random_range(0..80_000_000)) })).await;
    started.status == 201 && client.check(&started.json(), "000000").await.status == 200
}

/// Whether checks pass again in time, while others call as well.
async fn recovers(client: &Client, what: &str) {
    let recovered = async {
        while !passes(client).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), recovered).await.unwrap_or_else(|_| panic!("no check passes: {what}"));
}

async fn survives_silence(environment: &[(&str, &str)]) {
    let own = OwnDatabase::new().await;
    let link = Link::to(&own.url).await;
    let binary = Binary::new().with("COUNTERSIGN_DATABASE__URL", &link.url).with("COUNTERSIGN_SERVER__DRAIN_TIMEOUT", "2s");
    let binary =
        environment.iter().fold(binary.with("COUNTERSIGN_CONSOLE__PRINT", "false"), |binary, (name, value)| binary.with(name, value));
    let server = binary.serve().await;
    let client = server.client();
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        load.spawn(async move {
            loop {
                passes(&client).await;
            }
        });
    }
    recovers(&client, "at the beginning").await;
    for round in 0..3 {
        link.strand();
        recovers(&client, &format!("the connections are dead, for the time number {round}")).await;
    }
    link.hold();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let ready = server.stranger().get("/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.body);
    server.stranger().get("/livez").await.expect(200);
    link.heal();
    recovers(&client, "the database was away").await;

    link.hold();
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.shutdown().await;
    server.signal("TERM");
    let (code, log) = server.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

/// The store that servers share in the database.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server's database: tests/databases/run"]
async fn a_silent_database_stops_neither_checks_nor_the_end() {
    survives_silence(&[]).await;
}

/// The store in Redis, whose wrong codes are written into the database.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server's database and Redis: tests/databases/run"]
async fn a_silent_database_behind_redis_stops_neither_checks_nor_the_end() {
    let redis = std::env::var("COUNTERSIGN_TEST_REDIS_URL").expect("a Redis");
    let prefix = format!("silence-{}", std::process::id());
    survives_silence(&[("COUNTERSIGN_REDIS__URL", &redis), ("COUNTERSIGN_REDIS__PREFIX", &prefix)]).await;
}
