//! How messages are handed over: routes and breakers, the queue, the wait for an answer, restarts, and the next channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign::delivery::Tools;
use countersign::delivery::dispatch::Dispatcher;
use countersign::delivery::message::Message;
use countersign::delivery::provider::{Family, MessageProvider, Provider, SendError};
use countersign::delivery::route::{Routes, Routing};
use countersign::delivery::text::Renderer;
use countersign::dev_provider::fault::Fail;
use countersign::dev_provider::knobs::Receipts;
use countersign::secret::Code;
use countersign::verification::courier::{Courier, Objection, Parcel};
use countersign::verification::model::Channel;
use serde_json::{Value, json};

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::binary::Binary;
use crate::delivery::{BASE, QUICK, app, app_with, breaker, details, metrics, one_code_each, refused, settled, starts};
use crate::raw::Raw;
use crate::stand_in::{StandIn, code};

/// The breaker opens after five failures in ten seconds, lets one message try after thirty, and closes when that one passes.
#[tokio::test]
async fn the_breaker_opens_tries_one_and_closes() {
    let (one, other) = (StandIn::failing(Fail::Unavailable).await, StandIn::new().await);
    let app = app(&[one.section("a"), other.section("b")]).await;
    let client = app.client();
    let send = async |index| client.started(json!({ "to": number(index), "wait": true })).await["provider"].clone();
    for index in 0..5 {
        assert_eq!(breaker(&app, "a").await, "closed", "after {index}");
        assert_eq!(send(index).await, "b");
        app.advance(2);
    }
    assert_eq!(breaker(&app, "a").await, "open");
    one.fail(Fail::None);
    assert_eq!((send(10).await, one.received().len()), (json!("b"), 5));
    app.advance(30);
    assert_eq!(breaker(&app, "a").await, "half_open");
    assert!(metrics(&app).await.contains("countersign_provider_breaker{provider=\"a\"} 1"));
    assert_eq!((send(11).await, breaker(&app, "a").await), (json!("a"), "closed".into()));
}

/// OPS-05: whoever hangs up while his start is worked on is sent the code all the same: it was counted, and a second try with the
/// same key would be told that it is on its way. (Who is gone before it is read has asked for nothing.)
#[tokio::test]
async fn who_hangs_up_is_sent_the_code_all_the_same() {
    let one = StandIn::new().await;
    let app = app(&[one.section("a")]).await;
    let client = app.client();
    for index in 0..60 {
        let body = json!({ "to": number(index) }).to_string();
        let mut raw = Raw::connect(app.address).await;
        raw.say(format!(
            "POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            client.key,
            body.len()
        ))
        .await;
        tokio::time::sleep(Duration::from_micros(100) * index).await;
    }
    // Its answer is behind whatever was committed for them.
    client.started(json!({ "to": number(100) })).await;
    for index in 0..60 {
        eventually(&format!("what was counted for {index} is sent"), async || {
            let listed = client.list(&number(index), "").await.expect(200);
            listed["data"].as_array()?.iter().all(|started| started["delivery"] == "sent").then_some(())
        })
        .await;
    }
    assert!(one.received().len() > 1, "nothing was started");
}

/// Routes: by country, in order, and by weight.
#[tokio::test]
async fn routes_choose_by_country_and_weight() {
    let (one, other) = (StandIn::new().await, StandIn::new().await);
    let routes = "[[route]]\nchannel = \"sms\"\ncountries = [\"AT\"]\nproviders = [\"b\"]\n\
                  [[route]]\nchannel = \"sms\"\nproviders = [\"a\", \"b\"]\nweights = [9, 1]\n"
        .to_owned();
    let app = app_with("[delivery]\nrouting = \"weighted\"\n", &[routes, one.section("a"), other.section("b")]).await;
    let client = app.client();
    let austrian = client.started(json!({ "to": "+436641234567", "wait": true })).await;
    assert_eq!(austrian["provider"], "b");
    starts(&client, 200, 20, |index| json!({ "to": number(index), "wait": true })).await;
    let (a, b) = (one.received().len(), other.received().len() - 1);
    assert_eq!(a + b, 200);
    // 20 expected of 200, standard deviation 4.2: outside of six of those nobody ends.
    assert!((1..=46).contains(&b), "{b} of 200 went to the one with a tenth of the weight");
}

