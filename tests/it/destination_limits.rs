//! How many messages one destination gets, however it is spelled and whoever asks.

use std::collections::BTreeSet;

use countersign::db::client::Scope;
use serde_json::json;

use crate::actors::{id, number};
use crate::app::TestApp;

/// ABU-03, A47: asked for all day long from ever new addresses, a number gets ten messages, never more than five in ten
/// minutes.
#[tokio::test]
async fn a_number_gets_ten_messages_a_day() {
    let app = TestApp::new().await;
    let client = app.client();
    let mut passed = Vec::new();
    let mut second = 0;
    while second < 48 * 3600 {
        let ip = format!("198.51.{}.{}", second / 60 / 250, second / 60 % 250);
        let answer = client.start(json!({ "to": number(1), "ip": ip })).await;
        match answer.status {
            201 => passed.push(second),
            _ => assert_eq!(answer.problem(429, "limited")["limit"], "destination"),
        }
        // Eagerly in the first hour, where the short window counts; then patiently.
        let wait = if second < 3600 { 30 } else { 300 };
        app.advance(wait);
        second += wait;
    }
    let most =
        |seconds: u64| passed.iter().map(|&start| passed.iter().filter(|&&time| (start..start + seconds).contains(&time)).count()).max();
    assert_eq!((most(600), most(24 * 3600), passed.len()), (Some(5), Some(10), 20), "{passed:?}");
    assert_eq!(app.messages_in_the_end().await, 20);
}

/// ABU-03: over all services together it gets twenty.
#[tokio::test]
async fn a_number_gets_twenty_messages_a_day_from_all_services() {
    let names = ["default", "one", "two"];
    let app = TestApp::with("[service.one]\n[service.two]\n").await;
    let clients = names.map(|name| app.client_of(name, &Scope::ALL));
    let mut passed = 0;
    let mut refusals = BTreeSet::new();
    for _ in 0..24 * 6 - 1 {
        for client in &clients {
            let answer = client.start(json!({ "to": number(1) })).await;
            match answer.status {
                201 => passed += 1,
                _ => drop(refusals.insert(answer.problem(429, "limited")["limit"].to_string())),
            }
        }
        app.advance(600);
    }
    assert_eq!(passed, 20);
    assert!(refusals.contains("\"destination_all_services\""), "{refusals:?}");
}

/// INP-02, ATT-03, A08: forty spellings are one number with one limit.
#[tokio::test]
async fn spellings_of_a_number_share_one_limit() {
    let app = TestApp::with("[service.default]\ndefault_region = \"DE\"").await;
    let client = app.client();
    let started = client.started(json!({ "to": "+4915112345678" })).await;
    let prefixes = ["+49151", "+49 151", "+49 (0)151", "+49-151", "+49.151", "0151", "00 49 151", "(0151)"];
    let rests = ["12345678", " 12345678", "-1234-5678", " 1234 5678", " / 12 34 56 78"];
    let mut spellings = 0;
    for prefix in prefixes {
        for rest in rests {
            let spelling = format!("{prefix}{rest}");
            let refused = client.start(json!({ "to": spelling })).await.problem(429, "limited");
            assert_eq!(refused["limit"], "destination", "{spelling}");
            spellings += 1;
        }
    }
    assert_eq!(spellings, 40);
    let checked = client.check_destination(json!({ "to": " 0151/1234-5678 ", "code": "000000" })).await.expect(200);
    assert_eq!(id(&checked), id(&started), "a check finds it under any spelling as well");
    assert_eq!(app.messages_in_the_end().await, 1);
}

/// A08, A19: the cases of a mail address are one mailbox; another letter is another one.
#[tokio::test]
async fn spellings_of_a_mail_address_share_one_limit() {
    let app = TestApp::new().await;
    let client = app.client();
    client.started(json!({ "to": "Ann.Lee@Example.com" })).await;
    for spelling in ["ann.lee@example.com", "ANN.LEE@EXAMPLE.COM", " ann.lee@example.COM "] {
        client.start(json!({ "to": spelling })).await.problem(429, "limited");
    }
    client.started(json!({ "to": "annlee@example.com" })).await;
    client.start(json!({ "to": "ann.\u{217c}ee@example.com" })).await.problem(422, "invalid_field");
}

/// Another purpose is no way round the limit on messages.
#[tokio::test]
async fn purposes_and_channels_share_one_limit() {
    let app = TestApp::new().await;
    let client = app.client();
    client.started(json!({ "to": number(1), "purpose": "login" })).await;
    client.start(json!({ "to": number(1), "purpose": "payment" })).await.problem(429, "limited");
    client.start(json!({ "to": number(1), "purpose": "login", "channel": "call" })).await.problem(429, "limited");
}

/// A refusal by one limit takes nothing from the others.
#[tokio::test]
async fn a_refused_start_costs_nothing() {
    let app = TestApp::with("[service.default]\nlimits.ip_sends = \"2/1h\"\nlimits.service_sends = \"3/1h\"").await;
    let client = app.client();
    let start = async |index: u32| client.start(json!({ "to": number(index), "ip": "203.0.113.9" })).await;
    start(1).await.expect(201);
    for _ in 0..10 {
        assert_eq!(start(1).await.problem(429, "limited")["limit"], "destination");
    }
    start(2).await.expect(201);
    for _ in 0..10 {
        assert_eq!(start(3).await.problem(429, "limited")["limit"], "ip_sends");
    }
    // Neither the ten refusals by destination nor those by address used up the service's third place.
    client.started(json!({ "to": number(3) })).await;
    assert_eq!(client.start(json!({ "to": number(4) })).await.problem(429, "limited")["limit"], "service");
    assert_eq!(app.messages_in_the_end().await, 3);
}

/// ABU-02: where a service does not send to, nothing is sent and nothing is counted.
#[tokio::test]
async fn only_named_countries_get_messages() {
    let app = TestApp::with("[service.default]\ncountries = [\"DE\"]\nlimits.country_sends = \"1/1h\"").await;
    let client = app.client();
    for refused in ["+14155550132", "+41791234567", "+881612345678", "+499001234567", "+18002345678"] {
        assert_eq!(client.start(json!({ "to": refused })).await.problem(422, "invalid_field")["field"], "to", "{refused}");
    }
    client.started(json!({ "to": number(1) })).await;
    assert_eq!(client.start(json!({ "to": number(2) })).await.problem(429, "limited")["limit"], "country");
    client.started(json!({ "to": "ann@example.com" })).await;
    assert_eq!(app.messages_in_the_end().await, 2);
}

/// The limits are remembered over a restart.
#[tokio::test]
async fn a_restart_does_not_renew_the_limit() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let client = app.client();
    for _ in 0..5 {
        client.started(json!({ "to": number(1) })).await;
    }
    let app = app.restart().await;
    let client = app.client();
    let refused = client.start(json!({ "to": number(1) })).await;
    assert_eq!((refused.problem(429, "limited")["limit"].as_str(), refused.retry_after()), (Some("destination"), 600));
    app.advance(600);
    client.started(json!({ "to": number(1) })).await;
}
