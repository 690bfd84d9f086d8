//! What people are told of their accounts (NOT-01): to every address, in few words, and never in the way of anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::account::notice::{Advice, Notice};
use countersign::delivery::gsm::{Encoding, segments};
use countersign::delivery::provider::Fault;
use countersign::delivery::providers::telegram;
use countersign::dev_provider::fault::Fail;
use countersign::verification::Destination;
use countersign::verification::model::Channel;
use serde_json::{Value, json};

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::delivery::{QUICK, app_with, breaker};
use crate::sample::{notice, policy, provider};
use crate::stand_in::StandIn;

const PHONE: &str = "+4915112345678";
const MAIL: &str = "ann@example.com";
const GSM7: [&str; 10] = ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "id"];
const UCS2: [&str; 10] = ["ru", "uk", "ar", "he", "hi", "vi", "th", "zh", "ja", "ko"];

/// NOT-01, and OTP-10's rule for codes: in each language one segment holds each notice, with brand, event and advice.
#[test]
fn every_notice_is_one_segment() {
    let service = policy("", "default");
    let languages = GSM7.map(|locale| (locale, Encoding::Gsm7)).into_iter().chain(UCS2.map(|locale| (locale, Encoding::Ucs2)));
    let mut texts = std::collections::HashSet::new();
    for (locale, encoding) in languages {
        for sample in Notice::samples() {
            let message = notice(Channel::Sms, PHONE, locale, &sample, None, &service);
            assert_eq!(segments(&message.body), (encoding, 1), "{locale}: {}", message.body);
            assert!(message.body.contains("Countersign") && message.body.trim() == message.body, "{locale}: {:?}", message.body);
            assert!(message.code.is_none() && message.mail.is_none());
            // A number in it would look like a code, and a link like a trap.
            assert!(!message.body.contains(|letter: char| letter.is_ascii_digit()) && !message.body.contains("http"), "{}", message.body);
            texts.insert(message.body);
        }
    }
    assert_eq!(texts.len(), 20 * Notice::samples().len(), "every language has words of its own for each");
}

/// OTP-11, LOG-02: a mail names when and what to, masked; its only link is the configured one, where it is of use.
#[test]
fn a_mail_says_when_and_what_and_where_to_go() {
    const FORGOT: &str = "https://otp.example/forgot";
    let service = policy("[service.default]\nbrand = \"Bits & <Bytes>\"", "default");
    for (locale, direction) in [("en", "ltr"), ("he-IL", "rtl"), ("th", "ltr")] {
        for sample in Notice::samples() {
            let message = notice(Channel::Email, MAIL, locale, &sample, Some(FORGOT), &service);
            let mail = message.mail.expect("a mail");
            assert!(mail.subject.contains("Bits & <Bytes>") && !mail.subject.contains('\n'), "{}", mail.subject);
            assert!(mail.html.contains(&format!("dir=\"{direction}\"")) && mail.html.contains("<bdi>Bits &amp; &lt;Bytes&gt;</bdi>"));
            for text in [&message.body, &mail.html] {
                assert!(text.contains("2026-01-01 00:00 UTC") && !text.contains("ann@") && !text.contains("{{"), "{text}");
                assert_eq!(text.contains(FORGOT), sample.advice() == Advice::Secure, "{text}");
            }
        }
    }
    let [address, factor, browser] = [2, 5, 8].map(|index| Notice::samples()[index].clone());
    for (sample, word) in [(address, "a***@example.com"), (factor, "Authenticator app"), (browser, "192.0.2.7")] {
        let message = notice(Channel::Email, MAIL, "en", &sample, None, &service);
        assert!(message.body.lines().any(|line| line == word), "{}", message.body);
        assert!(!message.body.contains("http") && !message.mail.expect("a mail").html.contains("href"), "no link where there is no place");
    }
}

fn to(text: &str) -> Destination {
    Destination::parse(text, None).expect("a destination")
}

fn tell(app: &TestApp, text: &str, notice: Notice) {
    app.app.notifier.notify(to(text), "en".into(), notice);
}

