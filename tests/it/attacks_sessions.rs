//! Sessions and tokens under attack: how long they live, keys that a token names itself, and what is left behind of a
//! person's secrets (SES-03, TOK-02, LOG-02, A48).

use std::sync::{Arc, Mutex, Weak};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::actors::{eventually, number, wrong};
use crate::app::TestApp;
use crate::binary::Binary;
use crate::people::{PASSWORD, Person, from_base32, totp_now};
use crate::upstream::{Reply, Upstream};
use crate::wire::{Answer, Wire};

/// SES-03: two factors: an hour without a request, a day in all, and no request or confirmation stretches the day.
#[tokio::test]
async fn sessions_end_by_the_clock() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    for (minutes, lives) in [(59, true), (61, false)] {
        let ann = Person::browser(&app, minutes as u32);
        ann.register().await;
        let tokens = ann.sign_in().await;
        app.advance(minutes * 60);
        assert_eq!(ann.is_signed_in().await, lives, "{minutes} idle minutes");
        let refreshed = ann.post("/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await;
        assert_eq!(refreshed.status == 200, lives, "{minutes} idle minutes: {}", refreshed.body);
    }
    let ann = Person::browser(&app, 1).arrive().await;
    for _ in 0..46 {
        app.advance(30 * 60);
        assert!(ann.is_signed_in().await);
    }
    ann.post("/auth/confirm", json!({ "password": PASSWORD })).await.expect(200);
    app.advance(59 * 60);
    assert!(ann.is_signed_in().await, "23 hours and 59 minutes");
    app.advance(2 * 60);
    assert!(!ann.is_signed_in().await, "24 hours and a minute, a minute ago in use");
}

/// SES-05: a factor, number or address changes together with the end of every other session, or not at all; a sign-in half way ends
/// with them.
#[tokio::test]
async fn a_change_that_fails_has_changed_nothing() {
    const MAIL: &str = "ann@elsewhere.example";
    let app = TestApp::with("[service.default]\nresend_waits = []\nlimits.destination = [\"100/1h\"]").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let other = ann.elsewhere();
    other.sign_in().await;
    // Sessions cannot be ended, since there is nothing to forget browsers in.
    let fails = async |method: &str, path: &str, body: Option<&Value>| {
        app.meddle("ALTER TABLE browser RENAME TO gone").await;
        let answer = ann.send(method, path, body).await;
        assert!(matches!(answer.status, 500 | 503), "{method} {path}: {} {}", answer.status, answer.body);
        app.meddle("ALTER TABLE gone RENAME TO browser").await;
    };
    let claim = async || {
        let before = ann.codes(MAIL).await.len();
        let claimed = ann.post("/auth/identifiers", json!({ "identifier": MAIL })).await.expect(201);
        let path = format!("/auth/identifiers/{}", claimed["id"].as_str().expect("an id"));
        (path, json!({ "code": ann.code_after(MAIL, before).await }))
    };
    let owned = || app.count("identifier WHERE proven_at IS NOT NULL");
    let (path, body) = claim().await;
    fails("POST", &format!("{path}/verify"), Some(&body)).await;
    assert_eq!((owned(), other.is_signed_in().await), (1, true));
    let (path, body) = claim().await;
    ann.post(&format!("{path}/verify"), body).await.expect(200);
    assert_eq!((owned(), other.is_signed_in().await), (2, false));
    fails("DELETE", &path, None).await;
    assert_eq!(owned(), 2);
    assert_eq!((ann.act("DELETE", &path).await.status, owned()), (204, 1));

    let (half, before) = (ann.elsewhere(), ann.codes(&ann.phone).await.len());
    half.login().await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    let enrolled = || app.count("factor WHERE confirmed_at IS NOT NULL");
    let totp = ann.post("/auth/factors/totp", json!({})).await.expect(201);
    let body = json!({ "id": totp["id"], "code": totp_now(&app, &totp["secret"]) });
    fails("POST", "/auth/factors/totp/confirm", Some(&body)).await;
    assert_eq!(enrolled(), 0);
    ann.post("/auth/factors/totp/confirm", body).await.expect(200);
    assert_eq!(enrolled(), 1);
    half.verify(&code).await.expect(401);
    let path = format!("/auth/factors/{}", totp["id"].as_str().expect("an id"));
    fails("DELETE", &path, None).await;
    assert_eq!(enrolled(), 1);
    assert_eq!((ann.act("DELETE", &path).await.status, enrolled()), (204, 0));
}

