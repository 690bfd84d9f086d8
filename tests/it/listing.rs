//! Reading back: pages of verifications, newest first.

use serde_json::{Value, json};

use crate::actors::{id, number};
use crate::app::TestApp;

const NO_WAITS: &str = "[service.default]\nresend_waits = []\nlimits.destination = [\"100/24h\"]";

#[tokio::test]
async fn pages_hold_everything_once_and_newest_first() {
    let app = TestApp::with(NO_WAITS).await;
    let client = app.client();
    let mut started = Vec::new();
    for _ in 0..7 {
        app.advance(1);
        started.push(client.started(json!({ "to": number(1) })).await);
    }
    client.started(json!({ "to": number(2) })).await;

    let (mut found, mut sizes, mut more) = (Vec::<String>::new(), Vec::new(), String::new());
    loop {
        let page = client.list(&number(1), &format!("&limit=3{more}")).await.expect(200);
        let data = page["data"].as_array().expect("a list");
        sizes.push(data.len());
        found.extend(data.iter().map(|verification| id(verification).to_owned()));
        let Some(next) = page["next_before"].as_str() else { break };
        more = format!("&before={next}");
    }
    started.reverse();
    assert_eq!(found, started.iter().map(id).collect::<Vec<_>>());
    assert_eq!(sizes, [3, 3, 1]);
}

#[tokio::test]
async fn a_last_page_that_is_full_says_that_it_is_the_last() {
    let app = TestApp::with(NO_WAITS).await;
    let client = app.client();
    for _ in 0..2 {
        client.started(json!({ "to": number(1) })).await;
    }
    let page = client.list(&number(1), "&limit=2").await.expect(200);
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(page.get("next_before"), None);
    assert_eq!(client.list(&number(9), "").await.expect(200), json!({ "data": [] }));
}

#[tokio::test]
async fn any_spelling_finds_them_and_the_destination_stays_masked() {
    let app = TestApp::with("[service.default]\ndefault_region = \"DE\"").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    for spelling in ["0151%2010000001", "%2B49%20(0)151-10000001", "0049151%2F10000001"] {
        let page = client.list(spelling, "").await.expect(200);
        assert_eq!(page["data"][0]["id"], started["id"], "{spelling}");
        assert_eq!(page["data"][0]["to"], "+49*********01");
    }
}

/// The index by destination is filled behind the writes: a listing misses nothing on either side.
#[tokio::test]
async fn a_listing_is_whole_before_and_after_the_index_is_filled() {
    use countersign::clock::Clock;
    let app = TestApp::with(NO_WAITS).await;
    let client = app.client();
    let count = async || {
        let page: Value = client.list(&number(1), "").await.expect(200);
        page["data"].as_array().expect("a list").len()
    };
    for expected in 1..=6 {
        client.started(json!({ "to": number(1) })).await;
        assert_eq!(count().await, expected);
        if expected % 2 == 0 {
            let now = app.clock.now();
            app.app.engine.store.sweep(now - std::time::Duration::from_secs(86_400), now).await.expect("a sweep");
            assert_eq!(count().await, expected);
        }
    }
}
