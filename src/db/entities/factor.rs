//! `entity_factor`: authenticator apps of entities.

use uuid::Uuid;

use super::{EntityTables, Tried, json, uuid};
use crate::account::factor::totp::{Algorithm, Form, Skew};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, statement};
use crate::entity::model::Factor;

/// A factor with what judges it. It has no `Debug`.
#[derive(Clone)]
pub struct FactorRow {
    /// The factor.
    pub factor: Factor,
    /// Sealed.
    pub secret: String,
    /// The last time step that was accepted.
    pub last_step: i64,
    /// Wrong codes in a row.
    pub failures: i64,
}

type Row = (String, String, String, String, i64, i64, i64, String, Option<String>, i64, i64, i64, i64, Option<i64>);

const COLUMNS: &str = "SELECT id, entity_id, name, algorithm, digits, period, skew, secret, metadata, last_step, failures, created_at, \
                       updated_at, verified_at FROM entity_factor";

fn row(row: Row) -> FactorRow {
    let (id, entity, name, algorithm, digits, period, skew, secret, metadata, last_step, failures, created_at, updated_at, verified_at) =
        row;
    let form = Form {
        algorithm: Algorithm::parse(&algorithm).unwrap_or_default(),
        digits: u8::try_from(digits).unwrap_or(6),
        period: u8::try_from(period).unwrap_or(30),
    };
    let factor = Factor {
        id: uuid(&id),
        entity: uuid(&entity),
        name,
        form,
        skew: skew_of(skew),
        metadata: json(metadata),
        created_at: Timestamp(created_at),
        updated_at: Timestamp(updated_at),
        verified_at: verified_at.map(Timestamp),
    };
    FactorRow { factor, secret, last_step, failures }
}

/// Steps to either side. [`Skew::Back`] is for accounts, and stands in no row of these.
fn skew_of(steps: i64) -> Skew {
    match steps {
        1 => Skew::Both,
        2 => Skew::Wide,
        _ => Skew::Strict,
    }
}

impl EntityTables {
    /// Adds a factor. False: the entity has `most` of them, or is gone.
    pub async fn add_factor(&self, new: &FactorRow, most: u32) -> Result<bool, DataError> {
        self.database
            .retrying(async || {
                let mut change = self.database.change().await?;
                let factor = &new.factor;
                let entity: Option<(String,)> =
                    statement("SELECT id FROM entity WHERE id = ? FOR UPDATE").bind(factor.entity).fetch_optional(&mut change).await?;
                let count = statement("SELECT COUNT(*) FROM entity_factor WHERE entity_id = ?").bind(factor.entity);
                let (count,): (i64,) = count.fetch_one(&mut change).await?;
                if entity.is_none() || count >= i64::from(most) {
                    return Ok(false);
                }
                let sql = "INSERT INTO entity_factor (id, entity_id, name, algorithm, digits, period, skew, secret, metadata, last_step, \
                       failures, created_at, updated_at, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
                let query = statement(sql).bind(factor.id).bind(factor.entity).bind(&factor.name).bind(factor.form.algorithm.as_str());
                let query = query.bind(i64::from(factor.form.digits)).bind(i64::from(factor.form.period)).bind(factor.skew.steps());
                let query = query.bind(&new.secret).bind(factor.metadata.as_ref().map(ToString::to_string));
                let query = query.bind(new.last_step).bind(new.failures);
                query.bind(factor.created_at).bind(factor.updated_at).bind(factor.verified_at).execute(&mut change).await?;
                change.commit().await?;
                Ok(true)
            })
            .await
    }

    /// A factor of an entity.
    pub async fn factor(&self, entity: Uuid, id: Uuid) -> Result<Option<FactorRow>, DataError> {
        let query = statement(AssertSqlSafe(format!("{COLUMNS} WHERE entity_id = ? AND id = ?"))).bind(entity).bind(id);
        let found: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(found.map(row))
    }

    /// Factors of an entity, the oldest first.
    pub async fn factors(&self, entity: Uuid, offset: u32, limit: u32) -> Result<Vec<Factor>, DataError> {
        let sql = format!("{COLUMNS} WHERE entity_id = ? ORDER BY created_at, id LIMIT ? OFFSET ?");
        let query = statement(AssertSqlSafe(sql)).bind(entity).bind(i64::from(limit)).bind(i64::from(offset));
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(|found| row(found).factor).collect())
    }

    /// Counts a code for a factor that waits for its first one (ATT-04).
    pub async fn try_new_factor(&self, id: Uuid, tries: u32) -> Result<Tried, DataError> {
        let sql = "UPDATE entity_factor SET failures = failures + 1 WHERE id = ? AND verified_at IS NULL AND failures < ?";
        if statement(sql).bind(id).bind(i64::from(tries)).execute(&self.database).await? == 1 {
            return Ok(Tried::Counted);
        }
        let sql = "SELECT verified_at FROM entity_factor WHERE id = ?";
        let found: Option<(Option<i64>,)> = statement(sql).bind(id).fetch_optional(&self.database).await?;
        Ok(if found.is_some_and(|(verified_at,)| verified_at.is_some()) { Tried::Over } else { Tried::Closed })
    }

    /// The first right code: true for one caller only, ever. Its step is used (TOTP-02).
    pub async fn verify_factor(&self, id: Uuid, step: i64, now: Timestamp) -> Result<bool, DataError> {
        let sql = "UPDATE entity_factor SET last_step = ?, failures = 0, verified_at = ?, updated_at = ? \
                   WHERE id = ? AND verified_at IS NULL AND last_step < ?";
        let query = statement(sql).bind(step).bind(now).bind(now).bind(id).bind(step);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// Writes what may change; what codes look like only until the first right one.
    pub async fn change_factor(&self, factor: &Factor) -> Result<bool, DataError> {
        let Form { algorithm, digits, period } = factor.form;
        let form = "UPDATE entity_factor SET algorithm = ?, digits = ?, period = ? WHERE id = ? AND verified_at IS NULL";
        let form = statement(form).bind(algorithm.as_str()).bind(i64::from(digits)).bind(i64::from(period)).bind(factor.id);
        form.execute(&self.database).await?;
        let rest = statement("UPDATE entity_factor SET name = ?, skew = ?, updated_at = ? WHERE id = ?");
        let rest = rest.bind(&factor.name).bind(factor.skew.steps()).bind(factor.updated_at).bind(factor.id);
        Ok(rest.execute(&self.database).await? == 1)
    }

    /// Removes a factor and its challenges. True: it was there.
    pub async fn remove_factor(&self, entity: Uuid, id: Uuid) -> Result<bool, DataError> {
        let query = statement("DELETE FROM entity_factor WHERE entity_id = ? AND id = ?").bind(entity).bind(id);
        Ok(query.execute(&self.database).await? == 1)
    }
}
