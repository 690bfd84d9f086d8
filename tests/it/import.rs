//! People who come from another system, with their passwords.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::actors::eventually;
use crate::binary::{Binary, Said};

/// Of the password "U*U".
const BCRYPT: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn report(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

fn import(binary: &Binary, from: &str, more: &[&str]) -> Said {
    binary.run(&[&["import", "users", "--json", "--from", from], more].concat())
}

fn counts(said: &Said) -> [u64; 4] {
    let report = report(said);
    let refused = report["refused"].as_array().expect("a list").len() as u64;
    let number = |name: &str| report[name].as_u64().expect("a number");
    [number("rows"), number("added"), number("there"), refused]
}

/// The one value of a query over the accounts.
fn stored<T: rusqlite::types::FromSql>(binary: &Binary, query: &str) -> T {
    let connection = Connection::open(binary.data().join("accounts.db")).expect("the accounts");
    connection.query_row(query, [], |row| row.get(0)).expect("one value")
}

/// Everything that may go wrong with a row, and what the report says about it: never a hash, never a whole number.
#[test]
fn rows_are_taken_over_or_refused_with_a_reason() {
    let csv = format!(
        "id,fullname,phone,email,password,created_at\n\
         1,Ann Lee,+49 151 12345678,Ann@Example.com,{BCRYPT},2024-05-01 12:00:00\n\
         2,Bea,015112345679,,,\n\
         3,Cai,+4915112345678,,{BCRYPT},\n\
         4,Dan,12,,{BCRYPT},\n\
         5,Eve,+4915112345681,,hunter2hunter2,\n\
         6,Flo,,,{BCRYPT},\n\
         7,Gil,+4915112345683,,{},\n\
         8,Hal\n",
        BCRYPT.replace("$05$", "$31$")
    );
    let binary = Binary::new().file("people.csv", &csv);
    let dry = import(&binary, "people.csv", &["--region", "DE", "--dry-run"]);
    assert_eq!((counts(&dry), dry.code), ([8, 2, 0, 6], Some(1)));
    assert!(!binary.data().exists(), "a dry run leaves nothing behind");

    let said = import(&binary, "people.csv", &["--region", "DE"]);
    assert_eq!((counts(&said), said.code), ([8, 2, 0, 6], Some(1)));
    let report = report(&said);
    assert_eq!(report["without_password"], 1);
    let reasons = ["earlier row", "not a valid phone number", "not known here", "neither", "more memory or time", "as many values"];
    for ((refused, reason), row) in report["refused"].as_array().expect("a list").iter().zip(reasons).zip(3..) {
        assert_eq!(refused["row"], row, "{refused}");
        assert!(refused["reason"].as_str().is_some_and(|text| text.contains(reason)), "{refused}: {reason}");
    }
    assert!(!said.out.contains("$2") && !said.out.contains("hunter2") && !said.out.contains("15112345678"), "{}", said.out);

    assert_eq!(stored::<String>(&binary, "SELECT password FROM account WHERE full_name = 'Ann Lee'"), BCRYPT);
    assert_eq!(stored::<i64>(&binary, "SELECT created_at FROM account WHERE full_name = 'Ann Lee'"), 1_714_564_800_000);
    let claims = "SELECT group_concat(kind || ' ' || value || ' ' || origin, ', ') FROM (SELECT * FROM identifier ORDER BY value)";
    let expected = "phone +4915112345678 registered, phone +4915112345679 registered, email Ann@example.com registered";
    assert_eq!(stored::<String>(&binary, claims), expected);
    assert_eq!(stored::<i64>(&binary, "SELECT COUNT(*) FROM identifier WHERE proven_at IS NOT NULL OR owned_value IS NOT NULL"), 0);
}

/// A second run goes on where the first one ended, and takes nobody twice.
#[test]
fn a_second_run_adds_what_is_new() {
    let line = |number: u32| json!({ "name": "N", "phone": format!("+49151{}", 12_345_000 + number), "password_hash": BCRYPT }).to_string();
    let lines = |most: u32| (0..most).map(line).collect::<Vec<_>>().join("\n");
    let binary = Binary::new().file("people.ndjson", &lines(250));
    assert_eq!(counts(&import(&binary, "people.ndjson", &[])), [250, 250, 0, 0]);
    let binary = binary.file("people.ndjson", &lines(300));
    let again = import(&binary, "people.ndjson", &[]);
    assert_eq!((counts(&again), again.code), ([300, 50, 250, 0], Some(0)));
    assert_eq!(stored::<i64>(&binary, "SELECT COUNT(*) FROM account"), 300);
}

/// A43: what the other system had proven is owned here, and nobody else's row can claim it.
#[test]
fn proven_numbers_have_one_owner() {
    let people = json!([{ "full_name": "Ann", "phone": "+4915112345678", "email": "ann@example.com", "password": BCRYPT }]);
    let binary = Binary::new().file("people.json", &people.to_string());
    assert_eq!(counts(&import(&binary, "people.json", &["--verified"])), [1, 1, 0, 0]);
    assert_eq!(stored::<i64>(&binary, "SELECT COUNT(*) FROM identifier WHERE proven_at > 0 AND owned_value = value"), 2);
    // The same address as one that was proven here, by somebody who was not imported.
    let connection = Connection::open(binary.data().join("accounts.db")).expect("the accounts");
    connection.execute("DELETE FROM account_event", []).expect("deleted");
    let said = import(&binary, "people.json", &[]);
    assert_eq!((counts(&said), said.code), ([1, 0, 0, 1], Some(1)));
}

/// What cannot be read is said without its content.
#[test]
fn wrong_sources_are_refused() {
    let binary = Binary::new().file("a.csv", "colour,shape\nred,round\n").file("b.json", "{\"phone\": \"secret\"}").file("c.txt", "");
    for (from, code, reason) in [
        ("a.csv", 2, "no column with numbers or addresses"),
        ("b.json", 1, "no JSON array"),
        ("c.txt", 2, "must end in"),
        ("none.csv", 1, "cannot be read"),
        ("postgres://u:hush@h/d", 2, "must be mysql"),
    ] {
        let said = import(&binary, from, &[]);
        assert!(said.code == Some(code) && said.complaints.contains(reason), "{from}: {said:?}");
        assert!(!said.complaints.contains("secret") && !said.complaints.contains("hush"), "{from}: {said:?}");
    }
    let named = import(&binary, "a.csv", &["--phone", "number"]);
    assert!(named.code == Some(2) && named.complaints.contains("colour, shape"), "{named:?}");
}

/// The tables of the two Rust and Go tutorials, in a real MariaDB: taken over, good for a sign-in, and then replaced.
#[tokio::test]
#[ignore = "needs MariaDB: ./test databases"]
async fn tables_of_the_tutorials_are_taken_over() {
    let url = std::env::var("MARIADB_URL").expect("run ./test databases");
    let binary = Binary::new();
    let users = import(&binary, &url, &[]);
    assert_eq!((counts(&users), users.code), ([3, 2, 0, 1], Some(1)), "{users:?}");
    assert_eq!(counts(&import(&binary, &url, &["--table", "reg_users"])), [1, 1, 0, 0]);
    assert_eq!(counts(&import(&binary, &url, &["--table", "reg_users"])), [1, 0, 1, 0]);
    let nowhere = import(&binary, &url, &["--table", "nowhere"]);
    assert!(nowhere.code == Some(2) && nowhere.complaints.contains("right table"), "{nowhere:?}");
    let wrong = import(&binary, &url.replace("reads%20only", "hush"), &[]);
    assert!(wrong.code == Some(1) && !wrong.complaints.contains("hush"), "{wrong:?}");

    assert_eq!(stored::<i64>(&binary, "SELECT created_at FROM account WHERE full_name = 'Ünal Öz'"), 1_714_564_800_000);
    // They sign in here as they did there; the first time replaces the hash.
    let server = binary.serve().await;
    let (stranger, inbox) = (server.stranger(), server.inbox());
    for (name, phone) in [("Ünal Öz", "+4915112345678"), ("Bea", "+4915112345679"), ("Dan", "+4915112345680")] {
        let login = async |password: &str| stranger.post("/auth/login", &[], json!({ "phone": phone, "password": password })).await;
        login("U*V").await.expect(401);
        login("U*U").await.expect(200);
        let code = eventually("the code", async || {
            let messages = inbox.messages().await;
            let mine = messages.iter().find(|message| message["to"] == phone)?;
            mine["code"].as_str().map(str::to_owned)
        })
        .await;
        let signed_in = stranger.post("/auth/verify-otp", &[], json!({ "phone": phone, "code": code })).await.expect(200);
        assert!(signed_in["token"].is_string(), "{name}: {signed_in}");
        let hash = stored::<String>(&binary, &format!("SELECT password FROM account WHERE full_name = '{name}'"));
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1,"), "{name} has the old hash");
        login("U*U").await;
    }
}
