//! `service`: services that clients make at run time.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::database::{DataError, Database, statement};
use crate::verification::policies::StoredServices;
use crate::verification::service::{Service, Settings};
use crate::verification::store::StoreError;

/// The table of services. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceTable {
    database: Database,
}

type Row = (String, String, String, i64, i64);

impl ServiceTable {
    /// The services in that database.
    pub fn new(database: Database) -> ServiceTable {
        ServiceTable { database }
    }

    /// Adds one, unless its owner has `most` of them already. Of many at once none gets past that.
    pub async fn add(&self, service: &Service, owner: Uuid, most: u32) -> Result<bool, DataError> {
        let settings = serde_json::to_string(&service.settings).unwrap_or_default();
        self.database
            .retrying(|| async {
                let mut change = self.database.change().await?;
                change.lock(&["service"]).await?;
                let (count,): (i64,) =
                    statement("SELECT COUNT(*) FROM service WHERE client_id = ?").bind(owner).fetch_one(&mut change).await?;
                if count >= i64::from(most) {
                    return Ok(false);
                }
                statement("INSERT INTO service (sid, client_id, settings, created_at, updated_at) VALUES (?, ?, ?, ?, ?)")
                    .bind(&service.sid)
                    .bind(owner)
                    .bind(&settings)
                    .bind(service.created_at)
                    .bind(service.updated_at)
                    .execute(&mut change)
                    .await?;
                change.commit().await?;
                Ok(true)
            })
            .await
    }

    /// Sets it anew, if it is still there.
    pub async fn set(&self, sid: &str, settings: &Settings, now: Timestamp) -> Result<bool, DataError> {
        let settings = serde_json::to_string(settings).unwrap_or_default();
        let update = statement("UPDATE service SET settings = ?, updated_at = ? WHERE sid = ?").bind(settings).bind(now).bind(sid);
        Ok(update.execute(&self.database).await? == 1)
    }

    /// Removes it with its limits.
    pub async fn remove(&self, sid: &str) -> Result<bool, DataError> {
        self.database
            .retrying(|| async {
                let mut change = self.database.change().await?;
                statement("DELETE FROM rate_limit WHERE service_sid = ?").bind(sid).execute(&mut change).await?;
                let removed = statement("DELETE FROM service WHERE sid = ?").bind(sid).execute(&mut change).await? == 1;
                change.commit().await?;
                Ok(removed)
            })
            .await
    }

    /// Those of a client, newest first.
    pub async fn of(&self, owner: Uuid, limit: u32, offset: u32) -> Result<Vec<Service>, DataError> {
        let sql = "SELECT sid, client_id, settings, created_at, updated_at FROM service WHERE client_id = ? \
                   ORDER BY created_at DESC, sid LIMIT ? OFFSET ?";
        let rows: Vec<Row> = statement(sql).bind(owner).bind(i64::from(limit)).bind(i64::from(offset)).fetch_all(&self.database).await?;
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// The one with that SID.
    pub async fn by_sid(&self, sid: &str) -> Result<Option<Service>, DataError> {
        let sql = "SELECT sid, client_id, settings, created_at, updated_at FROM service WHERE sid = ?";
        let row: Option<Row> = statement(sql).bind(sid).fetch_optional(&self.database).await?;
        Ok(row.and_then(read))
    }
}

/// The name of a service that is made at run time, among ours: its SID in lower case.
pub fn name_of(sid: &str) -> Arc<str> {
    sid.to_ascii_lowercase().into()
}

fn read((sid, owner, settings, created_at, updated_at): Row) -> Option<Service> {
    Some(Service {
        name: name_of(&sid),
        sid,
        owner: Some(Uuid::try_parse(&owner).ok()?),
        settings: serde_json::from_str(&settings).ok()?,
        created_at: Timestamp(created_at),
        updated_at: Timestamp(updated_at),
    })
}

#[async_trait]
impl StoredServices for ServiceTable {
    async fn by_name(&self, name: &str) -> Result<Option<Service>, StoreError> {
        let Some(digits) = name.strip_prefix("va").filter(|digits| digits.len() == 32) else { return Ok(None) };
        self.by_sid(&format!("VA{digits}")).await.map_err(|error| StoreError::Database(Arc::new(error)))
    }
}
