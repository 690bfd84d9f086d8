//! R25: databases of earlier versions, as SQL texts in `tests/fixtures/databases`, opened by this one. A release adds a
//! directory and takes none away. And a database that a later version has migrated while this one was at work.

use std::sync::{Arc, Mutex, Weak};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection};

use crate::actors::{number, wrong};
use crate::binary::Binary;
use crate::own_database::{OwnDatabase, connect, tell};
use crate::people::{PASSWORD, Person};

/// What the fixtures were made with. 32 bytes that are no secret.
const PEPPER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const KEY: &str = "csk_936820d36c18_on1mZkE2nAj1EqKFLo1tJnMWGgQ3--eaJNfIi3Z-oMU";
const APPROVED: &str = "01a20069-2481-7e87-bf9f-fdb5e20454a7";

/// The last version that had API clients beside the verifications: its client, its verification and its account are here.
#[tokio::test]
async fn what_was_before_0002_is_still_there() {
    let binary = Binary::new().with("COUNTERSIGN_CONSOLE__PRINT", "false").with("COUNTERSIGN_SECRETS__PEPPER", PEPPER);
    std::fs::create_dir(binary.data()).expect("a directory");
    for name in ["countersign", "accounts"] {
        let text = std::fs::read_to_string(format!("{}/tests/fixtures/databases/before-0002/{name}.sql", env!("CARGO_MANIFEST_DIR")));
        let file = rusqlite::Connection::open(binary.data().join(format!("{name}.db"))).expect("a database");
        // A dump names tables in the order of their names, and not in that of their references.
        file.execute_batch("PRAGMA foreign_keys = OFF").expect("a setting");
        file.execute_batch(&text.expect("a fixture")).expect("its rows");
    }
    std::fs::write(binary.data().join("first-client.key"), KEY).expect("a file");
    let said = binary.run(&["migrate"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let server = binary.serve().await;
    let found = server.client().get(&json!({ "id": APPROVED })).await.expect(200);
    assert_eq!((&found["status"], found["timeline"].as_array().map(Vec::len)), (&json!("approved"), Some(4)), "{found}");
    let stranger = server.stranger();
    let login = json!({ "email": "person1@example.org", "password": PASSWORD });
    stranger.post("/auth/login", &[], login).await.expect(200);
    let wrong = json!({ "email": "person1@example.org", "password": "another way to Tipperary" });
    assert_eq!(stranger.post("/auth/login", &[], wrong).await.status, 401);
}

/// The tables of a server's database.
async fn tables(url: &str) -> Vec<String> {
    let select = match url.starts_with("postgres") {
        true => "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'",
        false => "SELECT CAST(table_name AS CHAR(64)) FROM information_schema.tables WHERE table_schema = DATABASE()",
    };
    let mut connection = connect(url).await;
    let found: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(select)).fetch_all(&mut connection).await.expect("the tables");
    connection.close().await.expect("a goodbye");
    found.into_iter().map(|(name,)| name).filter(|name| name != "_sqlx_migrations").collect()
}

/// What the next version's migrations may do at most (docs/decisions/0020): a column more everywhere, and a table.
async fn migrate_further(url: &str) {
    let tables = tables(url).await;
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        tell(url, format!("ALTER TABLE {table} ADD COLUMN added_later VARCHAR(100)")).await;
    }
    tell(url, "CREATE TABLE made_later (id VARCHAR(36) NOT NULL PRIMARY KEY)".into()).await;
    let columns = "(version, description, success, checksum, execution_time)";
    tell(url, format!("INSERT INTO _sqlx_migrations {columns} VALUES (9999, '9999_later', TRUE, 'x', 0)")).await;
}

/// A replica goes on when a newer version has migrated under it, with everything that it had begun; one that starts is told, and
/// changes nothing.
#[tokio::test]
#[ignore = "needs a server's database: tests/databases/run"]
async fn who_runs_goes_on_beside_a_newer_version() {
    let own = OwnDatabase::new().await;
    let replica = || {
        let binary = Binary::new().with("COUNTERSIGN_CONSOLE__PRINT", "false").with("COUNTERSIGN_SECRETS__PEPPER", PEPPER);
        binary.with("DATABASE_URL", &own.url)
    };
    let (one, other) = (replica(), replica());
    let server = one.serve().await;
    let (client, inbox) = (server.client(), server.inbox());
    let begun = client.started(json!({ "to": number(1) })).await;
    client.sent(&begun).await;
    let code = inbox.code(&begun).await;
    client.check(&begun, &wrong(&code, 1)).await.expect(200);
    let person = |index: u32| Person {
        wire: Arc::clone(&server.wire),
        app: Weak::new(),
        phone: number(index),
        email: format!("person{index}@example.org"),
        jar: Some(Mutex::default()),
        headers: vec![("sec-fetch-site", "same-origin".into())],
        token: Mutex::default(),
    };
    let ann = person(11).arrive().await;

    migrate_further(&own.url).await;

    assert_eq!(client.check(&begun, &code).await.expect(200)["valid"], true);
    assert_eq!(client.events(&begun).await.len(), 5, "started, sent, checked twice, approved");
    let fresh = client.started(json!({ "to": number(2) })).await;
    client.sent(&fresh).await;
    assert_eq!(client.check(&fresh, &inbox.code(&fresh).await).await.expect(200)["valid"], true);
    assert!(ann.is_signed_in().await, "her session goes on");
    assert!(person(12).arrive().await.is_signed_in().await, "others still come");
    server.stranger().get("/readyz").await.expect(200);

    for command in [&["serve"][..], &["migrate"], &["client", "create"]] {
        let refused = other.run(command);
        let told = refused.complaints.contains("newer version") && refused.complaints.contains("9999");
        assert!(refused.code == Some(1) && told, "{command:?}: {refused:?}");
    }
    let status = other.run(&["migrate", "--status"]);
    assert!(status.code == Some(1) && status.out.contains("newer    9999_later"), "{status:?}");
    let status = other.run(&["migrate", "--status", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&status.out).expect("JSON");
    assert_eq!(all.iter().filter(|one| one["known"] == false).count(), 1, "{status:?}");
    let doctor = other.run(&["doctor"]);
    assert!(doctor.out.contains("9999_later of a newer version"), "{doctor:?}");

    assert_eq!(client.check(&fresh, "000000").await.expect(200)["status"], "approved", "it still runs");
    server.signal("TERM");
    assert_eq!(server.ended().await.0, Some(0));
}