/// A code that comes too late to be of use is not sent (R03); one of a short life is.
#[tokio::test]
async fn a_code_with_little_life_left_is_dropped() {
    let one = StandIn::failing(Fail::Unavailable).await;
    let app = app_with("[delivery]\nretry_wait = \"800ms\"\n", &[one.section("a")]).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    refused(&app, 1).await;
    one.fail(Fail::None);
    app.advance(241);
    let failed = settled(&client, &started).await;
    assert_eq!(failed["delivery"], "failed");
    assert_eq!(details(&failed).last().map(String::as_str), Some("a: its turn came when the code had less than a minute to live"));
    assert_eq!(one.received().len(), 1);

    one.fail(Fail::Unavailable);
    let minute = "[service.default]\ncode_length = 10\ncode_ttl_sms = \"1m\"\n";
    let short = TestApp::with(&format!("[delivery]\nretry_wait = \"500ms\"\n{minute}{}", one.section("a"))).await;
    let dispatched = short.client().started(json!({ "to": number(2) })).await;
    refused(&short, 1).await;
    one.fail(Fail::None);
    short.advance(1);
    assert_eq!(settled(&short.client(), &dispatched).await["delivery"], "sent", "59 s of a minute are worth sending");
}

/// Never more than the queue holds: one more fails at once, tells why, and takes nothing.
#[tokio::test]
async fn a_full_queue_fails_at_once() {
    let silent = StandIn::failing(Fail::Hang).await;
    let app = app_with("[delivery]\nqueue = 1\ntimeout = \"10s\"\n", &[silent.section("a")]).await;
    let client = app.client();
    client.started(json!({ "to": number(1) })).await;
    silent.messages_to(&number(1), 1).await;
    let refused = client.started(json!({ "to": number(2) })).await;
    let failed = settled(&client, &refused).await;
    assert_eq!((&failed["delivery"], &failed["sends_left"]), (&json!("failed"), &json!(100)));
    assert_eq!(details(&failed), ["sms", "too many messages are waiting"]);
    assert_eq!(silent.received().len(), 1);
}

