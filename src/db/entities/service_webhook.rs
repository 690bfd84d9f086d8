//! `service_webhook`: whom integrators want told.

use uuid::Uuid;

use super::{EntityTables, uuid};
use crate::clock::Timestamp;
use crate::db::database::{DataError, statement};
use crate::entity::webhook::{Settings, Webhook};

type Row = (String, String, String, String, String, String, String, String, String, i64, i64);

fn webhook(row: Row) -> Webhook {
    let (id, service, service_sid, client, name, events, url, status, version, created_at, updated_at) = row;
    let events = events.split(' ').map(str::to_owned).collect();
    Webhook {
        id: uuid(&id),
        service: service.into(),
        service_sid,
        client: uuid(&client),
        settings: Settings { name, events, url, is_enabled: status == "enabled", version },
        created_at: Timestamp(created_at),
        updated_at: Timestamp(updated_at),
    }
}

fn status(settings: &Settings) -> &'static str {
    if settings.is_enabled { "enabled" } else { "disabled" }
}

impl EntityTables {
    /// Adds a webhook.
    pub async fn add_webhook(&self, new: &Webhook) -> Result<(), DataError> {
        let sql = "INSERT INTO service_webhook (id, service, service_sid, client_id, name, events, url, status, version, created_at, \
                   updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = statement(sql).bind(new.id).bind(&*new.service).bind(&new.service_sid).bind(new.client);
        let query = query.bind(&new.settings.name).bind(new.settings.events.join(" ")).bind(&new.settings.url);
        let query = query.bind(status(&new.settings)).bind(&new.settings.version).bind(new.created_at).bind(new.updated_at);
        query.execute(&self.database).await.map(drop)
    }

    /// The webhooks of a service, the oldest first.
    pub async fn webhooks(&self, service: &str) -> Result<Vec<Webhook>, DataError> {
        let sql = "SELECT id, service, service_sid, client_id, name, events, url, status, version, created_at, updated_at \
                   FROM service_webhook WHERE service = ? ORDER BY created_at, id";
        let rows: Vec<Row> = statement(sql).bind(service).fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(webhook).collect())
    }

    /// Writes what may change of a webhook.
    pub async fn change_webhook(&self, changed: &Webhook) -> Result<(), DataError> {
        let sql = "UPDATE service_webhook SET name = ?, events = ?, url = ?, status = ?, version = ?, updated_at = ? WHERE id = ?";
        let settings = &changed.settings;
        let query = statement(sql).bind(&settings.name).bind(settings.events.join(" ")).bind(&settings.url).bind(status(settings));
        query.bind(&settings.version).bind(changed.updated_at).bind(changed.id).execute(&self.database).await.map(drop)
    }

    /// Removes a webhook of a service. True: it was there.
    pub async fn remove_webhook(&self, service: &str, id: Uuid) -> Result<bool, DataError> {
        let query = statement("DELETE FROM service_webhook WHERE service = ? AND id = ?").bind(service).bind(id);
        Ok(query.execute(&self.database).await? == 1)
    }
}
