//! Texts of integrators' own by the face of Programmable Messaging: sent, limited, told of, and nobody else's business.

use countersign::db::client::Scope;
use countersign::dev_provider::AUTH_TOKEN;
use countersign::dev_provider::fault::Fail;
use countersign::verification::policy::DEFAULT_SERVICE;
use serde_json::{Value, json};

use crate::actors::eventually;
use crate::app::TestApp;
use crate::stand_in::{StandIn, post_receipt};
use crate::twilio::Sdk;
use crate::twilio_factors::refused;
use crate::twilio_webhooks::signature;
use crate::upstream::{Reply, Upstream};

const ON: &str = "[twilio_face]\nmessages = true\nprivate_webhooks = true\n[service.default]\nresend_waits = []\n";
const TO: &str = "+15017122661";
const FROM: &str = "+15005550006";

fn messages(twilio: &Sdk) -> String {
    format!("/2010-04-01/Accounts/{}/Messages.json", twilio.account_sid)
}

async fn sent(twilio: &Sdk, more: &[(&str, &str)]) -> Value {
    let form = [&[("To", TO), ("From", FROM), ("Body", "Héllo & 1=2: 482913")], more].concat();
    twilio.post(&messages(twilio), &form).await.expect(201)
}

async fn until(twilio: &Sdk, message: &Value, status: &str) -> Value {
    let uri = message["uri"].as_str().expect("a URI").to_owned();
    eventually(status, async || Some(twilio.get(&uri).await.expect(200)).filter(|message| message["status"] == status)).await
}

/// A text goes to a provider of the route with the integrator's own words; receipts move it, and its callback hears of it, signed.
#[tokio::test]
async fn a_text_is_sent_and_told_of() {
    let (provider, upstream) = (StandIn::new().await, Upstream::new(|_| Reply::new(200, "")).await);
    let app = TestApp::with(&format!("{ON}{}", provider.section("twilio"))).await;
    let twilio = Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await;
    let callback = format!("{}/cb", upstream.url);
    let message = sent(&twilio, &[("StatusCallback", &callback), ("ValidityPeriod", "600"), ("SmartEncoded", "true")]).await;
    assert_eq!((&message["status"], &message["direction"], &message["to"]), (&json!("queued"), &json!("outbound-api"), &json!(TO)));
    assert_eq!((&message["num_segments"], &message["price"], &message["date_sent"]), (&json!("1"), &Value::Null, &Value::Null));
    assert!(message["date_created"].as_str().is_some_and(|date| date.ends_with(" +0000")), "{message}");
    let carried = provider.messages_to(TO, 1).await.remove(0);
    assert_eq!(carried.text, "Héllo & 1=2: 482913");
    let taken = until(&twilio, &message, "sent").await;
    assert!(taken["date_sent"].is_string());
    assert_eq!(taken["body"], "Héllo & 1=2: 482913");
    assert_eq!(post_receipt(&app.wire, &carried, "delivered", AUTH_TOKEN).await.status, 200);
    until(&twilio, &message, "delivered").await;
    // Late ones change nothing (OPS-04).
    assert_eq!(post_receipt(&app.wire, &carried, "undelivered", AUTH_TOKEN).await.status, 200);
    until(&twilio, &message, "delivered").await;
    let asked = eventually("two callbacks", async || Some(upstream.asked()).filter(|asked| asked.len() == 2)).await;
    let mut statuses: Vec<_> = asked.iter().map(|asked| asked.form()["MessageStatus"].clone()).collect();
    statuses.sort();
    assert_eq!(statuses, ["delivered", "sent"]);
    for asked in &asked {
        assert_eq!(asked.header("x-twilio-signature"), Some(signature(&twilio.auth_token, &callback, asked).as_str()));
        assert!(asked.form()["MessageSid"] == asked.form()["SmsSid"] && !asked.body.contains("482913"), "{}", asked.body);
    }
    // OTP-07: a code may stand in it.
    assert!(!app.dump("free_text").contains("482913"));
}

