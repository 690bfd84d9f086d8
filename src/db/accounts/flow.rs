//! `flow`: what somebody has begun. Each step is guarded by the revision, so of two at once one wins (MFA-03).

use uuid::Uuid;

use super::{AccountTables, uuid};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, Query, statement};

/// Something begun and not ended.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Hash of the browser's token.
    pub token_hash: String,
    /// What kind of thing: each has codes and states of its own (A28).
    pub kind: String,
    /// Whose, where that is known.
    pub account: Option<Uuid>,
    /// Hash of what was typed, for clients without cookies.
    pub identifier_hash: Option<String>,
    /// Network of whoever began it.
    pub address: String,
    /// JSON of the kind's own shape.
    pub state: String,
    /// Raised by each step.
    pub revision: i64,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

const INSERT: &str = "INSERT INTO flow (token_hash, kind, account_id, identifier_hash, address, state, revision, created_at, expires_at) \
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const REPLACE: &str = "INSERT INTO flow (token_hash, kind, account_id, identifier_hash, address, state, revision, created_at, expires_at) \
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (token_hash) DO UPDATE SET kind = excluded.kind, \
                       account_id = excluded.account_id, identifier_hash = excluded.identifier_hash, address = excluded.address, \
                       state = excluded.state, revision = excluded.revision, created_at = excluded.created_at, \
                       expires_at = excluded.expires_at";

type Row = (String, String, Option<String>, Option<String>, String, String, i64, i64, i64);

const COLUMNS: &str = "SELECT token_hash, kind, account_id, identifier_hash, address, state, revision, created_at, expires_at FROM flow";

fn flow((token_hash, kind, account, identifier_hash, address, state, revision, created_at, expires_at): Row) -> Flow {
    let account = account.map(|id| uuid(&id));
    let (created_at, expires_at) = (Timestamp(created_at), Timestamp(expires_at));
    Flow { token_hash, kind, account, identifier_hash, address, state, revision, created_at, expires_at }
}

fn insert(sql: &'static str, flow: &Flow) -> Query {
    let query = statement(sql).bind(&flow.token_hash).bind(&flow.kind).bind(flow.account.map(|id| id.to_string()));
    let query = query.bind(flow.identifier_hash.as_deref()).bind(&flow.address).bind(&flow.state).bind(flow.revision);
    query.bind(flow.created_at.0).bind(flow.expires_at.0)
}

impl AccountTables {
    /// Begins one.
    pub async fn begin_flow(&self, flow: &Flow) -> Result<(), DataError> {
        insert(INSERT, flow).execute(&self.database).await.map(drop)
    }

    /// Begins one in place of another with the same name.
    pub async fn replace_flow(&self, flow: &Flow) -> Result<(), DataError> {
        insert(REPLACE, flow).execute(&self.database).await.map(drop)
    }

    /// The one with that token, while it lives.
    pub async fn flow(&self, kind: &str, token_hash: &str, now: Timestamp) -> Result<Option<Flow>, DataError> {
        let sql = format!("{COLUMNS} WHERE token_hash = ? AND kind = ? AND expires_at > ?");
        let query = statement(AssertSqlSafe(sql)).bind(token_hash).bind(kind).bind(now.0);
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.map(flow))
    }

    /// The newest of that kind, begun for what was typed and from that network: for clients that keep no cookie.
    pub async fn newest_flow(&self, kind: &str, identifier_hash: &str, address: &str, now: Timestamp) -> Result<Option<Flow>, DataError> {
        let sql =
            format!("{COLUMNS} WHERE identifier_hash = ? AND kind = ? AND address = ? AND expires_at > ? ORDER BY created_at DESC LIMIT 1");
        let query = statement(AssertSqlSafe(sql)).bind(identifier_hash).bind(kind).bind(address).bind(now.0);
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.map(flow))
    }

    /// Those of an account, the newest first, at most five.
    pub async fn flows_of(&self, account: Uuid, kind: &str, now: Timestamp) -> Result<Vec<Flow>, DataError> {
        let sql = format!("{COLUMNS} WHERE account_id = ? AND kind = ? AND expires_at > ? ORDER BY created_at DESC LIMIT 5");
        let query = statement(AssertSqlSafe(sql)).bind(account.to_string()).bind(kind).bind(now.0);
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(flow).collect())
    }

    /// One step on. False: somebody else was quicker, or it ended.
    pub async fn advance_flow(&self, flow: &Flow, state: &str) -> Result<bool, DataError> {
        let sql = "UPDATE flow SET state = ?, revision = revision + 1 WHERE token_hash = ? AND revision = ?";
        let query = statement(sql).bind(state).bind(&flow.token_hash).bind(flow.revision);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// The same of a flow that was nobody's until now.
    pub async fn advance_flow_of(&self, flow: &Flow, account: Uuid, state: &str) -> Result<bool, DataError> {
        let sql = "UPDATE flow SET state = ?, account_id = ?, revision = revision + 1 WHERE token_hash = ? AND revision = ?";
        let query = statement(sql).bind(state).bind(account.to_string()).bind(&flow.token_hash).bind(flow.revision);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// Ends one. False: it had ended.
    pub async fn end_flow(&self, token_hash: &str) -> Result<bool, DataError> {
        let query = statement("DELETE FROM flow WHERE token_hash = ?").bind(token_hash);
        Ok(query.execute(&self.database).await? == 1)
    }
}
