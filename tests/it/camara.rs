//! CAMARA one-time-password-sms and the access tokens for it. Every scenario of the standard is run by `./test camara`; here is
//! what the standard does not ask.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::clock::Clock;
use countersign::db::client::Scope;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::actors::{Client, eventually, number, wrong};
use crate::app::TestApp;
use crate::stand_in::StandIn;
use crate::wire::Answer;

const SEND: &str = "/one-time-password-sms/vwip/send-code";
const VALIDATE: &str = "/one-time-password-sms/vwip/validate-code";
const SCOPE: &str = "one-time-password-sms:send-validate";
const MESSAGE: &str = "{{code}} is your short code to authenticate with Cool App via SMS";
const NO_WAITS: &str = "[service.default]\nresend_waits = []\n";

/// The form of a token request, and what came of it.
async fn token_request(app: &TestApp, authorization: Option<&str>, form: &str) -> Answer {
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    app.wire.send("POST", "/oauth2/token", &headers, form.to_owned()).await
}

fn prefix(client: &Client) -> &str {
    client.key.split('_').nth(1).expect("a prefix")
}

fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

/// The same client, by an access token of its key.
async fn with_token(app: &TestApp, client: &Client) -> Client {
    let granted = token_request(app, Some(&basic(prefix(client), &client.key)), "grant_type=client_credentials").await.expect(200);
    Client { wire: Arc::clone(&client.wire), key: granted["access_token"].as_str().expect("a token").to_owned() }
}

async fn operator(app: &TestApp) -> Client {
    with_token(app, &app.client_of("default", &[Scope::OneTimePasswordSms])).await
}

async fn send(client: &Client, to: &str) -> Answer {
    client.post(SEND, json!({ "phoneNumber": to, "message": MESSAGE })).await
}

/// Sends one that must pass: its id, and its code.
async fn sent(app: &TestApp, client: &Client, to: &str) -> (Value, String) {
    let id = send(client, to).await.expect(200)["authenticationId"].clone();
    (id.clone(), message(app, &id).await["code"].as_str().expect("a code").to_owned())
}

async fn message(app: &TestApp, id: &Value) -> Value {
    eventually("the message", async || app.inbox().messages().await.into_iter().find(|message| message["verification"] == *id)).await
}

async fn validate(client: &Client, id: &Value, code: &str) -> Answer {
    client.post(VALIDATE, json!({ "authenticationId": id, "code": code })).await
}

/// A failure in the standard's shape, and nothing else in it.
#[track_caller]
fn fault(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")), "{}", answer.body);
    let body = answer.json();
    let keys: Vec<_> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "message", "status"]);
    assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(status.into()), Some(code)), "{}", answer.body);
    assert!(body["message"].as_str().is_some_and(|message| (1..=512).contains(&message.chars().count())));
    assert!(answer.header("x-correlator").is_some_and(|correlator| !correlator.is_empty()));
}

#[tokio::test]
async fn a_code_is_sent_and_validated_under_each_version() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    for (index, version) in ["vwip", "v1"].into_iter().enumerate() {
        let path = |operation: &str| format!("/one-time-password-sms/{version}/{operation}");
        let body = json!({ "phoneNumber": number(index as u32), "message": MESSAGE });
        let answer = client.call("POST", &path("send-code"), &[("x-correlator", "a-1_:;./<>{}")], body.to_string()).await;
        assert_eq!(answer.header("x-correlator"), Some("a-1_:;./<>{}"));
        let id = answer.expect(200)["authenticationId"].clone();
        let code = message(&app, &id).await["code"].as_str().expect("a code").to_owned();
        let answer = client.post(&path("validate-code"), json!({ "authenticationId": id, "code": code })).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert!(answer.header("x-correlator").is_some_and(|made| made.len() == 36));
        fault(&validate(&client, &id, &code).await, 400, "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED");
    }
    fault(&client.post("/one-time-password-sms/v9/send-code", json!({})).await, 404, "NOT_FOUND");
    fault(&client.call("GET", SEND, &[], String::new()).await, 405, "METHOD_NOT_ALLOWED");
    let off = TestApp::with("[camara]\napi = false").await;
    off.client().post(SEND, json!({})).await.problem(404, "not_found");
    token_request(&off, None, "grant_type=client_credentials").await.problem(404, "not_found");
}

