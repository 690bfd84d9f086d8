//! Twilio Verify's API and the services that are made through it.

use std::sync::Arc;

use super::integrators::{self, Integrators};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::db::attempt::AttemptTable;
use crate::db::database::Database;
use crate::db::rate_limit::RateLimitTable;
use crate::db::service::ServiceTable;
use crate::db::twilio::CredentialTable;
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::provider::{Family, Provider};
use crate::http::twilio::Face;
use crate::http::twilio::credentials::Credentials;
use crate::http::twilio::services::Services;
use crate::verification::Engine;
use crate::verification::model::Channel;
use crate::verification::policies::Policies;
use crate::verification::policy::Policy;

/// The rules of every service: the configured ones, and those of services that are made at run time.
pub fn policies(
    config: &Config,
    configured: Vec<Arc<Policy>>,
    providers: &[Provider],
    database: &Database,
    clock: Arc<dyn Clock>,
) -> Result<Policies, ConfigError> {
    let base = within_limits(config.run_time_policy()?, providers);
    Ok(Policies::new(configured).with_stored(Arc::new(ServiceTable::new(database.clone())), Arc::new(base), clock))
}

/// The routes' view of the database; none where they are not served. Must be called within the runtime.
pub fn face(config: &Config, database: &Database, engine: &Arc<Engine>, dispatcher: &Dispatcher) -> Result<Option<Arc<Face>>, ConfigError> {
    if !config.twilio_face() {
        return Ok(None);
    }
    let clock = Arc::clone(&engine.clock);
    let Integrators { entities, texts } = integrators::build(config, database, engine, dispatcher)?;
    Ok(Some(Arc::new(Face {
        services: Services::new(ServiceTable::new(database.clone()), &engine.policies, clock.now()),
        credentials: Credentials::new(CredentialTable::new(database.clone()), clock),
        limits: RateLimitTable::new(database.clone()),
        attempts: AttemptTable::new(database.clone()),
        entities,
        texts,
    })))
}

/// A provider that makes the codes has limits of its own: a service that is made at run time promises no more.
fn within_limits(mut policy: Policy, providers: &[Provider]) -> Policy {
    for provider in providers {
        let Family::Verify(family) = &provider.family else { continue };
        let limits = family.limits();
        policy.max_checks = policy.max_checks.min(limits.checks);
        for channel in Channel::ALL.iter().filter(|channel| provider.channels().contains(channel)) {
            let life = policy.life(*channel).min(limits.life);
            policy.code_life.insert(channel.as_str(), life);
        }
    }
    policy
}
