//! "I did not ask for this": the page behind a mail's link (OTP-12).

use countersign::delivery::not_me::CancelLinks;
use countersign::secret::{Pepper, Peppers};
use countersign::verification::model::Channel;
use serde_json::{Value, json};

use crate::actors::id;
use crate::app::{NOWHERE, TestApp};
use crate::sample::{self, CODE, policy};
use crate::wire::Answer;

const PUBLIC: &str = "https://otp.example";

struct Mail {
    app: TestApp,
    verification: Value,
    code: String,
    /// The path of its link.
    link: String,
}

/// A mail in that language, and its link.
async fn mail(locale: &str) -> Mail {
    let app = TestApp::with(&format!("[server]\npublic_url = \"{PUBLIC}\"\n[service.default]\nbrand = \"Bits & Bytes\"")).await;
    let verification = app.client().started(json!({ "to": "ann@example.com", "locale": locale })).await;
    app.client().sent(&verification).await;
    let message = app.inbox().message(&verification, 1).await;
    let link = message["body"].as_str().expect("a body").lines().find_map(|line| line.strip_prefix(PUBLIC)).expect("a link").to_owned();
    Mail { app, verification, code: message["code"].as_str().expect("a code").to_owned(), link }
}

impl Mail {
    async fn get(&self, method: &str) -> Answer {
        self.app.wire.send(method, &self.link, &[], "").await
    }

    async fn post(&self) -> Answer {
        self.app.wire.send("POST", &self.link, &[("content-type", "application/x-www-form-urlencoded")], "").await
    }
}

/// The headers that a caller sees, less what differs with every answer.
fn headers(answer: &Answer) -> Vec<(String, String)> {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date", "content-length"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .collect();
    headers.sort();
    headers
}

/// HEAD and ten times GET do nothing; POST calls it off once; the second finds nothing to do.
#[tokio::test]
async fn reading_does_nothing_and_the_button_calls_it_off() {
    let mail = mail("en").await;
    assert_eq!(mail.get("HEAD").await.status, 200);
    for _ in 0..10 {
        let page = mail.get("GET").await;
        assert!(
            page.status == 200 && page.body.contains("<h1>Cancel this code?</h1>") && page.body.contains("<form method=\"post\">"),
            "{}",
            page.body
        );
        assert!(page.header("set-cookie").is_none());
        assert!(
            page.body.contains("<bdi>Bits &#38; Bytes</bdi>") && !page.body.contains("ann@") && !page.body.contains(&mail.code),
            "{}",
            page.body
        );
    }
    let client = mail.app.client();
    assert_eq!(client.events(&mail.verification).await, ["verification.started", "verification.sent"]);

    let done = mail.post().await;
    assert!(done.status == 200 && done.body.contains("<h1>The code no longer works</h1>") && !done.body.contains("<form"), "{}", done.body);
    let found = client.get(&mail.verification).await.expect(200);
    assert_eq!(found["status"], "canceled");
    let event = found["timeline"].as_array().and_then(|events| events.last()).expect("an event").clone();
    assert_eq!((&event["event"], &event["detail"]), (&"verification.canceled".into(), &"by the link in the message: not asked for".into()));
    assert_eq!(client.check(&mail.verification, &mail.code).await.expect(200)["valid"], false, "its code is worth nothing now");

    for again in [mail.post().await, mail.get("GET").await] {
        assert!(again.status == 200 && again.body.contains("<h1>There is nothing to cancel</h1>"), "{}", again.body);
    }
    assert_eq!(client.events(&mail.verification).await.len(), found["timeline"].as_array().expect("events").len());
}

/// Approved, expired, unknown and made up: one page, whoever asks and however.
#[tokio::test]
async fn what_is_over_and_what_never_was_look_alike() {
    let used = mail("en").await;
    assert_eq!(used.app.client().check(&used.verification, &used.code).await.expect(200)["valid"], true);
    let over = used.get("GET").await;
    assert_eq!(used.app.client().get(&used.verification).await.expect(200)["status"], "approved");
    let expired = mail("en").await;
    expired.app.advance(601);
    let other = mail("en").await;
    let mut answers = vec![used.post().await, expired.get("GET").await, expired.post().await];
    // The link of a verification that another server has made, and things that are no link.
    for token in
        [other.link.as_str(), "/not-me/AAAA", "/not-me/%ff", &format!("/not-me/{}", id(&used.verification)), &used.link.to_lowercase()]
    {
        answers.push(used.app.wire.get(token, &[]).await);
        answers.push(used.app.wire.send("POST", token, &[], "").await);
    }
    for answer in answers {
        assert_eq!((answer.status, &answer.body), (over.status, &over.body));
        assert_eq!(headers(&answer), headers(&over));
    }
    assert!(over.status == 200 && over.body.contains("There is nothing to cancel"));
    assert_eq!(used.app.client().get(&used.verification).await.expect(200)["status"], "approved", "and stays so");
}

/// Words of the operator's own have the link where they say so: in the text, in the page made of it, and in a page of theirs.
#[tokio::test]
async fn own_words_have_the_link_too() {
    let words = "[service.default.templates.email.en]\nsubject = \"Code\"\ntext = \"Code: {{ code }}\\n\\nNot you? {{ link }}\"\n\
                 [service.default.templates.email.de]\nsubject = \"Code\"\ntext = \"{{ code }}\"\nhtml = '<b>{{ code }}</b><a href=\"{{ link }}\">?</a>'";
    let links = CancelLinks::new(peppers(), PUBLIC.into());
    let (policy, renderer) = policy(words, "default");
    let service = (policy, renderer.with_links(Some(links.clone())));
    let link = links.link("default", sample::message(Channel::Email, "ann@example.com", "en", &service).envelope.verification);
    let english = sample::message(Channel::Email, "ann@example.com", "en", &service);
    let html = english.mail.expect("a mail").html;
    assert_eq!(english.body, format!("Code: {CODE}\n\nNot you? {link}"));
    assert!(
        html.contains(&format!("<a href=\"{link}\" style=\"color: inherit;\">{link}</a>")) && html.contains(&format!(">{CODE}</strong>")),
        "{html}"
    );
    let german = sample::message(Channel::Email, "ann@example.com", "de", &service).mail.expect("a mail").html;
    assert_eq!(german.replace("&#x2f;", "/"), format!("<b>{CODE}</b><a href=\"{link}\">?</a>"));
}

fn peppers() -> Peppers {
    Peppers { current: Pepper::new(&[7; 32]).expect("a pepper"), previous: None }
}

/// In the mail's language and direction; an answer to each method, and none without a public URL.
#[tokio::test]
async fn the_page_speaks_the_mails_language() {
    let arabic = mail("ar-EG").await;
    let page = arabic.get("GET").await;
    assert!(page.body.contains("<html lang=\"ar\" dir=\"rtl\">") && page.body.contains("إلغاء هذا الرمز؟"), "{}", page.body);
    assert_eq!(arabic.get("PUT").await.status, 405);
    let plain = TestApp::with(&format!("[server]\npublic_url = \"{NOWHERE}\"")).await;
    assert_eq!(plain.wire.get(&arabic.link, &[]).await.status, 404);
}
