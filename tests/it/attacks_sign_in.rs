//! What is tried at the doors: edited requests, forged hosts, stores that are gone, locked doors, passwords in other forms
//! (A29, A45, A46, ATT-07, ATT-09, PWD-02, PWD-04).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::actors::{eventually, wrong};
use crate::app::TestApp;
use crate::people::{PASSWORD, Person};
use crate::raw::Raw;
use crate::tab::Tab;
use crate::wire::Answer;

/// What an answer says to somebody who compares: without what is new in each.
fn said(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let random = ["date", "x-request-id", "set-cookie"];
    let headers = answer.headers.iter().filter(|(name, _)| !random.contains(&name.as_str()));
    let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect();
    headers.sort();
    let mut body = answer.body.clone();
    if let Ok(mut json) = serde_json::from_str::<Value>(&answer.body) {
        if json.get("request_id").is_some() {
            json["request_id"] = Value::Null;
        }
        body = json.to_string();
    }
    (answer.status, headers, body)
}

/// A45: what a client sends back decides nothing: no field that says so, no cookie, and no token that was edited.
#[tokio::test]
async fn what_a_client_edits_decides_nothing() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    ann.login().await.expect(200);
    let code = ann.newest_code(&ann.phone).await;
    for (field, value) in [
        ("valid", json!(true)),
        ("verified", json!(true)),
        ("success", json!(true)),
        ("mfa", json!(true)),
        ("assurance", json!("aal2")),
        ("method", json!("none")),
        ("attempts", json!(0)),
    ] {
        let mut body = json!({ "code": wrong(&code, 1) });
        body[field] = value;
        assert_eq!(ann.post("/auth/verify-otp", body).await.expect(400)["field"], field);
    }
    ann.post("/auth/verify-otp", json!({})).await.expect(400);
    assert!(!ann.is_signed_in().await);
    let flow = ann.cookie("countersign_flow").expect("a flow");
    for value in ["true", "verified", "1", &"A".repeat(43), &flow.to_lowercase(), &format!("{flow}A"), &flow[..42]] {
        let other = ann.elsewhere();
        other.set_cookie("countersign_flow", value);
        other.set_cookie("countersign_session", value);
        assert!(!other.is_signed_in().await, "{value}");
        other.post("/auth/verify-otp", json!({ "email": "nobody@example.org", "code": code })).await.expect(401);
    }
    let token = ann.verify(&code).await.expect(200)["token"].clone();
    let token = token.as_str().expect("a token");
    let parts: Vec<_> = token.split('.').collect();
    let stranger = Person::app(&app, 2);
    stranger.hold(&json!(token));
    stranger.get("/auth/me").await.expect(200);
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url")).expect("JSON");
    for (claim, value) in [
        ("acr", json!("aal3")),
        ("amr", json!(["pwd", "hwk", "user", "mfa"])),
        ("roles", json!(["admin"])),
        ("sub", json!("019a64b2-7d70-7c1e-9f3a-5b0c6d7e8f90")),
        ("exp", json!(4_000_000_000_u32)),
    ] {
        let mut edited = payload.clone();
        edited[claim] = value;
        stranger.hold(&json!(format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(edited.to_string()), parts[2])));
        stranger.get("/auth/me").await.problem(401, "sign_in_required");
        stranger.get("/protected").await.expect(401);
    }
}