/// PWD-03: whoever holds a stolen session guesses at its password no longer than a stranger does, however slowly; a right one forgives
/// the wrong ones before it.
#[tokio::test]
async fn a_confirmation_is_guessed_as_seldom_as_a_sign_in() {
    let app = TestApp::with("[accounts.limits]\naccount_failures = \"3/24h\"").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let guess = async |password: &str| {
        app.advance(300);
        ann.post("/auth/confirm", json!({ "password": password })).await
    };
    for _ in 0..2 {
        guess("not the password").await.problem(422, "wrong_proof");
    }
    guess(PASSWORD).await.expect(200);
    for _ in 0..3 {
        guess("not the password").await.problem(422, "wrong_proof");
    }
    assert_eq!(guess(PASSWORD).await.problem(429, "limited")["limit"], "account_failures");
}

/// TOK-02, A48: a key that comes with the token, or is named by it, is never asked for and never believed.
#[tokio::test]
async fn a_token_names_no_key_of_its_own() {
    let app = TestApp::new().await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    let token = ann.sign_in().await["token"].clone();
    let parts: Vec<_> = token.as_str().expect("a token").split('.').collect();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).expect("base64url")).expect("JSON");
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key()), "kid": header["kid"],
        "alg": "EdDSA", "use": "sig" });
    let jwks = json!({ "keys": [key] }).to_string();
    let evil = Upstream::new(move |_| Reply::new(200, jwks.clone())).await;
    let url = format!("{}/jwks.json", evil.url);
    let stranger = Person::app(&app, 2);
    stranger.hold(&token);
    stranger.get("/auth/me").await.expect(200);
    for changes in [
        json!({}),
        json!({ "jku": url }),
        json!({ "jku": url, "kid": "evil" }),
        json!({ "x5u": url }),
        json!({ "jwk": key }),
        json!({ "jwk": key, "kid": null }),
        json!({ "kid": url }),
        json!({ "kid": "../../../../dev/null" }),
        json!({ "kid": "x' UNION SELECT secret FROM signing_key --" }),
        json!({ "kid": "" }),
    ] {
        let mut header = header.clone();
        for (name, value) in changes.as_object().expect("an object") {
            header[name] = value.clone();
        }
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1]);
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        stranger.hold(&json!(format!("{signed}.{signature}")));
        stranger.get("/auth/me").await.problem(401, "sign_in_required");
        stranger.get("/protected").await.expect(401);
    }
    assert_eq!(evil.asked().len(), 0, "nobody was asked");
}

const SETTINGS: &str = "
[log]
filter = \"trace\"
[console]
print = false
[service.default]
code_length = 10
resend_waits = []
";
const CHOSEN: &str = "plum jam on Tuesdays only";
const NEXT: &str = "quince jelly on Fridays too";
const NEVER: &str = "marmalade that nobody chose";

