//! Paths and methods: what is not routed is 404 or 405, as a problem document, and no spelling of a path is a way round.

use serde_json::json;

use crate::actors::{id, number};
use crate::app::TestApp;

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"];

/// WEB-05: every route times every method.
#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let app = TestApp::new().await;
    let client = app.client();
    let verification = format!("/v1/verifications/{}", uuid::Uuid::from_u128(7));
    let routes = [
        ("/v1/verifications".to_owned(), vec!["GET", "HEAD", "POST"]),
        ("/v1/verifications/check".to_owned(), vec!["POST"]),
        (verification.clone(), vec!["GET", "HEAD"]),
        (format!("{verification}/check"), vec!["POST"]),
        (format!("{verification}/resend"), vec!["POST"]),
        (format!("{verification}/cancel"), vec!["POST"]),
        ("/v1/failures/release".to_owned(), vec!["POST"]),
        ("/send-code".to_owned(), vec!["POST"]),
        ("/verify-code".to_owned(), vec!["POST"]),
        ("/livez".to_owned(), vec!["GET", "HEAD"]),
        ("/readyz".to_owned(), vec!["GET", "HEAD"]),
        ("/openapi.json".to_owned(), vec!["GET", "HEAD"]),
        ("/docs".to_owned(), vec!["GET", "HEAD"]),
        ("/dev/inbox.json".to_owned(), vec!["GET", "HEAD"]),
        ("/".to_owned(), vec!["GET", "HEAD"]),
    ];
    for (path, allowed) in routes {
        for method in METHODS {
            let answer = client.call(method, &path, &[], String::new()).await;
            if allowed.contains(&method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            if method == "HEAD" {
                // An answer without a body.
                assert_eq!(answer.status, 405, "HEAD {path}");
            } else {
                answer.problem(405, "method_not_allowed");
            }
            let named = answer.header("allow").unwrap_or_else(|| panic!("{method} {path} without Allow"));
            let mut named: Vec<_> = named.split(',').map(str::trim).collect();
            let mut allowed = allowed.clone();
            named.sort_unstable();
            allowed.sort_unstable();
            assert_eq!(named, allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let app = TestApp::new().await;
    let client = app.client();
    let paths = [
        "/nothing",
        "/v1",
        "/v1/",
        "/v3/verifications",
        "/v1/verifications/not-an-id",
        "/v1/clients",
        "/.env",
        "/static/",
        "/static/../Cargo.toml",
        "/admin",
        "/metrics",
    ];
    for path in paths {
        client.call("GET", path, &[], String::new()).await.problem(404, "not_found");
    }
    // A browser gets a page, with the same status.
    let page = app.wire.get("/nothing", &[("accept", "text/html,*/*")]).await;
    assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
}

/// ATT-13: limits hang on the handler; another spelling of the path either reaches it or reaches nothing.
#[tokio::test]
async fn spellings_of_a_path_are_no_way_round() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let id = id(&started);
    let spellings = [
        format!("/v1/verifications/{id}/check/"),
        format!("/v1/verifications/{id}/Check"),
        format!("/v1//verifications/{id}/check"),
        format!("//v1/verifications/{id}/check"),
        format!("/v1/verifications/{id}/%63heck"),
        format!("/v1/verifications/{id}/check;x"),
        format!("/V1/verifications/{id}/check"),
        format!("/v1/./verifications/{id}/check"),
        format!("/v1/verifications/{id}/check%00"),
        format!("/v1/verifications/{id}%2Fcheck"),
        format!("/v1/verifications/ {id}/check").replace(' ', "%20"),
    ];
    for spelling in spellings {
        let answer = client.call("POST", &spelling, &[("x-http-method-override", "GET")], json!({ "code": "000000" }).to_string()).await;
        assert!(matches!(answer.status, 404 | 405), "{spelling}: {} {}", answer.status, answer.body);
    }
    // Other spellings of the id itself are the same id, and count.
    for (spelling, left) in [(id.to_uppercase(), 4), (id.replace('-', ""), 3)] {
        let answer =
            client.call("POST", &format!("/v1/verifications/{spelling}/check?x=1"), &[], json!({ "code": "0000000000" }).to_string()).await;
        assert_eq!(answer.expect(200)["attempts_left"], left);
    }
}

/// A request's id is the caller's where that is harmless, and ours otherwise.
#[tokio::test]
async fn a_request_id_is_kept_only_when_it_is_plain() {
    let app = TestApp::new().await;
    let kept = app.wire.get("/nothing", &[("x-request-id", "proxy-1234_abcd")]).await;
    assert_eq!(kept.problem(404, "not_found")["request_id"], "proxy-1234_abcd");
    for odd in ["short", "with space", "<script>alert</script>", &"x".repeat(65)] {
        let replaced = app.wire.get("/nothing", &[("x-request-id", odd)]).await;
        assert_ne!(replaced.problem(404, "not_found")["request_id"], odd);
    }
}
