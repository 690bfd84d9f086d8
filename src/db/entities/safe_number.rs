//! `safe_number` and `messaging_configuration`: what integrators of another API keep here.

use uuid::Uuid;

use super::{EntityTables, uuid};
use crate::clock::Timestamp;
use crate::db::database::{DataError, statement};

/// Which of the integrator's senders a country gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagingConfiguration {
    /// ISO 3166, or `all`.
    pub country: String,
    /// `MG…`
    pub messaging_service: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl EntityTables {
    /// Puts a number on a client's list. None: it is there already.
    pub async fn add_safe_number(&self, id: Uuid, client: Uuid, value: &str, now: Timestamp) -> Result<Option<Uuid>, DataError> {
        let sql = "INSERT INTO safe_number (id, client_id, value, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
        statement(sql).bind(id).bind(client).bind(value).bind(now).execute(&self.database).await?;
        Ok(self.safe_number(client, value).await?.filter(|found| *found == id))
    }

    /// The entry of a number.
    pub async fn safe_number(&self, client: Uuid, value: &str) -> Result<Option<Uuid>, DataError> {
        let query = statement("SELECT id FROM safe_number WHERE client_id = ? AND value = ?").bind(client).bind(value);
        let row: Option<(String,)> = query.fetch_optional(&self.database).await?;
        Ok(row.map(|(id,)| uuid(&id)))
    }

    /// Takes a number from a client's list. True: it was there.
    pub async fn remove_safe_number(&self, client: Uuid, value: &str) -> Result<bool, DataError> {
        let query = statement("DELETE FROM safe_number WHERE client_id = ? AND value = ?").bind(client).bind(value);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// Adds a configuration. False: the country has one.
    pub async fn add_messaging(&self, service: &str, country: &str, sid: &str, now: Timestamp) -> Result<bool, DataError> {
        if self.messaging(service).await?.iter().any(|known| known.country == country) {
            return Ok(false);
        }
        let sql = "INSERT INTO messaging_configuration (service, country, messaging_service, created_at, updated_at) \
                   VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
        statement(sql).bind(service).bind(country).bind(sid).bind(now).bind(now).execute(&self.database).await?;
        Ok(true)
    }

    /// The configurations of a service, by country.
    pub async fn messaging(&self, service: &str) -> Result<Vec<MessagingConfiguration>, DataError> {
        let sql = "SELECT country, messaging_service, created_at, updated_at FROM messaging_configuration WHERE service = ? \
                   ORDER BY country";
        let rows: Vec<(String, String, i64, i64)> = statement(sql).bind(service).fetch_all(&self.database).await?;
        let configuration = |(country, messaging_service, created_at, updated_at)| MessagingConfiguration {
            country,
            messaging_service,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        };
        Ok(rows.into_iter().map(configuration).collect())
    }

    /// Changes a configuration. True: it is there.
    pub async fn change_messaging(&self, service: &str, country: &str, sid: &str, now: Timestamp) -> Result<bool, DataError> {
        let sql = "UPDATE messaging_configuration SET messaging_service = ?, updated_at = ? WHERE service = ? AND country = ?";
        let query = statement(sql).bind(sid).bind(now).bind(service).bind(country);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// Removes a configuration. True: it was there.
    pub async fn remove_messaging(&self, service: &str, country: &str) -> Result<bool, DataError> {
        let query = statement("DELETE FROM messaging_configuration WHERE service = ? AND country = ?").bind(service).bind(country);
        Ok(query.execute(&self.database).await? == 1)
    }
}
