//! People at their browsers, and apps without cookies, over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use countersign::app::App;
use serde_json::{Value, json};

use crate::actors::{all_arrived, eventually, number};
use crate::app::TestApp;
use crate::wire::{Answer, Wire};

pub const PASSWORD: &str = "a long way to Tipperary";

/// Somebody with a number, an address and a browser; or with an app that keeps no cookies.
pub struct Person {
    pub wire: Arc<Wire>,
    /// The server, where it runs in this process and was not restarted.
    pub app: Weak<App>,
    pub phone: String,
    pub email: String,
    /// None: an app that keeps none.
    pub jar: Option<Mutex<BTreeMap<String, String>>>,
    /// Its own page's headers, or another's.
    pub headers: Vec<(&'static str, String)>,
    /// An access token, sent with each request.
    pub token: Mutex<Option<String>>,
}

impl Person {
    /// At a page of this server.
    pub fn browser(app: &TestApp, index: u32) -> Person {
        Person {
            jar: Some(Mutex::default()),
            headers: vec![("sec-fetch-site", "same-origin".into()), ("user-agent", "a browser".into())],
            ..Person::app(app, index)
        }
    }

    /// With an app that keeps no cookies.
    pub fn app(app: &TestApp, index: u32) -> Person {
        Person {
            wire: Arc::clone(&app.wire),
            app: Arc::downgrade(&app.app),
            phone: number(index),
            email: format!("person{index}@example.org"),
            jar: None,
            headers: Vec::new(),
            token: Mutex::default(),
        }
    }

    /// The same person at another browser.
    pub fn elsewhere(&self) -> Person {
        Person {
            wire: Arc::clone(&self.wire),
            app: Weak::clone(&self.app),
            phone: self.phone.clone(),
            email: self.email.clone(),
            jar: Some(Mutex::default()),
            headers: vec![("sec-fetch-site", "same-origin".into()), ("user-agent", "another browser".into())],
            token: Mutex::default(),
        }
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut headers: Vec<(&str, String)> = self.headers.clone();
        if body.is_some() {
            headers.push(("content-type", "application/json".into()));
        }
        if let Some(token) = self.token.lock().expect("the token").as_ref() {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        if let Some(jar) = &self.jar {
            let pairs: Vec<_> = jar.lock().expect("the jar").iter().map(|(name, value)| format!("{name}={value}")).collect();
            if !pairs.is_empty() {
                headers.push(("cookie", pairs.join("; ")));
            }
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.wire.send(method, path, &headers, body.map(Value::to_string).unwrap_or_default()).await;
        if let Some(jar) = &self.jar {
            let mut jar = jar.lock().expect("the jar");
            for line in answer.headers.get_all("set-cookie") {
                let line = line.to_str().expect("text");
                let (pair, attributes) = line.split_once(';').expect("attributes");
                let (name, value) = pair.split_once('=').expect("a pair");
                if attributes.contains("Max-Age=0") {
                    jar.remove(name);
                } else {
                    jar.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(&body)).await
    }

    /// Without a body.
    pub async fn act(&self, method: &str, path: &str) -> Answer {
        self.send(method, path, None).await
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar.as_ref().and_then(|jar| jar.lock().expect("the jar").get(name).cloned())
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        let jar = self.jar.as_ref().expect("a jar");
        jar.lock().expect("the jar").insert(name.to_owned(), value.to_owned());
    }

    pub fn hold(&self, token: &Value) {
        *self.token.lock().expect("the token") = token.as_str().map(str::to_owned);
    }

    pub async fn register(&self) {
        let body = json!({ "email": self.email, "password": PASSWORD, "phone": self.phone });
        self.post("/auth/register", body).await.expect(201);
    }

    pub async fn login(&self) -> Answer {
        self.post("/auth/login", json!({ "email": self.email, "password": PASSWORD })).await
    }

    /// The newest code that was sent to somebody.
    pub async fn newest_code(&self, to: &str) -> String {
        eventually("a code", async || self.codes(to).await.into_iter().next()).await
    }

    /// Every code that was sent to somebody, newest first: of every message that was begun.
    pub async fn codes(&self, to: &str) -> Vec<String> {
        if let Some(app) = self.app.upgrade() {
            all_arrived(&app, to).await;
        }
        let all = self.wire.get("/dev/inbox.json?limit=100000", &[]).await.expect(200);
        let all = all.as_array().expect("a list").iter().filter(|message| message["to"] == to);
        all.filter_map(|message| message["code"].as_str().map(str::to_owned)).collect()
    }

    pub async fn verify(&self, code: &str) -> Answer {
        self.post("/auth/verify-otp", json!({ "email": self.email, "code": code })).await
    }

    /// The password and the code; what the last answer said.
    pub async fn sign_in(&self) -> Value {
        let before = self.codes(&self.phone).await.len();
        self.login().await.expect(200);
        let code = eventually("a code", async || {
            let codes = self.codes(&self.phone).await;
            (codes.len() > before).then(|| codes[0].clone())
        })
        .await;
        let body = json!({ "email": self.email, "code": code, "refresh": true });
        self.post("/auth/verify-otp", body).await.expect(200)
    }

    /// Sets up an authenticator app; what it was shown. Its code of now is used by that.
    pub async fn enrol(&self, app: &TestApp) -> Value {
        let totp = self.post("/auth/factors/totp", json!({})).await.expect(201);
        let body = json!({ "id": totp["id"], "code": totp_now(app, &totp["secret"]) });
        self.post("/auth/factors/totp/confirm", body).await.expect(200);
        totp
    }

    /// The code that came after so many others.
    pub async fn code_after(&self, to: &str, before: usize) -> String {
        eventually("another code", async || {
            let codes = self.codes(to).await;
            (codes.len() > before).then(|| codes[0].clone())
        })
        .await
    }

    /// Registered and signed in.
    pub async fn arrive(self) -> Person {
        self.register().await;
        self.sign_in().await;
        self
    }

    pub async fn is_signed_in(&self) -> bool {
        let answer = self.get("/auth/me").await;
        assert!(matches!(answer.status, 200 | 401), "{} {}", answer.status, answer.body);
        answer.status == 200
    }
}

/// The bytes that base32 stands for.
pub fn from_base32(text: &str) -> Vec<u8> {
    let mut bits = 0u64;
    let (mut held, mut bytes) = (0, Vec::new());
    for character in text.bytes().filter(u8::is_ascii_alphanumeric) {
        let value = if character.is_ascii_digit() { character - b'2' + 26 } else { character - b'A' };
        bits = bits << 5 | u64::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// The code that an authenticator app shows now (RFC 6238).
pub fn totp_now(app: &TestApp, secret: &Value) -> String {
    totp_at(app, secret, 0)
}

/// The code that it shows so many steps from now.
pub fn totp_at(app: &TestApp, secret: &Value, steps: i64) -> String {
    use countersign::clock::Clock;
    let step = app.clock.now().0 / 30_000 + steps;
    let key = from_base32(secret.as_str().expect("base32"));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = ring::hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[offset..offset + 4].try_into().expect("four")) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}
