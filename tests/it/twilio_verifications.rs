//! Twilio's face: codes, from their start to their end, and what is counted.

use std::collections::HashSet;

use countersign::clock::Clock;
use serde_json::{Value, json};

use crate::actors::{number, wrong};
use crate::app::TestApp;
use crate::stand_in::StandIn;
use crate::twilio::{Sdk, code_of, text};

struct Story {
    app: TestApp,
    sdk: Sdk,
    service: String,
}

impl Story {
    async fn new() -> Story {
        Story::with(&[("FriendlyName", "Acme")]).await
    }

    async fn with(form: &[(&str, &str)]) -> Story {
        let app = TestApp::new().await;
        let sdk = Sdk::new(&app).await;
        let service = sdk.service(form).await;
        Story { app, sdk, service }
    }

    async fn starts(&self, more: &[(&str, &str)]) -> crate::wire::Answer {
        self.sdk.post(&format!("{}/Verifications", self.service), more).await
    }
}

/// OTP-03, OTP-04: pending, wrong, right once, and then it is not there any more.
#[tokio::test]
async fn a_code_passes_once() {
    let Story { app, sdk, service } = Story::new().await;
    let to = number(1);
    let started = sdk.start(&service, &to).await.expect(201);
    let sid = text(&started, "sid");
    for (name, value) in [
        ("status", json!("pending")),
        ("valid", json!(false)),
        ("to", json!(to)),
        ("channel", json!("sms")),
        ("account_sid", json!(sdk.account_sid)),
        ("lookup", json!({})),
        ("amount", Value::Null),
        ("payee", Value::Null),
        ("sna", Value::Null),
        ("date_created", json!("2026-01-01T00:00:00Z")),
        ("date_updated", json!("2026-01-01T00:00:00Z")),
        ("url", json!(format!("http://{}{service}/Verifications/{sid}", app.address))),
    ] {
        assert_eq!(started.get(name), Some(&value), "{name}");
    }
    let code = code_of(&app, &to).await;
    let no = sdk.check(&service, &to, &wrong(&code, 1)).await.expect(200);
    assert_eq!((text(&no, "status"), no["valid"].as_bool(), text(&no, "sid")), ("pending", Some(false), sid));
    for named in [sid.to_owned(), to.clone(), to.replace('+', "%2B")] {
        let found = sdk.get(&format!("{service}/Verifications/{named}")).await.expect(200);
        assert_eq!((text(&found, "sid"), text(&found, "status")), (sid, "pending"), "{named}");
    }
    let check = format!("{service}/VerificationCheck");
    let yes = sdk.post(&check, &[("VerificationSid", sid), ("Code", &code)]).await.expect(200);
    assert_eq!((text(&yes, "status"), yes["valid"].as_bool(), text(&yes, "to")), ("approved", Some(true), to.as_str()));
    assert!(yes["sna_attempts_error_codes"].is_array());
    sdk.post(&check, &[("VerificationSid", sid), ("Code", &code)]).await.refused(404, 20404);
    sdk.check(&service, &to, &code).await.refused(404, 20404);
    sdk.get(&format!("{service}/Verifications/{sid}")).await.refused(404, 20404);
    sdk.get(&format!("{service}/Verifications/{to}")).await.refused(404, 20404);
    sdk.post(&format!("{service}/Verifications/{sid}"), &[("Status", "canceled")]).await.refused(404, 20404);
}

/// ATT-01: the sixth guess is not judged, by SID or by destination, in any spelling; with the right code neither.
#[tokio::test]
async fn five_wrong_codes_are_the_last() {
    let Story { app, sdk, service } = Story::new().await;
    let to = number(1);
    let started = sdk.start(&service, &to).await.expect(201);
    let code = code_of(&app, &to).await;
    for step in 1..=5 {
        let no = sdk.check(&service, &to, &wrong(&code, step)).await.expect(200);
        assert_eq!((text(&no, "status"), no["valid"].as_bool()), ("pending", Some(false)));
    }
    let check = format!("{service}/VerificationCheck");
    sdk.check(&service, &to, &code).await.refused(429, 60202);
    sdk.post(&check, &[("VerificationSid", text(&started, "sid")), ("Code", &code)]).await.refused(429, 60202);
    sdk.check(&service, &to, "abcd").await.refused(429, 60202);
    let found = sdk.get(&format!("{service}/Verifications/{to}")).await.expect(200);
    assert_eq!(text(&found, "status"), "max_attempts_reached");
    sdk.post(&format!("{service}/Verifications/{to}"), &[("Status", "approved")]).await.refused(404, 20404);
    app.advance(600);
    sdk.check(&service, &to, &code).await.refused(404, 20404);
}

