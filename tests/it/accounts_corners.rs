//! Corners of accounts: two credentials in one request, servers that reach people in one way only, and pages that name the right
//! field.

use std::sync::Arc;

use countersign::db::sealed;
use countersign::secret::Redacted;
use serde_json::json;

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::binary::Binary;
use crate::people::{PASSWORD, Person, totp_now};
use crate::tab::Tab;
use crate::upstream::{Reply, Upstream};

/// SES-02: whoever confirms a session by an access token leaves the browser that holds its cookie signed in; by the cookie it gets
/// another one.
#[tokio::test]
async fn confirming_by_a_token_signs_no_browser_out() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    let token = ann.sign_in().await["token"].clone();
    let own_app = Person::app(&app, 1);
    own_app.hold(&token);
    app.advance(601);
    assert_eq!(ann.get("/auth/me").await.expect(200)["is_fresh"], false);
    own_app.post("/auth/confirm", json!({ "password": PASSWORD })).await.expect(200);
    assert_eq!(ann.get("/auth/me").await.expect(200)["is_fresh"], true, "it is the same session, and its cookie is good");
    app.advance(601);
    own_app.hold(&ann.act("POST", "/auth/refresh").await.expect(200)["token"]);
    let before = ann.codes(&ann.phone).await.len();
    let step = own_app.post("/auth/confirm", json!({ "method": "sms" })).await.expect(200);
    let body = json!({ "code": ann.code_after(&ann.phone, before).await, "confirm_token": step["confirm_token"] });
    own_app.post("/auth/confirm", body).await.expect(200);
    assert_eq!(ann.get("/auth/me").await.expect(200)["is_fresh"], true);
    let cookie = ann.cookie("countersign_session");
    ann.post("/auth/confirm", json!({ "password": PASSWORD })).await.expect(200);
    assert_ne!(ann.cookie("countersign_session"), cookie);
}

/// REC-04: whoever names a reset means that one, also where the browser holds the cookie of another, and a malformed one is none.
#[tokio::test]
async fn the_reset_that_is_named_is_meant() {
    let app = TestApp::new().await;
    let (ann, bob) = (Person::browser(&app, 1).arrive().await, Person::browser(&app, 2).arrive().await);
    app.advance(60);
    let before = ann.codes(&ann.phone).await.len();
    let first = ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    ann.post("/auth/password/forgot", json!({ "identifier": bob.phone })).await.expect(200);
    let body = json!({ "reset_token": "nonsense", "code": code, "password": "another way to Tipperary" });
    ann.post("/auth/password/reset", body).await.problem(409, "flow_ended");
    let body = json!({ "reset_token": first["reset_token"], "code": code, "password": "another way to Tipperary" });
    ann.post("/auth/password/reset", body).await.expect(200);
    assert!(bob.is_signed_in().await && !ann.is_signed_in().await);
}

/// A43, REC-03: a reset that fails half way has done nothing: the next one still takes from a stranger, who claimed the number
/// first, what they enrolled.
#[tokio::test]
async fn a_reset_is_done_whole_or_not_at_all() {
    let app = TestApp::with("[service.default]\nresend_waits = []\n[accounts]\nsecond_factor = \"when_enrolled\"").await;
    let (mallory, ann) = (Person::browser(&app, 1), Person::browser(&app, 1));
    mallory.register().await;
    mallory.login().await.expect(200);
    mallory.enrol(&app).await;
    let owned = || app.count("identifier WHERE proven_at IS NOT NULL");
    let reset = async || {
        let before = ann.codes(&ann.phone).await.len();
        ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
        let code = ann.code_after(&ann.phone, before).await;
        eventually("the reset knows its code", async || (!app.dump("flow").contains("null")).then_some(())).await;
        json!({ "code": code, "password": "another way to Tipperary" })
    };
    let body = reset().await;
    app.meddle("ALTER TABLE factor RENAME TO gone").await;
    let failed = ann.post("/auth/password/reset", body).await;
    assert!(matches!(failed.status, 500 | 503), "{} {}", failed.status, failed.body);
    app.meddle("ALTER TABLE gone RENAME TO factor").await;
    assert_eq!((owned(), app.count("factor")), (0, 1));
    assert!(mallory.is_signed_in().await, "nothing was changed");

    let body = reset().await;
    ann.post("/auth/password/reset", body).await.expect(200);
    assert_eq!((owned(), app.count("factor")), (1, 0));
    assert!(!mallory.is_signed_in().await);
}

