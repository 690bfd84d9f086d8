//! Codes over WhatsApp and Telegram, and their receipts, on loopback.

use countersign::clock::Clock;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::actors::{Client, eventually, number};
use crate::app::TestApp;
use crate::upstream::{Asked, Reply, Upstream};
use crate::wire::Answer;

fn hmac(key: &[u8], text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn reaches(client: &Client, verification: &Value, delivery: &str) -> Value {
    eventually(&format!("the message is {delivery}"), async || {
        let found = client.get(verification).await.expect(200);
        (found["delivery"] == delivery).then_some(found)
    })
    .await
}

/// A text-message provider that takes everything: Twilio's answer.
fn texts(_: &Asked) -> Reply {
    Reply::new(201, r#"{"sid":"SM00000000000000000000000000000001","status":"queued","error_code":null}"#)
}

fn twilio(api: &Upstream) -> String {
    format!(
        "[provider.texts]\ntype = \"twilio\"\naccount_sid = \"AC1\"\nauth_token = \"t\"\nfrom = \"+15005550006\"\nbase_url = \"{}\"\n",
        api.url
    )
}

const ACCEPTED: &str = r#"{"messaging_product":"whatsapp","contacts":[{"input":"4915110000001","wa_id":"4915110000001"}],
    "messages":[{"id":"wamid.HBgN1","message_status":"accepted"}]}"#;

async fn whatsapp(api: &Upstream, more: &str) -> TestApp {
    let settings =
        "access_token = \"EAA1\"\nphone_number_id = \"106540352242922\"\ntemplate = \"verification_code\"\nlanguages = [\"en_US\", \"de\"]";
    let secrets = "app_secret = \"TEST_APP_SECRET\"\nverify_token = \"chosen\"";
    TestApp::with(&format!("{more}[provider.meta]\ntype = \"whatsapp\"\n{settings}\n{secrets}\nbase_url = \"{}\"\n", api.url)).await
}

/// Meta's post for one message.
fn status(reference: &Value, more: Value) -> Value {
    let mut status =
        json!({ "id": "wamid.HBgN1", "timestamp": "1750263773", "recipient_id": "4915110000001", "biz_opaque_callback_data": reference });
    for (name, value) in more.as_object().expect("an object") {
        status[name] = value.clone();
    }
    let metadata = json!({ "display_phone_number": "15550783881", "phone_number_id": "106540352242922" });
    let value = json!({ "messaging_product": "whatsapp", "metadata": metadata, "statuses": [status] });
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "WABA", "changes": [{ "field": "messages", "value": value }] }] })
}

async fn meta_posts(app: &TestApp, body: &Value, secret: &str) -> Answer {
    let body = body.to_string();
    let signature = format!("sha256={}", hmac(secret.as_bytes(), &body));
    let headers = [("content-type", "application/json"), ("x-hub-signature-256", signature.as_str())];
    app.wire.send("POST", "/webhooks/meta", &headers, body).await
}

