//! The tables of accounts. Each method is one step: what must not be half done is one change, and a guarded write tells by
//! its row count who won.

mod account;
mod browser;
mod current;
mod event;
mod factor;
mod flow;
mod identifier;
mod operator;
mod session;

pub(in crate::db) use account::make;
pub use account::{NewAccount, NewPassword, Registering, Securing};
pub use current::{Found, SessionKey};
pub use event::NewEvent;
pub(in crate::db) use event::note;
pub use factor::{FactorRow, NewFactor};
pub use flow::Flow;
pub use identifier::Proving;
pub use session::{Completion, NewSession};

use uuid::Uuid;

use crate::account::model::AccountId;
use crate::clock::Timestamp;
use crate::db::database::{Change, DataError, Database, statement};
use crate::db::sweep;

/// The tables, over a pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccountTables {
    database: Database,
}

impl AccountTables {
    /// The tables of that database.
    pub fn new(database: Database) -> AccountTables {
        AccountTables { database }
    }

    /// Removes what has ended (flows, sessions, browsers, accounts that nobody ever signed in to), and events from before `kept_since`.
    /// One table that fails does not keep the others.
    pub async fn sweep(&self, now: Timestamp, kept_since: Timestamp) -> Result<(), DataError> {
        let mut swept = Ok(());
        for (table, key, ended, at) in [
            ("flow", "token_hash", "expires_at <= ?", now),
            // Before the sessions, which would take all of theirs along in one step.
            ("refresh_token", "token_hash", "expires_at <= ?", now),
            ("session", "id", "expires_at <= ?", now),
            // No index helps here, since each request of a person would have to change it: it is looked for, which locks nothing.
            ("session", "id", "seen_at + idle <= ?", now),
            ("browser", "token_hash", "expires_at <= ?", now),
            (
                "account",
                "id",
                "unproven_until <= ? \
                 AND NOT EXISTS (SELECT 1 FROM identifier i WHERE i.account_id = account.id AND i.proven_at IS NOT NULL)",
                now,
            ),
            ("account_event", "id", "at < ?", kept_since),
        ] {
            swept = swept.and(sweep::all(&self.database, table, key, ended, at).await.map(drop));
        }
        swept
    }

    /// The database, for the tables that stand beside these.
    pub fn database(&self) -> &Database {
        &self.database
    }

    async fn change(&self) -> Result<Change, DataError> {
        self.database.change().await
    }
}

/// Waits until nobody else is changing what hangs on the account, and keeps others from it until the end of the change. False:
/// there is no such account.
async fn lock_account(change: &mut Change, account: AccountId) -> Result<bool, DataError> {
    let found: Option<(String,)> =
        statement("SELECT id FROM account WHERE id = ? FOR UPDATE").bind(account.to_string()).fetch_optional(change).await?;
    Ok(found.is_some())
}