/// LOG-02, TOTP-04, SES-01: the real executable, logging all it can, on a person's whole way. No password, token of a session or
/// a flow, refresh token, secret of an app, recovery code, number or address is in its log or metrics, and none of the secrets
/// in its files.
#[tokio::test]
async fn secrets_of_people_are_in_no_log_and_no_file() {
    let binary = Binary::new().file("countersign.toml", SETTINGS);
    let server = binary.serve().await;
    let ann = Person {
        wire: Arc::clone(&server.wire),
        app: Weak::new(),
        phone: number(1),
        email: "ann.lee.the.first@example.org".into(),
        jar: Some(Mutex::default()),
        headers: vec![("sec-fetch-site", "same-origin".into()), ("user-agent", "a browser".into())],
        token: Mutex::default(),
    };
    let mut secrets: Vec<(&str, String)> = Vec::new();
    let mut answers: Vec<Answer> = Vec::new();
    let keep = |secrets: &mut Vec<(&'static str, String)>, person: &Person| {
        for name in ["session", "flow", "browser", "reset"] {
            secrets.extend(person.cookie(&format!("countersign_{name}")).map(|token| ("a cookie", token)));
        }
    };
    for password in [CHOSEN, NEXT, NEVER] {
        secrets.push(("a password", password.into()));
        secrets.push(("a password in a form", password.replace(' ', "+")));
    }
    answers.push(ann.post("/auth/register", json!({ "email": ann.email, "phone": ann.phone, "password": CHOSEN })).await);
    for body in [
        json!({ "email": ann.email, "password": NEVER }),
        json!({ "email": NEVER, "password": CHOSEN }),
        json!({ "email": ann.email, "password": CHOSEN, "more": CHOSEN }),
        json!({ "email": ann.email, "password": [CHOSEN] }),
    ] {
        answers.push(ann.post("/auth/login", body).await);
    }
    let login = async |person: &Person, password: &str| {
        let before = person.codes(&person.phone).await.len();
        person.post("/auth/login", json!({ "phone": person.phone, "password": password })).await.expect(200);
        person.code_after(&person.phone, before).await
    };
    let code = login(&ann, CHOSEN).await;
    keep(&mut secrets, &ann);
    answers.push(ann.verify(&wrong(&code, 1)).await);
    let tokens = ann.post("/auth/verify-otp", json!({ "code": code, "refresh": true })).await.expect(200);
    keep(&mut secrets, &ann);
    let renewed = ann.post("/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await.expect(200);
    for token in [&tokens["refresh_token"], &renewed["refresh_token"], &tokens["token"], &renewed["token"]] {
        secrets.push(("a token", token.as_str().expect("a token").into()));
    }
    let totp = ann.post("/auth/factors/totp", json!({})).await.expect(201);
    let secret = totp["secret"].as_str().expect("base32").replace(' ', "");
    let raw = from_base32(&secret);
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    secrets.extend([("an app's secret", secret), ("an app's secret in hex", hex), ("its bytes in base64", URL_SAFE_NO_PAD.encode(&raw))]);
    secrets.push(("its bytes", raw.iter().map(|byte| char::from(*byte)).collect()));
    answers.push(ann.post("/auth/factors/totp/confirm", json!({ "id": totp["id"], "code": "000000" })).await);
    for recovery in ann.act("POST", "/auth/recovery-codes").await.expect(201)["codes"].as_array().expect("a list") {
        let recovery = recovery.as_str().expect("a code");
        secrets.push(("a recovery code", recovery.into()));
        secrets.push(("a recovery code without hyphens", recovery.replace('-', "")));
    }
    answers.push(ann.post("/auth/confirm", json!({ "password": NEVER })).await);
    answers.push(ann.post("/auth/confirm", json!({ "password": CHOSEN })).await);
    keep(&mut secrets, &ann);
    answers.push(ann.post("/auth/password/change", json!({ "password": NEXT })).await);
    let before = ann.codes(&ann.phone).await.len();
    let forgot = ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
    secrets.push(("a reset's token", forgot["reset_token"].as_str().expect("a token").into()));
    let code = ann.code_after(&ann.phone, before).await;
    answers.push(ann.post("/auth/password/reset", json!({ "code": code, "password": NEXT })).await);
    login(&ann, NEXT).await;
    keep(&mut secrets, &ann);
    // A form, and the same where nothing of the kind belongs.
    let form = format!("phone={}&password={}", number(1).replace('+', "%2B"), NEXT.replace(' ', "+"));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    answers.push(server.wire.send("POST", "/login", &headers, form.clone()).await);
    answers.push(server.wire.send("POST", "/auth/login", &headers, form).await);
    let metrics = eventually("metrics", async || Some(Wire::new(server.admin).get("/metrics", &[]).await)).await;

    let mut codes = Vec::new();
    for message in server.inbox().messages().await {
        codes.extend(message["code"].as_str().map(|code| ("a code", code.to_owned())));
    }
    assert!(codes.len() >= 3 && secrets.len() > 30, "{} {}", codes.len(), secrets.len());
    secrets.extend(codes);
    server.signal("TERM");
    let (_, log) = server.ended().await;
    for told in ["DEBUG", "INSERT INTO session"] {
        assert!(log.contains(told), "the log tells all that it can: {told}");
    }
    let mut files = String::new();
    for entry in std::fs::read_dir(binary.data()).expect("a directory") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        files.extend(bytes.into_iter().map(char::from));
    }
    assert!(files.contains(&number(1)) && files.contains("$argon2id$"), "the search finds what is there");
    for (what, secret) in &secrets {
        assert!(secret.chars().count() >= 10, "{what}: {secret}");
        assert!(!log.contains(secret), "{what} is in the log: {secret}");
        assert!(!metrics.body.contains(secret), "{what} is in the metrics");
        assert!(!files.contains(secret), "{what} is in a file: {secret}");
        for answer in &answers {
            assert!(!answer.body.contains(secret), "{what} is in an answer: {}", answer.body);
        }
    }
    for personal in [&number(1)[1..], "ann.lee.the.first@", "ann.lee.the.first"] {
        assert!(!log.contains(personal) && !metrics.body.contains(personal), "{personal}");
        for answer in &answers {
            assert!(!answer.body.contains(personal), "{personal}: {}", answer.body);
        }
    }
}
