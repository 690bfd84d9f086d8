//! The login pages as people and programs meet them (R1, R3): forms in, pages out.

use crate::actors::wrong;
use crate::app::TestApp;
use crate::login_pages_attacks::FORMS;
use crate::tab::{PASSWORD, Tab, goes_to, shows};

const CREATED: &str = "Account created successfully! You can now login.";
const INVALID: &str = "Invalid or expired verification code";
const SESSION: &str = "countersign_session";

/// R1's whole walk, with its fields, by a program that keeps cookies and sends the forms that it reads.
#[tokio::test]
async fn register_log_in_verify_profile_log_out() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1);
    goes_to(&ann.get("/profile").await, "/login");
    shows(&ann.register().await, 200, CREATED);
    let again = ann.register().await;
    shows(&again, 422, "There is an account with this already.");
    assert!(again.body.contains("name=\"fullname\"") && again.body.contains("value=\"Ann Lee\"") && !again.body.contains(PASSWORD));
    ann.get("/login").await;
    let refused = ann.submit("/login", &[("phone", &ann.phone), ("password", "another password")]).await;
    shows(&refused, 401, "or the password is wrong");
    assert!(ann.codes(&ann.phone).await.is_empty());
    let code = ann.log_in().await;
    shows(&ann.enter(&wrong(&code, 1)).await, 401, INVALID);
    goes_to(&ann.get("/profile").await, "/login");
    shows(&ann.get("/verify").await, 200, "Enter the code");
    goes_to(&ann.enter(&code).await, "/profile");
    shows(&ann.get("/profile").await, 200, "Ann Lee");
    // The same code once more, from a page that is still open.
    shows(&ann.enter(&code).await, 401, "Please sign in again.");
    // Reading a page ends nothing; the button on it does (WEB-05).
    shows(&ann.get("/logout").await, 200, "Sign out");
    shows(&ann.get("/profile").await, 200, "Ann Lee");
    goes_to(&ann.submit("/logout", &[]).await, "/login");
    goes_to(&ann.get("/profile").await, "/login");
}

/// SES-07: what a browser is given, over TLS and on a developer's machine.
#[tokio::test]
async fn cookies_are_closed() {
    for (toml, prefix, end) in [
        ("", "countersign_", "; HttpOnly; SameSite=Lax"),
        ("[server]\npublic_url = \"https://otp.example\"", "__Host-countersign_", "; HttpOnly; SameSite=Lax; Secure"),
    ] {
        let app = TestApp::with(toml).await;
        let ann = Tab::new(&app, 1).arrive().await;
        ann.get("/profile").await;
        goes_to(&ann.submit("/logout", &[]).await, "/login");
        ann.get("/forgot").await;
        ann.submit("/forgot", &[("identifier", &ann.phone)]).await;
        let set = ann.set.lock().expect("the list").clone();
        assert!(set.len() > 6, "{set:?}");
        for line in set {
            assert!(line.starts_with(prefix) && line.contains("; Path=/;") && line.ends_with(end) && !line.contains("Domain"), "{line}");
            assert!(!line.contains(&ann.phone[1..]) && !line.contains("Ann"), "{line}");
        }
    }
}

