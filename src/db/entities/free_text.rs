//! `free_text`: texts of integrators' own, and how far they got. Forward only: each change names what it may follow.

use uuid::Uuid;

use super::{EntityTables, uuid};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, DataError, statement};
use crate::db::sweep;
use crate::verification::model::Channel;

/// How far a text got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextStatus {
    /// It waits.
    Queued,
    /// A provider is asked.
    Sending,
    /// A provider took it.
    Sent,
    /// It arrived.
    Delivered,
    /// It was taken, and did not arrive.
    Undelivered,
    /// Nobody took it.
    Failed,
    /// Called off before it was sent.
    Canceled,
}

impl TextStatus {
    const ALL: [TextStatus; 7] = [
        TextStatus::Queued,
        TextStatus::Sending,
        TextStatus::Sent,
        TextStatus::Delivered,
        TextStatus::Undelivered,
        TextStatus::Failed,
        TextStatus::Canceled,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            TextStatus::Queued => "queued",
            TextStatus::Sending => "sending",
            TextStatus::Sent => "sent",
            TextStatus::Delivered => "delivered",
            TextStatus::Undelivered => "undelivered",
            TextStatus::Failed => "failed",
            TextStatus::Canceled => "canceled",
        }
    }

    /// What it may follow.
    fn after(self) -> &'static str {
        match self {
            TextStatus::Queued => "''",
            TextStatus::Sending | TextStatus::Canceled => "'queued'",
            TextStatus::Sent => "'sending'",
            TextStatus::Failed => "'queued', 'sending'",
            TextStatus::Delivered | TextStatus::Undelivered => "'sending', 'sent'",
        }
    }
}

/// A text.
#[derive(Clone)]
pub struct FreeTextRow {
    /// Its id.
    pub id: Uuid,
    /// The client that sent it.
    pub client: Uuid,
    /// The service whose limits it took from.
    pub service: String,
    /// How it travels.
    pub channel: Channel,
    /// Canonical.
    pub recipient: String,
    /// As the integrator named the sender.
    pub sender: Option<String>,
    /// Or the service that chooses one.
    pub messaging_service: Option<String>,
    /// Sealed; none, once it was taken out.
    pub body: Option<String>,
    /// What it costs.
    pub segments: u32,
    /// How far it got, as of the time at which it was read.
    pub status: TextStatus,
    /// Why it did not get further.
    pub error_code: Option<u32>,
    /// Where the integrator hears of it.
    pub callback: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When a provider took it.
    pub sent_at: Option<Timestamp>,
    /// From then on nobody is asked any more.
    pub expires_at: Timestamp,
}

/// What of a list is wanted.
#[derive(Default)]
pub struct TextFilter {
    /// Canonical.
    pub recipient: Option<String>,
    /// As the integrator named it.
    pub sender: Option<String>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub before: Option<Timestamp>,
}

type Row = (
    String,
    String,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    String,
    Option<i64>,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    i64,
);

const COLUMNS: &str = "SELECT id, client_id, service, channel, recipient, sender, messaging_service, body, segments, status, error_code, \
                       callback, created_at, updated_at, sent_at, expires_at FROM free_text";
/// "Its validity period expired": whoever asks reads this of a text that nobody was asked to send in time.
const OUT_OF_TIME: u32 = 30036;

fn text(row: Row, now: Timestamp) -> FreeTextRow {
    let (id, client, service, channel, recipient, sender, messaging_service, body, segments, status, error_code, callback, ..) =
        row.clone();
    let (.., created_at, updated_at, sent_at, expires_at) = row;
    let status = TextStatus::ALL.into_iter().find(|known| known.as_str() == status).unwrap_or(TextStatus::Failed);
    let is_late = matches!(status, TextStatus::Queued | TextStatus::Sending) && expires_at <= now.0;
    FreeTextRow {
        id: uuid(&id),
        client: uuid(&client),
        service,
        channel: if channel == Channel::Whatsapp.as_str() { Channel::Whatsapp } else { Channel::Sms },
        recipient,
        sender,
        messaging_service,
        body,
        segments: segments as u32,
        status: if is_late { TextStatus::Failed } else { status },
        error_code: if is_late { Some(OUT_OF_TIME) } else { error_code.map(|code| code as u32) },
        callback,
        created_at: Timestamp(created_at),
        updated_at: Timestamp(updated_at),
        sent_at: sent_at.map(Timestamp),
        expires_at: Timestamp(expires_at),
    }
}

