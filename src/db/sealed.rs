//! What lies under a pepper: secrets that are sealed anew when it changes, and hashes that only their people can renew.
//!
//! A pepper is given up in two steps. While the one before it is still configured, [`seal_anew`] moves every sealed secret to the
//! current one; each server on the same data may do it, as often as it likes, since each row is written only as it was read.
//! [`needs`] counts what is left: when that is nothing, the pepper before can go. [`lost`] counts what no configured pepper opens.

use uuid::Uuid;

use crate::account::password::key_id;
use crate::account::token::keys;
use crate::account::{factors, seal};
use crate::db::database::{AssertSqlSafe, DataError, Database, statement};
use crate::db::twilio;
use crate::delivery::free_text;
use crate::entity;
use crate::secret::{Entropy, Pepper, Peppers};

/// Rows that are read at once.
const PAGE: i64 = 200;

/// A key, a secret, and two columns of what it is sealed for.
type Row = (String, String, String, String);

/// A column of sealed secrets.
struct Sealed {
    /// For people.
    what: &'static str,
    table: &'static str,
    /// Which rows of it, and `AND`; nothing: all.
    only: &'static str,
    key: &'static str,
    secret: &'static str,
    /// Two columns of the row `t`.
    owner: &'static str,
    /// What a secret is sealed for.
    context: fn(&Row) -> Vec<Vec<u8>>,
}

const SEALED: [Sealed; 5] = [
    Sealed {
        what: "authenticator apps",
        table: "factor",
        only: "kind = 'totp' AND ",
        key: "id",
        secret: "secret",
        owner: "t.account_id, t.account_id",
        context: |(_, _, account, _)| owned(&factors::context(&uuid(account))),
    },
    Sealed {
        what: "authenticator apps of integrators",
        table: "entity_factor",
        only: "",
        key: "id",
        secret: "secret",
        owner: "(SELECT e.service FROM entity e WHERE e.id = t.entity_id), t.entity_id",
        context: |(id, _, service, entity)| owned(&entity::context(service, &uuid(entity), &uuid(id))),
    },
    Sealed {
        what: "signing keys",
        table: "signing_key",
        only: "",
        key: "id",
        secret: "secret",
        owner: "t.id, t.id",
        context: |(id, ..)| owned(&keys::context(id)),
    },
    Sealed {
        what: "Auth Tokens",
        table: "twilio_credential",
        only: "",
        key: "sid",
        secret: "sealed",
        owner: "t.client_id, t.client_id",
        context: |(_, _, client, _)| owned(&twilio::context(&uuid(client))),
    },
    Sealed {
        what: "texts",
        table: "free_text",
        only: "",
        key: "id",
        secret: "body",
        owner: "t.id, t.id",
        context: |(id, ..)| owned(&free_text::context(&uuid(id))),
    },
];

/// Hashes that are keyed by a pepper: what for, the table, which rows of it, and the column.
const HASHED: [(&str, &str, &str, &str); 2] =
    [("passwords", "account", "", "password"), ("recovery codes", "factor", "used_at IS NULL AND ", "secret")];

/// Values that were made under some pepper, and how those under a certain one are found among them.
struct Peppered {
    what: &'static str,
    /// The table and, after `WHERE`, what leaves the column to be compared.
    rows: String,
    column: &'static str,
    /// What all of them are like.
    like: &'static str,
    /// What those under this one are like.
    like_under: fn(&Pepper) -> String,
}

/// All of them.
fn peppered() -> impl Iterator<Item = Peppered> {
    let sealed = SEALED.iter().map(|Sealed { what, table, only, secret, .. }| Peppered {
        what,
        rows: format!("{table} WHERE {only}"),
        column: secret,
        like: seal::ANY_BEGINNING,
        like_under: |pepper| format!("{}%", seal::beginning(pepper)),
    });
    let hashed = HASHED.iter().map(|(what, table, only, column)| Peppered {
        what,
        rows: format!("{table} WHERE {only}"),
        column,
        like: "%,keyid=%",
        like_under: |pepper| format!("%,keyid={}$%", key_id(pepper)),
    });
    sealed.chain(hashed)
}

