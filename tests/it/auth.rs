//! Keys: none, wrong, revoked, too weak, or somebody else's.

use countersign::clock::Clock;
use countersign::db::client::Scope;
use countersign::verification::policy::DEFAULT_SERVICE;
use serde_json::{Value, json};

use crate::actors::{Client, id, number};
use crate::app::TestApp;
use crate::wire::Answer;

/// Every route that needs a key, called for one verification.
async fn every_route(client: &Client, verification: &Value) -> Vec<(&'static str, Answer)> {
    let path = |end: &str| format!("/v1/verifications/{}{end}", id(verification));
    vec![
        ("start", client.start(json!({ "to": number(9) })).await),
        ("check destination", client.check_destination(json!({ "to": number(1), "code": "000000" })).await),
        ("check", client.post(&path("/check"), json!({ "code": "000000" })).await),
        ("resend", client.post(&path("/resend"), json!({})).await),
        ("cancel", client.cancel(verification).await),
        ("get", client.get(verification).await),
        ("list", client.list(&number(1), "").await),
        ("release", client.release(json!({ "to": number(1) })).await),
    ]
}

#[tokio::test]
async fn without_a_good_key_nothing_answers() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let other = app.client_of(DEFAULT_SERVICE, &Scope::ALL);
    let swapped = format!("{}{}", &client.key[..17], &other.key[17..]);
    let mut flipped = client.key.clone();
    let last = if flipped.pop() == Some('A') { 'B' } else { 'A' };
    flipped.push(last);
    for key in [
        "",
        "x",
        "csk_",
        "csk__",
        &client.key[..client.key.len() - 1],
        &client.key.to_uppercase(),
        &flipped,
        &swapped,
        &format!("{}A", client.key),
    ] {
        let thief = Client { wire: app.wire.clone(), key: key.to_owned() };
        for (route, answer) in every_route(&thief, &started).await {
            answer.problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{route}");
            assert!(key.len() < 6 || !answer.body.contains(key), "{route} repeats the key");
        }
    }
    for authorization in [format!("Basic {}", client.key), client.key.clone(), "Bearer".into(), format!("Bearer: {}", client.key)] {
        app.wire.get("/v1/verifications?to=x", &[("authorization", &authorization)]).await.problem(401, "unauthorized");
    }
    app.wire.get("/v1/verifications?to=x", &[]).await.problem(401, "unauthorized");
    let elsewhere = format!("/v1/verifications?to=x&key={0}&access_token={0}", client.key);
    app.wire.get(&elsewhere, &[("x-api-key", &client.key)]).await.problem(401, "unauthorized");
    assert_eq!(client.get(&started).await.expect(200)["attempts_left"], 5);
    assert_eq!(app.messages_in_the_end().await, 1);
}

#[tokio::test]
async fn a_revoked_key_dies_within_a_second() {
    let app = TestApp::new().await;
    let (client, other) = (app.client(), app.client_of(DEFAULT_SERVICE, &Scope::ALL));
    let started = client.started(json!({ "to": number(1) })).await;
    let prefix = client.key.split('_').nth(1).expect("a prefix");
    app.clients().revoke(prefix, app.clock.now()).await.expect("the database").expect("a client");
    app.advance(1);
    for (_, answer) in every_route(&client, &started).await {
        answer.problem(401, "unauthorized");
    }
    other.get(&started).await.expect(200);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say() {
    let app = TestApp::new().await;
    let started = app.client().started(json!({ "to": number(1) })).await;
    for scope in Scope::ALL {
        let client = app.client_of("default", &[scope]);
        for (route, answer) in every_route(&client, &started).await {
            let needed = match route {
                "get" | "list" => Scope::Read,
                "release" => Scope::Release,
                _ => Scope::Write,
            };
            if needed == scope {
                assert!(!matches!(answer.status, 401 | 403), "{route}: {}", answer.body);
            } else {
                let problem = answer.problem(403, "forbidden");
                assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(needed.as_str())), "{route}: {problem}");
            }
        }
    }
}

/// OPS-07, A52: to another service it does not exist.
#[tokio::test]
async fn another_services_verification_does_not_exist() {
    let app = TestApp::with("[service.shop]").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    let shop = app.client_of("shop", &Scope::ALL);
    let unknown = json!({ "id": uuid::Uuid::from_u128(7) });
    for ((route, answer), (_, of_unknown)) in every_route(&shop, &started).await.into_iter().zip(every_route(&shop, &unknown).await) {
        match route {
            "start" => continue,
            "list" => assert_eq!(answer.expect(200), json!({ "data": [] })),
            "release" => assert_eq!(answer.expect(200)["released"], false),
            _ => drop(answer.problem(404, "not_found")),
        }
        // Nothing tells an id of somebody else from one that nobody has.
        let masked = |answer: &Answer| {
            let mut body = answer.json();
            body["request_id"] = Value::Null;
            (answer.status, body)
        };
        assert_eq!(masked(&answer), masked(&of_unknown), "{route}");
    }
    shop.check(&started, &code).await.problem(404, "not_found");
    assert_eq!(client.get(&started).await.expect(200)["attempts_left"], 5);
    assert_eq!(client.check(&started, &code).await.expect(200)["valid"], true);
}
