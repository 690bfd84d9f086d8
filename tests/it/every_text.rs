//! INP-01: what nobody means and not every database takes (a NUL, ten thousand characters) in every text that every door takes.
//! It is refused, or has no effect; it is no failure of ours. `./test databases` does this with PostgreSQL and MariaDB.

use countersign::db::client::Scope;
use countersign::verification::policy::DEFAULT_SERVICE;
use serde_json::{Map, Value, json};
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::actors::{Client, number};
use crate::app::TestApp;
use crate::people::{PASSWORD, Person};
use crate::twilio::Sdk;
use crate::wire::Answer;

/// No limit stands before what is tried.
const OPEN: &str = "[accounts]\npasswordless = true\n[accounts.limits]\nip_sign_ins = \"100000/1m\"\nip_registrations = \"100000/1m\"\n\
    [twilio_face]\nmessages = true\n[limits]\ndestination = \"100/1s\"\n\
    [service.default]\nresend_waits = []\nlimits.destination = [\"100/1s\"]\nlimits.ip_sends = \"100000/1m\"\nlimits.ip_checks = \"100000/1m\"\n";

/// What nobody means.
fn odd() -> [String; 4] {
    ["\0".into(), "a\0b".into(), "x".repeat(10_000), "\u{1f512}".repeat(400)]
}

/// Doors that our description does not have, and the texts that they take: in JSON, and in forms.
const JSON: [(&str, &[&str]); 6] = [
    ("/send-code", &["phoneNumber"]),
    ("/verify-code", &["phoneNumber", "smsCode"]),
    ("/auth/send-otp", &["phone"]),
    ("/auth/verify-otp", &["request_id", "code"]),
    ("/one-time-password-sms/v1/send-code", &["phoneNumber", "message"]),
    ("/one-time-password-sms/v1/validate-code", &["authenticationId", "code"]),
];
const FORMS: [(&str, &[&str]); 20] = [
    ("/send-code", &["phoneNumber"]),
    ("/verify-code", &["phoneNumber", "smsCode"]),
    ("/auth/send-otp", &["phone"]),
    ("/auth/verify-otp", &["request_id", "code"]),
    ("/oauth2/token", &["grant_type", "client_id", "client_secret", "scope"]),
    ("/register", &["fullname", "phone", "password"]),
    ("/login", &["phone", "password"]),
    ("/login/code", &["phone"]),
    ("/login/passkey", &["passkey"]),
    ("/verify", &["code", "phone", "passkey"]),
    ("/verify/resend", &["phone"]),
    ("/recover", &["code"]),
    ("/forgot", &["identifier"]),
    ("/reset", &["username", "code", "password"]),
    ("/security/confirm", &["username", "password"]),
    ("/security/confirm/code", &["code", "passkey"]),
    ("/security/identifiers/add", &["identifier"]),
    ("/security/totp", &["code"]),
    ("/security/passkeys/add", &["passkey", "name"]),
    ("/security/password", &["username", "current_password", "new_password"]),
];

/// What went wrong, all of it.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn note(&mut self, what: &str, text: &str, answer: &Answer) {
        if answer.status >= 500 {
            let text: String = text.chars().take(3).collect();
            self.0.push(format!("{what} ({text:?} …): {} {}", answer.status, answer.body));
        }
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{}", self.0.join("\n"));
        }
    }
}