/// `wait`: the answer tells what became of the message; and comes when it takes too long to know.
#[tokio::test]
async fn a_start_that_waits_tells_the_fate() {
    let one = StandIn::new().await;
    let patient = app(&[one.section("a")]).await;
    let client = patient.client();
    let begun = Instant::now();
    let sent = client.started(json!({ "to": number(1), "wait": true })).await;
    let message = one.messages_to(&number(1), 1).await.remove(0);
    assert_eq!((&sent["delivery"], &sent["provider"], &sent["message_id"]), (&json!("sent"), &json!("a"), &json!(message.id)));
    one.fail(Fail::Rejected);
    let failed = client.started(json!({ "to": number(2), "wait": true })).await;
    assert_eq!((&failed["delivery"], &failed["message_id"]), (&json!("failed"), &Value::Null));
    assert!(begun.elapsed() < Duration::from_secs(10), "an answer comes when the fate is known, and not after the limit of 12 s");

    one.fail(Fail::Hang);
    let hurried = app_with("[delivery]\nwait = \"300ms\"\n", &[one.section("a")]).await;
    let begun = Instant::now();
    let unknown = hurried.client().started(json!({ "to": number(3), "wait": true })).await;
    assert_eq!(unknown["delivery"], "queued");
    assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

/// R5: the tutorial's answer names the provider's own id.
#[tokio::test]
async fn the_tutorials_answer_names_the_message() {
    let one = StandIn::new().await;
    let app = app(&[one.section("a")]).await;
    let answer = app.stranger().post("/send-code", &[], json!({ "phoneNumber": number(1) })).await.expect(200);
    let message = one.messages_to(&number(1), 1).await.remove(0);
    assert!(message.id.starts_with("SM"));
    assert_eq!(answer["message"], format!("Message sent with id: {}", message.id));
    let checked = app.stranger().post("/verify-code", &[], json!({ "phoneNumber": number(1), "smsCode": code(&message) })).await;
    assert_eq!(checked.expect(200)["message"], "This is a valid match!");
}

/// A crash between the commit and the send: what was queued is sent by the next start of the server, once, with its code.
#[tokio::test]
async fn what_a_stop_left_queued_is_sent_once() {
    let one = StandIn::failing(Fail::Unavailable).await;
    let app = app_with("[delivery]\nretry_wait = \"60s\"\n", &[one.section("a")]).await;
    let started = app.client().started(json!({ "to": number(1) })).await;
    let refused = one.messages_to(&number(1), 1).await.remove(0);
    one.fail(Fail::None);
    let app = app.restart().await;
    let client = app.client();
    assert_eq!(client.sent(&started).await["provider"], "a");
    let app = app.restart().await;
    let client = app.client();
    let messages = one.messages_to(&number(1), 2).await;
    assert_eq!((messages.len(), one_code_each(&[&one], 1).len()), (2, 1), "sent once, and not again by a third run");
    assert_eq!(code(&messages[1]), code(&refused));
    assert_eq!(client.check(&started, &code(&messages[1])).await.expect(200)["valid"], true);
}

/// R08: what was claimed is handed over, also where the rules of its service cannot be read: nobody else is given it again.
#[tokio::test]
async fn a_service_that_cannot_be_read_stops_no_message() {
    let one = StandIn::failing(Fail::Unavailable).await;
    let app = app_with("[delivery]\nretry_wait = \"60s\"\n", &[one.section("a")]).await;
    let sdk = crate::twilio::Sdk::new(&app).await;
    let service = sdk.service(&[("FriendlyName", "Shop"), ("CodeLength", "10")]).await;
    sdk.start(&service, &number(1)).await.expect(201);
    app.client().started(json!({ "to": number(2) })).await;
    let refused = [one.messages_to(&number(1), 1).await.remove(0), one.messages_to(&number(2), 1).await.remove(0)];
    app.meddle("ALTER TABLE service RENAME TO service_gone").await;
    one.fail(Fail::None);
    let _app = app.restart().await;
    for (to, refused) in [number(1), number(2)].iter().zip(&refused) {
        assert_eq!(code(&one.messages_to(to, 2).await[1]), code(refused));
    }
}

/// The same of the real executable, killed without a farewell.
#[tokio::test]
async fn a_killed_servers_messages_are_sent_by_the_next() {
    let one = StandIn::failing(Fail::Unavailable).await;
    let settings = format!("[delivery]\nretry_wait = \"60s\"\n{BASE}\n{}", one.section("a"));
    let binary = Binary::new().file("countersign.toml", &settings);
    let server = binary.serve().await;
    let mut all = Vec::new();
    for index in 0..3 {
        all.push(server.client().started(json!({ "to": number(index) })).await);
        one.messages_to(&number(index), 1).await;
    }
    server.kill();
    one.fail(Fail::None);
    let server = binary.serve().await;
    for verification in &all {
        assert_eq!(server.client().sent(verification).await["provider"], "a");
    }
    let got = one_code_each(&[&one], 1);
    println!("killed between commit and send: 3 messages, lost {}, twice 0", 3 - got.len());
    assert_eq!(got.len(), 3);
}

/// What no provider serves after a restart is told as failed: it does not stay queued until it dies.
#[tokio::test]
async fn a_message_whose_provider_is_gone_fails() {
    let one = StandIn::failing(Fail::Unavailable).await;
    let settings = |provider: String| format!("[delivery]\nretry_wait = \"60s\"\n{BASE}\n{provider}");
    let binary = Binary::new().file("countersign.toml", &settings(one.section("a")));
    let server = binary.serve().await;
    let started = server.client().started(json!({ "to": number(1), "channel": "whatsapp" })).await;
    one.messages_to(&number(1), 1).await;
    server.kill();
    let without = one.section("a").replace("whatsapp_from", "# whatsapp_from");
    let binary = binary.file("countersign.toml", &settings(without));
    let server = binary.serve().await;
    let failed = settled(&server.client(), &started).await;
    assert_eq!(details(&failed).last().map(String::as_str), Some("no configured provider serves it any more"));
}

/// A refused message goes where the service says, with its code.
#[tokio::test]
async fn a_rejected_message_goes_on_another_channel_with_the_same_code() {
    let (sms, whatsapp) = (StandIn::failing(Fail::Rejected).await, StandIn::new().await);
    let app = fallback(&sms, &whatsapp).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let found = client.sent(&started).await;
    assert_eq!((&found["channel"], &found["provider"]), (&json!("whatsapp"), &json!("b")));
    let events = client.events(&started).await;
    assert_eq!(events, ["verification.started", "verification.delivery_failed", "verification.resent", "verification.sent"]);
    let (refused, taken) = (sms.messages_to(&number(1), 1).await.remove(0), whatsapp.messages_to(&number(1), 1).await.remove(0));
    assert_eq!(code(&refused), code(&taken));
    assert_eq!(client.check(&started, &code(&taken)).await.expect(200)["valid"], true);
}

async fn fallback(sms: &StandIn, whatsapp: &StandIn) -> TestApp {
    let routes = "[[route]]\nchannel = \"sms\"\nproviders = [\"a\"]\n[[route]]\nchannel = \"whatsapp\"\nproviders = [\"b\"]\n";
    let service = format!("{BASE}channel_fallback = [\"sms\", \"whatsapp\"]\n");
    TestApp::with(&format!("{QUICK}\n{routes}\n{}\n{}\n{service}", sms.section("a"), whatsapp.section("b"))).await
}

/// A receipt that calls it undelivered has the same effect; the resends of the person count on.
#[tokio::test]
async fn an_undelivered_message_goes_on_another_channel() {
    let (sms, whatsapp) = (StandIn::new().await, StandIn::new().await);
    sms.receipts(Receipts::Failed);
    whatsapp.receipts(Receipts::Delivered);
    let app = fallback(&sms, &whatsapp).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    let found = eventually("it arrives", async || {
        let found = client.get(&started).await.expect(200);
        (found["delivery"] == "delivered").then_some(found)
    })
    .await;
    assert_eq!(found["channel"], "whatsapp");
    assert!(details(&found).contains(&"a: handset unreachable (30003)".to_owned()), "{found}");
    let (first, second) = (sms.messages_to(&number(1), 1).await.remove(0), whatsapp.messages_to(&number(1), 1).await.remove(0));
    assert_eq!(code(&first), code(&second), "one live code");
    assert_eq!((sms.received().len(), whatsapp.received().len()), (1, 1));
}

/// OPS-05: the key of a resend is answered as before, also when its message has gone on another channel since.
#[tokio::test]
async fn a_keyed_resend_is_the_same_after_its_message_changed_channels() {
    let (sms, whatsapp) = (StandIn::new().await, StandIn::new().await);
    let app = fallback(&sms, &whatsapp).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    client.sent(&started).await;
    sms.fail(Fail::Rejected);
    app.advance(60);
    let resend = format!("/v1/verifications/{}/resend", started["id"].as_str().expect("an id"));
    let first = client.post_once(&resend, "key-1", json!({})).await.expect(200);
    whatsapp.messages_to(&number(1), 1).await;
    assert_eq!(client.post_once(&resend, "key-1", json!({})).await.expect(200), first);
}

/// R06: what was perhaps sent is not sent again on another channel.
#[tokio::test]
async fn doubt_is_not_followed_by_another_channel() {
    let (sms, whatsapp) = (StandIn::failing(Fail::Garbage).await, StandIn::new().await);
    let app = fallback(&sms, &whatsapp).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    assert_eq!(started["delivery"], "failed");
    // Messages take turns: had this one been followed by another, it would be there before the next one's.
    sms.fail(Fail::Rejected);
    let other = client.started(json!({ "to": number(2) })).await;
    client.sent(&other).await;
    let to: Vec<_> = whatsapp.received().into_iter().map(|message| message.to).collect();
    assert_eq!(to, [format!("whatsapp:{}", number(2))]);
}

/// A provider with a fault of its own, which panics at the first message.
#[derive(Default)]
struct Faulty(AtomicUsize);

#[async_trait::async_trait]
impl MessageProvider for Faulty {
    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    async fn send(&self, _: &Message) -> Result<String, SendError> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("a fault in a provider"),
            number => Ok(format!("message-{number}")),
        }
    }
}

