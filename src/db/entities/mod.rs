//! The tables of entities, and of what stands beside them in the face of another API. Each method is one step: what must not
//! be half done is one change, and a guarded write tells by its row count who won.

mod challenge;
mod factor;
mod free_text;
mod safe_number;
mod service_webhook;

pub use factor::FactorRow;
pub use free_text::{FreeTextRow, TextFilter, TextStatus};
pub use safe_number::MessagingConfiguration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, Database, statement};
use crate::entity::model::{Entity, Identity};

/// The tables, over a pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EntityTables {
    database: Database,
}

/// What came of counting a code before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It counts: judge it.
    Counted,
    /// The factor takes no more codes.
    Closed,
    /// What was asked takes no more codes.
    Over,
}

type Row = (String, String, String, i64);

fn entity((id, service, identity, created_at): Row) -> Option<Entity> {
    Some(Entity { id: uuid(&id), service: service.into(), identity: Identity::parse(&identity)?, created_at: Timestamp(created_at) })
}

const COLUMNS: &str = "SELECT id, service, identity, created_at FROM entity";

impl EntityTables {
    /// The tables of that database.
    pub fn new(database: Database) -> EntityTables {
        EntityTables { database }
    }

    /// Adds an entity, or finds the one of that name. True: it was added.
    pub async fn add_entity(&self, new: Entity) -> Result<(Entity, bool), DataError> {
        let sql = "INSERT INTO entity (id, service, identity, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let query = statement(sql).bind(new.id).bind(&*new.service).bind(new.identity.as_str()).bind(new.created_at);
        query.execute(&self.database).await?;
        let found = self.entity(&new.service, &new.identity).await?;
        // Whoever asks what became of it finds its own, or the one that was there.
        Ok(match found {
            Some(found) => (found.clone(), found.id == new.id),
            None => (new, false),
        })
    }

    /// The entity of that name.
    pub async fn entity(&self, service: &str, identity: &Identity) -> Result<Option<Entity>, DataError> {
        let query = statement(AssertSqlSafe(format!("{COLUMNS} WHERE service = ? AND identity = ?"))).bind(service).bind(identity.as_str());
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.and_then(entity))
    }

    /// Entities of a service, the oldest first.
    pub async fn entities(&self, service: &str, offset: u32, limit: u32) -> Result<Vec<Entity>, DataError> {
        let sql = format!("{COLUMNS} WHERE service = ? ORDER BY created_at, id LIMIT ? OFFSET ?");
        let query = statement(AssertSqlSafe(sql)).bind(service).bind(i64::from(limit)).bind(i64::from(offset));
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().filter_map(entity).collect())
    }

    /// Removes an entity, its factors and their challenges. True: it was there.
    pub async fn remove_entity(&self, id: Uuid) -> Result<bool, DataError> {
        Ok(statement("DELETE FROM entity WHERE id = ?").bind(id).execute(&self.database).await? == 1)
    }

    /// Removes everything of a service.
    pub async fn forget_service(&self, service: &str) -> Result<(), DataError> {
        for sql in [
            "DELETE FROM entity WHERE service = ?",
            "DELETE FROM service_webhook WHERE service = ?",
            "DELETE FROM messaging_configuration WHERE service = ?",
        ] {
            statement(sql).bind(service).execute(&self.database).await?;
        }
        Ok(())
    }
}

/// An id as it stands in a row. What is none, which only a hand in the database can have put there, names nothing.
fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}

/// JSON as it stands in a row.
fn json(text: Option<String>) -> Option<serde_json::Value> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}