/// Seals under the current pepper what the one before it sealed. How many that were; nothing where no other one is configured.
pub async fn seal_anew(database: &Database, peppers: &Peppers, entropy: &dyn Entropy) -> Result<u64, DataError> {
    let Some(previous) = &peppers.previous else { return Ok(0) };
    let (pattern, mut sealed) = (format!("{}%", seal::beginning(previous)), 0);
    for column in &SEALED {
        let Sealed { table, key, secret, owner, .. } = column;
        let select = format!(
            "SELECT t.{key}, t.{secret}, {owner} FROM {table} t WHERE t.{secret} LIKE ? AND t.{key} > ? ORDER BY t.{key} LIMIT {PAGE}"
        );
        let mut after = String::new();
        loop {
            let rows: Vec<Row> = statement(AssertSqlSafe(select.clone())).bind(&pattern).bind(&after).fetch_all(database).await?;
            let Some((last, ..)) = rows.last() else { break };
            after.clone_from(last);
            for row in &rows {
                let Some(anew) = column.sealed_anew(row, peppers, entropy) else { continue };
                // Not what somebody else has changed meanwhile.
                let update = format!("UPDATE {table} SET {secret} = ? WHERE {key} = ? AND {secret} = ?");
                sealed += statement(AssertSqlSafe(update)).bind(anew).bind(&row.0).bind(&row.1).execute(database).await?;
            }
        }
    }
    Ok(sealed)
}

/// What still needs this pepper, and how many there are of each.
pub async fn needs(database: &Database, pepper: &Pepper) -> Result<Vec<(&'static str, i64)>, DataError> {
    let mut needs = Vec::new();
    for Peppered { what, rows, column, like_under, .. } in peppered() {
        let sql = format!("SELECT COUNT(*) FROM {rows}{column} LIKE ?");
        let (count,): (i64,) = statement(AssertSqlSafe(sql)).bind(like_under(pepper)).fetch_one(database).await?;
        needs.push((what, count));
    }
    needs.retain(|(_, count)| *count > 0);
    Ok(needs)
}

/// What was made under none of these peppers, and how many there are of each: nobody signs in by it, and nothing opens it, until
/// its own pepper is put back.
pub async fn lost(database: &Database, peppers: &[&Pepper]) -> Result<Vec<(&'static str, i64)>, DataError> {
    let mut lost = Vec::new();
    for Peppered { what, rows, column, like, like_under } in peppered() {
        let others = format!(" AND {column} NOT LIKE ?").repeat(peppers.len());
        let count = statement(AssertSqlSafe(format!("SELECT COUNT(*) FROM {rows}{column} LIKE ?{others}"))).bind(like);
        let count = peppers.iter().fold(count, |count, pepper| count.bind(like_under(pepper)));
        let (count,): (i64,) = count.fetch_one(database).await?;
        lost.push((what, count));
    }
    lost.retain(|(_, count)| *count > 0);
    Ok(lost)
}

