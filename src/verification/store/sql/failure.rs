//! What a failure of the database means for a batch: whether it may run again, whether it may have happened.

use crate::db::database::{DataError, Reason};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::database;

/// Why a batch did not come through.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was in the way of another one and is undone: the same again may pass.
    #[error("undone: {0}")]
    Again(#[source] StoreError),
    /// The database cannot be asked, or takes too long. Nothing happened.
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
    pub fn of_commit(error: DataError) -> Failure {
        match error.reason() {
            Reason::Conflict | Reason::Constraint => Failure::Again(database(error)),
            _ => Failure::Unknown(database(error)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Own(error)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        match error.reason() {
            // A constraint: another one made the row first, mostly.
            Reason::Conflict | Reason::Constraint => Failure::Again(database(error)),
            Reason::Slow
            | Reason::Unreachable
            | Reason::ReadOnly
            | Reason::NotReady
            | Reason::Refused
            | Reason::Untrusted
            | Reason::Newer => Failure::Down(database(error)),
            Reason::Migration | Reason::Other => Failure::Own(database(error)),
        }
    }
}
