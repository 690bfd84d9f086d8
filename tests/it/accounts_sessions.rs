//! Sessions as browsers and apps hold them: cookies, fresh proofs, other people's ids, and what services may ask.

use countersign::db::client::Scope;
use serde_json::{Value, json};

use crate::actors::{eventually, number, wrong};
use crate::app::TestApp;
use crate::people::{PASSWORD, Person};
use crate::wire::Answer;

fn set_cookies(answer: &Answer) -> Vec<String> {
    answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("text").to_owned()).collect()
}

/// SES-07, SES-08: cookies hold random tokens, only our own pages see them, and no answer is kept anywhere.
#[tokio::test]
async fn cookies_are_as_they_should_be() {
    for (settings, secure) in [("", false), ("[server]\npublic_url = \"https://id.example\"", true)] {
        let app = TestApp::with(settings).await;
        let ann = Person::browser(&app, 1);
        ann.register().await;
        let mut answers = vec![ann.login().await];
        let code = ann.newest_code(&ann.phone).await;
        answers.push(ann.verify(&code).await);
        answers.push(ann.post("/auth/confirm", json!({ "password": PASSWORD })).await);
        answers.push(ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await);
        answers.push(ann.act("POST", "/auth/logout").await);
        let mut names = std::collections::BTreeSet::new();
        for answer in answers {
            answer.expect(200);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let lines = set_cookies(&answer);
            assert!(!lines.is_empty(), "{}", answer.body);
            for line in lines {
                let mut parts = line.split("; ");
                let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a pair");
                let attributes: Vec<_> = parts.collect();
                for wanted in ["Path=/", "HttpOnly", "SameSite=Lax"] {
                    assert!(attributes.contains(&wanted), "{line}");
                }
                assert!(attributes.iter().all(|attribute| !attribute.starts_with("Domain")), "{line}");
                assert_eq!((name.starts_with("__Host-"), attributes.contains(&"Secure")), (secure, secure), "{line}");
                assert!(value.is_empty() || value.len() == 43, "{line}");
                names.insert(name.trim_start_matches("__Host-").to_owned());
            }
        }
        let all = ["countersign_browser", "countersign_flow", "countersign_reset", "countersign_session"];
        assert_eq!(names.into_iter().collect::<Vec<_>>(), all);
    }
}

/// SES-01: 256 random bits, of which the database has a hash.
#[tokio::test]
async fn the_database_opens_no_session() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    let tokens = ann.sign_in().await;
    let held = [ann.cookie("countersign_session"), tokens["refresh_token"].as_str().map(str::to_owned)];
    let mut dump = String::new();
    for table in ["session", "refresh_token", "flow", "browser"] {
        dump.push_str(&app.dump(table));
    }
    assert!(dump.len() > 200, "{dump}");
    for token in held.into_iter().flatten() {
        assert!(!dump.contains(&token));
    }
    // What is kept is worth nothing as a cookie.
    let kept: Vec<_> = dump.split('|').filter_map(|value| value.strip_prefix("Some(\"")?.strip_suffix("\")")).collect();
    let kept: Vec<_> = kept.into_iter().filter(|value| value.len() == 43).collect();
    assert!(kept.len() >= 2, "{dump}");
    for kept in kept {
        let thief = ann.elsewhere();
        thief.set_cookie("countersign_session", kept);
        assert!(!thief.is_signed_in().await);
        thief.post("/auth/refresh", json!({ "refresh_token": kept })).await.problem(401, "sign_in_required");
    }
}

/// SES-02, A33: a session's token is new at each sign-in and each confirmation; the old one is dead, and none is chosen from outside.
#[tokio::test]
async fn tokens_of_sessions_rotate() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    let planted = "A".repeat(43);
    ann.set_cookie("countersign_session", &planted);
    ann.set_cookie("countersign_flow", &planted);
    ann.sign_in().await;
    let first = ann.cookie("countersign_session").expect("a session");
    assert_ne!(first, planted);
    assert_eq!(ann.cookie("countersign_flow"), None, "the flow is over");
    let holds = async |token: &str| {
        let other = ann.elsewhere();
        other.set_cookie("countersign_session", token);
        other.is_signed_in().await
    };
    assert!(!holds(&planted).await && holds(&first).await);
    ann.post("/auth/confirm", json!({ "password": "not the password" })).await.problem(422, "wrong_proof");
    ann.post("/auth/confirm", json!({ "password": PASSWORD })).await.expect(200);
    let second = ann.cookie("countersign_session").expect("a session");
    assert!(!holds(&first).await && holds(&second).await);
    ann.sign_in().await;
    let third = ann.cookie("countersign_session").expect("a session");
    assert!(!holds(&second).await && holds(&third).await, "the session before has ended");
    assert_eq!(ann.get("/auth/sessions").await.expect(200)["data"].as_array().map(Vec::len), Some(1));
}