/// "3 passwords, 1 signing keys": for people.
pub fn listed(counts: &[(&'static str, i64)]) -> String {
    counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

impl Sealed {
    /// None: it is sealed so already, or does not open.
    fn sealed_anew(&self, row: &Row, peppers: &Peppers, entropy: &dyn Entropy) -> Option<String> {
        if seal::is_under_current(peppers, &row.1) {
            return None;
        }
        let context = (self.context)(row);
        let context: Vec<&[u8]> = context.iter().map(Vec::as_slice).collect();
        let plain = seal::open(peppers, &context, &row.1)?;
        seal::seal(peppers, entropy, &context, &plain).ok()
    }
}

fn owned(context: &[&[u8]]) -> Vec<Vec<u8>> {
    context.iter().map(|field| field.to_vec()).collect()
}

/// What is no id opens nothing.
fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::db::database::testing::OwnDatabase;
    use crate::db::signing_key::{self, KeyChange};
    use crate::db::twilio::CredentialTable;
    use crate::secret::SystemEntropy;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    fn peppers(current: u8, previous: Option<u8>) -> Peppers {
        let pepper = |byte| Pepper::new(&[byte; 32]).expect("32 bytes are enough");
        Peppers { current: pepper(current), previous: previous.map(pepper) }
    }

    fn under(peppers: &Peppers, context: &[&[u8]]) -> String {
        seal::seal(peppers, &SystemEntropy, context, b"a secret").expect("sealed")
    }

    /// A row in each table of sealed secrets.
    async fn fill(database: &Database, peppers: &Peppers) -> (String, Uuid) {
        let (account, factor, entity, client) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4));
        let run = async |sql: &'static str, values: &[&str]| {
            let query = values.iter().fold(statement(sql), |query, value| query.bind(*value));
            query.execute(database).await.expect(sql);
        };
        run(
            "INSERT INTO account (id, full_name, locale, roles, status, password_changed_at, created_at) VALUES (?, '', 'en', '', 'active', 0, 0)",
            &[&account.to_string()],
        )
        .await;
        let secret = under(peppers, &factors::context(&account));
        run(
            "INSERT INTO factor (id, account_id, kind, name, secret, counter, failures, closed_until, created_at) \
             VALUES (?, ?, 'totp', '', ?, 0, 0, 0, 0)",
            &[&factor.to_string(), &account.to_string(), &secret],
        )
        .await;
        run("INSERT INTO entity (id, service, identity, created_at) VALUES (?, 'default', 'ann', 0)", &[&entity.to_string()]).await;
        let secret = under(peppers, &entity::context("default", &entity, &factor));
        run(
            "INSERT INTO entity_factor (id, entity_id, name, algorithm, digits, period, skew, secret, last_step, failures, created_at, \
             updated_at) VALUES (?, ?, '', 'sha1', 6, 30, 1, ?, 0, 0, 0, 0)",
            &[&factor.to_string(), &entity.to_string(), &secret],
        )
        .await;
        let body = under(peppers, &free_text::context(&factor));
        run(
            "INSERT INTO free_text (id, client_id, service, channel, recipient, body, segments, status, created_at, updated_at, expires_at) \
             VALUES (?, '', 'default', 'sms', '', ?, 1, 'sent', 0, 0, 0)",
            &[&factor.to_string(), &body],
        )
        .await;
        CredentialTable::new(database.clone()).create(client, peppers, &SystemEntropy, NOW).await.expect("made");
        let key = keys::make(peppers, &SystemEntropy, NOW, NOW).expect("a key");
        let id = key.id.clone();
        signing_key::change(database, |_| KeyChange { add: Some(key), ..KeyChange::default() }).await.expect("kept");
        (id, client)
    }

    /// A pepper can be given up: whatever it sealed is sealed under the next one, once, whoever does it, and opens without it.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_sealed_moves_to_the_next_pepper() {
        let own = OwnDatabase::new().await;
        let database = Database::own(&own).await;
        let (old, both, new) = (peppers(1, None), peppers(2, Some(1)), peppers(2, None));
        let (key, client) = fill(&database, &old).await;
        let all = needs(&database, &old.current).await.expect("counted");
        assert_eq!(all.iter().map(|(_, count)| count).sum::<i64>(), 5, "{all:?}");
        assert_eq!(seal_anew(&database, &old, &SystemEntropy).await.expect("done"), 0, "there is no other pepper");

        let once = || seal_anew(&database, &both, &SystemEntropy);
        let done: u64 = futures_util::future::join_all((0..3).map(|_| once())).await.into_iter().map(|done| done.expect("done")).sum();
        assert_eq!(done, 5, "each by one of three");
        assert_eq!(once().await.expect("done"), 0, "and no second time");
        assert_eq!(needs(&database, &old.current).await.expect("counted"), []);
        assert_eq!(needs(&database, &new.current).await.expect("counted"), all);

        let lost = async |peppers: &[&Pepper]| lost(&database, peppers).await.expect("counted");
        assert_eq!(lost(&[&new.current]).await, []);
        assert_eq!(lost(&[]).await, all, "without any pepper");
        assert_eq!(lost(&[&old.current]).await, all, "the one that was given up opens nothing any more");
        assert_eq!(lost(&[&old.current, &new.current]).await, []);
        assert!(listed(&all).starts_with("1 authenticator apps, "), "{}", listed(&all));

        let token = CredentialTable::new(database.clone()).auth_token(client, &new).await.expect("an answer");
        assert!(token.is_some_and(|token| token.len() == 32));
        let rows = signing_key::all(&database).await.expect("rows");
        assert!(rows.iter().any(|row| row.id == key && keys::open(&new, row).is_some()));
        let contexts: [(&str, Vec<Vec<u8>>); 3] = [
            ("SELECT secret FROM factor", owned(&factors::context(&Uuid::from_u128(1)))),
            ("SELECT secret FROM entity_factor", owned(&entity::context("default", &Uuid::from_u128(3), &Uuid::from_u128(2)))),
            ("SELECT body FROM free_text", owned(&free_text::context(&Uuid::from_u128(2)))),
        ];
        for (sql, context) in contexts {
            let (secret,): (String,) = statement(sql).fetch_one(&database).await.expect(sql);
            let context: Vec<&[u8]> = context.iter().map(Vec::as_slice).collect();
            let plain = seal::open(&new, &context, &secret).expect(sql);
            assert_eq!(plain.as_slice(), b"a secret");
        }
    }
}
