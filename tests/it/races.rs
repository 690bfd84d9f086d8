//! Many at once. Each test here must fail when a check reads first and writes later.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::actors::{Client, id, number};
use crate::app::TestApp;
use crate::wire::Wire;

/// A01, ATT-04: five hundred guesses at once, over HTTP/1.1 and HTTP/2; five are evaluated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_wrong_guesses_at_once_are_five() {
    let app = TestApp::with("[service.default]\ncode_length = 10").await;
    let client = app.client();
    let multiplexed = Client { wire: Wire::http2(app.address).await, key: client.key.clone() };
    for round in 0..3 {
        let started = Arc::new(client.started(json!({ "to": number(round) })).await);
        let code = app.inbox().code(&started).await;
        let mut guesses = JoinSet::new();
        for guess in 0..500_u64 {
            let client = if guess % 2 == 0 { client.clone() } else { multiplexed.clone() };
            let started = Arc::clone(&started);
            // Never the code itself.
            let guess = (code.parse::<u64>().expect("digits") + 1 + guess) % 10_000_000_000;
            guesses.spawn(async move { client.check(&started, &format!("{guess:010}")).await.expect(200) });
        }
        let answers = guesses.join_all().await;
        assert!(answers.iter().all(|answer| answer["valid"] == false));
        let mut left: Vec<u64> = answers.iter().filter(|answer| answer["status"] == "pending").map(attempts_left).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 2, 3, 4], "each count was handed out once");
        let evaluated = client.events(&started).await.iter().filter(|event| *event == "verification.checked").count();
        assert_eq!(evaluated, 5);
        assert_eq!(client.check(&started, &code).await.expect(200)["valid"], false, "the right code comes too late");
    }
}

/// A02, OTP-04: two hundred times the right code at once; it passes once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_right_answers_at_once_pass_once() {
    let app = TestApp::new().await;
    let client = app.client();
    let multiplexed = Client { wire: Wire::http2(app.address).await, key: client.key.clone() };
    for round in 0..10 {
        let started = Arc::new(client.started(json!({ "to": number(round) })).await);
        let code = app.inbox().code(&started).await;
        let mut answers = JoinSet::new();
        for answer in 0..200 {
            let client = if answer % 2 == 0 { client.clone() } else { multiplexed.clone() };
            let (started, code) = (Arc::clone(&started), code.clone());
            // By id and by destination: two doors, one count (ATT-06).
            let by_destination = json!({ "to": number(round), "code": code });
            answers.spawn(async move {
                if answer % 4 < 2 { client.check(&started, &code).await } else { client.check_destination(by_destination).await }
            });
        }
        let answers = answers.join_all().await;
        let valid = answers.iter().filter(|answer| answer.status == 200 && answer.json()["valid"] == true).count();
        assert_eq!(valid, 1, "round {round}");
        let approvals = client.events(&started).await.iter().filter(|event| *event == "verification.approved").count();
        assert_eq!(approvals, 1, "round {round}");
    }
}

/// The published tutorial reads, compares and deletes in three steps, so that one code passes several times at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_equal_right_answers_to_the_tutorial_pass_once() {
    let app = TestApp::with("[service.default]\nlimits.ip_checks = \"10000/1h\"").await;
    let stranger = app.stranger();
    for round in 0..10 {
        stranger.post("/send-code", &[], json!({ "phoneNumber": number(round) })).await.expect(200);
        let code = tutorial_code(&app, &number(round)).await;
        let mut answers = JoinSet::new();
        for _ in 0..50 {
            let (stranger, body) = (stranger.clone(), json!({ "phoneNumber": number(round), "smsCode": code }));
            answers.spawn(async move { stranger.post("/verify-code", &[], body).await.status });
        }
        let answers = answers.join_all().await;
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "round {round}");
        assert_eq!(answers.iter().filter(|status| **status == 400).count(), 49, "round {round}");
    }
}

/// A resend, a cancel and right answers at once: at most one answer passes, and what stands in the end is one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resends_cancels_and_checks_at_once_end_in_one_way() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let client = app.client();
    for round in 0..20 {
        let started = Arc::new(client.started(json!({ "to": number(round) })).await);
        let code = app.inbox().code(&started).await;
        let mut work = JoinSet::new();
        for step in 0..12 {
            let (client, started, code) = (client.clone(), Arc::clone(&started), code.clone());
            work.spawn(async move {
                match step % 4 {
                    0 => client.resend(&started).await,
                    1 => client.cancel(&started).await,
                    _ => client.check(&started, &code).await,
                }
            });
        }
        let answers = work.join_all().await;
        assert!(answers.iter().all(|answer| answer.status < 500), "round {round}");
        let valid = answers.iter().filter(|answer| answer.status == 200 && answer.json()["valid"] == true).count();
        let found = client.get(&started).await.expect(200);
        let approvals = client.events(&started).await.iter().filter(|event| *event == "verification.approved").count();
        assert_eq!((valid, approvals), if found["status"] == "approved" { (1, 1) } else { (0, 0) }, "round {round}: {found}");
    }
}

/// One place is left in the destination's limit: of many starts at once, one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_starts_at_once_do_not_outrun_the_limit() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let client = app.client();
    let mut starts = JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        starts.spawn(async move { client.start(json!({ "to": number(1) })).await.status });
    }
    let statuses = starts.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 5);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 95);
    assert_eq!(app.messages_in_the_end().await, 5);
}

fn attempts_left(answer: &Value) -> u64 {
    answer["attempts_left"].as_u64().expect("a count")
}

/// The tutorial's routes give no id: its code is the newest one to that number.
async fn tutorial_code(app: &TestApp, to: &str) -> String {
    crate::actors::eventually("the tutorial's code", async || {
        let messages = app.inbox().messages().await;
        let message = messages.iter().find(|message| message["to"] == to)?;
        assert_eq!(id(message).split('.').next_back(), Some("1"));
        Some(message["code"].as_str()?.to_owned())
    })
    .await
}
