//! `challenge`: what is asked of factors. Whoever changes a challenge and its factor changes the factor first, so that no two
//! changes wait for each other.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{EntityTables, Tried, json, uuid};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, statement};
use crate::db::sweep;
use crate::entity::model::{Challenge, ChallengeStatus};

type Row = (String, String, String, String, Option<String>, Option<String>, Option<String>, i64, i64, i64, Option<i64>);

const COLUMNS: &str = "SELECT id, factor_id, entity_id, status, details, hidden_details, metadata, created_at, updated_at, expires_at, \
                       answered_at FROM challenge";

fn challenge(row: Row, now: Timestamp) -> Challenge {
    let (id, factor, entity, status, details, hidden_details, metadata, created_at, updated_at, expires_at, answered_at) = row;
    let expires_at = Timestamp(expires_at);
    let status = match ChallengeStatus::parse(&status).unwrap_or(ChallengeStatus::Denied) {
        ChallengeStatus::Pending if expires_at <= now => ChallengeStatus::Expired,
        status => status,
    };
    Challenge {
        id: uuid(&id),
        factor: uuid(&factor),
        entity: uuid(&entity),
        status,
        details: json(details),
        hidden_details: json(hidden_details),
        metadata: json(metadata),
        created_at: Timestamp(created_at),
        updated_at: Timestamp(updated_at),
        expires_at,
        answered_at: answered_at.map(Timestamp),
    }
}

impl EntityTables {
    /// Adds a challenge. False: the factor had as many as `limits` allow, or is gone.
    pub async fn add_challenge(&self, new: &Challenge, limits: &[(u32, Duration)]) -> Result<bool, DataError> {
        self.database.retrying(async || {
            let mut change = self.database.change().await?;
            let factor = statement("SELECT id FROM entity_factor WHERE id = ? FOR UPDATE").bind(new.factor);
            let factor: Option<(String,)> = factor.fetch_optional(&mut change).await?;
            if factor.is_none() {
                return Ok(false);
            }
            for (most, per) in limits {
                let count = statement("SELECT COUNT(*) FROM challenge WHERE factor_id = ? AND created_at > ?");
                let (count,): (i64,) = count.bind(new.factor).bind(new.created_at - *per).fetch_one(&mut change).await?;
                if count >= i64::from(*most) {
                    return Ok(false);
                }
            }
            let sql = "INSERT INTO challenge (id, factor_id, entity_id, status, attempts, details, hidden_details, metadata, created_at, \
                       updated_at, expires_at, answered_at) VALUES (?, ?, ?, 'pending', 0, ?, ?, NULL, ?, ?, ?, NULL)";
            let query = statement(sql).bind(new.id).bind(new.factor).bind(new.entity);
            let query = query.bind(text(new.details.as_ref())).bind(text(new.hidden_details.as_ref()));
            query.bind(new.created_at).bind(new.updated_at).bind(new.expires_at).execute(&mut change).await?;
            change.commit().await?;
            Ok(true)
        })
        .await
    }

