//! `refresh_token`: which was spent, and what follows of it. All tokens of a session are one family (TOK-04): they end with it.

use uuid::Uuid;

use crate::account::token::refresh::GRACE;
use crate::clock::Timestamp;
use crate::db::database::{Database, statement};

pub use crate::db::database::DataError as Failed;

/// What became of the use of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Now, by this use and no other; its successor is good from now on.
    First(Uuid),
    /// A moment ago, and nobody has used its successor: give that one again.
    AgainWithinGrace(Uuid),
    /// Before: somebody has a copy. The caller ends this session, with it the family, and tells its owner.
    Reused(Uuid),
    /// Nobody used it in its time.
    Expired,
    /// Never heard of it, or its session is gone.
    Unknown,
}

/// A token to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Its hash.
    pub hash: &'a str,
    /// When it ends. The session's end comes first.
    pub expires_at: Timestamp,
}

/// The first token of a session. False: there is no such session.
pub async fn begin(database: &Database, session: Uuid, token: NewToken<'_>, now: Timestamp) -> Result<bool, Failed> {
    let insert = "INSERT INTO refresh_token (token_hash, session_id, created_at, expires_at, spent_at)
         SELECT ?, id, ?, CASE WHEN expires_at < ? THEN expires_at ELSE ? END, NULL FROM session WHERE id = ?";
    let query = statement(insert).bind(token.hash).bind(now.0).bind(token.expires_at.0).bind(token.expires_at.0);
    Ok(query.bind(session.to_string()).execute(database).await? == 1)
}

/// Spends a token and keeps its successor: of many uses at once one is the first (A40).
pub async fn spend(database: &Database, hash: &str, successor: NewToken<'_>, now: Timestamp) -> Result<Spent, Failed> {
    database.retrying(|| spend_once(database, hash, successor, now)).await
}

