//! The store in Redis or Valkey: verifications and limits that many replicas share.
//!
//! Each transition is one script, so Redis itself makes it one step, and a round trip; the rules are those of
//! [`super::ledger`], in Lua (`lua/`), held to it by the conformance suite and by a test that compares the arithmetic. All keys
//! begin with `{prefix}` and so lie in one slot of a cluster, because a start takes from the limits of a destination, an address,
//! a service and a country at once, or from none: a Cluster or Sentinels keep the store there, they do not spread it.
//!
//! Everything that Redis holds can be lost with it, save what [`durable`] keeps in SQL. It refuses to judge without that.

pub mod durable;
pub mod link;
mod peer;
mod reply;
mod rows;
mod script;
mod takes;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::{Timestamp, milliseconds};
use crate::hex;
use crate::verification::limit::{Bucket, BucketKey, Limited, Take};
use crate::verification::model::{Event, EventKind, Origin, Status, Verification, VerificationId};
use crate::verification::policy::worth_sending;
use crate::verification::store::ledger::{same_code_again, to_json};
use crate::verification::store::name::Name;
use crate::verification::store::pending::{pending_key, reference_key};
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, EventSink, Heartbeat, IdempotencyClaim, Receipt, ReceiptState,
    Resend, Sending, Start, Store, StoreError, Target,
};

use durable::{Durable, DurableLog};
use link::{Link, may_have_run};
pub use peer::{PeerConfig, PeerError};
use reply::{Reply, unreadable};
use rows::{event_text, id_text, index_key, origin_text};
use script::Call;
use takes::{add_takes, failures_text, windows_text};

/// Kept beyond the retention, which housekeeping enforces by the caller's clock: for when nobody keeps house.
const SLACK: Duration = Duration::from_secs(3600);
/// Rows that one step of housekeeping removes: about a millisecond of Redis's time.
const SWEPT_AT_ONCE: i64 = 50;
/// Messages taken over by one script.
const ADOPTED_AT_ONCE: i64 = 200;
/// A replica that takes over lives so long, should it have told nobody yet.
const ADOPTER_LIFE: Duration = Duration::from_secs(10);

/// Verifications and limits in Redis.
pub struct RedisStore {
    link: Link,
    durable: Durable,
    sink: Arc<dyn EventSink>,
    name: Name,
    retention: Duration,
    /// The latest time that a caller told, for the calls that tell none.
    latest: AtomicI64,
}

impl RedisStore {
    /// A store that connects when it is first needed. `replica` names this process among those that share the data. Must be
    /// called within the runtime.
    pub fn new(link: Link, log: Arc<dyn DurableLog>, sink: Arc<dyn EventSink>, replica: Uuid, retention: Duration) -> RedisStore {
        RedisStore { link, durable: Durable::new(log), sink, name: Name::new(replica), retention, latest: AtomicI64::default() }
    }

    /// What the operator of this Redis should change; asks it.
    pub async fn advice(&self) -> Result<Vec<&'static str>, StoreError> {
        Ok(self.link.meet(self.latest()).await?.advice())
    }

    /// Runs a script: its verdict and what follows. Where Redis has lost the failures, they are brought first.
    async fn run(&self, call: &Call) -> Result<(String, Reply), StoreError> {
        self.latest.fetch_max(call.now().0, Ordering::Relaxed);
        // Each round was lost to somebody who emptied Redis in between.
        for _ in 0..3 {
            let mut reply = Reply::of(self.link.run(call).await?)?;
            let verdict = reply.needed()?;
            if verdict != "COLD" {
                return Ok((verdict, reply));
            }
            self.durable.bring(&self.link, call.now()).await?;
        }
        Err(StoreError::Overloaded)
    }

    /// Nobody knows whether what failed so has queued something; what certainly did not run has not.
    fn doubt(&self, error: &StoreError) {
        if may_have_run(error) {
            self.name.give_up();
        }
    }

    fn happened(&self, row: &Verification, kind: EventKind, origin: Origin, detail: Option<String>, at: Timestamp) {
        self.sink.committed(&[Event { about: row.id, revision: row.revision, at, kind, origin, detail }]);
    }

    fn latest(&self) -> Timestamp {
        Timestamp(self.latest.load(Ordering::Relaxed))
    }

    fn kept_ms(&self) -> i64 {
        milliseconds(self.retention.saturating_add(SLACK))
    }

    fn sent(
        &self,
        name: Uuid,
        (verdict, mut reply): (String, Reply),
        takes: &[Take],
        origin: Origin,
        now: Timestamp,
    ) -> Result<Sending, StoreError> {
        Ok(match verdict.as_str() {
            "QUEUED" => {
                let (mut row, snapshot) = rows::sending(reply.list()?)?;
                row.queued_by = Some(name);
                let kind = if row.sends == 1 { EventKind::Started } else { EventKind::Resent };
                self.happened(&row, kind, origin, None, now);
                Sending::Queued(Box::new(row), snapshot)
            }
            "REPLAYED" => Sending::Replayed(rows::sending(reply.list()?)?.1),
            "REUSED" => Sending::KeyReused,
            "LIMITED" => Sending::Limited(takes::limited(reply, takes)?),
            "NOTFOUND" => Sending::NotFound,
            "MOVED" => Sending::Moved,
            "ENDED" => Sending::Ended(reply.named(parse_status)?),
            _ => return Err(unreadable("a verdict")),
        })
    }

    async fn delivered_one(&self, delivered: &Delivered) -> Result<bool, StoreError> {
        let call = Call::new(&script::DELIVERED, delivered.now).add(id_text(delivered.id)).number(delivered.message.into());
        let call = match &delivered.result {
            Ok((provider, reference)) => {
                call.add("sent").add(provider).add(reference).key(&reference_key(reference)).add(same_code_again(provider))
            }
            Err(undelivered) => {
                let outcome = if undelivered.perhaps_sent { "perhaps" } else { "failed" };
                call.add(outcome).add(&undelivered.cause).add("").add("").add("")
            }
        };
        let (verdict, mut reply) = self.run(&call).await?;
        if verdict != "YES" {
            return Ok(false);
        }
        let (row, kind, cause) = (rows::row(reply.list()?)?, reply.named(EventKind::parse)?, reply.needed()?);
        self.happened(&row, kind, Origin::default(), Some(cause), delivered.now);
        Ok(true)
    }
}

