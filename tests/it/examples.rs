//! The services in `examples/verify-token`, against keys and tokens of ours: two verifiers that we did not write.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::account::model::{Account, Assurance, Session};
use countersign::account::token::claims::Subject;
use countersign::account::token::keyring::Keyring;
use countersign::account::token::keys::{self, Rotation};
use countersign::account::token::settings::TokenSettings;
use countersign::account::token::{TYPE, Tokens};
use countersign::clock::{Clock, SystemClock, Timestamp};
use countersign::db::database::{Database, Settings};
use countersign::db::signing_key;
use countersign::secret::{Pepper, Peppers, SystemEntropy};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::upstream::{Reply, Upstream};
use crate::wire::Wire;

/// A service as its README says to start it. Killed when dropped.
struct Service {
    child: Child,
    wire: Arc<Wire>,
}

impl Service {
    fn start(command: &mut Command, issuer: &str) -> Service {
        let child = command.env("ISSUER", issuer).env("PORT", "0").stdout(Stdio::piped()).spawn();
        let mut child = child.expect("a service: run ./test examples");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://").expect("an address").parse().expect("an address");
        Service { child, wire: Wire::new(address) }
    }

    fn each(issuer: &str) -> [Service; 2] {
        let rust = std::env::var("COUNTERSIGN_TEST_VERIFY_TOKEN").expect("the built example: run ./test examples");
        let node = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/verify-token/node/server.js");
        [Service::start(&mut Command::new(rust), issuer), Service::start(Command::new("node").arg(node), issuer)]
    }

    async fn hello(&self, token: &str) -> (u16, Value) {
        let answer = self.wire.get("/hello", &[("authorization", &format!("Bearer {token}"))]).await;
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peppers() -> Peppers {
    Peppers { current: Pepper::new(&[7; 32]).expect("32 bytes are enough"), previous: None }
}

async fn issue(database: &Database, settings: TokenSettings, now: Timestamp) -> String {
    let tokens = Tokens::new(settings, Keyring::new(database.clone(), peppers(), Arc::new(SystemEntropy)), Arc::new(SystemEntropy));
    let account = Account {
        id: Uuid::from_bytes([1; 16]),
        full_name: "Ada".into(),
        locale: "en".into(),
        roles: vec!["staff".into()],
        is_active: true,
        password: None,
        password_reset_by: None,
        password_changed_at: now,
        created_at: now,
    };
    let session = Session {
        id: Uuid::from_bytes([2; 16]),
        account: account.id,
        assurance: Assurance::Aal2,
        methods: vec!["pwd".into(), "sms".into()],
        created_at: now,
        authenticated_at: now,
        seen_at: now,
        expires_at: now + Duration::from_secs(3600),
        idle: 0,
        address: String::new(),
        agent: String::new(),
    };
    let subject = Subject { account: &account, session: &session, email: None, phone: None };
    tokens.issue(&subject, &tokens.settings().audience, now).await.expect("a token").token.expose().clone()
}

/// A48, TOK-01, TOK-03, TOK-07: both let in who has a token of ours, by the key that signs and by the next one, and nobody else.
#[tokio::test]
#[ignore = "needs the examples: ./test examples"]
async fn services_let_in_whom_they_should() {
    let directory = TempDir::new().expect("a directory");
    let database =
        Database::open(Settings::file(&directory.path().join("accounts.db"), countersign::db::Synchronous::Normal)).await.expect("opens");
    let now = SystemClock.now();
    let jwks = Arc::new(OnceLock::<String>::new());
    let body = Arc::clone(&jwks);
    let issuer = Upstream::new(move |asked| match asked.path.as_str() {
        "/.well-known/jwks.json" => Reply::new(200, body.get().cloned().unwrap_or_default()),
        _ => Reply::new(404, "{}"),
    })
    .await;
    let settings = || TokenSettings::new(&issuer.url);
    let good = issue(&database, settings(), now).await;
    let next = keys::make(&peppers(), &SystemEntropy, now, now).expect("a key");
    let rows = signing_key::change(&database, |rows| keys::rotated(&peppers(), rows, next, Rotation::Gentle, now)).await.expect("rows");
    let set = keys::KeySet::new(&peppers(), &rows);
    jwks.set(set.jwks(now).to_string()).expect("once");

    let (first, second) = (keys::open(&peppers(), &rows[0]).expect("opens"), keys::open(&peppers(), &rows[1]).expect("opens"));
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(good.split('.').nth(1).expect("claims")).expect("base64url")).expect("JSON");
    let signed = |typ: &str, key: &keys::SigningKey, kid: &str| {
        let header = Header { typ: Some(typ.into()), kid: Some(kid.into()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &key.private).expect("a token")
    };
    // By the key that signs, saying something else.
    let saying = |changes: Value| {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        let header = Header { typ: Some(TYPE.into()), kid: Some(first.id.clone()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &first.private).expect("a token")
    };
    let with_alg = |alg: &str| {
        let header = json!({ "alg": alg, "typ": TYPE, "kid": first.id });
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), good.split_once('.').expect("a header").1)
    };
    let x = set.jwks(now)["keys"][0]["x"].as_str().expect("text").to_owned();
    let confused = Header { typ: Some(TYPE.into()), kid: Some(first.id.clone()), ..Header::new(Algorithm::HS256) };
    let second_now = now.0 / 1000;
    let bad = [
        ("nothing", String::new()),
        ("no token", "nonsense".into()),
        ("none", with_alg("none")),
        ("another algorithm", with_alg("HS256")),
        ("a shared secret", encode(&confused, &claims, &EncodingKey::from_secret(x.as_bytes())).expect("a token")),
        ("stripped", format!("{}.", good.rsplit_once('.').expect("a signature").0)),
        ("another kind", signed("JWT", &first, &first.id)),
        ("another key", signed(TYPE, &second, &first.id)),
        ("an unknown key", signed(TYPE, &first, "unknown")),
        ("ended", saying(json!({ "exp": second_now - 60 }))),
        ("not yet", saying(json!({ "nbf": second_now + 60 }))),
        ("another audience", saying(json!({ "aud": "another" }))),
        ("another issuer", saying(json!({ "iss": "https://evil.example" }))),
    ];
    for service in Service::each(&issuer.url) {
        let (status, body) = service.hello(&good).await;
        assert_eq!((status, &body["message"]), (200, &"Welcome!".into()));
        let user = &body["user"];
        assert_eq!((&user["sub"], &user["roles"], &user["acr"]), (&claims["sub"], &json!(["staff"]), &"aal2".into()));
        assert_eq!(service.hello(&saying(json!({}))).await.0, 200);
        assert_eq!(service.hello(&signed(TYPE, &second, &second.id)).await.0, 200, "published ahead");
        for (what, token) in &bad {
            assert_eq!(service.hello(token).await.0, 401, "{what}");
        }
        assert_eq!(service.wire.get("/hello", &[]).await.status, 401);
    }
    // The keys are kept: each service asked at most twice, once for the key that nobody knows.
    assert!(issuer.asked_at("/jwks.json").len() <= 4, "{}", issuer.asked().len());
    issuer.vanish();
    for service in Service::each(&issuer.url) {
        assert_eq!(service.hello(&good).await.0, 503, "nobody passes while the keys are not there");
    }
}
