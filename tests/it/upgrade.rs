//! R25: databases of earlier versions, as SQL texts in `tests/fixtures/databases`, opened by this one. A release adds a
//! directory and takes none away.

use serde_json::json;

use crate::binary::Binary;
use crate::people::PASSWORD;

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