/// MFA-04: each change that matters asks once more who somebody is, when the last proof is older than ten minutes.
#[tokio::test]
async fn changes_that_matter_need_a_fresh_proof() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    app.advance(11 * 60);
    let changes = FORMS.iter().filter(|(path, _)| {
        let asks = ["identifiers/add", "identifiers/remove", "totp/start", "passkeys/add", "recovery-codes"];
        asks.iter().any(|end| path.ends_with(end))
    });
    for (path, fields) in changes {
        ann.get("/security").await;
        goes_to(&ann.submit(path, fields).await, "/security/confirm");
    }
    ann.get("/security").await;
    let refused = ann.submit("/security/passkeys/options", &[]).await;
    assert!(refused.status == 403 || refused.status == 404, "{}", refused.body);
    // Another password asks for the old one, however fresh the session is.
    ann.get("/security/password").await;
    let wrong =
        ann.submit("/security/password", &[("current_password", "not mine at all"), ("new_password", "another long password")]).await;
    assert_eq!(wrong.status, 401);
    // A code to the account's number does as well as the password.
    ann.get("/security/confirm").await;
    let before = ann.codes(&ann.phone).await.len();
    shows(&ann.submit("/security/confirm/method", &[("method", "sms")]).await, 200, "Enter the code");
    let code = ann.code_after(before).await;
    goes_to(&ann.submit("/security/confirm/code", &[("code", &code)]).await, "/security");
    ann.get("/security").await;
    goes_to(&ann.submit("/security/totp/start", &[]).await, "/security/totp");
    let page = ann.get("/security/totp").await;
    shows(&page, 200, "<svg");
    let again = ann.submit("/security/totp", &[("code", "000000")]).await;
    assert_eq!(again.status, 401);
    let key = |body: &str| body.split("<code").nth(1).and_then(|rest| rest.split('<').next()).map(str::to_owned);
    assert_eq!(key(&page.body), key(&again.body), "the same secret is shown again");
}

/// A code on paper in place of the second step, once (REC-01).
#[tokio::test]
async fn a_recovery_code_signs_in_once() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    ann.get("/security").await;
    let page = ann.submit("/security/recovery-codes", &[]).await;
    let codes: Vec<_> = page.body.split("<li><code>").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(codes.len(), 10, "{}", page.body);
    // The first time no code can be sent yet, since one was a moment ago, which is no hindrance.
    let earlier = ann.elsewhere();
    earlier.enter(&earlier.log_in().await).await;
    let other = ann.elsewhere();
    other.get("/login").await;
    let unsent = other.submit("/login", &[("phone", &ann.phone), ("password", PASSWORD)]).await;
    shows(&unsent, 429, "You can ask for a new code in 30 s.");
    assert!(!unsent.body.contains("name=\"code\"") && !unsent.body.contains("We sent a code"));
    for status in [303, 401] {
        goes_to(&other.submit("/verify/method", &[("method", "recovery_code")]).await, "/recover");
        shows(&other.get("/recover").await, 200, "Use a recovery code");
        let answer = other.submit("/recover", &[("code", codes[0])]).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(other.is_signed_in().await, status == 303);
        if status == 303 {
            other.get("/logout").await;
            other.submit("/logout", &[]).await;
            app.advance(120);
            other.log_in().await;
        }
    }
}

/// REC-03, SES-05: a code changes a forgotten password, ends every session, and signs nobody in.
#[tokio::test]
async fn a_forgotten_password_is_changed_by_a_code() {
    const NEW: &str = "quite another pass phrase";
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    let other = ann.elsewhere();
    app.advance(120);
    other.get("/forgot").await;
    shows(&other.submit("/forgot", &[("identifier", "nonsense")]).await, 422, "neither a phone number nor");
    shows(&other.submit("/forgot", &[("identifier", &ann.phone)]).await, 200, "Choose a new password");
    let code = ann.code_after(1).await;
    let fields =
        |code: &str, password: &str| [("username", ann.phone.clone()), ("code", code.to_owned()), ("password", password.to_owned())];
    let send = async |code: &str, password: &str| {
        let fields = fields(code, password);
        other.submit("/reset", &fields.each_ref().map(|(name, value)| (*name, value.as_str()))).await
    };
    shows(&send(&code, "short").await, 422, "Use at least 8 characters.");
    let refused = send(&wrong(&code, 1), NEW).await;
    shows(&refused, 401, INVALID);
    assert!(refused.body.contains(&ann.phone) && !refused.body.contains(NEW));
    shows(&send(&code, NEW).await, 200, "Your password is changed.");
    assert!(!ann.is_signed_in().await && !other.is_signed_in().await);
    other.get("/login").await;
    assert_eq!(other.submit("/login", &[("phone", &ann.phone), ("password", PASSWORD)]).await.status, 401);
    app.advance(120);
    assert_eq!(other.submit("/login", &[("phone", &ann.phone), ("password", NEW)]).await.status, 200);
}

