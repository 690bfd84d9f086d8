//! Copies of the databases, made beside a running server, and what is left of them when they are put back (R27).

use serde_json::json;

use crate::actors::number;
use crate::binary::Binary;

/// A code that was out dies with a restore, one that was used stays used, and the server works on.
#[tokio::test]
async fn a_restored_backup_lets_no_old_code_in() {
    let binary = Binary::new().with("COUNTERSIGN_CONSOLE__PRINT", "false");
    let server = binary.serve().await;
    let (client, inbox) = (server.client(), server.inbox());
    let used = client.started(json!({ "to": number(1) })).await;
    let used_code = inbox.code(&used).await;
    assert_eq!(client.check(&used, &used_code).await.expect(200)["valid"], true);
    let out = client.started(json!({ "to": number(2) })).await;
    let out_code = inbox.code(&out).await;
    client.sent(&out).await;

    let said = binary.run(&["backup", "backup", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("countersign.db") && said.out.contains("accounts.db"), "{said:?}");
    let again = binary.run(&["backup", "backup"]);
    assert!(again.code == Some(1) && again.complaints.contains("is there already"), "{again:?}");
    let running = binary.run(&["restore", "backup"]);
    assert!(running.code == Some(1) && running.complaints.contains("stop that one first"), "{running:?}");

    // Used only after the backup: it would be unused again.
    assert_eq!(client.check(&out, &out_code).await.expect(200)["valid"], true);
    server.signal("TERM");
    server.ended().await;
    let occupied = binary.run(&["restore", "backup"]);
    assert!(occupied.code == Some(1) && occupied.complaints.contains("is there already"), "{occupied:?}");
    for file in ["countersign.db", "accounts.db"] {
        std::fs::remove_file(binary.data().join(file)).expect("the old one goes");
    }
    let said = binary.run(&["restore", "backup", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let told: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(told["closed"]["codes"], 1, "{told}");

    let server = binary.serve().await;
    let client = server.client();
    for (verification, code, status) in [(&used, &used_code, "approved"), (&out, &out_code, "canceled")] {
        let checked = client.check(verification, code).await.expect(200);
        assert_eq!((&checked["valid"], &checked["status"]), (&json!(false), &json!(status)), "{checked}");
    }
    let fresh = client.started(json!({ "to": number(3) })).await;
    let code = server.inbox().code(&fresh).await;
    assert_eq!(client.check(&fresh, &code).await.expect(200)["valid"], true);
}
