//! The login pages as people and programs meet them (R1, R3): forms in, pages out.

use crate::actors::wrong;
use crate::app::TestApp;
use crate::tab::{PASSWORD, Tab, encoded, goes_to, shows};

const CREATED: &str = "Account created successfully! You can now login.";
const INVALID: &str = "Invalid or expired verification code";
const SESSION: &str = "countersign_session";
const BROWSER: &str = "countersign_browser";

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

/// Every form that changes something, by its path and the fields that it needs.
const FORMS: [(&str, &[(&str, &str)]); 27] = [
    ("/register", &[("fullname", "Eve"), ("phone", "+4915119999999"), ("password", PASSWORD)]),
    ("/login", &[("phone", "+4915110000001"), ("password", PASSWORD)]),
    ("/login/code", &[("phone", "+4915110000001")]),
    ("/login/passkey", &[("passkey", "{}")]),
    ("/login/passkey/options", &[]),
    ("/verify", &[("code", "123456")]),
    ("/verify/resend", &[]),
    ("/verify/method", &[("method", "sms")]),
    ("/recover", &[("code", "ABCD")]),
    ("/forgot", &[("identifier", "+4915110000001")]),
    ("/reset", &[("code", "123456"), ("password", "another long password")]),
    ("/reset/resend", &[("identifier", "+4915110000001")]),
    ("/logout", &[]),
    ("/security/sessions/revoke", &[("session", "00000000-0000-0000-0000-000000000000")]),
    ("/security/sessions/revoke-others", &[]),
    ("/security/identifiers/add", &[("identifier", "+4915119999998")]),
    ("/security/identifiers/send", &[("identifier", "00000000-0000-0000-0000-000000000000")]),
    ("/security/identifiers/remove", &[("identifier", "00000000-0000-0000-0000-000000000000")]),
    ("/security/identifiers/verify", &[("identifier", "00000000-0000-0000-0000-000000000000"), ("code", "1")]),
    ("/security/totp/start", &[]),
    ("/security/totp/remove", &[]),
    ("/security/passkeys/add", &[("passkey", "{}")]),
    ("/security/passkeys/options", &[]),
    ("/security/recovery-codes", &[]),
    ("/security/password", &[("current_password", PASSWORD), ("new_password", "another long password")]),
    ("/security/confirm", &[("password", PASSWORD)]),
    ("/security/confirm/method", &[("method", "sms")]),
];

/// WEB-01: a form is sent by a page of ours, and proves it; everything else is refused and does nothing. Fails closed.
#[tokio::test]
async fn forms_of_others_are_refused() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    let stranger = Tab::new(&app, 2);
    stranger.get("/login").await;
    let (foreign, wrong) = (stranger.token().expect("a token"), "x".repeat(43));
    ann.get("/security").await;
    let own = ann.token().expect("a token");
    assert_ne!(own, foreign);
    let host = app.address.to_string();
    let similar = format!("http://{host}.evil.example");
    let before = app.inbox().messages().await.len();
    let form = "application/x-www-form-urlencoded";
    for (path, fields) in FORMS {
        let bare = encoded(fields);
        let with = |token: &str| format!("csrf={token}&{bare}");
        let cases: [(&str, &[(&str, &str)], String); 10] = [
            ("no token, and nothing said", &[("content-type", form)], bare.clone()),
            ("a wrong token", &[("content-type", form)], with(&wrong)),
            ("an empty token", &[("content-type", form)], with("")),
            ("another browser's token", &[("content-type", form), ("sec-fetch-site", "same-origin")], with(&foreign)),
            ("another site", &[("content-type", form), ("origin", "https://evil.example")], with(&own)),
            ("another site, as browsers say it", &[("content-type", form), ("sec-fetch-site", "cross-site")], with(&own)),
            ("a neighbour", &[("content-type", form), ("sec-fetch-site", "same-site")], with(&own)),
            ("no origin at all", &[("content-type", form), ("origin", "null")], with(&own)),
            ("a similar origin", &[("content-type", form), ("origin", &similar)], bare.clone()),
            ("JSON as plain text", &[("content-type", "text/plain"), ("sec-fetch-site", "cross-site")], "{}".into()),
        ];
        for (what, headers, body) in cases {
            let answer = ann.send("POST", path, headers, body).await;
            assert_eq!(answer.status, 403, "{path}: {what}: {}", answer.body);
        }
        // The same, of our own, is not refused for where it comes from.
        if path == "/logout" {
            let answer = ann.send("POST", path, &[("content-type", "text/plain")], with(&own)).await;
            assert_eq!(answer.status, 415);
        }
    }
    assert_eq!(app.messages_in_the_end().await, before, "nothing was sent");
    assert!(ann.is_signed_in().await, "nobody was signed out");
    // A browser that says that the form is our own needs no token: a team's own form on our origin.
    let own_origin = format!("http://{host}");
    let says: [&[(&str, &str)]; 2] =
        [&[("content-type", form), ("sec-fetch-site", "same-origin")], &[("content-type", form), ("origin", &own_origin)]];
    for headers in says {
        let eve = Tab::new(&app, 3);
        let answer = eve.send("POST", "/login", headers, encoded(&[("phone", &eve.phone), ("password", PASSWORD)])).await;
        assert_eq!(answer.status, 401, "{}", answer.body);
    }
}
