//! What a failure of the database means for a batch: whether it may run again, whether it may have happened.

use sqlx::error::{DatabaseError, ErrorKind};

use crate::verification::store::StoreError;
use crate::verification::store::ledger::database;

/// Why a batch did not come through.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was in the way of another one and is undone: the same again may pass.
    #[error("undone: {0}")]
    Again(#[source] StoreError),
    /// The database cannot be asked. Nothing happened.
    #[error("the database cannot be asked: {0}")]
    Down(#[source] StoreError),
    /// It was being committed when the connection broke: nobody knows whether it happened. It must not run again.
    #[error("the commit was not answered: {0}")]
    Unknown(#[source] StoreError),
    /// Something in it is wrong in itself. It is undone.
    #[error("{0}")]
    Own(#[source] StoreError),
}

impl Failure {
    /// What callers are told.
    pub fn into_error(self) -> StoreError {
        match self {
            Failure::Again(error) | Failure::Down(error) | Failure::Unknown(error) | Failure::Own(error) => error,
        }
    }

    /// The same, of a commit: unless the database says that it refused, it may have happened.
    pub fn of_commit(error: sqlx::Error) -> Failure {
        match Failure::from(error) {
            again @ Failure::Again(_) => again,
            other => Failure::Unknown(other.into_error()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Own(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        match &error {
            sqlx::Error::Database(refused) if is_conflict(refused.as_ref()) => Failure::Again(database(error)),
            sqlx::Error::Database(refused) if is_end(refused.as_ref()) => Failure::Down(database(error)),
            sqlx::Error::Database(_) | sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                Failure::Own(database(error))
            }
            _ => Failure::Down(database(error)),
        }
    }
}

/// Another one made the row first, or both waited for each other, or one waited too long.
fn is_conflict(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        // Deadlock, lock wait time-out, record has changed since last read.
        Some(mysql) => matches!(mysql.number(), 1213 | 1205 | 1020) || error.kind() == ErrorKind::UniqueViolation,
        None => matches!(code.as_ref(), "40001" | "40P01" | "55P03" | "5" | "517") || error.kind() == ErrorKind::UniqueViolation,
    }
}

/// The database ends this connection, or all.
fn is_end(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        // Killed, shutting down, too many connections, may not write now.
        Some(mysql) => matches!(mysql.number(), 1317 | 1927 | 1053 | 1040 | 1290 | 1836 | 3100),
        None => ["57P", "53", "08", "57014", "25006"].iter().any(|class| code.starts_with(class)),
    }
}
