//! `session`: where people are signed in.

use uuid::Uuid;

use super::account::{end_flows, end_sessions};
use super::event::{NewEvent, note};
use super::identifier::{Proving, prove};
use super::{AccountTables, uuid};
use crate::account::model::{AccountId, Assurance, Session};
use crate::clock::Timestamp;
use crate::db::database::{AssertSqlSafe, Change, DataError, statement};

/// Live sessions of one account: the next sign-in ends the oldest.
const SESSIONS: i64 = 100;

/// A session to be made.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What it is.
    pub session: Session,
    /// Hash of its token.
    pub token_hash: String,
}

/// The end of a sign-in: all of it or nothing.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The session that comes of it.
    pub new: NewSession,
    /// The flow that ends. It may have counted another try meanwhile; that it is there makes one of two right answers the winner.
    pub flow: Option<String>,
    /// The identifier that a code proved.
    pub proven: Option<Uuid>,
    /// When the password that was shown was set. Another one since: no session.
    pub password_as_of: Option<i64>,
    /// The browser: hash of its token, when it is forgotten, until when it needs no second factor.
    pub browser: Option<(String, Timestamp, Timestamp)>,
    /// Two different factors were shown: whatever a reset left in doubt is settled.
    pub settles_reset: bool,
}

const COLUMNS: &str =
    "SELECT id, account_id, assurance, methods, created_at, authenticated_at, seen_at, expires_at, idle, address, agent FROM session";

type Row = (String, String, i64, String, i64, i64, i64, i64, i64, String, String);

pub(super) fn session(row: Row) -> Session {
    let (id, account, assurance, methods, created_at, authenticated_at, seen_at, expires_at, idle, address, agent) = row;
    Session {
        id: uuid(&id),
        account: uuid(&account),
        assurance: if assurance == 2 { Assurance::Aal2 } else { Assurance::Aal1 },
        methods: methods.split_whitespace().map(str::to_owned).collect(),
        created_at: Timestamp(created_at),
        authenticated_at: Timestamp(authenticated_at),
        seen_at: Timestamp(seen_at),
        expires_at: Timestamp(expires_at),
        idle,
        address,
        agent,
    }
}

/// Ends those of the account that are one too many with the new one: the oldest. Its row is locked.
async fn end_oldest(change: &mut Change, new: &Session) -> Result<(), DataError> {
    let too_many = "SELECT id FROM session WHERE account_id = ? ORDER BY CASE WHEN expires_at > ? AND seen_at + idle > ? THEN 0 ELSE 1 END, \
                    created_at DESC, id DESC LIMIT ? OFFSET ?";
    let too_many = statement(too_many).bind(new.account.to_string()).bind(new.created_at.0).bind(new.created_at.0);
    let too_many: Vec<(String,)> = too_many.bind(SESSIONS).bind(SESSIONS).fetch_all(&mut *change).await?;
    for (id,) in too_many {
        statement("DELETE FROM refresh_token WHERE session_id = ?").bind(&id).execute(&mut *change).await?;
        statement("DELETE FROM session WHERE id = ?").bind(&id).execute(&mut *change).await?;
    }
    Ok(())
}

impl AccountTables {
    /// Ends the flow and begins the session. False: the flow had ended, or the number is another's by now; then
    /// there is no session (MFA-03, A02).
    pub async fn complete(&self, completion: &Completion, event: &NewEvent) -> Result<bool, DataError> {
        self.database.retrying(|| self.complete_once(completion, event)).await
    }

