//! INP-01, INP-04, A16 to A20: bodies of every wrong shape are refused by name, cost nothing, and are never repeated.

use serde_json::{Value, json};

use crate::actors::{Client, id, number};
use crate::app::TestApp;
use crate::wire::Answer;

/// Stands in wrong places; no answer may contain it.
const MARKER: &str = "hunter2";

struct Route {
    path: String,
    good: Value,
    scalars: &'static [&'static str],
}

async fn routes(app: &TestApp, client: &Client) -> Vec<Route> {
    let started = client.started(json!({ "to": number(1) })).await;
    app.inbox().code(&started).await;
    let start = json!({
        "to": number(2), "channel": "sms", "purpose": "login", "locale": "en", "code": "123456",
        "ip": "203.0.113.9", "subject": "account-17", "metadata": {},
    });
    let verification = format!("/v1/verifications/{}", id(&started));
    vec![
        Route {
            path: "/v1/verifications".into(),
            good: start,
            scalars: &["to", "channel", "purpose", "locale", "code", "ip", "subject", "metadata"],
        },
        Route { path: format!("{verification}/check"), good: json!({ "code": "123456", "ip": "203.0.113.9" }), scalars: &["code", "ip"] },
        Route {
            path: "/v1/verifications/check".into(),
            good: json!({ "to": number(1), "purpose": "login", "code": "123456", "ip": "203.0.113.9" }),
            scalars: &["to", "purpose", "code", "ip"],
        },
        Route {
            path: format!("{verification}/resend"),
            good: json!({ "channel": "sms", "code": "123456", "ip": "203.0.113.9" }),
            scalars: &["channel", "code", "ip"],
        },
        Route {
            path: "/v1/failures/release".into(),
            good: json!({ "to": number(1), "subject": "account-17" }),
            scalars: &["to", "subject"],
        },
    ]
}

async fn send(client: &Client, path: &str, body: String) -> Answer {
    client.call("POST", path, &[], body).await
}

#[track_caller]
fn refused(answer: &Answer, what: &str) -> Value {
    assert!(matches!(answer.status, 400 | 422), "{what}: {} {}", answer.status, answer.body);
    let problem = answer.any_problem();
    assert!(matches!(problem["code"].as_str(), Some("invalid_body" | "invalid_field")), "{what}: {problem}");
    assert!(!answer.body.contains(MARKER), "{what}: repeated in {problem}");
    problem
}

#[tokio::test]
async fn every_scalar_of_a_wrong_type_is_refused_by_name() {
    let app = TestApp::new().await;
    let client = app.client();
    let wrong = [
        json!([]),
        json!([MARKER]),
        json!(["+4915112345678", "+4915112345679"]),
        json!({ "$ne": "" }),
        json!({ "a": MARKER, "b": [1] }),
        json!(true),
        json!(false),
        json!(0),
        json!(123_456),
        json!(-1),
        json!(1.5),
        Value::Null,
    ];
    let mut tried = 0;
    for route in routes(&app, &client).await {
        for field in route.scalars {
            for value in &wrong {
                let what = format!("{} {field} = {value}", route.path);
                // An object is right for metadata, as long as it holds strings only.
                if *field == "metadata" && value == &json!({ "$ne": "" }) {
                    continue;
                }
                let mut body = route.good.clone();
                body[*field] = value.clone();
                let problem = refused(&send(&client, &route.path, body.to_string()).await, &what);
                let named = problem["field"].as_str().unwrap_or_default();
                assert!(named == *field || named.starts_with(&format!("{field}.")), "{what}: {problem}");
                tried += 1;
            }
            // No JSON library prints this number, so it goes in as text.
            let mut body = route.good.clone();
            body[*field] = json!("HERE");
            refused(&send(&client, &route.path, body.to_string().replace("\"HERE\"", "1e400")).await, "1e400");
        }
    }
    assert!(tried > 200);
    assert_eq!(app.messages_in_the_end().await, 1, "only the one that the routes needed");
}

/// Neither in the words of a library nor by the name of a type of ours.
#[tokio::test]
async fn what_is_no_object_and_no_address_is_told_so() {
    let app = TestApp::new().await;
    let client = app.client();
    for route in routes(&app, &client).await {
        for body in ["\"x\"", "5", "null", "[]", "[\"+4915112345678\",null]"] {
            let problem = refused(&send(&client, &route.path, body.into()).await, body);
            assert_eq!(problem["detail"], "The body must be an object.", "{} {body}", route.path);
        }
        if route.scalars.contains(&"ip") {
            let mut body = route.good.clone();
            body["ip"] = json!(MARKER);
            let problem = refused(&send(&client, &route.path, body.to_string()).await, "ip");
            assert_eq!((&problem["field"], &problem["detail"]), (&json!("ip"), &json!("ip must be an IPv4 or IPv6 address")));
        }
    }
}

