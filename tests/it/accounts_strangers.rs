//! What strangers learn, and what pages of others can do: nothing (ENM-01, WEB-01, WEB-04).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::people::{PASSWORD, Person};
use crate::wire::Answer;

/// What an answer says to somebody who compares: without what is new in each.
fn said(answer: &Answer) -> (u16, Vec<String>, String) {
    let mut headers: Vec<String> = Vec::new();
    for (name, value) in &answer.headers {
        let value = value.to_str().expect("text");
        headers.push(match name.as_str() {
            "date" | "x-request-id" => name.to_string(),
            // The name and the attributes; the token is random.
            "set-cookie" => {
                let (pair, attributes) = value.split_once(';').expect("attributes");
                format!("{name}: {} {attributes}", pair.split_once('=').expect("a pair").0)
            }
            _ => format!("{name}: {value}"),
        });
    }
    headers.sort();
    let mut body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    for random in ["request_id", "reset_token"] {
        if body.get(random).is_some() {
            body[random] = Value::Null;
        }
    }
    (answer.status, headers, body.to_string())
}

/// ENM-01, A38: status, headers, cookies and body are the same for people who exist and people who do not.
#[tokio::test]
async fn answers_do_not_tell_who_exists() {
    let app = TestApp::with("[accounts]\npasswordless = true\n[accounts.limits]\nip_sign_ins = \"1000/1m\"").await;
    let ann = Person::browser(&app, 1).arrive().await;
    ann.act("POST", "/auth/logout").await.expect(200);
    let nobody = Person::browser(&app, 2);
    let ann = ann.elsewhere();
    nobody.post("/auth/logout", json!({})).await.expect(200);
    let with = |person: &Person, body: Value| {
        let text = body.to_string().replace("EMAIL", &person.email).replace("PHONE", &person.phone);
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    app.advance(3600);
    let steps = [
        ("/auth/login", json!({ "email": "EMAIL", "password": "not the password" })),
        ("/auth/login", json!({ "phone": "PHONE", "password": "not the password" })),
        ("/auth/verify-otp", json!({ "email": "EMAIL", "code": "000000" })),
        ("/auth/resend-otp", json!({ "email": "EMAIL" })),
        ("/auth/methods", json!({ "email": "EMAIL" })),
        ("/auth/password/forgot", json!({ "identifier": "EMAIL" })),
        // Hers is proven, and gets a code: from here on only one of the two has anything to be right about.
        ("/auth/password/forgot", json!({ "identifier": "PHONE" })),
        ("/auth/password/reset", json!({ "code": "000000", "password": "another way to Tipperary" })),
        ("/auth/password/reset", json!({ "code": "000000", "password": "short" })),
        ("/auth/code", json!({ "identifier": "PHONE" })),
        ("/auth/resend-otp", json!({})),
        ("/auth/verify-otp", json!({ "code": "000000" })),
        ("/auth/methods", json!({})),
        ("/auth/recover", json!({ "code": "AAAA-AAAA-AAAA-AAAA-AAAA" })),
        ("/auth/register", json!({ "email": "x@example.org", "phone": "PHONE", "password": PASSWORD })),
    ];
    for (path, body) in steps {
        let hers = ann.post(path, with(&ann, body.clone())).await;
        // What happens behind the answer has happened.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let theirs = nobody.post(path, with(&nobody, body.clone())).await;
        let (hers, theirs) = (said(&hers), said(&theirs));
        let masked = |said: (u16, Vec<String>, String), person: &Person| {
            let digits = &person.phone[person.phone.len() - 2..];
            (said.0, said.1, said.2.replace(&format!("*{digits}"), "*NN"))
        };
        assert_eq!(masked(hers, &ann), masked(theirs, &nobody), "{path} {body}");
    }
}

/// ENM-01, A38: what a message takes from the limits of a place is taken whether anybody is there: nobody who can ask for messages
/// of their own reads there who exists.
#[tokio::test]
async fn limits_do_not_tell_who_exists() {
    let app = TestApp::with("[accounts]\npasswordless = true\n[service.default.limits]\nip_sends = \"1000/1m\"").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let eve = Person::browser(&app, 2).arrive().await;
    for (index, path) in (3..).zip(["/auth/password/forgot", "/auth/code"]) {
        app.advance(3600);
        eve.sign_in().await;
        let stranger = Person::browser(&app, 9);
        let mut seen = Vec::new();
        for to in [ann.phone.clone(), number(index)] {
            stranger.post(path, json!({ "identifier": to })).await.expect(200);
            // What happens behind the answer has happened.
            tokio::time::sleep(Duration::from_millis(100)).await;
            seen.push(said(&eve.post("/auth/identifiers", json!({ "identifier": to })).await));
        }
        assert_eq!(seen[0], seen[1], "{path}");
        assert_eq!(seen[0].0, 429, "{path}");
    }
}

/// ENM-01: and the time is the same, as far as a busy machine can tell: one hash either way.
#[tokio::test]
async fn a_password_takes_as_long_for_nobody() {
    let limits = "[accounts.limits]\nip_sign_ins = \"1000/1m\"\nsign_in_failures = \"1000/1m\"\naccount_failures = \"1000/1m\"";
    let app = TestApp::with(limits).await;
    let (ann, nobody) = (Person::app(&app, 1), Person::app(&app, 2));
    ann.register().await;
    let body = |person: &Person| json!({ "email": person.email, "password": "not the password" });
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..24 {
        let (person, its) = if round % 2 == 0 { (&ann, 0) } else { (&nobody, 1) };
        let started = Instant::now();
        person.post("/auth/login", body(person)).await.expect(401);
        times[its].push(started.elapsed());
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let [mut hers, mut theirs] = times;
    let (hers, theirs) = (median(&mut hers), median(&mut theirs));
    assert!(hers < theirs * 2 && theirs < hers * 2, "{hers:?} {theirs:?}");
}

/// Everything that changes something, by the description.
async fn changes(app: &TestApp) -> Vec<(String, String)> {
    let description = app.wire.get("/openapi.json", &[]).await.expect(200);
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().expect("paths").iter().filter(|(path, _)| path.starts_with("/auth/")) {
        let path = path.replace("{id}", &uuid::Uuid::from_u128(7).to_string());
        let methods = item.as_object().expect("methods").keys().filter(|method| *method != "get");
        all.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    assert!(all.len() > 20);
    all
}

/// What a request from a page of others says, where one origin was named (`https://app.example`).
const PAGES_OF_OTHERS: [&[(&str, &str)]; 9] = [
    &[("origin", "https://evil.example")],
    &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "nonsense")],
    &[("origin", "null")],
    &[("origin", "https://app.example.evil.example")],
    &[("origin", "https://app.example"), ("origin", "https://evil.example")],
    // A browser too old to say, or a tool with somebody's cookies.
    &[],
];

/// WEB-01: the tutorials' routes are public, and yet no page of others makes a browser send a message or try a code.
#[tokio::test]
async fn pages_of_others_send_nothing_by_the_tutorials() {
    let body = json!({ "phoneNumber": number(1), "phone": number(1), "smsCode": "123456", "request_id": "x", "code": "123456" });
    let form = format!("phoneNumber={0}&phone={0}&smsCode=123456&request_id=x&code=123456", number(1).replace('+', "%2B"));
    let kinds = [("application/json", body.to_string()), ("text/plain", body.to_string()), ("application/x-www-form-urlencoded", form)];
    for enabled in [true, false] {
        let app = TestApp::with(&format!("[accounts]\nenabled = {enabled}\norigins = [\"https://app.example\"]")).await;
        for path in ["/send-code", "/verify-code", "/auth/send-otp", "/auth/verify-otp"] {
            for headers in PAGES_OF_OTHERS {
                for (kind, body) in &kinds {
                    let mut headers = headers.to_vec();
                    headers.extend([("content-type", *kind), ("cookie", "countersign_browser=x")]);
                    app.wire.send("POST", path, &headers, body.clone()).await.problem(403, "cross_site");
                }
            }
            // No browser, but what a browser would send anywhere without asking.
            for kind in ["text/plain", "", "application/json-seq"] {
                let refused = app.wire.send("POST", path, &[("content-type", kind)], body.to_string()).await;
                assert_eq!(refused.status, 415, "{path} {kind} {}", refused.body);
            }
        }
        assert_eq!(app.messages_in_the_end().await, 0);
    }
}

/// The tutorials' own clients: a page of this server, a front end elsewhere that the operator named, and no browser at all.
#[tokio::test]
async fn the_tutorials_own_pages_send() {
    let app = TestApp::with("[accounts]\nenabled = false\norigins = [\"http://localhost:3000\"]").await;
    let own = format!("http://{}", app.address);
    let front_end = [("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")];
    let senders: [&[(&str, &str)]; 4] =
        [&[], &[("origin", own.as_str())], &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")], &front_end];
    for (index, headers) in (1..).zip(senders) {
        let sent = app.stranger().post("/send-code", headers, json!({ "phoneNumber": number(index) })).await;
        sent.expect(200);
        let shared = (index == 4).then_some("http://localhost:3000");
        assert_eq!(sent.header("access-control-allow-origin"), shared);
    }
    let asks = [front_end[0], ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")];
    for path in ["/send-code", "/verify-code", "/auth/send-otp", "/auth/verify-otp"] {
        assert_eq!(app.wire.send("OPTIONS", path, &asks, "").await.status, 204, "{path}");
    }
}

/// WEB-01, A34: no page of others changes anything, not even by a form or in plain text; it fails closed.
#[tokio::test]
async fn pages_of_others_change_nothing() {
    let app = TestApp::with("[accounts]\norigins = [\"https://app.example\"]").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let cookies =
        format!("countersign_session={}; countersign_flow={}", ann.cookie("countersign_session").expect("a session"), "A".repeat(43));
    let sent = app.inbox().messages().await.len();
    for (method, path) in changes(&app).await {
        for headers in PAGES_OF_OTHERS {
            for kind in ["application/json", "text/plain"] {
                let mut headers = headers.to_vec();
                headers.extend([("content-type", kind), ("cookie", cookies.as_str())]);
                let body = json!({ "email": ann.email, "password": PASSWORD, "identifier": ann.phone }).to_string();
                app.wire.send(&method, &path, &headers, body).await.problem(403, "cross_site");
            }
        }
    }
    // Without cookies, too: a sign-in that others begin in somebody's browser is theirs and not the person's.
    let body = json!({ "email": ann.email, "password": PASSWORD }).to_string();
    let headers = [("origin", "https://evil.example"), ("content-type", "application/json")];
    app.wire.send("POST", "/auth/login", &headers, body.clone()).await.problem(403, "cross_site");
    let headers = [("content-type", "text/plain")];
    app.wire.send("POST", "/auth/login", &headers, body).await.expect(415);
    assert_eq!(app.inbox().messages().await.len(), sent, "nothing was sent");
    assert!(ann.is_signed_in().await, "and nobody was signed out");
}

/// WEB-04: the origins that the operator named, letter by letter, and nobody else.
#[tokio::test]
async fn answers_are_shared_with_named_origins_only() {
    let app = TestApp::with("[accounts]\norigins = [\"https://app.example\"]").await;
    let asks = [("access-control-request-method", "POST"), ("access-control-request-headers", "content-type,authorization")];
    for origin in [
        "https://app.example",
        "null",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://APP.example",
        "https://app.example/",
        "https://sub.app.example",
        "*",
    ] {
        let is_named = origin == "https://app.example";
        let mut headers = vec![("origin", origin)];
        let read = app.wire.get("/auth/me", &headers).await;
        headers.extend(asks);
        let asked = app.wire.send("OPTIONS", "/auth/login", &headers, "").await;
        assert_eq!(asked.status == 204, is_named, "{origin}");
        for answer in [&read, &asked] {
            assert_eq!(answer.header("access-control-allow-origin"), is_named.then_some(origin), "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), is_named.then_some("true"), "{origin}");
            assert!(answer.headers.get_all("vary").iter().any(|value| value == "origin"), "{origin}");
        }
        read.problem(401, "sign_in_required");
    }
    // Other faces are shared with nobody.
    let headers = [("origin", "https://app.example")];
    assert_eq!(app.wire.get("/v1/verifications?to=x", &headers).await.header("access-control-allow-origin"), None);
    // And the app walks: other origin, no cookies.
    let ann =
        Person { headers: vec![("origin", "https://app.example".into()), ("sec-fetch-site", "cross-site".into())], ..Person::app(&app, 1) };
    ann.register().await;
    assert!(ann.sign_in().await["token"].is_string());
}

/// WEB-05: no other method does anything, on any route.
#[tokio::test]
async fn other_methods_are_not_allowed() {
    let app = TestApp::new().await;
    let description = app.wire.get("/openapi.json", &[]).await.expect(200);
    for (path, item) in description["paths"].as_object().expect("paths").iter().filter(|(path, _)| path.starts_with("/auth/")) {
        let path = path.replace("{id}", &uuid::Uuid::from_u128(7).to_string());
        for method in ["get", "post", "put", "patch", "delete", "options", "trace", "brew"] {
            if item.get(method).is_none() {
                let answer = app.wire.send(&method.to_uppercase(), &path, &[], "").await;
                answer.problem(405, "method_not_allowed");
            }
        }
    }
}

/// Passwordless, where allowed: a code to a proven number signs in at the first level, and nobody learns whose it is.
#[tokio::test]
async fn a_code_alone_where_it_is_allowed() {
    let app = TestApp::with("[accounts]\npasswordless = true\n[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let other = ann.elsewhere();
    let before = other.codes(&other.phone).await.len();
    assert_eq!(other.post("/auth/code", json!({ "identifier": other.phone })).await.expect(200), json!({ "message": "OTP sent" }));
    let code = eventually("a code", async || {
        let codes = other.codes(&other.phone).await;
        (codes.len() > before).then(|| codes[0].clone())
    })
    .await;
    let done = eventually("the code is known to the flow", async || {
        let answer = other.post("/auth/verify-otp", json!({ "code": code })).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert!(done["token"].is_string());
    assert_eq!(other.get("/auth/me").await.expect(200)["session"]["assurance"], "aal1");
    other.post("/auth/code", json!({ "identifier": "not a number" })).await.problem(422, "invalid_field");
    other.post("/auth/code", json!({ "identifier": number(77) })).await.expect(200);
}
