//! Whom an integrator wants told of what happens to factors and challenges.

use std::sync::Arc;

use uuid::Uuid;

use super::{Entities, EntityError};
use crate::clock::Timestamp;
use crate::entity::model::EventKind;
use crate::entity::request;
use crate::verification::request::InvalidField;

/// Every event.
pub const EVERY: &str = "*";
/// Webhooks of one service.
const MOST: usize = 10;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// Of which service.
    pub service: Arc<str>,
    /// That service's name outside.
    pub service_sid: String,
    /// The client that asked for it, whose secret signs.
    pub client: Uuid,
    /// What may change.
    pub settings: Settings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What may change in one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// For people.
    pub name: String,
    /// Names of events, or [`EVERY`].
    pub events: Vec<String>,
    /// Where to.
    pub url: String,
    /// Whether it is told anything.
    pub is_enabled: bool,
    /// v1 or v2: what was asked for. Both are told the same.
    pub version: String,
}

impl Settings {
    /// Whether it is to be told of that.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.is_enabled && self.events.iter().any(|event| event == EVERY || event == kind.as_str())
    }

    fn checked(&self, accepts: impl FnOnce(&str) -> Result<(), String>) -> Result<(), InvalidField> {
        request::name("FriendlyName", &self.name)?;
        let known = |event: &String| event == EVERY || EventKind::ALL.iter().any(|kind| kind.as_str() == event);
        if self.events.is_empty() || !self.events.iter().all(known) {
            return Err(InvalidField::new(
                "EventTypes",
                "must name factor.created, factor.verified, factor.deleted, challenge.approved, challenge.denied or *",
            ));
        }
        if !["v1", "v2"].contains(&self.version.as_str()) {
            return Err(InvalidField::new("Version", "must be v1 or v2"));
        }
        accepts(&self.url).map_err(|rule| InvalidField::new(URL, rule))
    }
}

/// The field whose rule is about where we may post to.
pub const URL: &str = "WebhookUrl";

impl Entities {
    /// Adds one.
    pub async fn add_webhook(
        &self,
        service: &Arc<str>,
        service_sid: &str,
        client: Uuid,
        settings: Settings,
    ) -> Result<Result<Webhook, InvalidField>, EntityError> {
        if let Err(invalid) = settings.checked(|url| self.subscribers.accepts(url)) {
            return Ok(Err(invalid));
        }
        if self.webhooks(service).await?.len() >= MOST {
            return Ok(Err(InvalidField::new("FriendlyName", format!("would be one more than {MOST} webhooks of a service"))));
        }
        let (id, now) = (self.new_id(), self.clock.now());
        let (service, service_sid) = (Arc::clone(service), service_sid.to_owned());
        let webhook = Webhook { id, service, service_sid, client, settings, created_at: now, updated_at: now };
        self.tables.add_webhook(&webhook).await?;
        Ok(Ok(webhook))
    }

    /// Those of a service, the oldest first.
    pub async fn webhooks(&self, service: &str) -> Result<Vec<Webhook>, EntityError> {
        Ok(self.tables.webhooks(service).await?)
    }

    /// One of a service.
    pub async fn webhook(&self, service: &str, id: Uuid) -> Result<Option<Webhook>, EntityError> {
        Ok(self.webhooks(service).await?.into_iter().find(|webhook| webhook.id == id))
    }

    /// Changes one.
    pub async fn change_webhook(&self, webhook: Webhook) -> Result<Result<Webhook, InvalidField>, EntityError> {
        if let Err(invalid) = webhook.settings.checked(|url| self.subscribers.accepts(url)) {
            return Ok(Err(invalid));
        }
        let webhook = Webhook { updated_at: self.clock.now(), ..webhook };
        self.tables.change_webhook(&webhook).await?;
        Ok(Ok(webhook))
    }

    /// Removes one. False: there is none.
    pub async fn remove_webhook(&self, service: &str, id: Uuid) -> Result<bool, EntityError> {
        Ok(self.tables.remove_webhook(service, id).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(events: &[&str]) -> Settings {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        Settings { name: "hook".into(), events, url: "https://example.com/".into(), is_enabled: true, version: "v2".into() }
    }

    #[test]
    fn they_hear_of_what_they_asked_for() {
        assert!(settings(&["*"]).wants(EventKind::ChallengeDenied));
        assert!(settings(&["factor.created"]).wants(EventKind::FactorCreated));
        assert!(!settings(&["factor.created"]).wants(EventKind::FactorDeleted));
        assert!(!Settings { is_enabled: false, ..settings(&["*"]) }.wants(EventKind::FactorCreated));
        assert!(settings(&[]).checked(|_| Ok(())).is_err() && settings(&["factor.lost"]).checked(|_| Ok(())).is_err());
        assert_eq!(settings(&["*"]).checked(|_| Err("is private".into())).map_err(|invalid| invalid.field), Err(URL));
    }
}
