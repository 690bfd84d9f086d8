//! Whom integrators want told of factors and challenges: who may be told what, and that they can believe it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::actors::eventually;
use crate::people::totp_now;
use crate::twilio_factors::{Story, refused};
use crate::upstream::{Asked, Reply, Upstream};

const PRIVATE: &str = "[twilio_face]\nprivate_webhooks = true\n[delivery]\nretry_wait = \"5ms\"\n";

/// What the official libraries compute of a form: the reference of this test, and none of the server's own code.
pub(crate) fn signature(token: &str, url: &str, asked: &Asked) -> String {
    let text = asked.form().iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()))
}

async fn webhook(story: &Story, url: &str, more: &[(&str, &str)]) -> Value {
    let form = [&[("FriendlyName", "hook"), ("WebhookUrl", url)], more].concat();
    story.twilio.post(&format!("{}/Webhooks", story.service), &form).await.expect(201)
}

/// OPS-04: each event is posted once, signed with the account's token, and holds neither code nor secret.
#[tokio::test]
async fn events_are_posted_and_signed() {
    let upstream = Upstream::new(|_| Reply::new(200, "")).await;
    let story = Story::new(PRIVATE).await;
    let url = format!("{}/hook?x=1", upstream.url);
    let made = webhook(&story, &url, &[("EventTypes", "*")]).await;
    assert_eq!((&made["status"], &made["version"], &made["webhook_method"]), (&json!("enabled"), &json!("v2"), &json!("POST")));
    let factor = story.verified().await;
    let challenges = format!("{}/Challenges", story.person);
    let (sid, code) = (factor["sid"].as_str().expect("a SID"), totp_now(&story.app, &factor["binding"]["secret"]));
    let form = [("FactorSid", sid), ("AuthPayload", &code), ("HiddenDetails", r#"{"ip":"1"}"#)];
    let challenge = story.twilio.post(&challenges, &form).await.expect(201);
    story.twilio.delete(&format!("{}/Factors/{sid}", story.person)).await;
    let asked = eventually("four events", async || Some(upstream.asked()).filter(|asked| asked.len() == 4)).await;
    let mut kinds: Vec<_> = asked.iter().map(|asked| asked.form()["type"].clone()).collect();
    kinds.sort();
    assert_eq!(kinds, ["challenge.approved", "factor.created", "factor.deleted", "factor.verified"]);
    let secret = factor["binding"]["secret"].as_str().expect("a secret");
    for asked in &asked {
        assert_eq!(asked.header("x-twilio-signature"), Some(signature(&story.twilio.auth_token, &url, asked).as_str()));
        let form = asked.form();
        assert_eq!((form["factor_sid"].as_str(), form["entity_identity"].as_str()), (sid, "user-0123456789"));
        assert_eq!(form["account_sid"], story.twilio.account_sid);
        assert!(story.service.ends_with(&form["service_sid"]), "{form:?}");
        assert!(!asked.body.contains(secret) && !asked.body.contains(&code), "{}", asked.body);
        if form["type"] == "challenge.approved" {
            assert_eq!(json!(form["challenge_sid"]), challenge["sid"]);
            assert_eq!(form["challenge_hidden_details"], r#"{"ip":"1"}"#);
        }
    }
}

/// OPS-04: what is signed is the URL that is called, however it was written.
#[tokio::test]
async fn what_is_signed_is_what_is_called() {
    let upstream = Upstream::new(|_| Reply::new(200, "")).await;
    let story = Story::new(PRIVATE).await;
    let port = upstream.url.rsplit(':').next().expect("a port").to_owned();
    let written = [upstream.url.clone(), format!("HTTP://LocalHost:{port}/A?ä=ö"), format!("{}/x/../hook#end", upstream.url)];
    for url in &written {
        webhook(&story, url, &[("EventTypes", "factor.created")]).await;
    }
    story.verified().await;
    let asked = eventually("three calls", async || Some(upstream.asked()).filter(|asked| asked.len() == 3)).await;
    for asked in &asked {
        // As the libraries do: out of what came.
        let seen = format!("http://{}{}", asked.header("host").expect("a host"), asked.uri);
        assert_eq!(asked.header("x-twilio-signature"), Some(signature(&story.twilio.auth_token, &seen, asked).as_str()), "{seen}");
    }
    let mut seen: Vec<_> = asked.iter().map(|asked| asked.uri.as_str()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["/", "/A?%C3%A4=%C3%B6", "/hook"]);
}

/// A receiver that fails is asked again, a few times and not for ever; one that asked for less hears less.
#[tokio::test]
async fn failures_are_tried_again_and_filters_hold() {
    let failing = Upstream::new(|_| Reply::new(500, "")).await;
    let choosy = Upstream::new(|_| Reply::new(200, "")).await;
    let off = Upstream::new(|_| Reply::new(200, "")).await;
    let story = Story::new(PRIVATE).await;
    webhook(&story, &failing.url, &[("EventTypes", "factor.created")]).await;
    webhook(&story, &choosy.url, &[("EventTypes", "factor.deleted"), ("EventTypes", "factor.verified")]).await;
    let disabled = webhook(&story, &off.url, &[("EventTypes", "*"), ("Status", "disabled")]).await;
    let factor = story.verified().await;
    let asked = eventually("four tries", async || Some(failing.asked()).filter(|asked| asked.len() == 4)).await;
    let ids: std::collections::BTreeSet<_> = asked.iter().map(|asked| asked.form()["uuid"].clone()).collect();
    assert_eq!(ids.len(), 1, "the same event each time");
    eventually("one event", async || (choosy.asked().len() == 1).then_some(())).await;
    assert_eq!(choosy.asked()[0].form()["type"], "factor.verified");
    assert!(off.asked().is_empty());
    // Enabled, it hears of the next one.
    let path = format!("{}/Webhooks/{}", story.service, disabled["sid"].as_str().expect("a SID"));
    assert_eq!(story.twilio.post(&path, &[("Status", "enabled")]).await.expect(200)["status"], "enabled");
    story.twilio.delete(&format!("{}/Factors/{}", story.person, factor["sid"].as_str().expect("a SID"))).await;
    eventually("the event", async || (off.asked().len() == 1).then_some(())).await;
    assert_eq!(failing.asked().len(), 4);
}

/// OPS-06: a tenant's URL leads to no machine behind this server, and is refused by name.
#[tokio::test]
async fn private_addresses_are_refused() {
    let upstream = Upstream::new(|_| Reply::new(200, "")).await;
    let story = Story::new("").await;
    let path = format!("{}/Webhooks", story.service);
    let public = webhook(&story, "https://example.com/hook", &[("EventTypes", "*")]).await;
    let public = format!("{path}/{}", public["sid"].as_str().expect("a SID"));
    for url in
        [upstream.url.as_str(), "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/", "http://example.com/", "x"]
    {
        let form = [("FriendlyName", "hook"), ("EventTypes", "*"), ("WebhookUrl", url)];
        refused(&story.twilio.post(&path, &form).await, 400, 60330);
        refused(&story.twilio.post(&public, &[("WebhookUrl", url)]).await, 400, 60330);
    }
    // A name that leads there is accepted, and never connected to.
    webhook(&story, "https://localhost/hook", &[("EventTypes", "*")]).await;
    story.verified().await;
    assert!(upstream.asked().is_empty());
    for (name, value) in [("EventTypes", "factor.lost"), ("Version", "v3"), ("Status", "on"), ("FriendlyName", "")] {
        let mut form = vec![("FriendlyName", "hook"), ("EventTypes", "*"), ("WebhookUrl", "https://example.com/")];
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        refused(&story.twilio.post(&path, &form).await, 400, 60200);
    }
}

/// OPS-01: a database that is away is 503 and says when to come again, on every route that needs it, as it is everywhere else.
#[tokio::test]
async fn a_database_that_is_away_is_503() {
    let story = Story::new("[twilio_face]\nmessages = true\n").await;
    let factor = story.verified().await;
    let (service, person) = (&story.service, &story.person);
    let hook = webhook(&story, "https://localhost/hook", &[("EventTypes", "*")]).await;
    let of = |made: &Value| made["sid"].as_str().expect("a SID").to_owned();
    let messages = format!("/2010-04-01/Accounts/{}/Messages.json", story.twilio.account_sid);
    let text = [("To", "+15017122661"), ("From", "+15005550006"), ("Body", "x")];
    let sid = of(&factor);
    type Call<'a> = (&'a str, &'a str, String, &'a [(&'a str, &'a str)]);
    let calls: [Call<'_>; 12] = [
        ("entity", "GET", format!("{service}/Entities"), &[]),
        ("entity", "POST", format!("{service}/Entities"), &[("Identity", "user-9876543210")]),
        ("entity", "DELETE", person.clone(), &[]),
        ("entity_factor", "GET", format!("{person}/Factors"), &[]),
        ("entity_factor", "POST", format!("{person}/Factors/{sid}"), &[("AuthPayload", "123456")]),
        ("challenge", "POST", format!("{person}/Challenges"), &[("FactorSid", sid.as_str()), ("AuthPayload", "123456")]),
        ("challenge", "GET", format!("{person}/Challenges"), &[]),
        ("service_webhook", "POST", format!("{service}/Webhooks/{}", of(&hook)), &[("Status", "disabled")]),
        ("messaging_configuration", "GET", format!("{service}/MessagingConfigurations"), &[]),
        ("safe_number", "POST", "/v2/SafeList/Numbers".into(), &[("PhoneNumber", "+15017122661")]),
        ("free_text", "POST", messages.clone(), &text),
        ("free_text", "GET", messages, &[]),
    ];
    for (table, method, path, form) in calls {
        story.app.meddle(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE {table} RENAME TO gone")).await;
        let answer = story.twilio.call(method, &path, form).await;
        assert_eq!(answer.status, 503, "{table} {method} {path}: {}", answer.body);
        refused(&answer, 503, 20503);
        assert_eq!(answer.retry_after(), 1, "{table} {method} {path}");
        story.app.meddle(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE gone RENAME TO {table}")).await;
    }
    story.twilio.get(&format!("{person}/Factors/{sid}")).await.expect(200);
}

/// Webhooks come and go, and are a service's own (OPS-07).
#[tokio::test]
async fn webhooks_belong_to_a_service() {
    let story = Story::new("").await;
    let made = webhook(&story, "https://example.com/hook", &[("EventTypes", "factor.created"), ("EventTypes", "challenge.approved")]).await;
    assert_eq!(made["event_types"], json!(["factor.created", "challenge.approved"]));
    let (path, sid) = (format!("{}/Webhooks", story.service), made["sid"].as_str().expect("a SID"));
    assert_eq!(story.twilio.get(&format!("{path}/{sid}")).await.expect(200), made);
    let listed = story.twilio.get(&path).await.expect(200);
    assert_eq!((&listed["webhooks"], &listed["meta"]["key"]), (&json!([made]), &json!("webhooks")));
    let other = story.twilio.service(&[("FriendlyName", "Other")]).await;
    refused(&story.twilio.get(&format!("{other}/Webhooks/{sid}")).await, 404, 20404);
    refused(&story.twilio.delete(&format!("{other}/Webhooks/{sid}")).await, 404, 20404);
    let deleted = story.twilio.delete(&format!("{path}/{sid}")).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    refused(&story.twilio.get(&format!("{path}/{sid}")).await, 404, 20404);
}
