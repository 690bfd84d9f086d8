//! `/v2/Services`: which services an account sees, and how it makes, changes and removes its own.
//!
//! An account sees the services that it made, and the configured one that its client belongs to. Others' are not there
//! (OPS-07). What is configured is changed in the configuration only.

mod form;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use crate::app::App;
use crate::clock::Timestamp;
use crate::db::client::{Client, Scope};
use crate::db::service::{ServiceTable, name_of};
use crate::http::twilio::account::Account;
use crate::http::twilio::form::Form;
use crate::http::twilio::paging::{Origin, Paging};
use crate::http::twilio::refusal::Refusal;
use crate::http::twilio::within::Within;
use crate::http::twilio::{Face, face, sid};
use crate::verification::policies::Policies;
use crate::verification::policy::Policy;
use crate::verification::service::{Service, Settings};

/// Services that one account may make.
const SERVICES_MAX: u32 = 1000;

/// Services, as the routes ask for them.
pub struct Services {
    table: ServiceTable,
    /// Those of the configuration, by name.
    configured: HashMap<Arc<str>, Arc<Service>>,
}

impl Services {
    /// Those of this table, beside the configured ones, which are as old as this process.
    pub fn new(table: ServiceTable, policies: &Policies, now: Timestamp) -> Services {
        let service = |policy: &Policy| Service {
            name: Arc::clone(&policy.service),
            sid: sid::named(sid::SERVICE, &policy.service),
            owner: None,
            settings: Settings::of(policy),
            created_at: now,
            updated_at: now,
        };
        let configured = policies.configured().map(|policy| (Arc::clone(&policy.service), Arc::new(service(policy)))).collect();
        Services { table, configured }
    }

    /// The service with that SID, if this client may use it (OPS-07).
    pub async fn find(&self, policies: &Policies, client: &Client, sid: &str) -> Result<Option<Arc<Service>>, Refusal> {
        let Some(sid) = sid::canonical(sid::SERVICE, sid) else { return Ok(None) };
        if let Some(configured) = self.configured(client).filter(|service| service.sid == sid) {
            return Ok(Some(Arc::clone(configured)));
        }
        let stored = policies.stored(&name_of(&sid)).await?;
        Ok(stored.map(|stored| stored.service).filter(|service| service.owner == Some(client.id)))
    }

    /// The configured service that a client belongs to.
    fn configured(&self, client: &Client) -> Option<&Arc<Service>> {
        self.configured.get(&client.service)
    }
}

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/v2/Services", get(list).post(create)).route("/v2/Services/{service}", get(fetch).post(update).delete(remove))
}

async fn list(State(app): State<Arc<App>>, account: Account, paging: Paging) -> Result<Json<Value>, Refusal> {
    account.may(Scope::Read)?;
    let Face { services, .. } = face(&app)?;
    // The configured one comes first, so that the others begin one place later.
    let configured = services.configured(account.client());
    let ahead = u32::from(configured.is_some());
    let first = configured.filter(|_| paging.offset() == 0);
    let limit = paging.limit() - u32::from(first.is_some());
    let stored = services.table.of(account.client().id, limit, paging.offset().saturating_sub(ahead)).await?;
    let shown = first.map(AsRef::as_ref).into_iter().chain(&stored).map(|service| view::service(service, &account.sid(), paging.origin()));
    Ok(paging.answer("services", shown.collect()))
}

async fn create(State(app): State<Arc<App>>, account: Account, origin: Origin, Form(form): Form) -> Result<Response, Refusal> {
    account.may(Scope::Services)?;
    form.required("FriendlyName")?;
    let mut settings = Settings::default();
    form::apply(&mut settings, &form)?;
    let sid = sid::random(sid::SERVICE, app.entropy());
    let now = app.engine.clock.now();
    let service = Service { name: name_of(&sid), sid, owner: Some(account.client().id), settings, created_at: now, updated_at: now };
    accepted(&app, &service)?;
    if !face(&app)?.services.table.add(&service, account.client().id, SERVICES_MAX).await? {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 60200, format!("An account may have {SERVICES_MAX} services")));
    }
    app.engine.policies.forget(&service.name);
    tracing::info!(service = %service.name, client = %account.client().id, "a service was made");
    Ok((StatusCode::CREATED, Json(view::service(&service, &account.sid(), &origin))).into_response())
}

async fn fetch(within: Within) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Read)?;
    Ok(Json(view::service(&within.service, &within.account.sid(), &within.origin)))
}

async fn update(State(app): State<Arc<App>>, within: Within, Form(form): Form) -> Result<Json<Value>, Refusal> {
    within.account.may(Scope::Services)?;
    own(&within)?;
    let mut service = Service::clone(&within.service);
    form::apply(&mut service.settings, &form)?;
    service.updated_at = app.engine.clock.now();
    accepted(&app, &service)?;
    if !face(&app)?.services.table.set(&service.sid, &service.settings, service.updated_at).await? {
        return Err(within.not_found());
    }
    app.engine.policies.forget(&service.name);
    tracing::info!(service = %service.name, client = %within.account.client().id, "a service was changed");
    Ok(Json(view::service(&service, &within.account.sid(), &within.origin)))
}

async fn remove(State(app): State<Arc<App>>, within: Within) -> Result<StatusCode, Refusal> {
    within.account.may(Scope::Services)?;
    own(&within)?;
    let face = face(&app)?;
    // First what belongs to it: nobody could reach that afterwards.
    face.entities.forget_service(&within.service.name).await?;
    let removed = face.services.table.remove(&within.service.sid).await?;
    app.engine.policies.forget(&within.service.name);
    if !removed {
        return Err(within.not_found());
    }
    tracing::info!(service = %within.service.name, client = %within.account.client().id, "a service was removed");
    Ok(StatusCode::NO_CONTENT)
}

fn own(within: &Within) -> Result<(), Refusal> {
    match within.service.owner {
        Some(_) => Ok(()),
        None => Err(Refusal::forbidden("This service belongs to the server's configuration, and is changed there")),
    }
}

/// Whether the engine would take these settings.
fn accepted(app: &App, service: &Service) -> Result<(), Refusal> {
    let base = app.engine.policies.base().ok_or_else(|| Refusal::failed("services cannot be made"))?;
    service.settings.policy(&service.name, base).map(drop).map_err(|error| match error.key.as_str() {
        "friendly_name" => Refusal::invalid("FriendlyName", &error.rule),
        "code_length" => Refusal::invalid("CodeLength", &error.rule),
        _ => Refusal::failed(error),
    })
}