/// INP-01, INP-02: exactly the documented body, one spelling of a number, and a correlator of the pattern.
#[tokio::test]
async fn bodies_are_strict() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    let to = number(1);
    for body in [
        json!({ "phoneNumber": to, "message": MESSAGE, "channel": "call" }),
        json!({ "phoneNumber": to, "message": [MESSAGE] }),
        json!({ "phoneNumber": to, "message": null }),
        json!({ "phoneNumber": "+49 151 10000001", "message": MESSAGE }),
        json!({ "phoneNumber": "ada@example.org", "message": MESSAGE }),
        json!({ "phoneNumber": to, "message": "no label" }),
        json!([to, MESSAGE]),
        json!({}),
    ] {
        fault(&client.post(SEND, body).await, 400, "INVALID_ARGUMENT");
    }
    let doubled = format!(r#"{{"phoneNumber":"{to}","phoneNumber":"{to}","message":"{MESSAGE}"}}"#);
    fault(&client.call("POST", SEND, &[], doubled).await, 400, "INVALID_ARGUMENT");
    fault(&client.call("POST", SEND, &[], "{".into()).await, 400, "INVALID_ARGUMENT");
    fault(&client.call("POST", SEND, &[("content-type", "text/plain")], "x".into()).await, 415, "UNSUPPORTED_MEDIA_TYPE");
    fault(&client.call("POST", SEND, &[], " ".repeat(70_000)).await, 400, "INVALID_ARGUMENT");
    let body = json!({ "phoneNumber": to, "message": MESSAGE }).to_string();
    let answer = client.call("POST", SEND, &[("x-correlator", "not this one")], body).await;
    fault(&answer, 400, "INVALID_ARGUMENT");
    assert!(!answer.header("x-correlator").expect("one of ours").contains(' '));
    for body in [json!({ "authenticationId": "x".repeat(37), "code": "1" }), json!({ "authenticationId": "x", "code": "12345678901" })] {
        fault(&client.post(VALIDATE, body).await, 400, "INVALID_ARGUMENT");
    }
    fault(&validate(&client, &json!("x"), "123456").await, 404, "NOT_FOUND");
    assert_eq!(app.messages_in_the_end().await, 0);
}

/// RFC 6749: both ways to show the secret, by id and by prefix, and each refusal in its words.
#[tokio::test]
async fn tokens_are_given_for_keys() {
    let app = TestApp::new().await;
    let scopes = [Scope::Read, Scope::OneTimePasswordSms];
    let client = app.client_of("default", &scopes);
    let id = app.clients().by_prefix(prefix(&client)).await.expect("a database").expect("a client").client.id;
    let (key, other) = (&client.key, app.client());
    let grant = "grant_type=client_credentials";
    let by_form = |name: &str, secret: &str| format!("{grant}&client_id={name}&client_secret={secret}&unknown=1&scope=");
    for answer in [
        token_request(&app, Some(&basic(&id.to_string(), key)), grant).await,
        token_request(&app, Some(&basic(&format!("csk%5F{}", prefix(&client)), key)), grant).await,
        token_request(&app, None, &by_form(&id.to_string(), key)).await,
        token_request(&app, None, &by_form(prefix(&client), key)).await,
    ] {
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
        let granted = answer.expect(200);
        assert_eq!((&granted["token_type"], &granted["expires_in"]), (&json!("Bearer"), &json!(600)));
        assert_eq!(granted["scope"], format!("verifications:read {SCOPE}"));
        assert!(!answer.body.contains(key.as_str()));
    }
    let narrow = format!("{grant}&scope=dpv:FraudPreventionAndDetection+{SCOPE}");
    let narrow = token_request(&app, Some(&basic(prefix(&client), key)), &narrow).await.expect(200);
    assert_eq!(narrow["scope"], SCOPE);

    let good = basic(prefix(&client), key);
    for (authorization, form, status, error) in [
        (Some(good.as_str()), String::new(), 400, "invalid_request"),
        (Some(&good), format!("{grant}&{grant}"), 400, "invalid_request"),
        (Some(&good), by_form(prefix(&client), key), 400, "invalid_request"),
        (Some(&good), "grant_type=password".into(), 400, "unsupported_grant_type"),
        (Some(&good), format!("{grant}&scope=verifications:write"), 400, "invalid_scope"),
        (Some(&good), format!("{grant}&scope=everything"), 400, "invalid_scope"),
        (None, grant.into(), 401, "invalid_client"),
        (None, by_form(prefix(&client), &other.key), 401, "invalid_client"),
        (None, by_form(prefix(&client), "wrong"), 401, "invalid_client"),
        (None, by_form("", key), 401, "invalid_client"),
        (Some(&basic(prefix(&client), &other.key)), grant.into(), 401, "invalid_client"),
        (Some(&basic(prefix(&other), key)), grant.into(), 401, "invalid_client"),
        (Some("Basic !"), grant.into(), 401, "invalid_client"),
        (Some(&format!("Bearer {key}")), grant.into(), 401, "invalid_client"),
    ] {
        let answer = token_request(&app, authorization, &form).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{form}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let challenged = answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic"));
        assert_eq!(challenged, status == 401 && authorization.is_some(), "{form}");
    }
    let json = app.stranger().post("/oauth2/token", &[], json!({ "grant_type": "client_credentials" })).await;
    assert_eq!(json.expect(400)["error"], "invalid_request");
}

