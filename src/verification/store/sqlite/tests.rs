//! What the conformance suite cannot see from outside: files, restarts, and batches that are undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{OpenError, SqliteStore};
use crate::audit::AuditLog;
use crate::clock::Timestamp;
use crate::db::Synchronous;
use crate::verification::limit::{LimitName, Quota, Rule, SendRule, Take};
use crate::verification::model::Verification;
use crate::verification::store::conformance::fixtures::{
    NOW, SERVICE, approve, attempt, claim, destination, limit, resend, start, verification,
};
use crate::verification::store::ledger::database;
use crate::verification::store::{AttemptOutcome, Delivered, Receipt, ReceiptState, Sending, Start, Store, StoreError, Target};

fn open(path: &std::path::Path, now: Timestamp) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, Synchronous::Full, Arc::new(AuditLog), now)
}

fn limited(number: u32) -> Start {
    let mut start = start(verification(number, number));
    start.takes = vec![limit(1, 3)];
    start
}

/// ATT-02, R13: what was counted before a restart counts after it.
#[tokio::test]
async fn a_restart_forgets_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let first = verification(1, 1);
    {
        let store = open(&path, NOW).expect("opens");
        let mut keyed = limited(1);
        keyed.idempotency = claim(1, 1);
        assert!(matches!(store.start(keyed).await, Ok(Sending::Queued(..))));
        assert!(matches!(store.start(limited(2)).await, Ok(Sending::Queued(..))));
        assert!(matches!(store.attempt(attempt(first.id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
    }
    let store = open(&path, NOW + Duration::from_secs(1)).expect("opens again");
    assert!(matches!(store.start(limited(3)).await, Ok(Sending::Queued(..))), "one of three is left");
    assert!(matches!(store.start(limited(4)).await, Ok(Sending::Limited(_))), "the limit was forgotten");
    let mut again = limited(5);
    again.idempotency = claim(1, 1);
    assert!(matches!(store.start(again).await, Ok(Sending::Replayed(same)) if same.id == first.id), "the key was forgotten");
    let mut by_destination = attempt(first.id, NOW);
    by_destination.target = Target::Newest { purpose: "login".into(), destination: destination(1).key() };
    let outcome = store.attempt(by_destination).await;
    assert!(matches!(&outcome, Ok(AttemptOutcome::Judge(row)) if row.id == first.id && row.attempts == 2), "{outcome:?}");
    assert_eq!(store.undelivered(NOW).await.map(|rows| rows.len()).ok(), Some(3));
}

#[tokio::test]
async fn two_servers_cannot_share_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let store = open(&path, NOW).expect("opens");
    assert!(matches!(open(&path, NOW), Err(OpenError::InUse(_))));
    drop(store);
    assert!(open(&path, NOW).is_ok(), "the lock outlived its holder");
}

/// A transition that fails, or panics, undoes its whole batch, in the database and in memory; the next one works.
#[tokio::test]
async fn an_undone_batch_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("store.db"), NOW).expect("opens");
    assert!(matches!(store.start(limited(1)).await, Ok(Sending::Queued(..))));
    let failing: Result<(), _> = store
        .run(|ledger| {
            ledger.start(limited(2))?;
            Err(StoreError::Overloaded)
        })
        .await;
    assert!(matches!(failing, Err(StoreError::Overloaded)));
    let panicking: Result<(), _> = store
        .run(|ledger| {
            ledger.start(limited(3))?;
            panic!("as a bug would")
        })
        .await;
    assert!(matches!(panicking, Err(StoreError::Closed)));
    for number in [2, 3] {
        let gone = store.get(SERVICE, verification(number, number).id).await.expect("the store answers");
        assert!(gone.is_none(), "verification {number} of an undone batch is there");
    }
    assert!(matches!(store.start(limited(2)).await, Ok(Sending::Queued(..))), "the undone ones took from the limit");
    assert!(matches!(store.start(limited(3)).await, Ok(Sending::Queued(..))), "the undone ones took from the limit");
    assert!(matches!(store.start(limited(4)).await, Ok(Sending::Limited(_))));
}

/// The state is made of the row and its events, and it is the one that was kept in memory, to the last field.
#[tokio::test]
async fn what_is_read_back_is_what_was_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let ids = [1, 2, 3].map(|number| verification(number, number).id);
    let sent = |number: u32, message| Delivered {
        id: verification(number, number).id,
        message,
        result: Ok(("console".into(), format!("reference-{message}"))),
        now: NOW,
    };
    let states = async |store: &SqliteStore| {
        let mut states = Vec::new();
        for id in ids {
            states.push(format!("{:?}", store.get(SERVICE, id).await.expect("the store answers").expect("a verification").0));
        }
        states
    };
    let kept = {
        let store = open(&path, NOW).expect("opens");
        for number in [1, 2, 3] {
            assert!(matches!(store.start(limited(number)).await, Ok(Sending::Queued(..))));
        }
        assert!(matches!(store.delivered(vec![sent(1, 1), sent(2, 1)]).await, Ok(2)));
        assert!(matches!(store.attempt(attempt(ids[0], NOW)).await, Ok(AttemptOutcome::Judge(_))));
        let (first, _) = store.get(SERVICE, ids[0]).await.expect("the store answers").expect("a verification");
        assert!(matches!(store.resend(resend(&first)).await, Ok(Sending::Queued(..))));
        assert!(matches!(store.approve(approve(ids[1])).await, Ok(true)));
        let failed = Receipt {
            id: ids[2],
            message: 1,
            provider: "console".into(),
            state: ReceiptState::Failed,
            detail: "console: gone".into(),
            now: NOW,
        };
        assert!(matches!(store.receipt(failed).await, Ok(Some(_))));
        states(&store).await
    };
    assert!(kept[0].contains("delivered_by: None") && kept[0].contains("channel: Whatsapp"), "{}", kept[0]);
    assert_eq!(states(&open(&path, NOW).expect("opens again")).await, kept);
}

