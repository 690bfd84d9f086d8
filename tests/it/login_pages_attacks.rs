//! What is tried at the login pages: forms of others, steps that are skipped, tokens that are planted, and people who look who is there.

use crate::app::TestApp;
use crate::tab::{PASSWORD, Tab, encoded, goes_to, shows};

const INVALID: &str = "Invalid or expired verification code";
const SESSION: &str = "countersign_session";
const BROWSER: &str = "countersign_browser";

/// Every form that changes something, by its path and the fields that it needs.
pub const FORMS: [(&str, &[(&str, &str)]); 27] = [
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

/// Whoever left the page open for too long sees the form again that they sent, and it works.
#[tokio::test]
async fn an_expired_form_is_shown_again() {
    let app = TestApp::new().await;
    let ann = Tab::new(&app, 1).arrive().await;
    for (path, form) in
        [("/register", "/register"), ("/forgot", "/forgot"), ("/reset/resend", "/forgot"), ("/login", "/login"), ("/verify", "/login")]
    {
        let (_, fields) = FORMS.into_iter().find(|(known, _)| *known == path).expect("a form");
        let sent = format!("csrf={}&{}", "x".repeat(43), encoded(fields));
        let answer = ann.send("POST", path, &[("content-type", "application/x-www-form-urlencoded")], sent).await;
        shows(&answer, 403, &format!("action=\"{form}\""));
        assert!(answer.body.contains("open for too long") && !answer.body.contains("+49151"), "{path}: {}", answer.body);
    }
    app.advance(120);
    ann.post("/forgot", &[("csrf", "of long ago"), ("identifier", &ann.phone)]).await;
    let sent = ann.submit("/forgot", &[("identifier", &ann.phone)]).await;
    assert_eq!(sent.status, 200, "{}", sent.body);
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