async fn spend_once(database: &Database, hash: &str, successor: NewToken<'_>, now: Timestamp) -> Result<Spent, Failed> {
    let mut change = database.change().await?;
    // The guard is in the statement: of two that run at once only one changes a row, whatever the database.
    let guarded = "UPDATE refresh_token SET spent_at = ? WHERE token_hash = ? AND spent_at IS NULL AND expires_at > ?";
    let won = statement(guarded).bind(now.0).bind(hash).bind(now.0).execute(&mut change).await? == 1;
    let find = "SELECT session_id, spent_at FROM refresh_token WHERE token_hash = ?";
    let found: Option<(String, Option<i64>)> = statement(find).bind(hash).fetch_optional(&mut change).await?;
    let Some((session, spent_at)) = found else { return Ok(Spent::Unknown) };
    let Ok(session) = Uuid::try_parse(&session) else { return Ok(Spent::Unknown) };
    if won {
        let insert = "INSERT INTO refresh_token (token_hash, session_id, created_at, expires_at, spent_at)
             SELECT ?, id, ?, CASE WHEN expires_at < ? THEN expires_at ELSE ? END, NULL FROM session WHERE id = ? AND expires_at > ?";
        let query = statement(insert).bind(successor.hash).bind(now.0).bind(successor.expires_at.0).bind(successor.expires_at.0);
        let kept = query.bind(session.to_string()).bind(now.0).execute(&mut change).await? == 1;
        if !kept {
            // The session ended: its tokens are worth nothing, spent or not.
            return Ok(Spent::Expired);
        }
        change.commit().await?;
        return Ok(Spent::First(session));
    }
    let Some(spent_at) = spent_at.map(Timestamp) else { return Ok(Spent::Expired) };
    let unused = "SELECT COUNT(*) FROM refresh_token WHERE token_hash = ? AND spent_at IS NULL";
    let (unused,): (i64,) = statement(unused).bind(successor.hash).fetch_one(&mut change).await?;
    let again = now < spent_at + GRACE && unused == 1;
    Ok(if again { Spent::AgainWithinGrace(session) } else { Spent::Reused(session) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::account::secret_token::SecretToken;
    use crate::account::token::refresh;
    use crate::db::database::testing::OwnDatabase;
    use crate::secret::{Entropy, Pepper, Peppers, SystemEntropy};

    const NOW: Timestamp = Timestamp(1_767_225_600_000);
    const IDLE: Duration = Duration::from_secs(14 * 24 * 3600);
    const SESSION_LIFE: Duration = Duration::from_secs(24 * 3600);

    struct Family {
        database: Database,
        session: Uuid,
        peppers: Peppers,
        _own: OwnDatabase,
    }

    impl Family {
        async fn new() -> Family {
            let own = OwnDatabase::new().await;
            let database = Database::own(&own).await;
            let account = "INSERT INTO account (id, full_name, locale, roles, status, password_changed_at, created_at) VALUES ('a', '', 'en', '', 'active', 0, 0)";
            statement(account).execute(&database).await.expect("an account");
            let mut bytes = [0; 16];
            SystemEntropy.fill(&mut bytes);
            let session = Uuid::from_bytes(bytes);
            let sql = "INSERT INTO session (id, token_hash, account_id, assurance, methods, created_at, authenticated_at, seen_at, expires_at, idle, address, agent) VALUES (?, 'h', 'a', 2, 'pwd sms', 0, 0, 0, ?, 0, '', '')";
            let query = statement(sql).bind(session.to_string()).bind((NOW + SESSION_LIFE).0);
            query.execute(&database).await.expect("a session");
            let peppers = Peppers { current: Pepper::new(&[7; 32]).expect("32 bytes are enough"), previous: None };
            Family { database, session, peppers, _own: own }
        }

        async fn begin(&self) -> SecretToken {
            let token = SecretToken::random(&SystemEntropy);
            let new = NewToken { hash: &refresh::hash(&token), expires_at: NOW + IDLE };
            assert!(begin(&self.database, self.session, new, NOW).await.expect("begun"));
            token
        }

        async fn spend(&self, token: &SecretToken, now: Timestamp) -> (Spent, SecretToken) {
            let successor = refresh::successor(&self.peppers, token);
            let new = NewToken { hash: &refresh::hash(&successor), expires_at: now + IDLE };
            (spend(&self.database, &refresh::hash(token), new, now).await.expect("spent"), successor)
        }
    }

    /// TOK-04, A40: of 50 uses at once one is the first; all others hear the same successor, and it works.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_uses_one_is_the_first() {
        let family = Family::new().await;
        for _ in 0..4 {
            let token = family.begin().await;
            let spent = futures_util::future::join_all((0..50).map(|_| family.spend(&token, NOW))).await;
            let first = spent.iter().filter(|(spent, _)| *spent == Spent::First(family.session)).count();
            let again = spent.iter().filter(|(spent, _)| *spent == Spent::AgainWithinGrace(family.session)).count();
            assert_eq!((first, again), (1, 49));
            assert!(spent.iter().all(|(_, successor)| successor.expose() == spent[0].1.expose()));
            assert_eq!(family.spend(&spent[0].1, NOW).await.0, Spent::First(family.session));
        }
    }

    /// TOK-04: R1 → R2 → R3, then R1: somebody has a copy. Within the grace, too, once R2 was used (A40).
    #[tokio::test]
    async fn a_spent_token_is_reported() {
        let family = Family::new().await;
        let one = family.begin().await;
        let (spent, two) = family.spend(&one, NOW).await;
        assert_eq!(spent, Spent::First(family.session));
        let grace_ends = NOW + GRACE;
        assert_eq!(family.spend(&one, grace_ends - Duration::from_millis(1)).await.0, Spent::AgainWithinGrace(family.session));
        assert_eq!(family.spend(&one, grace_ends).await.0, Spent::Reused(family.session));
        let (spent, three) = family.spend(&two, NOW + Duration::from_secs(1)).await;
        assert_eq!(spent, Spent::First(family.session));
        assert_eq!(family.spend(&one, NOW + Duration::from_secs(2)).await.0, Spent::Reused(family.session));
        assert_eq!(family.spend(&two, NOW + Duration::from_secs(2)).await.0, Spent::AgainWithinGrace(family.session));
        assert_eq!(family.spend(&three, NOW + Duration::from_secs(3)).await.0, Spent::First(family.session));
    }

    /// TOK-04: an end that no refresh moves: the session's.
    #[tokio::test]
    async fn a_family_ends_with_its_session() {
        let family = Family::new().await;
        let token = family.begin().await;
        let end = NOW + SESSION_LIFE;
        let (spent, next) = family.spend(&token, end - Duration::from_millis(1)).await;
        assert_eq!(spent, Spent::First(family.session));
        assert_eq!(family.spend(&next, end).await.0, Spent::Expired);
        let unused = family.begin().await;
        statement("DELETE FROM session").execute(&family.database).await.expect("deleted");
        assert_eq!(family.spend(&unused, NOW).await.0, Spent::Unknown);
        let new = NewToken { hash: "orphan", expires_at: NOW + IDLE };
        assert!(!begin(&family.database, family.session, new, NOW).await.expect("asked"), "no session, no token");
        assert_eq!(family.spend(&SecretToken::random(&SystemEntropy), NOW).await.0, Spent::Unknown);
    }

    /// TOK-04: what nobody uses ends by itself.
    #[tokio::test]
    async fn an_idle_token_ends() {
        let family = Family::new().await;
        statement("UPDATE session SET expires_at = ?").bind((NOW + IDLE * 4).0).execute(&family.database).await.expect("longer");
        let token = family.begin().await;
        assert_eq!(family.spend(&token, NOW + IDLE).await.0, Spent::Expired);
        assert!(matches!(family.spend(&token, NOW + IDLE - Duration::from_millis(1)).await.0, Spent::First(_)));
    }
}