impl Faulty {
    /// A dispatcher with this provider alone, over the application's store.
    fn dispatcher(self: &Arc<Self>, app: &TestApp) -> Dispatcher {
        let engine = &app.app.engine;
        let policy = engine.policy("default");
        let providers = vec![Provider { name: "faulty".into(), family: Family::Message(Arc::clone(self) as _) }];
        let routes = Routes::new(Vec::new(), Routing::Ordered, &providers).expect("routes");
        let (failed, _followers) = tokio::sync::mpsc::unbounded_channel();
        let tools = Tools {
            store: Arc::clone(&engine.store),
            lease: Arc::clone(&engine.lease),
            clock: Arc::clone(&engine.clock),
            entropy: Arc::clone(&engine.entropy),
            renderer: Arc::new(Renderer::new([&policy].into_iter()).expect("texts")),
            references: app.app.references.clone(),
            inbox: None,
            metrics: Arc::clone(&app.app.metrics),
            retry_wait: Duration::from_millis(1),
            patience: Duration::from_secs(1),
            last_patience: Duration::from_secs(1),
            queue: 10,
            failed,
        };
        Dispatcher::new(providers, routes, tools)
    }
}

/// A message of that verification, and who hears when its fate is known.
async fn parcel(app: &TestApp, started: &Value) -> (Parcel, tokio::sync::oneshot::Receiver<Option<Objection>>) {
    let engine = &app.app.engine;
    let id = started["id"].as_str().expect("an id").parse().expect("a UUID");
    let (verification, _) = engine.get("default", id).await.expect("a store").expect("a verification");
    let (noted, hears) = tokio::sync::oneshot::channel();
    let code = Some(Code::parse("123456").expect("a code"));
    (Parcel { verification, code, policy: engine.policy("default"), wording: None, noted: Some(noted) }, hears)
}

