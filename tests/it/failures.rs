//! Wrong codes in a row: growing waits, a hard end, and why nobody can aim them at somebody else.

use countersign::db::client::Scope;
use serde_json::{Value, json};

use crate::actors::{Client, number, wrong};
use crate::app::TestApp;

/// Nothing here but the failures refuses a start.
const OPEN: &str = "code_length = 10\nresend_waits = []\nlimits.destination = [\"100/24h\"]\n";
const OPEN_OVER_ALL: &str = "[limits]\ndestination = \"100/24h\"\n";

fn settings(more: &str) -> String {
    format!("[service.default]\n{OPEN}{more}\n{OPEN_OVER_ALL}")
}

async fn fail(client: &Client, started: &Value, times: u8) {
    for step in 1..=times {
        assert_eq!(client.check(started, &wrong("0000000000", step)).await.expect(200)["valid"], false);
    }
}

/// ATT-08 (NIST 3.2.2): after ten wrong codes the next start waits; obeying the wait passes.
#[tokio::test]
async fn ten_wrong_codes_delay_the_next_start() {
    let app = TestApp::with(&settings("")).await;
    let client = app.client();
    let start = async || client.start(json!({ "to": number(1) })).await;
    for _ in 0..2 {
        let started = start().await.expect(201);
        fail(&client, &started, 5).await;
    }
    for wait in [30, 60, 120, 240] {
        let refused = start().await;
        assert_eq!((refused.problem(429, "limited")["limit"].as_str(), refused.retry_after()), (Some("failures"), wait));
        app.advance(wait - 1);
        start().await.problem(429, "limited");
        app.advance(1);
        let started = start().await.expect(201);
        fail(&client, &started, 5).await;
    }
    client.started(json!({ "to": number(2) })).await;
}

/// A right code forgives what was before it.
#[tokio::test]
async fn a_right_code_ends_the_row() {
    let app = TestApp::with(&settings("")).await;
    let client = app.client();
    for _ in 0..6 {
        let started = client.started(json!({ "to": number(1) })).await;
        fail(&client, &started, 4).await;
        let code = app.inbox().code(&started).await;
        assert_eq!(client.check(&started, &code).await.expect(200)["valid"], true);
    }
}

/// A04: a new verification for every five guesses ends at the hard cap: fifty in all, then a day's rest.
#[tokio::test]
async fn fifty_wrong_codes_close_a_destination_for_a_day() {
    let app = TestApp::with(&settings("")).await;
    let client = app.client();
    let mut failures = 0;
    let refused = loop {
        let answer = client.start(json!({ "to": number(1) })).await;
        if answer.status == 201 {
            fail(&client, &answer.json(), 5).await;
            failures += 5;
            assert!(failures <= 50, "the cap never came");
        } else if answer.retry_after() < 24 * 3600 {
            app.advance(answer.retry_after());
        } else {
            break answer;
        }
    };
    assert_eq!((failures, refused.retry_after()), (50, 24 * 3600));
    app.advance(24 * 3600 - 1);
    client.start(json!({ "to": number(1) })).await.problem(429, "limited");
    app.advance(1);
    client.started(json!({ "to": number(1) })).await;
}

/// ATT-08: who already holds a code can use it, whatever a stranger does to the destination.
#[tokio::test]
async fn a_code_in_the_hand_is_not_locked_by_strangers() {
    let app = TestApp::with(&settings("limits.soft_failures = 2\nlimits.hard_failures = 5")).await;
    let client = app.client();
    let mine = client.started(json!({ "to": number(1) })).await;
    let his = client.started(json!({ "to": number(1) })).await;
    fail(&client, &his, 5).await;
    client.start(json!({ "to": number(1) })).await.problem(429, "limited");
    let code = app.inbox().code(&mine).await;
    assert_eq!(client.check(&mine, &code).await.expect(200)["valid"], true);
}

/// ATT-08, A47: a person whom the caller has authenticated has counts of her own. A stranger who knows the number uses up
/// neither her messages nor her checks.
#[tokio::test]
async fn a_stranger_cannot_aim_at_a_subject() {
    let app = TestApp::new().await;
    let client = app.client();
    let mut refused = Vec::new();
    for _ in 0..40 {
        let answer = client.start(json!({ "to": number(1) })).await;
        match answer.status {
            201 => fail(&client, &answer.json(), 5).await,
            _ => refused.push(answer.retry_after()),
        }
        app.advance(20);
    }
    assert!(refused.len() > 20, "the stranger is held up: {refused:?}");
    for _ in 0..3 {
        let hers = client.started(json!({ "to": number(1), "subject": "account-17" })).await;
        let code = app.inbox().code(&hers).await;
        assert_eq!(client.check(&hers, &code).await.expect(200)["valid"], true);
        app.advance(120);
    }
    // And another person at the same number is another subject.
    client.started(json!({ "to": number(1), "subject": "account-18" })).await;
}

