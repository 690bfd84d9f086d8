//! A browser's tab, as far as forms go: it keeps cookies, reads a page, and sends the page's own forms. Like a browser that is
//! too old to say where a request comes from, it sends neither `Origin` nor `Sec-Fetch-Site`, unless a test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::actors::{eventually, number};
use crate::app::TestApp;
use crate::wire::{Answer, Wire};

pub const PASSWORD: &str = "a long way to Tipperary";

/// A tab, and somebody with a number in front of it.
pub struct Tab {
    wire: Arc<Wire>,
    pub phone: String,
    pub headers: Vec<(&'static str, String)>,
    jar: Mutex<BTreeMap<String, String>>,
    page: Mutex<String>,
    /// Every `Set-Cookie` that came.
    pub set: Mutex<Vec<String>>,
}

impl Tab {
    pub fn new(app: &TestApp, index: u32) -> Tab {
        Tab {
            wire: Arc::clone(&app.wire),
            phone: number(index),
            headers: vec![("user-agent", "an old browser".into()), ("accept", "text/html".into())],
            jar: Mutex::default(),
            page: Mutex::default(),
            set: Mutex::default(),
        }
    }

    /// Another browser of the same person.
    pub fn elsewhere(&self) -> Tab {
        Tab {
            wire: Arc::clone(&self.wire),
            phone: self.phone.clone(),
            headers: self.headers.clone(),
            jar: Mutex::default(),
            page: Mutex::default(),
            set: Mutex::default(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], String::new()).await
    }

    /// Sends a form of the page that is shown, with its token.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().unwrap_or_else(|| panic!("the page has no form: {}", self.page.lock().expect("the page")));
        let mut all = vec![("csrf", token.as_str())];
        all.extend_from_slice(fields);
        self.post(path, &all).await
    }

    /// Sends these fields and no others.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send("POST", path, &[("content-type", "application/x-www-form-urlencoded")], encoded(fields)).await
    }

    pub async fn send(&self, method: &str, path: &str, more: &[(&str, &str)], body: String) -> Answer {
        let cookies: Vec<_> = self.jar.lock().expect("the jar").iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        headers.extend_from_slice(more);
        let answer = self.wire.send(method, path, &headers, body).await;
        for line in answer.headers.get_all("set-cookie") {
            self.keep(line.to_str().expect("text"));
        }
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            answer.body.clone_into(&mut self.page.lock().expect("the page"));
        }
        answer
    }

    fn keep(&self, line: &str) {
        let (pair, attributes) = line.split_once(';').expect("attributes");
        let (name, value) = pair.split_once('=').expect("a pair");
        let mut jar = self.jar.lock().expect("the jar");
        match attributes.contains("Max-Age=0;") {
            true => jar.remove(name),
            false => jar.insert(name.to_owned(), value.to_owned()),
        };
        self.set.lock().expect("the list").push(line.to_owned());
    }

    /// The token of the forms that are shown.
    pub fn token(&self) -> Option<String> {
        self.value_of("csrf")
    }

    /// The value of a hidden field.
    pub fn value_of(&self, name: &str) -> Option<String> {
        let page = self.page.lock().expect("the page");
        let at = page.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
        at.split('"').next().map(str::to_owned)
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar.lock().expect("the jar").get(name).cloned()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.jar.lock().expect("the jar").insert(name.to_owned(), value.to_owned());
    }

    /// Every code that was sent to somebody, newest first.
    pub async fn codes(&self, to: &str) -> Vec<String> {
        let all = self.wire.get("/dev/inbox.json?limit=100000", &[]).await.expect(200);
        let mine = all.as_array().expect("a list").iter().filter(|message| message["to"] == to);
        mine.filter_map(|message| message["code"].as_str().map(str::to_owned)).collect()
    }

    /// The code that came after so many others.
    pub async fn code_after(&self, before: usize) -> String {
        eventually("a code", async || {
            let codes = self.codes(&self.phone).await;
            (codes.len() > before).then(|| codes[0].clone())
        })
        .await
    }

    pub async fn register(&self) -> Answer {
        self.get("/register").await;
        self.submit("/register", &[("fullname", "Ann Lee"), ("phone", &self.phone), ("password", PASSWORD)]).await
    }

    /// The password step, and the code that it sends.
    pub async fn log_in(&self) -> String {
        let before = self.codes(&self.phone).await.len();
        self.get("/login").await;
        let answer = self.submit("/login", &[("phone", &self.phone), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.code_after(before).await
    }

    pub async fn enter(&self, code: &str) -> Answer {
        let phone = self.phone.clone();
        self.submit("/verify", &[("code", code), ("phone", &phone)]).await
    }

    /// Registered and signed in.
    pub async fn arrive(self) -> Tab {
        assert_eq!(self.register().await.status, 200);
        let code = self.log_in().await;
        goes_to(&self.enter(&code).await, "/profile");
        self
    }

    pub async fn is_signed_in(&self) -> bool {
        self.get("/profile").await.status == 200
    }
}

/// As a form is sent.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[track_caller]
pub fn goes_to(answer: &Answer, path: &str) {
    assert_eq!((answer.status, answer.header("location")), (303, Some(path)), "{}", answer.body);
}

#[track_caller]
pub fn shows(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.body.contains(words), "{words}: {}", answer.body);
}
