//! A directory with nothing but the `.env` of a system that this one replaces: what its variables come to mean.

use countersign::app::KINDS;
use serde_json::{Value, json};

use crate::actors::eventually;
use crate::app::TestApp;
use crate::binary::Binary;
use crate::upstream::{Reply, Upstream};

/// A published tutorial's variables, and what they make of this server.
struct System {
    name: &'static str,
    variables: &'static [&'static str],
    /// The kind of provider that they complete.
    kind: &'static str,
    channels: &'static [&'static str],
    uses: &'static [&'static str],
}

const ACCOUNT: &str = "TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000";
const TOKEN: &str = "TWILIO_AUTH_TOKEN=00000000000000000000000000000000";
const NUMBER: &str = "TWILIO_PHONE_NUMBER=+15005550006";

const SYSTEMS: &[System] = &[
    System {
        name: "login pages in Rust",
        variables: &[
            ACCOUNT,
            TOKEN,
            "TWILIO_VERIFY_SERVICE_SID=VA00000000000000000000000000000000",
            "DATABASE_URL=mysql://root:geheim@localhost/users",
        ],
        kind: "twilio-verify",
        channels: &["SMS", "calls"],
        uses: &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_VERIFY_SERVICE_SID"],
    },
    System {
        name: "OTP gateway in Rust",
        variables: &["STARTMESSAGING_API_KEY=sm_live_geheim"],
        kind: "startmessaging",
        channels: &["SMS"],
        uses: &["STARTMESSAGING_API_KEY"],
    },
    System {
        name: "login pages in Go",
        variables: &[ACCOUNT, TOKEN, NUMBER, "DB_SOURCE=root:geheim@tcp(localhost:3306)/userinfo"],
        kind: "twilio",
        channels: &["SMS", "calls"],
        uses: &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"],
    },
    System {
        name: "JSON API in Express",
        variables: &[ACCOUNT, TOKEN, "TWILIO_VERIFY_SID=VA00000000000000000000000000000000", "JWT_SECRET=geheim"],
        kind: "twilio-verify",
        channels: &["SMS", "calls"],
        uses: &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_VERIFY_SID"],
    },
    System {
        name: "send-code in Express",
        variables: &["HOST=http://localhost", "PORT=0", ACCOUNT, TOKEN, NUMBER, "REDIS_URL=redis://:geheim@localhost"],
        kind: "twilio",
        channels: &["SMS", "calls"],
        uses: &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"],
    },
];

fn doctor(binary: &Binary) -> Vec<Value> {
    let said = binary.run(&["doctor", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!said.out.contains("geheim"), "a value of a variable: {}", said.out);
    let checks: Value = serde_json::from_str(&said.out).expect("JSON");
    checks.as_array().expect("a list").clone()
}

fn details<'a>(checks: &'a [Value], what: &str) -> Vec<&'a str> {
    let wanted = checks.iter().filter(|check| check["what"] == what);
    wanted.map(|check| check["detail"].as_str().expect("text")).collect()
}

/// Without the servers that these systems have, and this machine has not.
fn env_file(variables: &[&str]) -> Binary {
    Binary::new().file(".env", &without_servers(variables).join("\n"))
}

fn without_servers<'a>(variables: &[&'a str]) -> Vec<&'a str> {
    let of_server = |variable: &str| SERVERS.iter().any(|name| variable.starts_with(name));
    variables.iter().copied().filter(|variable| !of_server(variable)).collect()
}

const SERVERS: [&str; 3] = ["REDIS_URL=", "DATABASE_URL=", "DB_SOURCE="];

