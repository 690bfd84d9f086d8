//! Operators and people's accounts, by the API and at the machine (SES-06, A53).

use countersign::db::client::Scope;
use serde_json::{Value, json};

use crate::actors::{Client, eventually};
use crate::app::TestApp;
use crate::binary::{Binary, Said};
use crate::people::{PASSWORD, Person};

async fn patch(client: &Client, id: &Value, body: Value) -> crate::wire::Answer {
    client.call("PATCH", &path(id, ""), &[], body.to_string()).await
}

fn path(id: &Value, end: &str) -> String {
    format!("/v1/accounts/{}{end}", id.as_str().expect("an id"))
}

fn operator(app: &TestApp) -> Client {
    app.client_of("default", &[Scope::AccountsRead, Scope::AccountsWrite])
}

async fn id_of(person: &Person) -> Value {
    person.get("/auth/me").await.expect(200)["id"].clone()
}

/// The texts that went to somebody and are no code.
async fn told(app: &TestApp, to: &str, words: &str) -> bool {
    let all = app.inbox().messages().await;
    all.iter().any(|message| message["to"] == to && message["body"].as_str().is_some_and(|text| text.contains(words)))
}

/// OPS-07, A52: each route wants its own scope, a key that was made without naming one has neither, and people of another
/// service's are none of a client's business.
#[tokio::test]
async fn a_key_sees_no_people_unless_it_says_so() {
    let app = TestApp::with("[service.shop]").await;
    let ann = Person::browser(&app, 1).arrive().await;
    let id = id_of(&ann).await;
    let routes = [
        ("GET", "/v1/accounts".to_owned(), Scope::AccountsRead),
        ("GET", path(&id, ""), Scope::AccountsRead),
        ("GET", path(&id, "/sessions"), Scope::AccountsRead),
        ("PATCH", path(&id, ""), Scope::AccountsWrite),
        ("DELETE", path(&id, "/sessions"), Scope::AccountsWrite),
    ];
    let usual = app.client_of("default", &Scope::USUAL);
    let shop = app.client_of("shop", &Scope::ALL);
    for (method, path, needed) in &routes {
        let body = if *method == "PATCH" { "{}" } else { "" };
        let others: Vec<_> = Scope::ALL.into_iter().filter(|scope| scope != needed).collect();
        for client in [&usual, &shop, &app.client_of("default", &others)] {
            client.call(method, path, &[], body.into()).await.problem(403, "forbidden");
        }
        let answer = app.client_of("default", &[*needed]).call(method, path, &[], body.into()).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        assert_eq!(ann.send(method, path, (!body.is_empty()).then(|| json!({})).as_ref()).await.status, 401, "a person is no client");
    }
}

/// SES-06: an account that is switched off is out at once, wherever its person is signed in; its person is told; and who is let in
/// again begins anew.
#[tokio::test]
async fn a_disabled_account_is_out_at_once() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1);
    ann.register().await;
    let pair = ann.sign_in().await;
    let id = id_of(&ann).await;
    let operator = operator(&app);
    let waiting = ann.elsewhere();
    app.advance(60);
    waiting.login().await.expect(200);
    let code = waiting.newest_code(&ann.phone).await;

    let answer = patch(&operator, &id, json!({ "status": "disabled" })).await.expect(200);
    assert_eq!((&answer["status"], &answer["id"]), (&"disabled".into(), &id));
    assert!(!ann.is_signed_in().await);
    let app_of_hers = Person::app(&app, 1);
    app_of_hers.hold(&pair["token"]);
    assert!(!app_of_hers.is_signed_in().await);
    app_of_hers.hold(&Value::Null);
    app_of_hers.post("/auth/refresh", json!({ "refresh_token": pair["refresh_token"] })).await.problem(401, "sign_in_required");
    assert_eq!(waiting.verify(&code).await.status, 401, "neither does a sign-in that was under way go on");
    assert_eq!(ann.elsewhere().login().await.status, 401);
    eventually("the owner is told", async || told(&app, &ann.phone, "was disabled").await.then_some(())).await;
    assert!(app.dump("account_event").contains("account.disabled"));
    assert!(app.dump("account_event").contains("by the client"));

    patch(&operator, &id, json!({ "status": "active" })).await.expect(200);
    assert!(!ann.is_signed_in().await, "what ended has ended");
    app.advance(60);
    ann.sign_in().await;
    assert!(ann.is_signed_in().await);
}

/// A53: roles come from operators alone, and stand in the next token.
#[tokio::test]
async fn roles_stand_in_the_next_token() {
    let app = TestApp::new().await;
    let ann = Person::browser(&app, 1).arrive().await;
    let (id, operator) = (id_of(&ann).await, operator(&app));
    for wrong in [json!(["two words"]), json!(["a\"b"]), json!([""])] {
        patch(&operator, &id, json!({ "roles": wrong })).await.problem(422, "invalid_field");
    }
    patch(&operator, &id, json!({ "roles": "staff" })).await.problem(400, "invalid_body");
    let changed = patch(&operator, &id, json!({ "roles": ["staff", "admin"] })).await.expect(200);
    assert_eq!((&changed["roles"], &changed["status"]), (&json!(["admin", "staff"]), &"active".into()));
    assert!(ann.is_signed_in().await, "other roles end no session");
    let token = ann.act("POST", "/auth/refresh").await.expect(200)["token"].clone();
    let holder = Person::app(&app, 1);
    holder.hold(&token);
    assert_eq!(holder.get("/protected").await.expect(200)["user"]["roles"], json!(["admin", "staff"]));
    patch(&operator, &id, json!({ "roles": [] })).await.expect(200);
    assert_eq!(ann.get("/auth/me").await.expect(200)["roles"], json!([]));
}

