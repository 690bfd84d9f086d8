//! `factor`: authenticator apps, passkeys, recovery codes.

use uuid::Uuid;

use super::account::{Securing, secure};
use super::event::{NewEvent, note};
use super::{AccountTables, lock_account, uuid};
use crate::account::model::{AccountId, Method};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, Change, DataError, statement};

/// Wrong codes in a row after which a factor is judged no more until it is made anew (ATT-02).
const FAILURES_HARD: i64 = 50;
/// From here on it rests after each wrong one.
const FAILURES_SOFT: i64 = 10;
/// How long, in milliseconds, for each wrong code beyond that; an hour at most.
const REST: i64 = 30_000;
/// An hour.
const REST_LONGEST: i64 = 3_600_000;

/// A factor.
#[derive(Clone)]
pub struct FactorRow {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub account: AccountId,
    /// totp, passkey or recovery_code.
    pub method: Method,
    /// The person's own name for it.
    pub name: String,
    /// Sealed, public or hashed, by its kind.
    pub secret: String,
    /// Found by it.
    pub selector: Option<String>,
    /// Last step, or signature counter.
    pub counter: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it counts.
    pub confirmed_at: Option<Timestamp>,
}

/// Without what opens an account (LOG-02).
impl std::fmt::Debug for FactorRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FactorRow")
            .field("id", &self.id)
            .field("account", &self.account)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A factor to be made.
#[derive(Clone)]
pub struct NewFactor {
    /// Its id.
    pub id: Uuid,
    /// totp, passkey or recovery_code.
    pub method: Method,
    /// The person's own name for it.
    pub name: String,
    /// Sealed, public or hashed, by its kind.
    pub secret: String,
    /// Found by it.
    pub selector: Option<String>,
    /// Signature counter.
    pub counter: i64,
    /// Whether it counts at once.
    pub is_confirmed: bool,
}

/// Without what opens an account (LOG-02).
impl std::fmt::Debug for NewFactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewFactor").field("id", &self.id).field("method", &self.method).finish_non_exhaustive()
    }
}

const COLUMNS: &str = "SELECT id, account_id, kind, name, secret, selector, counter, created_at, confirmed_at FROM factor";

type Row = (String, String, String, String, String, Option<String>, i64, i64, Option<i64>);

fn factor((id, account, kind, name, secret, selector, counter, created_at, confirmed_at): Row) -> FactorRow {
    let method = match kind.as_str() {
        "passkey" => Method::Passkey,
        "recovery_code" => Method::RecoveryCode,
        _ => Method::Totp,
    };
    let (created_at, confirmed_at) = (Timestamp(created_at), confirmed_at.map(Timestamp));
    FactorRow { id: uuid(&id), account: uuid(&account), method, name, secret, selector, counter, created_at, confirmed_at }
}

async fn insert(change: &mut Change, account: AccountId, new: &NewFactor, now: Timestamp) -> Result<(), DataError> {
    let sql = "INSERT INTO factor (id, account_id, kind, name, secret, selector, counter, failures, closed_until, created_at, \
               confirmed_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?)";
    let query = statement(sql).bind(new.id.to_string()).bind(account.to_string()).bind(new.method.as_str());
    let query = query.bind(&new.name).bind(&new.secret).bind(new.selector.as_deref()).bind(new.counter);
    query.bind(now.0).bind(new.is_confirmed.then_some(now.0)).execute(change).await.map(drop)
}

