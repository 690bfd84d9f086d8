//! Somebody who calls as Twilio's SDKs do: HTTP Basic, forms, and answers in Twilio's shape.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign::clock::Clock;
use countersign::db::client::Scope;
use countersign::db::twilio::CredentialTable;
use countersign::secret::SystemEntropy;
use countersign::verification::policy::DEFAULT_SERVICE;
use serde_json::Value;

use crate::actors::eventually;
use crate::app::TestApp;
use crate::wire::{Answer, Wire};

/// An account, with its token.
#[derive(Clone)]
pub struct Sdk {
    pub wire: Arc<Wire>,
    pub account_sid: String,
    pub auth_token: String,
    pub api_key_sid: String,
    pub api_key_secret: String,
}

impl Sdk {
    /// A client of the default service that may do everything.
    pub async fn new(app: &TestApp) -> Sdk {
        Sdk::of(app, DEFAULT_SERVICE, &Scope::ALL).await
    }

    pub async fn of(app: &TestApp, service: &str, scopes: &[Scope]) -> Sdk {
        let now = app.clock.now();
        let (client, _) = app.clients().create(service, "sdk", scopes, &SystemEntropy, now).await.expect("a client");
        let table = CredentialTable::new(app.app.database.clone());
        let made = table.create(client.id, &app.app.engine.peppers, &SystemEntropy, now).await.expect("credentials");
        Sdk {
            wire: Arc::clone(&app.wire),
            account_sid: made.account_sid,
            auth_token: made.auth_token.expose().clone(),
            api_key_sid: made.api_key_sid,
            api_key_secret: made.api_key_secret.expose().clone(),
        }
    }

    /// The same account by its API key.
    pub fn with_key(&self) -> Sdk {
        Sdk { account_sid: self.api_key_sid.clone(), auth_token: self.api_key_secret.clone(), ..self.clone() }
    }

    pub async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.account_sid, self.auth_token)));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        // Python's SDK names this type for every request, with a body and without.
        let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        self.wire.send(method, path, &headers, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[]).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.call("POST", path, form).await
    }

    /// Makes a service; its path.
    pub async fn service(&self, form: &[(&str, &str)]) -> String {
        let made = self.post("/v2/Services", form).await.expect(201);
        format!("/v2/Services/{}", made["sid"].as_str().expect("a SID"))
    }

    pub async fn start(&self, service: &str, to: &str) -> Answer {
        self.post(&format!("{service}/Verifications"), &[("To", to), ("Channel", "sms")]).await
    }

    pub async fn check(&self, service: &str, to: &str, code: &str) -> Answer {
        self.post(&format!("{service}/VerificationCheck"), &[("To", to), ("Code", code)]).await
    }
}

impl Answer {
    /// Twilio's error with this status and code, complete, and without what would make its SDKs take it for another kind.
    #[track_caller]
    pub fn refused(&self, status: u16, code: u32) -> Value {
        let error = self.json();
        assert_eq!((self.status, error["code"].as_u64()), (status, Some(u64::from(code))), "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(error["status"], status);
        assert_eq!(error["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
        assert!(error["message"].is_string() && error.get("type").is_none() && error.get("title").is_none(), "{error}");
        error
    }
}

/// The newest code that was sent to somebody.
pub async fn code_of(app: &TestApp, to: &str) -> String {
    eventually("a message is in the inbox", async || {
        let messages = app.inbox().messages().await;
        messages.iter().find(|message| message["to"] == to).map(|message| message["code"].as_str().expect("a code").to_owned())
    })
    .await
}

/// What a SID or a URL is called in an answer.
#[track_caller]
pub fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} is no text: {answer}"))
}
