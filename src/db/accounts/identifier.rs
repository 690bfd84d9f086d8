//! `identifier`: numbers and addresses, claimed and proven.

use uuid::Uuid;

use super::account::{Securing, secure};
use super::event::note;
use super::{AccountTables, lock_account, uuid};
use crate::account::model::{AccountId, Identifier, IdentifierKind};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, Change, DataError, statement};

/// What came of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proving {
    /// The account owns it now, or did before.
    Owned,
    /// Another account proved it first.
    OfAnother,
    /// The claim is gone.
    Gone,
}

pub(super) const COLUMNS: &str = "SELECT id, account_id, kind, value, origin, claimed_at, proven_at FROM identifier";

pub(super) type Row = (String, String, String, String, String, i64, Option<i64>);

pub(super) fn identifier((id, account, kind, value, origin, claimed_at, proven_at): Row) -> Identifier {
    Identifier {
        id: uuid(&id),
        account: uuid(&account),
        kind: if kind == "phone" { IdentifierKind::Phone } else { IdentifierKind::Email },
        value,
        is_registered: origin == "registered",
        claimed_at: Timestamp(claimed_at),
        proven_at: proven_at.map(Timestamp),
    }
}

/// Writes a claim as part of a change. What is proven is owned.
pub(super) async fn claim(change: &mut Change, new: &Identifier) -> Result<(), DataError> {
    let insert =
        "INSERT INTO identifier (id, account_id, kind, value, origin, claimed_at, proven_at, owned_value) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let origin = if new.is_registered { "registered" } else { "added" };
    let query = statement(insert).bind(new.id).bind(new.account).bind(new.kind.as_str()).bind(&new.value).bind(origin);
    let owned = new.proven_at.map(|_| new.value.clone());
    query.bind(new.claimed_at).bind(new.proven_at).bind(owned).execute(change).await.map(drop)
}

/// Whether an account that has these others can do without this one: somebody who owns something goes on owning something, and
/// whoever signs in by what was registered can go on doing so.
fn is_to_spare(named: &Identifier, others: &[Identifier]) -> bool {
    let is_proven = |one: &Identifier| one.proven_at.is_some();
    match (is_proven(named), named.is_registered) {
        (true, _) => others.iter().any(is_proven),
        (false, true) => others.iter().any(|one| is_proven(one) || one.is_registered),
        // Nobody is found by a claim that came later, before it is proven.
        (false, false) => true,
    }
}