/// A29, REC-05: no host that a request names gets into a message, a token, a QR code or a page, not even from a proxy that we
/// trust.
#[tokio::test]
async fn the_host_of_a_request_names_nothing() {
    const EVIL: &str = "evil.example";
    let settings = "[server]\npublic_url = \"https://id.example\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
                    [service.default]\nresend_waits = []\n[accounts]\nsign_in_notices = true\n";
    let app = TestApp::with(settings).await;
    let mut ann = Person::browser(&app, 1);
    for name in ["x-forwarded-host", "x-forwarded-server", "x-host", "x-original-host", "x-http-host-override"] {
        ann.headers.push((name, EVIL.into()));
    }
    ann.headers.push(("x-forwarded-proto", "http".into()));
    ann.headers.push(("forwarded", format!("for=192.0.2.1;host={EVIL};proto=http")));
    ann.headers.push(("x-original-url", format!("https://{EVIL}/reset")));
    ann.headers.push(("referer", format!("https://{EVIL}/")));
    let mut heard = String::new();
    let mut hear = |answer: Answer| {
        heard.push_str(&format!("{:?}\n{}\n", answer.headers, answer.body));
        answer
    };
    ann.register().await;
    hear(ann.login().await).expect(200);
    let code = ann.newest_code(&ann.phone).await;
    let token = hear(ann.verify(&code).await).expect(200)["token"].clone();
    let payload = token.as_str().and_then(|token| token.split('.').nth(1)).expect("a token");
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("text");
    assert!(claims.contains("\"iss\":\"https://id.example\""), "{claims}");
    let claimed = hear(ann.post("/auth/identifiers", json!({ "identifier": "ann@elsewhere.example" })).await).expect(201);
    let code = ann.newest_code("ann@elsewhere.example").await;
    let path = format!("/auth/identifiers/{}/verify", claimed["id"].as_str().expect("an id"));
    hear(ann.post(&path, json!({ "code": code })).await).expect(200);
    let totp = hear(ann.post("/auth/factors/totp", json!({})).await).expect(201);
    let code = crate::people::totp_now(&app, &totp["secret"]);
    hear(ann.post("/auth/factors/totp/confirm", json!({ "id": totp["id"], "code": code })).await).expect(200);
    hear(ann.post("/auth/password/change", json!({ "password": "another way to Tipperary" })).await).expect(200);
    hear(ann.post("/auth/password/forgot", json!({ "identifier": "ann@elsewhere.example" })).await).expect(200);
    for path in ["/login", "/register", "/profile", "/forgot", "/nothing", "/openapi.json", "/.well-known/jwks.json"] {
        hear(ann.get(path).await);
    }
    // And as the host itself, alone, doubled, and in an absolute target.
    for head in [
        format!("POST /auth/password/forgot HTTP/1.1\r\nHost: {EVIL}"),
        format!("POST /auth/password/forgot HTTP/1.1\r\nHost: id.example\r\nHost: {EVIL}"),
        format!("POST https://{EVIL}/auth/password/forgot HTTP/1.1\r\nHost: id.example"),
    ] {
        let body = json!({ "identifier": ann.phone }).to_string();
        let mut raw = Raw::connect(app.address).await;
        let rest = format!("content-type: application/json\r\nconnection: close\r\ncontent-length: {}", body.len());
        raw.say(format!("{head}\r\n{rest}\r\n\r\n{body}")).await;
        let answer = raw.hear(|heard| heard.contains("}") || heard.contains("\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 4"), "{answer}");
        hear(Answer { status: 0, headers: Default::default(), body: answer });
    }
    app.messages_in_the_end().await;
    let messages = Value::from(app.inbox().messages().await).to_string();
    assert!(messages.contains("https://id.example"), "some message has a link: {messages}");
    assert!(!messages.contains(EVIL), "{messages}");
    assert!(!heard.contains(EVIL), "{heard}");
}

