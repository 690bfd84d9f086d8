//! What lies in Redis: nothing that can be read as a code, nothing that stays for ever.

use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::{DAY, empty};
use crate::secret::Pepper;
use crate::verification::limit::{LimitName, Quota, Rule, SendRule, Take};
use crate::verification::model::Origin;
use crate::verification::store::conformance::fixtures::{NOW, SERVICE, approve, attempt, claim, start, verification};
use crate::verification::store::{AttemptOutcome, Delivered, Sending, Store};

async fn ttl(server: &Server, key: &str) -> i64 {
    redis::from_redis_value(server.ask(&["PTTL", key]).await.expect("an answer")).expect("a number")
}

/// After 10,000 verifications of every fate, housekeeping leaves only keys that end by themselves, and those soon.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn no_key_stays_for_ever() {
    let server = Server::start(&[]).await;
    let store = empty(&server.url());
    let rule = Arc::new(SendRule { quotas: vec![Quota { count: 5, per: Duration::from_secs(1) }], waits: Vec::new() });
    let one = async |number: u32| {
        let mut start = start(verification(number, number));
        let key = start.verification.sends_key();
        start.takes = vec![
            Take { key, name: LimitName::Destination, rule: Rule::Windows(Arc::clone(&rule)) },
            Take { key: [1; 16], name: LimitName::Service, rule: Rule::Rate(Quota { count: 1_000_000, per: Duration::from_secs(1) }) },
        ];
        start.idempotency = (number.is_multiple_of(10)).then(|| claim((number / 10 % 250) as u8, 1)).flatten();
        if let Ok(Sending::Queued(row, _)) = store.start(start).await {
            if !number.is_multiple_of(3) {
                let result = Ok(("console".to_owned(), format!("reference-{number}")));
                store.delivered(vec![Delivered { id: row.id, message: 1, result, now: NOW }]).await.expect("noted");
            }
            match number % 4 {
                0 => drop(store.cancel(SERVICE, row.id, Origin::default(), None, NOW).await.expect("an answer")),
                1 => assert!(matches!(store.attempt(attempt(row.id, NOW)).await, Ok(AttemptOutcome::Judge(_)))),
                2 => assert!(store.approve(approve(row.id)).await.expect("an answer")),
                _ => {}
            }
        }
    };
    for hundred in 0..100_u32 {
        futures_util::future::join_all((0..100).map(|number| one(hundred * 100 + number))).await;
    }
    let before = server.keys().await.len();
    assert!(before > 20_000, "{before} keys: nothing was stored");
    for key in server.keys().await {
        let ends = ttl(&server, &key).await;
        let is_ledger = key.ends_with(":failures");
        // -1 is for ever; -2: it has ended since it was listed.
        assert!(is_ledger || ends == -2 || (0..=91 * DAY.as_millis() as i64).contains(&ends), "{key} ends in {ends} ms");
    }
    let later = NOW + 91 * DAY;
    while store.sweep(later - 90 * DAY, later).await.expect("housekeeping") > 0 {}
    let mut left = server.keys().await;
    left.retain(|key| !key.contains(":b:") && !key.contains(":i:") && !key.contains(":f:") && !key.ends_with(":failures"));
    // Lists by destination are cut when they are next used, and end by themselves.
    left.retain(|key| !key.contains(":p:") && !key.contains(":d:"));
    assert!(left.is_empty(), "{} keys, as {:?}", left.len(), left.first());
}

/// OTP-07, A01: neither keys nor values nor what is sent to Redis holds a code, and no key holds an address.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn no_code_is_in_redis() {
    let server = Server::start(&["--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no"]).await;
    let store = empty(&server.url());
    let pepper = Pepper::new(&[7; 32]).expect("long enough");
    let mut secrets = Vec::new();
    for number in 0..50 {
        let mut row = verification(number, number);
        row.seed = [number as u8 ^ 0x5a; 16];
        let code = pepper.derive_code(&row.seed, &row.code_context(), 8);
        row.tag = pepper.tag(&row.code_context(), &code);
        secrets.push(code.expose().to_owned());
        let mut keyed = start(row.clone());
        keyed.idempotency = claim(number as u8, 1);
        assert!(matches!(store.start(keyed).await, Ok(Sending::Queued(..))));
        assert!(matches!(store.attempt(attempt(row.id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
    }
    // The append-only file is every write, word for word: keys and values.
    let mut written = Vec::new();
    let directory = server.path("appendonlydir");
    for file in std::fs::read_dir(directory).expect("the append-only files") {
        written.extend(std::fs::read(file.expect("a file").path()).expect("its bytes"));
    }
    let has = |needle: &[u8]| written.windows(needle.len()).any(|window| window == needle);
    assert!(has(verification(1, 1).id.simple().to_string().as_bytes()), "the file holds no rows");
    for code in &secrets {
        assert!(!has(code.as_bytes()), "a code is in Redis");
    }
    for key in server.keys().await {
        assert!(!key.contains("4915") && !key.contains('+'), "{key} has an address in it");
    }
}