/// NOT-01: all addresses hear of it, and dev mode shows each message, without a code.
#[tokio::test]
async fn every_address_is_told_and_the_inbox_shows_it() {
    let app = TestApp::new().await;
    app.app.notifier.notify_all(&[to(&number(1)), to(MAIL)], &Arc::from("de"), &Notice::IdentifierRemoved(to(&number(1))));
    let sent = async || {
        let messages = app.inbox().messages().await;
        (messages.len() == 2 && messages.iter().all(|message| message["delivery"] == "sent")).then_some(messages)
    };
    let messages = eventually("two notices are sent", sent).await;
    let by = |channel: &str| messages.iter().find(|message| message["channel"] == channel).expect("one for each");
    let (text, mail) = (by("sms"), by("email"));
    assert_eq!((&text["to"], &text["code"], &text["verification"]), (&Value::from(number(1)), &Value::Null, &Value::Null));
    assert!(text["body"].as_str().expect("a body").contains("aus Ihrem Konto entfernt"), "{text}");
    assert!(mail["subject"].as_str().expect("a subject").contains("aus Ihrem Konto entfernt"), "{mail}");
    let page = app.stranger().get(mail["html"].as_str().expect("a page")).await;
    assert!(page.body.contains(&format!("http://{}/forgot", app.address)) && page.body.contains("+49*********01"), "{}", page.body);
    let inbox = app.stranger().get("/dev/inbox").await;
    assert!(inbox.body.contains("aus Ihrem Konto entfernt"), "{}", inbox.body);
    let list = inbox.body.split("<template").next().expect("a list");
    assert!(!list.contains("code-panel"), "no field for a code that is not there");
}

/// ABU-03: ten of a kind a day reach a destination, and no more until the day is over.
#[tokio::test]
async fn nobody_is_flooded() {
    let app = TestApp::new().await;
    for _ in 0..12 {
        tell(&app, MAIL, Notice::Taken);
    }
    tell(&app, "Ann@Example.com", Notice::Taken);
    tell(&app, MAIL, Notice::PasswordChanged);
    tell(&app, "bob@example.com", Notice::Taken);
    let count =
        async |count: usize| eventually("they are sent", async || (app.inbox().messages().await.len() == count).then_some(())).await;
    count(12).await;
    app.advance(24 * 3600 + 1);
    tell(&app, MAIL, Notice::Taken);
    count(13).await;
    assert_eq!(app.messages_in_the_end().await, 13);
    assert_eq!(counted(&app, "taken", "email", "limited").await, "3");
}

