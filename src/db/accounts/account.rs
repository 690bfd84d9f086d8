//! `account`: who there is, and their passwords.

use uuid::Uuid;

use super::event::{NewEvent, note};
use super::identifier::{Proving, claim, prove};
use super::{AccountTables, lock_account, uuid};
use crate::account::model::{Account, AccountId, Identifier, IdentifierKind};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, Change, DataError, statement};

/// Accounts that proved something and claim a number or address that nobody owns: of so many the passwords are tried.
const PROVEN_CLAIMS: i64 = 5;
/// The same of accounts that proved nothing, beside the newest.
const EARLY_CLAIMS: i64 = 2;

/// An account to be made.
#[derive(Clone)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    /// May be empty.
    pub full_name: String,
    /// BCP 47.
    pub locale: String,
    /// PHC string.
    pub password: Option<String>,
    /// When it goes, if nobody signed in to it by then.
    pub unproven_until: Option<Timestamp>,
    /// Its numbers and addresses: id, kind, canonical value.
    pub identifiers: Vec<(Uuid, IdentifierKind, String)>,
}

/// Without what opens an account (LOG-02).
impl std::fmt::Debug for NewAccount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What came of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registering {
    /// It is made.
    Made,
    /// Somebody has that number or address, or has just claimed it.
    Taken(IdentifierKind),
}

/// Another password, and what ends with the old one (SES-05).
#[derive(Clone)]
pub struct NewPassword {
    /// Whose.
    pub account: AccountId,
    /// PHC string.
    pub password: String,
    /// The identifier whose code alone allowed it: with it as the second factor nothing more is proven (REC-03).
    pub reset_by: Option<Uuid>,
    /// The session that may go on.
    pub keep: Option<Uuid>,
    /// When.
    pub now: Timestamp,
}

/// Without what opens an account (LOG-02).
impl std::fmt::Debug for NewPassword {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewPassword").field("account", &self.account).field("keep", &self.keep).finish_non_exhaustive()
    }
}

/// A change of factors, numbers or addresses: every other session ends with it, or nothing of it is done (SES-05).
#[derive(Debug, Clone, Copy)]
pub struct Securing<'a> {
    /// The session that goes on.
    pub keep: Uuid,
    /// What the log says.
    pub event: &'a NewEvent,
}

pub(super) const COLUMNS: &str =
    "a.id, a.full_name, a.locale, a.roles, a.status, a.password, a.password_reset_by, a.password_changed_at, a.created_at";

pub(super) type Row = (String, String, String, String, String, Option<String>, Option<String>, i64, i64);

pub(super) fn account((id, full_name, locale, roles, status, password, reset_by, password_changed_at, created_at): Row) -> Account {
    Account {
        id: uuid(&id),
        full_name,
        locale: locale.into(),
        roles: roles.split_whitespace().map(str::to_owned).collect(),
        is_active: status == "active",
        password,
        password_reset_by: reset_by.map(|id| uuid(&id)),
        password_changed_at: Timestamp(password_changed_at),
        created_at: Timestamp(created_at),
    }
}

/// Makes an account with its claims as part of a change. `is_proven`: another system has proven them.
pub(in crate::db) async fn make(
    change: &mut Change,
    new: &NewAccount,
    is_proven: bool,
    created_at: Timestamp,
    now: Timestamp,
) -> Result<(), DataError> {
    let insert = "INSERT INTO account (id, full_name, locale, roles, status, password, password_changed_at, created_at, unproven_until) \
                  VALUES (?, ?, ?, '', 'active', ?, ?, ?, ?)";
    let query = statement(insert).bind(new.id).bind(&new.full_name).bind(&new.locale).bind(new.password.as_deref());
    query.bind(now).bind(created_at).bind(new.unproven_until).execute(&mut *change).await?;
    for (id, kind, value) in &new.identifiers {
        let proven_at = is_proven.then_some(now);
        let (id, kind, value) = (*id, *kind, value.clone());
        claim(change, &Identifier { id, account: new.id, kind, value, is_registered: true, claimed_at: now, proven_at }).await?;
    }
    Ok(())
}

impl AccountTables {
    /// Makes an account with its claims, or changes nothing. A claim younger than `fresh_since` by an account that has proven
    /// nothing keeps others from registering the same; an older one does not.
    pub async fn register(
        &self,
        new: &NewAccount,
        fresh_since: Timestamp,
        now: Timestamp,
        event: &NewEvent,
    ) -> Result<Registering, DataError> {
        self.database.retrying(|| self.register_once(new, fresh_since, now, event)).await
    }