#[tokio::test]
async fn a_whatsapp_message_is_an_authentication_template() {
    let api = Upstream::new(|_| Reply::new(200, ACCEPTED)).await;
    let app = whatsapp(&api, "").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "channel": "whatsapp", "locale": "de-AT" })).await;
    assert_eq!(client.sent(&started).await["message_id"], "wamid.HBgN1");
    let asked = api.asked().remove(0);
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/v25.0/106540352242922/messages", Some("Bearer EAA1")));
    let (body, code) = (asked.json(), app.inbox().code(&started).await);
    let parameters = json!([{ "type": "text", "text": code }]);
    let expected = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": number(1).trim_start_matches('+'), "type": "template",
        "template": { "name": "verification_code", "language": { "code": "de" }, "components": [
            { "type": "body", "parameters": parameters },
            { "type": "button", "sub_type": "url", "index": "0", "parameters": parameters },
        ] },
        "biz_opaque_callback_data": body["biz_opaque_callback_data"],
    });
    assert_eq!(body, expected);

    let reference = &body["biz_opaque_callback_data"];
    for (secret, receipt) in [("another", "read"), ("TEST_APP_SECRET", "sent")] {
        let answer = meta_posts(&app, &status(reference, json!({ "status": receipt })), secret).await;
        assert_eq!(
            (answer.status, client.get(&started).await.expect(200)["delivery"].clone()),
            (if secret == "another" { 403 } else { 200 }, json!("sent"))
        );
    }
    // Read at once: Meta never says "delivered" then. What comes late changes nothing.
    for receipt in ["read", "delivered", "sent", "failed", "read"] {
        assert_eq!(meta_posts(&app, &status(reference, json!({ "status": receipt })), "TEST_APP_SECRET").await.status, 200);
        assert_eq!(client.get(&started).await.expect(200)["delivery"], "delivered");
    }
    let events = client.events(&started).await;
    assert_eq!(events, ["verification.started", "verification.sent", "verification.delivered"]);
}

#[tokio::test]
async fn meta_finds_us_by_the_token() {
    let api = Upstream::new(|_| Reply::new(200, ACCEPTED)).await;
    let app = whatsapp(&api, "").await;
    let ask = async |token: &str| {
        app.wire.get(&format!("/webhooks/meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"), &[]).await
    };
    let answer = ask("chosen").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "1158201444"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    ask("other").await.problem(403, "forbidden");
}

/// "Not on WhatsApp" is no invalid number: the next channel gets the same code, by refusal and by receipt.
#[tokio::test]
async fn who_is_not_on_whatsapp_gets_a_text_message() {
    let undeliverable = json!({ "code": 131_026, "title": "Message undeliverable", "message": "Message undeliverable" });
    let refusal =
        json!({ "error": { "message": "(#131026) Message undeliverable", "type": "OAuthException", "code": 131_026 } }).to_string();
    let refused = Upstream::new(move |asked| match asked.json()["to"] == number(1).trim_start_matches('+') {
        true => Reply::new(400, refusal.clone()),
        false => Reply::new(200, ACCEPTED),
    })
    .await;
    let sms = Upstream::new(texts).await;
    let app = whatsapp(&refused, &format!("[service.default]\nchannel_fallback = [\"whatsapp\", \"sms\"]\n{}", twilio(&sms))).await;
    let client = app.client();
    for index in [1, 2] {
        let started = client.started(json!({ "to": number(index), "channel": "whatsapp" })).await;
        if index == 2 {
            client.sent(&started).await;
            let reference = refused.asked()[1].json()["biz_opaque_callback_data"].clone();
            let receipt = status(&reference, json!({ "status": "failed", "errors": [undeliverable] }));
            assert_eq!(meta_posts(&app, &receipt, "TEST_APP_SECRET").await.status, 200);
        }
        let found = eventually("a text message follows", async || {
            let found = client.get(&started).await.expect(200);
            (found["channel"] == "sms" && found["delivery"] == "sent").then_some(found)
        })
        .await;
        assert!(found["timeline"].to_string().contains("not on WhatsApp"), "{found}");
        assert_eq!(app.inbox().code_of_message(&started, 1).await, app.inbox().code_of_message(&started, 2).await);
    }
    assert_eq!(sms.asked().len(), 2);
}

const TOKEN: &str = "AAEFAAAAQKI_mDsJppSEQRr3kLOz9SatBxq48BgQLSHLRv";

async fn telegram(api: &Upstream, sms: &Upstream, more: &str) -> TestApp {
    let account = format!("[provider.gateway]\ntype = \"telegram\"\ntoken = \"{TOKEN}\"\nbase_url = \"{}\"\n", api.url);
    let route = "[[route]]\nchannel = \"sms\"\nproviders = [\"gateway\", \"texts\"]\n[server]\npublic_url = \"https://otp.example.com\"\n";
    TestApp::with(&format!("{route}{account}{}{more}", twilio(sms))).await
}

