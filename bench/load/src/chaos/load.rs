//! People who start and check, at whichever replica, until they are told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;

use crate::chaos::cluster::Cluster;
use crate::scenario::WRONG_CODE;

/// How long somebody waits for a message before giving up on it.
const PATIENCE: Duration = Duration::from_secs(4);

/// Numbers that nobody used before.
#[derive(Debug, Default)]
pub struct Numbers(AtomicU64);

impl Numbers {
    /// The next one.
    pub fn next_number(&self) -> String {
        format!("+49151{:08}", 10_000_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// One visit after another. Each start has a key, so that it may be asked again.
pub fn live(cluster: &Cluster, numbers: &Numbers, mut random: Rng, stop: &AtomicBool) {
    let mut caller = cluster.caller();
    while !stop.load(Ordering::Relaxed) {
        let to = numbers.next_number();
        let (first, key) = (random.usize(0..cluster.ports.len()), format!("key-{:016x}", random.u64(..)));
        let Some(id) = caller.start_somewhere(first, &to, &key) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        // Now and then the answer got lost on the way, and the caller asks again, elsewhere.
        if random.u8(..) < 64 {
            caller.start((first + 1) % cluster.ports.len(), &to, Some(&key));
        }
        // Or somebody else wants a code for the same number at the same moment.
        if random.u8(..) < 32 {
            caller.start(random.usize(0..cluster.ports.len()), &to, None);
        }
        let Some(code) = cluster.sink.awaited(&to, PATIENCE) else { continue };
        visit(cluster, &id, &code, &mut random);
    }
}

/// Some guesses and, mostly, the right code, several at once.
fn visit(cluster: &Cluster, id: &str, code: &str, random: &mut Rng) {
    let (guesses, rights) = (random.u32(0..7), random.u32(0..3));
    let cancels = random.u8(..) < 24;
    std::thread::scope(|scope| {
        let mut places = || random.usize(0..cluster.ports.len());
        for _ in 0..guesses {
            let place = places();
            scope.spawn(move || cluster.caller().check(place, id, WRONG_CODE));
        }
        for _ in 0..rights {
            let place = places();
            scope.spawn(move || cluster.caller().check(place, id, code));
        }
        if cancels {
            let place = places();
            scope.spawn(move || cluster.caller().cancel(place, id));
        }
    });
    let mut caller = cluster.caller();
    caller.get(random.usize(0..cluster.ports.len()), id);
    if rights > 0 {
        caller.check(random.usize(0..cluster.ports.len()), id, code);
    }
}
