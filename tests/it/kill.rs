//! R13: a server that is killed in the middle of its work. What it acknowledged is there when it comes back, and no code
//! passes twice. Five short rounds; the long version is in bench/. KILL_SEED, as a failure prints it, repeats the choices (not
//! the moment at which the disk was busy).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::actors::{Client, Inbox, eventually, id, number, wrong};
use crate::binary::{Binary, Running};
use crate::wire::Answer;

const ROUNDS: u32 = 5;
const PEOPLE: u32 = 8;

/// What was acknowledged to one person, in the order of the answers.
#[derive(Default)]
struct Acknowledged {
    started: Value,
    to: String,
    code: Option<String>,
    /// The smallest count of checks left that an answer named.
    attempts_left: u64,
    /// Answers that said "valid".
    valid: u32,
    /// Right answers whose fate nobody knows: the server died before it told.
    unknown: u32,
}

/// A call whose answer may never come.
async fn call(client: &Client, path: &str, body: Value) -> Option<Answer> {
    let bearer = format!("Bearer {}", client.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    client.wire.try_send("POST", path, &headers, body.to_string()).await.ok()
}

/// Starts, guesses wrong, answers right, over and over, until the server is gone.
async fn live(client: Client, inbox: Inbox, person: u32, mut luck: StdRng, book: Arc<Mutex<Vec<Acknowledged>>>) {
    for visit in 0.. {
        let to = number(person * 100_000 + visit);
        let Some(answer) = call(&client, "/v1/verifications", json!({ "to": to })).await else { return };
        let started = answer.expect(201);
        let check = format!("/v1/verifications/{}/check", id(&started));
        let mut acknowledged = Acknowledged { started, to, attempts_left: 5, ..Acknowledged::default() };
        let alive = visit_once(&client, &inbox, &check, &mut luck, &mut acknowledged).await;
        book.lock().expect("nobody panics with the book").push(acknowledged);
        if alive.is_none() {
            return;
        }
    }
}

async fn visit_once(client: &Client, inbox: &Inbox, check: &str, luck: &mut StdRng, acknowledged: &mut Acknowledged) -> Option<()> {
    let code = code_of(inbox, &acknowledged.started).await?;
    acknowledged.code = Some(code.clone());
    for step in 0..luck.random_range(0..4_u8) {
        let checked = call(client, check, json!({ "code": wrong(&code, step + 1) })).await?.expect(200);
        assert_eq!(checked["valid"], false);
        acknowledged.attempts_left = checked["attempts_left"].as_u64()?;
    }
    for _ in 0..luck.random_range(0..3) {
        acknowledged.unknown += 1;
        let checked = call(client, check, json!({ "code": code })).await?.expect(200);
        acknowledged.unknown -= 1;
        acknowledged.valid += u32::from(checked["valid"] == true);
    }
    Some(())
}

/// None: the server is gone.
async fn code_of(inbox: &Inbox, started: &Value) -> Option<String> {
    loop {
        let messages = inbox.wire.try_send("GET", "/dev/inbox.json?limit=200", &[], "").await.ok()?.expect(200);
        let mut messages = messages.as_array()?.iter();
        if let Some(message) = messages.find(|message| message["verification"] == started["id"]) {
            return Some(message["code"].as_str()?.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let seed: u64 = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("KILL_SEED={seed}");
    let mut luck = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        // One disk write a commit, as in production: that is what is tested.
        let binary = Binary::new().with("COUNTERSIGN_CONSOLE__PRINT", "false");
        let server = binary.serve().await;
        let book = Arc::<Mutex<Vec<Acknowledged>>>::default();
        let mut people = JoinSet::new();
        for person in 0..PEOPLE {
            people.spawn(live(server.client(), server.inbox(), person, StdRng::from_rng(&mut luck), Arc::clone(&book)));
        }
        let at_work = || !book.lock().expect("nobody panics with the book").is_empty();
        eventually("the work begins", async || at_work().then_some(())).await;
        tokio::time::sleep(Duration::from_millis(luck.random_range(10..300))).await;
        server.kill();
        people.join_all().await;

        let server = binary.serve().await;
        let book = Arc::into_inner(book).expect("the people are gone").into_inner().expect("nobody panicked");
        println!("round {round}: {} verifications", book.len());
        for acknowledged in &book {
            verify(&server, acknowledged, &format!("KILL_SEED={seed} round {round} {}", acknowledged.started)).await;
        }
    }
}

async fn verify(server: &Running, acknowledged: &Acknowledged, what: &str) {
    let client = server.client();
    let found = client.get(&acknowledged.started).await.expect(200);
    assert!(acknowledged.valid <= 1, "{what}: passed {} times", acknowledged.valid);
    let left = found["attempts_left"].as_u64().expect("a count");
    assert!(left <= acknowledged.attempts_left, "{what}: {left} checks left, {} were acknowledged", acknowledged.attempts_left);
    if acknowledged.valid == 1 {
        assert_eq!(found["status"], "approved", "{what}");
    } else if acknowledged.unknown == 0 {
        assert_ne!(found["status"], "approved", "{what}");
    }
    let events = client.events(&acknowledged.started).await;
    let approvals = events.iter().filter(|event| *event == "verification.approved").count();
    assert_eq!(approvals, usize::from(found["status"] == "approved"), "{what}: {events:?}");
    if let Some(code) = &acknowledged.code {
        let passes = found["status"] == "pending";
        assert_eq!(client.check(&acknowledged.started, code).await.expect(200)["valid"], passes, "{what}");
        assert_eq!(client.check(&acknowledged.started, code).await.expect(200)["valid"], false, "{what}: again");
    }
    // The destination's limit was taken in the same step, and a restart does not give it back.
    client.start(json!({ "to": acknowledged.to })).await.problem(429, "limited");
}
