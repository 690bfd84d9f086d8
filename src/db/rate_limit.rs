//! `rate_limit` and `rate_limit_bucket`: limits that the callers of a service make for themselves. They are taken from in the
//! store, with all others; here is only what they say.

use crate::clock::Timestamp;
use crate::db::database::{Change, DataError, Database, statement};

/// A limit: a name, under which a start gives a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// `RK…`
    pub sid: String,
    /// Unique in its service.
    pub unique_name: String,
    /// For people.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// So many starts in so many seconds, for each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// `BL…`
    pub sid: String,
    /// Starts.
    pub most: u32,
    /// In how long.
    pub seconds: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What came of adding one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is there.
    Done,
    /// As many as may be were there.
    TooMany,
    /// One of that name, or of that interval, was there.
    Exists,
    /// The limit that it belongs to is gone.
    NotFound,
}

/// The tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RateLimitTable {
    database: Database,
}

type LimitRow = (String, String, String, i64, i64);
type BucketRow = (String, i64, i64, i64, i64);

impl RateLimitTable {
    /// The limits in that database.
    pub fn new(database: Database) -> RateLimitTable {
        RateLimitTable { database }
    }

    /// Adds a limit to a service, `most` at most.
    pub async fn add(&self, service_sid: &str, limit: &RateLimit, most: u32) -> Result<Added, DataError> {
        self.database
            .retrying(|| async {
                let mut change = self.database.change().await?;
                change.lock(&["rate_limit"]).await?;
                let there = statement("SELECT COUNT(*) FROM rate_limit WHERE service_sid = ?").bind(service_sid);
                if count(there.fetch_one(&mut change).await?) >= most {
                    return Ok(Added::TooMany);
                }
                let same = statement("SELECT COUNT(*) FROM rate_limit WHERE service_sid = ? AND unique_name = ?");
                if count(same.bind(service_sid).bind(&limit.unique_name).fetch_one(&mut change).await?) > 0 {
                    return Ok(Added::Exists);
                }
                statement(
                    "INSERT INTO rate_limit (sid, service_sid, unique_name, description, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
                )
                .bind(&limit.sid)
                .bind(service_sid)
                .bind(&limit.unique_name)
                .bind(&limit.description)
                .bind(limit.created_at)
                .bind(limit.updated_at)
                .execute(&mut change)
                .await?;
                change.commit().await?;
                Ok(Added::Done)
            })
            .await
    }

    /// Describes it anew.
    pub async fn describe(&self, service_sid: &str, sid: &str, description: &str, now: Timestamp) -> Result<bool, DataError> {
        let update = statement("UPDATE rate_limit SET description = ?, updated_at = ? WHERE sid = ? AND service_sid = ?");
        Ok(update.bind(description).bind(now).bind(sid).bind(service_sid).execute(&self.database).await? == 1)
    }

    /// Removes it with its buckets.
    pub async fn remove(&self, service_sid: &str, sid: &str) -> Result<bool, DataError> {
        let delete = statement("DELETE FROM rate_limit WHERE sid = ? AND service_sid = ?");
        Ok(delete.bind(sid).bind(service_sid).execute(&self.database).await? == 1)
    }