/// ATT-04: of many right codes at once one passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_right_codes_at_once_one_passes() {
    let Story { app, sdk, service } = Story::new().await;
    let to = number(1);
    sdk.start(&service, &to).await.expect(201);
    let code = code_of(&app, &to).await;
    let checks = (0..50).map(|_| {
        let (sdk, service, to, code) = (sdk.clone(), service.clone(), to.clone(), code.clone());
        tokio::spawn(async move { sdk.check(&service, &to, &code).await })
    });
    let mut passed = 0;
    for check in checks.collect::<Vec<_>>() {
        let answer = check.await.expect("an answer");
        passed += usize::from(answer.status == 200 && answer.json()["valid"] == true);
    }
    assert_eq!(passed, 1);
}

/// ABU-03: the same verification, the same code, each message told; and five of them in ten minutes.
#[tokio::test]
async fn five_messages_are_the_last() {
    let story = Story::new().await;
    let to = number(1);
    let first = story.sdk.start(&story.service, &to).await.expect(201);
    let code = code_of(&story.app, &to).await;
    for (message, channel) in [(2, "call"), (3, "whatsapp"), (4, "sms"), (5, "sms")] {
        story.app.advance(1);
        let again = story.starts(&[("To", &to), ("Channel", channel)]).await.expect(201);
        assert_eq!((text(&again, "sid"), text(&again, "channel")), (text(&first, "sid"), channel));
        assert_eq!(again["send_code_attempts"].as_array().map(Vec::len), Some(message));
    }
    let found = story.sdk.get(&format!("{}/Verifications/{to}", story.service)).await.expect(200);
    let attempts = found["send_code_attempts"].as_array().expect("attempts");
    let channels: Vec<_> = attempts.iter().map(|attempt| text(attempt, "channel")).collect();
    assert_eq!(channels, ["SMS", "CALL", "whatsapp", "SMS", "SMS"]);
    assert_eq!(attempts.iter().map(|attempt| text(attempt, "attempt_sid")).collect::<HashSet<_>>().len(), 5);
    assert_eq!(text(&attempts[1], "time"), "2026-01-01T00:00:01Z");
    let sixth = story.sdk.start(&story.service, &to).await;
    sixth.refused(429, 60203);
    assert_eq!(sixth.retry_after(), 596, "when the first message is ten minutes old");
    assert_eq!(text(&story.sdk.check(&story.service, &to, &code).await.expect(200), "status"), "approved");
}

/// OTP-03: ten minutes from the start; a message sent later does not make them more.
#[tokio::test]
async fn ten_minutes_and_not_more() {
    let Story { app, sdk, service } = Story::new().await;
    let to = number(1);
    let started = sdk.start(&service, &to).await.expect(201);
    let code = code_of(&app, &to).await;
    app.advance(300);
    assert_eq!(text(&sdk.start(&service, &to).await.expect(201), "sid"), text(&started, "sid"));
    app.advance(299);
    sdk.get(&format!("{service}/Verifications/{to}")).await.expect(200);
    app.advance(1);
    sdk.check(&service, &to, &code).await.refused(404, 20404);
    sdk.get(&format!("{service}/Verifications/{to}")).await.refused(404, 20404);
}

#[tokio::test]
async fn callers_call_off_and_vouch() {
    let Story { app, sdk, service } = Story::with(&[("FriendlyName", "Acme"), ("CustomCodeEnabled", "true")]).await;
    let to = number(1);
    let started = sdk.start(&service, &to).await.expect(201);
    let code = code_of(&app, &to).await;
    let path = format!("{service}/Verifications/{}", text(&started, "sid"));
    sdk.post(&path, &[("Status", "pending")]).await.refused(400, 60200);
    sdk.post(&path, &[]).await.refused(400, 60200);
    let canceled = sdk.post(&path, &[("Status", "canceled")]).await.expect(200);
    assert_eq!((text(&canceled, "status"), canceled["valid"].as_bool()), ("canceled", Some(false)));
    sdk.check(&service, &to, &code).await.refused(404, 20404);
    sdk.post(&path, &[("Status", "approved")]).await.refused(404, 20404);
    let own = sdk.post(&format!("{service}/Verifications"), &[("To", &to), ("Channel", "sms"), ("CustomCode", "424242")]).await.expect(201);
    assert_ne!(text(&own, "sid"), text(&started, "sid"));
    let approved = sdk.post(&format!("{service}/Verifications/{to}"), &[("Status", "approved")]).await.expect(200);
    assert_eq!((text(&approved, "status"), approved["valid"].as_bool()), ("approved", Some(true)));
    // OTP-04: an approval is an approval, whoever gave it.
    sdk.check(&service, &to, "424242").await.refused(404, 20404);
    sdk.post(&format!("{service}/Verifications/{to}"), &[("Status", "approved")]).await.refused(404, 20404);
}