/// SES-01, SES-03: ten minutes and not a moment more; changed, it is none; its client revoked, it dies within a second.
#[tokio::test]
async fn a_token_ends_with_its_time_and_with_its_client() {
    let app = TestApp::new().await;
    let (owner, neighbour) = (app.client_of("default", &[Scope::OneTimePasswordSms]), operator(&app).await);
    let client = with_token(&app, &owner).await;
    let unknown = json!("00000000-0000-0000-0000-000000000000");
    let bytes = URL_SAFE_NO_PAD.decode(&client.key[4..]).expect("base64");
    for (at, bit) in [(4, 0), (11, 4), (20, 1), (35, 2), (50, 0), (bytes.len() - 1, 7)] {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << bit;
        let thief = Client { wire: Arc::clone(&app.wire), key: format!("cst_{}", URL_SAFE_NO_PAD.encode(changed)) };
        let answer = validate(&thief, &unknown, "123456").await;
        fault(&answer, 401, "UNAUTHENTICATED");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    }
    app.advance(599);
    fault(&validate(&client, &unknown, "123456").await, 404, "NOT_FOUND");
    app.advance(1);
    fault(&validate(&client, &unknown, "123456").await, 401, "UNAUTHENTICATED");
    fault(&validate(&neighbour, &unknown, "123456").await, 401, "UNAUTHENTICATED");

    let (client, neighbour) = (with_token(&app, &owner).await, operator(&app).await);
    app.clients().revoke(prefix(&owner), app.clock.now()).await.expect("the database").expect("a client");
    app.advance(1);
    fault(&validate(&client, &unknown, "123456").await, 401, "UNAUTHENTICATED");
    fault(&validate(&neighbour, &unknown, "123456").await, 404, "NOT_FOUND");
    assert_eq!(token_request(&app, Some(&basic(prefix(&owner), &owner.key)), "grant_type=client_credentials").await.status, 401);
}

/// OPS-07: a token does what its scopes say, here and at `/v1`; nobody has this one's scope without having been given it.
#[tokio::test]
async fn a_token_does_what_its_scopes_say() {
    let app = TestApp::with("[service.shop]").await;
    let client = with_token(&app, &app.client_of("default", &Scope::USUAL)).await;
    fault(&send(&client, &number(1)).await, 403, "PERMISSION_DENIED");
    fault(&validate(&client, &json!("x"), "123456").await, 403, "PERMISSION_DENIED");
    let started = client.started(json!({ "to": number(1) })).await;
    let narrow = operator(&app).await;
    narrow.start(json!({ "to": number(1) })).await.problem(403, "forbidden");
    narrow.get(&started).await.problem(403, "forbidden");
    // OTP-05: a code of another door, and of another service, is none here.
    let code = app.inbox().code(&started).await;
    fault(&validate(&narrow, &started["id"], &code).await, 404, "NOT_FOUND");
    let shop = with_token(&app, &app.client_of("shop", &[Scope::OneTimePasswordSms])).await;
    let (id, code) = sent(&app, &narrow, &number(2)).await;
    fault(&validate(&shop, &id, &code).await, 404, "NOT_FOUND");
    assert_eq!(validate(&narrow, &id, &code).await.status, 204);
}

/// OTP-04, A02: the right code fifty times at once passes once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_right_answers_at_once_pass_once() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    for round in 0..5 {
        let (id, code) = sent(&app, &client, &number(round)).await;
        let mut answers = JoinSet::new();
        for _ in 0..50 {
            let (client, id, code) = (client.clone(), id.clone(), code.clone());
            answers.spawn(async move { validate(&client, &id, &code).await.status });
        }
        let passed = answers.join_all().await.into_iter().filter(|status| *status == 204).count();
        assert_eq!(passed, 1, "round {round}");
    }
}

