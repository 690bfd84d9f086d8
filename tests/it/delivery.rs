//! R01 to R06: what becomes of messages when providers fail. Through the whole server, against stand-ins that speak the
//! recorded wire format. In each: nothing is lost, and what goes out twice carries one code.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use countersign::dev_provider::Received;
use countersign::dev_provider::fault::Fail;
use countersign::dev_provider::knobs::{Change, Receipts};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::actors::{Client, eventually, number};
use crate::app::TestApp;
use crate::stand_in::{StandIn, code, nobody};
use crate::wire::Wire;

/// Ten digits are found in a text; nobody waits between messages; and time passes quickly.
pub const BASE: &str = "[service.default]\ncode_length = 10\nresend_waits = []\nlimits.destination = [\"100/24h\"]\n";
pub const QUICK: &str = "[delivery]\nretry_wait = \"10ms\"\n";
/// Where somebody is silent.
const IMPATIENT: &str = "[delivery]\nretry_wait = \"10ms\"\npatience = \"300ms\"\n";

pub async fn app(sections: &[String]) -> TestApp {
    app_with(QUICK, sections).await
}

pub async fn app_with(delivery: &str, sections: &[String]) -> TestApp {
    TestApp::with(&format!("{delivery}\n{BASE}\n{}", sections.join("\n"))).await
}

/// The verification once its message's fate is known.
pub async fn settled(client: &Client, verification: &Value) -> Value {
    eventually("the message's fate is known", async || {
        let found = client.get(verification).await.expect(200);
        (found["delivery"] != "queued").then_some(found)
    })
    .await
}

pub fn details(verification: &Value) -> Vec<String> {
    let events = verification["timeline"].as_array().expect("a timeline").iter();
    events.filter_map(|event| event["detail"].as_str()).map(str::to_owned).collect()
}

pub async fn breaker(app: &TestApp, provider: &str) -> String {
    let ready = app.stranger().get("/readyz").await.expect(200);
    let providers = ready["providers"].as_array().expect("providers").iter();
    let found = providers.clone().find(|one| one["provider"] == provider).unwrap_or_else(|| panic!("{ready}"));
    found["breaker"].as_str().expect("a breaker").to_owned()
}

pub async fn metrics(app: &TestApp) -> String {
    Wire::new(app.admin_address).get("/metrics", &[]).await.body
}

/// Once so many messages were not taken: their next steps are decided, and the clock may move.
pub async fn refused(app: &TestApp, count: usize) {
    let wanted = format!("result=\"unavailable\"}} {count}\n");
    eventually("the provider's answer is noted", async || metrics(app).await.contains(&wanted).then_some(())).await;
}

/// By destination, what people got. Each destination's messages carry one code, and there are at most `most` of them.
pub fn one_code_each(stand_ins: &[&StandIn], most: usize) -> BTreeMap<String, usize> {
    let mut all: BTreeMap<String, Vec<Received>> = BTreeMap::new();
    for message in stand_ins.iter().flat_map(|stand_in| stand_in.received()).filter(|message| message.taken) {
        all.entry(message.to.clone()).or_default().push(message);
    }
    for (to, messages) in &all {
        assert!(messages.len() <= most, "{} messages to {to}", messages.len());
        assert!(messages.iter().all(|message| code(message) == code(&messages[0])), "two codes to {to}");
    }
    all.into_iter().map(|(to, messages)| (to, messages.len())).collect()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1]
}

/// Starts `count` verifications, `at_once` at a time. How long each answer took.
pub async fn starts(client: &Client, count: u32, at_once: u32, body: impl Fn(u32) -> Value) -> (Vec<Value>, Vec<Duration>) {
    let (mut started, mut times) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(at_once as usize) {
        let batch = (first..count.min(first + at_once)).map(|index| {
            let body = body(index);
            async move {
                let begun = Instant::now();
                let answer = client.started(body).await;
                (answer, begun.elapsed())
            }
        });
        for (answer, time) in join_all(batch).await {
            started.push(answer);
            times.push(time);
        }
    }
    (started, times)
}