/// OTP-05: codes of this face are worth nothing at others, and the other way round, in one service.
#[tokio::test]
async fn faces_do_not_share_codes() {
    let app = TestApp::new().await;
    let (sdk, client) = (Sdk::new(&app).await, app.client());
    let configured = sdk.get("/v2/Services").await.expect(200)["services"][0].clone();
    let service = format!("/v2/Services/{}", text(&configured, "sid"));
    let (to, other) = (number(1), number(2));
    let native = client.started(json!({ "to": to })).await;
    let code = app.inbox().code(&native).await;
    sdk.check(&service, &to, &code).await.refused(404, 20404);
    let sid = format!("VE{}", text(&native, "id").replace('-', ""));
    sdk.get(&format!("{service}/Verifications/{sid}")).await.refused(404, 20404);
    sdk.post(&format!("{service}/Verifications/{sid}"), &[("Status", "approved")]).await.refused(404, 20404);
    sdk.post(&format!("{service}/VerificationCheck"), &[("VerificationSid", &sid), ("Code", &code)]).await.refused(404, 20404);
    assert_eq!(client.check(&native, &code).await.expect(200)["valid"], true);
    sdk.start(&service, &other).await.expect(201);
    let code = code_of(&app, &other).await;
    client.check_destination(json!({ "to": other, "code": code })).await.problem(404, "not_found");
    assert_eq!(sdk.check(&service, &other, &code).await.expect(200)["valid"], true);
}

