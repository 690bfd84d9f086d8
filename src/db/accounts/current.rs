//! Who is signed in, in one question: the session, its account, and whether something is enrolled. It is asked with every request of
//! every person.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::{AccountTables, account, session};
use crate::account::model::{Account, Session};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, statement};

/// What a session is found by.
#[derive(Debug, Clone, Copy)]
pub enum SessionKey<'a> {
    /// The hash of its token.
    Token(&'a str),
    /// Its id.
    Id(Uuid),
}

/// A live session of an account that may sign in.
pub struct Found {
    /// The session.
    pub session: Session,
    /// Whose.
    pub account: Account,
    /// Whether an authenticator app or a passkey is enrolled.
    pub has_enrolled: bool,
}

/// The session's eleven columns, the account's nine, and the number of what is enrolled.
impl FromRow<'_, AnyRow> for Found {
    fn from_row(row: &AnyRow) -> Result<Found, sqlx::Error> {
        let session = session::session((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
            row.try_get(7)?,
            row.try_get(8)?,
            row.try_get(9)?,
            row.try_get(10)?,
        ));
        let account = account::account((
            row.try_get(11)?,
            row.try_get(12)?,
            row.try_get(13)?,
            row.try_get(14)?,
            row.try_get(15)?,
            row.try_get(16)?,
            row.try_get(17)?,
            row.try_get(18)?,
            row.try_get(19)?,
        ));
        Ok(Found { session, account, has_enrolled: row.try_get::<i64, _>(20)? > 0 })
    }
}

impl AccountTables {
    /// The live session, of an account that may sign in.
    pub async fn current(&self, key: SessionKey<'_>, now: Timestamp) -> Result<Option<Found>, DataError> {
        let (column, value) = match key {
            SessionKey::Token(hash) => ("s.token_hash", hash.to_owned()),
            SessionKey::Id(id) => ("s.id", id.to_string()),
        };
        let sql = format!(
            "SELECT s.id, s.account_id, s.assurance, s.methods, s.created_at, s.authenticated_at, s.seen_at, s.expires_at, s.idle, \
             s.address, s.agent, {}, (SELECT COUNT(*) FROM factor f WHERE f.account_id = a.id AND f.confirmed_at IS NOT NULL \
             AND f.kind IN ('totp', 'passkey')) FROM session s JOIN account a ON a.id = s.account_id \
             WHERE {column} = ? AND s.expires_at > ? AND s.seen_at + s.idle > ? AND a.status = 'active'",
            account::COLUMNS
        );
        let query = statement(AssertSqlSafe(sql)).bind(value).bind(now.0).bind(now.0);
        query.fetch_optional(&self.database).await
    }
}
