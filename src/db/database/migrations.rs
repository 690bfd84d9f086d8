//! The tables, step by step: one list of names, a file of each for every dialect, and what has been applied of it.

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection, SqlSafeStr};

use super::error::Reason;
use super::{DataError, Dialect};

/// A migration: its name and its text, for SQLite, PostgreSQL and MySQL.
type Step = (&'static str, [&'static str; 3]);

macro_rules! steps {
    ($($name:literal),* $(,)?) => {
        &[$(($name, [
            include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
            include_str!(concat!("../../../migrations/mysql/", $name, ".sql")),
        ])),*]
    };
}

/// In the order in which they are applied. The number that a name begins with is its version.
const STEPS: &[Step] = steps![
    "0001_accounts",
    "0002_clients",
    "0003_verifications",
    "0004_services",
    "0005_factors",
    "0007_unproven_accounts",
    "0008_failures",
    "0009_ends",
];

/// Each migration with its text for SQLite: what tables there are, and of which columns, is the same in every dialect.
pub fn in_sqlite() -> impl Iterator<Item = (&'static str, &'static str)> {
    STEPS.iter().map(|(name, [sqlite, ..])| (*name, *sqlite))
}

/// The number of a migration. Gaps are allowed: numbers are given out before migrations are written.
fn version(name: &str) -> i64 {
    name.split('_').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn migrator(dialect: Dialect) -> Migrator {
    let index = match dialect {
        Dialect::Sqlite => 0,
        Dialect::Postgres => 1,
        Dialect::Mysql => 2,
    };
    let migrations = STEPS.iter().map(|(name, texts)| {
        let sql = texts[index].into_sql_str();
        Migration::new(version(name), (*name).into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Applies what is missing. Of many that do so at once one works, and the others wait and find nothing to do.
pub(super) fn run(mut connection: AnyConnection, dialect: Dialect) -> BoxFuture<'static, Result<(), DataError>> {
    let work = async move {
        let migrator = migrator(dialect);
        if dialect == Dialect::Sqlite {
            let mut change = connection.begin_with("BEGIN IMMEDIATE").await?;
            migrator.run_direct(None, &mut *change, false).await?;
            change.commit().await?;
        } else {
            if dialect == Dialect::Mysql {
                wait_for_turn(&mut connection).await?;
            }
            // The server's own lock is held meanwhile.
            migrator.run_direct(None, &mut connection, false).await?;
        }
        Ok(connection.close().await?)
    };
    Box::pin(work)
}

/// MariaDB takes the endless wait that sqlx asks for its lock to mean none at all: so a lock of our own comes first. It goes with
/// the connection.
async fn wait_for_turn(connection: &mut AnyConnection) -> Result<(), DataError> {
    let asked = "SELECT CAST(COALESCE(GET_LOCK(CONCAT('countersign-', SHA1(DATABASE())), 60), 0) AS SIGNED)";
    let (got,): (i64,) = sqlx::query_as(asked).fetch_one(connection).await?;
    if got == 1 { Ok(()) } else { Err(DataError::because(Reason::Slow, "others migrate")) }
}

/// Every migration, of a database that is not there yet.
pub(super) fn none_applied() -> Vec<crate::db::Migration> {
    STEPS.iter().map(|(name, _)| crate::db::Migration::of_ours(name, false)).collect()
}

/// Every migration, and whether the database has it; then those that it has from a newer version.
pub(super) async fn status(connection: &mut AnyConnection) -> Result<Vec<crate::db::Migration>, DataError> {
    let applied = "SELECT version, description FROM _sqlx_migrations ORDER BY version";
    let mut applied: Vec<(i64, String)> = match sqlx::query_as(applied).fetch_all(connection).await.map_err(DataError::from) {
        // No table, no migration.
        Err(error) if error.reason() == Reason::Other => Vec::new(),
        applied => applied?,
    };
    let mut all: Vec<_> = STEPS
        .iter()
        .map(|(name, _)| {
            let before = applied.len();
            applied.retain(|(found, _)| *found != version(name));
            crate::db::Migration::of_ours(name, applied.len() < before)
        })
        .collect();
    // Ours are written down by their whole names; whoever writes otherwise is named by both.
    let named = |(version, name): (i64, String)| if self::version(&name) == version { name } else { format!("{version:04}_{name}") };
    all.extend(applied.into_iter().map(|newer| crate::db::Migration::of_newer(named(newer))));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise() {
        let versions: Vec<_> = STEPS.iter().map(|(name, _)| version(name)).collect();
        assert!(versions[0] > 0 && versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    }
}