/// SES-03, SES-04: a session ends by time or by its person's word, everywhere and at once; with it all tokens, here.
#[tokio::test]
async fn signing_out_ends_it_at_once() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    let tokens = ann.sign_in().await;
    let held = ann.cookie("countersign_session").expect("a session");
    let elsewhere = Person::app(&app, 1);
    elsewhere.hold(&tokens["token"]);
    elsewhere.get("/protected").await.expect(200);
    ann.act("POST", "/auth/logout").await.expect(200);
    assert_eq!(ann.cookie("countersign_session"), None);
    let thief = ann.elsewhere();
    thief.set_cookie("countersign_session", &held);
    assert!(!thief.is_signed_in().await);
    elsewhere.get("/protected").await.expect(401);
    elsewhere.post("/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await.problem(401, "sign_in_required");
    ann.act("POST", "/auth/logout").await.expect(200);
    ann.sign_in().await;
    app.advance(59 * 60);
    assert!(ann.is_signed_in().await);
    app.advance(61 * 60);
    assert!(!ann.is_signed_in().await, "an hour without a request");
}

/// SES-06, OPS-07, A52: people see and end their own sessions, and nobody else's; the same goes for every other id.
#[tokio::test]
async fn ids_of_others_name_nothing() {
    let app = TestApp::with("[service.default]\nresend_waits = []\nlimits.destination = [\"100/1h\"]").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let bob = Person::browser(&app, 2).arrive().await;
    let other = ann.elsewhere();
    other.sign_in().await;
    let sessions = ann.get("/auth/sessions").await.expect(200);
    let sessions = sessions["data"].as_array().expect("a list");
    assert_eq!(sessions.len(), 2);
    let theirs = sessions.iter().find(|session| session["current"] == false).expect("the other one");
    assert_eq!((theirs["agent"].as_str(), theirs["assurance"].as_str()), (Some("another browser"), Some("aal2")));
    let claimed = ann.post("/auth/identifiers", json!({ "identifier": "ann@elsewhere.example" })).await.expect(201);
    let (session, claim) = (theirs["id"].as_str().expect("an id"), claimed["id"].as_str().expect("an id"));
    let code = ann.newest_code("ann@elsewhere.example").await;
    let owned = ann.get("/auth/identifiers").await.expect(200)["data"][0]["id"].clone();
    let totp = ann.post("/auth/factors/totp", json!({})).await.expect(201);
    for path in [
        format!("/auth/sessions/{session}"),
        format!("/auth/identifiers/{claim}"),
        format!("/auth/identifiers/{}", owned.as_str().expect("an id")),
        format!("/auth/factors/{}", totp["id"].as_str().expect("an id")),
    ] {
        bob.act("DELETE", &path).await.problem(404, "not_found");
    }
    bob.post(&format!("/auth/identifiers/{claim}/verify"), json!({ "code": code })).await.problem(404, "not_found");
    bob.post("/auth/factors/totp/confirm", json!({ "id": totp["id"], "code": "000000" })).await.problem(422, "wrong_proof");
    assert!(other.is_signed_in().await && ann.is_signed_in().await);
    // Their own do.
    assert_eq!(ann.act("DELETE", &format!("/auth/sessions/{session}")).await.status, 204);
    assert!(!other.is_signed_in().await);
    ann.post(&format!("/auth/identifiers/{claim}/verify"), json!({ "code": code })).await.expect(200);
    let mine = ann.get("/auth/identifiers").await.expect(200);
    assert!(mine["data"].as_array().expect("a list").iter().any(|one| one["id"] == claim && one["verified"] == true));
    other.sign_in().await;
    assert_eq!(ann.act("POST", "/auth/sessions/revoke-others").await.expect(200)["ended"], 1);
    assert!(!other.is_signed_in().await && ann.is_signed_in().await);
    // The last proven one stays.
    for one in ann.get("/auth/identifiers").await.expect(200)["data"].as_array().expect("a list") {
        let last = ann.act("DELETE", &format!("/auth/identifiers/{}", one["id"].as_str().expect("an id"))).await;
        assert!(matches!(last.status, 204 | 409), "{}", last.body);
    }
    assert_eq!(ann.get("/auth/identifiers").await.expect(200)["data"].as_array().map(Vec::len), Some(1));
}

