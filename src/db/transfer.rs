//! Everything durable as lines of JSON, from one database to another of any dialect.
//!
//! The first line says what it is, then comes a line for each row, and the last one has the counts. Secrets stay as they are:
//! hashed, or sealed with the pepper, which has to move by another way. What tables and columns there are is read from the
//! migrations, so that none can be forgotten. Not taken over: replicas and their leases.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::database::{AssertSqlSafe, Change, DataError, Database, Value, in_sqlite, statement};

/// The shape of the lines that this version writes and reads.
const FORMAT: u32 = 1;
/// Rows that are read or written by one statement.
const ROWS: usize = 200;
/// What others point to goes first.
const FIRST: [&str; 2] = ["account", "session"];
/// What belongs to the servers of one database.
const NOT_MOVED: [&str; 2] = ["replica", "lock_slot"];

/// Why nothing was taken over, or not all was written.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(#[from] DataError),
    /// Reading or writing lines failed.
    #[error("{0}")]
    Lines(#[from] std::io::Error),
    /// The migrations cannot be read: a mistake of this version.
    #[error("the tables cannot be found out: {0}")]
    Schema(#[from] rusqlite::Error),
    /// A value that no column holds.
    #[error("a value of {0} is neither text nor a number")]
    Value(String),
    /// A line that is none of ours.
    #[error("line {0} is not what countersign export writes")]
    Line(usize),
    /// Made by a newer version.
    #[error("it has {0}, which this version does not know: import with the version that exported")]
    Newer(String),
    /// There is something already.
    #[error("the table {0} is not empty: only an empty database takes everything over")]
    Occupied(String),
    /// The file ends before its end.
    #[error("the file ends before its last line: nothing was taken over")]
    CutShort,
    /// What was counted differs.
    #[error("{table} has {found} rows, and {wanted} were exported: nothing was taken over")]
    Count {
        /// Where.
        table: String,
        /// Rows that came.
        found: u64,
        /// Rows that the last line tells of.
        wanted: u64,
    },
}

/// Rows by table.
pub type Counts = BTreeMap<String, u64>;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Head { countersign: u32, version: String, migrations: Vec<String> },
    Row { table: String, row: Map<String, Json> },
    End { counts: Counts },
}

struct Column {
    name: String,
    is_number: bool,
    is_key: bool,
}

struct Table {
    name: String,
    columns: Vec<Column>,
}