async fn counted(app: &TestApp, notice: &str, channel: &str, result: &str) -> String {
    let page = crate::wire::Wire::new(app.admin_address).get("/metrics", &[]).await.body;
    let name = format!("countersign_notices_total{{notice=\"{notice}\",channel=\"{channel}\",result=\"{result}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("none").to_owned()
}

async fn ended(app: &TestApp, result: &str, count: &str) {
    let what = format!("{count} notices are {result}");
    eventually(&what, async || (counted(app, "password_changed", "sms", result).await == count).then_some(())).await;
}

/// R01, R02: another provider takes what one refuses, and the same ones are asked again later.
#[tokio::test]
async fn a_notice_finds_its_way_past_failures() {
    let (one, other) = (StandIn::failing(Fail::Unavailable).await, StandIn::new().await);
    let app = app_with(QUICK, &[one.section("a"), other.section("b")]).await;
    tell(&app, &number(1), Notice::PasswordChanged);
    let told = other.messages_to(&number(1), 1).await;
    assert_eq!(told[0].text, "Countersign: Your password was changed. Not you? Reset your password.");
    ended(&app, "sent", "1").await;
    other.fail(Fail::Unavailable);
    tell(&app, &number(2), Notice::PasswordChanged);
    other.messages_to(&number(2), 1).await;
    other.fail(Fail::None);
    ended(&app, "sent", "2").await;
    assert_eq!(other.received().iter().filter(|message| message.taken).count(), 2);
}

/// What cannot be helped is not tried again, and what perhaps arrived is tried once more at most (R06).
#[tokio::test]
async fn a_notice_is_given_up_where_that_is_right() {
    let (one, other) = (StandIn::failing(Fail::Rejected).await, StandIn::new().await);
    let app = app_with(QUICK, &[one.section("a"), other.section("b")]).await;
    tell(&app, &number(1), Notice::PasswordChanged);
    ended(&app, "rejected", "1").await;
    assert_eq!((one.received().len(), other.received().len()), (1, 0));
    one.fail(Fail::Broken);
    other.fail(Fail::Broken);
    tell(&app, &number(2), Notice::PasswordChanged);
    ended(&app, "uncertain", "1").await;
    assert_eq!((one.received().len(), other.received().len()), (2, 1));
}

/// Whoever fills in a template of its own is passed over; where there is nobody else, that is counted.
#[tokio::test]
async fn a_provider_of_codes_only_is_passed_over() {
    let stand_in = StandIn::new().await;
    let telegram = format!("[provider.a]\ntype = \"telegram\"\ntoken = \"x\"\nbase_url = \"{}\"\n", stand_in.provider.url);
    let app = app_with(QUICK, &[telegram.clone(), stand_in.section("b")]).await;
    tell(&app, &number(1), Notice::PasswordChanged);
    ended(&app, "sent", "1").await;
    assert_eq!(stand_in.received().len(), 1);
    let alone = app_with(QUICK, &[telegram]).await;
    tell(&alone, &number(1), Notice::PasswordChanged);
    ended(&alone, "nobody", "1").await;
    assert_eq!(stand_in.received().len(), 1);
    let codes_only = provider(&telegram::KIND, "token = \"x\"").expect("a provider");
    let notice = notice(Channel::Sms, PHONE, "en", &Notice::PasswordChanged, None, &policy("", "default"));
    assert!(codes_only.send(&notice).await.is_err_and(|error| error.fault == Fault::Unavailable), "not even when asked");
}

/// ABU-02: a country that the service does not send codes to gets no notices.
#[tokio::test]
async fn no_notice_goes_to_a_country_that_is_closed() {
    let app = TestApp::with("[service.default]\ncountries = [\"AT\"]").await;
    tell(&app, &number(1), Notice::PasswordChanged);
    ended(&app, "country", "1").await;
    tell(&app, "+436641234567", Notice::PasswordChanged);
    ended(&app, "sent", "1").await;
    assert_eq!(app.messages_in_the_end().await, 1);
}

/// A provider that is silent holds nobody up: callers go on, what is too much is counted, and codes take their own way.
#[tokio::test]
async fn a_silent_provider_holds_nobody_up() {
    let stand_in = StandIn::failing(Fail::Hang).await;
    let app = app_with(QUICK, &[stand_in.section("a")]).await;
    let begun = Instant::now();
    for index in 0..1030 {
        tell(&app, &number(index), Notice::PasswordChanged);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(counted(&app, "password_changed", "sms", "queue_full").await, "6");
    stand_in.fail(Fail::None);
    app.client().started(json!({ "to": number(2000) })).await;
    stand_in.messages_to(&number(2000), 1).await;
}

/// A stop does not wait for retries; what it gives up is counted.
#[tokio::test]
async fn a_stop_gives_up_what_waits_and_says_so() {
    let stand_in = StandIn::failing(Fail::Unavailable).await;
    let mut app = app_with("[delivery]\nretry_wait = \"60s\"\n", &[stand_in.section("a")]).await;
    tell(&app, &number(1), Notice::PasswordChanged);
    stand_in.messages_to(&number(1), 1).await;
    let begun = Instant::now();
    app.app.dispatcher.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(30));
    ended(&app, "stopped", "1").await;
    tell(&app, &number(2), Notice::PasswordChanged);
    ended(&app, "queue_full", "1").await;
    app.stop().await;
    assert_eq!(stand_in.received().len(), 1);
}

/// R01: the breakers are those of codes. Failures of notices open one, and while it is open nobody is asked.
#[tokio::test]
async fn notices_share_the_breakers_of_codes() {
    let (one, other) = (StandIn::failing(Fail::Unavailable).await, StandIn::new().await);
    let app = app_with(QUICK, &[one.section("a"), other.section("b")]).await;
    for index in 1..=5 {
        assert_eq!(breaker(&app, "a").await, "closed");
        tell(&app, &number(index), Notice::PasswordChanged);
        ended(&app, "sent", &index.to_string()).await;
    }
    assert_eq!(breaker(&app, "a").await, "open");
    tell(&app, &number(6), Notice::PasswordChanged);
    ended(&app, "sent", "6").await;
    assert_eq!((one.received().len(), other.received().len()), (5, 6));
}