/// A refused connection is certainly no message: the second provider sends, once, and the breaker leaves the first alone.
#[tokio::test]
async fn a_provider_that_is_down_loses_nothing() {
    let up = StandIn::new().await;
    let app = app(&[nobody("a").await, up.section("b")]).await;
    let client = app.client();
    let (started, _) = starts(&client, 30, 5, |index| json!({ "to": number(index) })).await;
    for verification in &started {
        let sent = settled(&client, verification).await;
        assert_eq!((&sent["delivery"], &sent["provider"]), (&json!("sent"), &json!("b")), "{sent}");
    }
    let got = one_code_each(&[&up], 1);
    println!("R01 down: 30 starts, {} messages, lost {}, twice 0", got.len(), 30 - got.len());
    assert_eq!(got.len(), 30);
    assert_eq!((breaker(&app, "a").await, breaker(&app, "b").await), ("open".into(), "closed".into()));
    let metrics = metrics(&app).await;
    assert!(metrics.contains("countersign_provider_breaker{provider=\"a\"} 2"), "{metrics}");
    assert!(metrics.contains("countersign_provider_breaker{provider=\"b\"} 0"), "{metrics}");
    assert!(metrics.contains("countersign_delivery_queue 0"), "{metrics}");
    assert!(metrics.contains("countersign_provider_answer_seconds_count{provider=\"b\"} 30"), "{metrics}");
}

