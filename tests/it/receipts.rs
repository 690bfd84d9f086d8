//! OPS-04, R07: receipts. Signed, about a message of ours, and harmless in any order and number.

use countersign::dev_provider::AUTH_TOKEN;
use countersign::dev_provider::knobs::Receipts;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use crate::actors::{Client, eventually, number};
use crate::app::TestApp;
use crate::stand_in::{StandIn, post_receipt};
use crate::wire::Wire;

const SERVICE: &str = "[service.default]\ncode_length = 10\n";

async fn delivered(client: &Client, verification: &Value) -> Value {
    eventually("it arrives", async || {
        let found = client.get(verification).await.expect(200);
        (found["delivery"] == "delivered").then_some(found)
    })
    .await
}

async fn counted(app: &TestApp, result: &str) -> u64 {
    let metrics = Wire::new(app.admin_address).get("/metrics", &[]).await.body;
    let name = format!("result=\"{result}\"}}");
    let lines = metrics.lines().filter(|line| line.starts_with("countersign_receipts_total") && line.contains(&name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// The stand-in's own receipts, as they come: sent, then delivered, on the timeline with the provider's name.
#[tokio::test]
async fn receipts_are_on_the_timeline() {
    let one = StandIn::new().await;
    one.receipts(Receipts::Delivered);
    let app = TestApp::with(&format!("{SERVICE}{}", one.section("a"))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    delivered(&client, &started).await;
    let events = client.events(&started).await;
    assert_eq!(events.last().map(String::as_str), Some("verification.delivered"), "{events:?}");
    let answered = eventually("both are answered", async || {
        let receipts = one.received().remove(0).receipts;
        (receipts.len() == 2).then_some(receipts)
    })
    .await;
    assert_eq!(answered, ["sent: 200", "delivered: 200"]);
}

/// R07: every receipt a hundred times, shuffled. The same end as in order, one event and one count for each state.
#[tokio::test]
async fn duplicates_and_disorder_change_nothing() {
    let one = StandIn::new().await;
    let app = TestApp::with(&format!("{SERVICE}resend_waits = []\n{}", one.section("a"))).await;
    let client = app.client();
    for seed in 0..4 {
        let to = number(seed as u32);
        let started = client.started(json!({ "to": to, "wait": true })).await;
        let message = one.messages_to(&to, 1).await.remove(0);
        let mut all: Vec<_> = ["queued", "sending", "sent", "delivered", "undelivered"].iter().flat_map(|status| [*status; 20]).collect();
        all.shuffle(&mut StdRng::seed_from_u64(seed));
        let before = counted(&app, "delivered").await;
        // Many at once, too.
        for batch in all.chunks(10) {
            let posts = batch.iter().map(|status| post_receipt(&app.wire, &message, status, AUTH_TOKEN));
            for answer in futures_util::future::join_all(posts).await {
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
        }
        let found = client.get(&started).await.expect(200);
        assert_eq!(found["delivery"], "delivered", "seed {seed}");
        let events = client.events(&started).await;
        let count = |name: &str| events.iter().filter(|event| *event == name).count();
        assert_eq!(count("verification.delivered"), 1, "{events:?}");
        assert!(count("verification.delivery_failed") <= 1 && count("verification.sent") == 1, "{events:?}");
        assert_eq!(counted(&app, "delivered").await - before, 1, "counted once");
    }
    println!("R07: 4 times 100 shuffled receipts: delivered each time, counted once each");
}

/// OPS-04: without the right signature, or about no message of this provider's, nothing moves.
#[tokio::test]
async fn forged_receipts_are_refused() {
    let (one, other) = (StandIn::new().await, StandIn::new().await);
    let app = TestApp::with(&format!("{SERVICE}resend_waits = []\n{}{}", one.section("a"), other.section("b"))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    let message = one.messages_to(&number(1), 1).await.remove(0);

    post_receipt(&app.wire, &message, "delivered", "another-token").await.problem(403, "forbidden");
    let callback = message.callback.clone().expect("a callback");
    let path = callback.strip_prefix(&format!("http://{}", app.address)).expect("our own address");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    app.wire.send("POST", path, &form, "MessageStatus=delivered").await.problem(403, "forbidden");
    assert_eq!(counted(&app, "forged").await, 2);

    // Signed rightly, but about a message that the other provider has, or that nobody has, or of nobody's making.
    let changed = |from: &str, to: &str| {
        let mut changed = message.clone();
        changed.callback = Some(callback.replace(from, to));
        assert_ne!(changed.callback, message.callback);
        changed
    };
    let end = callback.chars().last().expect("a reference").to_string();
    let mut made_up = message.clone();
    made_up.callback = Some(format!("{}{}", callback.trim_end_matches(&end), if end == "A" { "B" } else { "A" }));
    for (forged, why) in
        [(changed("/webhooks/a", "/webhooks/b"), "another provider's"), (made_up, "made up"), (changed("?ref=", "?no="), "none")]
    {
        assert_eq!(post_receipt(&app.wire, &forged, "delivered", AUTH_TOKEN).await.status, 200, "{why}");
    }
    assert_eq!(counted(&app, "unknown").await, 3);
    app.wire.send("POST", "/webhooks/nobody?ref=x", &form, "").await.problem(404, "not_found");
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "sent", "nothing moved");

    // Stale: the message before, after another one was sent.
    client.resend(&started).await.expect(200);
    one.messages_to(&number(1), 2).await;
    client.sent(&started).await;
    assert_eq!(post_receipt(&app.wire, &message, "undelivered", AUTH_TOKEN).await.status, 200);
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "sent", "the older message's fate is history");
    assert_eq!(counted(&app, "changed_nothing").await, 1);
}

/// Behind a proxy: what the provider signs is the public URL, which only the configuration knows.
#[tokio::test]
async fn the_public_url_is_what_is_signed() {
    let one = StandIn::new().await;
    let app = TestApp::with(&format!("[server]\npublic_url = \"https://otp.example\"\n{SERVICE}{}", one.section("a"))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    let message = one.messages_to(&number(1), 1).await.remove(0);
    assert!(message.callback.as_ref().is_some_and(|url| url.starts_with("https://otp.example/webhooks/a?ref=")), "{:?}", message.callback);
    let answer = post_receipt(&app.wire, &message, "delivered", AUTH_TOKEN).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "delivered");
}

/// OPS: a message that never arrived lifts the wait before the next one.
#[tokio::test]
async fn a_failed_receipt_frees_the_resend() {
    let one = StandIn::new().await;
    let app = TestApp::with(&format!("{SERVICE}{}", one.section("a"))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1), "wait": true })).await;
    client.resend(&started).await.problem(429, "limited");
    let message = one.messages_to(&number(1), 1).await.remove(0);
    post_receipt(&app.wire, &message, "undelivered", AUTH_TOKEN).await;
    let failed = client.get(&started).await.expect(200);
    assert_eq!((&failed["delivery"], &failed["sends_left"]), (&json!("failed"), &json!(5)));
    client.resend(&started).await.expect(200);
}

/// One provider was silent and the next one has the message: that the first one's copy failed is no news.
#[tokio::test]
async fn the_failure_of_a_copy_does_not_overrule_who_has_the_message() {
    let (late, up) = (StandIn::new().await, StandIn::new().await);
    late.delay(900);
    let quick = "[delivery]\npatience = \"200ms\"\n";
    let app = TestApp::with(&format!("{quick}{SERVICE}{}{}", late.section("a"), up.section("b"))).await;
    let client = app.client();
    let started = client.started(json!({ "to": number(1) })).await;
    assert_eq!(client.sent(&started).await["provider"], "b");
    let copy = late.messages_to(&number(1), 1).await.remove(0);
    assert_eq!(post_receipt(&app.wire, &copy, "undelivered", AUTH_TOKEN).await.status, 200);
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "sent");
    assert_eq!(post_receipt(&app.wire, &copy, "delivered", AUTH_TOKEN).await.status, 200);
    assert_eq!(client.get(&started).await.expect(200)["delivery"], "delivered", "that it arrived is, whosever copy it was");
}