async fn telegram_posts(app: &TestApp, body: &Value, timestamp: i64) -> u16 {
    let (body, timestamp) = (body.to_string(), timestamp.to_string());
    let signature = hmac(&Sha256::digest(TOKEN), &format!("{timestamp}\n{body}"));
    let headers =
        [("content-type", "application/json"), ("x-request-timestamp", timestamp.as_str()), ("x-request-signature", signature.as_str())];
    app.wire.send("POST", "/webhooks/gateway", &headers, body).await.status
}

#[tokio::test]
async fn a_telegram_message_carries_the_code_and_reports() {
    let taken = json!({ "ok": true, "result": { "request_id": "77", "request_cost": 0.01, "delivery_status": { "status": "sent", "updated_at": 1 } } });
    let api = Upstream::new(move |_| Reply::new(200, taken.to_string())).await;
    let sms = Upstream::new(texts).await;
    let app = telegram(&api, &sms, "").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let sent = client.sent(&started).await;
    assert_eq!((&sent["provider"], &sent["message_id"]), (&json!("gateway"), &json!("77")));
    let asked = api.asked().remove(0);
    assert_eq!(
        (asked.path.as_str(), asked.header("authorization").map(str::to_owned)),
        ("/sendVerificationMessage", Some(format!("Bearer {TOKEN}")))
    );
    let (body, code) = (asked.json(), app.inbox().code(&started).await);
    let reference = body["payload"].as_str().expect("a payload").to_owned();
    let callback = format!("https://otp.example.com/webhooks/gateway?ref={reference}");
    assert_eq!(body, json!({ "phone_number": number(1), "code": code, "ttl": 300, "payload": reference, "callback_url": callback }));
    assert!(sms.asked().is_empty());

    let report = |status: &str| json!({ "request_id": "77", "phone_number": number(1), "delivery_status": { "status": status, "updated_at": 2 }, "payload": reference });
    let now = app.clock.now().0 / 1000;
    assert_eq!(telegram_posts(&app, &report("read"), now - 301).await, 403, "too old to be believed");
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "sent");
    for status in ["read", "delivered", "expired", "read"] {
        assert_eq!(telegram_posts(&app, &report(status), now).await, 200);
        assert_eq!(client.get(&started).await.expect(200)["delivery"], "delivered");
    }
}

/// Who is not on Telegram gets the same code from the route's next member, once; a bad number nobody tries again.
#[tokio::test]
async fn who_is_not_on_telegram_gets_a_text_message() {
    let api = Upstream::new(|asked| {
        let error = if asked.json()["phone_number"] == number(3) { "PHONE_NUMBER_INVALID" } else { "PHONE_NUMBER_NOT_FOUND" };
        Reply::new(200, json!({ "ok": false, "error": error }).to_string())
    })
    .await;
    let sms = Upstream::new(texts).await;
    let app = telegram(&api, &sms, "[service.long]\ncode_length = 10\n").await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    assert_eq!(client.sent(&started).await["provider"], "texts");
    let code = app.inbox().code(&started).await;
    assert_eq!((api.asked()[0].json()["code"].as_str(), sms.asked().len()), (Some(code.as_str()), 1));
    assert!(sms.asked()[0].form()["Body"].contains(&code));

    // Ten digits it cannot carry: it is not even asked.
    let long = app.client_of("long", &countersign::db::client::Scope::ALL);
    let started = long.started(json!({ "to": number(2) })).await;
    assert_eq!(long.sent(&started).await["provider"], "texts");
    assert_eq!((api.asked().len(), sms.asked().len()), (1, 2));

    let started = client.started(json!({ "to": number(3) })).await;
    let failed = reaches(&client, &started, "failed").await;
    assert!(failed["timeline"].to_string().contains("PHONE_NUMBER_INVALID"), "{failed}");
    assert_eq!(sms.asked().len(), 2);
}