/// A panic in one provider's file ends that message, and not the lane with all that wait in it.
#[tokio::test]
async fn a_provider_that_panics_keeps_its_lane() {
    let app = TestApp::new().await;
    let started = app.client().started(json!({ "to": number(1) })).await;
    let faulty = Arc::<Faulty>::default();
    let dispatcher = faulty.dispatcher(&app);
    for asked in 1..=2 {
        let (parcel, hears) = parcel(&app, &started).await;
        assert!(dispatcher.dispatch(parcel).is_ok());
        tokio::time::timeout(Duration::from_secs(10), hears).await.expect("its fate is known").expect("and told");
        assert_eq!(faulty.0.load(Ordering::Relaxed), asked);
    }
}

/// What waited while its verification was called off is dropped, and no provider is asked.
#[tokio::test]
async fn a_message_that_nobody_waits_for_is_dropped() {
    let app = TestApp::new().await;
    let client = app.client();
    let (wanted, unwanted) = (client.started(json!({ "to": number(1) })).await, client.started(json!({ "to": number(2) })).await);
    let (faulty, mut hears) = (Arc::<Faulty>::default(), Vec::new());
    let dispatcher = faulty.dispatcher(&app);
    let parcels = [parcel(&app, &unwanted).await, parcel(&app, &wanted).await];
    client.cancel(&unwanted).await.expect(200);
    app.advance(2);
    for (parcel, hear) in parcels {
        assert!(dispatcher.dispatch(parcel).is_ok());
        hears.push(tokio::time::timeout(Duration::from_secs(10), hear).await.expect("its fate is known").is_ok());
    }
    assert_eq!((hears, faulty.0.load(Ordering::Relaxed)), (vec![false, true], 1));
}
