//! Clients: callers of the API, and their keys.
//!
//! A key reads `csk_PREFIX_SECRET`: the prefix finds the row, the secret (256 random bits) is stored as SHA-256 only and
//! compared in constant time. A plain hash will do for a secret that nobody can guess (REC-01 says the same from 112 bits).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::{self, DatabaseError, Synchronous};
use crate::secret::{Entropy, Redacted};
use crate::verification::model::{Event, EventKind, Origin};
use crate::verification::store::sqlite::rows::insert_event;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Start, resend, check, cancel.
    #[serde(rename = "verifications:write")]
    Write,
    /// Get, list, timelines.
    #[serde(rename = "verifications:read")]
    Read,
    /// Forgive wrong codes.
    #[serde(rename = "failures:release")]
    Release,
    /// Ask what access tokens are worth.
    #[serde(rename = "tokens:introspect")]
    Introspect,
    /// Send and validate codes by CAMARA's one-time-password-sms.
    #[serde(rename = "one-time-password-sms:send-validate")]
    OneTimePasswordSms,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 5] = [Scope::Write, Scope::Read, Scope::Release, Scope::Introspect, Scope::OneTimePasswordSms];
    /// What a key gets when none is named: the server's own API. Another face's scope is named by who wants it.
    pub const USUAL: [Scope; 4] = [Scope::Write, Scope::Read, Scope::Release, Scope::Introspect];

    /// The name as it appears outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Write => "verifications:write",
            Scope::Read => "verifications:read",
            Scope::Release => "failures:release",
            Scope::Introspect => "tokens:introspect",
            Scope::OneTimePasswordSms => "one-time-password-sms:send-validate",
        }
    }

    /// The scope of that name.
    pub fn parse(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A caller of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: Uuid,
    /// The service that it acts in, and no other (OPS-07).
    pub service: Arc<str>,
    /// For people.
    pub name: String,
    /// The part of its key that may be shown.
    pub key_prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its key was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A client's row with the hash of its key.
pub struct KeyedClient {
    /// The client.
    pub client: Arc<Client>,
    key_hash: [u8; 32],
}

impl KeyedClient {
    /// Whether this is its key, in a time that tells nothing.
    pub fn has_key(&self, key: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        self.key_hash.ct_eq(&hash).into()
    }
}

/// The prefix of a well-formed key.
pub fn prefix_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("csk_")?;
    let (prefix, secret) = rest.split_once('_')?;
    (prefix.len() == 12 && secret.len() == 43).then_some(prefix)
}

/// The table of clients.
#[derive(Clone)]
pub struct Clients {
    database: PathBuf,
    /// Opened at the first use, and kept: a server looks its clients up again and again.
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Clients {
    /// The clients in that database, which must be migrated.
    pub fn new(database: &Path) -> Clients {
        Clients { database: database.to_owned(), connection: Arc::default() }
    }

    /// Makes a client, and the only copy of its key.
    pub fn create(
        &self,
        service: &str,
        name: &str,
        scopes: &[Scope],
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<(Client, Redacted<String>), DatabaseError> {
        let (mut id, mut prefix, mut secret) = ([0; 10], [0; 6], [0; 32]);
        entropy.fill(&mut id);
        entropy.fill(&mut prefix);
        entropy.fill(&mut secret);
        let key_prefix: String = prefix.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("csk_{key_prefix}_{}", URL_SAFE_NO_PAD.encode(secret));
        let client = Client {
            id: uuid::Builder::from_unix_timestamp_millis(now.0.max(0) as u64, &id).into_uuid(),
            service: service.into(),
            name: name.to_owned(),
            key_prefix,
            scopes: scopes.to_vec(),
            created_at: now,
            last_used_at: None,
            revoked_at: None,
        };
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let scopes = client.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
        self.write(|connection| {
            connection.execute(
                "INSERT INTO client (id, service, name, key_prefix, key_hash, scopes, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![client.id.as_bytes(), client.service, client.name, client.key_prefix, hash, scopes, now.0],
            )?;
            record(connection, client.id, 0, EventKind::ClientCreated, now)
        })?;
        Ok((client, Redacted::new(key)))
    }

    /// Revokes a client by its id or the prefix of its key. `None`: no such client, or revoked before.
    pub fn revoke(&self, id_or_prefix: &str, now: Timestamp) -> Result<Option<Client>, DatabaseError> {
        let wanted = id_or_prefix.strip_prefix("csk_").unwrap_or(id_or_prefix);
        let Some(mut client) = self.list()?.into_iter().find(|client| client.id.to_string() == wanted || client.key_prefix == wanted)
        else {
            return Ok(None);
        };
        let mut revoked = false;
        self.write(|connection| {
            let sql = "UPDATE client SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            revoked = connection.execute(sql, params![client.id.as_bytes(), now.0])? == 1;
            if revoked { record(connection, client.id, 1, EventKind::ClientRevoked, now) } else { Ok(()) }
        })?;
        client.revoked_at = Some(now);
        Ok(revoked.then_some(client))
    }

    /// Every client, oldest first.
    pub fn list(&self) -> Result<Vec<Client>, DatabaseError> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM client ORDER BY id"))?;
            statement.query_map([], |row| read(row).map(|keyed| Arc::unwrap_or_clone(keyed.client)))?.collect()
        })
    }

    /// The client whose key has that prefix, unless it was revoked.
    pub fn by_prefix(&self, prefix: &str) -> Result<Option<KeyedClient>, DatabaseError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM client WHERE key_prefix = ?1 AND revoked_at IS NULL");
            connection.query_row(&sql, [prefix], read).optional()
        })
    }

    /// Notes that a key was used.
    pub fn used(&self, id: Uuid, now: Timestamp) -> Result<(), DatabaseError> {
        self.read(|connection| {
            connection.execute("UPDATE client SET last_used_at = ?2 WHERE id = ?1", params![id.as_bytes(), now.0]).map(drop)
        })
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, DatabaseError> {
        let mut kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match kept.take() {
            Some(connection) => connection,
            None => db::connect(&self.database, Synchronous::Full)?,
        };
        // Kept only when the work succeeded: what failed may have left a transaction open.
        let done = work(&connection).map_err(|source| self.failed(source))?;
        *kept = Some(connection);
        Ok(done)
    }

    fn write(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), DatabaseError> {
        self.read(|connection| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            work(connection)?;
            connection.execute_batch("COMMIT")
        })
    }

    fn failed(&self, source: rusqlite::Error) -> DatabaseError {
        DatabaseError::Sqlite { path: self.database.display().to_string(), source }
    }
}

const COLUMNS: &str = "id, service, name, key_prefix, key_hash, scopes, created_at, last_used_at, revoked_at";

fn read(row: &Row<'_>) -> rusqlite::Result<KeyedClient> {
    let scopes: String = row.get(5)?;
    let client = Client {
        id: Uuid::from_bytes(row.get(0)?),
        service: row.get(1)?,
        name: row.get(2)?,
        key_prefix: row.get(3)?,
        scopes: scopes.split(' ').filter_map(Scope::parse).collect(),
        created_at: Timestamp(row.get(6)?),
        last_used_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        revoked_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
    };
    Ok(KeyedClient { client: Arc::new(client), key_hash: row.get(4)? })
}

fn record(connection: &Connection, client: Uuid, revision: u32, kind: EventKind, at: Timestamp) -> rusqlite::Result<()> {
    let event = Event { about: client, revision, at, kind, origin: Origin::default(), detail: None };
    insert_event(connection, &event).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
