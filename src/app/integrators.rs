//! What integrators have beside codes: entities with their factors, webhooks, texts of their own.

use std::sync::Arc;

use crate::config::{Config, ConfigError};
use crate::db::database::Database;
use crate::db::entities::EntityTables;
use crate::db::twilio::CredentialTable;
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::free_text::FreeTexts;
use crate::delivery::signed_post::SignedPost;
use crate::delivery::subscribers::Webhooks;
use crate::entity::Entities;
use crate::http::twilio::{messages, webhooks};
use crate::verification::Engine;

/// Both, as the configuration has them.
pub struct Integrators {
    /// People of integrators' own.
    pub entities: Arc<Entities>,
    /// Texts of integrators' own; none where that is off.
    pub texts: Option<Arc<FreeTexts>>,
}

/// Must be called within the runtime.
pub fn build(config: &Config, database: &Database, engine: &Arc<Engine>, dispatcher: &Dispatcher) -> Result<Integrators, ConfigError> {
    let tables = EntityTables::new(database.clone());
    let credentials = CredentialTable::new(database.clone());
    let private = config.twilio_face.private_webhooks;
    let post = SignedPost::new(credentials, engine.peppers.clone(), private, config.delivery.retry_wait.0);
    let post = Arc::new(post.map_err(|error| ConfigError::rule("twilio_face", error.to_string()))?);
    let texts = config.twilio_face.messages;
    let texts = texts.then(|| dispatcher.free_texts(Arc::clone(engine), tables.clone(), Arc::clone(&post), messages::words));
    let entities = Arc::new(Entities {
        subscribers: Arc::new(Webhooks::new(tables.clone(), post, webhooks::words)),
        tables,
        peppers: engine.peppers.clone(),
        clock: Arc::clone(&engine.clock),
        entropy: Arc::clone(&engine.entropy),
    });
    Ok(Integrators { entities, texts })
}
