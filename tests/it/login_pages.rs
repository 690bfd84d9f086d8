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

/// What is odd about a request, its headers, and its body.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], String);

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
        let cases: [Case<'_>; 10] = [
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

/// A25, MFA-03: no page of a later step opens before the earlier ones are passed, whatever path is tried.
#[tokio::test]
async fn no_step_can_be_skipped() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    let eve = ann.elsewhere();
    eve.get("/login").await;
    for path in ["/verify", "/recover"] {
        goes_to(&eve.get(path).await, "/login");
    }
    goes_to(&eve.get("/reset").await, "/forgot");
    for (path, fields) in FORMS.iter().filter(|(path, _)| path.starts_with("/verify") || path.starts_with("/recover")) {
        let answer = eve.submit(path, fields).await;
        assert!(answer.status == 401 || answer.header("location") == Some("/recover"), "{path}: {}", answer.body);
    }
    eve.get("/login").await;
    goes_to(&eve.submit("/reset", &[("code", "123456"), ("password", "another long password")]).await, "/forgot");
    // Half way through, and in every other way out of there.
    app.advance(120);
    eve.log_in().await;
    for path in ["/verify/method", "/verify/resend", "/login/code"] {
        goes_to(&eve.get(path).await, if path.starts_with("/verify") { "/verify" } else { "/login" });
    }
    let session_needed = ["/profile", "/logout", "/security", "/security/password", "/security/confirm", "/security/totp"];
    for path in session_needed {
        goes_to(&eve.get(path).await, "/login");
    }
    shows(&eve.get("/verify").await, 200, "Enter the code");
    for (path, fields) in FORMS.iter().filter(|(path, _)| path.starts_with("/security")) {
        goes_to(&eve.submit(path, fields).await, "/login");
    }
    // A sign-in under way is no reset under way, nor the other way round.
    goes_to(&eve.submit("/reset", &[("code", "123456"), ("password", "another long password")]).await, "/forgot");
    let other = ann.elsewhere();
    other.get("/forgot").await;
    shows(&other.submit("/forgot", &[("identifier", &ann.phone)]).await, 200, "Choose a new password");
    let code = ann.code_after(2).await;
    other.get("/login").await;
    shows(&other.enter(&code).await, 401, "Please sign in again.");
    assert!(!eve.is_signed_in().await && !other.is_signed_in().await);
}

/// A30, TOK-06: where a browser is sent is never taken from a request.
#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    const ELSEWHERE: [&str; 56] = [
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "https://evil.example",
        "http://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "http:evil.example",
        "HtTpS://evil.example",
        "ftp://evil.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://evil.example/x",
        "mailto:a@evil.example",
        "//evil.example/%2f..",
        "/%2f%2fevil.example",
        "/%5cevil.example",
        "%2f%2fevil.example",
        "%5c%5cevil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r/evil.example",
        "\t//evil.example",
        " //evil.example",
        "\u{0}//evil.example",
        "//evil.example\u{0}",
        "/profile\r\nLocation: https://evil.example",
        "/profile%0d%0aX: y",
        "//user@evil.example",
        "https://otp.example@evil.example",
        "https://otp.example.evil.example",
        "https://evil.example#otp.example",
        "https://evil.example?otp.example",
        "https://evil.example/otp.example",
        "//evil%E3%80%82example",
        "//evil。example",
        "//①⑦②.16.0.1",
        "//[::1]",
        "//0x7f000001",
        "//2130706433",
        "?then=//evil.example",
        "#//evil.example",
        "..//evil.example",
        "/../evil.example",
        "/.//evil.example",
        ".evil.example",
        "@evil.example",
    ];
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    let own = ["/login", "/profile", "/verify", "/security", "/security/confirm", "/forgot"];
    let good = |answer: &crate::wire::Answer, what: &str| {
        assert!(answer.status < 500, "{what}: {}", answer.body);
        assert!(answer.header("location").is_none_or(|to| own.contains(&to)), "{what}: {:?}", answer.header("location"));
        assert!(!answer.headers.contains_key("refresh") && !answer.body.contains("href=\"//") && !answer.body.contains("evil"), "{what}");
    };
    for payload in ELSEWHERE {
        let query = |name: &str| encoded(&[(name, payload)]);
        for path in ["/login", "/register", "/logout", "/profile", "/security", "/security/confirm", "/verify"] {
            for name in ["then", "next", "done", "return_to", "redirect_uri", "url"] {
                good(&ann.get(&format!("{path}?{}", query(name))).await, &format!("{path} {name} {payload:?}"));
            }
        }
        ann.get("/security/confirm").await;
        for name in ["then", "next"] {
            let answer = ann.submit("/security/confirm", &[("password", PASSWORD), (name, payload)]).await;
            assert_eq!(answer.status, 400, "{payload:?}: {}", answer.body);
            good(&answer, payload);
            ann.get("/security/confirm").await;
        }
    }
    // The names that there are lead where they say.
    for (then, path) in [("security", "/security"), ("password", "/security/password")] {
        ann.get(&format!("/security/confirm?then={then}")).await;
        assert_eq!(ann.value_of("then").as_deref(), Some(then));
        goes_to(&ann.submit("/security/confirm", &[("password", PASSWORD), ("then", then)]).await, path);
    }
    // Nor from the name under which somebody reached us.
    let headers = [("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example"), ("x-original-url", "//evil.example")];
    goes_to(&ann.elsewhere().send("GET", "/profile", &headers, String::new()).await, "/login");
}