impl EntityTables {
    /// Adds a text.
    pub async fn add_text(&self, new: &FreeTextRow) -> Result<(), DataError> {
        let sql = "INSERT INTO free_text (id, client_id, service, channel, recipient, sender, messaging_service, body, segments, status, \
                   error_code, callback, created_at, updated_at, sent_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = statement(sql).bind(new.id).bind(new.client).bind(&new.service).bind(new.channel.as_str()).bind(&new.recipient);
        let query = query.bind(new.sender.clone()).bind(new.messaging_service.clone()).bind(new.body.clone());
        let query = query.bind(i64::from(new.segments)).bind(new.status.as_str()).bind(new.error_code.map(i64::from));
        let query = query.bind(new.callback.clone()).bind(new.created_at).bind(new.updated_at).bind(new.sent_at).bind(new.expires_at);
        query.execute(&self.database).await.map(drop)
    }

    /// A text of a client.
    pub async fn text(&self, client: Uuid, id: Uuid, now: Timestamp) -> Result<Option<FreeTextRow>, DataError> {
        let query = statement(AssertSqlSafe(format!("{COLUMNS} WHERE client_id = ? AND id = ?"))).bind(client).bind(id);
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.map(|row| text(row, now)))
    }

    /// A text, whosever it is: for its receipts.
    pub async fn any_text(&self, id: Uuid, now: Timestamp) -> Result<Option<FreeTextRow>, DataError> {
        let row: Option<Row> = statement(AssertSqlSafe(format!("{COLUMNS} WHERE id = ?"))).bind(id).fetch_optional(&self.database).await?;
        Ok(row.map(|row| text(row, now)))
    }

    /// Texts of a client, the newest first.
    pub async fn texts(
        &self,
        client: Uuid,
        filter: &TextFilter,
        (offset, limit): (u32, u32),
        now: Timestamp,
    ) -> Result<Vec<FreeTextRow>, DataError> {
        let mut sql = format!("{COLUMNS} WHERE client_id = ?");
        for (is_wanted, condition) in [
            (filter.recipient.is_some(), " AND recipient = ?"),
            (filter.sender.is_some(), " AND sender = ?"),
            (filter.from.is_some(), " AND sent_at >= ?"),
            (filter.before.is_some(), " AND sent_at < ?"),
        ] {
            if is_wanted {
                sql.push_str(condition);
            }
        }
        sql.push_str(" ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?");
        let mut query = statement(AssertSqlSafe(sql)).bind(client);
        for value in [&filter.recipient, &filter.sender].into_iter().flatten() {
            query = query.bind(value);
        }
        for value in [filter.from, filter.before].into_iter().flatten() {
            query = query.bind(value);
        }
        let rows: Vec<Row> = query.bind(i64::from(limit)).bind(i64::from(offset)).fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(|row| text(row, now)).collect())
    }

    /// Moves a text forward. True for one caller only, and only where the status may follow.
    pub async fn move_text(&self, id: Uuid, to: TextStatus, error_code: Option<u32>, now: Timestamp) -> Result<bool, DataError> {
        let sql = format!(
            "UPDATE free_text SET status = ?, error_code = ?, updated_at = ?, sent_at = COALESCE(sent_at, ?) WHERE id = ? AND status IN ({})",
            to.after()
        );
        let sent_at = matches!(to, TextStatus::Sent | TextStatus::Delivered).then_some(now);
        let query = statement(AssertSqlSafe(sql)).bind(to.as_str()).bind(error_code.map(i64::from)).bind(now).bind(sent_at).bind(id);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// Takes the words out of a text.
    pub async fn redact_text(&self, id: Uuid, now: Timestamp) -> Result<(), DataError> {
        let query = statement("UPDATE free_text SET body = NULL, updated_at = ? WHERE id = ?").bind(now).bind(id);
        query.execute(&self.database).await.map(drop)
    }

    /// Removes a text of a client. True: it was there.
    pub async fn remove_text(&self, client: Uuid, id: Uuid) -> Result<bool, DataError> {
        let query = statement("DELETE FROM free_text WHERE client_id = ? AND id = ?").bind(client).bind(id);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// Removes texts from before a time.
    pub async fn sweep_texts(&self, before: Timestamp) -> Result<(), DataError> {
        sweep::all(&self.database, "free_text", "id", "created_at < ?", before).await.map(drop)
    }
}