impl Table {
    fn names(&self, which: impl Fn(&Column) -> bool) -> String {
        let names = self.columns.iter().filter(|column| which(column)).map(|column| column.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    fn to_json(&self, row: &AnyRow) -> Result<Map<String, Json>, TransferError> {
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

    async fn count(&self, database: &Database) -> Result<u64, TransferError> {
        let (count,): (i64,) = statement(AssertSqlSafe(format!("SELECT COUNT(*) FROM {}", self.name))).fetch_one(database).await?;
        Ok(count.max(0) as u64)
    }

    /// The rows after that one, in the order of the primary key.
    async fn after(&self, database: &Database, last: Option<&Map<String, Json>>) -> Result<Vec<Map<String, Json>>, TransferError> {
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

    async fn insert(&self, change: &mut Change, rows: &[Map<String, Json>]) -> Result<(), TransferError> {
        let places = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let sql = format!("INSERT INTO {} ({}) VALUES {}", self.name, self.names(|_| true), vec![places; rows.len()].join(", "));
        let mut query = statement(AssertSqlSafe(sql));
        for row in rows {
            if let Some(unknown) = row.keys().find(|name| !self.columns.iter().any(|column| column.name == **name)) {
                return Err(TransferError::Newer(format!("{}.{unknown}", self.name)));
            }
            for column in &self.columns {
                query = query.bind(self.value(column, row.get(&column.name))?);
            }
        }
        query.execute(change).await?;
        Ok(())
    }
}

/// The tables that the migrations make.
fn tables() -> Result<Vec<Table>, TransferError> {
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

/// Writes every row. `progress` hears how many of how many. Nobody else should change anything meanwhile.
pub async fn export(
    database: &Database,
    version: &str,
    mut write: impl FnMut(&str) -> std::io::Result<()>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Counts, TransferError> {
    let tables = tables()?;
    let mut total = 0;
    for table in &tables {
        total += table.count(database).await?;
    }
    let migrations = in_sqlite().map(|(name, _)| name.to_owned()).collect();
    let mut line = |line: &Line| write(&serde_json::to_string(line).map_err(std::io::Error::from)?);
    line(&Line::Head { countersign: FORMAT, version: version.to_owned(), migrations })?;
    let (mut counts, mut done) = (Counts::new(), 0);
    for table in tables {
        let mut last = None;
        loop {
            let rows = table.after(database, last.as_ref()).await?;
            let count = rows.len();
            for row in rows {
                last = Some(row.clone());
                line(&Line::Row { table: table.name.clone(), row })?;
            }
            *counts.entry(table.name.clone()).or_default() += count as u64;
            done += count as u64;
            progress(done, total);
            if count < ROWS {
                break;
            }
        }
    }
    line(&Line::End { counts: counts.clone() })?;
    Ok(counts)
}

/// Puts every row into an empty database, all of them or none. `dry_run`: to the end, and then undone.
pub async fn import(
    database: &Database,
    lines: impl Iterator<Item = std::io::Result<String>>,
    dry_run: bool,
    mut progress: impl FnMut(u64),
) -> Result<Counts, TransferError> {
    let tables = tables()?;
    for table in &tables {
        if table.count(database).await? > 0 {
            return Err(TransferError::Occupied(table.name.clone()));
        }
    }
    let mut change = database.change().await?;
    let (mut counts, mut waiting, mut wanted): (Counts, Vec<Map<String, Json>>, _) = (Counts::new(), Vec::new(), None);
    let (mut current, mut done) = (None::<&Table>, 0);
    for (index, line) in lines.enumerate() {
        let line: Line = serde_json::from_str(&line?).map_err(|_| TransferError::Line(index + 1))?;
        match line {
            Line::Head { countersign, migrations, .. } if index == 0 => {
                let known: Vec<_> = in_sqlite().map(|(name, _)| name).collect();
                let newer = migrations.iter().find(|name| !known.contains(&name.as_str()));
                if let Some(newer) = newer.cloned().or_else(|| (countersign != FORMAT).then(|| format!("format {countersign}"))) {
                    return Err(TransferError::Newer(newer));
                }
            }
            Line::Row { table, row } if index > 0 && wanted.is_none() => {
                let found = tables.iter().find(|known| known.name == table).ok_or(TransferError::Newer(table))?;
                if current.is_some_and(|current| current.name != found.name) || waiting.len() == ROWS {
                    flush(current, &mut change, &mut waiting).await?;
                }
                current = Some(found);
                waiting.push(row);
                *counts.entry(found.name.clone()).or_default() += 1;
                done += 1;
                progress(done);
            }
            Line::End { counts } if index > 0 && wanted.is_none() => wanted = Some(counts),
            _ => return Err(TransferError::Line(index + 1)),
        }
    }
    flush(current, &mut change, &mut waiting).await?;
    for (table, wanted) in wanted.ok_or(TransferError::CutShort)? {
        let found = counts.entry(table.clone()).or_default();
        if *found != wanted {
            return Err(TransferError::Count { table, found: *found, wanted });
        }
    }
    if !dry_run {
        change.commit().await?;
        for table in &tables {
            let (found, wanted) = (table.count(database).await?, counts.get(&table.name).copied().unwrap_or_default());
            if found != wanted {
                return Err(TransferError::Count { table: table.name.clone(), found, wanted });
            }
        }
    }
    Ok(counts)
}

async fn flush(table: Option<&Table>, change: &mut Change, rows: &mut Vec<Map<String, Json>>) -> Result<(), TransferError> {
    if let Some(table) = table.filter(|_| !rows.is_empty()) {
        table.insert(change, rows).await?;
        rows.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::database::testing::OwnDatabase;

    async fn lines(database: &Database) -> Vec<String> {
        let mut lines = Vec::new();
        let write = |line: &str| {
            lines.push(line.to_owned());
            Ok(())
        };
        export(database, "test", write, |_, _| {}).await.expect("an export");
        lines
    }

    async fn filled() -> (OwnDatabase, Database) {
        let own = OwnDatabase::new().await;
        let database = Database::own(&own).await;
        for number in 0..450_i64 {
            let insert = "INSERT INTO account (id, full_name, locale, roles, status, password, password_changed_at, password_reset_by, created_at) \
                          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let query =
                statement(insert).bind(format!("{number:05}").as_str()).bind("Ünal \"Öz\" \\ 🙂").bind("tr").bind("").bind("active");
            let query =
                query.bind(Value::Text(None)).bind(Value::Number(Some(number))).bind(Value::Text(None)).bind(Value::Number(Some(i64::MAX)));
            query.execute(&database).await.expect("a row");
        }
        let session = "INSERT INTO browser (token_hash, account_id, seen_at, expires_at, remembered_until) VALUES (?, ?, 1, 2, 3)";
        statement(session).bind("hash").bind("00449").execute(&database).await.expect("a row");
        (own, database)
    }

    async fn put(database: &Database, lines: &[String], dry_run: bool) -> Result<Counts, TransferError> {
        import(database, lines.iter().cloned().map(Ok), dry_run, |_| {}).await
    }

    #[tokio::test]
    async fn what_comes_out_goes_in_and_comes_out_the_same() {
        let (_own, from) = filled().await;
        let exported = lines(&from).await;
        assert_eq!(exported.len(), 2 + 450 + 1);
        let own = OwnDatabase::new().await;
        let to = Database::own(&own).await;
        put(&to, &exported, true).await.expect("a dry run");
        assert_eq!(lines(&to).await.len(), 2, "a dry run changes nothing");
        let counts = put(&to, &exported, false).await.expect("an import");
        assert_eq!(counts["account"], 450);
        assert_eq!(lines(&to).await, exported);
        assert!(matches!(put(&to, &exported, false).await, Err(TransferError::Occupied(_))), "only once");
    }

    #[tokio::test]
    async fn what_is_not_whole_is_not_taken_over() {
        let (_own, from) = filled().await;
        let exported = lines(&from).await;
        let own = OwnDatabase::new().await;
        let to = Database::own(&own).await;
        let cut = &exported[..exported.len() - 1];
        assert!(matches!(put(&to, cut, false).await, Err(TransferError::CutShort)));
        let mut missing = exported.clone();
        missing.remove(100);
        assert!(matches!(put(&to, &missing, false).await, Err(TransferError::Count { .. })));
        let newer = exported.iter().map(|line| line.replace("\"full_name\"", "\"fullest_name\"")).collect::<Vec<_>>();
        assert!(matches!(put(&to, &newer, false).await, Err(TransferError::Newer(_))));
        let newer = exported.iter().map(|line| line.replace("0001_accounts", "9999_later")).collect::<Vec<_>>();
        assert!(matches!(put(&to, &newer, false).await, Err(TransferError::Newer(_))));
        let noise = ["{}".to_owned()];
        assert!(matches!(put(&to, &noise, false).await, Err(TransferError::Line(1))));
        assert_eq!(lines(&to).await.len(), 2, "nothing was left behind");
    }
}
