//! `signing_key`: the keys that sign tokens, as rows. Which of them signs, and for how long each is published, is decided in
//! [`crate::account::token::keys`]; here a decision and the rows that it was made from are one step.

use crate::clock::Timestamp;
use crate::db::database::{Database, statement};

pub use crate::db::database::DataError as Failed;

/// A key as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// `kid`.
    pub id: String,
    /// `alg`.
    pub algorithm: String,
    /// Sealed.
    pub secret: String,
    /// For people who look; nothing relies on it.
    pub public: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Signs from then on; published before.
    pub active_at: Timestamp,
    /// Published until then. None until there is a successor.
    pub retired_at: Option<Timestamp>,
}

/// What shall become of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// A new one.
    pub add: Option<SigningKeyRow>,
    /// Those that get an end.
    pub retire: Vec<(String, Timestamp)>,
    /// Those that have ended.
    pub remove: Vec<String>,
}

type Row = (String, String, String, String, i64, i64, Option<i64>);

const ALL: &str = "SELECT id, algorithm, secret, public, created_at, active_at, retired_at FROM signing_key ORDER BY active_at, id";

/// Every key, in the order in which they sign.
pub async fn all(database: &Database) -> Result<Vec<SigningKeyRow>, Failed> {
    let rows: Vec<Row> = statement(ALL).fetch_all(database).await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Reads every key, decides, and writes, with no other writer in between. Answers what is there then.
pub async fn change(database: &Database, decide: impl FnOnce(&[SigningKeyRow]) -> KeyChange + Send) -> Result<Vec<SigningKeyRow>, Failed> {
    let mut change = database.change().await?;
    change.lock(&["signing_key"]).await?;
    let rows: Vec<Row> = statement(ALL).fetch_all(&mut change).await?;
    let rows: Vec<_> = rows.into_iter().map(read).collect();
    let KeyChange { add, retire, remove } = decide(&rows);
    for (id, at) in retire {
        statement("UPDATE signing_key SET retired_at = ? WHERE id = ?").bind(at.0).bind(id).execute(&mut change).await?;
    }
    for id in remove {
        statement("DELETE FROM signing_key WHERE id = ?").bind(id).execute(&mut change).await?;
    }
    if let Some(key) = add {
        let insert =
            "INSERT INTO signing_key (id, algorithm, secret, public, created_at, active_at, retired_at) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let query = statement(insert).bind(key.id).bind(key.algorithm).bind(key.secret).bind(key.public);
        let query = query.bind(key.created_at.0).bind(key.active_at.0).bind(key.retired_at.map(|at| at.0));
        query.execute(&mut change).await?;
    }
    let rows: Vec<Row> = statement(ALL).fetch_all(&mut change).await?;
    change.commit().await?;
    Ok(rows.into_iter().map(read).collect())
}

fn read((id, algorithm, secret, public, created_at, active_at, retired_at): Row) -> SigningKeyRow {
    SigningKeyRow {
        id,
        algorithm,
        secret,
        public,
        created_at: Timestamp(created_at),
        active_at: Timestamp(active_at),
        retired_at: retired_at.map(Timestamp),
    }
}