/// R08: with its variable alone that database is asked; `doctor` says that it does not answer, and not by what password it would.
#[test]
fn a_database_that_does_not_answer_is_named_without_its_password() {
    for (variable, shown) in [
        ("DATABASE_URL=mysql://root:geheim@127.0.0.1:1/users", "127.0.0.1:1/users"),
        ("DATABASE_URL=postgres://root:geheim@127.0.0.1:1/users", "127.0.0.1:1/users"),
        ("DB_SOURCE=root:geheim@tcp(127.0.0.1:1)/userinfo", "127.0.0.1:1/userinfo"),
    ] {
        let said = Binary::new().file(".env", variable).run(&["doctor"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.contains(shown) && !said.out.contains("geheim"), "{said:?}");
    }
}

/// A46: with its `REDIS_URL` alone, that Redis is asked; `doctor` says that it does not answer, and not by what password it would.
#[test]
fn a_redis_that_does_not_answer_is_named_without_its_password() {
    let said = Binary::new().file(".env", "REDIS_URL=redis://:geheim@127.0.0.1:1").run(&["doctor"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("redis://127.0.0.1:1") && !said.out.contains("geheim"), "{said:?}");
}

#[test]
fn the_variables_of_each_system_choose_its_provider() {
    for system in SYSTEMS {
        let checks = doctor(&env_file(system.variables));
        let providers = details(&checks, "provider");
        assert_eq!(providers.len(), 1, "{}: {providers:?}", system.name);
        assert!(providers[0].contains(&format!(" by {}: ", system.kind)), "{}: {providers:?}", system.name);
        assert!(providers[0].ends_with(&format!("({})", system.uses.join(", "))), "{}: {providers:?}", system.name);
        for channel in system.channels {
            let route = format!("{channel} by {}", system.kind);
            assert!(details(&checks, "route").contains(&route.as_str()), "{}: {checks:?}", system.name);
        }
        assert!(details(&checks, "variable").is_empty(), "{}: {checks:?}", system.name);
        assert!(details(&checks, "store")[0].contains("countersign.db"), "{checks:?}");
        assert!(details(&checks, "mode")[0].contains("costs money"), "{checks:?}");
    }
}

/// Half an account is none, and `doctor` says what is missing.
#[test]
fn variables_that_are_not_enough_are_named() {
    let checks = doctor(&env_file(&[ACCOUNT, TOKEN]));
    assert_eq!(details(&checks, "provider"), ["SMS, WhatsApp, calls, mail by console"]);
    assert!(details(&checks, "mode")[0].contains("nothing is sent"), "{checks:?}");
    let said = details(&checks, "variable");
    let messaging = said.iter().find(|said| said.contains("Twilio Programmable Messaging"));
    let messaging = messaging.unwrap_or_else(|| panic!("{said:?}"));
    assert!(messaging.starts_with("TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN are set and not used: "), "{messaging}");
    assert!(messaging.contains("needs TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"), "{messaging}");
    let refused =
        env_file(&[ACCOUNT, TOKEN]).with("COUNTERSIGN_MODE", "production").with("COUNTERSIGN_SERVICE__DEFAULT__COUNTRIES", "[\"DE\"]");
    let refused = refused.run(&["doctor"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.out.contains("needs TWILIO_PHONE_NUMBER"), "also where nothing starts: {refused:?}");
}

/// The variables of several systems at once: each channel has one winner, and `doctor` says who is left out.
#[test]
fn of_several_systems_one_wins_each_channel() {
    let all: Vec<&str> = SYSTEMS.iter().flat_map(|system| system.variables).copied().collect();
    let checks = doctor(&env_file(&all));
    let routes = details(&checks, "route");
    let sms: Vec<_> = routes.iter().filter(|route| route.starts_with("SMS by ")).collect();
    assert_eq!(sms.len(), 1, "{routes:?}");
    let first = KINDS.iter().find(|kind| SYSTEMS.iter().any(|system| system.kind == kind.name)).expect("a kind");
    assert!(sms[0].starts_with(&format!("SMS by {}", first.name)), "the order of the kinds: {sms:?}");
    for other in details(&checks, "provider").iter().skip(1) {
        let name = other.split(" by ").nth(1).and_then(|rest| rest.split(':').next()).expect("a name");
        assert!(sms[0].contains(name), "{name} is mentioned: {sms:?}");
    }
}

#[test]
fn of_two_names_for_one_setting_the_first_counts() {
    let names = ["TWILIO_API_KEY=SK0", "TWILIO_API_KEY_SECRET=one", "TWILIO_API_SECRET=two"];
    let checks = doctor(&env_file(&[&[ACCOUNT, TOKEN, NUMBER][..], &names].concat()));
    assert!(details(&checks, "provider")[0].contains("TWILIO_API_KEY_SECRET"), "{checks:?}");
    assert_eq!(details(&checks, "variable"), ["TWILIO_API_SECRET is set and not used: another value counts for the same setting"]);
}

/// What the start says is true: of dev mode with real providers it does not say that nothing is sent.
#[tokio::test]
async fn a_start_names_the_providers_and_the_costs() {
    let server = Binary::new().serve().await;
    let said = eventually("the welcome", async || Some(server.said()).filter(|said| said.contains("check it:"))).await;
    assert!(said.contains("codes are shown, nothing is sent"), "{said}");

    let server = env_file(&[ACCOUNT, TOKEN, NUMBER]).serve().await;
    let said = eventually("the welcome", async || Some(server.said()).filter(|said| said.contains("check it:"))).await;
    assert!(!said.contains("nothing is sent"), "{said}");
    assert!(said.contains("SMS, calls by twilio: Twilio Programmable Messaging (TWILIO_ACCOUNT_SID, "), "{said}");
    assert!(said.contains("cost money") && said.contains("shown in the inbox, too"), "{said}");
    let page = server.stranger().get("/dev/inbox").await;
    assert!(page.body.contains("really sent"), "{}", page.body);
    assert!(!page.body.contains("sends none"), "{}", page.body);
}

/// Each system's variables, and nothing said beside them but where the provider stands in this test: a start reaches it, with
/// the system's own account.
#[tokio::test]
async fn a_start_reaches_the_provider_that_the_variables_name() {
    for system in SYSTEMS {
        let (path, by) = match system.kind {
            "twilio" => ("/Messages.json", "Basic "),
            "twilio-verify" => ("/Verifications", "Basic "),
            "startmessaging" => ("/otp/send", "sm_live_geheim"),
            other => panic!("no upstream for {other}"),
        };
        let sid = format!("{}{:032x}", if system.kind == "twilio" { "SM" } else { "VE" }, 1);
        let answer = json!({ "sid": sid, "status": "pending", "data": { "requestId": "r1" } }).to_string();
        let upstream = Upstream::new(move |_| Reply::new(201, answer.clone())).await;
        let section = format!("[provider.{0}]\ntype = \"{0}\"\nbase_url = \"{1}\"", system.kind, upstream.url);
        let app = TestApp::with_environment(&section, &without_servers(system.variables)).await;
        let client = app.client();
        let started = client.started(json!({ "to": "+919876543210" })).await;
        let sent = client.sent(&started).await;
        assert_eq!((&sent["delivery"], &sent["provider"]), (&json!("sent"), &json!(system.kind)), "{}: {sent}", system.name);
        let asked = upstream.asked_at(path);
        assert_eq!((asked.len(), upstream.asked().len()), (1, 1), "{}", system.name);
        let key = asked[0].header("authorization").or(asked[0].header("x-api-key")).unwrap_or_default();
        assert!(key.starts_with(by), "{}: by whose account?", system.name);
    }
}
