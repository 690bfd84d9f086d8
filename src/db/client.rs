//! `client`: callers of the API, and their keys.
//!
//! A key reads `csk_PREFIX_SECRET`: the prefix finds the row, the secret (256 random bits) is stored as SHA-256 only and
//! compared in constant time. A plain hash will do for a secret that nobody can guess (REC-01 says the same from 112 bits).

mod takeover;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::accounts::{NewEvent, note};
use crate::db::database::{AssertSqlSafe, Change, DataError, Database, statement};
use crate::id;
use crate::secret::{Entropy, Redacted};
use crate::verification::model::EventKind;

pub use takeover::take_over;

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
    /// Make, change and remove services of its own, and their limits.
    #[serde(rename = "services:write")]
    Services,
    /// See people's accounts and sessions.
    #[serde(rename = "accounts:read")]
    AccountsRead,
    /// Switch accounts off and on, give roles, end sessions.
    #[serde(rename = "accounts:write")]
    AccountsWrite,
    /// Send and validate codes by CAMARA's one-time-password-sms.
    #[serde(rename = "one-time-password-sms:send-validate")]
    OneTimePasswordSms,
    /// Send texts of one's own.
    #[serde(rename = "messages:send")]
    Messages,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 9] = [
        Scope::Write,
        Scope::Read,
        Scope::Release,
        Scope::Introspect,
        Scope::Services,
        Scope::AccountsRead,
        Scope::AccountsWrite,
        Scope::OneTimePasswordSms,
        Scope::Messages,
    ];
    /// What a key gets when none is named: the server's own API, without people's accounts. Those, and another face's scope, somebody
    /// has to want by name.
    pub const USUAL: [Scope; 4] = [Scope::Write, Scope::Read, Scope::Release, Scope::Introspect];

    /// The name as it appears outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Write => "verifications:write",
            Scope::Read => "verifications:read",
            Scope::Release => "failures:release",
            Scope::Introspect => "tokens:introspect",
            Scope::Services => "services:write",
            Scope::AccountsRead => "accounts:read",
            Scope::AccountsWrite => "accounts:write",
            Scope::OneTimePasswordSms => "one-time-password-sms:send-validate",
            Scope::Messages => "messages:send",
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

/// The prefix of a well-formed key: everything else is nobody's, and no database need be asked.
pub fn prefix_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("csk_")?;
    let (prefix, secret) = rest.split_once('_')?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_one = prefix.len() == 12 && prefix.bytes().all(hex) && secret.len() == 43 && secret.bytes().all(base64);
    is_one.then_some(prefix)
}

/// The table of clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clients {
    database: Database,
}

impl Clients {
    /// The clients in that database.
    pub fn new(database: Database) -> Clients {
        Clients { database }
    }

    /// Makes a client, and the only copy of its key.
    pub async fn create(
        &self,
        service: &str,
        name: &str,
        scopes: &[Scope],
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<(Client, Redacted<String>), DataError> {
        let id = id::new(now, entropy);
        let (mut prefix, mut secret) = ([0; 6], [0; 32]);
        entropy.fill(&mut prefix);
        entropy.fill(&mut secret);
        let key_prefix: String = prefix.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("csk_{key_prefix}_{}", URL_SAFE_NO_PAD.encode(secret));
        let client = Client {
            id,
            service: service.into(),
            name: name.to_owned(),
            key_prefix,
            scopes: scopes.to_vec(),
            created_at: now,
            last_used_at: None,
            revoked_at: None,
        };
        let hash = Sha256::digest(key.as_bytes());
        self.database
            .retrying(|| async {
                let mut change = self.database.change().await?;
                insert(&mut change, &client, &hash).await?;
                record(&mut change, client.id, EventKind::ClientCreated, now).await?;
                change.commit().await
            })
            .await?;
        Ok((client, Redacted::new(key)))
    }

    /// Revokes a client by its id or the prefix of its key. `None`: no such client, or revoked before.
    pub async fn revoke(&self, id_or_prefix: &str, now: Timestamp) -> Result<Option<Client>, DataError> {
        let wanted = id_or_prefix.strip_prefix("csk_").unwrap_or(id_or_prefix);
        let clients = self.list().await?.into_iter();
        let found = clients.into_iter().find(|client| client.id.to_string() == wanted || client.key_prefix == wanted);
        let Some(mut client) = found else { return Ok(None) };
        let revoked = self.database.retrying(|| async {
            let mut change = self.database.change().await?;
            let revoke = statement("UPDATE client SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL").bind(now).bind(client.id);
            let revoked = revoke.execute(&mut change).await? == 1;
            if revoked {
                record(&mut change, client.id, EventKind::ClientRevoked, now).await?;
            }
            change.commit().await?;
            Ok(revoked)
        });
        let revoked = revoked.await?;
        client.revoked_at = Some(now);
        Ok(revoked.then_some(client))
    }

    /// Every client, oldest first.
    pub async fn list(&self) -> Result<Vec<Client>, DataError> {
        let rows: Vec<Row> = statement(AssertSqlSafe(format!("{COLUMNS} ORDER BY id"))).fetch_all(&self.database).await?;
        Ok(rows.into_iter().filter_map(read).map(|keyed| Arc::unwrap_or_clone(keyed.client)).collect())
    }

    /// The client whose key has that prefix, unless it was revoked.
    pub async fn by_prefix(&self, prefix: &str) -> Result<Option<KeyedClient>, DataError> {
        let query = statement(AssertSqlSafe(format!("{COLUMNS} WHERE key_prefix = ? AND revoked_at IS NULL"))).bind(prefix);
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.and_then(read))
    }

