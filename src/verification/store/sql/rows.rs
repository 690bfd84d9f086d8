//! The rows of one batch, held in memory while its transitions run: exactly those that they said they need.
//!
//! A row that nobody asked for is not absent but unknown, and to ask for it is an error: a rule must never decide over a row
//! that was not locked.

use std::collections::HashMap;
use std::sync::Arc;

use crate::verification::model::{Delivery, Event, EventKind, Verification, VerificationId};
use crate::verification::store::StoreError;
use crate::verification::store::ledger::{IdempotencyRow, Rows, database};

/// A row was wanted that the batch had not said that it needs.
#[derive(Debug, thiserror::Error)]
#[error("a transition touched a row that it had not named")]
pub struct Unforeseen;

/// A row, and what must become of it in the database.
#[derive(Debug, Clone)]
pub struct Held<T> {
    /// As it stands; none where there is none.
    pub row: Option<T>,
    /// Whether the database has it.
    pub is_stored: bool,
    /// Whether it was touched.
    pub is_changed: bool,
}

impl<T> Held<T> {
    /// As the database has it.
    pub fn stored(row: Option<T>) -> Held<T> {
        Held { is_stored: row.is_some(), row, is_changed: false }
    }
}

/// A verification, and the replica that its newest message waits at.
#[derive(Debug, Clone)]
pub struct Owned {
    /// The verification.
    pub verification: Verification,
    /// Who is to hand its message to a provider; none once it was handed over.
    pub queued_by: Option<Arc<str>>,
}

/// What a batch holds.
#[derive(Debug, Default)]
pub struct SqlRows {
    /// This process.
    pub replica: Arc<str>,
    /// Verifications.
    pub verifications: HashMap<VerificationId, Held<Owned>>,
    /// What is kept for callers' keys.
    pub idempotency: HashMap<[u8; 32], Held<IdempotencyRow>>,
}

impl Rows for SqlRows {
    fn get(&mut self, id: VerificationId) -> Result<Option<Verification>, StoreError> {
        let held = self.verifications.get(&id).ok_or_else(|| database(Unforeseen))?;
        Ok(held.row.as_ref().map(|owned| owned.verification.clone()))
    }

    fn insert(&mut self, verification: &Verification) -> Result<(), StoreError> {
        let owned = Owned { verification: verification.clone(), queued_by: None };
        self.verifications.insert(verification.id, Held { row: Some(owned), is_stored: false, is_changed: true });
        Ok(())
    }

    fn append(&mut self, verification: &Verification, event: &Event) -> Result<(), StoreError> {
        let held = self.verifications.get_mut(&verification.id).ok_or_else(|| database(Unforeseen))?;
        let before = held.row.take().and_then(|owned| owned.queued_by);
        let queued_by = match (verification.delivery, event.kind) {
            (Delivery::Queued, EventKind::Started | EventKind::Resent) => Some(Arc::clone(&self.replica)),
            (Delivery::Queued, _) => before,
            _ => None,
        };
        held.row = Some(Owned { verification: verification.clone(), queued_by });
        held.is_changed = true;
        Ok(())
    }

    // The ledger hands its events over with the batch.
    fn event(&mut self, _: &Event) -> Result<(), StoreError> {
        Ok(())
    }

    fn idempotency(&mut self, key: &[u8; 32]) -> Result<Option<IdempotencyRow>, StoreError> {
        let held = self.idempotency.get(key).ok_or_else(|| database(Unforeseen))?;
        Ok(held.row.clone())
    }

    fn keep_idempotency(&mut self, key: &[u8; 32], row: &IdempotencyRow) -> Result<(), StoreError> {
        let held = self.idempotency.get_mut(key).ok_or_else(|| database(Unforeseen))?;
        held.row = Some(row.clone());
        held.is_changed = true;
        Ok(())
    }
}
