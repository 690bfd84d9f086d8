//! What comes out goes in, whatever the ends are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::audit::AuditLog;
use crate::db::Synchronous;
use crate::db::database::testing::OwnDatabase;
use crate::db::database::{Database, Value, statement};
use crate::db::kept::KeptFailures;
use crate::verification::limit::{FailureRule, LimitName, Rule, Take};
use crate::verification::model::{CodeBy, Status, Verification};
use crate::verification::store::conformance::fixtures::{NOW, SERVICE, approve, attempt, claim, limit, resend, start, verification};
use crate::verification::store::redis::durable::{DurableLog, Entry, Kind};
use crate::verification::store::sql::SqlStore;
use crate::verification::store::sqlite::SqliteStore;
use crate::verification::store::sqlite::resting::RestingStore;
use crate::verification::store::{AttemptOutcome, Delivered, Sending, Store, Target};

async fn lines_of(end: &End) -> Vec<String> {
    let mut lines = Vec::new();
    let write = |line: &str| {
        lines.push(line.to_owned());
        Ok(())
    };
    export(end, "test", NOW, write, |_, _| {}).await.expect("an export");
    lines
}

fn shared(database: &Database) -> End {
    End { database: database.clone(), verifications: Verifications::Shared }
}

async fn lines(database: &Database) -> Vec<String> {
    lines_of(&shared(database)).await
}

async fn filled() -> (OwnDatabase, Database) {
    let own = OwnDatabase::new().await;
    let database = Database::own(&own).await;
    for number in 0..450_i64 {
        let insert = "INSERT INTO account (id, full_name, locale, roles, status, password, password_changed_at, password_reset_by, created_at) \
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = statement(insert).bind(format!("{number:05}").as_str()).bind("Ünal \"Öz\" \\ 🙂").bind("tr").bind("").bind("active");
        let query =
            query.bind(Value::Text(None)).bind(Value::Number(Some(number))).bind(Value::Text(None)).bind(Value::Number(Some(i64::MAX)));
        query.execute(&database).await.expect("a row");
    }
    let session = "INSERT INTO browser (token_hash, account_id, seen_at, expires_at, remembered_until) VALUES (?, ?, 1, 2, 3)";
    statement(session).bind("hash").bind("00449").execute(&database).await.expect("a row");
    (own, database)
}

async fn put(database: &Database, lines: &[String], dry_run: bool) -> Result<Taken, TransferError> {
    import(shared(database), NOW, lines.iter().cloned().map(Ok), dry_run, |_| {}).await
}

#[tokio::test]
async fn what_comes_out_goes_in_and_comes_out_the_same() {
    let (_own, from) = filled().await;
    let exported = lines(&from).await;
    assert_eq!(exported.len(), 2 + 450 + 1);
    let own = OwnDatabase::new().await;
    let to = Database::own(&own).await;
    put(&to, &exported, true).await.expect("a dry run");
    assert_eq!(lines(&to).await.len(), 2, "a dry run changes nothing");
    let taken = put(&to, &exported, false).await.expect("an import");
    assert_eq!(taken.rows["account"], 450);
    assert_eq!(lines(&to).await, exported);
    assert!(matches!(put(&to, &exported, false).await, Err(TransferError::Occupied(_))), "only once");
}

#[tokio::test]
async fn what_is_not_whole_is_not_taken_over() {
    let (_own, from) = filled().await;
    let exported = lines(&from).await;
    let own = OwnDatabase::new().await;
    let to = Database::own(&own).await;
    let cut = &exported[..exported.len() - 1];
    assert!(matches!(put(&to, cut, false).await, Err(TransferError::CutShort)));
    let mut missing = exported.clone();
    missing.remove(100);
    assert!(matches!(put(&to, &missing, false).await, Err(TransferError::Count { .. })));
    let newer = exported.iter().map(|line| line.replace("\"full_name\"", "\"fullest_name\"")).collect::<Vec<_>>();
    assert!(matches!(put(&to, &newer, false).await, Err(TransferError::Newer(_))));
    let newer = exported.iter().map(|line| line.replace("0001_accounts", "9999_later")).collect::<Vec<_>>();
    assert!(matches!(put(&to, &newer, false).await, Err(TransferError::Newer(_))));
    let noise = ["{}".to_owned()];
    assert!(matches!(put(&to, &noise, false).await, Err(TransferError::Line(1))));
    assert_eq!(lines(&to).await.len(), 2, "nothing was left behind");
}

/// Nothing is read while it may change, and nothing is written under servers that run.
#[tokio::test]
async fn servers_are_stopped_first() {
    let (_own, database) = filled().await;
    let replica = statement("INSERT INTO replica (id, lives_until) VALUES (?, ?)").bind("one").bind(NOW.0 + 1);
    replica.execute(&database).await.expect("a row");
    let exported = export(&shared(&database), "test", NOW, |_| Ok(()), |_, _| {}).await;
    assert!(matches!(exported, Err(TransferError::Alive(1))), "{exported:?}");
    assert!(matches!(put(&database, &[], false).await, Err(TransferError::Alive(1))));
    let later = NOW + Duration::from_millis(1);
    export(&shared(&database), "test", later, |_| Ok(()), |_, _| {}).await.expect("it is gone");
}