impl AccountTables {
    /// The factors of an account that are not used up, the oldest first; those that wait for their first code too.
    pub async fn factors(&self, account: AccountId) -> Result<Vec<FactorRow>, DataError> {
        let sql = format!("{COLUMNS} WHERE account_id = ? AND used_at IS NULL ORDER BY created_at, id");
        let query = statement(AssertSqlSafe(sql)).bind(account.to_string());
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(factor).collect())
    }

    /// The passkey with that id, whosever it is: for a sign-in that begins with it.
    pub async fn passkey(&self, credential: &str) -> Result<Option<FactorRow>, DataError> {
        let sql = format!("{COLUMNS} WHERE selector = ? AND kind = 'passkey'");
        let query = statement(AssertSqlSafe(sql)).bind(credential);
        let row: Option<Row> = query.fetch_optional(&self.database).await?;
        Ok(row.map(factor))
    }

    /// Adds factors. `instead_of`: all of that kind go first (recovery codes: REC-02), or those that were never confirmed
    /// (authenticator apps).
    pub async fn add_factors(
        &self,
        account: AccountId,
        new: &[NewFactor],
        instead_of: Option<Method>,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<(), DataError> {
        self.database.retrying(|| self.add_factors_once(account, new, instead_of, now, event)).await
    }

    async fn add_factors_once(
        &self,
        account: AccountId,
        new: &[NewFactor],
        instead_of: Option<Method>,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<(), DataError> {
        let mut change = self.change().await?;
        // Of two that come in place of what was there, the later one comes in place of the earlier.
        lock_account(&mut change, account).await?;
        if let Some(method) = instead_of {
            let all = if method == Method::RecoveryCode { "" } else { " AND confirmed_at IS NULL" };
            let sql = format!("DELETE FROM factor WHERE account_id = ? AND kind = ?{all}");
            statement(AssertSqlSafe(sql)).bind(account.to_string()).bind(method.as_str()).execute(&mut change).await?;
        }
        for factor in new {
            insert(&mut change, account, factor, now).await?;
        }
        if let Some(event) = event {
            note(&mut change, event).await?;
        }
        change.commit().await
    }

    /// Adds a passkey, which counts at once.
    pub async fn add_passkey(&self, account: AccountId, new: &NewFactor, now: Timestamp, securing: Securing<'_>) -> Result<(), DataError> {
        let work = || async {
            let mut change = self.change().await?;
            lock_account(&mut change, account).await?;
            insert(&mut change, account, new, now).await?;
            secure(&mut change, account, securing).await?;
            change.commit().await
        };
        self.database.retrying(work).await
    }

    /// The first code of an authenticator app was right: it counts from now on, and the step of that code is used (TOTP-02). True
    /// for one caller only.
    pub async fn confirm_factor(
        &self,
        factor: &FactorRow,
        step: i64,
        name: &str,
        now: Timestamp,
        securing: Securing<'_>,
    ) -> Result<bool, DataError> {
        self.database.retrying(|| self.confirm_factor_once(factor, step, name, now, securing)).await
    }

    async fn confirm_factor_once(
        &self,
        factor: &FactorRow,
        step: i64,
        name: &str,
        now: Timestamp,
        securing: Securing<'_>,
    ) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        lock_account(&mut change, factor.account).await?;
        let sql = "UPDATE factor SET counter = ?, name = ?, failures = 0, closed_until = 0, confirmed_at = ? \
                   WHERE id = ? AND confirmed_at IS NULL AND counter < ?";
        let query = statement(sql).bind(step).bind(name).bind(now.0).bind(factor.id.to_string()).bind(step);
        if query.execute(&mut change).await? != 1 {
            return Ok(false);
        }
        secure(&mut change, factor.account, securing).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Counts a code before it is judged (ATT-04). False: it rests after too many wrong ones, or is closed.
    pub async fn attempt_factor(&self, id: Uuid, now: Timestamp) -> Result<bool, DataError> {
        // In this order: MySQL sees what stands before it as changed already.
        let sql = "UPDATE factor SET closed_until = CASE WHEN failures + 1 < ? THEN 0 \
                   WHEN (failures + 2 - ?) * ? > ? THEN ? + ? ELSE ? + (failures + 2 - ?) * ? END, failures = failures + 1 \
                   WHERE id = ? AND failures < ? AND closed_until <= ?";
        let query = statement(sql).bind(FAILURES_SOFT).bind(FAILURES_SOFT).bind(REST).bind(REST_LONGEST);
        let query = query.bind(now.0).bind(REST_LONGEST).bind(now.0).bind(FAILURES_SOFT).bind(REST);
        let query = query.bind(id.to_string()).bind(FAILURES_HARD).bind(now.0);
        Ok(query.execute(&self.database).await? == 1)
    }

    /// The code was right, and its step is newer than any before: true for one caller only (TOTP-02). A passkey's counter
    /// moves the same way, where it counts at all. `counted`: other apps of the person, for which the same code was counted just
    /// before. It was none of theirs, and no wrong one either: what was counted is given back, and nothing more (ATT-09).
    pub async fn accept_factor(&self, id: Uuid, counter: i64, counted: &[Uuid]) -> Result<bool, DataError> {
        self.database.retrying(|| self.accept_factor_once(id, counter, counted)).await
    }

    async fn accept_factor_once(&self, id: Uuid, counter: i64, counted: &[Uuid]) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        let sql = "UPDATE factor SET counter = ?, failures = 0, closed_until = 0 \
                   WHERE id = ? AND confirmed_at IS NOT NULL AND (counter < ? OR (kind = 'passkey' AND counter = 0 AND ? = 0))";
        let query = statement(sql).bind(counter).bind(id.to_string()).bind(counter).bind(counter);
        if query.execute(&mut change).await? != 1 {
            return Ok(false);
        }
        for other in counted {
            // It did not rest when the code was counted.
            let sql = "UPDATE factor SET failures = failures - 1, closed_until = 0 WHERE id = ? AND failures > 0";
            statement(sql).bind(other.to_string()).execute(&mut change).await?;
        }
        change.commit().await?;
        Ok(true)
    }

    /// Uses a recovery code up: true for one caller only, ever (REC-01, A27).
    pub async fn use_factor(&self, id: Uuid, now: Timestamp) -> Result<bool, DataError> {
        let query = statement("UPDATE factor SET used_at = ? WHERE id = ? AND used_at IS NULL").bind(now.0).bind(id.to_string());
        Ok(query.execute(&self.database).await? == 1)
    }

    /// Takes a factor from an account. True when it was there.
    pub async fn remove_factor(&self, account: AccountId, id: Uuid, securing: Securing<'_>) -> Result<bool, DataError> {
        self.database.retrying(|| self.remove_factor_once(account, id, securing)).await
    }

    async fn remove_factor_once(&self, account: AccountId, id: Uuid, securing: Securing<'_>) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        lock_account(&mut change, account).await?;
        let query = statement("DELETE FROM factor WHERE id = ? AND account_id = ?").bind(id.to_string()).bind(account.to_string());
        if query.execute(&mut change).await? != 1 {
            return Ok(false);
        }
        secure(&mut change, account, securing).await?;
        change.commit().await?;
        Ok(true)
    }
}