    /// Those of a service, oldest first.
    pub async fn of(&self, service_sid: &str) -> Result<Vec<RateLimit>, DataError> {
        let sql =
            "SELECT sid, unique_name, description, created_at, updated_at FROM rate_limit WHERE service_sid = ? ORDER BY created_at, sid";
        let rows: Vec<LimitRow> = statement(sql).bind(service_sid).fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(limit).collect())
    }

    /// Adds a bucket to a limit, `most` at most.
    pub async fn add_bucket(&self, service_sid: &str, limit_sid: &str, bucket: &Bucket, most: u32) -> Result<Added, DataError> {
        self.database
            .retrying(|| async {
                let mut change = self.database.change().await?;
                change.lock(&["rate_limit_bucket"]).await?;
                if !exists(&mut change, service_sid, limit_sid).await? {
                    return Ok(Added::NotFound);
                }
                let there = statement("SELECT COUNT(*) FROM rate_limit_bucket WHERE rate_limit_sid = ?").bind(limit_sid);
                if count(there.fetch_one(&mut change).await?) >= most {
                    return Ok(Added::TooMany);
                }
                if taken(&mut change, limit_sid, bucket.seconds, "").await? {
                    return Ok(Added::Exists);
                }
                statement(
                    "INSERT INTO rate_limit_bucket (sid, rate_limit_sid, most, seconds, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
                )
                .bind(&bucket.sid)
                .bind(limit_sid)
                .bind(i64::from(bucket.most))
                .bind(i64::from(bucket.seconds))
                .bind(bucket.created_at)
                .bind(bucket.updated_at)
                .execute(&mut change)
                .await?;
                change.commit().await?;
                Ok(Added::Done)
            })
            .await
    }

    /// Sets a bucket anew.
    pub async fn set_bucket(&self, limit_sid: &str, sid: &str, most: u32, seconds: u32, now: Timestamp) -> Result<Added, DataError> {
        self.database
            .retrying(|| async {
                let mut change = self.database.change().await?;
                change.lock(&["rate_limit_bucket"]).await?;
                if taken(&mut change, limit_sid, seconds, sid).await? {
                    return Ok(Added::Exists);
                }
                let update =
                    statement("UPDATE rate_limit_bucket SET most = ?, seconds = ?, updated_at = ? WHERE sid = ? AND rate_limit_sid = ?");
                let update = update.bind(i64::from(most)).bind(i64::from(seconds)).bind(now).bind(sid).bind(limit_sid);
                let changed = update.execute(&mut change).await?;
                change.commit().await?;
                Ok(if changed == 1 { Added::Done } else { Added::NotFound })
            })
            .await
    }

    /// Removes a bucket.
    pub async fn remove_bucket(&self, limit_sid: &str, sid: &str) -> Result<bool, DataError> {
        let delete = statement("DELETE FROM rate_limit_bucket WHERE sid = ? AND rate_limit_sid = ?");
        Ok(delete.bind(sid).bind(limit_sid).execute(&self.database).await? == 1)
    }

    /// Those of a limit, the shortest first.
    pub async fn buckets_of(&self, limit_sid: &str) -> Result<Vec<Bucket>, DataError> {
        let sql = "SELECT sid, most, seconds, created_at, updated_at FROM rate_limit_bucket WHERE rate_limit_sid = ? ORDER BY seconds";
        let rows: Vec<BucketRow> = statement(sql).bind(limit_sid).fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(bucket).collect())
    }
}

async fn exists(change: &mut Change, service_sid: &str, sid: &str) -> Result<bool, DataError> {
    let there = statement("SELECT COUNT(*) FROM rate_limit WHERE sid = ? AND service_sid = ?").bind(sid).bind(service_sid);
    Ok(count(there.fetch_one(change).await?) == 1)
}

/// Whether another bucket of the limit has that interval.
async fn taken(change: &mut Change, limit_sid: &str, seconds: u32, sid: &str) -> Result<bool, DataError> {
    let there = statement("SELECT COUNT(*) FROM rate_limit_bucket WHERE rate_limit_sid = ? AND seconds = ? AND sid <> ?");
    Ok(count(there.bind(limit_sid).bind(i64::from(seconds)).bind(sid).fetch_one(change).await?) > 0)
}

fn count((count,): (i64,)) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn limit((sid, unique_name, description, created_at, updated_at): LimitRow) -> RateLimit {
    RateLimit { sid, unique_name, description, created_at: Timestamp(created_at), updated_at: Timestamp(updated_at) }
}

fn bucket((sid, most, seconds, created_at, updated_at): BucketRow) -> Bucket {
    let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Bucket { sid, most: small(most), seconds: small(seconds), created_at: Timestamp(created_at), updated_at: Timestamp(updated_at) }
}
