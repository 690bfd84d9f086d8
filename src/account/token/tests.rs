#![cfg(test)]
//! What an attacker sends, and what two processes on one database do.

use std::io::Read;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::claims::Subject;
use super::keyring::Keyring;
use super::keys::{self, JWKS_MAX_AGE, PUBLISH_AHEAD, READ_AGAIN, Rotation};
use super::samples::{NOW, account, session};
use super::settings::{LIFE_MAX, TokenSettings};
use super::*;
use crate::account::model::Assurance;
use crate::db::database::Database;
use crate::db::database::testing::OwnDatabase;
use crate::db::signing_key;
use crate::secret::{Pepper, Peppers, SystemEntropy};

struct Servers {
    own: OwnDatabase,
}

impl Servers {
    async fn new() -> Servers {
        Servers { own: OwnDatabase::new().await }
    }

    fn peppers() -> Peppers {
        Peppers { current: Pepper::new(&[7; 32]).expect("32 bytes are enough"), previous: None }
    }

    async fn database(&self) -> Database {
        Database::own(&self.own).await
    }

    /// One more server on the same database.
    async fn start(&self, settings: TokenSettings) -> Tokens {
        let keyring = Keyring::new(self.database().await, Servers::peppers(), Arc::new(SystemEntropy));
        Tokens::new(settings, keyring, Arc::new(SystemEntropy))
    }

    async fn rotate(&self, rotation: Rotation, now: Timestamp) {
        let new = keys::make(&Servers::peppers(), &SystemEntropy, now, now).expect("a key");
        let database = self.database().await;
        let change = signing_key::change(&database, |rows| keys::rotated(&Servers::peppers(), rows, new, rotation, now));
        change.await.expect("a rotation");
    }
}

fn settings() -> TokenSettings {
    TokenSettings::new("https://id.example")
}

async fn issue(tokens: &Tokens, now: Timestamp) -> String {
    let (account, session) = (account(), session(Assurance::Aal2, &["pwd", "sms"]));
    let subject = Subject { account: &account, session: &session, email: Some(("ada@example.org", true)), phone: None };
    tokens.issue(&subject, &tokens.settings().audience, now).await.expect("a token").token.expose().clone()
}

async fn judge(tokens: &Tokens, token: &str, now: Timestamp) -> Result<Claims, Refusal> {
    match tokens.judge(token, ShownFor::Entry, now).await.expect("judged") {
        Judged::Good(claims) => Ok(*claims),
        Judged::Refused(refusal) => Err(refusal),
    }
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// With other headers, and its old signature.
fn with_header(token: &str, changes: &Value) -> String {
    let mut header = part(token, 0);
    for (name, value) in changes.as_object().expect("an object") {
        header[name] = value.clone();
    }
    let rest = token.split_once('.').expect("a header").1;
    format!("{}.{rest}", encoded(&header))
}

/// Signed by the key that signs, whatever it says.
async fn signed(tokens: &Tokens, header: &Value, claims: &Value, now: Timestamp) -> String {
    let keys = tokens.keyring.signing(now).await.expect("keys");
    let key = keys.signing(now).expect("a key");
    let mut header = header.clone();
    header["kid"] = key.id.clone().into();
    let message = format!("{}.{}", encoded(&header), encoded(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.private, Algorithm::EdDSA).expect("a signature");
    format!("{message}.{signature}")
}

#[tokio::test]
async fn a_token_is_good_for_us_and_now() {
    let servers = Servers::new().await;
    let tokens = servers.start(settings()).await;
    let token = issue(&tokens, NOW).await;
    let claims = judge(&tokens, &token, NOW).await.expect("good");
    assert_eq!((claims.sub, claims.acr.as_str(), claims.expires_in(NOW)), (Uuid::from_bytes([1; 16]), "aal2", 600));
    let header = part(&token, 0);
    let names: Vec<_> = header.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "kid", "typ"]);
    assert_eq!((&header["alg"], &header["typ"]), (&"EdDSA".into(), &"at+jwt".into()));
    assert_ne!(issue(&tokens, NOW).await, token, "each has its own name");
}