/// An id as it stands in a row. What is none, which only a hand in the database can have put there, names nothing.
fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::model::{Identifier, IdentifierKind};
    use crate::db::database::AssertSqlSafe;
    use crate::db::database::testing::OwnDatabase;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn event(number: u128) -> NewEvent {
        NewEvent { id: id(number), account: None, at: NOW, kind: "account.test", address: String::new(), detail: String::new() }
    }

    fn securing(event: &NewEvent) -> Securing<'_> {
        Securing { keep: id(0), event }
    }

    fn person(number: u128, values: &[&str]) -> NewAccount {
        let identifiers = (1..).zip(values).map(|(place, value)| (id(number * 10 + place), IdentifierKind::Email, (*value).to_owned()));
        let (full_name, locale) = (String::new(), "en".to_owned());
        NewAccount { id: id(number), full_name, locale, password: None, identifiers: identifiers.collect(), unproven_until: None }
    }

    /// A43: of many who register the same at once one has it, on every database.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_registrations_one_is_made() {
        let own = OwnDatabase::new().await;
        let tables = AccountTables::new(Database::own(&own).await);
        let register = async |number: u128| {
            let values = if number.is_multiple_of(2) { ["a@example.com", "b@example.com"] } else { ["b@example.com", "a@example.com"] };
            tables.register(&person(number, &values), Timestamp(0), NOW, &event(number)).await.expect("answered")
        };
        let made = futures_util::future::join_all((1..=20).map(register)).await;
        assert_eq!(made.iter().filter(|made| **made == Registering::Made).count(), 1, "{made:?}");
    }

    /// Of many that are claimed at once there are as many as may be; and what is there is found, however many there are.
    #[tokio::test(flavor = "multi_thread")]
    async fn no_account_claims_more_than_it_may() {
        let own = OwnDatabase::new().await;
        let tables = AccountTables::new(Database::own(&own).await);
        tables.register(&person(1, &["a@example.com"]), Timestamp(0), NOW, &event(1)).await.expect("registered");
        let claim = async |number: u128, value: String| {
            let (account, kind) = (id(1), IdentifierKind::Email);
            let new = Identifier { id: id(number), account, kind, value, is_registered: false, claimed_at: NOW, proven_at: None };
            tables.add_identifier(&new, 5).await.expect("answered")
        };
        let claims = (100..110_u128).map(|number| claim(number, format!("a{number}@example.com")));
        let claimed: Vec<_> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
        assert_eq!(claimed.len(), 4);
        let again = claim(200, claimed[3].value.clone()).await.expect("it is there");
        assert_eq!(again.id, claimed[3].id);
        assert!(claim(201, "b@example.com".to_owned()).await.is_none());
    }

    /// Of two proven addresses that are removed at once one stays.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_last_proven_address_stays() {
        let own = OwnDatabase::new().await;
        let tables = AccountTables::new(Database::own(&own).await);
        for number in 1..=10_u128 {
            let values = [format!("a{number}@example.com"), format!("b{number}@example.com")];
            let person = person(number, &[&values[0], &values[1]]);
            tables.register(&person, Timestamp(0), NOW, &event(number * 100)).await.expect("registered");
            for (place, (identifier, ..)) in (1..).zip(&person.identifiers) {
                let proving = tables.prove(id(number), *identifier, NOW, securing(&event(number * 100 + place))).await;
                assert_eq!(proving.expect("proven"), Proving::Owned);
            }
            let remove = async |place: usize| {
                let event = event(number * 100 + 50 + place as u128);
                tables.remove_identifier(id(number), person.identifiers[place].0, securing(&event)).await.expect("answered")
            };
            let (one, other) = tokio::join!(remove(0), remove(1));
            assert!(one != other, "{one} {other}");
        }
    }

    /// A43: of many who prove the same at once one owns it, and the claims of the others are gone.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_proofs_one_owns() {
        let own = OwnDatabase::new().await;
        let tables = AccountTables::new(Database::own(&own).await);
        for number in 1..=10_u128 {
            // Each claim is too old to keep the next one out.
            let made = tables.register(&person(number, &["a@example.com"]), NOW, NOW, &event(number)).await;
            assert_eq!(made.expect("registered"), Registering::Made);
        }
        let prove = async |number: u128| {
            let event = event(number + 100);
            tables.prove(id(number), id(number * 10 + 1), NOW, securing(&event)).await.expect("answered")
        };
        let proven = futures_util::future::join_all((1..=10).map(prove)).await;
        assert_eq!(proven.iter().filter(|proving| **proving == Proving::Owned).count(), 1, "{proven:?}");
        let (left,): (i64,) = statement("SELECT COUNT(*) FROM identifier").fetch_one(tables.database()).await.expect("a count");
        assert_eq!(left, 1);
    }

    /// What has ended goes, however much it is and in several steps, and also where a table before it cannot be swept.
    #[tokio::test]
    async fn what_has_ended_goes_though_another_table_fails() {
        let own = OwnDatabase::new().await;
        let tables = AccountTables::new(Database::own(&own).await);
        tables.register(&person(1, &["a@example.com"]), Timestamp(0), NOW, &event(1)).await.expect("registered");
        let rows = |numbers: std::ops::Range<u32>, row: &dyn Fn(u32) -> String| numbers.map(row).collect::<Vec<_>>().join(", ");
        // By age, by rest, and two that live.
        let session = |number| {
            let (seen_at, expires_at) = match number {
                0..300 => (NOW.0, NOW.0),
                300..600 => (0, NOW.0 + 1),
                _ => (NOW.0, NOW.0 + 1),
            };
            format!("('{number}', '{number}', '{}', 1, 'pwd', 0, 0, {seen_at}, {expires_at}, 1000, '', '')", id(1))
        };
        let sessions = rows(0..602, &session);
        let flows = rows(0..402, &|number| format!("('{number}', 'sign_in', '', '', 1, 0, {})", NOW.0 + i64::from(number >= 400)));
        for insert in [
            format!(
                "INSERT INTO session (id, token_hash, account_id, assurance, methods, created_at, authenticated_at, seen_at, expires_at, idle, \
                 address, agent) VALUES {sessions}"
            ),
            format!("INSERT INTO flow (token_hash, kind, address, state, revision, created_at, expires_at) VALUES {flows}"),
        ] {
            statement(AssertSqlSafe(insert)).execute(tables.database()).await.expect("rows");
        }
        let left = async |table: &str| {
            let count = statement(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")));
            let (left,): (i64,) = count.fetch_one(tables.database()).await.expect("a count");
            left
        };
        tables.sweep(NOW, NOW).await.expect("swept");
        assert_eq!((left("flow").await, left("session").await, left("account_event").await), (2, 2, 1));
        statement("DROP TABLE flow").execute(tables.database()).await.expect("dropped");
        tables.sweep(NOW + std::time::Duration::from_secs(1), NOW).await.expect_err("there are no flows to sweep");
        assert_eq!(left("session").await, 0);
    }
}
