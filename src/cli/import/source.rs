//! Where people come from: a table in MySQL or MariaDB, or a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;

use anyhow::{Context, anyhow};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use super::person::Refusal;
use crate::cli::Failure;
use crate::config::ConfigError;
use crate::db::foreign_table::ForeignTable;

/// A row's values; or why it cannot be read.
pub type Read = Result<Vec<Option<String>>, Refusal>;

/// A table or a file.
pub enum Source {
    Table(Box<ForeignTable>),
    /// Read already: what has accounts fits into memory.
    File {
        columns: Vec<String>,
        rows: Vec<Result<BTreeMap<String, String>, Refusal>>,
    },
}

impl Source {
    /// Opens it and looks at its columns.
    pub async fn open(from: &str, table: &str) -> Result<Source, Failure> {
        if from.starts_with("mysql://") || from.starts_with("mariadb://") {
            let url = from.replacen("mariadb://", "mysql://", 1);
            let table = ForeignTable::open(&url, table).await.context("the database cannot be read")?;
            return Ok(Source::Table(Box::new(table)));
        }
        if from.contains("://") {
            return Err(ConfigError::rule("--from", "must be mysql://… or a file".to_owned()).into());
        }
        let bytes = std::fs::read(from).with_context(|| format!("{from} cannot be read"))?;
        let text = String::from_utf8(bytes).map_err(|_| anyhow!("{from} is not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let ending = Path::new(from).extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        match ending.as_str() {
            "csv" => csv(text),
            "json" => Ok(objects(serde_json::from_str::<Vec<Value>>(text).map_err(unreadable)?.into_iter().map(Ok))),
            "ndjson" | "jsonl" => {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                Ok(objects(lines.map(|line| serde_json::from_str(line).map_err(|_| "it is no JSON"))))
            }
            _ => Err(ConfigError::rule("--from", "must end in .csv, .json or .ndjson".to_owned()).into()),
        }
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<String> {
        match self {
            Source::Table(table) => table.columns(),
            Source::File { columns, .. } => columns.clone(),
        }
    }

    /// How many rows there are.
    pub async fn total(&mut self) -> Result<u64, Failure> {
        match self {
            Source::Table(table) => Ok(table.count().await.context("the table cannot be read")?),
            Source::File { rows, .. } => Ok(rows.len() as u64),
        }
    }

    /// Its rows, with these columns in this order.
    pub fn rows<'a>(&'a mut self, wanted: &[String]) -> Rows<'a> {
        let stream: Pin<Box<dyn Stream<Item = Result<Read, Failure>> + 'a>> = match self {
            Source::Table(table) => {
                let rows = table.rows(wanted);
                Box::pin(rows.map(|row| Ok(Ok(row.context("the table cannot be read any further")?))))
            }
            Source::File { rows, .. } => {
                let wanted = wanted.to_vec();
                let read = move |row: Result<BTreeMap<String, String>, Refusal>| {
                    row.map(|mut row| wanted.iter().map(|name| row.remove(name)).collect::<Vec<_>>())
                };
                Box::pin(futures_util::stream::iter(std::mem::take(rows)).map(move |row| Ok(read(row))))
            }
        };
        Rows { stream }
    }
}

/// Rows, as they come.
pub struct Rows<'a> {
    stream: Pin<Box<dyn Stream<Item = Result<Read, Failure>> + 'a>>,
}

impl Rows<'_> {
    /// The next ones; none at the end.
    pub async fn next_batch(&mut self, most: usize) -> Result<Vec<Read>, Failure> {
        let mut batch = Vec::with_capacity(most);
        while batch.len() < most {
            match self.stream.next().await {
                Some(row) => batch.push(row?),
                None => break,
            }
        }
        Ok(batch)
    }
}

/// The parser's own words would repeat what the file contains.
fn unreadable(error: serde_json::Error) -> Failure {
    anyhow!("the file is no JSON array (line {}, column {})", error.line(), error.column()).into()
}

fn csv(text: &str) -> Result<Source, Failure> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let heading = reader.headers().map_err(|_| anyhow!("the file has no heading with the names of its columns"))?;
    let columns: Vec<String> = heading.iter().map(str::to_owned).collect();
    let rows = reader.records().map(|record| match record {
        Ok(record) => Ok(columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect()),
        Err(_) => Err(Refusal::new("somebody".into(), "it has not as many values as the heading has columns")),
    });
    let rows = rows.collect();
    Ok(Source::File { columns, rows })
}

fn objects(values: impl Iterator<Item = Result<Value, &'static str>>) -> Source {
    let mut columns = Vec::new();
    let rows: Vec<_> = values
        .map(|value| {
            let Value::Object(object) = value.map_err(|reason| Refusal::new("somebody".into(), reason))? else {
                return Err(Refusal::new("somebody".into(), "it is no JSON object"));
            };
            let texts = object.into_iter().filter_map(|(name, value)| match value {
                Value::String(text) => Some((name, text)),
                Value::Number(number) => Some((name, number.to_string())),
                _ => None,
            });
            Ok(texts.collect::<BTreeMap<_, _>>())
        })
        .collect();
    for name in rows.iter().flatten().flat_map(BTreeMap::keys) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    Source::File { columns, rows }
}