/// A46, OPS-01: with a table of people gone, or the store of codes and limits, the right password and the right code let
/// nobody in, and wrong ones are not judged without being counted.
#[tokio::test]
async fn without_its_stores_nobody_is_let_in() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let half = ann.elsewhere();
    let before = ann.codes(&ann.phone).await.len();
    half.login().await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    let closed = async |what: &str, whole_sign_in: bool| {
        let stranger = ann.elsewhere();
        if whole_sign_in {
            for password in [PASSWORD, "not the password"] {
                let answer = stranger.post("/auth/login", json!({ "email": ann.email, "password": password })).await;
                assert!(matches!(answer.status, 500 | 503), "{what}: {} {}", answer.status, answer.body);
            }
        }
        for code in [&code, &wrong(&code, 1)] {
            let answer = half.verify(code).await;
            assert!(matches!(answer.status, 401 | 500 | 503), "{what}: {} {}", answer.status, answer.body);
        }
        assert_eq!((half.cookie("countersign_session"), stranger.cookie("countersign_session")), (None, None), "{what}");
    };
    for table in ["account", "flow", "identifier"] {
        app.meddle(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE {table} RENAME TO gone")).await;
        closed(table, table != "flow").await;
        app.meddle(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE gone RENAME TO {table}")).await;
    }
    // Limits and codes cannot be written: nothing is judged, however often it is tried.
    app.hide_codes(true).await;
    for _ in 0..20 {
        let answer = half.verify(&wrong(&code, 1)).await;
        assert!(matches!(answer.status, 500 | 503), "{} {}", answer.status, answer.body);
    }
    closed("the store of codes", true).await;
    app.hide_codes(false).await;
    let last = ann.elsewhere();
    let before = ann.codes(&ann.phone).await.len();
    last.login().await.expect(200);
    last.verify(&ann.code_after(&ann.phone, before).await).await.expect(200);
}

/// ATT-07: a closed door looks the same for the right password, for a wrong one, and where nobody lives; in JSON and on the page.
#[tokio::test]
async fn a_closed_door_tells_nothing() {
    let app = TestApp::with("[accounts.limits]\nip_sign_ins = \"1000/1m\"").await;
    let (ann, nobody) = (Person::app(&app, 1), Person::app(&app, 2));
    ann.register().await;
    let knock =
        async |person: &Person, password: &str| person.post("/auth/login", json!({ "phone": person.phone, "password": password })).await;
    let (hers, theirs) = (said(&knock(&ann, "not the password").await), said(&knock(&nobody, "not the password").await));
    assert_eq!((hers.0, &hers), (401, &theirs));
    for _ in 0..4 {
        for person in [&ann, &nobody] {
            assert_eq!(said(&knock(person, "not the password").await), hers);
        }
    }
    let closed = [
        said(&knock(&ann, PASSWORD).await),
        said(&knock(&ann, "not the password").await),
        said(&knock(&nobody, PASSWORD).await),
        said(&knock(&nobody, "not the password").await),
    ];
    assert_eq!(closed[0].0, 429);
    assert!(closed.iter().all(|answer| answer == &closed[0]), "{closed:#?}");
    // The page, by other people in the same place.
    let pages = [Tab::new(&app, 3), Tab::new(&app, 4)];
    Person::app(&app, 3).register().await;
    let mut answers = Vec::new();
    for tab in &pages {
        tab.get("/login").await;
        let mut knocks = Vec::new();
        for password in ["wrong", "wrong", "wrong", "wrong", "wrong", PASSWORD, "wrong"] {
            let answer = tab.submit("/login", &[("phone", &tab.phone), ("password", password)]).await;
            let token = tab.token().expect("a form");
            let (status, headers, body) = said(&answer);
            knocks.push((status, headers, body.replace(&token, "").replace(&tab.phone, "")));
        }
        assert_eq!((knocks[0].0, knocks[5].0), (401, 429));
        assert_eq!(knocks[5], knocks[6], "right and wrong");
        answers.push(knocks);
    }
    assert_eq!(answers[0], answers[1], "somebody and nobody");
}

/// ATT-09: a right password forgives nothing until the code was right too: neither wrong codes nor wrong passwords.
#[tokio::test]
async fn half_a_sign_in_forgives_nothing() {
    let app = TestApp::new().await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    ann.login().await.expect(200);
    let code = ann.newest_code(&ann.phone).await;
    for step in 1..5 {
        ann.verify(&wrong(&code, step)).await.expect(401);
    }
    ann.login().await.expect(200);
    ann.verify(&wrong(&code, 5)).await.expect(401);
    ann.verify(&code).await.expect(401);
    assert_eq!(ann.codes(&ann.phone).await.len(), 1, "the same code all the time");

    app.advance(3600);
    let knock = async |password: &str| ann.post("/auth/login", json!({ "email": ann.email, "password": password })).await.status;
    for _ in 0..3 {
        assert_eq!(knock("not the password").await, 401);
    }
    assert_eq!((knock(PASSWORD).await, knock("not the password").await), (200, 401));
    assert_eq!(knock(PASSWORD).await, 429, "the right one in between changed nothing");
    app.advance(3600);
    for _ in 0..3 {
        assert_eq!(knock("not the password").await, 401);
    }
    ann.sign_in().await;
    for _ in 0..4 {
        assert_eq!(knock("not the password").await, 401, "a whole sign-in forgave them");
    }
}

/// A07, A15: a reset's code is guessed five times and no more, and a code of a reset is none of a sign-in.
#[tokio::test]
async fn a_reset_is_guessed_five_times() {
    const NEXT: &str = "another way to Tipperary";
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let begin = async || {
        let before = ann.codes(&ann.phone).await.len();
        ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
        let code = ann.code_after(&ann.phone, before).await;
        let known = async || (app.dump("flow").contains("verification") && app.dump("flow").contains("reset")).then_some(());
        eventually("the reset knows its code", known).await;
        code
    };
    let code = begin().await;
    for step in 1..6 {
        ann.post("/auth/password/reset", json!({ "code": wrong(&code, step), "password": NEXT })).await.problem(422, "wrong_proof");
    }
    ann.post("/auth/password/reset", json!({ "code": code, "password": NEXT })).await.problem(422, "wrong_proof");
    assert!(ann.is_signed_in().await, "nothing was changed");
    let code = begin().await;
    let other = ann.elsewhere();
    other.login().await.expect(200);
    other.verify(&code).await.expect(401);
    ann.post("/auth/password/reset", json!({ "code": code, "password": NEXT })).await.expect(200);
}

/// PWD-02: what is kept is Argon2id with its salt and cost, and another cost takes hold at the next right password.
#[tokio::test]
async fn passwords_are_kept_as_argon2id_and_grow() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    Person::app(&app, 2).register().await;
    let dump = app.dump("account");
    let hashes = |dump: &str| dump.split('|').filter(|value| value.contains("$argon2id$")).map(str::to_owned).collect::<Vec<_>>();
    let first = hashes(&dump);
    assert!(first.len() == 2 && first[0] != first[1], "the same password twice, two salts: {dump}");
    assert!(first.iter().all(|hash| hash.contains("$argon2id$v=19$m=19456,t=2,p=1")), "{dump}");
    assert!(!dump.contains(PASSWORD));
    let app = app.restart_with(|config| (config.accounts.hash_memory, config.accounts.hash_passes) = (20_480, 3)).await;
    let ann = Person::app(&app, 1);
    ann.post("/auth/login", json!({ "email": ann.email, "password": "not the password" })).await.expect(401);
    assert_eq!(hashes(&app.dump("account")), first, "a wrong password changes nothing");
    for _ in 0..2 {
        ann.login().await.expect(200);
        let second = hashes(&app.dump("account"));
        assert_eq!(second.iter().filter(|hash| hash.contains("$argon2id$v=19$m=20480,t=3,p=1")).count(), 1, "{second:?}");
        assert_eq!(second.iter().filter(|hash| first.contains(hash)).count(), 1, "the other one waits for its person");
    }
}

