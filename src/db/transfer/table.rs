//! A table as the migrations make it: its rows read in the order of its key, written many at a time.
//!
//! What tables and columns there are is read from the migrations, so that none can be forgotten.

use rusqlite::Connection;
use serde_json::{Map, Value as Json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::TransferError;
use crate::db::database::{AssertSqlSafe, Change, DataError, Database, On, Value, in_sqlite, statement};

/// A row: its columns by name.
pub type Row = Map<String, Json>;

/// Rows that are read or written by one statement.
pub const ROWS: usize = 200;
/// What others point to goes first.
const FIRST: [&str; 2] = ["account", "session"];
/// What belongs to the servers of one database.
const NOT_MOVED: [&str; 2] = ["replica", "lock_slot"];

struct Column {
    name: String,
    is_number: bool,
    is_key: bool,
}

/// A table.
pub struct Table {
    /// Its name.
    pub name: String,
    columns: Vec<Column>,
}

impl Table {
    fn names(&self, which: impl Fn(&Column) -> bool) -> String {
        let names = self.columns.iter().filter(|column| which(column)).map(|column| column.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    fn to_json(&self, row: &AnyRow) -> Result<Row, TransferError> {
        let value = |column: &Column| {
            let name = column.name.as_str();
            let value = match column.is_number {
                true => row.try_get::<Option<i64>, _>(name).map(Json::from),
                false => row.try_get::<Option<String>, _>(name).map(Json::from),
            };
            Ok((column.name.clone(), value.map_err(DataError::from)?))
        };
        self.columns.iter().map(value).collect()
    }

    fn value(&self, column: &Column, json: Option<&Json>) -> Result<Value, TransferError> {
        match (column.is_number, json) {
            (true, None | Some(Json::Null)) => Ok(Value::Number(None)),
            (false, None | Some(Json::Null)) => Ok(Value::Text(None)),
            (true, Some(Json::Number(number))) => Ok(Value::Number(number.as_i64())),
            (false, Some(Json::String(text))) => Ok(Value::Text(Some(text.clone()))),
            _ => Err(TransferError::Value(format!("{}.{}", self.name, column.name))),
        }
    }

    /// How many rows it has.
    pub async fn count<'c>(&self, on: impl Into<On<'c>>) -> Result<u64, TransferError> {
        let (count,): (i64,) = statement(AssertSqlSafe(format!("SELECT COUNT(*) FROM {}", self.name))).fetch_one(on).await?;
        Ok(count.max(0) as u64)
    }

    /// Some rows after that one.
    pub async fn after(&self, database: &Database, last: Option<&Row>) -> Result<Vec<Row>, TransferError> {
        let keys = self.names(|column| column.is_key);
        let key_columns: Vec<_> = self.columns.iter().filter(|column| column.is_key).collect();
        let condition =
            if last.is_some() { format!("WHERE ({keys}) > ({})", vec!["?"; key_columns.len()].join(", ")) } else { String::new() };
        let sql = format!("SELECT {} FROM {} {condition} ORDER BY {keys} LIMIT {ROWS}", self.names(|_| true), self.name);
        let mut query = statement(AssertSqlSafe(sql));
        if let Some(last) = last {
            for column in key_columns {
                query = query.bind(self.value(column, last.get(&column.name))?);
            }
        }
        query.fetch_rows(database).await?.iter().map(|row| self.to_json(row)).collect()
    }

    /// Refuses a column that this version does not know: what is in it would be lost.
    pub fn knows(&self, row: &Row) -> Result<(), TransferError> {
        match row.keys().find(|name| !self.columns.iter().any(|column| column.name == **name)) {
            Some(unknown) => Err(TransferError::Newer(format!("{}.{unknown}", self.name))),
            None => Ok(()),
        }
    }

    /// Writes rows.
    pub async fn insert(&self, change: &mut Change, rows: &[Row]) -> Result<(), TransferError> {
        let places = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let sql = format!("INSERT INTO {} ({}) VALUES {}", self.name, self.names(|_| true), vec![places; rows.len()].join(", "));
        let mut query = statement(AssertSqlSafe(sql));
        for row in rows {
            for column in &self.columns {
                query = query.bind(self.value(column, row.get(&column.name))?);
            }
        }
        query.execute(change).await?;
        Ok(())
    }
}

/// The tables that the migrations make.
pub fn tables() -> Result<Vec<Table>, TransferError> {
    let made = Connection::open_in_memory()?;
    for (_, sql) in in_sqlite() {
        made.execute_batch(sql)?;
    }
    let mut names = made.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")?;
    let mut names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names.retain(|name| !NOT_MOVED.contains(&name.as_str()));
    names.sort_by_key(|name| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
    let mut columns = made.prepare("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let mut tables = Vec::new();
    for name in names {
        let found = columns.query_map([&name], |row| {
            let (name, kind, key): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Column { name, is_number: kind != "TEXT", is_key: key > 0 })
        })?;
        let columns = found.collect::<Result<_, _>>()?;
        tables.push(Table { name, columns });
    }
    Ok(tables)
}
