//! `attempt`: an index of messages, for lists and sums by client. It is written behind the answers, many rows at a time:
//! nothing is decided by it, and what a crash keeps from it is missing from sums only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, Database, Query, statement};
use crate::db::sweep;

/// Notes that may wait to be written. More are dropped.
const WAITING: usize = 10_000;
/// Notes written in one step.
const AT_ONCE: usize = 2_000;
/// How long notes gather: most codes are used within seconds, many within this, and then one row is written and none changed.
const GATHER: Duration = Duration::from_millis(250);
/// Rows in one statement.
const ROWS: usize = 50;
/// The first digits of a number that are kept for sums.
pub const PREFIX: usize = 8;
/// Longest wait for what is still to be written, before a list is read.
const FLUSH: Duration = Duration::from_secs(2);

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// `VL…`
    pub sid: String,
    /// Who sent it.
    pub client: Uuid,
    /// In which service.
    pub service_sid: String,
    /// Of which verification.
    pub verification: Uuid,
    /// How.
    pub channel: String,
    /// Where to; empty of a mail address.
    pub country: String,
    /// Digest of the destination.
    pub destination: String,
    /// Its first digits.
    pub prefix: String,
    /// When.
    pub created_at: Timestamp,
    /// When its code was the right one.
    pub converted_at: Option<Timestamp>,
}

/// Which messages.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// From then on.
    pub after: Option<Timestamp>,
    /// Before then.
    pub before: Option<Timestamp>,
    /// One service.
    pub service_sid: Option<String>,
    /// One verification.
    pub verification: Option<Uuid>,
    /// One channel.
    pub channel: Option<String>,
    /// One country.
    pub country: Option<String>,
    /// One destination's digest.
    pub destination: Option<String>,
    /// Numbers that begin so: at most [`PREFIX`] characters.
    pub prefix: Option<String>,
    /// Only those whose code was the right one, or only others.
    pub converted: Option<bool>,
}

enum Note {
    Sent(Box<AttemptRow>),
    Converted(String, Timestamp),
    Flush(oneshot::Sender<()>),
}

/// The table, and what waits to be written to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AttemptTable {
    database: Database,
    notes: mpsc::Sender<Note>,
    /// Somebody waits for what was noted.
    hurry: Arc<Notify>,
}

type Row = (String, String, String, String, String, String, String, String, i64, Option<i64>);

const COLUMNS: &str = "sid, client_id, service_sid, verification_id, channel, country, destination, prefix, created_at, converted_at";

impl AttemptTable {
    /// The messages in that database. Must be called within the runtime.
    pub fn new(database: Database) -> AttemptTable {
        let (notes, waiting) = mpsc::channel(WAITING);
        let hurry = Arc::<Notify>::default();
        tokio::spawn(write_behind(database.clone(), waiting, Arc::clone(&hurry)));
        AttemptTable { database, notes, hurry }
    }

    /// Notes a message.
    pub fn sent(&self, row: AttemptRow) {
        self.note(Note::Sent(Box::new(row)));
    }

    /// Notes that a message's code was the right one.
    pub fn converted(&self, sid: String, now: Timestamp) {
        self.note(Note::Converted(sid, now));
    }

    fn note(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            tracing::warn!("too many messages wait to be counted: one is missing from the sums");
        }
    }

    /// Waits until what was noted here is written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flushed = async {
            if self.notes.send(Note::Flush(done)).await.is_ok() {
                self.hurry.notify_one();
                let _ = written.await;
            }
        };
        // A list that lacks the last moments is better than none.
        let _ = tokio::time::timeout(FLUSH, flushed).await;
    }

    /// Messages of a client, newest first.
    pub async fn list(&self, client: Uuid, filter: &AttemptFilter, limit: u32, offset: u32) -> Result<Vec<AttemptRow>, DataError> {
        let select =
            filtered(&format!("SELECT {COLUMNS} FROM attempt"), " ORDER BY created_at DESC, sid DESC LIMIT ? OFFSET ?", client, filter);
        let rows: Vec<Row> = select.bind(i64::from(limit)).bind(i64::from(offset)).fetch_all(&self.database).await?;
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// One message of a client.
    pub async fn get(&self, client: Uuid, sid: &str) -> Result<Option<AttemptRow>, DataError> {
        let select = statement(AssertSqlSafe(format!("SELECT {COLUMNS} FROM attempt WHERE client_id = ? AND sid = ?")));
        let row: Option<Row> = select.bind(client).bind(sid).fetch_optional(&self.database).await?;
        Ok(row.and_then(read))
    }

    /// How many there are, and how many of those had the right code.
    pub async fn sums(&self, client: Uuid, filter: &AttemptFilter) -> Result<(u64, u64), DataError> {
        let (all, converted): (i64, i64) =
            filtered("SELECT COUNT(*), COUNT(converted_at) FROM attempt", "", client, filter).fetch_one(&self.database).await?;
        Ok((all.max(0) as u64, converted.max(0) as u64))
    }

    /// Forgets what was sent before then.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, DataError> {
        sweep::all(&self.database, "attempt", "sid", "created_at < ?", before).await
    }
}