/// The standard's "a new one has been requested": of twenty sends at once one code lives, and codes of other doors live on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_code_ends_those_before_it() {
    let app =
        TestApp::with("[limits]\ndestination = \"100/1m\"\n[service.default]\nresend_waits = []\nlimits.destination = [\"100/1m\"]").await;
    let (client, native) = (operator(&app).await, app.client());
    let to = number(1);
    let elsewhere = native.started(json!({ "to": to })).await;
    let (first, first_code) = sent(&app, &client, &to).await;
    let (_, _) = sent(&app, &client, &to).await;
    fault(&validate(&client, &first, &first_code).await, 400, "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED");
    let mut sending = JoinSet::new();
    for _ in 0..20 {
        let (client, to) = (client.clone(), to.clone());
        sending.spawn(async move { send(&client, &to).await.expect(200)["authenticationId"].clone() });
    }
    let mut alive = 0;
    for id in sending.join_all().await {
        let code = message(&app, &id).await["code"].as_str().expect("a code").to_owned();
        alive += usize::from(validate(&client, &id, &wrong(&code, 1)).await.json()["code"] == "ONE_TIME_PASSWORD_SMS.INVALID_OTP");
    }
    assert_eq!(alive, 1);
    assert_eq!(native.get(&elsewhere).await.expect(200)["status"], "pending");
}

/// ATT-01, TOTP-06: five checks; what can be no code is none of them.
#[tokio::test]
async fn checks_run_out_and_nonsense_is_not_counted() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    let (id, code) = sent(&app, &client, &number(1)).await;
    for nonsense in ["", "AJY3", "12345", "١٢٣٤٥٦", "123 456"] {
        fault(&validate(&client, &id, nonsense).await, 400, "ONE_TIME_PASSWORD_SMS.INVALID_OTP");
    }
    for step in 1..=4 {
        fault(&validate(&client, &id, &wrong(&code, step)).await, 400, "ONE_TIME_PASSWORD_SMS.INVALID_OTP");
    }
    fault(&validate(&client, &id, &wrong(&code, 5)).await, 400, "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED");
    fault(&validate(&client, &id, &code).await, 400, "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED");
    fault(&validate(&client, &id, "AJY3").await, 400, "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED");
}

/// Whose limit it is decides about the word: the number's, or the client's.
#[tokio::test]
async fn limits_have_the_standards_words() {
    let app = TestApp::with("[service.default]\ncountries = [\"DE\"]\nlimits.service_sends = \"2/1h\"").await;
    let client = operator(&app).await;
    send(&client, &number(1)).await.expect(200);
    let again = send(&client, &number(1)).await;
    fault(&again, 403, "ONE_TIME_PASSWORD_SMS.MAX_OTP_CODES_EXCEEDED");
    assert_eq!(again.retry_after(), 30);
    send(&client, &number(2)).await.expect(200);
    fault(&send(&client, &number(3)).await, 429, "QUOTA_EXCEEDED");
    fault(&send(&client, "+33612345678").await, 404, "NOT_FOUND");
    fault(&send(&client, "+123456789").await, 404, "IDENTIFIER_NOT_FOUND");
    fault(&send(&client, "+499001234567").await, 403, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_NOT_ALLOWED");
}

/// What a provider has against a number is told; that it is down is not the number's fault.
#[tokio::test]
async fn a_providers_objection_is_told() {
    let stand_in = StandIn::new().await;
    let numbers = "[dev.test_destinations]\n\"+15005550009\" = \"314159\"\n\"+15005550004\" = \"314159\"\n";
    let app = TestApp::with(&format!("{}\n{numbers}", stand_in.section("one"))).await;
    let client = operator(&app).await;
    fault(&send(&client, "+15005550009").await, 403, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_NOT_ALLOWED");
    fault(&send(&client, "+15005550004").await, 403, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_BLOCKED");
    send(&client, &number(1)).await.expect(200);
}

/// OTP-11: the client's words are sent only where the service says so, and never with a link.
#[tokio::test]
async fn the_clients_words_need_the_operators_leave() {
    let ours = |text: &str| text.contains("Countersign");
    for allowed in [false, true] {
        let app = TestApp::with(&format!("{NO_WAITS}caller_wording = {allowed}\norigin = \"example.com\"")).await;
        let client = operator(&app).await;
        let id = send(&client, &number(1)).await.expect(200)["authenticationId"].clone();
        let sent = message(&app, &id).await;
        let (text, code) = (sent["body"].as_str().expect("a text"), sent["code"].as_str().expect("a code"));
        let theirs = format!("{code} is your short code to authenticate with Cool App via SMS\n@example.com #{code}");
        assert_eq!((text == theirs, ours(text)), (allowed, !allowed), "{text}");
        let link = json!({ "phoneNumber": number(2), "message": "{{code}} http://evil.example/\r\nVisit it" });
        let answer = client.post(SEND, link).await;
        if allowed {
            fault(&answer, 400, "INVALID_ARGUMENT");
        } else {
            let id = answer.expect(200)["authenticationId"].clone();
            assert!(!message(&app, &id).await["body"].as_str().expect("a text").contains("evil"));
        }
    }
}