/// REC-03, MFA-04: an app that was enrolled after a reset settles what the reset left in doubt, by a confirmation as by a sign-in; the
/// password, which the reset set, does not.
#[tokio::test]
async fn a_confirmation_by_something_else_settles_a_reset() {
    const NEXT: &str = "another way to Tipperary";
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let before = ann.codes(&ann.phone).await.len();
    ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    eventually("the reset knows its code", async || (!app.dump("flow").contains("null")).then_some(())).await;
    ann.post("/auth/password/reset", json!({ "code": code, "password": NEXT })).await.expect(200);
    let before = ann.codes(&ann.phone).await.len();
    ann.post("/auth/login", json!({ "phone": ann.phone, "password": NEXT })).await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    ann.post("/auth/verify-otp", json!({ "code": code })).await.expect(200);
    let stands = async || {
        let me = ann.get("/auth/me").await.expect(200);
        (me["is_fresh"].clone(), me["session"]["assurance"].clone())
    };
    assert_eq!(stands().await, (json!(true), json!("aal1")));
    let secret = ann.enrol(&app).await["secret"].clone();
    ann.post("/auth/confirm", json!({ "password": NEXT })).await.expect(200);
    assert_eq!(stands().await, (json!(false), json!("aal1")), "that is one factor still");
    app.advance(30);
    ann.post("/auth/confirm", json!({ "method": "totp" })).await.expect(200);
    ann.post("/auth/confirm", json!({ "code": totp_now(&app, &secret) })).await.expect(200);
    assert_eq!(stands().await, (json!(true), json!("aal2")));
}

/// Where a sign-in proves nothing, too, nobody takes the last way to be found from their account.
#[tokio::test]
async fn the_last_way_to_be_found_stays() {
    let app = TestApp::with("[accounts]\nsecond_factor = \"when_enrolled\"").await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    ann.login().await.expect(200);
    let added = ann.post("/auth/identifiers", json!({ "identifier": "ann@elsewhere.example" })).await.expect(201);
    let all = ann.get("/auth/identifiers").await.expect(200);
    let remove = async |value: &str| {
        let one = all["data"].as_array().expect("a list").iter().find(|one| one["value"] == value).expect("hers");
        ann.act("DELETE", &format!("/auth/identifiers/{}", one["id"].as_str().expect("an id"))).await
    };
    assert_eq!(remove(&ann.phone).await.status, 204);
    // Nobody is found by what was added, and never proven.
    remove(&ann.email).await.problem(409, "last_identifier");
    assert_eq!(remove(added["value"].as_str().expect("a value")).await.status, 204);
    remove(&ann.email).await.problem(409, "last_identifier");
    ann.login().await.expect(200);
}

/// The page names the field that is taken, and not the other one.
#[tokio::test]
async fn the_field_that_is_taken_is_named() {
    let app = TestApp::new().await;
    Person::browser(&app, 1).arrive().await;
    app.meddle("UPDATE identifier SET proven_at = 1, owned_value = value WHERE kind = 'email'").await;
    let tab = Tab::new(&app, 2);
    tab.get("/register").await;
    let error_of = |body: &str, field: &str| body.contains(&format!("id=\"{field}-error\""));
    let number = number(7);
    for (phone, email, taken, free) in
        [(&*number, "person1@example.org", "email", "phone"), ("+4915110000001", "new@example.org", "phone", "email")]
    {
        let fields = [("fullname", "Eve"), ("phone", phone), ("email", email), ("password", PASSWORD)];
        let answer = tab.submit("/register", &fields).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        assert!(error_of(&answer.body, taken) && !error_of(&answer.body, free), "{taken}: {}", answer.body);
    }
}