    /// The client with that id, unless it was revoked.
    pub async fn by_id(&self, id: Uuid) -> Result<Option<Client>, DataError> {
        let query = statement(AssertSqlSafe(format!("{COLUMNS} WHERE id = ? AND revoked_at IS NULL"))).bind(id);
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.and_then(read).map(|keyed| Arc::unwrap_or_clone(keyed.client)))
    }

    /// Notes that a key was used.
    pub async fn used(&self, id: Uuid, now: Timestamp) -> Result<(), DataError> {
        let query = statement("UPDATE client SET last_used_at = ? WHERE id = ?").bind(now).bind(id);
        query.execute(&self.database).await.map(drop)
    }
}

const COLUMNS: &str = "SELECT id, service, name, key_prefix, key_hash, scopes, created_at, last_used_at, revoked_at FROM client";

type Row = (String, String, String, String, String, String, i64, Option<i64>, Option<i64>);

/// None for a row that only a hand in the database can have made so: a key without its hash opens nothing.
fn read((id, service, name, key_prefix, key_hash, scopes, created_at, last_used_at, revoked_at): Row) -> Option<KeyedClient> {
    let client = Client {
        id: Uuid::try_parse(&id).ok()?,
        service: service.into(),
        name,
        key_prefix,
        scopes: scopes.split(' ').filter_map(Scope::parse).collect(),
        created_at: Timestamp(created_at),
        last_used_at: last_used_at.map(Timestamp),
        revoked_at: revoked_at.map(Timestamp),
    };
    Some(KeyedClient { client: Arc::new(client), key_hash: URL_SAFE_NO_PAD.decode(key_hash).ok()?.try_into().ok()? })
}

/// Leaves a client alone that is there already.
async fn insert(change: &mut Change, client: &Client, key_hash: &[u8]) -> Result<(), DataError> {
    let scopes = client.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
    let sql = "INSERT INTO client (id, service, name, key_prefix, key_hash, scopes, created_at, last_used_at, revoked_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let query = statement(sql).bind(client.id).bind(&*client.service).bind(&client.name).bind(&client.key_prefix);
    let query = query.bind(URL_SAFE_NO_PAD.encode(key_hash)).bind(scopes).bind(client.created_at);
    query.bind(client.last_used_at).bind(client.revoked_at).execute(change).await.map(drop)
}

/// For the audit log (LOG-01). Each happens to a client once, so that its id follows from the client's.
async fn record(change: &mut Change, client: Uuid, kind: EventKind, at: Timestamp) -> Result<(), DataError> {
    let mut random = [0; id::RANDOM_BYTES];
    random.copy_from_slice(&client.as_bytes()[6..]);
    random[9] ^= u8::from(kind == EventKind::ClientRevoked);
    let id = id::of(at, &random);
    let event = NewEvent { id, account: None, at, kind: kind.as_str(), address: String::new(), detail: format!("client {client}") };
    note(change, &event).await
}
