//! Limits per address of the end user: what counts as one address, and whose word is believed.

use serde_json::json;

use crate::actors::{number, wrong};
use crate::app::TestApp;

/// ATT-10, A32: an IPv6 network is one address, and an IPv4 address is one however it is written.
#[tokio::test]
async fn forms_of_one_address_share_one_limit() {
    let groups = [
        ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:0db8:0001:0002::9", "2001:DB8:1:2:0:0:0:1"],
        ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207", "0:0:0:0:0:ffff:192.0.2.7"],
    ];
    let app = TestApp::with("[service.default]\nlimits.ip_sends = \"3/1h\"").await;
    let client = app.client();
    let mut index = 0;
    for group in groups {
        for (place, ip) in group.iter().enumerate() {
            index += 1;
            let answer = client.start(json!({ "to": number(index), "ip": ip })).await;
            match place {
                0..3 => drop(answer.expect(201)),
                _ => assert_eq!(answer.problem(429, "limited")["limit"], "ip_sends", "{ip}"),
            }
        }
    }
    for other in ["2001:db8:1:3::1", "192.0.2.8"] {
        index += 1;
        client.started(json!({ "to": number(index), "ip": other })).await;
    }
}

/// Checks have a limit of their own, whatever they aim at (A05, A13): another verification is no way round it.
#[tokio::test]
async fn checks_of_one_address_are_limited_over_all_verifications() {
    let app = TestApp::with("[service.default]\nlimits.ip_checks = \"7/1h\"").await;
    let client = app.client();
    let mut passed = 0;
    for index in 1..=3 {
        let started = client.started(json!({ "to": number(index) })).await;
        let code = app.inbox().code(&started).await;
        for step in 1..=4 {
            let path = format!("/v1/verifications/{}/check", crate::actors::id(&started));
            let answer = client.post(&path, json!({ "code": wrong(&code, step), "ip": "203.0.113.9" })).await;
            match answer.status {
                200 => passed += 1,
                _ => assert_eq!(answer.problem(429, "limited")["limit"], "ip_checks"),
            }
        }
        if index == 3 {
            // Refused checks are not counted, and the person behind another address is not held up.
            assert_eq!(client.get(&started).await.expect(200)["attempts_left"], 5);
            assert_eq!(client.check(&started, &code).await.expect(200)["valid"], true);
        }
    }
    assert_eq!(passed, 7);
}

/// Guessing ids is counted too.
#[tokio::test]
async fn checks_of_unknown_ids_are_limited() {
    let app = TestApp::with("[service.default]\nlimits.ip_checks = \"2/1h\"").await;
    let client = app.client();
    let guess = async || {
        let path = format!("/v1/verifications/{}/check", uuid::Uuid::from_u128(7));
        client.post(&path, json!({ "code": "123456", "ip": "203.0.113.9" })).await
    };
    guess().await.problem(404, "not_found");
    guess().await.problem(404, "not_found");
    guess().await.problem(429, "limited");
}

/// ATT-10, A31: on public routes the connection's address counts, whatever its headers say.
#[tokio::test]
async fn forwarding_headers_of_strangers_are_ignored() {
    let app = TestApp::with("[service.default]\nlimits.ip_sends = \"3/1h\"").await;
    let stranger = app.stranger();
    let mut passed = 0;
    for index in 0..10 {
        let forged = format!("198.51.100.{index}");
        let forwarded = format!("for={forged}");
        let headers =
            [("x-forwarded-for", forged.as_str()), ("x-real-ip", &forged), ("forwarded", &forwarded), ("cf-connecting-ip", &forged)];
        let answer = stranger.post("/send-code", &headers, json!({ "phoneNumber": number(index) })).await;
        match answer.status {
            200 => passed += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(passed, 3);
}

/// A proxy that the configuration names is believed, as far as it can know: the last address that is not a proxy's.
#[tokio::test]
async fn forwarding_headers_of_trusted_proxies_count() {
    let app = TestApp::with("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[service.default]\nlimits.ip_sends = \"2/1h\"").await;
    let stranger = app.stranger();
    let send = async |index: u32, forwarded: &str| {
        stranger.post("/send-code", &[("x-forwarded-for", forwarded)], json!({ "phoneNumber": number(index) })).await.status
    };
    assert_eq!(send(1, "203.0.113.1").await, 200);
    // What stands to the left of it was written by the client: it changes nothing.
    assert_eq!(send(2, "198.51.100.5, 203.0.113.1").await, 200);
    assert_eq!(send(3, "198.51.100.6, 203.0.113.1, 127.0.0.9").await, 429);
    assert_eq!(send(3, "203.0.113.2").await, 200);
}

/// The native API believes the `ip` of its client and nothing else: without one there is no limit per address.
#[tokio::test]
async fn a_client_own_address_is_not_its_users() {
    let app = TestApp::with("[service.default]\nlimits.ip_sends = \"1/1h\"").await;
    let client = app.client();
    for index in 0..5 {
        client.started(json!({ "to": number(index) })).await;
    }
}
