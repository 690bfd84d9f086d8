//! Load until the kill, then the verification.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;

use crate::scenario::WRONG_CODE;
use crate::soak::client::{Answer, Client};
use crate::soak::ledger::{Entry, Ledger, Right};
use crate::soak::server::Server;

/// Where the verifications' phone numbers come from; shared, so that no number is used twice.
#[derive(Debug, Default)]
pub struct NumberSource(AtomicU64);

impl NumberSource {
    fn next_number(&self) -> String {
        format!("+49151{:08}", self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Applies load from `workers` threads, kills the server after `delay`, and returns what was acknowledged.
pub fn load_and_kill(server: &mut Server, workers: usize, delay: Duration, numbers: &NumberSource, random: &mut Rng) -> Result<Ledger> {
    let (port, key) = (server.port, server.key.clone());
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| {
                let (key, random) = (&key, random.fork());
                scope.spawn(move || Worker::new(random).work(port, key, numbers))
            })
            .collect();
        std::thread::sleep(delay);
        server.kill()?;
        let mut ledger = Ledger::default();
        for handle in handles {
            ledger.absorb(handle.join().ok().context("a worker panicked")?);
        }
        Ok(ledger)
    })
}

struct Worker {
    ledger: Ledger,
    random: Rng,
}

impl Worker {
    fn new(random: Rng) -> Self {
        Self { ledger: Ledger::default(), random }
    }

    /// Starts and checks until no answer comes any more.
    fn work(mut self, port: u16, key: &str, numbers: &NumberSource) -> Ledger {
        if let Ok(mut client) = Client::connect(port, key) {
            while self.one_verification(&mut client, numbers).is_ok() {}
            self.ledger.unknown += 1;
        }
        self.ledger
    }

    /// A start, some wrong codes, and now and then the right one.
    fn one_verification(&mut self, client: &mut Client, numbers: &NumberSource) -> std::io::Result<()> {
        // Never the code that stands for a wrong one.
        let code = format!("{:06}", self.random.u32(1..1_000_000));
        let started = client.start(&numbers.next_number(), &code)?;
        let Some(id) = started.text("id").filter(|_| started.status == 201) else {
            self.report("start", &started);
            return Ok(());
        };
        let mut entry = Entry::new(id, &code);
        let outcome = self.checks(client, &mut entry);
        self.ledger.entries.push(entry);
        outcome
    }

    fn checks(&mut self, client: &mut Client, entry: &mut Entry) -> std::io::Result<()> {
        for _ in 0..self.random.u32(0..4) {
            // Noted before it is sent, and settled by the answer.
            entry.wrong_unknown += 1;
            let answer = client.check(&entry.id, WRONG_CODE)?;
            entry.wrong_unknown -= 1;
            entry.wrong += 1;
            if !answer.is_checked() || answer.is_valid() {
                self.report("a wrong code", &answer);
            }
        }
        if self.random.bool() {
            entry.right = Right::Unknown;
            let answer = client.check(&entry.id, &entry.code)?;
            entry.right = Right::Accepted;
            if !answer.is_checked() || !answer.is_valid() {
                entry.right = Right::Unknown;
                self.report("a right code", &answer);
            }
        }
        Ok(())
    }

    fn report(&mut self, what: &str, answer: &Answer) {
        let body = String::from_utf8_lossy(&answer.body);
        self.ledger.violations.push(format!("{what} was answered {}: {body}", answer.status));
    }
}

/// Holds the restarted server to what it acknowledged, with `workers` clients at once; returns what it broke.
pub fn verify(server: &Server, workers: usize, entries: &[Entry]) -> Result<Vec<String>> {
    let share = entries.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let handles: Vec<_> = entries.chunks(share).map(|share| scope.spawn(move || verify_share(server, share))).collect();
        let mut violations = Vec::new();
        for handle in handles {
            violations.extend(handle.join().ok().context("a verifier panicked")??);
        }
        Ok(violations)
    })
}

fn verify_share(server: &Server, entries: &[Entry]) -> Result<Vec<String>> {
    let mut client = Client::connect(server.port, &server.key)?;
    let mut violations = Vec::new();
    for entry in entries {
        let broken = verify_one(&mut client, entry).context("a healthy server must answer")?;
        violations.extend(broken.into_iter().map(|what| format!("{}: {what}", entry.id)));
    }
    Ok(violations)
}

fn verify_one(client: &mut Client, entry: &Entry) -> std::io::Result<Vec<String>> {
    let mut broken = Vec::new();
    let found = client.get(&format!("/v1/verifications/{}", entry.id))?;
    if found.status != 200 {
        broken.push(format!("an acknowledged start is gone: {}", found.status));
        return Ok(broken);
    }
    let status = found.text("status").unwrap_or_default();
    match entry.right {
        Right::Accepted if status != "approved" => {
            broken.push(format!("its code was accepted, and it is {status}"));
        }
        Right::Unsent if status != "pending" => broken.push(format!("nobody sent its code, and it is {status}")),
        _ => {}
    }
    match found.attempts_left().map(|left| entry.judge_attempts(left)) {
        Some(Err(problem)) => broken.push(problem),
        None => broken.push(String::from("the answer has no attempts_left")),
        Some(Ok(())) => {}
    }
    // Whatever the crash did, the right code may pass once more only if no answer ever said that it had passed;
    // and after this first try it may not pass again.
    let first = client.check(&entry.id, &entry.code)?;
    let second = client.check(&entry.id, &entry.code)?;
    if entry.right == Right::Accepted && first.is_valid() {
        broken.push(String::from("a code that was accepted is accepted again"));
    }
    if entry.right == Right::Unsent && !first.is_valid() {
        broken.push(format!("its unused code is refused: {}", first.status));
    }
    if second.is_valid() {
        broken.push(String::from("the same code was accepted twice in a row"));
    }
    Ok(broken)
}