/// SES-06, REC-03: whoever holds a session of somebody keeps its owner neither from signing in nor from a reset by ending the other
/// sessions all day, and fills no log with it where there is none.
#[tokio::test]
async fn ending_other_sessions_keeps_no_owner_out() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let thief = Person::browser(&app, 1).arrive().await;
    let ann = thief.elsewhere();
    let revoke = async || thief.act("POST", "/auth/sessions/revoke-others").await.expect(200)["ended"].clone();
    let told = || app.count("account_event WHERE kind = 'session.others_ended'");
    let before = ann.codes(&ann.phone).await.len();
    ann.login().await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    assert_eq!((revoke().await, told(), app.count("browser")), (json!(0), 0, 1), "nothing ended, and nothing was changed");
    ann.verify(&code).await.expect(200);

    let before = ann.codes(&ann.phone).await.len();
    ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    eventually("the reset knows its code", async || (!app.dump("flow").contains("null")).then_some(())).await;
    assert_eq!((revoke().await, told()), (json!(1), 1));
    assert!(!ann.is_signed_in().await);
    ann.post("/auth/password/reset", json!({ "code": code, "password": "another way to Tipperary" })).await.expect(200);
    assert!(!thief.is_signed_in().await);
}

/// MFA-04, TOTP-05: whoever changes what matters has shown who they are in the last ten minutes.
#[tokio::test]
async fn changes_want_a_fresh_proof() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let codes = ann.act("POST", "/auth/recovery-codes").await.expect(201);
    assert_eq!(codes["codes"].as_array().map(Vec::len), Some(10));
    let identifier = ann.get("/auth/identifiers").await.expect(200)["data"][0]["id"].as_str().expect("an id").to_owned();
    app.advance(601);
    assert_eq!(ann.get("/auth/me").await.expect(200)["is_fresh"], false);
    let changes = [
        ("POST", "/auth/password/change".to_owned(), json!({ "password": "another way to Tipperary" })),
        ("POST", "/auth/identifiers".into(), json!({ "identifier": number(9) })),
        ("DELETE", format!("/auth/identifiers/{identifier}"), Value::Null),
        ("POST", "/auth/factors/totp".into(), Value::Null),
        ("POST", "/auth/factors/totp/confirm".into(), json!({ "id": identifier, "code": "000000" })),
        ("POST", "/auth/factors/passkey/options".into(), Value::Null),
        ("POST", "/auth/factors/passkey".into(), json!({ "credential": {} })),
        ("DELETE", format!("/auth/factors/{identifier}"), Value::Null),
        ("POST", "/auth/recovery-codes".into(), Value::Null),
    ];
    for (method, path, body) in &changes {
        let body = Some(body).filter(|body| !body.is_null());
        ann.send(method, path, body).await.problem(403, "confirmation_required");
    }
    // By a factor: asked for, and shown.
    ann.post("/auth/confirm", json!({ "method": "totp" })).await.problem(422, "invalid_field");
    let before = ann.codes(&ann.phone).await.len();
    let step = ann.post("/auth/confirm", json!({ "method": "sms" })).await.expect(200);
    assert_eq!((step["method"].as_str(), step.get("confirm_token")), (Some("sms"), None), "a browser has a cookie");
    let code = eventually("a code", async || {
        let codes = ann.codes(&ann.phone).await;
        (codes.len() > before).then(|| codes[0].clone())
    })
    .await;
    ann.post("/auth/confirm", json!({ "code": "000000" })).await.problem(422, "wrong_proof");
    ann.post("/auth/confirm", json!({ "code": code })).await.expect(200);
    assert_eq!(ann.get("/auth/me").await.expect(200)["is_fresh"], true);
    ann.post("/auth/identifiers", json!({ "identifier": number(9) })).await.expect(201);
    ann.post("/auth/confirm", json!({ "password": PASSWORD, "code": code })).await.problem(422, "invalid_field");
    ann.post("/auth/confirm", json!({})).await.problem(422, "invalid_field");
}

/// REC-01, REC-02, A27: a recovery code stands in for the second factor, once.
#[tokio::test]
async fn a_recovery_code_is_good_once() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let codes = ann.act("POST", "/auth/recovery-codes").await.expect(201)["codes"].clone();
    let other = ann.elsewhere();
    other.login().await.expect(200);
    let step = other.post("/auth/methods", json!({})).await.expect(200);
    assert!(step["methods"].as_array().expect("a list").contains(&json!("recovery_code")), "{step}");
    other.post("/auth/recover", json!({ "code": "AAAA-AAAA-AAAA-AAAA-AAAA" })).await.problem(422, "wrong_proof");
    assert!(other.post("/auth/recover", json!({ "code": codes[0] })).await.expect(200)["token"].is_string());
    assert_eq!(other.get("/auth/factors").await.expect(200)["recovery_codes_left"], 9);
    let third = ann.elsewhere();
    third.login().await.expect(200);
    third.post("/auth/recover", json!({ "code": codes[0] })).await.problem(422, "wrong_proof");
    third.post("/auth/method", json!({ "method": "email" })).await.problem(409, "flow_ended");
    third.post("/auth/method", json!({ "method": "sms" })).await.expect(200);
}

