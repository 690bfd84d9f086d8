//! Everything durable as lines of JSON, from one database to another of any dialect.
//!
//! The first line says what it is, then comes a line for each row, and the last one has the counts. Secrets stay as they are:
//! hashed, or sealed with the pepper, which has to move by another way. Verifications and limits go along, wherever they lie
//! ([`end`]); out of Redis nothing but wrong codes in a row. Not taken over: replicas and their leases.

pub mod end;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::db::database::{Change, DataError, in_sqlite};
use crate::verification::store::StoreError;
use crate::verification::store::sqlite::resting::SHARED_TABLES;

use end::{Arrival, End, Verifications};
use table::{ROWS, Row, Table, tables};

/// The shape of the lines that this version writes and reads.
const FORMAT: u32 = 1;

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
    /// The embedded store refused.
    #[error(transparent)]
    Embedded(#[from] StoreError),
    /// Servers are on the database.
    #[error("{0} servers are on this database, or died less than ten seconds ago: stop them first")]
    Alive(i64),
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

/// What an import did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Taken {
    /// Rows that came.
    pub rows: Counts,
    /// Those of them that are of no use at this end, and are not here.
    pub left: Counts,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Head { countersign: u32, version: String, migrations: Vec<String> },
    Row { table: String, row: Row },
    End { counts: Counts },
}

/// Writes lines, and counts.
struct Lines<W, P> {
    write: W,
    progress: P,
    counts: Counts,
    done: u64,
    total: u64,
}

impl<W: FnMut(&str) -> std::io::Result<()>, P: FnMut(u64, u64)> Lines<W, P> {
    fn line(&mut self, line: &Line) -> Result<(), TransferError> {
        Ok((self.write)(&serde_json::to_string(line).map_err(std::io::Error::from)?)?)
    }

    fn row(&mut self, table: &str, row: Row) -> Result<(), TransferError> {
        self.line(&Line::Row { table: table.to_owned(), row })?;
        *self.counts.entry(table.to_owned()).or_default() += 1;
        self.done += 1;
        (self.progress)(self.done, self.total.max(self.done));
        Ok(())
    }
}

/// Writes every row. `progress` hears how many of how many.
pub async fn export(
    end: &End,
    version: &str,
    now: Timestamp,
    write: impl FnMut(&str) -> std::io::Result<()>,
    progress: impl FnMut(u64, u64),
) -> Result<Counts, TransferError> {
    end.nobody_lives(now).await?;
    let tables: Vec<_> = tables()?.into_iter().filter(|table| end.uses(table)).collect();
    let mut total = end.embedded_counts()?.into_values().sum();
    for table in &tables {
        total += table.count(&end.database).await?;
    }
    let migrations = in_sqlite().map(|(name, _)| name.to_owned()).collect();
    let mut lines = Lines { write, progress, counts: Counts::new(), done: 0, total };
    lines.line(&Line::Head { countersign: FORMAT, version: version.to_owned(), migrations })?;
    for table in tables {
        let mut last = None;
        loop {
            let rows = table.after(&end.database, last.as_ref()).await?;
            let is_last = rows.len() < ROWS;
            last = rows.last().cloned();
            rows.into_iter().try_for_each(|row| lines.row(&table.name, row))?;
            if is_last {
                break;
            }
        }
    }
    if let Verifications::Embedded(file) = &end.verifications {
        file.read(now, |table, row| lines.row(table, row))?;
    }
    let counts = lines.counts.clone();
    lines.line(&Line::End { counts: counts.clone() })?;
    Ok(counts)
}