/// What a field holds that is not the one in question.
fn usual(name: &str) -> Value {
    match name {
        "to" | "phone" | "identifier" => json!(number(1)),
        "email" => json!("person1@example.org"),
        "password" => json!(PASSWORD),
        "code" => json!("123456"),
        "method" => json!("sms"),
        "id" => json!(uuid::Uuid::from_u128(7)),
        "credential" => json!({ "id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {} }),
        _ => json!("x"),
    }
}

/// The JSON of our own description: every property of every body, every parameter of every query and path.
#[tokio::test]
async fn of_our_own_api() {
    let app = TestApp::with(OPEN).await;
    let (client, ann) = (app.client_of(DEFAULT_SERVICE, &Scope::ALL), Person::browser(&app, 1).arrive().await);
    let description = app.wire.get("/openapi.json", &[]).await.expect(200);
    let mut failures = Failures::default();
    for (path, item) in description["paths"].as_object().expect("paths") {
        app.advance(2);
        for (method, operation) in item.as_object().expect("methods") {
            // What ends the session of whoever tries has no texts.
            if path == "/auth/logout" || path.ends_with("revoke-others") {
                continue;
            }
            let method = method.to_uppercase();
            let call = async |path: &str, body: Option<&Value>| match path.starts_with("/auth/") && !path.ends_with("/introspect") {
                true => ann.send(&method, path, body).await,
                false => json_call(&client, &method, path, body).await,
            };
            let whole =
                operation["requestBody"]["content"].get("application/json").map(|content| resolved(&description, &content["schema"]));
            let usual_body = whole.map(|schema| Value::Object(required(schema).map(|name| (name.to_owned(), usual(name))).collect()));
            let usual_path = path.replace("{id}", &uuid::Uuid::from_u128(7).to_string());
            for text in odd() {
                for name in whole.iter().flat_map(|schema| schema["properties"].as_object().into_iter().flatten()).map(|(name, _)| name) {
                    for value in
                        [json!(text), json!([text]), json!({ "name": text }), json!({ "id": text, "rawId": text, "type": "public-key" })]
                    {
                        let mut body = usual_body.clone().expect("a body");
                        body[name] = value;
                        failures.note(&format!("{method} {path} {name}"), &text, &call(&usual_path, Some(&body)).await);
                    }
                }
                let encoded: String = byte_serialize(text.as_bytes()).collect();
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().expect("a name");
                    let path = match parameter["in"].as_str() {
                        Some("path") => path.replace(&format!("{{{name}}}"), &encoded),
                        Some("query") => format!("{usual_path}?{name}={encoded}"),
                        _ => continue,
                    };
                    failures.note(&format!("{method} {path}"), &text, &call(&path, usual_body.as_ref()).await);
                }
            }
        }
    }
    assert!(ann.is_signed_in().await, "what was tried was tried by somebody");
}

async fn json_call(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Answer {
    client.call(method, path, &[], body.map(Value::to_string).unwrap_or_default()).await
}

fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    let target = |reference: &'a str| description.pointer(reference.trim_start_matches('#')).expect("what is referred to");
    // `oneOf`: nothing, or that.
    let one = schema["oneOf"].as_array().and_then(|all| all.iter().find(|one| one.get("$ref").is_some())).unwrap_or(schema);
    one["$ref"].as_str().map_or(one, target)
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Doors that our description does not have: the tutorials', CAMARA's and the one for access tokens, pages, receipts, keys.
#[tokio::test]
async fn of_the_other_faces() {
    let app = TestApp::with(OPEN).await;
    let (client, ann) = (app.client_of(DEFAULT_SERVICE, &Scope::ALL), Person::browser(&app, 1).arrive().await);
    let cookies: Vec<_> = ["session", "browser"].map(|name| format!("countersign_{name}")).into_iter().collect();
    let cookies = cookies.iter().filter_map(|name| Some(format!("{name}={}", ann.cookie(name)?))).collect::<Vec<_>>().join("; ");
    let mut failures = Failures::default();
    for text in odd() {
        let encoded: String = byte_serialize(text.as_bytes()).collect();
        for (path, names) in JSON {
            for odd in names {
                let value = |name: &str| if name == *odd { json!(text) } else { usual(if name == "phoneNumber" { "phone" } else { name }) };
                let body: Map<_, _> = names.iter().map(|name| ((*name).to_owned(), value(name))).collect();
                failures.note(&format!("{path} {odd}"), &text, &json_call(&client, "POST", path, Some(&Value::Object(body))).await);
            }
        }
        for (path, names) in FORMS {
            for odd in names {
                // A key that has the form of one.
                let key = format!("csk_{}_{}", text.chars().take(12).collect::<String>(), "A".repeat(43));
                for text in [text.clone(), format!("csk_{}_{}", "\0".repeat(12), "A".repeat(43)), key] {
                    let value = |name: &str| match name {
                        name if name == *odd => text.clone(),
                        "grant_type" => "client_credentials".into(),
                        name => usual(name).as_str().expect("a text").to_owned(),
                    };
                    let body = Serializer::new(String::new()).extend_pairs(names.iter().map(|name| (name, value(name)))).finish();
                    let kind = ("content-type", "application/x-www-form-urlencoded");
                    let headers = [kind, ("sec-fetch-site", "same-origin"), ("cookie", cookies.as_str())];
                    failures.note(&format!("{path} {odd}"), &text, &app.wire.send("POST", path, &headers, body).await);
                }
            }
        }
        for path in ["/webhooks/", "/not-me/", "/static/", "/v1/verifications/", "/login/"] {
            failures.note(path, &text, &app.wire.get(&format!("{path}{encoded}"), &[]).await);
        }
    }
}

/// INP-01: a passkey names its account by an id, and an id is asked for only if it is one.
#[tokio::test]
async fn of_passkeys() {
    let app = TestApp::with(OPEN).await;
    let mut failures = Failures::default();
    for text in odd() {
        let stranger = Person::browser(&app, 2);
        stranger.post("/auth/passkey/options", json!({})).await.expect(200);
        let response = json!({ "clientDataJSON": "AAAA", "authenticatorData": "AAAA", "signature": "AAAA" });
        let credential = json!({ "id": text, "rawId": text, "type": "public-key", "response": response });
        let answer = stranger.post("/auth/passkey", json!({ "credential": credential })).await;
        failures.note("POST /auth/passkey", &text, &answer);
        assert!(matches!(answer.status, 401 | 422), "{} {}", answer.status, answer.body);
    }
}

/// Everything that Twilio's own definitions describe, whether it is served here or not.
#[tokio::test]
async fn of_twilios_face() {
    let app = TestApp::with(OPEN).await;
    let sdk = Sdk::of(&app, DEFAULT_SERVICE, &Scope::ALL).await;
    let there = Things::make(&sdk).await;
    let mut failures = Failures::default();
    for definition in ["twilio_verify_v2", "twilio_messages_v2010"] {
        let text = std::fs::read_to_string(format!("tests/fixtures/twilio/{definition}.prism.json")).expect("a definition");
        let definition: Value = serde_json::from_str(&text).expect("JSON");
        for (path, item) in definition["paths"].as_object().expect("paths") {
            app.advance(2);
            for (method, operation) in
                item.as_object().expect("methods").iter().filter(|(method, _)| ["get", "post", "delete"].contains(&&***method))
            {
                let method = method.to_uppercase();
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let of = |place: &str| -> Vec<&str> {
                    parameters.clone().filter(|one| one["in"] == place).filter_map(|one| one["name"].as_str()).collect()
                };
                let content = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"];
                let fields: Vec<_> = content.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                let form: Vec<_> = fields.iter().filter_map(|name| Some((*name, there.field(path, name)?))).collect();
                let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let usual_path = there.path(path, None);
                for text in odd() {
                    let encoded: String = byte_serialize(text.as_bytes()).collect();
                    for name in of("path") {
                        let path = there.path(path, Some((name, &encoded)));
                        failures.note(&format!("{method} {path}"), &text, &sdk.call(&method, &path, &form).await);
                    }
                    if method == "DELETE" {
                        continue;
                    }
                    for name in of("query") {
                        let path = format!("{usual_path}?{}={encoded}", name.replace('<', "%3C").replace('>', "%3E"));
                        failures.note(&format!("{method} {path}"), &text, &sdk.call(&method, &path, &[]).await);
                    }
                    for name in &fields {
                        let odd = [(*name, text.as_str())];
                        let form: Vec<_> = form.iter().filter(|(known, _)| known != name).chain(&odd).copied().collect();
                        failures.note(&format!("{method} {usual_path} {name}"), &text, &sdk.call(&method, &usual_path, &form).await);
                    }
                }
            }
        }
    }
}

/// One of each kind of thing that Twilio's paths name.
struct Things {
    account: String,
    service: String,
    sids: Vec<(&'static str, String)>,
}

impl Things {
    async fn make(sdk: &Sdk) -> Things {
        let service = sdk.service(&[("FriendlyName", "Acme")]).await;
        let mut things = Things { account: sdk.account_sid.clone(), service: service.clone(), sids: Vec::new() };
        let to = number(1);
        let person = format!("{service}/Entities/user-0123456789");
        let limit = things.add(sdk, "RateLimits", &format!("{service}/RateLimits"), &[("UniqueName", "u")]).await;
        things.add(sdk, "Buckets", &format!("{service}/RateLimits/{limit}/Buckets"), &[("Max", "1000"), ("Interval", "60")]).await;
        things.add(sdk, "Verifications", &format!("{service}/Verifications"), &[("To", &to), ("Channel", "sms")]).await;
        things.add(sdk, "Factors", &format!("{person}/Factors"), &[("FriendlyName", "Bob"), ("FactorType", "totp")]).await;
        let hook = [("FriendlyName", "hook"), ("EventTypes", "*"), ("WebhookUrl", "https://localhost/")];
        things.add(sdk, "Webhooks", &format!("{service}/Webhooks"), &hook).await;
        let messages = format!("/2010-04-01/Accounts/{}/Messages.json", sdk.account_sid);
        things.add(sdk, "Messages", &messages, &[("To", &to), ("From", "+15005550006"), ("Body", "x")]).await;
        things
    }

    async fn add(&mut self, sdk: &Sdk, kind: &'static str, path: &str, form: &[(&str, &str)]) -> String {
        let made = sdk.post(path, form).await.expect(201);
        let sid = made["sid"].as_str().expect("a SID").to_owned();
        self.sids.push((kind, sid.clone()));
        sid
    }

    fn sid(&self, kind: &str) -> &str {
        self.sids.iter().find(|(known, _)| *known == kind).map_or("XX00000000000000000000000000000000", |(_, sid)| sid)
    }

    /// A path of theirs with what is there in the place of its parameters, and with this text in the place of one of them.
    fn path(&self, path: &str, odd: Option<(&str, &str)>) -> String {
        let mut before = "";
        let segments = path.split('/').map(|segment| {
            let kind = std::mem::replace(&mut before, segment);
            let Some((_, name)) = segment.split_once('{') else { return segment.to_owned() };
            let (name, end) = name.split_once('}').expect("the end of a name");
            let text: &str = match (name, kind) {
                (name, _) if odd.is_some_and(|(odd, _)| odd == name) => odd.expect("a text").1,
                ("AccountSid", _) => &self.account,
                (_, "Services") => self.service.rsplit('/').next().expect("a SID"),
                ("Identity", _) => "user-0123456789",
                ("Country", _) => "DE",
                ("PhoneNumber", _) => "+4915110000001",
                (_, kind) => self.sid(kind),
            };
            format!("{text}{end}")
        });
        segments.collect::<Vec<_>>().join("/")
    }

    /// What a field of a form holds that is not the one in question; none where it is left out.
    fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = match name {
            "To" | "PhoneNumber" => "+4915110000001",
            "From" => "+15005550006",
            "Body" if !path.contains("{Sid}") => "x",
            "Channel" => "sms",
            "Code" | "AuthPayload" => "123456",
            "FriendlyName" | "UniqueName" => "x",
            "Identity" => "user-0123456789",
            "FactorType" => "totp",
            "FactorSid" => self.sid("Factors"),
            "Max" | "Interval" => "1000",
            "EventTypes" => "*",
            "WebhookUrl" => "https://localhost/",
            "Country" => "DE",
            "MessagingServiceSid" if !path.contains("Messages") => "MG00000000000000000000000000000000",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
