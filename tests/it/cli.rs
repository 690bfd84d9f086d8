//! What an operator types.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign::account::password::key_id;
use countersign::secret::Pepper;
use serde_json::Value;

use crate::actors::{Client, eventually, number};
use crate::binary::{Binary, Said};

#[track_caller]
fn json(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn clients_are_made_listed_and_revoked() {
    let binary = Binary::new().file("countersign.toml", "[service.shop]");
    let made = json(&binary.run(&["client", "create", "--name", "till", "--service", "shop", "--scope", "verifications:read", "--json"]));
    assert_eq!(names(&made), ["id", "key", "service"]);
    let key = made["key"].as_str().expect("a key");
    assert!(key.starts_with("csk_") && key.len() == 4 + 12 + 1 + 43, "{key}");

    let listed = json(&binary.run(&["client", "list", "--json"]));
    let client = &listed[0];
    assert_eq!(names(client), ["created_at", "id", "key_prefix", "last_used_at", "name", "revoked_at", "scopes", "service"]);
    assert_eq!((&client["id"], &client["name"], &client["service"]), (&made["id"], &"till".into(), &"shop".into()));
    assert_eq!((&client["scopes"], &client["revoked_at"]), (&serde_json::json!(["verifications:read"]), &Value::Null));
    assert!(!listed.to_string().contains(key), "the key is shown once");

    let revoked = json(&binary.run(&["client", "revoke", client["key_prefix"].as_str().expect("text"), "--json"]));
    assert!(revoked["revoked_at"].is_string());
    let again = binary.run(&["client", "revoke", client["id"].as_str().expect("text")]);
    assert!(again.code == Some(1) && again.complaints.contains("not revoked"), "{again:?}");
}

#[test]
fn wrong_clients_are_not_made() {
    let binary = Binary::new();
    let unknown = binary.run(&["client", "create", "--service", "nowhere"]);
    assert!(unknown.code == Some(2) && unknown.complaints.contains("nowhere"), "{unknown:?}");
    let scope = binary.run(&["client", "create", "--scope", "everything"]);
    assert!(scope.code == Some(2) && scope.complaints.contains("verifications:write"), "{scope:?}");
    assert_eq!(json(&binary.run(&["client", "list", "--json"])), serde_json::json!([]));
}

/// A running server hears of it within a second, by its own clock.
#[tokio::test]
async fn a_running_server_refuses_a_revoked_key() {
    let binary = Binary::new();
    let server = binary.serve().await;
    let made = json(&binary.run(&["client", "create", "--json"]));
    let client = Client { wire: server.wire.clone(), key: made["key"].as_str().expect("a key").to_owned() };
    client.list(&number(1), "").await.expect(200);
    json(&binary.run(&["client", "revoke", made["id"].as_str().expect("an id"), "--json"]));
    let revoked = std::time::Instant::now();
    eventually("the key is refused", async || (client.list(&number(1), "").await.status == 401).then_some(())).await;
    assert!(revoked.elapsed() < std::time::Duration::from_secs(2), "{:?}", revoked.elapsed());
}

#[test]
fn migrations_are_shown_and_applied() {
    let binary = Binary::new();
    let waiting = binary.run(&["migrate", "--status"]);
    // Of each database its place, then its migrations.
    let stand = |said: &Said| {
        let places = said.out.lines().filter(|line| line.starts_with("SQLite ")).count();
        let (waiting, applied) =
            ["waiting  ", "applied  "].map(|word| said.out.lines().filter(|line| line.starts_with(word)).count()).into();
        assert_eq!((said.code, places, places + waiting + applied), (Some(0), 2, said.out.lines().count()), "{said:?}");
        (waiting > 0, applied > 0)
    };
    assert_eq!(stand(&waiting), (true, false), "{waiting:?}");
    assert!(!binary.data().exists(), "asking changes nothing");
    let applied = binary.run(&["migrate"]);
    assert_eq!(stand(&applied), (false, true), "{applied:?}");
    let status = json(&binary.run(&["migrate", "--status", "--json"]));
    assert!(
        status.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["applied"] == true && one["name"].is_string())),
        "{status}"
    );
}

/// Where the database is a server's, the embedded store's file is neither made nor spoken of.
#[test]
fn a_file_that_is_not_used_is_not_made() {
    let binary = Binary::new().with("DATABASE_URL", "postgres://one@127.0.0.1:1/two");
    let said = binary.run(&["doctor"]);
    assert!(!said.out.contains("countersign.db"), "{said:?}");
    assert_ne!(binary.run(&["migrate"]).code, Some(0), "nobody answers there");
    assert!(!binary.data().join("countersign.db").exists());
}

/// Variables that are arguments of single commands are no settings, whatever command finds them.
#[test]
fn arguments_in_the_environment_are_no_settings() {
    for (variable, value) in [("COUNTERSIGN_KEY", "csk_x"), ("COUNTERSIGN_IMPORT_FROM", "people.csv"), ("COUNTERSIGN_URL", "http://x")] {
        let said = Binary::new().with(variable, value).run(&["config", "check"]);
        assert_eq!(said.code, Some(0), "{variable}: {said:?}");
    }
    assert_eq!(Binary::new().with("COUNTERSIGN_KEYS", "x").run(&["config", "check"]).code, Some(2));
}