/// TOK-01, A48: no algorithm but the key's, whatever the token says.
#[tokio::test]
async fn a_token_does_not_choose_its_algorithm() {
    let servers = Servers::new().await;
    let tokens = servers.start(settings()).await;
    let token = issue(&tokens, NOW).await;
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let payload = message.split_once('.').expect("a payload").1;
    for none in ["none", "NoNe", "NONE", "nOnE", ""] {
        let forged = format!("{}.{payload}.", encoded(&json!({ "alg": none, "typ": "at+jwt" })));
        assert_eq!(judge(&tokens, &forged, NOW).await, Err(Refusal::Malformed), "{none}");
        let forged = with_header(&token, &json!({ "alg": none }));
        assert_eq!(judge(&tokens, &forged, NOW).await, Err(Refusal::Malformed), "{none}");
    }
    // The public key as a shared secret, in each form in which a library may hold it.
    let jwks = tokens.jwks(NOW).await.expect("keys").body;
    let x = jwks["keys"][0]["x"].as_str().expect("text");
    for secret in [x.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(x).expect("base64url"), jwks["keys"][0].to_string().into_bytes()] {
        let message = format!("{}.{payload}", encoded(&json!({ "alg": "HS256", "typ": "at+jwt", "kid": jwks["keys"][0]["kid"] })));
        let secret = EncodingKey::from_secret(&secret);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).expect("a signature");
        assert_eq!(judge(&tokens, &format!("{message}.{signature}"), NOW).await, Err(Refusal::Algorithm));
    }
    for other in ["ES256", "RS256", "PS512", "HS512"] {
        assert_eq!(judge(&tokens, &with_header(&token, &json!({ "alg": other })), NOW).await, Err(Refusal::Algorithm), "{other}");
    }
    // r = s = 0, as it would be for ES256, and a few other signatures that are none.
    let (zeros, ones) = (URL_SAFE_NO_PAD.encode([0; 64]), URL_SAFE_NO_PAD.encode([0xff; 64]));
    for wrong in [String::new(), zeros, ones, signature[..signature.len() - 2].to_owned(), URL_SAFE_NO_PAD.encode("short")] {
        assert_eq!(judge(&tokens, &format!("{message}.{wrong}"), NOW).await, Err(Refusal::Signature), "{wrong}");
    }
    for wrong in ["", ".", "..", "a.b.c", message, &format!("{token}."), &format!("{token}.{signature}"), &"a".repeat(9_000)] {
        assert_eq!(judge(&tokens, wrong, NOW).await, Err(Refusal::Malformed), "{wrong}");
    }
}

/// TOK-01: every bit of what is signed counts.
#[tokio::test]
async fn a_changed_token_is_refused() {
    let servers = Servers::new().await;
    let tokens = servers.start(settings()).await;
    let token = issue(&tokens, NOW).await;
    for (at, sign) in token.char_indices().filter(|(_, sign)| *sign != '.') {
        let other = if sign == 'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        assert!(judge(&tokens, &changed, NOW).await.is_err(), "place {at}");
    }
}

/// TOK-02, A48: no key comes from a token. A listener waits where the headers point, and hears nothing.
#[tokio::test]
async fn keys_that_a_token_brings_are_not_looked_at() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
    let servers = Servers::new().await;
    let tokens = servers.start(settings()).await;
    let token = issue(&tokens, NOW).await;
    // The attacker's own key, and a token that is right in everything else.
    let seed = [9; 32];
    let x = URL_SAFE_NO_PAD.encode(crypto::public_of(&seed).expect("a key"));
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "mine", "alg": "EdDSA", "use": "sig" });
    let kid = part(&token, 0)["kid"].clone();
    for (kid, refusal) in [(kid, Refusal::Signature), ("mine".into(), Refusal::UnknownKey)] {
        for brought in [json!({ "jku": url }), json!({ "x5u": url }), json!({ "jwk": jwk }), json!({ "jku": url, "x5u": url, "jwk": jwk })]
        {
            let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid });
            header.as_object_mut().expect("an object").extend(brought.as_object().expect("an object").clone());
            let message = format!("{}.{}", encoded(&header), encoded(&part(&token, 1)));
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_ed_der(&seed), Algorithm::EdDSA);
            let forged = format!("{message}.{}", signature.expect("a signature"));
            assert_eq!(judge(&tokens, &forged, NOW).await, Err(refusal), "{header}");
        }
    }
    // Our own token is as good with a header that points elsewhere as without: it is ignored, and not believed.
    let pointing = signed(&tokens, &json!({ "alg": "EdDSA", "typ": "at+jwt", "jku": url }), &part(&token, 1), NOW).await;
    assert!(judge(&tokens, &pointing, NOW).await.is_ok());
    let heard = listener.accept().map(|(mut stream, _)| stream.read(&mut [0; 16]));
    assert_eq!(heard.map(drop).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
}

/// TOK-02: a key's name is a name, and nothing that is opened, asked for or run.
#[tokio::test]
async fn a_kid_is_opaque() {
    let servers = Servers::new().await;
    let tokens = servers.start(settings()).await;
    let token = issue(&tokens, NOW).await;
    for kid in
        ["", "../../etc/passwd", "../../../../dev/null", "' OR '1'='1", "x'; DROP TABLE signing_key; --", "%", "\0", "https://evil.example"]
    {
        assert_eq!(judge(&tokens, &with_header(&token, &json!({ "kid": kid })), NOW).await, Err(Refusal::UnknownKey), "{kid}");
    }
    for kid in [json!(null), json!({ "$ne": 1 }), json!(["a"]), json!(7)] {
        assert!(judge(&tokens, &with_header(&token, &json!({ "kid": kid })), NOW).await.is_err(), "{kid}");
    }
    assert!(judge(&tokens, &token, NOW + READ_AGAIN * 2).await.is_ok(), "and the table is still there");
}