fn parse_status(name: &str) -> Option<Status> {
    use Status::{Approved, Canceled, Exhausted, Expired, Pending};
    [Pending, Approved, Canceled, Expired, Exhausted].into_iter().find(|status| status.as_str() == name)
}

fn add_claim(call: Call, claim: Option<&IdempotencyClaim>) -> Call {
    match claim {
        Some(claim) => call.add(hex::digits(&claim.key)).add(hex::digits(&claim.payload)),
        None => call.add("").add(""),
    }
}

/// The lowest id of that time.
fn id_at(time: Timestamp) -> String {
    id_text(uuid::Builder::from_unix_timestamp_millis(time.0.max(0) as u64, &[0; 10]).into_uuid())
}

/// What a key is given again for a check: a JSON text.
fn replayed(mut reply: Reply) -> Result<Checked, StoreError> {
    serde_json::from_str(&reply.needed()?).map_err(super::ledger::database)
}

#[async_trait]
impl Store for RedisStore {
    async fn start(&self, start: Start) -> Result<Sending, StoreError> {
        let Start { verification, takes, sends, rearm, idempotency, origin, now } = start;
        // Rounded up: a life is in whole milliseconds.
        let name = self.name.get();
        let least = worth_sending(now.until(verification.expires_at)).as_micros().div_ceil(1000) as i64;
        let call = add_claim(Call::new(&script::START, now), idempotency.as_ref())
            .add(id_text(verification.id))
            .add(id_text(name))
            .number(self.kept_ms())
            .add(id_at(now - self.retention))
            .add(if rearm { "1" } else { "0" })
            .number(least)
            .add(origin_text(&origin))
            .add(windows_text(&sends));
        let call = add_takes(rows::add_row(call, &verification)?, &takes);
        let answer = self.run(&call).await.inspect_err(|error| self.doubt(error))?;
        self.sent(name, answer, &takes, origin, now)
    }

