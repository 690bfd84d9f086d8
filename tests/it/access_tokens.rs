//! Access tokens by whom they are for: a service that is given one cannot use it at the account's own API.

use countersign::db::client::Scope;
use serde_json::{Value, json};

use crate::actors::eventually;
use crate::app::TestApp;
use crate::people::Person;

const SHOP: &str = "https://shop.example";
const SETTINGS: &str = "[tokens]\naudiences = [\"https://shop.example\"]";

/// A token for one audience, by the session's cookie.
async fn token_for(person: &Person, audience: &str) -> Value {
    person.post("/auth/refresh", json!({ "audience": audience })).await.expect(200)["token"].clone()
}

/// Ann, and somebody who holds nothing but a token of hers.
fn holder(person: &Person, token: &Value) -> Person {
    let holder = Person { jar: None, headers: Vec::new(), ..person.elsewhere() };
    holder.hold(token);
    holder
}

/// TOK-03, OPS-07: a token that was made for a service opens none of the account's own routes there is, however fresh its session;
/// the one of the person's own app opens them.
#[tokio::test]
async fn a_services_token_does_not_open_the_account() {
    let app = TestApp::with(SETTINGS).await;
    let ann = Person::browser(&app, 1).arrive().await;
    let own = holder(&ann, &ann.act("POST", "/auth/refresh").await.expect(200)["token"]);
    let shop = holder(&ann, &token_for(&ann, SHOP).await);
    let routes = [
        ("GET", "/auth/me"),
        ("GET", "/auth/identifiers"),
        ("GET", "/auth/factors"),
        ("GET", "/auth/sessions"),
        ("POST", "/auth/recovery-codes"),
        ("POST", "/auth/sessions/revoke-others"),
    ];
    for (method, path) in routes {
        shop.act(method, path).await.problem(401, "sign_in_required");
        assert!(matches!(own.act(method, path).await.status, 200 | 201), "{method} {path}");
    }
    let change = json!({ "current": crate::people::PASSWORD, "new": "another long way to Tipperary" });
    shop.post("/auth/password/change", change).await.problem(401, "sign_in_required");
    shop.post("/auth/identifiers", json!({ "identifier": "mallory@example.org" })).await.problem(401, "sign_in_required");
    shop.post("/auth/factors/totp", json!({})).await.problem(401, "sign_in_required");
    assert_eq!(shop.get("/protected").await.status, 401, "made for another audience");
    own.get("/protected").await.expect(200);
    // Neither does it end the session: that is the person's to say.
    shop.act("POST", "/auth/logout").await.expect(200);
    assert!(ann.is_signed_in().await);
}

/// RFC 8707: no token for an audience that no operator named; with a refresh token as with the cookie, and none is spent by asking.
#[tokio::test]
async fn tokens_are_made_for_configured_audiences_only() {
    let app = TestApp::with(SETTINGS).await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    let pair = ann.sign_in().await;
    for unknown in ["", "https://mallory.example", "https://shop.example/"] {
        let body = json!({ "refresh_token": pair["refresh_token"], "audience": unknown });
        let refused = ann.post("/auth/refresh", body).await.problem(422, "invalid_field");
        assert_eq!(refused["field"], "audience", "{unknown}");
    }
    let body = json!({ "refresh_token": pair["refresh_token"], "audience": SHOP });
    let next = ann.post("/auth/refresh", body).await.expect(200);
    let service = app.client_of("default", &[Scope::Introspect]);
    let worth = service.post("/auth/introspect", json!({ "token": next["token"] })).await.expect(200);
    assert_eq!((&worth["active"], &worth["aud"], &worth["scope"]), (&true.into(), &SHOP.into(), &Value::Null));
    let worth = service.post("/auth/introspect", json!({ "token": pair["token"] })).await.expect(200);
    assert_eq!((&worth["active"], &worth["aud"], &worth["scope"]), (&true.into(), &worth["iss"], &"account".into()));
    // The family goes on: the next one is for whatever is asked then.
    let body = json!({ "refresh_token": next["refresh_token"] });
    let again = ann.post("/auth/refresh", body).await.expect(200);
    assert_eq!(service.post("/auth/introspect", json!({ "token": again["token"] })).await.expect(200)["scope"], "account");
}

/// Where the operator says that tokens are another service's, those of a sign-in do not open the account either: the app asks
/// for one that does.
#[tokio::test]
async fn a_configured_audience_is_not_the_account() {
    let app = TestApp::with("[tokens]\naudience = \"https://api.example\"").await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    let pair = ann.sign_in().await;
    ann.hold(&pair["token"]);
    ann.get("/protected").await.expect(200);
    ann.get("/auth/me").await.problem(401, "sign_in_required");
    let issuer = ann.get("/protected").await.expect(200)["user"]["iss"].clone();
    *ann.token.lock().expect("the token") = None;
    let own = ann.post("/auth/refresh", json!({ "refresh_token": pair["refresh_token"], "audience": issuer })).await.expect(200);
    ann.hold(&own["token"]);
    ann.get("/auth/me").await.expect(200);
}

/// SES-03: whoever only asks what a token is worth does not keep its session alive.
#[tokio::test]
async fn questions_keep_no_session_alive() {
    let app = TestApp::new().await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    let pair = ann.sign_in().await;
    let service = app.client_of("default", &[Scope::Introspect]);
    let before = app.dump("session");
    app.advance(300);
    assert_eq!(service.post("/auth/introspect", json!({ "token": pair["token"] })).await.expect(200)["active"], true);
    assert_eq!(app.dump("session"), before);
    ann.hold(&pair["token"]);
    ann.get("/auth/me").await.expect(200);
    eventually("the use is noted", async || (app.dump("session") != before).then_some(())).await;
}