    async fn register_once(
        &self,
        new: &NewAccount,
        fresh_since: Timestamp,
        now: Timestamp,
        event: &NewEvent,
    ) -> Result<Registering, DataError> {
        let mut change = self.change().await?;
        // What decides is that nobody has claimed them: there are no rows to lock.
        change.lock(&new.identifiers.iter().map(|(_, _, value)| value.as_str()).collect::<Vec<_>>()).await?;
        for (_, kind, value) in &new.identifiers {
            let taken = "SELECT COUNT(*) FROM identifier i WHERE i.value = ? AND (i.owned_value IS NOT NULL OR (i.origin = 'registered' \
                         AND i.claimed_at > ? AND NOT EXISTS (SELECT 1 FROM identifier o WHERE o.account_id = i.account_id \
                         AND o.proven_at IS NOT NULL)))";
            let (taken,): (i64,) = statement(taken).bind(value).bind(fresh_since.0).fetch_one(&mut change).await?;
            if taken > 0 {
                return Ok(Registering::Taken(*kind));
            }
        }
        make(&mut change, new, false, now, now).await?;
        note(&mut change, event).await?;
        change.commit().await?;
        Ok(Registering::Made)
    }

    /// One account.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, DataError> {
        let row: Option<Row> = statement(
            "SELECT id, full_name, locale, roles, status, password, password_reset_by, password_changed_at, created_at FROM account WHERE id = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.database)
        .await?;
        Ok(row.map(account))
    }

    /// Who may mean this number or address when they sign in: its owner alone; or else those who claimed it with their account,
    /// a few of each kind, so that no number of claims hides anybody (A43, A47). Of those who proved something else, the first
    /// [`PROVEN_CLAIMS`]; of those who proved nothing, whom only time tells apart, the first [`EARLY_CLAIMS`] and the newest. The
    /// owner comes first, and whoever claimed it first before later ones. Accounts that are disabled are not among them.
    pub async fn candidates(&self, value: &str) -> Result<Vec<Account>, DataError> {
        // 0: owns it; 1: proved something else; 2: proved nothing.
        let claims = "SELECT i.id, i.account_id, i.claimed_at, CASE WHEN i.owned_value IS NOT NULL THEN 0 WHEN EXISTS (SELECT 1 FROM \
                      identifier p WHERE p.account_id = i.account_id AND p.proven_at IS NOT NULL) THEN 1 ELSE 2 END AS standing \
                      FROM identifier i JOIN account h ON h.id = i.account_id WHERE i.value = ? AND h.status = 'active' \
                      AND (i.owned_value IS NOT NULL OR (i.origin = 'registered' \
                      AND NOT EXISTS (SELECT 1 FROM identifier o WHERE o.owned_value = i.value)))";
        let ranked = format!(
            "SELECT account_id, standing, ROW_NUMBER() OVER (PARTITION BY standing ORDER BY claimed_at, id) AS place, \
             ROW_NUMBER() OVER (PARTITION BY standing ORDER BY claimed_at DESC, id DESC) AS from_the_end FROM ({claims}) claims"
        );
        let sql = format!(
            "SELECT {COLUMNS} FROM ({ranked}) c JOIN account a ON a.id = c.account_id WHERE c.standing = 0 \
             OR (c.standing = 1 AND c.place <= ?) OR (c.standing = 2 AND (c.place <= ? OR c.from_the_end = 1)) ORDER BY c.standing, c.place"
        );
        let query = statement(AssertSqlSafe(sql)).bind(value).bind(PROVEN_CLAIMS).bind(EARLY_CLAIMS);
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(account).collect())
    }

    /// Whether any other account claims this number or address as well.
    pub async fn is_claimed_beside(&self, account: AccountId, value: &str) -> Result<bool, DataError> {
        let sql = "SELECT COUNT(*) FROM identifier i WHERE i.value = ? AND i.account_id <> ? \
                   AND (i.origin = 'registered' OR i.owned_value IS NOT NULL)";
        let (others,): (i64,) = statement(sql).bind(value).bind(account.to_string()).fetch_one(&self.database).await?;
        Ok(others > 0)
    }

    /// The same password in a better hash; nothing when it was changed in the meantime.
    pub async fn upgrade_password(&self, account: AccountId, old: &str, new: &str) -> Result<(), DataError> {
        let query = statement("UPDATE account SET password = ? WHERE id = ? AND password = ?");
        query.bind(new).bind(account.to_string()).bind(old).execute(&self.database).await.map(drop)
    }

    /// Another password. Every session but one ends, and with them their refresh tokens, flows and remembered browsers.
    pub async fn set_password(&self, new: &NewPassword, event: &NewEvent) -> Result<(), DataError> {
        self.database.retrying(|| self.set_password_once(new, event)).await
    }

    async fn set_password_once(&self, new: &NewPassword, event: &NewEvent) -> Result<(), DataError> {
        let mut change = self.change().await?;
        set_password(&mut change, new).await?;
        note(&mut change, event).await?;
        change.commit().await
    }

    /// The same for a code that came back from `identifier`, which the account owns from now on. All of it or nothing: an account
    /// that is owned before its password, sessions and factors are the owner's would be whose they were (A43).
    pub async fn reset_password(
        &self,
        new: &NewPassword,
        identifier: Uuid,
        proven: &NewEvent,
        reset: &NewEvent,
    ) -> Result<Proving, DataError> {
        self.database.retrying(|| self.reset_password_once(new, identifier, proven, reset)).await
    }

    async fn reset_password_once(
        &self,
        new: &NewPassword,
        identifier: Uuid,
        proven: &NewEvent,
        reset: &NewEvent,
    ) -> Result<Proving, DataError> {
        let mut change = self.change().await?;
        lock_account(&mut change, new.account).await?;
        let before = "SELECT COUNT(*) FROM identifier WHERE account_id = ? AND proven_at IS NOT NULL";
        let (before,): (i64,) = statement(before).bind(new.account.to_string()).fetch_one(&mut change).await?;
        let proving = prove(&mut change, new.account, identifier, new.now).await?;
        if proving != Proving::Owned {
            return Ok(proving);
        }
        if before == 0 {
            // Whoever claimed it before may not be who proves it now: what they enrolled opens nothing any more (A43).
            let factors = statement("DELETE FROM factor WHERE account_id = ?").bind(new.account.to_string());
            factors.execute(&mut change).await?;
        }
        set_password(&mut change, new).await?;
        note(&mut change, proven).await?;
        note(&mut change, reset).await?;
        change.commit().await?;
        Ok(Proving::Owned)
    }
}