/// REC-03: where nobody delivers text messages, a reset's code goes as a sign-in's does: over what there is.
#[tokio::test]
async fn whoever_is_reached_by_one_channel_can_reset() {
    let sender = Upstream::new(|_| Reply::new(204, "")).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let own = format!("url = \"{}/otp\"\nsecret = \"{secret}\"\nallow_private = true\nchannels = [\"whatsapp\"]", sender.url);
    let app = TestApp::with(&format!("[provider.own]\ntype = \"webhook\"\n{own}\n")).await;
    let ann = Person::browser(&app, 1);
    ann.post("/auth/register", json!({ "phone": ann.phone, "password": PASSWORD })).await.expect(201);
    ann.post("/auth/login", json!({ "phone": ann.phone, "password": PASSWORD })).await.expect(200);
    let code = ann.newest_code(&ann.phone).await;
    ann.post("/auth/verify-otp", json!({ "phone": ann.phone, "code": code })).await.expect(200);
    app.advance(60);
    let before = ann.codes(&ann.phone).await.len();
    ann.post("/auth/password/forgot", json!({ "identifier": ann.phone })).await.expect(200);
    let code = ann.code_after(&ann.phone, before).await;
    ann.post("/auth/password/reset", json!({ "code": code, "password": "another way to Tipperary" })).await.expect(200);
}

/// A43: who registered and never came back leaves nothing; who signed in, or was imported, stays, and so do those who still have time.
#[tokio::test]
async fn accounts_that_nobody_proved_are_swept() {
    let app = TestApp::with("[accounts]\nunproven_kept = \"2d\"\nsecond_factor = \"when_enrolled\"").await;
    let (ann, eve) = (Person::browser(&app, 1), Person::browser(&app, 2));
    ann.register().await;
    eve.register().await;
    app.meddle(
        "INSERT INTO account (id, full_name, locale, roles, status, password_changed_at, created_at) VALUES ('x', '', 'en', '', 'active', 0, 0)",
    ).await;
    // Which proves nothing here, and is somebody all the same.
    ann.login().await.expect(200);
    let sweep = async || {
        let accounts = app.app.accounts.as_ref().expect("accounts");
        let now = accounts.clock.now();
        accounts.sweep(now, countersign::clock::Timestamp(0)).await.expect("swept");
        app.count("account")
    };
    app.advance(2 * 24 * 3600 - 1);
    assert_eq!(sweep().await, 3);
    app.advance(1);
    assert_eq!(sweep().await, 2);
    assert!(app.dump("identifier").contains(&ann.phone) && !app.dump("identifier").contains(&eve.phone));
    assert_eq!(eve.login().await.status, 401);
    eve.register().await;
    eve.login().await.expect(200);
}

/// TOTP-03: a second click on one code does not undo the first: of two answers with it one signs in.
#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_signs_in_once() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let secret = ann.enrol(&app).await["secret"].clone();
    for _ in 0..10 {
        app.advance(30);
        let tab = ann.elsewhere();
        tab.login().await.expect(200);
        let code = totp_now(&app, &secret);
        let (one, other) = tokio::join!(tab.verify(&code), tab.verify(&code));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
    }
}

/// ATT-04: messages of a first step are no codes of the second: whoever asked for the code again and again still shows their app's.
#[tokio::test]
async fn messages_of_the_first_step_use_up_nothing_of_the_second() {
    const SETTINGS: &str = "[accounts]\npasswordless = true\n[service.default]\nresend_waits = []\n\
                            limits.destination = [\"100/1h\"]\nlimits.ip_sends = \"100/1h\"";
    let app = TestApp::with(SETTINGS).await;
    let ann = Person::browser(&app, 1).arrive().await;
    let secret = ann.enrol(&app).await["secret"].clone();
    app.advance(60);
    let (other, before) = (ann.elsewhere(), ann.codes(&ann.phone).await.len());
    // Each message raises the revision twice, by being asked for and by what happens behind the answer.
    let behind = async |revision: u32| {
        let revision = format!("Some({revision})");
        eventually("it happened", async || (app.dump("flow").split('|').nth(6) == Some(&*revision)).then_some(())).await;
    };
    other.post("/auth/code", json!({ "identifier": ann.phone })).await.expect(200);
    behind(1).await;
    for again in 1..=5 {
        other.post("/auth/resend-otp", json!({})).await.expect(200);
        behind(2 * again + 1).await;
    }
    let code = other.code_after(&ann.phone, before).await;
    let step = other.post("/auth/verify-otp", json!({ "code": code })).await.expect(200);
    assert_eq!(step["method"], "totp", "{step}");
    assert!(other.post("/auth/verify-otp", json!({ "code": totp_now(&app, &secret) })).await.expect(200)["token"].is_string());
}