/// TOK-03, A48: signed by us is not enough.
#[tokio::test]
async fn kind_issuer_audience_and_time_are_checked() {
    let servers = Servers::new().await;
    let tokens = servers.start(settings()).await;
    let token = issue(&tokens, NOW).await;
    let (header, claims) = (json!({ "alg": "EdDSA", "typ": "at+jwt" }), part(&token, 1));
    assert!(judge(&tokens, &signed(&tokens, &header, &claims, NOW).await, NOW).await.is_ok());
    for typ in [json!("JWT"), json!("id+jwt"), json!("at"), json!(""), json!(null), json!("application/jwt")] {
        let token = signed(&tokens, &json!({ "alg": "EdDSA", "typ": typ }), &claims, NOW).await;
        assert_eq!(judge(&tokens, &token, NOW).await, Err(Refusal::Type), "{typ}");
    }
    let same = signed(&tokens, &json!({ "alg": "EdDSA", "typ": "application/AT+JWT" }), &claims, NOW).await;
    assert!(judge(&tokens, &same, NOW).await.is_ok(), "RFC 9068, 4");
    let critical = signed(&tokens, &json!({ "alg": "EdDSA", "typ": "at+jwt", "crit": ["exp"] }), &claims, NOW).await;
    assert_eq!(judge(&tokens, &critical, NOW).await, Err(Refusal::Critical));
    let second = seconds(NOW);
    for (name, value, refusal) in [
        ("iss", json!("https://evil.example"), Refusal::Issuer),
        ("iss", json!("https://id.example/"), Refusal::Issuer),
        ("aud", json!("another"), Refusal::Audience),
        ("exp", json!(second - 5), Refusal::Expired),
        ("exp", json!(i64::MIN), Refusal::Expired),
        ("nbf", json!(second + 6), Refusal::NotYet),
        ("aud", json!(["https://id.example", "another"]), Refusal::Malformed),
        ("exp", json!("tomorrow"), Refusal::Malformed),
        ("exp", json!(null), Refusal::Malformed),
        ("sub", json!("admin"), Refusal::Malformed),
    ] {
        let mut changed = claims.clone();
        changed[name] = value.clone();
        assert_eq!(judge(&tokens, &signed(&tokens, &header, &changed, NOW).await, NOW).await, Err(refusal), "{name} {value}");
    }
    let after = |seconds: u64| NOW + Duration::from_secs(seconds);
    assert!(judge(&tokens, &token, after(604)).await.is_ok(), "clocks may be five seconds apart");
    assert_eq!(judge(&tokens, &token, after(605)).await, Err(Refusal::Expired));
    assert!(judge(&tokens, &token, NOW - Duration::from_secs(5)).await.is_ok());
    assert_eq!(judge(&tokens, &token, NOW - Duration::from_secs(7)).await, Err(Refusal::NotYet));
}

/// TOK-01: with a shared secret there is one algorithm, too, and it is the other one.
#[tokio::test]
async fn a_shared_secret_signs_alone() {
    let servers = Servers::new().await;
    let own = servers.start(settings()).await;
    let shared = servers.start(settings().with_shared_secret("s".repeat(32))).await;
    let other = servers.start(settings().with_shared_secret("t".repeat(32))).await;
    let token = issue(&shared, NOW).await;
    let claims = judge(&shared, &token, NOW).await.expect("good");
    assert_eq!((claims.email.as_deref(), claims.id), (Some("ada@example.org"), Some(claims.sub)));
    assert_eq!(part(&token, 0)["alg"], "HS256");
    assert_eq!(judge(&other, &token, NOW).await, Err(Refusal::Signature));
    assert_eq!(judge(&own, &token, NOW).await, Err(Refusal::Algorithm));
    assert_eq!(judge(&shared, &issue(&own, NOW).await, NOW).await, Err(Refusal::Algorithm));
    assert_eq!(judge(&shared, &with_header(&token, &json!({ "alg": "HS384" })), NOW).await, Err(Refusal::Algorithm));
    assert_eq!(shared.jwks(NOW).await.expect("keys").body, json!({ "keys": [] }), "a shared secret is not published");
}

