//! The second factor under attack: errors inside it, replays, windows, remembered browsers, and what a session may say of
//! itself (A10, A22, A26, MFA-02, MFA-06, MFA-08, TOTP-02 to TOTP-04).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::clock::Clock;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::people::{PASSWORD, Person, from_base32, totp_at, totp_now};

/// Few limits: these stories sign in often, and send many messages.
const OFTEN: &str = "[service.default]\nresend_waits = []\nlimits.destination = [\"100/1h\"]\nlimits.ip_sends = \"100/1h\"\n\
                     [limits]\ndestination = \"100/24h\"\n[accounts.limits]\nip_sign_ins = \"1000/1m\"\n\
                     sign_in_failures = \"1000/1m\"\naccount_failures = \"1000/1m\"\n";

/// What an access token says.
fn claims(token: &Value) -> Value {
    let payload = token.as_str().and_then(|token| token.split('.').nth(1)).expect("a token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// Signed in, with a proven mail address beside the number.
async fn with_mail(app: &TestApp, index: u32) -> Person {
    let ann = Person::browser(app, index).arrive().await;
    let all = ann.get("/auth/identifiers").await.expect(200);
    let mail = all["data"].as_array().expect("a list").iter().find(|one| one["value"] == ann.email.as_str()).expect("hers");
    let path = format!("/auth/identifiers/{}", mail["id"].as_str().expect("an id"));
    assert_eq!(ann.act("DELETE", &path).await.status, 204);
    let claimed = ann.post("/auth/identifiers", json!({ "identifier": ann.email })).await.expect(201);
    let path = format!("/auth/identifiers/{}/verify", claimed["id"].as_str().expect("an id"));
    ann.post(&path, json!({ "code": ann.newest_code(&ann.email).await })).await.expect(200);
    ann
}

/// The end of a sign-in whose code was sent.
async fn enter(person: &Person, code: &str) -> Value {
    person.post("/auth/verify-otp", json!({ "code": code, "refresh": true })).await.expect(200)
}

/// Asks for a code by this method, and reads it.
async fn code_by(person: &Person, method: &str, to: &str) -> String {
    let before = person.codes(to).await.len();
    person.post("/auth/method", json!({ "method": method })).await.expect(200);
    person.code_after(to, before).await
}

async fn methods(person: &Person) -> Vec<String> {
    let step = person.post("/auth/methods", json!({})).await.expect(200);
    serde_json::from_value(step["methods"].clone()).expect("a list")
}

/// Another password, by a code to `to`.
async fn reset(person: &Person, to: &str, password: &str) {
    let before = person.codes(to).await.len();
    person.post("/auth/password/forgot", json!({ "identifier": to })).await.expect(200);
    let code = person.code_after(to, before).await;
    until_known(person, "/auth/password/reset", json!({ "code": code, "password": password })).await;
}

/// Sends a right code until it is taken: a flow that began without a password hears of its code a moment after it went out.
async fn until_known(person: &Person, path: &str, body: Value) -> Value {
    eventually("the code is known", async || {
        let answer = person.post(path, body.clone()).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

/// A26, OPS-01, TOTP-04: where the second factor cannot be judged nobody passes: a secret that does not open, somebody
/// else's secret, a table that is gone, a flow that cannot be read. What lies there is the secret in no form.
#[tokio::test]
async fn an_error_inside_the_second_factor_lets_nobody_in() {
    let app = TestApp::with(OFTEN).await;
    let (ann, bob) = (Person::browser(&app, 1).arrive().await, Person::browser(&app, 2).arrive().await);
    let (hers, his) = (ann.enrol(&app).await, bob.enrol(&app).await);
    let (secret, dump) = (hers["secret"].as_str().expect("base32"), app.dump("factor"));
    let raw = from_base32(secret);
    assert!(raw.len() >= 20, "160 bits");
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    for form in [secret.to_owned(), secret.replace(' ', ""), hex, STANDARD.encode(&raw), URL_SAFE_NO_PAD.encode(&raw)] {
        assert!(dump.len() > 100 && !dump.contains(&form), "{dump}");
    }
    app.meddle("CREATE TABLE kept AS SELECT id, secret FROM factor").await;
    let repair = "UPDATE factor SET secret = (SELECT secret FROM kept WHERE kept.id = factor.id)";
    for (damage, repair) in [
        ("UPDATE factor SET secret = 'AQ'", repair),
        ("UPDATE factor SET secret = ''", repair),
        ("UPDATE factor SET secret = (SELECT secret FROM kept WHERE kept.id <> factor.id)", repair),
        ("ALTER TABLE factor RENAME TO gone", "ALTER TABLE gone RENAME TO factor"),
        ("ALTER TABLE session RENAME TO gone", "ALTER TABLE gone RENAME TO session"),
        ("UPDATE flow SET state = 'null'", "SELECT 1"),
        ("UPDATE flow SET state = '{}'", "SELECT 1"),
        ("UPDATE flow SET account_id = 'nobody'", "SELECT 1"),
        ("DELETE FROM flow", "SELECT 1"),
    ] {
        app.advance(60);
        let other = ann.elsewhere();
        other.login().await.expect(200);
        app.meddle(damage).await;
        for code in [totp_now(&app, &hers["secret"]), totp_now(&app, &his["secret"])] {
            let answer = other.post("/auth/verify-otp", json!({ "code": code, "refresh": true })).await;
            assert!(matches!(answer.status, 401 | 500 | 503), "{damage}: {} {}", answer.status, answer.body);
            assert!(!answer.body.contains("token"), "{damage}: {}", answer.body);
        }
        assert_eq!(other.cookie("countersign_session"), None, "{damage}");
        app.meddle(repair).await;
    }
    app.advance(60);
    let other = ann.elsewhere();
    other.login().await.expect(200);
    assert!(enter(&other, &totp_now(&app, &hers["secret"])).await["token"].is_string(), "repaired, it opens again");
}

/// TOTP-02, A10: a code counts once: not again in the same step or the next, not after a restart, not by another route, and of
/// fifty at once one.
#[tokio::test]
async fn an_apps_code_counts_once_everywhere() {
    let mut app = TestApp::with(OFTEN).await;
    let ann = Person::browser(&app, 1).arrive().await;
    let secret = ann.enrol(&app).await["secret"].clone();
    let half = async |app: &TestApp| {
        let other = Person { wire: Arc::clone(&app.wire), ..ann.elsewhere() };
        other.login().await.expect(200);
        other
    };
    app.advance(30);
    let code = totp_now(&app, &secret);
    enter(&half(&app).await, &code).await;
    for round in 0..3 {
        match round {
            0 => {}
            1 => app.advance(30),
            _ => app = app.restart().await,
        }
        half(&app).await.verify(&code).await.expect(401);
    }
    // By another route: a confirmation of a session.
    let (other, code) = (half(&app).await, totp_now(&app, &secret));
    enter(&other, &code).await;
    other.post("/auth/confirm", json!({ "method": "totp" })).await.expect(200);
    other.post("/auth/confirm", json!({ "code": code })).await.problem(422, "wrong_proof");
    app.advance(30);
    other.post("/auth/confirm", json!({ "code": totp_now(&app, &secret) })).await.expect(200);

    app.advance(30);
    let mut others = Vec::new();
    for _ in 0..50 {
        others.push(half(&app).await);
    }
    let code = totp_now(&app, &secret);
    let answers = join_all(others.iter().map(|other| other.verify(&code))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 401)), "{answers:?}");
}

/// ATT-02, ATT-09: a code of one app is no wrong code of the other, however often it is used.
#[tokio::test]
async fn using_one_app_does_not_close_the_other() {
    let app = TestApp::with(OFTEN).await;
    let ann = Person::browser(&app, 1).arrive().await;
    let first = ann.enrol(&app).await;
    // Apps are tried in the order in which they came.
    app.advance(1);
    let second = ann.enrol(&app).await;
    let enter = async |secret: &Value| {
        let other = ann.elsewhere();
        other.login().await.expect(200);
        other.post("/auth/verify-otp", json!({ "code": totp_now(&app, secret) })).await
    };
    app.advance(60);
    enter(&json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")).await.expect(401);
    for _ in 0..60 {
        app.advance(3600);
        enter(&second["secret"]).await.expect(200);
    }
    app.advance(3600);
    enter(&first["secret"]).await.expect(200);
}

/// REC-01, A27: ten browsers show the same recovery code at once, and one of them gets in.
#[tokio::test]
async fn a_recovery_code_wins_one_race() {
    let app = TestApp::with(OFTEN).await;
    let ann = Person::browser(&app, 1).arrive().await;
    let codes = ann.act("POST", "/auth/recovery-codes").await.expect(201)["codes"].clone();
    let mut others = Vec::new();
    for _ in 0..10 {
        let other = ann.elsewhere();
        other.login().await.expect(200);
        others.push(other);
    }
    let answers = join_all(others.iter().map(|other| other.post("/auth/recover", json!({ "code": codes[0] })))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(ann.get("/auth/factors").await.expect(200)["recovery_codes_left"], 9);
}

/// TOTP-03: this step and the one before, by our clock; nothing else, and no time that a client sends.
#[tokio::test]
async fn an_apps_code_has_its_time() {
    let app = TestApp::with(OFTEN).await;
    let ann = Person::browser(&app, 1).arrive().await;
    let secret = ann.enrol(&app).await["secret"].clone();
    app.advance(300);
    for (steps, passes) in [(-3, false), (-2, false), (1, false), (2, false), (3, false), (-1, true), (0, true)] {
        let other = ann.elsewhere();
        other.login().await.expect(200);
        let code = totp_at(&app, &secret, steps);
        let told = json!({ "code": code, "time": (app.clock.now().0 / 1000) + steps * 30 });
        assert_eq!(other.post("/auth/verify-otp", told).await.status, 400, "no field for a time");
        assert_eq!(other.verify(&code).await.status == 200, passes, "{steps}");
        assert_eq!(other.is_signed_in().await, passes, "{steps}");
    }
}

/// MFA-06, OTP-13, A22, REC-03: each way in, and what tokens say of it. A mail adds no factor, nor does the same place twice.
#[tokio::test]
async fn tokens_tell_how_somebody_signed_in() {
    let app = TestApp::with(&format!("[accounts]\npasswordless = true\n{OFTEN}")).await;
    let ann = with_mail(&app, 1).await;
    let says = |signed_in: &Value, acr: &str, amr: &[&str]| {
        let claims = claims(&signed_in["token"]);
        assert_eq!((claims["acr"].as_str(), &claims["amr"]), (Some(acr), &json!(amr)));
        assert_eq!(claims["auth_time"], app.clock.now().0 / 1000, "{amr:?}");
    };
    for (method, to, acr, amr) in [
        ("sms", &ann.phone, "aal2", &["pwd", "sms", "mfa"][..]),
        ("whatsapp", &ann.phone, "aal2", &["pwd", "whatsapp", "mfa"]),
        ("call", &ann.phone, "aal2", &["pwd", "tel", "mfa"]),
        ("email", &ann.email, "aal1", &["pwd", "email"]),
    ] {
        app.advance(60);
        let other = ann.elsewhere();
        other.login().await.expect(200);
        let code = code_by(&other, method, to).await;
        says(&enter(&other, &code).await, acr, amr);
        assert_eq!(other.get("/auth/me").await.expect(200)["session"]["assurance"], acr);
    }
    for (to, reference) in [(&ann.phone, "sms"), (&ann.email, "email")] {
        app.advance(60);
        let (other, before) = (ann.elsewhere(), ann.codes(to).await.len());
        other.post("/auth/code", json!({ "identifier": to })).await.expect(200);
        let code = other.code_after(to, before).await;
        let done = until_known(&other, "/auth/verify-otp", json!({ "code": code })).await;
        says(&done, "aal1", &[reference]);
    }
    let recovery = ann.act("POST", "/auth/recovery-codes").await.expect(201)["codes"].clone();
    let other = ann.elsewhere();
    other.login().await.expect(200);
    says(&other.post("/auth/recover", json!({ "code": recovery[0] })).await.expect(200), "aal2", &["pwd", "recovery", "mfa"]);

    let secret = ann.enrol(&app).await["secret"].clone();
    app.advance(30);
    let other = ann.elsewhere();
    other.login().await.expect(200);
    let tokens = enter(&other, &totp_now(&app, &secret)).await;
    says(&tokens, "aal2", &["pwd", "otp", "mfa"]);
    // A refreshed token tells of the same proof; a confirmation of a new one.
    let proven_at = claims(&tokens["token"])["auth_time"].clone();
    app.advance(300);
    let renewed = other.post("/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await.expect(200);
    assert_eq!(claims(&renewed["token"])["auth_time"], proven_at);
    other.post("/auth/confirm", json!({ "password": PASSWORD })).await.expect(200);
    let renewed = other.post("/auth/refresh", json!({ "refresh_token": renewed["refresh_token"] })).await.expect(200);
    assert_eq!(claims(&renewed["token"])["auth_time"], app.clock.now().0 / 1000);

    // A password that a code to the number changed, and a code to the same number: one place.
    let bob = with_mail(&app, 2).await;
    reset(&bob, &bob.phone, "another way to Tipperary").await;
    let body = json!({ "phone": bob.phone, "password": "another way to Tipperary" });
    let other = bob.elsewhere();
    other.post("/auth/login", body).await.expect(200);
    let code = code_by(&other, "sms", &bob.phone).await;
    says(&enter(&other, &code).await, "aal1", &["pwd", "sms"]);
}

/// MFA-02, A22, REC-03: who enrolled an app is asked for something of that weight, whatever the settings are and however the
/// sign-in begins. Neither a mail, nor the place whose code changed the password, stands in for it.
#[tokio::test]
async fn an_enrolled_app_is_asked_for_whatever_the_settings() {
    const LONG: &str = "another long way to Tipperary";
    for second_factor in ["required", "when_enrolled"] {
        let settings = format!("[accounts]\npasswordless = true\nremember_browser = \"0s\"\nsecond_factor = \"{second_factor}\"\n{OFTEN}");
        let app = TestApp::with(&settings).await;
        let ann = Person::browser(&app, 1);
        ann.register().await;
        // A reset proves the number, whether or not a sign-in asks for a code.
        reset(&ann, &ann.phone, PASSWORD).await;
        let done = ann.login().await.expect(200);
        let ann = if done["token"].is_string() {
            ann
        } else {
            let code = code_by(&ann, "sms", &ann.phone).await;
            enter(&ann, &code).await;
            ann
        };
        let claimed = ann.get("/auth/identifiers").await.expect(200);
        let claimed = claimed["data"].as_array().expect("a list").iter().find(|one| one["value"] == ann.email.as_str()).expect("hers");
        let id = claimed["id"].as_str().expect("an id");
        assert_eq!(ann.act("DELETE", &format!("/auth/identifiers/{id}")).await.status, 204);
        let claimed = ann.post("/auth/identifiers", json!({ "identifier": ann.email })).await.expect(201);
        let path = format!("/auth/identifiers/{}/verify", claimed["id"].as_str().expect("an id"));
        ann.post(&path, json!({ "code": ann.newest_code(&ann.email).await })).await.expect(200);
        let secret = ann.enrol(&app).await["secret"].clone();

        // By a code alone, to either place: one step more.
        for to in [&ann.phone, &ann.email] {
            app.advance(60);
            let (other, before) = (ann.elsewhere(), ann.codes(to).await.len());
            other.post("/auth/code", json!({ "identifier": to })).await.expect(200);
            let code = other.code_after(to, before).await;
            let next = until_known(&other, "/auth/verify-otp", json!({ "code": code })).await;
            assert_eq!((next["method"].as_str(), next.get("token")), (Some("totp"), None), "{second_factor} {to}: {next}");
            assert!(!other.is_signed_in().await);
            assert_eq!(methods(&other).await, ["totp"], "{second_factor} {to}");
            enter(&other, &totp_now(&app, &secret)).await;
        }
        // By the password: no mail.
        app.advance(60);
        let other = ann.elsewhere();
        let next = other.login().await.expect(200);
        assert_eq!((next["method"].as_str(), next.get("token")), (Some("totp"), None), "{second_factor}: {next}");
        assert!(!methods(&other).await.contains(&"email".to_owned()), "{second_factor}");
        other.post("/auth/method", json!({ "method": "email" })).await.problem(409, "flow_ended");
        // A reset by the number: then the number is no second step; the app, or paper.
        reset(&ann, &ann.phone, LONG).await;
        let other = ann.elsewhere();
        other.post("/auth/login", json!({ "phone": ann.phone, "password": LONG })).await.expect(200);
        assert_eq!(methods(&other).await, ["totp"], "{second_factor}");
        other.post("/auth/method", json!({ "method": "sms" })).await.problem(409, "flow_ended");
        assert!(!other.is_signed_in().await);
        app.advance(60);
        enter(&other, &totp_now(&app, &secret)).await;
    }
}

/// MFA-08: a browser is remembered only where the operator allows it and the person asks; then the session says that one
/// factor was shown. Another account's browser, an old one, and one from before a change of password are strangers.
#[tokio::test]
async fn a_remembered_browser_is_one_factor() {
    const OTHER: &str = "another way to Tipperary";
    for (allowed, asked) in [("0s", true), ("30d", false), ("30d", true)] {
        let app = TestApp::with(&format!("[accounts]\nremember_browser = \"{allowed}\"\n{OFTEN}")).await;
        let (ann, bob) = (Person::browser(&app, 1), Person::browser(&app, 2).arrive().await);
        ann.register().await;
        ann.login().await.expect(200);
        let body = json!({ "email": ann.email, "code": ann.newest_code(&ann.phone).await, "remember": asked });
        ann.post("/auth/verify-otp", body).await.expect(200);
        ann.act("POST", "/auth/logout").await.expect(200);
        let again = ann.login().await.expect(200);
        let remembered = allowed == "30d" && asked;
        assert_eq!(again["token"].is_string(), remembered, "{allowed} {asked}: {again}");
        if !remembered {
            continue;
        }
        let claims = claims(&again["token"]);
        assert_eq!((claims["acr"].as_str(), &claims["amr"]), (Some("aal1"), &json!(["pwd"])));
        let wrong = ann.post("/auth/login", json!({ "email": ann.email, "password": "not the password" })).await;
        wrong.expect(401);
        // Hers is nobody else's.
        let token = ann.cookie("countersign_browser").expect("a browser");
        let thief = bob.elsewhere();
        thief.set_cookie("countersign_browser", &token);
        assert_eq!(thief.login().await.expect(200)["token"], Value::Null, "another account");
        assert!(!app.dump("browser").contains(&token), "hashed");
        // Another password forgets it; and so do thirty days.
        ann.post("/auth/confirm", json!({ "password": PASSWORD })).await.expect(200);
        ann.post("/auth/password/change", json!({ "password": OTHER })).await.expect(200);
        ann.act("POST", "/auth/logout").await.expect(200);
        let body = json!({ "email": ann.email, "password": OTHER });
        app.advance(60);
        let before = ann.codes(&ann.phone).await.len();
        assert_eq!(ann.post("/auth/login", body.clone()).await.expect(200)["token"], Value::Null, "another password");
        let code = ann.code_after(&ann.phone, before).await;
        ann.post("/auth/verify-otp", json!({ "code": code, "remember": true })).await.expect(200);
        for (seconds, remembered) in [(3600, true), (3600, true), (29 * 24 * 3600, true), (24 * 3600, false)] {
            app.advance(seconds);
            ann.act("POST", "/auth/logout").await.expect(200);
            assert_eq!(ann.post("/auth/login", body.clone()).await.expect(200)["token"].is_string(), remembered, "{seconds}");
        }
    }
}

/// MFA-08, A43: whoever claims somebody's address beside them, and has a remembered browser of their own, is asked for
/// the second factor of the account whose password it was.
#[tokio::test]
async fn a_remembered_browser_of_another_claim_skips_nothing() {
    let app = TestApp::with(&format!("[accounts]\nremember_browser = \"30d\"\n{OFTEN}")).await;
    let ann = Person::browser(&app, 1).arrive().await;
    // Her address was never proven; a day later somebody else claims it too.
    app.advance(24 * 3600 + 60);
    let mallory = Person::browser(&app, 2);
    let own = json!({ "email": ann.email, "phone": mallory.phone, "password": "mallory's own password" });
    mallory.post("/auth/register", own).await.expect(201);
    mallory.post("/auth/login", json!({ "phone": mallory.phone, "password": "mallory's own password" })).await.expect(200);
    let body = json!({ "code": mallory.newest_code(&mallory.phone).await, "remember": true });
    mallory.post("/auth/verify-otp", body).await.expect(200);
    mallory.act("POST", "/auth/logout").await.expect(200);
    let hers = mallory.post("/auth/login", json!({ "email": ann.email, "password": PASSWORD })).await.expect(200);
    assert_eq!(hers["token"], Value::Null, "the password alone: {hers}");
    assert!(!mallory.is_signed_in().await);
}

/// OTP-14: a number that was added and never proven gets no code but the one that would prove it.
#[tokio::test]
async fn no_code_goes_to_a_number_that_nobody_proved() {
    let app = TestApp::with(&format!("[accounts]\npasswordless = true\n{OFTEN}")).await;
    let ann = Person::browser(&app, 1).arrive().await;
    ann.post("/auth/identifiers", json!({ "identifier": number(9) })).await.expect(201);
    ann.newest_code(&number(9)).await;
    let other = ann.elsewhere();
    other.login().await.expect(200);
    for method in methods(&other).await {
        if ["sms", "whatsapp", "call"].contains(&method.as_str()) {
            other.post("/auth/method", json!({ "method": method })).await.expect(200);
        }
    }
    for path in ["/auth/password/forgot", "/auth/code"] {
        other.post(path, json!({ "identifier": number(9) })).await.expect(200);
    }
    let refused = other.post("/auth/login", json!({ "phone": number(9), "password": PASSWORD })).await;
    assert_eq!(refused.expect(401), json!({ "error": "Invalid credentials" }));
    let sent = ann.codes(&ann.phone).await.len();
    assert!(sent >= 3, "{sent}");
    app.messages_in_the_end().await;
    assert_eq!(ann.codes(&number(9)).await.len(), 1);
}