/// A new address becomes the account's own by its code, and the last proven one stays (NOT-01, A43).
#[tokio::test]
async fn an_address_is_added_by_its_code() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    ann.get("/security").await;
    shows(&ann.submit("/security/identifiers/add", &[("identifier", "nothing")]).await, 422, "neither a phone number nor");
    shows(&ann.submit("/security/identifiers/add", &[("identifier", "ann@example.org")]).await, 200, "ann@example.org");
    let id = ann.value_of("identifier").expect("an id");
    let code = crate::actors::eventually("a code", async || ann.codes("ann@example.org").await.into_iter().next()).await;
    shows(&ann.submit("/security/identifiers/verify", &[("identifier", &id), ("code", &wrong(&code, 1))]).await, 401, INVALID);
    let early = ann.submit("/security/identifiers/verify/resend", &[("identifier", &id)]).await;
    shows(&early, 429, "Too many tries.");
    assert!(early.header("retry-after").is_some());
    shows(&ann.get("/security").await, 200, "Not confirmed");
    // Of another account, the id says nothing (OPS-07).
    let eve = Tab::new(&app, 2).arrive().await;
    eve.get("/security").await;
    goes_to(&eve.submit("/security/identifiers/verify", &[("identifier", &id), ("code", &code)]).await, "/security");
    ann.get("/security").await;
    goes_to(&ann.submit("/security/identifiers/verify", &[("identifier", &id), ("code", &code)]).await, "/security?done=confirmed");
    let page = ann.get("/security?done=confirmed").await;
    shows(&page, 200, "This is now confirmed.");
    assert!(!page.body.contains("Not confirmed"));
    goes_to(&ann.submit("/security/identifiers/remove", &[("identifier", &id)]).await, "/security?done=saved");
    let page = ann.get("/security").await;
    let last = page.body.split("id=\"identifier-").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned();
    goes_to(&ann.submit("/security/identifiers/remove", &[("identifier", &last)]).await, "/security?done=last-one");
}

/// Another password ends the other sessions and keeps this one, under another token (SES-02, SES-05). Sessions are ended one
/// by one, and by their own account only (SES-06, OPS-07).
#[tokio::test]
async fn sessions_are_ended_from_the_page() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    let elsewhere = async || {
        app.advance(120);
        let other = ann.elsewhere();
        let code = other.log_in().await;
        goes_to(&other.enter(&code).await, "/profile");
        other
    };
    let other = elsewhere().await;
    let page = ann.get("/security").await;
    let id = ann.value_of("session").expect("another session");
    assert_eq!(page.body.matches("id=\"session-").count(), 2);
    let eve = Tab::new(&app, 2).arrive().await;
    eve.get("/security").await;
    eve.submit("/security/sessions/revoke", &[("session", &id)]).await;
    assert!(other.is_signed_in().await);
    ann.get("/security").await;
    goes_to(&ann.submit("/security/sessions/revoke", &[("session", &id)]).await, "/security?done=saved");
    assert!(!other.is_signed_in().await && ann.is_signed_in().await);
    let other = elsewhere().await;
    let before = ann.cookie(SESSION);
    ann.get("/security/password").await;
    let fields = [("current_password", "not mine at all"), ("new_password", "quite another pass phrase")];
    assert_eq!(ann.submit("/security/password", &fields).await.status, 401, "however fresh the session is");
    let short = ann.submit("/security/password", &[("current_password", PASSWORD), ("new_password", "short")]).await;
    shows(&short, 422, "Use at least 8 characters.");
    let fields = [("current_password", PASSWORD), ("new_password", "quite another pass phrase")];
    goes_to(&ann.submit("/security/password", &fields).await, "/security?done=saved");
    assert!(!other.is_signed_in().await && ann.is_signed_in().await && ann.cookie(SESSION) != before);
}

/// R1: an old code is a wrong one, and so is one that another has replaced.
#[tokio::test]
async fn an_old_code_is_a_wrong_one() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1);
    ann.register().await;
    let first = ann.log_in().await;
    app.advance(5 * 60 + 1);
    shows(&ann.enter(&first).await, 401, INVALID);
    shows(&ann.submit("/verify/resend", &[]).await, 200, "We sent you a new code.");
    let second = ann.code_after(1).await;
    app.advance(60);
    shows(&ann.submit("/verify/resend", &[]).await, 200, "We sent you a new code.");
    let third = ann.code_after(2).await;
    shows(&ann.enter(&second).await, 401, INVALID);
    goes_to(&ann.enter(&third).await, "/profile");
}

