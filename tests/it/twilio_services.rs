//! Twilio's face: who may call, the services that accounts make for themselves, and what is said when something is wrong.

use countersign::db::client::Scope;
use serde_json::Value;

use crate::actors::number;
use crate::app::{NOWHERE, TestApp};
use crate::twilio::{Sdk, code_of, text};

/// OPS-07: an account sees its own services and the configured one of its client, and no other account's.
#[tokio::test]
async fn accounts_see_their_own_services_only() {
    let app = TestApp::with("[service.shop]\nbrand = \"Shop\"\n").await;
    let (ann, bob) = (Sdk::new(&app).await, Sdk::of(&app, "shop", &Scope::ALL).await);
    let own = ann.service(&[("FriendlyName", "Ann's")]).await;
    let listed = |answer: Value| {
        let services = answer["services"].as_array().expect("services").clone();
        services.iter().map(|service| text(service, "friendly_name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(ann.get("/v2/Services").await.expect(200)), ["Countersign", "Ann's"]);
    assert_eq!(listed(bob.get("/v2/Services").await.expect(200)), ["Shop"]);
    let configured = ann.get("/v2/Services").await.expect(200)["services"][0].clone();
    let configured = format!("/v2/Services/{}", text(&configured, "sid"));
    ann.get(&configured).await.expect(200);
    let started = ann.start(&own, &number(1)).await.expect(201);
    let limit = ann.post(&format!("{own}/RateLimits"), &[("UniqueName", "ip")]).await.expect(201);
    let limit = format!("{own}/RateLimits/{}", text(&limit, "sid"));
    let bucket = ann.post(&format!("{limit}/Buckets"), &[("Max", "1"), ("Interval", "60")]).await.expect(201);
    let attempt = text(&started["send_code_attempts"][0], "attempt_sid").to_owned();
    let to = number(1);
    for (method, path, form) in [
        ("GET", own.clone(), vec![]),
        ("GET", configured.clone(), vec![]),
        ("POST", own.clone(), vec![("FriendlyName", "Bob's")]),
        ("DELETE", own.clone(), vec![]),
        ("POST", format!("{own}/Verifications"), vec![("To", to.as_str()), ("Channel", "sms")]),
        ("GET", format!("{own}/Verifications/{}", text(&started, "sid")), vec![]),
        ("GET", format!("{own}/Verifications/{to}"), vec![]),
        ("POST", format!("{own}/Verifications/{}", text(&started, "sid")), vec![("Status", "approved")]),
        ("POST", format!("{own}/VerificationCheck"), vec![("To", to.as_str()), ("Code", "000000")]),
        ("GET", format!("{own}/RateLimits"), vec![]),
        ("POST", format!("{own}/RateLimits"), vec![("UniqueName", "x")]),
        ("GET", limit.clone(), vec![]),
        ("POST", limit.clone(), vec![("Description", "x")]),
        ("DELETE", limit.clone(), vec![]),
        ("GET", format!("{limit}/Buckets"), vec![]),
        ("POST", format!("{limit}/Buckets"), vec![("Max", "1"), ("Interval", "1")]),
        ("GET", format!("{limit}/Buckets/{}", text(&bucket, "sid")), vec![]),
        ("POST", format!("{limit}/Buckets/{}", text(&bucket, "sid")), vec![("Max", "9")]),
        ("DELETE", format!("{limit}/Buckets/{}", text(&bucket, "sid")), vec![]),
        ("GET", format!("/v2/Attempts/{attempt}"), vec![]),
    ] {
        bob.call(method, &path, &form).await.refused(404, 20404);
    }
    // In a service of one's own another's verification is not there either.
    let his = bob.service(&[("FriendlyName", "Bob's")]).await;
    bob.get(&format!("{his}/Verifications/{}", text(&started, "sid"))).await.refused(404, 20404);
    bob.get(&format!("{his}/RateLimits/{}", limit.rsplit('/').next().expect("a SID"))).await.refused(404, 20404);
    assert_eq!(bob.get("/v2/Attempts").await.expect(200)["attempts"], serde_json::json!([]));
    ann.get(&format!("/v2/Attempts/{attempt}")).await.expect(200);
    // What is configured is changed in the configuration.
    ann.post(&configured, &[("FriendlyName", "Mine")]).await.refused(403, 20403);
    ann.call("DELETE", &configured, &[]).await.refused(403, 20403);
}

/// OPS-07, LOG-02: no credentials, wrong ones, another account's, too weak ones; none of it is repeated.
#[tokio::test]
async fn only_the_right_credentials_open() {
    let app = TestApp::new().await;
    let (ann, bob) = (Sdk::new(&app).await, Sdk::new(&app).await);
    let mut flipped = ann.auth_token.clone();
    let last = if flipped.pop() == Some('0') { '1' } else { '0' };
    flipped.push(last);
    for (user, secret) in [
        ("", ""),
        (ann.account_sid.as_str(), ""),
        (&ann.account_sid, flipped.as_str()),
        (&ann.account_sid, &bob.auth_token),
        (&ann.account_sid, &ann.api_key_secret),
        (&ann.api_key_sid, &ann.auth_token),
        (&ann.account_sid, &ann.auth_token[..31]),
        (&format!("AC{}", "0".repeat(32)), &ann.auth_token),
        ("admin", "admin"),
    ] {
        let thief = Sdk { account_sid: user.to_owned(), auth_token: secret.to_owned(), ..ann.clone() };
        let answer = thief.get("/v2/Services").await;
        answer.refused(401, 20003);
        assert!(secret.len() < 8 || !answer.body.contains(secret));
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")));
    }
    app.wire.get("/v2/Services", &[]).await.refused(401, 20003);
    app.wire.get("/v2/Services", &[("authorization", &format!("Bearer {}", app.client().key))]).await.refused(401, 20003);
    assert_eq!(ann.with_key().get("/v2/Services").await.expect(200)["services"][0]["account_sid"], ann.account_sid);
    let reader = Sdk::of(&app, "default", &[Scope::Read]).await;
    reader.get("/v2/Services").await.expect(200);
    reader.post("/v2/Services", &[("FriendlyName", "x")]).await.refused(403, 20403);
    let caller = Sdk::of(&app, "default", &[Scope::Write]).await;
    caller.post("/v2/Services", &[("FriendlyName", "x")]).await.refused(403, 20403);
    // A revoked client's credentials are dead within a second.
    let clients = app.clients();
    let id = uuid::Uuid::try_parse(&ann.account_sid[2..]).expect("an id");
    clients.revoke(&id.to_string(), countersign::clock::Timestamp(0)).await.expect("a database").expect("a client");
    app.advance(1);
    ann.get("/v2/Services").await.refused(401, 20003);
    ann.with_key().get("/v2/Services").await.refused(401, 20003);
}

/// OTP-07: neither token nor secret lies in the database as it is.
#[tokio::test]
async fn secrets_are_not_kept_in_clear() {
    let app = TestApp::new().await;
    let ann = Sdk::new(&app).await;
    let rows = app.dump("twilio_credential");
    assert!(rows.contains(&ann.account_sid) && rows.contains(&ann.api_key_sid));
    assert!(!rows.contains(&ann.auth_token) && !rows.contains(&ann.api_key_secret));
    let table = countersign::db::twilio::CredentialTable::new(app.app.database.clone());
    let id = uuid::Uuid::try_parse(&ann.account_sid[2..]).expect("an id");
    let token = table.auth_token(id, &app.app.engine.peppers).await.expect("a database").expect("a token");
    assert_eq!(&token[..], ann.auth_token.as_bytes(), "what is sent is signed with it");
}

/// A change takes hold at once here, and within a second where another server made it.
#[tokio::test]
async fn what_is_set_is_what_runs() {
    let app = TestApp::new().await;
    let sdk = Sdk::new(&app).await;
    let service = sdk.service(&[("FriendlyName", "First"), ("CodeLength", "8"), ("Totp.Issuer", "acme"), ("Totp.Skew", "2")]).await;
    let shown = sdk.get(&service).await.expect(200);
    assert_eq!((shown["code_length"].as_u64(), text(&shown["totp"], "issuer"), shown["totp"]["skew"].as_u64()), (Some(8), "acme", Some(2)));
    sdk.start(&service, &number(1)).await.expect(201);
    assert_eq!(code_of(&app, &number(1)).await.len(), 8);
    let changed = sdk.post(&service, &[("FriendlyName", "Second"), ("CodeLength", "6")]).await.expect(200);
    assert_eq!((text(&changed, "friendly_name"), text(&changed["totp"], "issuer")), ("Second", "acme"));
    sdk.start(&service, &number(2)).await.expect(201);
    assert_eq!(code_of(&app, &number(2)).await.len(), 6);
    let message = app.inbox().messages().await.into_iter().find(|message| message["to"] == number(2)).expect("a message");
    assert!(text(&message, "body").contains("Second"), "{message}");
    // As another server would.
    app.meddle("UPDATE service SET settings = REPLACE(settings, 'Second', 'Third')").await;
    app.advance(1);
    assert_eq!(text(&sdk.get(&service).await.expect(200), "friendly_name"), "Third");
    let app = app.restart().await;
    let sdk = Sdk { wire: app.wire.clone(), ..sdk };
    assert_eq!(text(&sdk.get(&service).await.expect(200), "friendly_name"), "Third");
    assert_eq!(sdk.call("DELETE", &service, &[]).await.status, 204);
    sdk.get(&service).await.refused(404, 20404);
    sdk.start(&service, &number(3)).await.refused(404, 20404);
}

/// OTP-02: codes are not made shorter than the server's own range, by whatever name that is asked for.
#[tokio::test]
async fn settings_out_of_range_are_refused_by_name() {
    let app = TestApp::new().await;
    let sdk = Sdk::new(&app).await;
    let service = sdk.service(&[("FriendlyName", "x")]).await;
    let long = "x".repeat(33);
    for (name, value) in [
        ("CodeLength", "4"),
        ("CodeLength", "5"),
        ("CodeLength", "11"),
        ("CodeLength", "six"),
        ("FriendlyName", ""),
        ("FriendlyName", &long),
        ("FriendlyName", "a\nb"),
        ("CustomCodeEnabled", "yes"),
        ("Psd2Enabled", "true"),
        ("Totp.TimeStep", "19"),
        ("Totp.CodeLength", "9"),
        ("Totp.Skew", "3"),
    ] {
        let error = sdk.post(&service, &[(name, value)]).await.refused(400, 60200);
        assert!(text(&error, "message").contains(name), "{error}");
    }
    sdk.post("/v2/Services", &[("CodeLength", "6")]).await.refused(400, 60200);
}

/// OTP-11: neither a service's name nor that of one message puts a link, a number or what cannot be seen beside a code.
#[tokio::test]
async fn names_that_people_read_hold_no_links_and_no_numbers() {
    let app = TestApp::new().await;
    let sdk = Sdk::new(&app).await;
    let service = sdk.service(&[("FriendlyName", "Acme 24/7")]).await;
    for (index, name) in [
        "Visit http://evil",
        "https:evil",
        "evil.example/x",
        "evil\u{3002}example",
        "evil\u{ff0e}example",
        "192.0.2.7",
        "//evil",
        "help@evil",
        "tel:aa",
        "cafe\u{301}.example",
        "Call +49 30 1234",
        "or 12345",
        "or ١٢٣٤٥",
        "a\r\nVisit us",
        "\u{202e}lave",
        "a\u{200b}b",
    ]
    .into_iter()
    .enumerate()
    {
        for path in ["/v2/Services", service.as_str()] {
            let error = sdk.post(path, &[("FriendlyName", name)]).await.refused(400, 60200);
            assert!(text(&error, "message").contains("FriendlyName"), "{error}");
        }
        let to = number(index as u32);
        let form = [("To", to.as_str()), ("Channel", "sms"), ("CustomFriendlyName", name)];
        let error = sdk.post(&format!("{service}/Verifications"), &form).await.refused(400, 60200);
        assert!(text(&error, "message").contains("CustomFriendlyName"), "{error}");
    }
    sdk.start(&service, &number(1)).await.expect(201);
    assert_eq!(app.messages_in_the_end().await, 1, "nothing but that one was sent");
    let message = app.inbox().messages().await.remove(0);
    assert!(text(&message, "body").contains("Acme 24/7"), "{message}");
}

/// Everything that goes wrong under Twilio's paths is worded as Twilio would, and elsewhere as ever.
#[tokio::test]
async fn every_failure_is_in_twilios_words() {
    let app = TestApp::new().await;
    let sdk = Sdk::new(&app).await;
    sdk.get("/v2/Nothing").await.refused(404, 20404);
    sdk.get("/2010-04-01/Nothing").await.refused(404, 20404);
    sdk.call("PUT", "/v2/Services", &[]).await.refused(405, 20004);
    let long = "x".repeat(70_000);
    sdk.post("/v2/Services", &[("FriendlyName", &long)]).await.refused(413, 20001);
    let basic = format!("Basic {}", base64_of(&sdk));
    let json = [("authorization", basic.as_str()), ("content-type", "application/json")];
    app.wire.send("POST", "/v2/Services", &json, "{}").await.refused(415, 20001);
    app.wire.get("/v1/nothing", &[]).await.problem(404, "not_found");
    app.wire.get("/v2", &[]).await.problem(404, "not_found");
}

#[tokio::test]
async fn where_it_is_off_there_is_nothing() {
    let app = TestApp::with("[twilio_face]\nenabled = false\n").await;
    let sdk = Sdk::new(&app).await;
    sdk.get("/v2/Services").await.problem(404, "not_found");
}

/// Pages are turned by absolute URLs, which name the place where the caller reached us.
#[tokio::test]
async fn pages_are_followed_to_their_end() {
    let app = TestApp::with(&format!("[server]\npublic_url = \"{NOWHERE}\"\ntrusted_proxies = [\"127.0.0.1\"]\n")).await;
    let sdk = Sdk::new(&app).await;
    for name in ["a", "b", "c", "d"] {
        app.advance(1);
        sdk.service(&[("FriendlyName", name)]).await;
    }
    let (mut next, mut names, mut pages) = (Some("/v2/Services?PageSize=2".to_owned()), Vec::new(), 0);
    while let Some(path) = next {
        let page = sdk.get(&path).await.expect(200);
        assert_eq!(page["meta"]["key"], "services");
        assert_eq!((page["meta"]["page"].as_u64(), page["meta"]["page_size"].as_u64()), (Some(pages), Some(2)));
        assert_eq!(page["meta"]["previous_page_url"].is_null(), pages == 0);
        names.extend(page["services"].as_array().expect("services").iter().map(|service| text(service, "friendly_name").to_owned()));
        let origin = format!("http://{}", app.address);
        next = page["meta"]["next_page_url"].as_str().map(|url| url.strip_prefix(&origin).expect("our origin").to_owned());
        pages += 1;
    }
    assert_eq!((names.join(" "), pages), ("Countersign d c b a".to_owned(), 3));
    // Behind a proxy that is trusted.
    let basic = format!("Basic {}", base64_of(&sdk));
    let headers = [("authorization", basic.as_str()), ("x-forwarded-proto", "https"), ("x-forwarded-host", "otp.example.com")];
    let page = app.wire.get("/v2/Services?PageSize=2", &headers).await.expect(200);
    assert_eq!(text(&page["meta"], "next_page_url"), "https://otp.example.com/v2/Services?PageSize=2&Page=1");
    for wrong in ["PageSize=0", "PageSize=1001", "Page=-1", "PageSize=x"] {
        sdk.get(&format!("/v2/Services?{wrong}")).await.refused(400, 60200);
    }
}

/// INP-01: a NUL, which not every database takes, is the caller's mistake wherever it stands.
#[tokio::test]
async fn a_nul_is_nobodys_name() {
    let app = TestApp::new().await;
    let sdk = Sdk::new(&app).await;
    let service = sdk.service(&[("FriendlyName", "Acme")]).await;
    let to = number(1);
    for query in ["Country=%00", "Channel=sms%00", "ChannelData.To=%00", "PageToken=%00"] {
        sdk.get(&format!("/v2/Attempts?{query}")).await.refused(400, 60200);
    }
    for (path, form) in [
        ("Verifications", vec![("To", to.as_str()), ("Channel", "sms"), ("Tags", "{\"a\":\"\\u0000\"}")]),
        ("Verifications", vec![("To", &to), ("Channel", "sms"), ("TemplateSid", "\0")]),
        ("RateLimits", vec![("UniqueName", "a\0")]),
        ("Webhooks", vec![("FriendlyName", "a\0"), ("EventTypes", "*"), ("WebhookUrl", "https://example.com/")]),
    ] {
        sdk.post(&format!("{service}/{path}"), &form).await.refused(400, 60200);
    }
    for path in ["Entities/a%00", "Entities/a%00/Factors", "MessagingConfigurations/%00", "Verifications/%00", "RateLimits/%00"] {
        sdk.get(&format!("{service}/{path}")).await.refused(404, 20404);
    }
    assert_eq!(app.messages_in_the_end().await, 0);
}

fn base64_of(sdk: &Sdk) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", sdk.account_sid, sdk.auth_token))
}
