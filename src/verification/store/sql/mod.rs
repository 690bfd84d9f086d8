//! The store that servers share: PostgreSQL, MySQL and MariaDB (and SQLite, by the same text).
//!
//! [`writer`] commits what waits in one transaction, [`needs`] says what a transition may touch, [`batch`] locks and loads that,
//! lets the one [`super::ledger`] decide over it ([`rows`]), and writes back what changed; [`statement`] has the SQL and
//! [`records`] the rows. [`queue`] is about messages of replicas that no longer live, [`sweep`] removes the old.

mod batch;
mod connection;
mod failure;
mod job;
mod needs;
mod queue;
pub(super) mod records;
mod rows;
mod statement;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::database::{Database, Value};
use crate::verification::limit::{Bucket, BucketKey, Limited, Take};
use crate::verification::model::{Event, Origin, Verification, VerificationId};
use crate::verification::store::ledger::Ledger;
use crate::verification::store::name::Name;
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, EventSink, Heartbeat, IdempotencyClaim, Receipt, Resend, Sending,
    Start, Store, StoreError,
};

use connection::Connections;
use failure::Failure;
use needs::Needs;
use rows::SqlRows;
use statement::VERIFICATION;
use sweep::Broom;
use writer::Writer;

/// Verifications and limits in a database that other servers use at the same time.
pub struct SqlStore {
    writer: Writer,
    connections: Connections,
    name: Arc<Name>,
    broom: Broom,
}

impl SqlStore {
    /// Uses the tables in that database, as that replica. Must be called within the runtime.
    pub fn new(database: Database, replica: Uuid, sink: Arc<dyn EventSink>) -> SqlStore {
        let connections = Connections::new(database);
        let name = Arc::new(Name::new(replica));
        let writer = Writer::start(connections.clone(), Arc::clone(&name), sink);
        SqlStore { writer, connections, name, broom: Broom::default() }
    }

    /// Transitions that wait for the next batch.
    pub fn queue_depth(&self) -> usize {
        self.writer.queue_depth()
    }

    /// Verifications with the buckets of their messages, as one statement sees them.
    async fn found(&self, which: &str, values: Vec<Value>) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        let sql = format!(
            "SELECT {}, bucket.state, bucket.forget_at FROM verification LEFT JOIN bucket ON bucket.bucket_key = verification.sends_key \
             WHERE {which}",
            VERIFICATION.selected()
        );
        let rows = self.connections.rows(sql, values).await.map_err(Failure::into_error)?;
        rows.iter().map(|row| Ok((records::verification(row)?.0, records::bucket(row)?.unwrap_or_default()))).collect()
    }
}

/// As it was queued: by the name that this very batch gave it.
fn queued_by(mut sending: Sending, ledger: &Ledger<SqlRows>) -> Sending {
    if let Sending::Queued(verification, _) = &mut sending {
        verification.queued_by = ledger.rows.replica.parse().ok();
    }
    sending
}

#[async_trait]
impl Store for SqlStore {
    async fn start(&self, start: Start) -> Result<Sending, StoreError> {
        self.writer.run(Needs::start(&start), move |ledger| ledger.start(start.clone()).map(|sending| queued_by(sending, ledger))).await
    }

    async fn resend(&self, resend: Resend) -> Result<Sending, StoreError> {
        self.writer.run(Needs::resend(&resend), move |ledger| ledger.resend(resend.clone()).map(|sending| queued_by(sending, ledger))).await
    }

    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        self.writer.run(Needs::attempt(&attempt), move |ledger| ledger.attempt(attempt.clone())).await
    }

    async fn approve(&self, approve: Approve) -> Result<bool, StoreError> {
        self.writer.run(Needs::approve(&approve), move |ledger| ledger.approve(approve.clone())).await
    }

    async fn answered(&self, claim: IdempotencyClaim, answer: Option<Checked>) -> Result<(), StoreError> {
        self.writer.run(Needs::answered(claim), move |ledger| ledger.answered(claim, answer.as_ref())).await
    }

    async fn cancel(
        &self,
        service: &str,
        id: VerificationId,
        origin: Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let service = service.to_owned();
        self.writer.run(Needs::cancel(id), move |ledger| ledger.cancel(&service, id, &origin, detail, now)).await
    }

    async fn delivered(&self, delivered: Vec<Delivered>) -> Result<usize, StoreError> {
        self.writer.run(Needs::delivered(&delivered), move |ledger| ledger.delivered_all(delivered.clone())).await
    }

    async fn receipt(&self, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        self.writer.run(Needs::receipt(&receipt), move |ledger| ledger.receipt(receipt.clone())).await
    }

    async fn release(&self, failures: BucketKey, event: Event) -> Result<bool, StoreError> {
        self.writer.run(Needs::buckets(&[failures]), move |ledger| ledger.release(&failures, event.clone())).await
    }

    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError> {
        self.writer.run(Needs::takes(&takes), move |ledger| Ok(ledger.buckets.take_all(&takes, now))).await
    }

    async fn clear(&self, buckets: Vec<BucketKey>) -> Result<(), StoreError> {
        let needs = Needs::buckets(&buckets);
        let clear = move |ledger: &mut Ledger<SqlRows>| {
            ledger.clear(&buckets);
            Ok(())
        };
        self.writer.run(needs, clear).await
    }

    async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        let found = self.found("verification.id = ? AND verification.service = ?", vec![id.to_string().into(), service.into()]).await?;
        Ok(found.into_iter().next())
    }

    async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError> {
        let sql = format!("SELECT {} FROM event WHERE event.about = ? ORDER BY event.revision", statement::EVENT.selected());
        let rows = self.connections.rows(sql, [id.to_string().into()]).await.map_err(Failure::into_error)?;
        rows.iter().map(records::event).collect()
    }

    async fn list(
        &self,
        service: &str,
        destination: [u8; 16],
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        let before = before.unwrap_or(Uuid::max()).to_string();
        let values = vec![records::list_key(service, &destination).into(), before.into(), (limit as i64).into()];
        self.found("verification.list_key = ? AND verification.id < ? ORDER BY verification.id DESC LIMIT ?", values).await
    }

    async fn heartbeat(&self, until: Timestamp) -> Result<Heartbeat, StoreError> {
        queue::heartbeat(&self.connections, &self.name, until).await.map_err(Failure::into_error)
    }

    async fn shared_clock(&self) -> Result<Option<Timestamp>, StoreError> {
        queue::shared_clock(&self.connections).await.map_err(Failure::into_error)
    }

    async fn undelivered(&self, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
        queue::undelivered(&self.connections, &self.name, now).await.map_err(Failure::into_error)
    }

    async fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
        self.broom.sweep(&self.connections, before, now).await.map_err(Failure::into_error)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.connections.rows("SELECT 1".to_owned(), []).await.map(drop).map_err(Failure::into_error)
    }
}
