//! Somebody whose app was written for Twilio: credentials, forms, and paths as its SDKs send them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign::db::client::Scope;
use countersign::db::twilio::CredentialTable;
use countersign::secret::SystemEntropy;
use countersign::verification::policy::DEFAULT_SERVICE;

use crate::app::TestApp;
use crate::wire::{Answer, Wire};

/// One account.
#[derive(Clone)]
pub struct Integrator {
    pub wire: Arc<Wire>,
    pub account_sid: String,
    pub auth_token: String,
    pub authorization: String,
}

impl Integrator {
    /// With every scope that there is.
    pub async fn new(app: &TestApp) -> Integrator {
        Integrator::with_scopes(app, &Scope::KNOWN).await
    }

    pub async fn with_scopes(app: &TestApp, scopes: &[Scope]) -> Integrator {
        use countersign::clock::Clock;
        let now = app.clock.now();
        let database = app.database();
        let clients = countersign::db::client::Clients::new(database.clone());
        let (client, _) = clients.create(DEFAULT_SERVICE, "integrator", scopes, &SystemEntropy, now).await.expect("a client");
        let made = CredentialTable::new(database).create(client.id, &app.app.engine.peppers, &SystemEntropy, now).await.expect("credentials");
        let auth_token = made.auth_token.expose().clone();
        let authorization = format!("Basic {}", STANDARD.encode(format!("{}:{auth_token}", made.account_sid)));
        Integrator { wire: Arc::clone(&app.wire), account_sid: made.account_sid, auth_token, authorization }
    }

    pub async fn get(&self, path: &str) -> Answer {
        // As the Python SDK does.
        let headers = [("authorization", self.authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        self.wire.send("GET", path, &headers, String::new()).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [("authorization", self.authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        self.wire.send("POST", path, &headers, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.wire.send("DELETE", path, &[("authorization", self.authorization.as_str()), ("accept", "*/*")], String::new()).await
    }

    /// The SID of the configured service that it belongs to.
    pub async fn configured_service(&self) -> String {
        self.get("/v2/Services").await.expect(200)["services"][0]["sid"].as_str().expect("a SID").to_owned()
    }
}

/// The path of a new service of that name.
pub async fn service_of(integrator: &Integrator, name: &str) -> String {
    let service = integrator.post("/v2/Services", &[("FriendlyName", name)]).await.expect(201);
    format!("/v2/Services/{}", service["sid"].as_str().expect("a SID"))
}