impl AccountTables {
    /// What an account names as its own, the oldest first.
    pub async fn identifiers(&self, account: AccountId) -> Result<Vec<Identifier>, DataError> {
        let sql = format!("{COLUMNS} WHERE account_id = ? ORDER BY claimed_at, id");
        let query = statement(AssertSqlSafe(sql)).bind(account.to_string());
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(identifier).collect())
    }

    /// Claims one more, of `most`; the one that is there when the account has it already. None: it would be one too many.
    pub async fn add_identifier(&self, new: &Identifier, most: usize) -> Result<Option<Identifier>, DataError> {
        self.database.retrying(|| self.add_identifier_once(new, most)).await
    }

    async fn add_identifier_once(&self, new: &Identifier, most: usize) -> Result<Option<Identifier>, DataError> {
        let mut change = self.change().await?;
        change.lock(&[&new.value]).await?;
        // Of two that are claimed at once, the second counts the first.
        lock_account(&mut change, new.account).await?;
        let all = format!("{COLUMNS} WHERE account_id = ?");
        let all: Vec<Row> = statement(AssertSqlSafe(all)).bind(new.account.to_string()).fetch_all(&mut change).await?;
        let count = all.len();
        if let Some(found) = all.into_iter().map(identifier).find(|found| found.value == new.value) {
            return Ok(Some(found));
        }
        if count >= most {
            return Ok(None);
        }
        claim(&mut change, new).await?;
        change.commit().await?;
        Ok(Some(new.clone()))
    }

    /// A code sent there came back: the account owns it, and what others claimed of it without proof is dropped (A43).
    pub async fn prove(&self, account: AccountId, id: Uuid, now: Timestamp, securing: Securing<'_>) -> Result<Proving, DataError> {
        self.database.retrying(|| self.prove_once(account, id, now, securing)).await
    }

    async fn prove_once(&self, account: AccountId, id: Uuid, now: Timestamp, securing: Securing<'_>) -> Result<Proving, DataError> {
        let mut change = self.change().await?;
        let proving = prove(&mut change, account, id, now).await?;
        if proving != Proving::Owned {
            return Ok(proving);
        }
        lock_account(&mut change, account).await?;
        secure(&mut change, account, securing).await?;
        change.commit().await?;
        Ok(proving)
    }

    /// Takes one from an account, unless it is the last that is proven, or the last that the account is found by. True when it did.
    pub async fn remove_identifier(&self, account: AccountId, id: Uuid, securing: Securing<'_>) -> Result<bool, DataError> {
        self.database.retrying(|| self.remove_identifier_once(account, id, securing)).await
    }

    async fn remove_identifier_once(&self, account: AccountId, id: Uuid, securing: Securing<'_>) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        // Of two that are removed at once, the second sees that it is the last.
        lock_account(&mut change, account).await?;
        let all = format!("{COLUMNS} WHERE account_id = ? FOR UPDATE");
        let all: Vec<Row> = statement(AssertSqlSafe(all)).bind(account.to_string()).fetch_all(&mut change).await?;
        let (named, others): (Vec<_>, Vec<_>) = all.into_iter().map(identifier).partition(|one| one.id == id);
        let Some(named) = named.first().filter(|named| is_to_spare(named, &others)) else { return Ok(false) };
        statement("DELETE FROM identifier WHERE id = ?").bind(id.to_string()).execute(&mut change).await?;
        if named.proven_at.is_some() {
            secure(&mut change, account, securing).await?;
        } else {
            note(&mut change, securing.event).await?;
        }
        change.commit().await?;
        Ok(true)
    }
}

/// The same as part of a change.
pub(super) async fn prove(change: &mut Change, account: AccountId, identifier: Uuid, now: Timestamp) -> Result<Proving, DataError> {
    let (id, account) = (identifier.to_string(), account.to_string());
    let named = statement("SELECT value FROM identifier WHERE id = ? AND account_id = ?").bind(&id).bind(&account);
    let named: Option<(String,)> = named.fetch_optional(&mut *change).await?;
    let Some((value,)) = named else { return Ok(Proving::Gone) };
    // One proof of it at a time, and no new claim to it meanwhile: it may be gone when it is our turn.
    change.lock(&[&value]).await?;
    let find = "SELECT value, proven_at FROM identifier WHERE id = ? AND account_id = ? FOR UPDATE";
    let found: Option<(String, Option<i64>)> = statement(find).bind(&id).bind(&account).fetch_optional(&mut *change).await?;
    let Some((value, proven_at)) = found else { return Ok(Proving::Gone) };
    if proven_at.is_some() {
        return Ok(Proving::Owned);
    }
    let own = statement("UPDATE identifier SET proven_at = ?, owned_value = value WHERE id = ?").bind(now.0).bind(&id);
    match own.execute(&mut *change).await {
        Ok(_) => {}
        Err(error) if error.is_refused_by("identifier_has_one_owner", "owned_value") => return Ok(Proving::OfAnother),
        Err(error) => return Err(error),
    }
    let others = "SELECT account_id FROM identifier WHERE value = ? AND id <> ?";
    let others: Vec<(String,)> = statement(others).bind(&value).bind(&id).fetch_all(&mut *change).await?;
    let claims = "DELETE FROM identifier WHERE value = ? AND id <> ?";
    statement(claims).bind(&value).bind(&id).execute(&mut *change).await?;
    for (other,) in others {
        // An account that claimed nothing else was never anybody's.
        lock_account(change, uuid(&other)).await?;
        let empty = "DELETE FROM account WHERE id = ? AND NOT EXISTS (SELECT 1 FROM identifier i WHERE i.account_id = account.id)";
        statement(empty).bind(other).execute(&mut *change).await?;
    }
    Ok(Proving::Owned)
}
