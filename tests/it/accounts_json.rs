//! The JSON API of accounts: the Express and React tutorial to the letter, and everything that its reader is told to add.

use serde_json::{Value, json};

use crate::actors::{eventually, wrong};
use crate::app::TestApp;
use crate::people::{PASSWORD, Person, totp_now};

/// The tutorial's own walk, by an app without cookies: no token before the code, and `/protected` opens to it only.
#[tokio::test]
async fn the_tutorials_walk() {
    let app = TestApp::with_environment("", &["JWT_SECRET=supersecretkey"]).await;
    let ann = Person::app(&app, 1);
    let body = json!({ "email": ann.email, "password": PASSWORD, "phone": ann.phone });
    let registered = ann.post("/auth/register", body).await;
    assert_eq!(registered.expect(201), json!({ "message": "Registered successfully" }));

    let refused = ann.post("/auth/login", json!({ "email": ann.email, "password": "not the password" })).await;
    assert_eq!(refused.expect(401), json!({ "error": "Invalid credentials" }));
    assert_eq!(ann.login().await.expect(200), json!({ "message": "OTP sent" }));

    let code = ann.newest_code(&ann.phone).await;
    let refused = ann.verify(&wrong(&code, 1)).await;
    assert_eq!(refused.expect(401), json!({ "error": "Invalid or expired OTP" }));
    let signed_in = ann.verify(&code).await.expect(200);
    assert_eq!(signed_in.as_object().expect("an object").keys().collect::<Vec<_>>(), ["token"]);
    assert_eq!(ann.verify(&code).await.expect(401), json!({ "error": "Invalid or expired OTP" }), "once is enough");

    assert!(ann.get("/protected").await.expect(401)["error"].is_string());
    ann.hold(&signed_in["token"]);
    let welcome = ann.get("/protected").await.expect(200);
    assert_eq!(welcome["message"], "Welcome!");
    assert!(welcome["user"]["id"].is_string() && welcome["user"]["exp"].is_i64(), "{welcome}");
    assert_eq!(welcome["user"]["amr"], json!(["pwd", "sms", "mfa"]));
    ann.hold(&json!("nonsense"));
    assert!(ann.get("/protected").await.expect(401)["error"].is_string());
}

/// Every operation of the description: method, path with ids filled in.
async fn operations(app: &TestApp) -> Vec<(String, String)> {
    let description = app.wire.get("/openapi.json", &[]).await.expect(200);
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        if path.starts_with("/auth/") || path == "/protected" {
            let path = path.replace("{id}", &uuid::Uuid::from_u128(7).to_string());
            all.extend(item.as_object().expect("methods").keys().map(|method| (method.to_uppercase(), path.clone())));
        }
    }
    assert!(all.len() > 30, "{all:?}");
    all
}

/// What may be asked by somebody who is not signed in.
const OPEN: [&str; 14] = [
    "/auth/register",
    "/auth/login",
    "/auth/resend-otp",
    "/auth/verify-otp",
    "/auth/methods",
    "/auth/method",
    "/auth/code",
    "/auth/recover",
    "/auth/passkey/options",
    "/auth/passkey",
    "/auth/password/forgot",
    "/auth/password/reset",
    "/auth/logout",
    "/auth/refresh",
];

/// MFA-01, A21; A24, MFA-05: a half-finished sign-in is no session, on no route, and enrols nothing.
#[tokio::test]
async fn a_half_finished_sign_in_opens_nothing() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1).arrive().await;
    ann.post("/auth/factors/totp", json!({})).await.expect(201);
    let half = ann.elsewhere();
    app.advance(30);
    half.login().await.expect(200);
    let flow = half.cookie("countersign_flow").expect("a flow");
    // Its token is none of another kind either (TOK-03).
    half.set_cookie("countersign_session", &flow);
    for with_bearer in [false, true] {
        if with_bearer {
            half.hold(&json!(flow));
        }
        for (method, path) in operations(&app).await {
            if OPEN.contains(&path.as_str()) {
                continue;
            }
            let answer = half.send(&method, &path, (method == "POST").then_some(&json!({}))).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
        }
    }
    half.hold(&Value::Null);
    assert_eq!(half.post("/auth/refresh", json!({})).await.problem(401, "sign_in_required")["code"], "sign_in_required");
    half.post("/auth/refresh", json!({ "refresh_token": flow })).await.problem(401, "sign_in_required");
    assert_eq!(ann.get("/auth/factors").await.expect(200)["data"], json!([]));
    // The flow itself goes on.
    let code = half.newest_code(&half.phone).await;
    assert!(half.verify(&code).await.expect(200)["token"].is_string());
}