/// SES-06: somebody's sessions are seen and ended, and nobody else's with them.
#[tokio::test]
async fn sessions_are_seen_and_ended() {
    let app = TestApp::new().await;
    let (ann, bob) = (Person::browser(&app, 1).arrive().await, Person::browser(&app, 2).arrive().await);
    let (id, operator) = (id_of(&ann).await, operator(&app));
    let listed = operator.call("GET", &path(&id, "/sessions"), &[], String::new()).await.expect(200);
    assert_eq!((listed["data"].as_array().map(Vec::len), &listed["data"][0]["agent"]), (Some(1), &"a browser".into()));
    let ended = operator.call("DELETE", &path(&id, "/sessions"), &[], String::new()).await.expect(200);
    assert_eq!(ended, json!({ "ended": 1 }));
    assert!(!ann.is_signed_in().await && bob.is_signed_in().await);
    let nobody = json!("00000000-0000-7000-8000-000000000000");
    for (method, end) in [("GET", ""), ("GET", "/sessions"), ("DELETE", "/sessions")] {
        operator.call(method, &path(&nobody, end), &[], String::new()).await.problem(404, "not_found");
    }
    patch(&operator, &nobody, json!({ "status": "disabled" })).await.problem(404, "not_found");
}

/// People are found by any spelling, the owner before those who only claim; pages follow each other; nothing is shown in full.
#[tokio::test]
async fn accounts_are_found_and_listed() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for index in 1..4 {
        ids.insert(0, id_of(&Person::browser(&app, index).arrive().await).await);
        app.advance(1);
    }
    let operator = operator(&app);
    let get = async |query: &str| operator.call("GET", &format!("/v1/accounts{query}"), &[], String::new()).await;
    for spelling in ["?identifier=%2B49%20151%2010000002", "?identifier=PERSON2@example.org"] {
        let found = get(spelling).await.expect(200);
        assert_eq!((found["data"].as_array().map(Vec::len), &found["data"][0]["id"]), (Some(1), &ids[1]), "{spelling}");
        assert!(!found.to_string().contains("+4915110000002") && !found.to_string().contains("person2@"), "{found}");
    }
    assert_eq!(get("?identifier=nobody@example.org").await.expect(200)["data"], json!([]));
    get("?identifier=nonsense").await.problem(422, "invalid_field");
    get("?limit=0").await.problem(422, "invalid_field");
    let first = get("?limit=2").await.expect(200);
    let shown = |page: &Value| page["data"].as_array().expect("a page").iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!((shown(&first), &first["next_before"]), (ids[..2].to_vec(), &ids[1]));
    let last = get(&format!("?limit=2&before={}", ids[1].as_str().expect("an id"))).await.expect(200);
    assert_eq!((shown(&last), &last["next_before"]), (ids[2..].to_vec(), &Value::Null));
}

#[track_caller]
fn said(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// The same at the machine, beside a server that runs: it knows of each change at once.
#[tokio::test]
async fn the_command_line_changes_accounts_of_a_running_server() {
    let binary = Binary::new();
    let server = binary.serve().await;
    let wire = server.wire.clone();
    let register = json!({ "email": "ann@example.org", "phone": "+4915110000001", "password": PASSWORD });
    wire.send("POST", "/auth/register", &[("content-type", "application/json")], register.to_string()).await.expect(201);
    let login = async || {
        let body = json!({ "email": "ann@example.org", "password": PASSWORD }).to_string();
        wire.send("POST", "/auth/login", &[("content-type", "application/json")], body).await.status
    };
    assert_eq!(login().await, 200);
    let listed = said(&binary.run(&["account", "list", "--json"]));
    let id = listed[0]["id"].as_str().expect("an id");
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["identifiers"][1]["verified"]), (Some(1), &false.into()));
    for wanted in [id, "+49 151 10000001", "ANN@example.org"] {
        let shown = binary.run(&["account", "show", wanted]);
        assert!(shown.code == Some(0) && shown.out.contains(id) && !shown.out.contains("10000001"), "{shown:?}");
        assert!(!shown.out.contains("ann@") && !shown.out.contains("argon2"), "{shown:?}");
    }
    assert_eq!(said(&binary.run(&["account", "disable", "ann@example.org", "--json"]))["status"], "disabled");
    assert_eq!(login().await, 401);
    assert!(binary.run(&["account", "enable", id]).out.contains("may sign in"));
    // Or too soon for another code: either way the password was right, and the door is open.
    assert!(matches!(login().await, 200 | 429));
    assert_eq!(said(&binary.run(&["account", "roles", id, "staff", "--json"]))["roles"], json!(["staff"]));
    assert_eq!(said(&binary.run(&["account", "roles", id, "--json"])), json!(["staff"]));
    assert_eq!(said(&binary.run(&["account", "roles", id, "--none", "--json"]))["roles"], json!([]));
    assert_eq!(said(&binary.run(&["account", "sessions", id, "--json"])), json!([]));
    assert_eq!(said(&binary.run(&["account", "end-sessions", id, "--json"])), json!({ "ended": 0 }));
    let events = said(&binary.run(&["account", "show", id, "--json"]))["events"].to_string();
    for kind in ["account.disabled", "account.enabled", "account.roles_set", "account.sessions_ended", "by the command line"] {
        assert!(events.contains(kind), "{kind}: {events}");
    }
    for unknown in ["nobody@example.org", "nonsense", "00000000-0000-7000-8000-000000000000"] {
        let answer = binary.run(&["account", "show", unknown]);
        assert!(answer.code == Some(1) && answer.out.is_empty() && !answer.complaints.is_empty(), "{answer:?}");
    }
    let help = binary.run(&["account", "--help"]).out;
    assert!(help.contains("end-sessions") && help.contains("Examples"), "{help}");
}