/// ATT-06, A07: wrong codes at one face and at another are counted together, for one destination in one service.
#[tokio::test]
async fn faces_share_one_count_of_wrong_codes() {
    let app = TestApp::with("[service.default.limits]\nsoft_failures = 3\n").await;
    let (sdk, client) = (Sdk::new(&app).await, app.client());
    let configured = sdk.get("/v2/Services").await.expect(200)["services"][0].clone();
    let service = format!("/v2/Services/{}", text(&configured, "sid"));
    let to = number(1);
    let native = client.started(json!({ "to": to })).await;
    let code = app.inbox().code(&native).await;
    client.check(&native, &wrong(&code, 1)).await.expect(200);
    client.check(&native, &wrong(&code, 2)).await.expect(200);
    app.advance(30);
    sdk.start(&service, &to).await.expect(201);
    app.advance(40);
    let code = code_of(&app, &to).await;
    sdk.check(&service, &to, &wrong(&code, 1)).await.expect(200);
    let refused = client.start(json!({ "to": to })).await.problem(429, "limited");
    assert_eq!(refused["limit"], "failures");
    sdk.start(&service, &to).await.refused(429, 60202);
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused() {
    let story = Story::new().await;
    let to = number(1);
    for (more, status, code) in [
        (vec![("To", "+49 151"), ("Channel", "sms")], 400, 60200),
        (vec![("To", "ann@@example.com"), ("Channel", "email")], 400, 60200),
        (vec![("Channel", "sms")], 400, 60200),
        (vec![("To", &to)], 400, 60200),
        (vec![("To", &to), ("Channel", "pigeon")], 400, 60200),
        (vec![("To", &to), ("Channel", "email")], 400, 60200),
        (vec![("To", &to), ("Channel", "sna")], 403, 60223),
        (vec![("To", &to), ("Channel", "sms"), ("CustomCode", "424242")], 403, 60204),
        (vec![("To", &to), ("Channel", "sms"), ("CustomCode", "4242")], 400, 60200),
        (vec![("To", &to), ("Channel", "sms"), ("Amount", "39.99")], 400, 60200),
        (vec![("To", &to), ("Channel", "call"), ("SendDigits", "12")], 400, 60200),
        (vec![("To", &to), ("Channel", "call"), ("AppHash", "He42w354ol9")], 400, 60602),
        (vec![("To", &to), ("Channel", "sms"), ("AppHash", "short")], 400, 60200),
        (vec![("To", &to), ("Channel", "sms"), ("DeviceIp", "here")], 400, 60200),
        (vec![("To", &to), ("Channel", "sms"), ("RateLimits", "{")], 400, 60200),
        (vec![("To", &to), ("Channel", "sms"), ("Tags", "[]")], 400, 60200),
        (vec![("To", &to), ("Channel", "sms"), ("Locale", "en_GB")], 400, 60200),
    ] {
        let error = story.starts(&more).await.refused(status, code);
        assert!(!error.to_string().contains(&to), "{error}");
    }
    let check = format!("{}/VerificationCheck", story.service);
    for (form, status, code) in [
        (vec![("Code", "123456")], 400, 60221),
        (vec![("To", to.as_str())], 400, 60200),
        (vec![("To", &to), ("Code", "123")], 400, 60200),
        (vec![("To", &to), ("Code", "12345678901")], 400, 60200),
        (vec![("To", &to), ("Code", "123456")], 404, 20404),
        (vec![("VerificationSid", "VE1"), ("Code", "123456")], 404, 20404),
    ] {
        story.sdk.post(&check, &form).await.refused(status, code);
    }
    assert_eq!(story.app.messages_in_the_end().await, 0);
}

/// A channel that no provider serves has codes of its own; nothing is sent another way in its place.
#[tokio::test]
async fn channels_that_nobody_serves_are_told_apart() {
    let provider = StandIn::new().await;
    // Calls and texts, no WhatsApp and no mail.
    let app = TestApp::with(&provider.section("twilio").replace("whatsapp_from = \"+15005550006\"\n", "")).await;
    let sdk = Sdk::new(&app).await;
    let service = sdk.service(&[("FriendlyName", "Acme")]).await;
    let start = async |to: &str, channel: &str| sdk.post(&format!("{service}/Verifications"), &[("To", to), ("Channel", channel)]).await;
    for channel in ["email", "auto"] {
        start("ann@example.com", channel).await.refused(400, 60217);
    }
    start(&number(1), "whatsapp").await.refused(403, 60223);
    start(&number(1), "sms").await.expect(201);
    provider.messages_to(&number(1), 1).await;
}

#[tokio::test]
async fn what_is_asked_for_is_in_the_message() {
    let story = Story::new().await;
    let to = number(1);
    let form = [
        ("To", to.as_str()),
        ("Channel", "sms"),
        ("Locale", "de"),
        ("CustomFriendlyName", "Oma Erna"),
        ("AppHash", "He42w354ol9"),
        ("Tags", "{\"plan\":\"free\"}"),
        ("TemplateSid", "HJ00000000000000000000000000000000"),
        ("ChannelConfiguration", "{\"from\":\"f@example.com\"}"),
        ("RiskCheck", "disable"),
    ];
    story.starts(&form).await.expect(201);
    code_of(&story.app, &to).await;
    let message = &story.app.inbox().messages().await[0];
    let body = text(message, "body");
    assert!(body.contains("Oma Erna") && body.ends_with("He42w354ol9"), "{body}");
    assert!(body.contains("ist"), "in German: {body}");
    // A configured service has the operator's brand.
    let configured = story.sdk.get("/v2/Services").await.expect(200)["services"][0].clone();
    let path = format!("/v2/Services/{}/Verifications", text(&configured, "sid"));
    story.sdk.post(&path, &form).await.refused(403, 60204);
}

/// ATT-10: limits of the caller's own are taken together with ours, or none of them.
#[tokio::test]
async fn limits_of_ones_own_limit() {
    let story = Story::new().await;
    let limits = format!("{}/RateLimits", story.service);
    let limit = story.sdk.post(&limits, &[("UniqueName", "session"), ("Description", "d")]).await.expect(201);
    let limit = format!("{limits}/{}", text(&limit, "sid"));
    story.sdk.post(&limits, &[("UniqueName", "session")]).await.refused(400, 60208);
    story.sdk.post(&limits, &[("UniqueName", "a b")]).await.refused(400, 60209);
    let bucket = story.sdk.post(&format!("{limit}/Buckets"), &[("Max", "2"), ("Interval", "60")]).await.expect(201);
    story.sdk.post(&format!("{limit}/Buckets"), &[("Max", "3"), ("Interval", "60")]).await.refused(400, 60211);
    story.sdk.post(&format!("{limit}/Buckets"), &[("Max", "0"), ("Interval", "61")]).await.refused(400, 60200);
    let start = async |index: u32, value: &str| {
        let (to, values) = (number(index), json!({ "session": value, "unknown": "x" }).to_string());
        story.starts(&[("To", &to), ("Channel", "sms"), ("RateLimits", &values)]).await
    };
    start(1, "a").await.expect(201);
    story.app.advance(10);
    start(2, "a").await.expect(201);
    let refused = start(3, "a").await;
    refused.refused(429, 20429);
    assert_eq!(refused.retry_after(), 50);
    start(3, "b").await.expect(201);
    story.app.advance(50);
    start(4, "a").await.expect(201);
    let bucket = format!("{limit}/Buckets/{}", text(&bucket, "sid"));
    assert_eq!(story.sdk.post(&bucket, &[("Max", "3")]).await.expect(200)["max"], 3);
    start(5, "a").await.expect(201);
    start(6, "a").await.refused(429, 20429);
    // Refused by ours: nothing was taken from theirs.
    for _ in 0..4 {
        start(3, "c").await.expect(201);
        story.app.advance(60);
    }
    start(3, "fresh").await.refused(429, 60203);
    start(7, "fresh").await.expect(201);
    start(8, "fresh").await.expect(201);
    start(9, "fresh").await.expect(201);
    assert_eq!(story.sdk.call("DELETE", &limit, &[]).await.status, 204);
    start(10, "fresh").await.expect(201);
    story.sdk.get(&bucket).await.refused(404, 20404);
}

#[tokio::test]
async fn attempts_are_listed_and_summed() {
    let story = Story::new().await;
    let (to, mail) = (number(1), "ann@example.com");
    let started = story.sdk.start(&story.service, &to).await.expect(201);
    story.app.advance(60);
    story.sdk.start(&story.service, &to).await.expect(201);
    story.app.advance(60);
    story.starts(&[("To", mail), ("Channel", "email")]).await.expect(201);
    let code = code_of(&story.app, &to).await;
    story.sdk.check(&story.service, &to, &code).await.expect(200);
    let list = async |query: &str| {
        let found = story.sdk.get(&format!("/v2/Attempts?{query}")).await.expect(200);
        found["attempts"].as_array().expect("attempts").clone()
    };
    let all = list("").await;
    assert_eq!(all.iter().map(|attempt| text(attempt, "channel")).collect::<Vec<_>>(), ["email", "sms", "sms"]);
    assert_eq!(text(&all[1], "conversion_status"), "converted");
    assert_eq!(text(&all[1]["channel_data"], "to"), to);
    assert_eq!(text(&all[2]["channel_data"], "country"), "DE");
    assert_eq!(all[2]["verification_sid"], started["sid"]);
    assert_eq!(all[2]["sid"], started["send_code_attempts"][0]["attempt_sid"]);
    let sid = text(&started, "sid");
    let service = story.service.rsplit('/').next().expect("a SID");
    for (query, count) in [
        (format!("VerificationSid={sid}"), 2),
        (format!("ChannelData.To={}", to.replace('+', "%2B")), 2),
        ("ChannelData.To=ANN%40example.com".into(), 1),
        ("Channel=email".into(), 1),
        ("Country=DE".into(), 2),
        ("Country=FR".into(), 0),
        ("Status=converted".into(), 1),
        ("Status=unconverted".into(), 2),
        ("DateCreatedAfter=2026-01-01T00%3A01%3A00Z".into(), 2),
        ("DateCreatedBefore=2026-01-01T00%3A01%3A00Z".into(), 1),
        (format!("VerifyServiceSid={service}"), 3),
        (format!("VerifyServiceSid=VA{}", "0".repeat(32)), 0),
        ("PageSize=2&Page=1".into(), 1),
    ] {
        assert_eq!(list(&query).await.len(), count, "{query}");
    }
    let sums = story.sdk.get("/v2/Attempts/Summary").await.expect(200);
    assert_eq!((sums["total_attempts"].as_u64(), sums["total_converted"].as_u64()), (Some(3), Some(1)));
    assert_eq!(text(&sums, "conversion_rate_percentage"), "33.333333333");
    let sums = story.sdk.get("/v2/Attempts/Summary?DestinationPrefix=%2B4915").await.expect(200);
    assert_eq!(sums["total_attempts"], 2);
    for wrong in ["Status=x", "VerificationSid=x", "DateCreatedAfter=x", "DestinationPrefix=49"] {
        story.sdk.get(&format!("/v2/Attempts?{wrong}")).await.refused(400, 60200);
    }
    story.sdk.get(&format!("/v2/Attempts/VL{}", "0".repeat(32))).await.refused(404, 20404);
    assert!(story.app.clock.now().0 > 0);
}