/// A23, A28: the second step without the first, however right the code.
#[tokio::test]
async fn a_code_alone_signs_nobody_in() {
    let app = TestApp::new().await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    ann.post("/auth/send-otp", json!({ "phone": ann.phone })).await.expect(200);
    let code = ann.newest_code(&ann.phone).await;
    assert_eq!(ann.verify(&code).await.expect(401), json!({ "error": "Invalid or expired OTP" }));
    ann.post("/auth/code", json!({ "identifier": ann.phone })).await.problem(404, "not_found");
    // A code of Bob's sign-in is none of Ann's, and a flow cookie wins over what is typed.
    let bob = Person::browser(&app, 2);
    bob.register().await;
    bob.login().await.expect(200);
    app.advance(60);
    ann.login().await.expect(200);
    let (hers, his) = (ann.newest_code(&ann.phone).await, bob.newest_code(&bob.phone).await);
    ann.verify(&his).await.expect(401);
    bob.post("/auth/verify-otp", json!({ "email": ann.email, "code": hers })).await.expect(401);
    let done = bob.post("/auth/verify-otp", json!({ "email": ann.email, "code": his })).await.expect(200);
    assert!(done["token"].is_string());
    let his = bob.get("/auth/me").await.expect(200)["identifiers"].to_string();
    assert!(his.contains(&bob.phone) && !his.contains(&ann.phone), "{his}");
}

/// MFA-03: a client without cookies goes on where it began, and nobody else does who knows the address and even the code.
#[tokio::test]
async fn a_sign_in_without_cookies_stays_in_its_network() {
    let app = TestApp::with("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]").await;
    let at = |address: &str| Person { headers: vec![("x-forwarded-for", address.to_owned())], ..Person::app(&app, 1) };
    let (ann, mallory) = (at("192.0.2.7"), at("198.51.100.9"));
    ann.register().await;
    ann.login().await.expect(200);
    let code = ann.newest_code(&ann.phone).await;
    assert_eq!(mallory.verify(&code).await.expect(401), json!({ "error": "Invalid or expired OTP" }));
    mallory.post("/auth/resend-otp", json!({ "email": ann.email })).await.expect(409);
    ann.post("/auth/verify-otp", json!({ "code": code })).await.expect(422);
    ann.verify(&code).await.expect(200);
}

/// TOK-04, A40: each refresh token is good once; used again it ends the session and the whole family.
#[tokio::test]
async fn a_refresh_token_that_comes_again_ends_its_family() {
    let app = TestApp::new().await;
    let ann = Person::app(&app, 1);
    ann.register().await;
    let first = ann.sign_in().await;
    assert_eq!(first["expires_in"], 600);
    let refresh = async |token: &Value| ann.post("/auth/refresh", json!({ "refresh_token": token })).await;
    let racers = (0..20).map(|_| refresh(&first["refresh_token"]));
    let answers = futures_util::future::join_all(racers).await;
    let mut successors: Vec<String> = answers.iter().map(|answer| answer.expect(200)["refresh_token"].to_string()).collect();
    successors.dedup();
    assert_eq!(successors.len(), 1, "one successor, however often it is asked for");
    let second = answers[0].json();
    let third = refresh(&second["refresh_token"]).await.expect(200);
    ann.hold(&third["token"]);
    ann.get("/protected").await.expect(200);
    app.advance(11);
    refresh(&first["refresh_token"]).await.problem(401, "sign_in_required");
    refresh(&third["refresh_token"]).await.problem(401, "sign_in_required");
    ann.get("/protected").await.expect(401);
    let told = eventually("she is told", async || {
        let all = app.inbox().messages().await;
        all.into_iter().find(|message| message["code"].is_null() && message["to"] == ann.phone.as_str())
    })
    .await;
    assert!(told["body"].is_string());
}