/// Nobody takes it: the caller learns why, and may send again at once, in spite of the wait between messages.
#[tokio::test]
async fn a_message_that_nobody_takes_fails_and_frees_the_resend() {
    let down = StandIn::failing(Fail::Unavailable).await;
    let app = TestApp::with(&format!("{QUICK}\n[service.default]\ncode_length = 10\n{}", down.section("a"))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    assert_eq!((&started["delivery"], &started["message_id"]), (&json!("failed"), &Value::Null));
    assert_eq!(down.received().len(), 3, "the first attempt and two retries (R02)");
    let failed = client.get(&started).await.expect(200);
    assert_eq!(details(&failed).last().map(String::as_str), Some("a: it is down (20503)"));
    assert_eq!((&failed["sends_left"], &failed["resend_after"]), (&json!(5), &started["created_at"]), "the send was given back");
    down.fail(Fail::None);
    client.resend(&started).await.expect(200);
    assert_eq!(client.sent(&started).await["provider"], "a");
}

/// R01: starts answer at once while a provider is silent; the second one has the message soon, with the same code; and after
/// five silences nobody waits for the first any more.
#[tokio::test]
async fn a_silent_provider_is_left_for_the_next_one_with_the_same_code() {
    let (silent, up) = (StandIn::failing(Fail::Hang).await, StandIn::new().await);
    let app = app_with(IMPATIENT, &[silent.section("a"), up.section("b")]).await;
    let client = app.client();
    silent.fail(Fail::None);
    let (_, healthy) = starts(&client, 60, 6, |index| json!({ "to": number(1_000 + index) })).await;
    eventually("all are out", async || (silent.received().len() + up.received().len() >= 60).then_some(())).await;
    for stand_in in [&silent, &up] {
        stand_in.forget();
    }
    silent.fail(Fail::Hang);
    let (started, times) = starts(&client, 60, 6, |index| json!({ "to": number(index) })).await;
    for verification in &started {
        assert_eq!(settled(&client, verification).await["provider"], "b");
    }
    let asked: BTreeMap<_, _> = silent.received().into_iter().map(|message| (message.to, message.at)).collect();
    let failovers = up.received().into_iter().filter_map(|message| Some(message.at - asked.get(&message.to)?));
    let failover = failovers.max().expect("somebody was asked in vain");
    let got = one_code_each(&[&silent, &up], 2);
    let twice = got.values().filter(|count| **count == 2).count();
    println!(
        "R01 silent: start p99 {:?}, healthy {:?}; 60 messages, lost {}, twice {twice} (one code each), the next provider after {failover} ms at most",
        p99(times.clone()),
        p99(healthy.clone()),
        60 - got.len()
    );
    assert_eq!((got.len(), up.received().len()), (60, 60));
    assert_eq!(twice, silent.received().len(), "only what was in doubt");
    // 300 ms on a machine that has nothing else to do; never a provider's silence.
    assert!(p99(times) <= Duration::from_millis(300).max(p99(healthy) * 4));
    assert!(failover < 5_000);
    assert_eq!(breaker(&app, "a").await, "open");
    let asked = silent.received().len();
    let (started, _) = starts(&client, 10, 10, |index| json!({ "to": number(100 + index) })).await;
    for verification in &started {
        settled(&client, verification).await;
    }
    assert_eq!(silent.received().len(), asked, "the breaker is open");
    let verification = &started[0];
    let message = up.messages_to(&number(100), 1).await.remove(0);
    assert_eq!(client.check(verification, &code(&message)).await.expect(200)["valid"], true);
}

/// R02: every second answer is a 503. Each message is retried until it is taken, and taken once.
#[tokio::test]
async fn half_of_the_answers_are_errors() {
    let half = StandIn::failing(Fail::Half).await;
    let alone = app(&[half.section("a")]).await;
    let client = alone.client();
    for index in 0..20 {
        let started = client.started(json!({ "to": number(index), "wait": true })).await;
        assert_eq!(started["delivery"], "sent", "{index}");
    }
    let got = one_code_each(&[&half], 1);
    println!("R02 half, one provider: 20 messages in {} attempts, lost {}, twice 0", half.received().len(), 20 - got.len());
    assert_eq!((got.len(), half.received().len()), (20, 40));

    let (half, up) = (StandIn::failing(Fail::Half).await, StandIn::new().await);
    let two = app(&[half.section("a"), up.section("b")]).await;
    let client = two.client();
    let (started, _) = starts(&client, 100, 20, |index| json!({ "to": number(index) })).await;
    for verification in &started {
        assert_eq!(settled(&client, verification).await["delivery"], "sent");
    }
    let got = one_code_each(&[&half, &up], 1);
    println!("R02 half, two providers: 100 messages, lost {}, twice 0", 100 - got.len());
    assert_eq!(got.len(), 100);
}

/// A message that waits for a provider's rest asks nobody again and again: two retries, and no more (R02).
#[tokio::test]
async fn retries_are_counted_while_another_providers_breaker_is_open() {
    let (one, other) = (StandIn::failing(Fail::Unavailable).await, StandIn::failing(Fail::Unavailable).await);
    let routes = "[[route]]\nchannel = \"sms\"\ncountries = [\"AT\"]\nproviders = [\"b\"]\n";
    let app = app(&[routes.into(), one.section("a"), other.section("b")]).await;
    let client = app.client();
    // Two messages to Austria open b's breaker: three attempts each.
    for index in 0..2 {
        client.started(json!({ "to": format!("+4366412345{index}0"), "wait": true })).await;
    }
    assert_eq!(breaker(&app, "b").await, "open");
    let b_asked = other.received().len();
    let started = client.started(json!({ "to": number(1) })).await;
    let fate = settled(&client, &started).await;
    assert_eq!(fate["delivery"], "failed");
    assert_eq!((one.received().len(), other.received().len() - b_asked), (3, 0), "three rounds, and b's breaker is open");
}

/// R03: the wait that a provider asks for is kept, by the message that heard of it and by the next one.
#[tokio::test]
async fn retry_after_is_honoured() {
    let busy = StandIn::failing(Fail::TooMany).await;
    let app = app(&[busy.section("a")]).await;
    let client = app.client();
    let first = client.started(json!({ "to": number(1) })).await;
    let asked = busy.messages_to(&number(1), 1).await.remove(0);
    refused(&app, 1).await;
    busy.fail(Fail::None);
    let second = client.started(json!({ "to": number(2) })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(busy.received().len(), 1, "nobody asks a provider that wants to be left alone");
    app.advance(1);
    for verification in [&first, &second] {
        assert_eq!(settled(&client, verification).await["delivery"], "sent");
    }
    let again = busy.messages_to(&number(1), 2).await.remove(1);
    println!("R03 429 with Retry-After 1: asked again after {} ms, lost 0, twice 0", again.at - asked.at);
    assert!(again.at - asked.at >= 1000);
    one_code_each(&[&busy], 1);
}

/// R03: the hour's rest that one provider asks for takes no retry from the other one.
#[tokio::test]
async fn a_long_rest_of_one_provider_is_not_the_others() {
    let (shaky, resting) = (StandIn::failing(Fail::Half).await, StandIn::failing(Fail::TooMany).await);
    resting.provider.set(Change { retry_after: Some(3600), ..Change::default() });
    let app = app(&[shaky.section("a"), resting.section("b")]).await;
    let client = app.client();
    for index in 0..3 {
        let started = client.started(json!({ "to": number(index), "wait": true })).await;
        assert_eq!((&started["delivery"], &started["provider"]), (&json!("sent"), &json!("a")), "{index}");
    }
    assert_eq!((shaky.received().len(), resting.received().len()), (6, 1));
}

/// R04: what is no answer of the vendor's leaves doubt: the next provider sends the same code, and nobody a third message.
#[tokio::test]
async fn garbage_is_no_answer() {
    for fail in [Fail::Garbage, Fail::Truncated, Fail::Huge, Fail::WrongType, Fail::Broken, Fail::HangBody] {
        let (garbage, up) = (StandIn::failing(fail).await, StandIn::new().await);
        let app = app_with(IMPATIENT, &[garbage.section("a"), up.section("b")]).await;
        let client = app.client();
        let begun = Instant::now();
        let started = client.started(json!({ "to": number(1) })).await;
        assert_eq!(settled(&client, &started).await["provider"], "b", "{fail:?}");
        let took = begun.elapsed();
        assert_eq!((garbage.received().len(), up.received().len()), (1, 1), "{fail:?}");
        one_code_each(&[&garbage, &up], 2);
        assert!(took < Duration::from_secs(5), "{fail:?} took {took:?}");
        println!("R04 {fail:?}: next provider after {took:?}, lost 0, perhaps twice with one code");
        assert!(metrics(&app).await.contains("provider=\"a\",channel=\"sms\",country=\"DE\",result=\"uncertain\"} 1"), "{fail:?}");
    }
}

/// R04: alone, such an answer ends in a failure that is told as one, and what was perhaps sent is not given back.
#[tokio::test]
async fn doubt_without_another_provider_is_a_failure_that_keeps_its_place() {
    let garbage = StandIn::failing(Fail::Garbage).await;
    let app = TestApp::with(&format!("{QUICK}\n[service.default]\ncode_length = 10\n{}", garbage.section("a"))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    assert_eq!((&started["delivery"], &started["sends_left"]), (&json!("failed"), &json!(4)));
    let failed = client.get(&started).await.expect(200);
    assert_eq!(details(&failed).last().map(String::as_str), Some("a: answered 200 OK with something that is no answer"));
    client.resend(&started).await.problem(429, "limited");
    assert_eq!(garbage.received().len(), 1, "never sent again by itself");
}

/// R06: after a first doubt one more provider is asked, and after that nobody: not in another round, and no third one.
#[tokio::test]
async fn doubt_allows_one_more_message_and_no_retry() {
    let (garbage, down) = (StandIn::failing(Fail::Garbage).await, StandIn::failing(Fail::Unavailable).await);
    let two = app(&[garbage.section("a"), down.section("b")]).await;
    let started = two.client().started(json!({ "to": number(1), "wait": true })).await;
    assert_eq!((&started["delivery"], &started["sends_left"]), (&json!("failed"), &json!(99)), "perhaps sent: it keeps its place");
    assert_eq!((garbage.received().len(), down.received().len()), (1, 1));

    let (garbage, more, up) = (StandIn::failing(Fail::Garbage).await, StandIn::failing(Fail::Broken).await, StandIn::new().await);
    let three = app(&[garbage.section("a"), more.section("b"), up.section("c")]).await;
    let started = three.client().started(json!({ "to": number(2), "wait": true })).await;
    assert_eq!(started["delivery"], "failed");
    assert_eq!((garbage.received().len(), more.received().len(), up.received().len()), (1, 1, 0));
    one_code_each(&[&garbage, &more, &up], 2);
}

/// R02: no retry begins in the second half of a code's life.
#[tokio::test]
async fn retries_end_with_half_the_codes_life() {
    let down = StandIn::failing(Fail::Unavailable).await;
    let app = app_with("[delivery]\nretry_wait = \"800ms\"\n", &[down.section("a")]).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    refused(&app, 1).await;
    app.advance(151);
    assert_eq!(settled(&client, &started).await["delivery"], "failed");
    assert_eq!(down.received().len(), 2, "the retry that was due already, and no other");
}

/// Who refuses a destination is believed: nobody else is asked.
#[tokio::test]
async fn a_refused_destination_is_not_tried_elsewhere() {
    let (one, other) = (StandIn::failing(Fail::Rejected).await, StandIn::new().await);
    let app = app(&[one.section("a"), other.section("b")]).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    assert_eq!((&started["delivery"], &started["sends_left"]), (&json!("failed"), &json!(100)), "given back");
    assert_eq!(
        details(&client.get(&started).await.expect(200)).last().map(String::as_str),
        Some("a: the number cannot receive it (21211)")
    );
    assert_eq!((one.received().len(), other.received().len()), (1, 0));
}

/// R06: a provider that takes the message and answers too late. Two messages at most, one code, and the receipts of both
/// end in one state.
#[tokio::test]
async fn a_late_success_is_the_same_code() {
    let (late, up) = (StandIn::new().await, StandIn::new().await);
    late.delay(900);
    late.receipts(Receipts::Failed);
    up.receipts(Receipts::Delivered);
    let app = app_with(IMPATIENT, &[late.section("a"), up.section("b")]).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let arrived = eventually("it arrives", async || {
        let found = client.get(&started).await.expect(200);
        (found["delivery"] == "delivered").then_some(found)
    })
    .await;
    assert_eq!(arrived["provider"], "b");
    let got = one_code_each(&[&late, &up], 2);
    println!("R06 late success: {} messages, one code, lost 0", got[&number(1)]);
    assert_eq!(got[&number(1)], 2);
    let message = late.messages_to(&number(1), 1).await.remove(0);
    assert_eq!(client.check(&started, &code(&message)).await.expect(200)["valid"], true, "the late one's code works");
}

/// R06: without another provider the message counts as failed, until a receipt says that it arrived.
#[tokio::test]
async fn a_late_success_of_the_only_provider_is_told_by_its_receipt() {
    let late = StandIn::new().await;
    late.delay(600);
    let app = app_with("[delivery]\ntimeout = \"200ms\"\n", &[late.section("a")]).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    assert_eq!(started["delivery"], "failed");
    let message = late.messages_to(&number(1), 1).await.remove(0);
    let receipt = crate::stand_in::post_receipt(&app.wire, &message, "delivered", countersign::dev_provider::AUTH_TOKEN).await;
    assert_eq!(receipt.status, 200, "{}", receipt.body);
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "delivered");
    assert_eq!(late.received().len(), 1);
}

/// R05: one channel's provider hangs. The other channel's messages go out as quickly as before.
#[tokio::test]
async fn a_silent_provider_holds_up_no_other_channel() {
    let (silent, up) = (StandIn::new().await, StandIn::new().await);
    let routes = "[[route]]\nchannel = \"sms\"\nproviders = [\"a\"]\n[[route]]\nchannel = \"whatsapp\"\nproviders = [\"b\"]\n".to_owned();
    let app = app_with("[delivery]\ntimeout = \"10s\"\n", &[routes, silent.section("a"), up.section("b")]).await;
    let client = app.client();
    let whatsapp = |index| json!({ "to": number(1_000 + index), "channel": "whatsapp", "wait": true });
    let (_, healthy) = starts(&client, 60, 4, whatsapp).await;
    silent.fail(Fail::Hang);
    // More than are asked at once, so that the rest waits in the lane.
    starts(&client, 100, 20, |index| json!({ "to": number(index) })).await;
    eventually("the lane is full", async || (silent.received().len() >= 64).then_some(())).await;
    let (sent, beside) = starts(&client, 60, 4, |index| whatsapp(500 + index)).await;
    assert!(sent.iter().all(|verification| verification["delivery"] == "sent"));
    println!("R05: sent on another channel, p99 {:?} beside a silent provider, {:?} before", p99(beside.clone()), p99(healthy.clone()));
    assert!(p99(beside) < Duration::from_secs(1).max(p99(healthy) * 4));
    assert!(metrics(&app).await.contains("countersign_delivery_queue 100"));
}