async fn set_password(change: &mut Change, new: &NewPassword) -> Result<(), DataError> {
    let sql = "UPDATE account SET password = ?, password_changed_at = ?, password_reset_by = ? WHERE id = ?";
    let reset_by = new.reset_by.map(|id| id.to_string());
    let query = statement(sql).bind(&new.password).bind(new.now.0).bind(reset_by).bind(new.account.to_string());
    query.execute(&mut *change).await?;
    end_flows(change, new.account).await?;
    end_sessions(change, new.account, new.keep).await?;
    // Those of the session that goes on, too: it gets another one when it asks.
    let tokens = "DELETE FROM refresh_token WHERE session_id IN (SELECT id FROM session WHERE account_id = ?)";
    statement(tokens).bind(new.account.to_string()).execute(change).await.map(drop)
}

/// Ends whatever somebody has begun for an account: sign-ins half way, resets.
pub(super) async fn end_flows(change: &mut Change, account: AccountId) -> Result<(), DataError> {
    statement("DELETE FROM flow WHERE account_id = ?").bind(account.to_string()).execute(change).await.map(drop)
}

/// Ends every session of an account but one, and what hangs on them: refresh tokens, remembered browsers.
pub(super) async fn end_sessions(change: &mut Change, account: AccountId, keep: Option<Uuid>) -> Result<u64, DataError> {
    let account = account.to_string();
    let keep = keep.map(|id| id.to_string()).unwrap_or_default();
    statement("DELETE FROM browser WHERE account_id = ?").bind(&account).execute(&mut *change).await?;
    let tokens = "DELETE FROM refresh_token WHERE session_id IN (SELECT id FROM session WHERE account_id = ? AND id <> ?)";
    statement(tokens).bind(&account).bind(&keep).execute(&mut *change).await?;
    let sessions = statement("DELETE FROM session WHERE account_id = ? AND id <> ?").bind(&account).bind(&keep);
    sessions.execute(&mut *change).await
}

/// Ends, as part of a change of factors, numbers or addresses, every other session, and sign-ins half way, which were asked for what
/// counted before (MFA-02). A reset goes on: it is the owner's way back from whoever made that change.
pub(super) async fn secure(change: &mut Change, account: AccountId, securing: Securing<'_>) -> Result<(), DataError> {
    let sign_ins = statement("DELETE FROM flow WHERE account_id = ? AND kind = 'sign-in'").bind(account.to_string());
    sign_ins.execute(&mut *change).await?;
    end_sessions(change, account, Some(securing.keep)).await?;
    note(change, securing.event).await
}