/// SES-05, A42: another password, and another factor, end every other session, its tokens, and what browsers had begun.
#[tokio::test]
async fn old_sessions_do_not_survive_a_change() {
    let app = TestApp::with("[service.default]\nresend_waits = []\nlimits.destination = [\"100/1h\"]").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let arrive = async || {
        let other = ann.elsewhere();
        let tokens = other.sign_in().await;
        (other, tokens)
    };
    let gone = async |(other, tokens): (Person, Value), why: &str| {
        assert!(!other.is_signed_in().await, "{why}");
        other.post("/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await.problem(401, "sign_in_required");
        other.hold(&tokens["token"]);
        other.get("/protected").await.expect(401);
    };
    let other = arrive().await;
    ann.post("/auth/password/change", json!({ "password": "another way to Tipperary" })).await.expect(200);
    gone(other, "another password").await;
    assert!(ann.is_signed_in().await, "this one stays");
    ann.post("/auth/password/change", json!({ "password": PASSWORD })).await.expect(200);

    let other = arrive().await;
    let totp = ann.post("/auth/factors/totp", json!({})).await.expect(201);
    let confirmation = json!({ "id": totp["id"], "code": totp_now(&app, &totp["secret"]), "name": "My phone" });
    ann.post("/auth/factors/totp/confirm", confirmation).await.expect(200);
    gone(other, "another factor").await;
    let factors = ann.get("/auth/factors").await.expect(200);
    assert_eq!((factors["data"][0]["name"].as_str(), factors["data"][0].get("secret")), (Some("My phone"), None));

    // From now on the app is asked for, and its code of a moment ago is used (TOTP-02).
    let other = ann.elsewhere();
    assert_eq!(other.login().await.expect(200), json!({ "message": "OTP required", "method": "totp" }));
    other.verify(&totp_now(&app, &totp["secret"])).await.expect(401);
    app.advance(30);
    other.verify(&totp_now(&app, &totp["secret"])).await.expect(200);
    let factor = factors["data"][0]["id"].as_str().expect("an id");
    assert_eq!(ann.act("DELETE", &format!("/auth/factors/{factor}")).await.status, 204);
    assert!(!other.is_signed_in().await, "a factor less");

    let other = arrive().await;
    ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
    let answer = eventually("the reset's code", async || {
        let code = ann.codes(&ann.phone).await.into_iter().next()?;
        let answer = ann.post("/auth/password/reset", json!({ "code": code, "password": "a third way to Tipperary" })).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(answer.json().get("token").is_none(), "REC-04: nobody is signed in by it");
    gone(other, "a reset").await;
    assert!(!ann.is_signed_in().await);
}

/// A43: whoever registered somebody else's address first has nothing of it once its owner proves it.
#[tokio::test]
async fn a_claim_without_proof_is_worth_nothing() {
    let app = TestApp::new().await;
    let (ann, mallory) = (Person::browser(&app, 1), Person::browser(&app, 2));
    let hers = json!({ "email": ann.email, "phone": mallory.phone, "password": "mallory's own password" });
    mallory.post("/auth/register", hers).await.expect(201);
    // Her own registration is answered as ever.
    ann.register().await;
    ann.post("/auth/password/forgot", json!({ "identifier": ann.email })).await.expect(200);
    let code = ann.newest_code(&ann.email).await;
    let reset = json!({ "code": code, "password": PASSWORD });
    ann.post("/auth/password/reset", reset).await.expect(200);

    let refused = mallory.post("/auth/login", json!({ "email": ann.email, "password": "mallory's own password" })).await;
    assert_eq!(refused.expect(401), json!({ "error": "Invalid credentials" }));
    app.advance(60);
    ann.login().await.expect(200);
    let code = eventually("another code", async || {
        let codes = ann.codes(&ann.email).await;
        (codes.len() > 1).then(|| codes[0].clone())
    })
    .await;
    ann.verify(&code).await.expect(200);
    assert_eq!(mallory.codes(&mallory.phone).await, Vec::<String>::new(), "nothing goes to what was never proven");
}

/// A48, TOK-01, TOK-03: what is no access token of ours opens nothing.
#[tokio::test]
async fn forged_tokens_open_nothing() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    let tokens = ann.sign_in().await;
    let good = tokens["token"].as_str().expect("a token").to_owned();
    let stranger = Person::app(&app, 3);
    stranger.hold(&json!(good));
    stranger.get("/auth/me").await.expect(200);
    let parts: Vec<&str> = good.split('.').collect();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).expect("base64")).expect("JSON");
    let jwks = stranger.get("/.well-known/jwks.json").await;
    assert!(jwks.header("cache-control").is_some_and(|value| value.starts_with("public, max-age=")));
    let key = &jwks.expect(200)["keys"][0];
    assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &key["kid"]));
    let with = |changes: Value, signature: &str| {
        let mut header = header.clone();
        for (name, value) in changes.as_object().expect("an object") {
            header[name] = value.clone();
        }
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1])
    };
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().expect("a key")).expect("base64");
    let unsigned = with(json!({ "alg": "HS256" }), "");
    let signed = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public), unsigned.trim_end_matches('.').as_bytes());
    let forged = [
        with(json!({ "alg": "none" }), ""),
        with(json!({ "alg": "NoNe" }), parts[2]),
        format!("{unsigned}{}", URL_SAFE_NO_PAD.encode(signed)),
        with(json!({ "jku": "https://evil.example/jwks.json" }), parts[2]),
        with(json!({ "kid": "../../../../dev/null" }), parts[2]),
        with(json!({ "kid": "' OR 1=1 --" }), parts[2]),
        with(json!({ "typ": "JWT" }), parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        tokens["refresh_token"].as_str().expect("a token").to_owned(),
        ann.cookie("countersign_session").expect("a session"),
    ];
    for token in forged {
        stranger.hold(&json!(token));
        stranger.get("/auth/me").await.problem(401, "sign_in_required");
        stranger.get("/protected").await.expect(401);
    }
    // An access token is no session, and no refresh token.
    stranger.hold(&Value::Null);
    let browser = ann.elsewhere();
    browser.set_cookie("countersign_session", &good);
    assert!(!browser.is_signed_in().await);
    stranger.post("/auth/refresh", json!({ "refresh_token": good })).await.problem(401, "sign_in_required");
    app.advance(606);
    stranger.hold(&json!(good));
    stranger.get("/auth/me").await.problem(401, "sign_in_required");
}