#[test]
fn doctor_tells_what_it_finds() {
    let binary = Binary::new();
    let fresh = json(&binary.run(&["doctor", "--json"]));
    let checks = fresh.as_array().expect("a list");
    let what: Vec<_> = checks.iter().map(|check| check["what"].as_str().expect("text")).collect();
    let routes = ["route"; 4];
    assert_eq!(
        what,
        [&["settings", "mode", "provider"][..], &routes, &["pepper", "accounts", "store", "database", "clients", "server", "admin"]]
            .concat()
    );
    for check in checks {
        assert_eq!(names(check), ["detail", "finding", "what"]);
        assert!(matches!(check["finding"].as_str(), Some("ok" | "note")), "{check}");
    }
    json(&binary.run(&["client", "create", "--json"]));
    let made = json(&binary.run(&["doctor", "--json"]));
    for what in ["database", "clients"] {
        let check = made.as_array().and_then(|checks| checks.iter().find(|check| check["what"] == what));
        assert_eq!(check.map(|check| &check["finding"]), Some(&"ok".into()), "{made}");
    }

    std::fs::write(binary.data().join("countersign.db"), "this is no database, and long enough to look like one".repeat(100))
        .expect("a file");
    let broken = binary.run(&["doctor", "--json"]);
    assert_eq!(broken.code, Some(1), "{broken:?}");
}

/// `countersign send`, as somebody who tries it out: a wrong code, a line with nothing, the right one.
#[tokio::test]
async fn a_code_can_be_sent_and_checked_by_hand() {
    let binary = std::sync::Arc::new(Binary::new());
    let server = binary.serve().await;
    let (inbox, url) = (server.inbox(), server.url.clone());
    let (lines, spoken) = std::sync::mpsc::channel::<String>();
    let teller = std::sync::Arc::clone(&binary);
    let sending = std::thread::spawn(move || teller.converse(&["send", &number(1), "--url", &url, "--purpose", "login"], spoken));
    let code = eventually("the message", async || {
        inbox.messages().await.first().map(|message| message["code"].as_str().expect("a code").to_owned())
    })
    .await;
    for line in [crate::actors::wrong(&code, 1), String::new(), "nonsense".to_owned(), code] {
        lines.send(line).expect("the command listens");
    }
    drop(lines);
    let said = sending.join().expect("a command that ends");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("Checks left: 4") && said.out.contains("Right"), "{said:?}");
    assert!(said.complaints.contains("6 to 10 digits"), "{said:?}");
    assert!(!said.out.contains(&number(1)), "the destination is masked: {said:?}");

    let started = json(&binary.run(&["send", &number(2), "--url", &server.url, "--json"]));
    assert_eq!(started["status"], "pending");
    let wrong_key = binary.run(&["send", &number(3), "--url", &server.url, "--key", "csk_x"]);
    assert!(wrong_key.code == Some(1) && wrong_key.complaints.contains("unauthorized"), "{wrong_key:?}");
    let nobody = binary.run(&["send", &number(3), "--url", "http://127.0.0.1:1"]);
    assert!(nobody.code == Some(1) && nobody.complaints.contains("127.0.0.1:1"), "{nobody:?}");
}

/// What the first start prints works as it stands.
#[tokio::test]
async fn the_first_start_makes_a_key_and_later_ones_keep_it() {
    let binary = Binary::new();
    let server = binary.serve().await;
    let key = server.key.clone();
    assert!(key.starts_with("csk_"), "{key}");
    server.client().list(&number(1), "").await.expect(200);
    let second = binary.run(&["serve"]);
    assert!(second.code == Some(1) && second.complaints.contains("in use"), "two servers on one file: {second:?}");
    server.signal("INT");
    assert_eq!(server.ended().await.0, Some(0));
    let server = binary.serve().await;
    assert_eq!(server.key, key);
    server.client().list(&number(1), "").await.expect(200);
}