/// The operator turns it on, the key has the scope, and the account is one's own (OPS-07).
#[tokio::test]
async fn it_is_off_unless_everything_says_so() {
    let app = TestApp::with(ON).await;
    let (twilio, other) = (Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await, Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await);
    let message = sent(&twilio, &[]).await;
    let form = [("To", TO), ("From", FROM), ("Body", "x")];
    refused(&other.post(&messages(&twilio), &form).await, 404, 20404);
    refused(&other.get(message["uri"].as_str().expect("a URI")).await, 404, 20404);
    let theirs = message["uri"].as_str().expect("a URI").replace(&twilio.account_sid, &other.account_sid);
    refused(&other.get(&theirs).await, 404, 20404);
    assert_eq!(other.get(&messages(&other)).await.expect(200)["messages"], json!([]));
    let usual = Sdk::of(&app, DEFAULT_SERVICE, &Scope::USUAL).await;
    assert_eq!(usual.post(&messages(&usual), &form).await.status, 403);
    let app = TestApp::new().await;
    let twilio = Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await;
    refused(&twilio.post(&messages(&twilio), &form).await, 404, 20404);
}

/// ABU-03: texts take from the limits that codes take from, in both directions.
#[tokio::test]
async fn texts_and_codes_share_their_limits() {
    let app = TestApp::with(&format!("{ON}[limits]\ndestination = \"2/1h\"\n")).await;
    let (twilio, client) = (Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await, app.client());
    sent(&twilio, &[]).await;
    client.start(json!({ "to": TO })).await.expect(201);
    assert_eq!(client.start(json!({ "to": TO })).await.status, 429);
    let refusal = twilio.post(&messages(&twilio), &[("To", TO), ("From", FROM), ("Body", "x")]).await;
    refused(&refusal, 429, 20429);
    assert!(refusal.retry_after() > 0);
}

#[tokio::test]
async fn what_is_wrong_has_its_code() {
    let app = TestApp::with(&format!("{ON}countries = [\"US\"]\n")).await;
    let twilio = Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await;
    let long = "x".repeat(1601);
    for (name, value, code) in [
        ("To", Some("+15017"), 21211),
        ("To", Some("ann@example.com"), 21211),
        ("To", None, 21604),
        ("To", Some("+4915112345678"), 21408),
        ("From", None, 21603),
        ("Body", None, 21602),
        ("Body", Some(""), 21602),
        ("Body", Some(long.as_str()), 21617),
        ("StatusCallback", Some("ftp://example.com/"), 21609),
        ("MessagingServiceSid", Some("MG1"), 21705),
    ] {
        let mut form = vec![("To", TO), ("From", FROM), ("Body", "x")];
        form.retain(|(known, _)| *known != name);
        form.extend(value.map(|value| (name, value)));
        refused(&twilio.post(&messages(&twilio), &form).await, 400, code);
    }
    for silent in ["MediaUrl", "ContentSid", "SendAt"] {
        assert_eq!(twilio.post(&messages(&twilio), &[("To", TO), ("From", FROM), ("Body", "x"), (silent, "y")]).await.status, 400);
    }
}

/// A provider's refusal, a text that waits no more, and words that are taken out.
#[tokio::test]
async fn texts_fail_are_listed_and_forgotten() {
    let provider = StandIn::failing(Fail::Rejected).await;
    let app = TestApp::with(&format!("{ON}{}", provider.section("twilio"))).await;
    let twilio = Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await;
    let message = sent(&twilio, &[]).await;
    let failed = until(&twilio, &message, "failed").await;
    assert!(failed["error_code"].is_u64() && failed["date_sent"].is_null(), "{failed}");
    let uri = message["uri"].as_str().expect("a URI");
    assert_eq!(twilio.post(uri, &[("Body", "")]).await.expect(200)["body"], "");
    refused(&twilio.post(uri, &[("Status", "canceled")]).await, 400, 30409);
    app.advance(700);
    let other = twilio.post(&messages(&twilio), &[("To", "+15017122662"), ("From", FROM), ("Body", "x")]).await.expect(201);
    let all = twilio.get(&format!("{}?PageSize=1", messages(&twilio))).await.expect(200);
    assert_eq!((&all["messages"][0]["sid"], &all["page"], &all["end"]), (&other["sid"], &json!(0), &json!(0)));
    let next = twilio.get(all["next_page_uri"].as_str().expect("a URI")).await.expect(200);
    assert_eq!((&next["messages"][0]["sid"], &next["next_page_uri"]), (&message["sid"], &Value::Null));
    let to = twilio.get(&format!("{}?To=%2B15017122662", messages(&twilio))).await.expect(200);
    assert_eq!(to["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(twilio.delete(uri).await.status, 204);
    refused(&twilio.get(uri).await, 404, 20404);
}