/// A47: nor her messages. The limit over all services still bounds what a number gets in a day.
#[tokio::test]
async fn a_stranger_does_not_use_up_a_subjects_messages() {
    let app = TestApp::new().await;
    let client = app.client();
    for wait in [30, 40, 60, 90, 0] {
        client.started(json!({ "to": number(1) })).await;
        app.advance(wait);
    }
    assert_eq!(client.start(json!({ "to": number(1) })).await.problem(429, "limited")["limit"], "destination");
    let hers = json!({ "to": number(1), "subject": "account-17" });
    client.started(hers.clone()).await;
    assert_eq!(client.start(hers).await.problem(429, "limited")["limit"], "destination", "she has her own limit, and has to wait as well");
}

const FACTOR: &str = "limits.soft_failures = 5\nlimits.hard_failures = 10";

async fn close(app: &TestApp, client: &Client) -> Value {
    let first = client.started(json!({ "to": number(1), "subject": "account-17" })).await;
    fail(client, &first, 5).await;
    app.advance(30);
    let second = client.started(json!({ "to": number(1), "subject": "account-17" })).await;
    let third = client.started(json!({ "to": number(1), "subject": "account-17" })).await;
    fail(client, &second, 5).await;
    third
}

/// The soft cap delays the next message, for a subject as well; a code that is in hand is judged at once.
#[tokio::test]
async fn a_subjects_next_start_waits_after_the_soft_cap() {
    let app = TestApp::with(&settings(FACTOR)).await;
    let client = app.client();
    let first = client.started(json!({ "to": number(1), "subject": "account-17" })).await;
    let second = client.started(json!({ "to": number(1), "subject": "account-17" })).await;
    fail(&client, &first, 5).await;
    let code = app.inbox().code(&second).await;
    let refused = client.start(json!({ "to": number(1), "subject": "account-17" })).await;
    assert_eq!((refused.problem(429, "limited")["limit"].as_str(), refused.retry_after()), (Some("failures"), 30));
    assert_eq!(client.check(&second, &code).await.expect(200)["valid"], true);
    client.started(json!({ "to": number(1), "subject": "account-17" })).await;
}

/// ATT-02: at the hard cap a subject is closed until somebody releases it; neither time nor a restart does.
#[tokio::test]
async fn a_closed_subject_stays_closed_until_it_is_released() {
    let app = TestApp::with(&settings(FACTOR)).await;
    let client = app.client();
    let held = close(&app, &client).await;
    let code = app.inbox().code(&held).await;
    let refused = client.check(&held, &code).await;
    assert_eq!(refused.problem(429, "limited")["limit"], "failures");
    assert_eq!(refused.header("retry-after"), None, "waiting does not help");

    app.advance(400 * 24 * 3600);
    let app = app.restart().await;
    let client = app.client();
    let start = async || client.start(json!({ "to": number(1), "subject": "account-17" })).await;
    assert_eq!(start().await.problem(429, "limited").get("retry_after"), None);

    let other = json!({ "to": number(1), "subject": "account-18" });
    assert_eq!(client.release(other).await.expect(200)["released"], false);
    start().await.problem(429, "limited");
    let release = json!({ "to": number(1), "subject": "account-17" });
    assert_eq!(client.release(release.clone()).await.expect(200)["released"], true);
    assert_eq!(client.release(release).await.expect(200)["released"], false);
    start().await.expect(201);
}

/// A destination's failures survive a restart, too.
#[tokio::test]
async fn failures_survive_a_restart() {
    let app = TestApp::with(&settings(FACTOR)).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    fail(&client, &started, 5).await;
    let app = app.restart().await;
    let client = app.client();
    let refused = client.start(json!({ "to": number(1) })).await;
    assert_eq!((refused.problem(429, "limited")["limit"].as_str(), refused.retry_after()), (Some("failures"), 30));
    assert_eq!(client.release(json!({ "to": number(1) })).await.expect(200)["released"], true);
    client.started(json!({ "to": number(1) })).await;
}

/// OPS-07: one service's failures are not another's.
#[tokio::test]
async fn services_count_apart() {
    let app = TestApp::with(&format!("{}\n[service.shop]\n", settings(FACTOR))).await;
    let (client, shop) = (app.client(), app.client_of("shop", &Scope::ALL));
    let started = client.started(json!({ "to": number(1) })).await;
    fail(&client, &started, 5).await;
    client.start(json!({ "to": number(1) })).await.problem(429, "limited");
    shop.started(json!({ "to": number(1) })).await;
    assert_eq!(shop.release(json!({ "to": number(1) })).await.expect(200)["released"], false);
}
