//! Two verifications to one destination: mine, and one that a stranger started because he knows my number.

use serde_json::json;

use crate::actors::{number, wrong};
use crate::app::TestApp;

/// A47: neither his wrong codes nor his cancel reach mine.
#[tokio::test]
async fn a_stranger_neither_spends_nor_cancels_mine() {
    let app = TestApp::with("[service.default]\ncode_length = 10").await;
    let client = app.client();
    let mine = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&mine).await;
    app.advance(30);
    let his = client.started(json!({ "to": number(1) })).await;
    assert_ne!(mine["id"], his["id"]);
    for step in 1..=5 {
        client.check(&his, &wrong("0000000000", step)).await.expect(200);
    }
    assert_eq!(client.get(&his).await.expect(200)["status"], "exhausted");
    app.advance(40);
    let another = client.started(json!({ "to": number(1) })).await;
    client.cancel(&another).await.expect(200);

    assert_eq!(client.get(&mine).await.expect(200)["attempts_left"], 5);
    assert_eq!(client.check(&mine, &code).await.expect(200)["valid"], true);
}

/// A check by destination means the newest pending one, and none before it.
#[tokio::test]
async fn a_check_by_destination_means_the_newest() {
    let app = TestApp::with("[service.default]\ncode_length = 10").await;
    let client = app.client();
    let older = client.started(json!({ "to": number(1) })).await;
    app.advance(30);
    let newer = client.started(json!({ "to": number(1) })).await;
    let by_destination = async |code: &str| client.check_destination(json!({ "to": number(1), "code": code })).await;

    let missed = by_destination(&app.inbox().code(&older).await).await.expect(200);
    assert_eq!((&missed["id"], &missed["valid"], &missed["attempts_left"]), (&newer["id"], &json!(false), &json!(4)));
    assert_eq!(client.get(&older).await.expect(200)["attempts_left"], 5);
    assert_eq!(by_destination(&app.inbox().code(&newer).await).await.expect(200)["id"], newer["id"]);

    // The newer one has ended: now the older one is the newest.
    let hit = by_destination(&app.inbox().code(&older).await).await.expect(200);
    assert_eq!((&hit["id"], &hit["valid"]), (&older["id"], &json!(true)));
    by_destination(&app.inbox().code(&older).await).await.problem(404, "not_found");
}

/// An exhausted one is no target any more, nor an expired one.
#[tokio::test]
async fn ended_ones_are_passed_over() {
    let app = TestApp::with("[service.default]\ncode_length = 10").await;
    let client = app.client();
    let older = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&older).await;
    app.advance(30);
    let newer = client.started(json!({ "to": number(1) })).await;
    for step in 1..=5 {
        client.check(&newer, &wrong("0000000000", step)).await.expect(200);
    }
    let hit = client.check_destination(json!({ "to": number(1), "code": code })).await.expect(200);
    assert_eq!((&hit["id"], &hit["valid"]), (&older["id"], &json!(true)));

    app.advance(3600);
    client.started(json!({ "to": number(1) })).await;
    app.advance(300);
    client.check_destination(json!({ "to": number(1), "code": code })).await.problem(404, "not_found");
}