/// Puts every row into an empty database and what belongs to it, all of them or none. `dry_run`: to the end, and then undone.
pub async fn import(
    end: End,
    now: Timestamp,
    lines: impl Iterator<Item = std::io::Result<String>>,
    dry_run: bool,
    mut progress: impl FnMut(u64),
) -> Result<Taken, TransferError> {
    end.nobody_lives(now).await?;
    let tables = tables()?;
    let mut occupied = end.embedded_counts()?.into_iter().find(|(_, count)| *count > 0).map(|(table, _)| table);
    for table in &tables {
        occupied = occupied.or((table.count(&end.database).await? > 0).then(|| table.name.clone()));
    }
    if let Some(table) = occupied {
        return Err(TransferError::Occupied(table));
    }
    let mut arrivals = Arrivals::begin(end, &tables).await?;
    let (mut taken, mut wanted, mut done) = (Taken::default(), None, 0);
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
                let found = arrivals.table(&table)?;
                found.knows(&row)?;
                match arrivals.end.verifications.arrival(&table, row, now) {
                    Arrival::AsItIs(row) => arrivals.put(found, row).await?,
                    Arrival::Into(other, row) => arrivals.put(arrivals.table(other)?, row).await?,
                    Arrival::Nowhere => *taken.left.entry(table.clone()).or_default() += 1,
                }
                *taken.rows.entry(table).or_default() += 1;
                done += 1;
                progress(done);
            }
            Line::End { counts } if index > 0 && wanted.is_none() => wanted = Some(counts),
            _ => return Err(TransferError::Line(index + 1)),
        }
    }
    for (table, wanted) in wanted.ok_or(TransferError::CutShort)? {
        same(&table, taken.rows.get(&table).copied().unwrap_or_default(), wanted)?;
    }
    arrivals.finish(!dry_run).await?;
    Ok(taken)
}

fn same(table: &str, found: u64, wanted: u64) -> Result<(), TransferError> {
    if found == wanted { Ok(()) } else { Err(TransferError::Count { table: table.to_owned(), found, wanted }) }
}

/// Rows on their way in, many at a time. Undone when dropped.
struct Arrivals<'t> {
    end: End,
    tables: &'t [Table],
    change: Change,
    into: Option<&'t Table>,
    waiting: Vec<Row>,
    written: Counts,
}

impl<'t> Arrivals<'t> {
    async fn begin(end: End, tables: &'t [Table]) -> Result<Arrivals<'t>, TransferError> {
        if let Verifications::Embedded(file) = &end.verifications {
            file.begin()?;
        }
        let change = end.database.change().await?;
        Ok(Arrivals { end, tables, change, into: None, waiting: Vec::with_capacity(ROWS), written: Counts::new() })
    }

    fn table(&self, name: &str) -> Result<&'t Table, TransferError> {
        self.tables.iter().find(|known| known.name == name).ok_or_else(|| TransferError::Newer(name.to_owned()))
    }

    async fn put(&mut self, table: &'t Table, row: Row) -> Result<(), TransferError> {
        if self.waiting.len() == ROWS || self.into.is_some_and(|into| into.name != table.name) {
            self.flush().await?;
        }
        self.into = Some(table);
        self.waiting.push(row);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), TransferError> {
        let Some(table) = self.into.take() else { return Ok(()) };
        match &mut self.end.verifications {
            Verifications::Embedded(file) if is_shared(table) => file.take(&table.name, &self.waiting)?,
            _ => table.insert(&mut self.change, &self.waiting).await?,
        }
        *self.written.entry(table.name.clone()).or_default() += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Counts what is there now, and makes it last, if it is to be kept.
    async fn finish(mut self, keep: bool) -> Result<(), TransferError> {
        self.flush().await?;
        let embedded = self.end.embedded_counts()?;
        for table in self.tables {
            let found = match &self.end.verifications {
                Verifications::Embedded(_) if is_shared(table) => embedded.get(&table.name).copied().unwrap_or_default(),
                _ => table.count(&mut self.change).await?,
            };
            same(&table.name, found, self.written.get(&table.name).copied().unwrap_or_default())?;
        }
        if keep {
            // First what limits: should the second fail, nobody was forgiven anything.
            if let Verifications::Embedded(file) = self.end.verifications {
                file.keep()?;
            }
            self.change.commit().await?;
        }
        Ok(())
    }
}

fn is_shared(table: &Table) -> bool {
    SHARED_TABLES.contains(&table.name.as_str())
}
