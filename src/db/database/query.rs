//! The one way to ask the database something. A statement is text with `?` and values of two types; who runs it, the pool or a
//! change, knows the dialect, so that no statement is sent in the wrong one.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query as Prepared;
use sqlx::{Any, AssertSqlSafe, FromRow, SqlSafeStr, SqlStr};
use uuid::Uuid;

use super::lent::Lent;
use super::{Change, DataError, Database, Dialect};
use crate::clock::Timestamp;

/// A value of a statement: text or a number, or nothing of that type.
#[derive(Clone)]
pub enum Value {
    /// TEXT or VARCHAR.
    Text(Option<String>),
    /// BIGINT.
    Number(Option<i64>),
}

/// Where a statement runs.
pub enum On<'c> {
    /// By itself, on any connection.
    Alone(&'c Database),
    /// As part of a change.
    Within(&'c mut Change),
}

/// A statement with its values.
#[must_use = "it does nothing until it is executed or fetched"]
pub struct Query {
    sql: SqlStr,
    values: Vec<Value>,
}

/// A statement. Text that was put together is marked by [`AssertSqlSafe`]: only ours is in it, and values are bound.
pub fn statement(sql: impl SqlSafeStr) -> Query {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

impl Query {
    /// The value of the next `?`.
    pub fn bind(mut self, value: impl Into<Value>) -> Query {
        self.values.push(value.into());
        self
    }

    /// Runs it, and says how many rows it found to change (whether or not they were different before).
    pub async fn execute<'c>(self, on: impl Into<On<'c>>) -> Result<u64, DataError> {
        match on.into() {
            On::Within(change) => self.executed(&mut change.lent, change.dialect).await,
            On::Alone(database) => database.retrying(|| async { self.executed(&mut database.lend().await?, database.dialect).await }).await,
        }
    }

    /// The one row that it finds.
    pub async fn fetch_one<'c, R: for<'r> FromRow<'r, AnyRow>>(self, on: impl Into<On<'c>>) -> Result<R, DataError> {
        self.fetch_optional(on).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// The first row, if it finds any.
    pub async fn fetch_optional<'c, R: for<'r> FromRow<'r, AnyRow>>(self, on: impl Into<On<'c>>) -> Result<Option<R>, DataError> {
        let (on, mut own) = (on.into(), None);
        let prepared = self.prepared(on.dialect());
        let row = on.lent(&mut own).await?.ask(|connection| Box::pin(prepared.fetch_optional(connection))).await?;
        Ok(row.as_ref().map(R::from_row).transpose()?)
    }

    /// Every row.
    pub async fn fetch_all<'c, R: for<'r> FromRow<'r, AnyRow>>(self, on: impl Into<On<'c>>) -> Result<Vec<R>, DataError> {
        Ok(self.fetch_rows(on).await?.iter().map(R::from_row).collect::<Result<_, _>>()?)
    }

    /// Every row, as it came.
    pub async fn fetch_rows<'c>(self, on: impl Into<On<'c>>) -> Result<Vec<AnyRow>, DataError> {
        let (on, mut own) = (on.into(), None);
        let prepared = self.prepared(on.dialect());
        on.lent(&mut own).await?.ask(|connection| Box::pin(prepared.fetch_all(connection))).await
    }

    async fn executed(&self, lent: &mut Lent, dialect: Dialect) -> Result<u64, DataError> {
        let prepared = self.prepared(dialect);
        Ok(lent.ask(|connection| Box::pin(prepared.execute(connection))).await?.rows_affected())
    }

    fn prepared(&self, dialect: Dialect) -> Prepared<'static, Any, AnyArguments> {
        let sql = match dialect.speak(self.sql.as_str()) {
            std::borrow::Cow::Borrowed(same) if same.len() == self.sql.as_str().len() => self.sql.clone(),
            spoken => AssertSqlSafe(spoken.into_owned()).into_sql_str(),
        };
        self.values.iter().cloned().fold(sqlx::query(sql), |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        })
    }
}

impl<'c> On<'c> {
    fn dialect(&self) -> Dialect {
        match self {
            On::Alone(database) => database.dialect,
            On::Within(change) => change.dialect,
        }
    }

    /// The connection that it runs on: that of the change, or one of the pool, which is kept in that place meanwhile.
    async fn lent<'l>(self, own: &'l mut Option<Lent>) -> Result<&'l mut Lent, DataError>
    where
        'c: 'l,
    {
        match self {
            On::Alone(database) => Ok(own.insert(database.lend().await?)),
            On::Within(change) => Ok(&mut change.lent),
        }
    }
}

impl<'c> From<&'c Database> for On<'c> {
    fn from(database: &'c Database) -> On<'c> {
        On::Alone(database)
    }
}

impl<'c> From<&'c mut Change> for On<'c> {
    fn from(change: &'c mut Change) -> On<'c> {
        On::Within(change)
    }
}

/// From what, to what.
macro_rules! values {
    ($($from:ty => $to:ident($value:ident) $as:expr),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Value {
                Value::$to($as)
            }
        }
    )*};
}

values! {
    &str => Text(text) Some(text.to_owned()),
    &String => Text(text) Some(text.clone()),
    String => Text(text) Some(text),
    Option<&str> => Text(text) text.map(str::to_owned),
    Option<String> => Text(text) text,
    Uuid => Text(id) Some(id.to_string()),
    Option<Uuid> => Text(id) id.map(|id| id.to_string()),
    i64 => Number(number) Some(number),
    Option<i64> => Number(number) number,
    Timestamp => Number(at) Some(at.0),
    Option<Timestamp> => Number(at) at.map(|at| at.0),
}