    /// A challenge of an entity, as it stands now.
    pub async fn challenge(&self, entity: Uuid, id: Uuid, now: Timestamp) -> Result<Option<Challenge>, DataError> {
        let query = statement(AssertSqlSafe(format!("{COLUMNS} WHERE entity_id = ? AND id = ?"))).bind(entity).bind(id);
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.map(|row| challenge(row, now)))
    }

    /// Challenges of an entity.
    pub async fn challenges(
        &self,
        entity: Uuid,
        factor: Option<Uuid>,
        status: Option<ChallengeStatus>,
        newest_first: bool,
        (offset, limit): (u32, u32),
        now: Timestamp,
    ) -> Result<Vec<Challenge>, DataError> {
        let mut end = "WHERE entity_id = ?".to_owned();
        if factor.is_some() {
            end.push_str(" AND factor_id = ?");
        }
        match status {
            None => {}
            Some(ChallengeStatus::Pending) => end.push_str(" AND status = 'pending' AND expires_at > ?"),
            Some(ChallengeStatus::Expired) => end.push_str(" AND status = 'pending' AND expires_at <= ?"),
            Some(ChallengeStatus::Approved | ChallengeStatus::Denied) => end.push_str(" AND status = ?"),
        }
        end.push_str(if newest_first { " ORDER BY created_at DESC, id DESC" } else { " ORDER BY created_at, id" });
        end.push_str(" LIMIT ? OFFSET ?");
        let mut query = statement(AssertSqlSafe(format!("{COLUMNS} {end}"))).bind(entity);
        if let Some(factor) = factor {
            query = query.bind(factor);
        }
        query = match status {
            None => query,
            Some(ChallengeStatus::Pending | ChallengeStatus::Expired) => query.bind(now),
            Some(status) => query.bind(status.as_str()),
        };
        let rows: Vec<Row> = query.bind(i64::from(limit)).bind(i64::from(offset)).fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(|row| challenge(row, now)).collect())
    }

    /// Counts a code, for the factor and for the challenge, or for neither (ATT-04).
    pub async fn try_challenge(&self, asked: &Challenge, (tries, in_a_row): (u32, u32), now: Timestamp) -> Result<Tried, DataError> {
        self.database
            .retrying(async || {
                let mut change = self.database.change().await?;
                let sql = "UPDATE entity_factor SET failures = failures + 1 WHERE id = ? AND failures < ?";
                if statement(sql).bind(asked.factor).bind(i64::from(in_a_row)).execute(&mut change).await? == 0 {
                    return Ok(Tried::Closed);
                }
                let sql = "UPDATE challenge SET attempts = attempts + 1, updated_at = ? \
                       WHERE id = ? AND status = 'pending' AND attempts < ? AND expires_at > ?";
                let query = statement(sql).bind(now).bind(asked.id).bind(i64::from(tries)).bind(now);
                if query.execute(&mut change).await? == 0 {
                    return Ok(Tried::Over);
                }
                change.commit().await?;
                Ok(Tried::Counted)
            })
            .await
    }

    /// The code was right, its step is newer than any before, and the challenge waits still: true for one caller only
    /// (TOTP-02).
    pub async fn approve_challenge(&self, asked: &Challenge, step: i64, now: Timestamp) -> Result<bool, DataError> {
        self.database
            .retrying(async || {
                let mut change = self.database.change().await?;
                let sql = "UPDATE entity_factor SET last_step = ?, failures = 0 WHERE id = ? AND last_step < ?";
                if statement(sql).bind(step).bind(asked.factor).bind(step).execute(&mut change).await? == 0 {
                    return Ok(false);
                }
                let sql = "UPDATE challenge SET status = 'approved', answered_at = ?, updated_at = ? \
                       WHERE id = ? AND status = 'pending' AND expires_at > ?";
                if statement(sql).bind(now).bind(now).bind(asked.id).bind(now).execute(&mut change).await? == 0 {
                    return Ok(false);
                }
                change.commit().await?;
                Ok(true)
            })
            .await
    }

    /// A challenge that got more codes than it takes is denied. True for one caller only.
    pub async fn deny_challenge(&self, id: Uuid, tries: u32, now: Timestamp) -> Result<bool, DataError> {
        let sql = "UPDATE challenge SET status = 'denied', answered_at = ?, updated_at = ? \
                   WHERE id = ? AND status = 'pending' AND attempts >= ? AND expires_at > ?";
        let query = statement(sql).bind(now).bind(now).bind(id).bind(i64::from(tries)).bind(now);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// The integrator's own notes on a challenge.
    pub async fn note_challenge(&self, id: Uuid, metadata: Option<&Value>) -> Result<(), DataError> {
        statement("UPDATE challenge SET metadata = ? WHERE id = ?").bind(text(metadata)).bind(id).execute(&self.database).await.map(drop)
    }

    /// Removes challenges from before a time.
    pub async fn sweep_challenges(&self, before: Timestamp) -> Result<(), DataError> {
        sweep::all(&self.database, "challenge", "id", "created_at < ?", before).await.map(drop)
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::account::factor::totp::{Form, Skew};
    use crate::db::database::Database;
    use crate::db::database::testing::OwnDatabase;
    use crate::db::entities::FactorRow;
    use crate::entity::model::{Entity, Factor, Identity};

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    /// A verified factor, and so many challenges of it.
    async fn challenges(count: u128) -> (EntityTables, Vec<Challenge>, OwnDatabase) {
        let own = OwnDatabase::new().await;
        let tables = EntityTables::new(Database::own(&own).await);
        let identity = Identity::parse("user-0123456789").expect("an identity");
        let entity = Entity { id: Uuid::from_u128(1), service: "default".into(), identity, created_at: NOW };
        tables.add_entity(entity).await.expect("an entity");
        let factor = Factor {
            id: Uuid::from_u128(2),
            entity: Uuid::from_u128(1),
            name: "Bob".into(),
            form: Form::default(),
            skew: Skew::Both,
            metadata: None,
            created_at: NOW,
            updated_at: NOW,
            verified_at: Some(NOW),
        };
        assert!(tables.add_factor(&FactorRow { factor, secret: "sealed".into(), last_step: 0, failures: 0 }, 1).await.expect("a factor"));
        let challenge = |number| Challenge {
            id: Uuid::from_u128(number),
            factor: Uuid::from_u128(2),
            entity: Uuid::from_u128(1),
            status: ChallengeStatus::Pending,
            details: None,
            hidden_details: None,
            metadata: None,
            created_at: NOW,
            updated_at: NOW,
            expires_at: NOW + Duration::from_secs(300),
            answered_at: None,
        };
        let all: Vec<_> = (10..10 + count).map(challenge).collect();
        for challenge in &all {
            assert!(tables.add_challenge(challenge, &[]).await.expect("a challenge"));
        }
        (tables, all, own)
    }

    async fn right(tables: &EntityTables, challenge: &Challenge, step: i64) -> bool {
        tables.approve_challenge(challenge, step, NOW).await.expect("it is judged")
    }

    /// TOTP-02: of many who hold the same right code at once one passes, over all challenges; an older step never does.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_step_approves_one_challenge() {
        let (tables, all, _own) = challenges(12).await;
        let approved = join_all(all[..10].iter().map(|challenge| right(&tables, challenge, 7))).await;
        assert_eq!(approved.iter().filter(|approved| **approved).count(), 1);
        assert!(!right(&tables, &all[10], 6).await && !right(&tables, &all[10], 7).await && right(&tables, &all[10], 8).await);
        assert!(!right(&tables, &all[10], 9).await, "it was answered before");
        assert!(right(&tables, &all[11], 9).await, "and took no step with it");
    }

    /// ATT-04: many at once are counted, no more than it takes; what is over counts nowhere.
    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_codes_are_counted_than_a_challenge_takes() {
        let (tables, all, _own) = challenges(1).await;
        let tried = join_all((0..30).map(|_| tables.try_challenge(&all[0], (5, 50), NOW))).await;
        assert_eq!(tried.iter().filter(|tried| matches!(tried, Ok(Tried::Counted))).count(), 5);
        let row = tables.factor(Uuid::from_u128(1), Uuid::from_u128(2)).await.expect("a row").expect("a factor");
        assert_eq!(row.failures, 5);
        assert_eq!(tables.try_challenge(&all[0], (50, 5), NOW).await.expect("counted"), Tried::Closed);
        assert_eq!(tables.try_challenge(&all[0], (50, 50), NOW + Duration::from_secs(300)).await.expect("counted"), Tried::Over);
    }
}