/// A file of the first schema opens with everything where it stood.
#[tokio::test]
async fn the_first_schema_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let (now, id) = (verification(7, 7).created_at, verification(7, 7).id);
    {
        let first = rusqlite::Connection::open(&path).expect("sqlite");
        first.execute_batch(include_str!("../../../../migrations/embedded/0001_first.sql")).expect("the first schema");
        first.pragma_update(None, "user_version", 1).expect("its version");
        first
            .execute(
                "INSERT INTO verification VALUES (?1, ?2, 'login', '+4915112345678', 'DE', 'sms', NULL, 'en', 'pending', 2, 1, 2, 3, 5, \
                 zeroblob(16), 7, zeroblob(32), 0, zeroblob(16), ?3, ?4, NULL, 'sent', 'console', 'reference-1', '{\"order\":\"7\"}')",
                rusqlite::params![id.as_bytes(), SERVICE, now.0, (now + Duration::from_secs(300)).0],
            )
            .expect("a verification");
        for (revision, kind) in ["verification.started", "verification.sent", "verification.checked"].into_iter().enumerate() {
            let event = rusqlite::params![id.as_bytes(), revision, now.0, kind];
            first.execute("INSERT INTO event VALUES (?1, ?2, ?3, ?4, NULL, NULL, NULL)", event).expect("an event");
        }
    }
    let store = open(&path, now).expect("opens");
    let (row, _) = store.get(SERVICE, id).await.expect("the store answers").expect("the verification");
    assert_eq!((row.revision, row.generation, row.sends, row.attempts, row.max_attempts), (2, 1, 2, 3, 5));
    assert_eq!(row.delivered_by, Some(("console".into(), "reference-1".into())));
    assert_eq!(row.metadata.get("order").map(String::as_str), Some("7"));
    assert_eq!(store.timeline(id).await.map(|events| events.len()).ok(), Some(3));
    assert!(matches!(store.attempt(attempt(id, now)).await, Ok(AttemptOutcome::Judge(row)) if row.attempts == 4 && row.revision == 3));
}

/// Each address of a busy day has its bucket; reading them back at start must stay quick.
#[tokio::test]
async fn many_buckets_are_read_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let rule = Arc::new(SendRule { quotas: vec![Quota { count: 1, per: Duration::from_secs(86_400) }], waits: Vec::new() });
    let of = |number: u32| {
        let verification: Verification = verification(number, number);
        let takes = vec![Take { key: verification.sends_key(), name: LimitName::Destination, rule: Rule::Windows(Arc::clone(&rule)) }];
        Start { takes, ..start(verification) }
    };
    {
        let store = Arc::new(open(&path, NOW).expect("opens"));
        let starts = (0..5_000).map(|number| {
            let (store, start) = (Arc::clone(&store), of(number));
            tokio::spawn(async move { store.start(start).await })
        });
        for started in starts.collect::<Vec<_>>() {
            assert!(matches!(started.await, Ok(Ok(Sending::Queued(..)))));
        }
    }
    let store = open(&path, NOW).expect("opens again");
    for number in [0, 1, 77, 2_500, 4_999] {
        let mut again = of(number);
        again.verification.id = uuid::Uuid::from_u128(u128::from(number) + 1);
        assert!(matches!(store.start(again).await, Ok(Sending::Limited(_))), "bucket {number} was lost");
    }
}

/// While another process writes there is no transaction to be had: then nothing runs, since each statement would stand by
/// itself; afterwards the store goes on.
#[tokio::test]
async fn nothing_runs_outside_a_transaction() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let store = open(&path, NOW).expect("opens");
    let impatient = store.run(|ledger| ledger.rows.connection.busy_timeout(Duration::ZERO).map_err(database)).await;
    impatient.expect("the setting");
    let other = rusqlite::Connection::open(&path).expect("a second connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let ran = Arc::new(AtomicBool::new(false));
    let notes = Arc::clone(&ran);
    let refused = store
        .run(move |_| {
            notes.store(true, Ordering::SeqCst);
            Ok(())
        })
        .await;
    assert!(refused.is_err() && !ran.load(Ordering::SeqCst), "{refused:?}");
    other.execute_batch("ROLLBACK").expect("the lock is free again");
    store.ping().await.expect("the store goes on");
}
