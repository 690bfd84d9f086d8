//! What a server does that is gone without a word, or that another one has replaced.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::link::Link;
use super::testing::OwnDatabase;
use super::*;
use crate::db::Synchronous;

const INSERT: &str = "INSERT INTO account_event (id, account_id, at, kind, address, detail) VALUES ('1', NULL, 1, 'a', 'b', 'c')";
const LOCK: &str = "SELECT slot FROM lock_slot WHERE slot = 1 FOR UPDATE";
/// A time that nobody waits where something is wrong.
const LONG: Duration = Duration::from_secs(10);

/// Over that many connections, by a way that is fallen silent soon: whoever waits shall not wait long.
async fn open(url: &str, connections: u32) -> Database {
    let place = Place::parse(url, Synchronous::Normal).expect("a URL");
    let (acquire_timeout, statement_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let settings = Settings { connections, acquire_timeout, statement_timeout, ..Settings::new(place) };
    let database = Database::open(settings).await.expect("a database");
    // All of them are there, and rest.
    for change in join_all((0..connections).map(|_| database.change())).await {
        change.expect("a change").commit().await.expect("a commit");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    database
}

async fn count(database: &Database) -> i64 {
    let (count,): (i64,) = statement("SELECT COUNT(*) FROM account_event").fetch_one(database).await.expect("a count");
    count
}

/// R09: who asks hears so in time, and the next one gets a connection that works.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/databases/run"]
async fn a_silent_database_is_given_up_in_time() {
    let own = OwnDatabase::new().await;
    let link = Link::to(&own.url).await;
    let database = open(&link.url, 4).await;
    link.strand();
    let asked = timeout(Duration::from_secs(3), database.ping()).await.expect("an end");
    assert_eq!(asked.expect_err("silent").reason(), Reason::Unreachable);
    timeout(Duration::from_secs(1), database.ping()).await.expect("at once").expect("by another connection");

    let mut change = database.change().await.expect("a change");
    link.strand();
    let asked = timeout(Duration::from_secs(3), statement(INSERT).execute(&mut change)).await.expect("an end");
    assert_eq!(asked.expect_err("silent").reason(), Reason::Unreachable);
    let change = database.change().await.expect("by another connection");
    link.strand();
    let asked = timeout(Duration::from_secs(3), change.commit()).await.expect("an end");
    assert_eq!(asked.expect_err("silent").reason(), Reason::Unreachable);
    assert_eq!(count(&database).await, 0);
}

/// R09: "pool not leaked". Callers that went away while they were not answered take no places with them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/databases/run"]
async fn who_hangs_up_on_a_silent_database_leaves_his_place() {
    let own = OwnDatabase::new().await;
    let link = Link::to(&own.url).await;
    let database = open(&link.url, 4).await;
    link.strand();
    for _ in 0..4 {
        timeout(Duration::from_millis(50), database.ping()).await.expect_err("silent");
    }
    let all = async || join_all((0..4).map(|_| database.change())).await.into_iter().all(|change| change.is_ok());
    let free = async {
        while !all().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, free).await.expect("four places");
}

/// R09, OPS: what a replica has locked that is gone is free again, though its machine said nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/databases/run"]
async fn an_abandoned_change_is_undone() {
    let own = OwnDatabase::new().await;
    let link = Link::to(&own.url).await;
    let (gone, other) = (open(&link.url, 1).await, open(&own.url, 1).await);
    let mut change = gone.change().await.expect("a change");
    let _: (i64,) = statement(LOCK).fetch_one(&mut change).await.expect("locked");
    statement(INSERT).execute(&mut change).await.expect("a row");
    link.strand();
    let taken_over = async {
        loop {
            let mut change = other.change().await.expect("a change");
            let locked: Result<(i64,), _> = statement(LOCK).fetch_one(&mut change).await;
            if locked.is_ok() {
                break;
            }
        }
    };
    timeout(LONG, taken_over).await.expect("it is free");
    assert_eq!(count(&other).await, 0);
    drop(change);
}

/// A change that was given up while it began is over: what comes next by the same connection is no part of it, and stays.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/databases/run"]
async fn a_change_that_was_left_while_it_began_is_undone() {
    let own = OwnDatabase::new().await;
    let link = Link::to(&own.url).await;
    let (database, other) = (open(&link.url, 1).await, open(&own.url, 1).await);
    link.hold();
    timeout(Duration::from_millis(100), database.change()).await.map(drop).expect_err("nobody answers");
    link.heal();
    statement(INSERT).execute(&database).await.expect("acknowledged");
    assert_eq!(count(&other).await, 1);
}

/// A planned switch-over: the old leader takes no changes any more. One call finds out, and the next one asks the new leader.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/databases/run"]
async fn a_leader_that_became_a_follower_is_left() {
    let own = OwnDatabase::new().await;
    let database = open(&own.url, 4).await;
    let becomes = match database.dialect() {
        Dialect::Postgres => "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        Dialect::Mysql | Dialect::Sqlite => "SET SESSION TRANSACTION READ ONLY",
    };
    let mut changes = join_all((0..4).map(|_| database.change())).await;
    for change in changes.drain(..) {
        let mut change = change.expect("a change");
        statement(becomes).execute(&mut change).await.expect("a follower");
        change.commit().await.expect("a commit");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = statement(INSERT).execute(&database).await.expect_err("a follower");
    assert_eq!(refused.reason(), Reason::ReadOnly, "{refused}");
    statement(INSERT).execute(&database).await.expect("by a new connection");
}