/// Notices speak for the service that the people belong to.
#[tokio::test]
async fn notices_carry_the_brand_of_the_peoples_service() {
    let app =
        TestApp::with("[accounts]\nservice = \"shop\"\n[service.default]\nbrand = \"Nobody\"\n[service.shop]\nbrand = \"Acme Shoes\"")
            .await;
    let ann = Person::browser(&app, 1).arrive().await;
    ann.post("/auth/password/change", json!({ "password": "another way to Tipperary" })).await.expect(200);
    let told = async || {
        let all = app.inbox().messages().await;
        all.into_iter().find(|message| message["to"] == *ann.phone && message["code"].is_null())
    };
    let body = eventually("a notice", told).await["body"].clone();
    assert!(body.as_str().is_some_and(|body| body.contains("Acme Shoes") && !body.contains("Nobody")), "{body}");
}

/// What `serve` would refuse `config check` refuses, the looks of the pages among it.
#[test]
fn a_brand_that_nobody_can_read_is_refused_beforehand() {
    for (toml, complaint) in [("accent = \"#ffff00\"", "contrast"), ("logo = \"missing.svg\"", "cannot be read")] {
        let said = Binary::new().file("countersign.toml", &format!("[accounts.brand]\n{toml}")).run(&["config", "check"]);
        assert!(said.code == Some(2) && said.complaints.contains(complaint), "{said:?}");
    }
}

/// A pepper can be given up: what it sealed moves to the next one, what it hashed is made anew by its people, and what is left of
/// both is told.
#[tokio::test]
async fn a_pepper_can_be_retired() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1).arrive().await;
    let totp = ann.enrol(&app).await;
    ann.post("/auth/recovery-codes", json!({})).await.expect(201);
    let keys = app.wire.get("/.well-known/jwks.json", &[]).await.expect(200);
    let app = app
        .restart_with(|config| {
            config.secrets.previous_pepper_file = Some(config.data_dir.join("pepper.key"));
            config.secrets.pepper = Some(Redacted::new("ab".repeat(32)));
        })
        .await;
    let old = app.app.engine.peppers.previous.clone().expect("the pepper before");
    let needs = async |app: &TestApp| sealed::needs(&app.app.database, &old).await.expect("counted");
    let all = [("authenticator apps", 1), ("signing keys", 1), ("passwords", 1), ("recovery codes", 10)];
    assert_eq!(needs(&app).await, all);
    assert_eq!(app.app.seal_anew().await.expect("sealed"), 2);
    assert_eq!(needs(&app).await, all[2..]);

    let sign_in = async |app: &TestApp, ann: &Person| {
        app.advance(60);
        ann.login().await.expect(200);
        ann.verify(&totp_now(app, &totp["secret"])).await.expect(200);
    };
    let ann = Person { wire: Arc::clone(&app.wire), ..ann };
    sign_in(&app, &ann).await;
    ann.post("/auth/recovery-codes", json!({})).await.expect(201);
    assert_eq!(needs(&app).await, []);

    let app = app.restart_with(|config| config.secrets.previous_pepper_file = None).await;
    let ann = Person { wire: Arc::clone(&app.wire), ..ann };
    sign_in(&app, &ann).await;
    assert_eq!(app.wire.get("/.well-known/jwks.json", &[]).await.expect(200), keys);
}