fn filtered(select: &str, end: &str, client: Uuid, filter: &AttemptFilter) -> Query {
    let like = filter.prefix.as_ref().map(|prefix| format!("{prefix}%"));
    let mut sql = format!("{select} WHERE client_id = ?");
    for (given, condition) in [
        (filter.after.is_some(), " AND created_at >= ?"),
        (filter.before.is_some(), " AND created_at < ?"),
        (filter.service_sid.is_some(), " AND service_sid = ?"),
        (filter.verification.is_some(), " AND verification_id = ?"),
        (filter.channel.is_some(), " AND channel = ?"),
        (filter.country.is_some(), " AND country = ?"),
        (filter.destination.is_some(), " AND destination = ?"),
        (like.is_some(), " AND prefix LIKE ?"),
        (filter.converted == Some(true), " AND converted_at IS NOT NULL"),
        (filter.converted == Some(false), " AND converted_at IS NULL"),
    ] {
        if given {
            sql.push_str(condition);
        }
    }
    sql.push_str(end);
    let mut filtered = statement(AssertSqlSafe(sql)).bind(client);
    for time in [filter.after, filter.before].into_iter().flatten() {
        filtered = filtered.bind(time);
    }
    let verification = filter.verification.map(|id| id.to_string());
    for text in [&filter.service_sid, &verification, &filter.channel, &filter.country, &filter.destination, &like].into_iter().flatten() {
        filtered = filtered.bind(text);
    }
    filtered
}

fn read(row: Row) -> Option<AttemptRow> {
    let (sid, client, service_sid, verification, channel, country, destination, prefix, created_at, converted_at) = row;
    Some(AttemptRow {
        sid,
        client: Uuid::try_parse(&client).ok()?,
        service_sid,
        verification: Uuid::try_parse(&verification).ok()?,
        channel,
        country,
        destination,
        prefix,
        created_at: Timestamp(created_at),
        converted_at: converted_at.map(Timestamp),
    })
}

async fn write_behind(database: Database, mut waiting: mpsc::Receiver<Note>, hurry: Arc<Notify>) {
    let mut notes = Vec::new();
    while waiting.recv_many(&mut notes, AT_ONCE).await > 0 {
        // Whoever hurries has noted that before, or is heard by the next round.
        let _ = tokio::time::timeout(GATHER, hurry.notified()).await;
        while notes.len() < AT_ONCE
            && let Ok(note) = waiting.try_recv()
        {
            notes.push(note);
        }
        if let Err(error) = database.retrying(|| write(&database, &notes)).await {
            tracing::warn!(%error, messages = notes.len(), "messages are missing from the sums");
        }
        for note in notes.drain(..) {
            if let Note::Flush(done) = note {
                let _ = done.send(());
            }
        }
    }
}

async fn write(database: &Database, notes: &[Note]) -> Result<(), DataError> {
    let mut converted = HashMap::new();
    let mut sent = Vec::new();
    for note in notes {
        match note {
            Note::Sent(row) => sent.push(row),
            Note::Converted(sid, at) => drop(converted.insert(sid.as_str(), *at)),
            Note::Flush(_) => {}
        }
    }
    if sent.is_empty() && converted.is_empty() {
        return Ok(());
    }
    let mut change = database.change().await?;
    let (many, few) = sent.as_chunks::<ROWS>();
    for rows in many.iter().map(<[_; ROWS]>::as_slice).chain(few.chunks(1)) {
        let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows.len()].join(", ");
        let mut insert = statement(AssertSqlSafe(format!("INSERT INTO attempt ({COLUMNS}) VALUES {values} ON CONFLICT DO NOTHING")));
        for row in rows {
            insert = insert.bind(&row.sid).bind(row.client).bind(&row.service_sid).bind(row.verification).bind(&row.channel);
            insert = insert.bind(&row.country).bind(&row.destination).bind(&row.prefix).bind(row.created_at);
            insert = insert.bind(converted.remove(row.sid.as_str()));
        }
        insert.execute(&mut change).await?;
    }
    for (sid, at) in converted {
        statement("UPDATE attempt SET converted_at = ? WHERE sid = ?").bind(at).bind(sid).execute(&mut change).await?;
    }
    change.commit().await
}