#[tokio::test]
async fn duplicate_and_unknown_fields_are_refused_by_name() {
    let app = TestApp::new().await;
    let client = app.client();
    for route in routes(&app, &client).await {
        for field in route.scalars {
            let twice = route.good.to_string().replacen('{', &format!("{{\"{field}\":{},", route.good[*field]), 1);
            assert_eq!(refused(&send(&client, &route.path, twice).await, field)["field"], *field, "{} twice", route.path);
        }
        for field in ["verified", "valid", "status", "service", "id", "attempts", "To", "code[]", "__proto__", "$ne"] {
            let mut body = route.good.clone();
            body[field] = json!(MARKER);
            assert_eq!(refused(&send(&client, &route.path, body.to_string()).await, field)["field"], field, "{}", route.path);
        }
        for field in ["to", "code"]
            .iter()
            .filter(|field| route.scalars.contains(field) && !route.path.ends_with("resend") && route.path != "/v1/verifications")
        {
            let mut body = route.good.clone();
            body.as_object_mut().expect("an object").remove(*field);
            assert_eq!(refused(&send(&client, &route.path, body.to_string()).await, field)["field"], *field, "{} without", route.path);
        }
    }
    let metadata = [
        r#"{"a":"1","a":"2"}"#,
        r#"{"a":1}"#,
        r#"{"a":null}"#,
        r#"{"a":["hunter2"]}"#,
        r#"{"a":{"b":"hunter2"}}"#,
        r#"{"no spaces":"x"}"#,
        r#"{"a":"hunter2\u0000"}"#,
        "[]",
    ];
    for metadata in metadata {
        refused(&send(&client, "/v1/verifications", format!(r#"{{"to":"{}","metadata":{metadata}}}"#, number(2))).await, metadata);
    }
}

/// A value that looks like the words of an error message is not repeated either.
#[tokio::test]
async fn no_value_comes_back_in_an_error() {
    let app = TestApp::new().await;
    let client = app.client();
    let values = [
        MARKER.to_owned(),
        format!("expected {MARKER}"),
        format!("`{MARKER}`"),
        format!("a` expected `{MARKER}` at line 1"),
        format!("unknown field `{MARKER}`"),
        format!("<script>{MARKER}</script>"),
        format!("\n{MARKER}\r\n"),
        format!("\u{1b}[31m{MARKER}"),
    ];
    for route in routes(&app, &client).await {
        for field in route.scalars.iter().filter(|field| **field != "subject") {
            // The marker by itself would be a fine purpose.
            for value in values.iter().filter(|value| *field != "purpose" || *value != MARKER) {
                let mut body = route.good.clone();
                body[*field] = json!(value);
                let what = format!("{} {field} = {value:?}", route.path);
                refused(&send(&client, &route.path, body.to_string()).await, &what);
            }
        }
    }
}

/// A16, A20, TOTP-06: a code has one spelling. What cannot be a code is no guess: it costs no check.
#[tokio::test]
async fn a_code_has_one_spelling() {
    let app = TestApp::new().await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let code = app.inbox().code(&started).await;
    let fullwidth: String = code.chars().map(|digit| char::from_u32(digit as u32 - '0' as u32 + 0xff10).expect("a digit")).collect();
    let arabic: String = code.chars().map(|digit| char::from_u32(digit as u32 - '0' as u32 + 0x0660).expect("a digit")).collect();
    let (front, back) = code.split_at(3);
    let spellings = [
        String::new(),
        " ".into(),
        "      ".into(),
        "0".into(),
        "12345".into(),
        "12345678901".into(),
        "true".into(),
        "null".into(),
        format!(" {code}"),
        format!("{code} "),
        format!("{code}\n"),
        format!("{code}\0"),
        format!("\u{feff}{code}"),
        format!("{front} {back}"),
        format!("{front}-{back}"),
        format!("{front}\u{a0}{back}"),
        format!("{front}\u{200b}{back}"),
        format!("{front}\t{back}"),
        format!("\u{202e}{code}"),
        format!("+{code}"),
        format!("-{code}"),
        format!("0x{code}"),
        format!("{code}.0"),
        format!("{code}e0"),
        format!("{code}\u{301}"),
        fullwidth,
        arabic,
        "•".repeat(6),
        "🔢".repeat(6),
        "a".repeat(6),
        format!("{code},000000"),
        "' OR '1'='1".into(),
    ];
    for spelling in spellings {
        let problem = refused(&client.check(&started, &spelling).await, &spelling);
        assert_eq!(problem["field"], "code", "{spelling:?}");
    }
    assert_eq!(client.get(&started).await.expect(200)["attempts_left"], 5);
    assert_eq!(client.check(&started, "000000").await.expect(200)["attempts_left"], if code == "000000" { 0 } else { 4 });
    assert_eq!(client.check(&started, &code).await.expect(200)["valid"], code != "000000");
}

/// INP-02, INP-03, A17, A18: one plain destination.
#[tokio::test]
async fn a_destination_is_one_plain_address() {
    let app = TestApp::new().await;
    let client = app.client();
    let refused_ones = [
        "",
        " ",
        "+",
        "0151 12345678",
        "+49151",
        "+49151123456789012345",
        "+4915112345678 ext. 5",
        "+4915112345678;ext=5",
        "+4915112345678,+4915112345679",
        "+4915112345678\n+4915112345679",
        "tel:+4915112345678",
        "+４９15112345678",
        "1-800-FLOWERS",
        "a@x.example,b@y.example",
        "a@x.example\nBcc: b@y.example",
        "\"a@x.example\"@y.example",
        "Ann <ann@example.com>",
        "ann@[127.0.0.1]",
        "ann@localhost",
        "m\u{131}ke@example.com",
        "ann@exa mple.com",
        "ann",
        "@",
        "{{7*7}}",
        "+49 900 1234567",
    ];
    for to in refused_ones {
        assert_eq!(refused(&client.start(json!({ "to": to })).await, to)["field"], "to", "{to:?}");
    }
    let long = format!("{}@example.com", "a".repeat(250));
    refused(&client.start(json!({ "to": long })).await, "too long");
    assert_eq!(app.messages_in_the_end().await, 0);
}

/// INP-04.
#[tokio::test]
async fn bodies_are_limited_in_size_and_depth() {
    let app = TestApp::new().await;
    let client = app.client();
    let body = |bytes: usize| {
        let frame = r#"{"to":""}"#;
        frame.replace(r#""""#, &format!("\"{}\"", "+".repeat(bytes - frame.len())))
    };
    refused(&send(&client, "/v1/verifications", body(64 * 1024)).await, "64 KiB to the byte");
    send(&client, "/v1/verifications", body(64 * 1024 + 1)).await.problem(413, "body_too_large");
    send(&client, "/v1/verifications", body(10 * 1024 * 1024)).await.problem(413, "body_too_large");
    for deep in [
        "[".repeat(60_000),
        format!("{}{}", r#"{"metadata":"#.repeat(4_000), "}".repeat(4_000)),
        format!(r#"{{"to":{}}}"#, "[".repeat(50_000)),
    ] {
        refused(&send(&client, "/v1/verifications", deep).await, "deep");
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let app = TestApp::new().await;
    let client = app.client();
    let good = json!({ "to": number(1) }).to_string();
    let bodies = [
        "{",
        "nul",
        "[]",
        "\"x\"",
        "1",
        "null",
        "{}",
        "{\"to\":}",
        "\u{feff}{}",
        "to=%2B4915112345678",
        "{'to':'x'}",
        "{\"to\":\"\\ud800\"}",
    ];
    for body in bodies {
        refused(&send(&client, "/v1/verifications", body.into()).await, body);
    }
    refused(&send(&client, "/v1/verifications", format!("{good}{good}")).await, "two documents");
    // serde takes a list for a struct, field by field; nobody documented that.
    refused(&send(&client, "/v1/verifications", json!([number(1)]).to_string()).await, "a list of values");
    refused(&send(&client, "/v1/verifications/check", json!([number(1), "login", "123456"]).to_string()).await, "a list of values");
    let bearer = format!("Bearer {}", client.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let broken = app.wire.send("POST", "/v1/verifications", &headers, b"{\"to\":\"\xff\xfe\"}".to_vec()).await;
    refused(&broken, "not UTF-8");
    refused(&app.wire.send("POST", "/v1/verifications", &headers, Vec::new()).await, "nothing at all");
    assert_eq!(app.messages_in_the_end().await, 0);
}

#[tokio::test]
async fn the_content_type_must_be_json() {
    let app = TestApp::new().await;
    let client = app.client();
    let body = json!({ "to": number(1) }).to_string();
    let bearer = format!("Bearer {}", client.key);
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "text/json", "", "json"]
    {
        let answer = client.call("POST", "/v1/verifications", &[("content-type", kind)], body.clone()).await;
        answer.problem(415, "unsupported_media_type");
    }
    app.wire.send("POST", "/v1/verifications", &[("authorization", &bearer)], body.clone()).await.problem(415, "unsupported_media_type");
    client.call("POST", "/v1/verifications", &[("content-type", "Application/JSON; charset=utf-8")], body).await.expect(201);
}

#[tokio::test]
async fn queries_are_as_strict_as_bodies() {
    let app = TestApp::new().await;
    let client = app.client();
    let queries = [
        "",
        "?",
        "?to",
        "?to=",
        "?limit=5",
        "?to=%2B4915112345678&limit=0",
        "?to=%2B4915112345678&limit=101",
        "?to=%2B4915112345678&limit=256",
        "?to=%2B4915112345678&limit=-1",
        "?to=%2B4915112345678&limit=hunter2",
        "?to=%2B4915112345678&before=hunter2",
        "?to=%2B4915112345678&verified=true",
        "?to=%2B4915112345678&to=%2B4915112345679",
        "?to[]=%2B4915112345678",
        "?to=hunter2",
        "?to=%FF%FE",
    ];
    for query in queries {
        refused(&client.call("GET", &format!("/v1/verifications{query}"), &[], String::new()).await, query);
    }
}