/// A browser is sent to the page that follows, so that going back or reading it again sends no form twice; and a sign-in that
/// was given up for too long begins again.
#[tokio::test]
async fn browsers_are_sent_to_the_next_page() {
    let app = TestApp::new().await;
    let mut ann = Tab::new(&app, 1);
    ann.headers.extend([("sec-fetch-mode", "navigate".to_owned()), ("sec-fetch-site", "same-origin".to_owned())]);
    goes_to(&ann.register().await, "/login?done=registered");
    shows(&ann.get("/login?done=registered").await, 200, CREATED);
    goes_to(&ann.submit("/login", &[("phone", &ann.phone), ("password", PASSWORD)]).await, "/verify");
    shows(&ann.get("/verify").await, 200, "Enter the code");
    let code = ann.code_after(0).await;
    app.advance(16 * 60);
    shows(&ann.enter(&code).await, 401, "Please sign in again.");
    goes_to(&ann.get("/verify").await, "/login");
}

/// Limits are told to people and to programs, and a resend waits for its time.
#[tokio::test]
async fn limits_say_how_long_to_wait() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1);
    ann.register().await;
    ann.log_in().await;
    let early = ann.submit("/verify/resend", &[]).await;
    shows(&early, 429, "Try again in 30 s");
    assert_eq!(early.header("retry-after"), Some("30"));
    app.advance(31);
    shows(&ann.submit("/verify/resend", &[("phone", &ann.phone)]).await, 200, "We sent you a new code.");
    let second = ann.code_after(1).await;
    goes_to(&ann.enter(&second).await, "/profile");
    let eve = ann.elsewhere();
    eve.get("/login").await;
    let mut last = 0;
    for _ in 0..8 {
        let answer = eve.submit("/login", &[("phone", &ann.phone), ("password", "a wrong password")]).await;
        last = answer.status;
        assert_eq!(answer.header("retry-after").is_some(), last == 429);
    }
    assert_eq!(last, 429);
}

/// Pages speak the language that a browser asks for, and of somebody who is signed in their own.
#[tokio::test]
async fn pages_speak_the_language_of_their_reader() {
    let app = TestApp::new().await;
    let mut ann = Tab::new(&app, 1);
    ann.headers.push(("accept-language", "de-AT,de;q=0.9,en;q=0.5".into()));
    shows(&ann.get("/login").await, 200, "<html lang=\"de\" dir=\"ltr\">");
    let ann = ann.arrive().await;
    let cookie = ann.cookie(SESSION).expect("a session");
    let mut other = ann.elsewhere();
    other.headers.retain(|(name, _)| *name != "accept-language");
    other.set_cookie(SESSION, &cookie);
    shows(&other.get("/profile").await, 200, "<html lang=\"de\"");
    shows(&other.get("/login").await, 200, "<html lang=\"en\"");
    other.headers.push(("accept-language", "he".into()));
    shows(&other.get("/login").await, 200, "dir=\"rtl\"");
}

/// Pages can be switched off, and so can registration.
#[tokio::test]
async fn what_is_off_is_not_there() {
    let app = TestApp::with("[accounts]\npages = false").await;
    let somebody = Tab::new(&app, 1);
    assert_eq!(somebody.get("/login").await.status, 404);
    assert!(!somebody.get("/").await.body.contains("/register"));
    let app = TestApp::with("[accounts]\nregistration = false").await;
    let somebody = Tab::new(&app, 1);
    assert_eq!(somebody.get("/register").await.status, 404);
    let page = somebody.get("/login").await;
    assert!(page.status == 200 && !page.body.contains("/register"));
    assert_eq!(somebody.submit("/login/code", &[("phone", &somebody.phone)]).await.status, 404);
    assert!(somebody.get("/").await.body.contains("/login"));
}