/// Beside that database.
fn embedded(database: &Database, file: &Path) -> End {
    let file = RestingStore::open(file, NOW).expect("no server has it");
    End { database: database.clone(), verifications: Verifications::Embedded(Box::new(file)) }
}

fn sqlite(file: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(file, Synchronous::Normal, Arc::new(AuditLog), NOW).expect("it opens"))
}

/// Closed after three.
fn gate(failures: &Verification) -> Take {
    let rule = FailureRule { soft: 3, hard: 3, until_released: false };
    Take { key: failures.failures_key, name: LimitName::Failures, rule: Rule::Failures(rule) }
}

/// Five verifications: one was used, one is open after a wrong code, one was sent again and its destination failed three times,
/// one has a code of a provider's, one is queued. Two of three are taken from a limit, and a key was answered.
async fn live(store: &dyn Store) {
    let queued = |number: u32| {
        let mut start = start(verification(number, number));
        start.takes.push(limit(1, 3));
        start
    };
    let mut keyed = queued(1);
    keyed.idempotency = claim(1, 1);
    assert!(matches!(store.start(keyed).await, Ok(Sending::Queued(..))));
    assert!(matches!(store.attempt(attempt(verification(1, 1).id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
    assert!(store.approve(approve(verification(1, 1).id)).await.expect("approved"));
    assert!(matches!(store.start(queued(2)).await, Ok(Sending::Queued(..))));
    assert!(matches!(store.attempt(attempt(verification(2, 2).id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
    let Ok(Sending::Queued(third, _)) = store.start(start(verification(3, 3))).await else { panic!("not started") };
    assert!(matches!(store.resend(resend(&third)).await, Ok(Sending::Queued(..))));
    for _ in 0..3 {
        assert!(matches!(store.attempt(attempt(third.id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
    }
    let mut by_provider = verification(4, 4);
    by_provider.code_by = CodeBy::Provider;
    let id = by_provider.id;
    assert!(matches!(store.start(start(by_provider)).await, Ok(Sending::Queued(..))));
    let result = Ok(("one".to_owned(), "reference".to_owned()));
    assert_eq!(store.delivered(vec![Delivered { id, message: 1, result, now: NOW }]).await.ok(), Some(1));
    assert!(matches!(store.start(start(verification(5, 5))).await, Ok(Sending::Queued(..))));
}

/// R27: nothing that was used is good again, and nothing that was counted is forgiven.
async fn goes_on(store: &dyn Store, place: &str) {
    let judged = store.attempt(attempt(verification(1, 1).id, NOW)).await;
    assert!(matches!(&judged, Ok(AttemptOutcome::Ended(used)) if used.status == Status::Approved), "{place}: {judged:?}");
    let mut again = start(verification(1, 1));
    again.idempotency = claim(1, 1);
    let again = store.start(again).await;
    assert!(matches!(&again, Ok(Sending::Replayed(same)) if same.id == verification(1, 1).id), "{place}: {again:?}");
    let mut newest = attempt(verification(2, 2).id, NOW);
    newest.target = Target::Newest { purpose: "login".into(), destination: verification(2, 2).destination.key() };
    let judged = store.attempt(newest).await;
    assert!(
        matches!(&judged, Ok(AttemptOutcome::Judge(open)) if open.attempts == 2 && open.tag.0 == verification(2, 2).tag.0),
        "{place}: {judged:?}"
    );
    let mut closed = start(verification(6, 3));
    closed.takes.push(gate(&verification(3, 3)));
    let closed = store.start(closed).await;
    assert!(matches!(&closed, Ok(Sending::Limited(limited)) if limited.name == LimitName::Failures), "{place}: {closed:?}");
    let (third, bucket) = store.get(SERVICE, verification(3, 3).id).await.expect("an answer").expect("it is there");
    assert_eq!((third.generation, third.sends, third.attempts, bucket.values.len()), (1, 2, 3, 1), "{place}");
    let events: Vec<_> = store.timeline(third.id).await.expect("a timeline").into_iter().map(|event| event.kind.as_str()).collect();
    let wanted = ["verification.started", "verification.resent", "verification.checked", "verification.checked", "verification.checked"];
    assert_eq!(events, wanted, "{place}");
    // The provider's code is still the fourth one's alone.
    let mut other = verification(7, 4);
    (other.code_by, other.purpose) = (CodeBy::Provider, "payment".into());
    let id = other.id;
    assert!(matches!(store.start(start(other)).await, Ok(Sending::Queued(..))), "{place}");
    let result = Ok(("one".to_owned(), "reference".to_owned()));
    store.delivered(vec![Delivered { id, message: 1, result, now: NOW }]).await.expect("noted");
    let (other, _) = store.get(SERVICE, id).await.expect("an answer").expect("it is there");
    assert_eq!(other.delivery.as_str(), "failed", "{place}");
    let listed = store.list(SERVICE, verification(5, 5).destination.key(), None, 9).await.expect("a list");
    assert_eq!(listed.len(), 1, "{place}");
    let waiting: Vec<_> = store.undelivered(NOW).await.expect("an answer").into_iter().map(|row| row.id).collect();
    assert!(waiting.contains(&verification(5, 5).id) && !waiting.contains(&verification(4, 4).id), "{place}: {waiting:?}");
    for (number, passes) in [(8, true), (9, false)] {
        let mut limited = start(verification(number, number));
        limited.takes = vec![limit(1, 3)];
        assert_eq!(matches!(store.start(limited).await, Ok(Sending::Queued(..))), passes, "{place}: {number}");
    }
}

/// From a file to the database that servers share, and back to a file: the same rows, and the same rules over them.
#[tokio::test(flavor = "multi_thread")]
async fn verifications_and_limits_go_along() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, last) = (directory.path().join("first.db"), directory.path().join("last.db"));
    let store = sqlite(&first);
    live(store.as_ref()).await;
    let refused = RestingStore::open(&first, NOW).err().expect("a server has it").to_string();
    assert!(refused.contains("stop that one first"), "{refused}");
    drop(store);

    let (own, other) = (OwnDatabase::new().await, OwnDatabase::new().await);
    let (accounts, database) = (OwnDatabase::new().await, Database::own(&own).await);
    let accounts = Database::own(&accounts).await;
    let exported = lines_of(&embedded(&accounts, &first)).await;
    let taken = put(&database, &exported, false).await.expect("an import");
    assert_eq!((taken.rows["verification"], taken.rows["provider_reference"], taken.left.len()), (5, 1, 0), "{taken:?}");
    let back = lines(&database).await;

    let other = Database::own(&other).await;
    let taken = import(embedded(&other, &last), NOW, back.iter().cloned().map(Ok), false, |_| {}).await.expect("an import");
    assert_eq!(taken.left, Counts::from([("provider_reference".to_owned(), 1)]));
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(lines_of(&embedded(&other, &last)).await), sorted(exported.clone()), "the same rows");
    let occupied = import(embedded(&other, &last), NOW, back.into_iter().map(Ok), false, |_| {}).await;
    assert!(matches!(occupied, Err(TransferError::Occupied(_))), "{occupied:?}");

    goes_on(sqlite(&first).as_ref(), "where it began").await;
    goes_on(sqlite(&last).as_ref(), "in the file").await;
    goes_on(&SqlStore::new(database, Uuid::from_u128(1), Arc::new(AuditLog)), "in the database").await;
}

/// Beside Redis nothing but wrong codes in a row can be taken over, and they are; from there they count again as a limit.
#[tokio::test(flavor = "multi_thread")]
async fn failures_go_along_to_redis_and_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, last) = (directory.path().join("first.db"), directory.path().join("last.db"));
    live(sqlite(&first).as_ref()).await;
    let own = [OwnDatabase::new().await, OwnDatabase::new().await, OwnDatabase::new().await];
    let (accounts, database, other) = (Database::own(&own[0]).await, Database::own(&own[1]).await, Database::own(&own[2]).await);
    let exported = lines_of(&embedded(&accounts, &first)).await;
    let redis = || End { database: database.clone(), verifications: Verifications::Redis };
    let taken = import(redis(), NOW, exported.into_iter().map(Ok), false, |_| {}).await.expect("an import");
    assert_eq!(taken.left["verification"], 5, "{taken:?}");
    let mut kept = KeptFailures::new(database.clone()).load(NOW).await.expect("entries");
    kept.sort_by_key(|entry| entry.count);
    let counted = |number: u32, count: u32| (verification(number, number).failures_key, count);
    assert_eq!(kept.iter().map(|entry| (entry.key, entry.count)).collect::<Vec<_>>(), [counted(2, 1), counted(3, 3)]);
    // What is known of a used code is of no use where its verification is unknown.
    let used = Entry { kind: Kind::Used, count: 1, ..kept[0].clone() };
    KeptFailures::new(database.clone()).write(&[used]).await.expect("written");

    let back = lines_of(&redis()).await;
    let taken = import(embedded(&other, &last), NOW, back.into_iter().map(Ok), false, |_| {}).await.expect("an import");
    assert_eq!(taken.left, Counts::from([("kept_failure".to_owned(), 1)]));
    let mut closed = start(verification(6, 3));
    closed.takes.push(gate(&verification(3, 3)));
    let closed = sqlite(&last).start(closed).await;
    assert!(matches!(&closed, Ok(Sending::Limited(limited)) if limited.name == LimitName::Failures), "{closed:?}");
}