/// A33, SES-02: a sign-in and a confirmation give the session a new token, the old one is dead, and none is taken from outside.
#[tokio::test]
async fn sessions_get_new_tokens() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1);
    ann.register().await;
    let planted = "A".repeat(43);
    ann.set_cookie(SESSION, &planted);
    let code = ann.log_in().await;
    assert!(!ann.is_signed_in().await);
    ann.get("/verify").await;
    goes_to(&ann.enter(&code).await, "/profile");
    let first = ann.cookie(SESSION).expect("a session");
    assert_ne!(first, planted);
    // A flow's or a browser's token is no session's (A28).
    let thief = ann.elsewhere();
    for stolen in [planted, ann.cookie(BROWSER).expect("a name"), String::new(), "x".repeat(4000)] {
        thief.set_cookie(SESSION, &stolen);
        assert!(!thief.is_signed_in().await);
    }
    // Confirmed: the same session under another token.
    ann.get("/security/confirm").await;
    goes_to(&ann.submit("/security/confirm", &[("password", PASSWORD)]).await, "/security");
    let second = ann.cookie(SESSION).expect("a session");
    thief.set_cookie(SESSION, &first);
    assert!(first != second && !thief.is_signed_in().await && ann.is_signed_in().await);
    // Signed in once more in the same browser: the session before is over.
    app.advance(120);
    let code = ann.log_in().await;
    goes_to(&ann.enter(&code).await, "/profile");
    thief.set_cookie(SESSION, &second);
    assert!(!thief.is_signed_in().await && ann.is_signed_in().await);
    let last = ann.cookie(SESSION).expect("a session");
    ann.get("/logout").await;
    ann.submit("/logout", &[]).await;
    thief.set_cookie(SESSION, &last);
    assert!(!thief.is_signed_in().await && ann.cookie(SESSION).is_none());
}

/// A34, WEB-02: a code counts in the browser that gave the password, and whose form it stands in decides nothing.
#[tokio::test]
async fn a_code_counts_in_one_browser() {
    let app = TestApp::new().await;
    let (ann, eve) = (Tab::new(&app, 1), Tab::new(&app, 2));
    ann.register().await;
    eve.register().await;
    let code = ann.log_in().await;
    eve.log_in().await;
    let mixed = eve.submit("/verify", &[("code", &code), ("phone", &ann.phone)]).await;
    shows(&mixed, 401, INVALID);
    let thief = ann.elsewhere();
    thief.get("/login").await;
    shows(&thief.submit("/verify", &[("code", &code), ("phone", &ann.phone)]).await, 401, "Please sign in again.");
    assert!(!eve.is_signed_in().await && !thief.is_signed_in().await);
    goes_to(&ann.enter(&code).await, "/profile");
}