/// TOK-07: two servers and a service that keeps our JWKS as long as it may, through three rotations: no token is refused, and
/// the old keys are gone at the end.
#[tokio::test]
async fn rotation_refuses_no_token() {
    let servers = Servers::new().await;
    let processes = [servers.start(settings()).await, servers.start(settings()).await];
    let (mut cached, mut cached_at) = (Value::Null, NOW - Duration::from_secs(3600));
    let mut alive: Vec<(Timestamp, String)> = Vec::new();
    let mut signers = std::collections::BTreeSet::new();
    let step = Duration::from_secs(20);
    for round in 0..360_u32 {
        let now = NOW + step * round;
        if [10, 30, 150].contains(&round) {
            servers.rotate(Rotation::Gentle, now).await;
        }
        if cached_at.until(now) >= JWKS_MAX_AGE {
            let published = processes[round as usize % 2].jwks(now).await.expect("keys");
            assert!(published.max_age == JWKS_MAX_AGE && JWKS_MAX_AGE < PUBLISH_AHEAD);
            (cached, cached_at) = (published.body, now);
        }
        for process in &processes {
            let token = issue(process, now).await;
            signers.insert(part(&token, 0)["kid"].to_string());
            alive.push((now, token));
        }
        alive.retain(|(made, _)| made.until(now) < Duration::from_secs(600));
        for (made, token) in alive.iter().step_by(7).chain(alive.last()) {
            let kid = &part(token, 0)["kid"];
            assert!(cached["keys"].as_array().expect("a list").iter().any(|key| key["kid"] == *kid), "a service does not know the key");
            for process in &processes {
                assert!(judge(process, token, now).await.is_ok(), "made at {made}, shown at {now}");
            }
        }
    }
    assert_eq!(signers.len(), 4);
    let end = NOW + step * 360 + PUBLISH_AHEAD + LIFE_MAX;
    assert_eq!(processes[0].jwks(end).await.expect("keys").body["keys"].as_array().map(Vec::len), Some(1));
}

/// TOK-07: a key that another process made a moment ago is looked for before it is refused, and strangers cannot make us read
/// more than once a second.
#[tokio::test]
async fn an_unknown_key_is_looked_for_now_and_then() {
    let servers = Servers::new().await;
    let (one, other) = (servers.start(settings()).await, servers.start(settings()).await);
    issue(&one, NOW).await;
    issue(&other, NOW).await;
    servers.rotate(Rotation::AtOnce, NOW).await;
    let soon = NOW + Duration::from_millis(900);
    let fresh = servers.start(settings()).await;
    let token = issue(&fresh, soon).await;
    assert_eq!(judge(&other, &token, soon).await, Err(Refusal::UnknownKey), "read less than a second ago");
    assert!(judge(&other, &token, NOW + Duration::from_secs(1)).await.is_ok());
}

/// TOK-07: rotated at once, what the old key signed is refused by every process within seconds.
#[tokio::test]
async fn a_leaked_key_is_gone() {
    let servers = Servers::new().await;
    let (one, other) = (servers.start(settings()).await, servers.start(settings()).await);
    let token = issue(&one, NOW).await;
    assert!(judge(&other, &token, NOW).await.is_ok());
    servers.rotate(Rotation::AtOnce, NOW).await;
    let later = NOW + READ_AGAIN;
    for process in [&one, &other] {
        assert_eq!(judge(process, &token, later).await, Err(Refusal::UnknownKey));
        assert!(judge(process, &issue(process, later).await, later).await.is_ok());
    }
}

/// Many at once, in two processes, need the first key: they make one.
#[tokio::test]
async fn the_first_key_is_one() {
    let servers = Servers::new().await;
    let (one, other) = (servers.start(settings()).await, servers.start(settings()).await);
    let tokens = futures_util::future::join_all((0..20).map(|round| issue(if round % 2 == 0 { &one } else { &other }, NOW))).await;
    let kids: std::collections::BTreeSet<_> = tokens.iter().map(|token| part(token, 0)["kid"].to_string()).collect();
    assert_eq!(kids.len(), 1);
    assert_eq!(signing_key::all(&servers.database().await).await.expect("rows").len(), 1);
}

/// Those who hold a key known before are served while the database does not answer; nothing new passes.
#[tokio::test]
async fn known_keys_serve_while_the_database_is_away() {
    let servers = Servers::new().await;
    let database = servers.database().await;
    let keyring = Keyring::new(database.clone(), Servers::peppers(), Arc::new(SystemEntropy));
    let tokens = Tokens::new(settings(), keyring, Arc::new(SystemEntropy));
    let token = issue(&tokens, NOW).await;
    database.close().await;
    let later = NOW + READ_AGAIN * 3;
    assert!(judge(&tokens, &token, later).await.is_ok());
    assert_eq!(judge(&tokens, &with_header(&token, &json!({ "kid": "another" })), later).await, Err(Refusal::UnknownKey));
    let fresh = Tokens::new(settings(), Keyring::new(database, Servers::peppers(), Arc::new(SystemEntropy)), Arc::new(SystemEntropy));
    assert!(fresh.judge(&token, ShownFor::Entry, NOW).await.is_err());
}