/// A53, INP-01: nobody gives themselves a role, or a proof.
#[tokio::test]
async fn no_field_is_assigned_that_is_not_asked_for() {
    let app = TestApp::new().await;
    let ann = Person::app(&app, 1);
    for (field, value) in [
        ("role", json!("admin")),
        ("roles", json!(["admin"])),
        ("phone_verified", json!(true)),
        ("verified", json!(true)),
        ("id", json!("019a64b2-7d70-7c1e-9f3a-5b0c6d7e8f90")),
    ] {
        let mut body = json!({ "email": ann.email, "phone": ann.phone, "password": PASSWORD });
        body[field] = value;
        assert_eq!(ann.post("/auth/register", body).await.expect(400)["field"], field);
    }
    assert_eq!(ann.login().await.expect(401)["error"], "Invalid credentials", "nothing was made");
    for broken in [
        json!({ "email": [ann.email, "evil@example.org"], "password": PASSWORD }),
        json!({ "email": { "$ne": "" }, "password": PASSWORD }),
        json!({ "email": ann.email, "password": null }),
        json!({ "email": null, "password": PASSWORD }),
        json!({ "email": ann.email, "password": true }),
        json!([ann.email, PASSWORD]),
    ] {
        for path in ["/auth/register", "/auth/login"] {
            ann.post(path, broken.clone()).await.expect(400);
        }
    }
    let twice = format!("{{\"email\":\"{0}\",\"email\":\"{0}\",\"password\":\"x\"}}", ann.email);
    let headers = [("content-type", "application/json")];
    assert_eq!(app.wire.send("POST", "/auth/login", &headers, twice).await.expect(400)["field"], "email");
    let both = json!({ "email": ann.email, "phone": ann.phone, "password": PASSWORD });
    ann.post("/auth/login", both).await.expect(422);
    // REC-06, PWD-01: and the password has to be one.
    for password in ["short", "password123", &"x".repeat(257)] {
        let body = json!({ "email": ann.email, "password": password });
        assert_eq!(ann.post("/auth/register", body).await.expect(422)["field"], "password", "{password}");
    }
}