    async fn complete_once(&self, completion: &Completion, event: &NewEvent) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        let session = &completion.new.session;
        if let Some(token_hash) = &completion.flow {
            let query = statement("DELETE FROM flow WHERE token_hash = ?").bind(token_hash);
            if query.execute(&mut change).await? != 1 {
                return Ok(false);
            }
        }
        if let Some(identifier) = completion.proven
            && prove(&mut change, session.account, identifier, session.created_at).await? != Proving::Owned
        {
            return Ok(false);
        }
        // Whoever changes the password meanwhile waits, and then ends this session with the others.
        let active = "SELECT id FROM account WHERE id = ? AND status = 'active' AND (? < 0 OR password_changed_at = ?) FOR UPDATE";
        let as_of = completion.password_as_of.unwrap_or(-1);
        let active = statement(active).bind(session.account.to_string()).bind(as_of).bind(as_of);
        let active: Option<(String,)> = active.fetch_optional(&mut change).await?;
        if active.is_none() {
            return Ok(false);
        }
        let sql = "INSERT INTO session (id, token_hash, account_id, assurance, methods, created_at, authenticated_at, seen_at, expires_at, \
                   idle, address, agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = statement(sql).bind(session.id.to_string()).bind(&completion.new.token_hash).bind(session.account.to_string());
        let query = query.bind(session.assurance as i64).bind(session.methods.join(" ")).bind(session.created_at.0);
        let query = query.bind(session.authenticated_at.0).bind(session.seen_at.0).bind(session.expires_at.0).bind(session.idle);
        query.bind(&session.address).bind(&session.agent).execute(&mut change).await?;
        end_oldest(&mut change, session).await?;
        if let Some((browser, forgotten_at, remembered_until)) = &completion.browser {
            let insert = "INSERT INTO browser (token_hash, account_id, seen_at, expires_at, remembered_until) VALUES (?, ?, ?, ?, ?) \
                          ON CONFLICT (token_hash, account_id) DO UPDATE SET seen_at = excluded.seen_at, \
                          expires_at = excluded.expires_at, remembered_until = excluded.remembered_until";
            let insert = statement(insert).bind(browser).bind(session.account.to_string()).bind(session.created_at.0);
            insert.bind(forgotten_at.0).bind(remembered_until.0).execute(&mut change).await?;
        }
        // Somebody signed in: from now on the account stays.
        let settle = "UPDATE account SET unproven_until = NULL, password_reset_by = CASE WHEN ? = 1 THEN NULL ELSE password_reset_by END \
                      WHERE id = ?";
        let settle = statement(settle).bind(i64::from(completion.settles_reset)).bind(session.account.to_string());
        settle.execute(&mut change).await?;
        note(&mut change, event).await?;
        change.commit().await?;
        Ok(true)
    }

    /// The live sessions of an account, the newest first.
    pub async fn sessions(&self, account: AccountId, now: Timestamp) -> Result<Vec<Session>, DataError> {
        let sql =
            format!("{COLUMNS} WHERE account_id = ? AND expires_at > ? AND seen_at + idle > ? ORDER BY created_at DESC, id DESC LIMIT ?");
        let query = statement(AssertSqlSafe(sql)).bind(account.to_string()).bind(now.0).bind(now.0).bind(SESSIONS);
        let rows: Vec<Row> = query.fetch_all(&self.database).await?;
        Ok(rows.into_iter().map(session).collect())
    }

    /// Notes that a session is in use.
    pub async fn seen(&self, id: Uuid, now: Timestamp) -> Result<(), DataError> {
        let query = statement("UPDATE session SET seen_at = ? WHERE id = ? AND seen_at < ?").bind(now.0).bind(id.to_string()).bind(now.0);
        query.execute(&self.database).await.map(drop)
    }

    /// Somebody proved again who they are: another token (SES-02), unless it `keeps_token`, and how sure we are now. `settles_reset`:
    /// as at the end of a sign-in.
    pub async fn confirm_session(
        &self,
        new: &NewSession,
        keeps_token: bool,
        settles_reset: bool,
        event: &NewEvent,
    ) -> Result<bool, DataError> {
        self.database.retrying(|| self.confirm_session_once(new, keeps_token, settles_reset, event)).await
    }

    async fn confirm_session_once(
        &self,
        new: &NewSession,
        keeps_token: bool,
        settles_reset: bool,
        event: &NewEvent,
    ) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        let session = &new.session;
        if settles_reset {
            let settle = statement("UPDATE account SET password_reset_by = NULL WHERE id = ?").bind(session.account.to_string());
            settle.execute(&mut change).await?;
        }
        let sql = "UPDATE session SET token_hash = COALESCE(?, token_hash), assurance = ?, methods = ?, authenticated_at = ?, expires_at = ?, idle = ?, seen_at = ? \
                   WHERE id = ?";
        let token_hash = (!keeps_token).then_some(&*new.token_hash);
        let query = statement(sql).bind(token_hash).bind(session.assurance as i64).bind(session.methods.join(" "));
        let query = query.bind(session.authenticated_at.0).bind(session.expires_at.0).bind(session.idle).bind(session.seen_at.0);
        let query = query.bind(session.id.to_string());
        if query.execute(&mut change).await? != 1 {
            return Ok(false);
        }
        note(&mut change, event).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Ends one session of an account. True when it was there.
    pub async fn end_session(&self, account: AccountId, id: Uuid, event: &NewEvent) -> Result<bool, DataError> {
        self.database.retrying(|| self.end_session_once(account, id, event)).await
    }

    async fn end_session_once(&self, account: AccountId, id: Uuid, event: &NewEvent) -> Result<bool, DataError> {
        let mut change = self.change().await?;
        statement("DELETE FROM refresh_token WHERE session_id = ?").bind(id.to_string()).execute(&mut change).await?;
        let query = statement("DELETE FROM session WHERE id = ? AND account_id = ?").bind(id.to_string()).bind(account.to_string());
        let ended = query.execute(&mut change).await? == 1;
        if !ended {
            return Ok(false);
        }
        note(&mut change, event).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Ends every session of an account, with its refresh tokens, flows and remembered browsers. How many there were.
    pub async fn end_sessions(&self, account: AccountId, event: &NewEvent) -> Result<u64, DataError> {
        let work = || async {
            let mut change = self.change().await?;
            end_flows(&mut change, account).await?;
            let ended = end_sessions(&mut change, account, None).await?;
            note(&mut change, event).await?;
            change.commit().await?;
            Ok(ended)
        };
        self.database.retrying(work).await
    }

    /// Ends every session of an account but one, with their refresh tokens and the remembered browsers; nothing changes where there
    /// is no other. What somebody has begun goes on: whoever holds a stolen session would keep the owner out with this otherwise.
    pub async fn end_other_sessions(&self, account: AccountId, keep: Uuid, event: &NewEvent) -> Result<u64, DataError> {
        let work = || async {
            let mut change = self.change().await?;
            let ended = end_sessions(&mut change, account, Some(keep)).await?;
            if ended == 0 {
                return Ok(0);
            }
            note(&mut change, event).await?;
            change.commit().await?;
            Ok(ended)
        };
        self.database.retrying(work).await
    }
}
