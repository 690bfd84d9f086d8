//! Which services an account sees: those that it made, and the configured one that its client belongs to.

use std::sync::Arc;

use crate::db::client::Client;
use crate::http::twilio::refusal::Refusal;
use crate::verification::service::Service;

/// Services, as the routes ask for them.
pub struct Services;

impl Services {
    /// The service with that SID, if this client may use it (OPS-07).
    #[expect(clippy::unused_async, reason = "the table comes next")]
    pub async fn find(&self, _client: &Client, _sid: &str) -> Result<Option<Arc<Service>>, Refusal> {
        Ok(None)
    }
}
