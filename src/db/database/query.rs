//! The one way to ask the database something. A statement is text with `?` and values of two types; who runs it, the pool or a
//! change, knows the dialect, so that no statement is sent in the wrong one.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query as Prepared;
use sqlx::{Any, AssertSqlSafe, FromRow, SqlSafeStr, SqlStr};
use uuid::Uuid;

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
            On::Within(change) => Ok(self.prepared(change.dialect).execute(&mut *change.transaction).await?.rows_affected()),
            On::Alone(database) => {
                let dialect = database.ready()?;
                let pool = &database.pool;
                database.retrying(|| async { Ok(self.prepared(dialect).execute(pool).await?.rows_affected()) }).await
            }
        }
    }

    /// The one row that it finds.
    pub async fn fetch_one<'c, R: for<'r> FromRow<'r, AnyRow>>(self, on: impl Into<On<'c>>) -> Result<R, DataError> {
        self.fetch_optional(on).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// The first row, if it finds any.
    pub async fn fetch_optional<'c, R: for<'r> FromRow<'r, AnyRow>>(self, on: impl Into<On<'c>>) -> Result<Option<R>, DataError> {
        let row = match on.into() {
            On::Within(change) => self.prepared(change.dialect).fetch_optional(&mut *change.transaction).await?,
            On::Alone(database) => self.prepared(database.ready()?).fetch_optional(&database.pool).await?,
        };
        Ok(row.as_ref().map(R::from_row).transpose()?)
    }

    /// Every row.
    pub async fn fetch_all<'c, R: for<'r> FromRow<'r, AnyRow>>(self, on: impl Into<On<'c>>) -> Result<Vec<R>, DataError> {
        let rows = match on.into() {
            On::Within(change) => self.prepared(change.dialect).fetch_all(&mut *change.transaction).await?,
            On::Alone(database) => self.prepared(database.ready()?).fetch_all(&database.pool).await?,
        };
        Ok(rows.iter().map(R::from_row).collect::<Result<_, _>>()?)
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