/// A35: what only reads, such as a mail scanner or a browser that looks ahead, changes nothing and uses nothing up.
#[tokio::test]
async fn reading_is_harmless() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1);
    ann.register().await;
    let code = ann.log_in().await;
    let before = app.inbox().messages().await.len();
    for _ in 0..3 {
        for (path, fields) in FORMS {
            for path in [path.to_owned(), format!("{path}?{}", encoded(fields))] {
                for method in ["GET", "HEAD"] {
                    let status = ann.send(method, &path, &[], String::new()).await.status;
                    assert!([200, 303, 400, 405].contains(&status), "{method} {path}: {status}");
                }
            }
        }
        ann.get(&format!("/verify?code={code}")).await;
    }
    assert!(!ann.is_signed_in().await);
    assert_eq!(app.inbox().messages().await.len(), before);
    ann.get("/verify").await;
    goes_to(&ann.enter(&code).await, "/profile");
    for (path, _) in FORMS {
        ann.get(path).await;
    }
    assert!(ann.is_signed_in().await);
    for method in ["PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
        assert_eq!(ann.send(method, "/logout", &[], String::new()).await.status, 405, "{method}");
    }
}

/// ENM-01: a page tells nobody who has an account: status, headers, cookies and body are the same.
#[tokio::test]
async fn known_and_unknown_people_get_the_same_pages() {
    let app = TestApp::with("[accounts]\npasswordless = true\nreveal_taken = false").await;
    let ann = Tab::new(&app, 1).arrive().await;
    let nobody = Tab::new(&app, 7);
    let seen = async |who: &Tab, form: &str, path: &str, more: &[(&str, &str)], field: &str| {
        let tab = who.elsewhere();
        tab.get(form).await;
        let token = tab.token().expect("a token");
        let fields: Vec<_> = std::iter::once((field, who.phone.as_str())).chain(more.iter().copied()).collect();
        let mut pages = Vec::new();
        for answer in [tab.submit(path, &fields).await, tab.get("/verify").await, tab.submit("/verify/resend", &[]).await] {
            let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            let end = &who.phone[who.phone.len() - 2..];
            let body = answer.body.replace(&token, "TOKEN").replace(&who.phone, "NUMBER").replace(&format!("*{end}"), "*END");
            let cookies: Vec<_> = tab.set.lock().expect("the list").iter().map(|line| line.split('=').next().map(str::to_owned)).collect();
            pages.push((answer.status, names, cookies, body));
        }
        pages
    };
    let registration: &[(&str, &str)] = &[("fullname", "Eve"), ("password", "some other pass phrase")];
    for (form, path, more, field) in [
        ("/login", "/login", &[("password", "some other pass phrase")][..], "phone"),
        ("/login", "/login/code", &[][..], "phone"),
        ("/forgot", "/forgot", &[][..], "identifier"),
        ("/register", "/register", registration, "phone"),
    ] {
        let known = seen(&ann, form, path, more, field).await;
        assert_eq!(known, seen(&nobody, form, path, more, field).await, "{path}");
    }
}

/// WEB-03, SES-08: every page, and every refusal, says what browsers may do with it, and nobody keeps it.
#[tokio::test]
async fn pages_say_what_browsers_may_do() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    ann.get("/login").await;
    let mut answers = vec![ann.submit("/login", &[("phone", &ann.phone), ("password", "x")]).await, ann.post("/login", &[]).await];
    for path in ["/login", "/register", "/forgot", "/profile", "/logout", "/security", "/security/password", "/security/confirm", "/verify"]
    {
        answers.push(ann.get(path).await);
    }
    for answer in answers {
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert!(header("strict-transport-security").contains("max-age=63072000"));
        for rule in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "script-src 'self'",
        ] {
            assert!(header("content-security-policy").contains(rule), "{rule}");
        }
        assert!(!answer.body.contains(" style=\"") && !answer.body.contains("<script>"));
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