#[test]
fn help_and_mistakes() {
    let binary = Binary::new();
    let help = binary.run(&["--help"]);
    for command in ["serve", "migrate", "config", "client", "send", "doctor"] {
        assert!(help.out.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {}", help.out);
    }
    assert_eq!(binary.run(&["--version"]).out, format!("countersign {}\n", env!("CARGO_PKG_VERSION")));
    for wrong in [&["dance"][..], &["--dance"], &["serve", "--port", "many"], &["serve", "--port", "70000"]] {
        assert_eq!(binary.run(wrong).code, Some(2), "{wrong:?}");
    }
}

/// Every text with samples, and what it takes to send it; the mail's page goes to a file.
#[test]
fn texts_are_previewed() {
    let binary = Binary::new().file(
        "countersign.toml",
        "[server]\npublic_url = \"https://otp.example\"\n[service.shop]\nbrand = \"Shop\"\norigin = \"shop.example\"\nlocale = \"de\"\n\
         [service.shop.templates.sms]\nsv = \"{{ code }}, {{ brand }}\"",
    );
    let all = json(&binary.run(&["template", "preview", "--service", "shop", "--channel", "sms", "--locale", "all", "--json"]));
    let all = all.as_array().expect("a list");
    assert_eq!(all.len(), 21, "twenty that are shipped, and one of our own");
    let of = |locale: &str| all.iter().find(|text| text["locale"] == locale).expect(locale);
    assert_eq!(
        of("sv"),
        &serde_json::json!({
            "channel": "sms", "locale": "sv", "text": "123456, Shop\n@shop.example #123456", "encoding": "gsm7", "units": 34, "segments": 1
        })
    );
    assert_eq!((&of("ja")["encoding"], &of("ja")["segments"]), (&"ucs2".into(), &1.into()));

    let said = binary.run(&["template", "preview", "--service", "shop"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for words in [
        "sms · de · GSM-7, ",
        " units, 1 segment\n",
        "Ihr Code für Shop",
        "call · de · voice de-DE",
        "Subject: 123456 ist Ihr Code",
        "https://otp.example/not-me/",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let notices = json(&binary.run(&["template", "preview", "--notice", "all", "--channel", "sms", "--locale", "ja", "--json"]));
    let notices = notices.as_array().expect("a list");
    assert_eq!((notices.len(), &notices[0]["notice"], &notices[0]["segments"]), (12, &"password_changed".into(), &1.into()));
    let page = binary.directory().join("notice.html");
    let page = page.to_str().expect("text");
    let said = binary.run(&["template", "preview", "--notice", "taken", "--channel", "email", "--html", page]);
    assert!(said.code == Some(0) && said.out.contains("email · en · taken"), "{said:?}");
    assert!(std::fs::read_to_string(page).expect("a file").contains("Somebody tried to register"));
    let file = binary.directory().join("mail.html");
    let written = binary.run(&["template", "preview", "--channel", "email", "--locale", "he", "--html", file.to_str().expect("text")]);
    assert_eq!(written.code, Some(0), "{written:?}");
    assert!(std::fs::read_to_string(&file).expect("a file").contains("<html lang=\"he\" dir=\"rtl\""));
    for wrong in [
        &["--service", "nowhere"][..],
        &["--notice", "gossip"],
        &["--channel", "pigeon"],
        &["--channel", "sms", "--html", "x"],
        &["--locale", "all", "--html", "x"],
    ] {
        let said = binary.run(&[&["template", "preview"], wrong].concat());
        assert!(said.code == Some(2) && said.complaints.contains(wrong[0]), "{said:?}");
    }
}

/// Who changes the pepper is told what still needs the one before.
#[test]
fn doctor_tells_what_needs_the_previous_pepper() {
    let previous = "kZ7v1m0rP2sT5u8xA4bD6eF9hJ3lN7qW1yC0gI2oK5M=";
    let binary = Binary::new().file("people.json", "[{\"phone\": \"+4915112345678\"}]");
    assert_eq!(binary.run(&["import", "users", "--from", "people.json"]).code, Some(0));
    let binary = binary.with("COUNTERSIGN_SECRETS__PREVIOUS_PEPPER", previous);
    let said = || told_of_pepper(&binary).1;
    assert!(said().contains("nothing that is kept needs the previous one"), "{}", said());
    let pepper = Pepper::new(&STANDARD.decode(previous).expect("base64")).expect("long enough");
    let hash = format!("$argon2id$v=19$m=19456,t=2,p=1,keyid={}$c2FsdA$aGFzaA", key_id(&pepper));
    let accounts = rusqlite::Connection::open(binary.data().join("accounts.db")).expect("the accounts");
    accounts.execute("UPDATE account SET password = ?", [hash]).expect("one password");
    assert!(said().contains("still needed by 1 passwords"), "{}", said());

    // Nobody has it any more: before the first start makes another one, and after.
    let binary = binary.without("COUNTERSIGN_SECRETS__PREVIOUS_PEPPER");
    let lost = ("wrong".to_owned(), "1 passwords need one that is not configured: put it back".to_owned());
    assert_eq!(told_of_pepper(&binary), lost);
    let binary = binary.with("COUNTERSIGN_SECRETS__PEPPER", &previous.replace('k', "K"));
    assert_eq!(told_of_pepper(&binary), lost);
}

/// The last that `doctor` says of peppers: how grave, and what.
fn told_of_pepper(binary: &Binary) -> (String, String) {
    let checks: Value = serde_json::from_str(&binary.run(&["doctor", "--json"]).out).expect("JSON");
    let last = checks.as_array().expect("a list").iter().rfind(|check| check["what"] == "pepper").expect("a pepper");
    let text = |name: &str| last[name].as_str().expect("text").to_owned();
    (text("finding"), text("detail"))
}