/// A service that wants to know at once when a session ends asks with a key that may.
#[tokio::test]
async fn services_ask_what_a_token_is_worth() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    let tokens = ann.sign_in().await;
    let (service, reader) = (app.client_of("default", &[Scope::Introspect]), app.client_of("default", &[Scope::Read]));
    let ask = json!({ "token": tokens["token"] });
    let worth = service.post("/auth/introspect", ask.clone()).await.expect(200);
    assert_eq!((worth["active"].as_bool(), worth["acr"].as_str()), (Some(true), Some("aal2")));
    let form = format!("token={}&token_type_hint=access_token", tokens["token"].as_str().expect("a token"));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(service.call("POST", "/auth/introspect", &headers, form).await.expect(200)["sub"], worth["sub"]);
    reader.post("/auth/introspect", ask.clone()).await.problem(403, "forbidden");
    ann.post("/auth/introspect", ask.clone()).await.problem(401, "unauthorized");
    for other in [&tokens["refresh_token"], &json!("nonsense")] {
        assert_eq!(service.post("/auth/introspect", json!({ "token": other })).await.expect(200), json!({ "active": false }));
    }
    ann.act("POST", "/auth/logout").await.expect(200);
    assert_eq!(service.post("/auth/introspect", ask).await.expect(200), json!({ "active": false }));
}

/// PWD-03: whoever is signed in does not keep the threads that hash passwords from everybody else.
#[tokio::test]
async fn passwords_and_recovery_codes_are_made_a_few_at_a_time() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1).arrive().await;
    for _ in 0..5 {
        ann.post("/auth/recovery-codes", json!({})).await.expect(201);
        ann.post("/auth/password/change", json!({ "password": PASSWORD })).await.expect(200);
    }
    for (path, body) in [("/auth/recovery-codes", json!({})), ("/auth/password/change", json!({ "password": PASSWORD }))] {
        let limited = ann.post(path, body).await.problem(429, "limited");
        assert_eq!(limited["limit"], "account_changes", "{path}");
    }
    app.advance(60);
    ann.post("/auth/recovery-codes", json!({})).await.expect(201);
}

/// SES-06: an account has a hundred sessions at most. The next sign-in ends the oldest.
#[tokio::test]
async fn the_oldest_of_too_many_sessions_ends() {
    let limits = "[accounts.limits]\nip_sign_ins = \"100000/1m\"\nsign_in_failures = \"100000/1m\"\naccount_failures = \"100000/1m\"";
    let app = TestApp::with(&format!("[accounts]\nsecond_factor = \"when_enrolled\"\n{limits}")).await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    ann.login().await.expect(200);
    let mut newest = ann.elsewhere();
    for _ in 1..110 {
        app.advance(1);
        newest = ann.elsewhere();
        newest.login().await.expect(200);
    }
    assert!(!ann.is_signed_in().await && newest.is_signed_in().await);
    let listed = newest.get("/auth/sessions").await.expect(200);
    assert_eq!(listed["data"].as_array().expect("a list").len(), 100);
    assert_eq!(app.count("session"), 100);
}

/// ATT-08, WEB-02: a sign-in that began in a browser is that browser's: nobody in the same network takes it up without its cookie.
#[tokio::test]
async fn a_browsers_flow_is_found_by_its_cookie_alone() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1).arrive().await;
    app.advance(3600);
    for ann in [ann.elsewhere(), ann] {
        app.advance(3600);
        let before = ann.codes(&ann.phone).await.len();
        ann.login().await.expect(200);
        let code = ann.code_after(&ann.phone, before).await;
        let neighbour = Person::app(&app, 1);
        let named = json!({ "email": neighbour.email });
        neighbour.post("/auth/methods", named.clone()).await.problem(409, "flow_ended");
        neighbour.post("/auth/resend-otp", named).await;
        for attempt in 1..=5 {
            let answer = neighbour.verify(&wrong(&code, attempt)).await;
            assert!(matches!(answer.status, 401 | 409), "{} {}", answer.status, answer.body);
        }
        ann.verify(&code).await.expect(200);
    }
}