    async fn resend(&self, resend: Resend) -> Result<Sending, StoreError> {
        let (now, name) = (resend.now, self.name.get());
        let call = add_claim(Call::new(&script::RESEND, now), resend.idempotency.as_ref())
            .add(id_text(resend.id))
            .add(resend.service.as_bytes())
            .number(resend.revision.into())
            .add(id_text(name))
            .add(origin_text(&resend.origin))
            .add(windows_text(&resend.sends))
            .add(resend.channel.as_str())
            .number(resend.generation.into())
            .add(resend.tag.0)
            .number(resend.pepper_id.into())
            .number(resend.expires_at.0);
        let answer = self.run(&add_takes(call, &resend.takes)).await.inspect_err(|error| self.doubt(error))?;
        self.sent(name, answer, &resend.takes, resend.origin, now)
    }

    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        let now = attempt.now;
        let (id, purpose, newest) = match &attempt.target {
            Target::Id(id) => (id_text(*id), "", None),
            Target::IdFor { id, purpose } => (id_text(*id), *purpose, None),
            Target::Newest { purpose, destination } => (String::new(), "", Some(pending_key(&attempt.service, purpose, destination))),
        };
        let call = add_claim(Call::new(&script::ATTEMPT, now), attempt.idempotency.as_ref())
            .add(attempt.service.as_bytes())
            .add(id)
            .add(purpose)
            .add(origin_text(&attempt.origin))
            .add(failures_text(attempt.subject_failures));
        let call = add_takes(call, &attempt.takes);
        let call = newest.iter().fold(call, Call::key);
        let (verdict, mut reply) = self.run(&call).await?;
        Ok(match verdict.as_str() {
            "JUDGE" => {
                let row = rows::row(reply.list()?)?;
                self.durable.write(reply.list()?).await?;
                self.happened(&row, EventKind::Checked, attempt.origin, None, now);
                AttemptOutcome::Judge(Box::new(row))
            }
            "ENDED" => AttemptOutcome::Ended(Box::new(rows::row(reply.list()?)?)),
            "NOTFOUND" => AttemptOutcome::NotFound,
            "LIMITED" => AttemptOutcome::Limited(takes::limited(reply, &attempt.takes)?),
            "REPLAYED" => AttemptOutcome::Replayed(replayed(reply)?),
            "INFLIGHT" => AttemptOutcome::InFlight,
            "REUSED" => AttemptOutcome::KeyReused,
            _ => return Err(unreadable("a verdict")),
        })
    }

    async fn approve(&self, approve: Approve) -> Result<bool, StoreError> {
        let checked = Checked { id: approve.id, status: Status::Approved, valid: true, attempts_left: 0 };
        let call = add_claim(Call::new(&script::APPROVE, approve.now), approve.idempotency.as_ref())
            .add(id_text(approve.id))
            .number(approve.generation.into())
            .add(origin_text(&approve.origin))
            .add(to_json(&checked)?);
        let (verdict, mut reply) = self.run(&call).await?;
        if verdict != "YES" {
            return Ok(false);
        }
        let row = rows::row(reply.list()?)?;
        if let Err(error) = self.durable.write(reply.list()?).await {
            // It is approved, and nobody else will be told so: an error would lock the right person out. It could pass again only
            // if Redis lost its last writes in this very moment, too.
            tracing::warn!(%error, verification = %row.id, "that a code was used is known to Redis only");
        }
        self.happened(&row, EventKind::Approved, approve.origin, None, approve.now);
        Ok(true)
    }

    async fn answered(&self, claim: IdempotencyClaim, answer: Option<Checked>) -> Result<(), StoreError> {
        // No rule of this transition asks for the time.
        let call = add_claim(Call::new(&script::ANSWERED, self.latest()), Some(&claim))
            .add(answer.as_ref().map(to_json).transpose()?.unwrap_or_default());
        self.run(&call).await.map(drop)
    }

    async fn cancel(
        &self,
        service: &str,
        id: VerificationId,
        origin: Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let call = Call::new(&script::CANCEL, now).add(id_text(id)).add(service).add(origin_text(&origin)).add(detail.unwrap_or_default());
        let (verdict, mut reply) = self.run(&call).await?;
        Ok(match verdict.as_str() {
            "CANCELED" => {
                let row = rows::row(reply.list()?)?;
                self.happened(&row, EventKind::Canceled, origin, detail.map(str::to_owned), now);
                CancelOutcome::Canceled(Box::new(row))
            }
            "ENDED" => CancelOutcome::Ended(Box::new(rows::row(reply.list()?)?)),
            _ => CancelOutcome::NotFound,
        })
    }

    async fn delivered(&self, delivered: Vec<Delivered>) -> Result<usize, StoreError> {
        // All at once on one connection: a round trip for each, but they overlap.
        let noted = futures_util::future::try_join_all(delivered.iter().map(|delivered| self.delivered_one(delivered))).await?;
        Ok(noted.into_iter().filter(|noted| *noted).count())
    }

    async fn receipt(&self, receipt: Receipt) -> Result<Option<Box<Verification>>, StoreError> {
        let (kind, delivery) = match receipt.state {
            ReceiptState::Underway => (EventKind::Sent, "sent"),
            ReceiptState::Delivered => (EventKind::Delivered, "delivered"),
            ReceiptState::Failed => (EventKind::DeliveryFailed, "failed"),
        };
        let call = Call::new(&script::RECEIPT, receipt.now)
            .add(id_text(receipt.id))
            .number(receipt.message.into())
            .add(&receipt.provider)
            .add(kind.as_str())
            .add(delivery)
            .add(&receipt.detail);
        let (verdict, mut reply) = self.run(&call).await?;
        if verdict != "YES" {
            return Ok(None);
        }
        let row = rows::row(reply.list()?)?;
        self.happened(&row, kind, Origin::default(), Some(receipt.detail), receipt.now);
        Ok(Some(Box::new(row)))
    }

    async fn release(&self, failures: BucketKey, event: Event) -> Result<bool, StoreError> {
        let call =
            Call::new(&script::RELEASE, event.at).key(&failures).add(id_text(event.about)).add(event_text(&event)).number(self.kept_ms());
        let (verdict, mut reply) = self.run(&call).await?;
        if verdict != "YES" {
            return Ok(false);
        }
        self.durable.write(reply.list()?).await?;
        self.sink.committed(&[event]);
        Ok(true)
    }

    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError> {
        let (verdict, reply) = self.run(&add_takes(Call::new(&script::TAKE, now), &takes)).await?;
        if verdict == "LIMITED" { takes::limited(reply, &takes).map(Err) } else { Ok(Ok(())) }
    }

    async fn clear(&self, buckets: Vec<BucketKey>) -> Result<(), StoreError> {
        let call = Call::new(&script::CLEAR, self.latest()).number(buckets.len() as i64);
        let (_, mut reply) = self.run(&buckets.iter().fold(call, Call::key)).await?;
        self.durable.write(reply.list()?).await
    }

    async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        let (verdict, mut reply) = self.run(&Call::new(&script::GET, self.latest()).add(service).add(id_text(id))).await?;
        if verdict == "YES" { rows::row_and_bucket(reply.list()?).map(Some) } else { Ok(None) }
    }

    async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError> {
        let mut command = redis::cmd("LRANGE");
        command.arg(format!("{}:e:{}", self.link.base(), id_text(id))).arg(0).arg(-1);
        let mut reply = Reply::of(self.link.ask(&command, self.latest()).await?)?;
        let mut events = Vec::new();
        while !reply.is_empty() {
            events.push(rows::event(id, &reply.needed()?)?);
        }
        Ok(events)
    }

    async fn list(
        &self,
        service: &str,
        destination: [u8; 16],
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        let call = Call::new(&script::LIST, self.latest())
            .add(service)
            .key(&index_key(service, &destination))
            .add(before.map(id_text).unwrap_or_default())
            .number(limit as i64);
        let mut listed = self.run(&call).await?.1.list()?;
        let mut rows = Vec::new();
        while !listed.is_empty() {
            rows.push(rows::row_and_bucket(listed.list()?)?);
        }
        Ok(rows)
    }

    async fn heartbeat(&self, until: Timestamp) -> Result<Heartbeat, StoreError> {
        let (name, new) = (self.name.get(), self.name.following());
        // The time of the call itself decides nothing here.
        let call = Call::new(&script::HEARTBEAT, self.latest()).add(id_text(name)).add(id_text(new)).number(until.0);
        let (verdict, _) = self.run(&call).await?;
        if verdict == "KEPT" {
            return Ok(Heartbeat::Kept);
        }
        self.name.set(new);
        Ok(Heartbeat::Renamed(new))
    }

    async fn undelivered(&self, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
        let name = self.name.get();
        let call = Call::new(&script::DEAD, now).add(id_text(name)).number((now + ADOPTER_LIFE).0);
        let mut dead = self.run(&call).await?.1.list()?;
        let mut adopted = Vec::new();
        while !dead.is_empty() {
            let (replica, mut after) = (dead.needed()?, String::new());
            loop {
                let call = Call::new(&script::ADOPT, now).add(&replica).add(id_text(name)).add(&after).number(ADOPTED_AT_ONCE);
                let (_, mut reply) = match self.run(&call).await {
                    // What was taken over is ours; whether this was as well nobody knows.
                    Err(error) => {
                        self.doubt(&error);
                        return if adopted.is_empty() { Err(error) } else { Ok(adopted) };
                    }
                    ran => ran?,
                };
                let mut some = reply.list()?;
                while !some.is_empty() {
                    adopted.push(Verification { queued_by: Some(name), ..rows::row(some.list()?)? });
                }
                after = reply.needed()?;
                if after.is_empty() {
                    break;
                }
            }
        }
        Ok(adopted)
    }

    async fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
        let (_, mut reply) = self.run(&Call::new(&script::SWEEP, now).number(before.0).number(SWEPT_AT_ONCE)).await?;
        Ok(reply.number::<usize>()? + self.durable.sweep(now).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Not PING: ready is who can run scripts on a server that has the failures.
        self.run(&Call::new(&script::TAKE, self.latest()).number(0)).await.map(drop)
    }
}