/// PWD-04: the same letters in another form are the same password; what comes after 72 bytes, or after a NUL, counts.
#[tokio::test]
async fn every_character_of_a_password_counts() {
    let app = TestApp::with("[accounts.limits]\nsign_in_failures = \"100/1m\"").await;
    let long = "correct horses, batteries, staples, and a very long way to go to Tipperary";
    assert!(long.len() > 72);
    for (index, chosen, same, others) in [
        (1, "Zo\u{eb} et le ch\u{e2}teau", vec!["Zoe\u{308} et le cha\u{302}teau"], vec!["Zoe et le chateau".to_owned()]),
        (2, &*format!("{long}x"), vec![], vec![format!("{long}y"), long.to_owned(), long[..72].to_owned()]),
        (3, "before the\0 and after", vec![], vec!["before the".into(), "before the\0".into(), "before the\0 and later".into()]),
        (4, " with blanks around ", vec![], vec!["with blanks around".into(), " with blanks around".into()]),
    ] {
        let ann = Person::app(&app, index);
        ann.post("/auth/register", json!({ "email": ann.email, "phone": ann.phone, "password": chosen })).await.expect(201);
        let knock = async |password: &str| ann.post("/auth/login", json!({ "email": ann.email, "password": password })).await.status;
        for other in others {
            assert_eq!(knock(&other).await, 401, "{other:?}");
        }
        for same in same.into_iter().chain([chosen]) {
            assert_eq!(knock(same).await, 200, "{same:?}");
        }
    }
}
