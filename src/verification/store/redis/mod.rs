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
mod packed;
mod peer;
mod reply;
mod rows;
mod script;
mod takes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::from_redis_value;
use uuid::Uuid;

use crate::clock::{Timestamp, milliseconds};
use crate::hex;
use crate::verification::limit::{Bucket, BucketKey, Limited, Take};
use crate::verification::model::{Event, EventKind, Origin, Status, Verification, VerificationId};
use crate::verification::policy::worth_sending;
use crate::verification::store::ledger::{database, same_code_again, to_json};
use crate::verification::store::name::Name;
use crate::verification::store::pending::{pending_key, reference_key};
use crate::verification::store::{
    Approve, Attempt, AttemptOutcome, CancelOutcome, Checked, Delivered, EventSink, Heartbeat, IdempotencyClaim, Receipt, ReceiptState,
    Resend, Sending, Start, Store, StoreError, Target,
};

use durable::{Durable, DurableLog};
use link::{Link, may_have_run};
use packed::Packed;
pub use peer::{PeerConfig, PeerError};
use reply::{Reply, unreadable};
use rows::{add_origin, id_text, index_key, packed_event};
use script::{Call, Script};
use takes::{add_failures, add_takes, add_windows};

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
    async fn run(&self, script: &'static Script, now: Timestamp, arguments: Packed) -> Result<(String, Reply), StoreError> {
        self.latest.fetch_max(now.0, Ordering::Relaxed);
        let call = Call::new(script, now, arguments);
        // Each round was lost to somebody who emptied Redis in between.
        for _ in 0..3 {
            let mut reply = Reply::of(self.link.run(&call).await?)?;
            let verdict = reply.needed()?;
            if verdict != "COLD" {
                return Ok((verdict, reply));
            }
            self.durable.bring(&self.link, now).await?;
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
        let arguments = Packed::new().add(id_text(delivered.id)).number(delivered.message.into());
        let arguments = match &delivered.result {
            Ok((provider, reference)) => {
                arguments.add("sent").add(provider).add(reference).key(&reference_key(reference)).add(same_code_again(provider))
            }
            Err(undelivered) => {
                let outcome = if undelivered.perhaps_sent { "perhaps" } else { "failed" };
                arguments.add(outcome).add(&undelivered.cause)
            }
        };
        let (verdict, mut reply) = self.run(&script::DELIVERED, delivered.now, arguments).await?;
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

/// What many scripts take first (`lua/claims.lua`).
fn claimed(claim: Option<&IdempotencyClaim>) -> Packed {
    match claim {
        Some(claim) => Packed::new().list(2).add(hex::digits(&claim.key)).add(hex::digits(&claim.payload)),
        None => Packed::new().maybe(None::<&str>),
    }
}

/// What a key is given again for a check: a JSON text.
fn replayed(mut reply: Reply) -> Result<Checked, StoreError> {
    serde_json::from_str(&reply.needed()?).map_err(database)
}

#[async_trait]
impl Store for RedisStore {
    async fn start(&self, start: Start) -> Result<Sending, StoreError> {
        let Start { verification, takes, sends, rearm, idempotency, origin, now } = start;
        // Rounded up: a life is in whole milliseconds.
        let name = self.name.get();
        let least = worth_sending(now.until(verification.expires_at)).as_micros().div_ceil(1000) as i64;
        let arguments = rows::add_row(claimed(idempotency.as_ref()), &verification)?;
        let arguments = arguments.add(id_text(name)).number(self.kept_ms()).flag(rearm).number(least);
        let arguments = add_takes(add_windows(add_origin(arguments, &origin), &sends), &takes);
        let answer = self.run(&script::START, now, arguments).await.inspect_err(|error| self.doubt(error))?;
        self.sent(name, answer, &takes, origin, now)
    }

    async fn resend(&self, resend: Resend) -> Result<Sending, StoreError> {
        let (now, name) = (resend.now, self.name.get());
        let arguments = claimed(resend.idempotency.as_ref())
            .add(id_text(resend.id))
            .add(resend.service.as_bytes())
            .number(resend.revision.into())
            .add(id_text(name))
            .add(resend.channel.as_str())
            .number(resend.generation.into())
            .add(resend.tag.0)
            .number(resend.pepper_id.into())
            .number(resend.expires_at.0);
        let arguments = add_takes(add_windows(add_origin(arguments, &resend.origin), &resend.sends), &resend.takes);
        let answer = self.run(&script::RESEND, now, arguments).await.inspect_err(|error| self.doubt(error))?;
        self.sent(name, answer, &resend.takes, resend.origin, now)
    }

    async fn attempt(&self, attempt: Attempt) -> Result<AttemptOutcome, StoreError> {
        let now = attempt.now;
        let (id, purpose, newest) = match &attempt.target {
            Target::Id(id) => (Some(id_text(*id)), None, None),
            Target::IdFor { id, purpose } => (Some(id_text(*id)), Some(*purpose), None),
            Target::Newest { purpose, destination } => {
                (None, None, Some(hex::digits(&pending_key(&attempt.service, purpose, destination))))
            }
        };
        let arguments = claimed(attempt.idempotency.as_ref()).add(attempt.service.as_bytes()).maybe(id).maybe(purpose).maybe(newest);
        let arguments = add_failures(add_origin(arguments, &attempt.origin), attempt.subject_failures);
        let (verdict, mut reply) = self.run(&script::ATTEMPT, now, add_takes(arguments, &attempt.takes)).await?;
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
        let arguments = claimed(approve.idempotency.as_ref()).add(id_text(approve.id)).number(approve.generation.into());
        let arguments = add_origin(arguments, &approve.origin).add(to_json(&checked)?);
        let (verdict, mut reply) = self.run(&script::APPROVE, approve.now, arguments).await?;
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
        let answer = answer.as_ref().map(to_json).transpose()?;
        self.run(&script::ANSWERED, self.latest(), claimed(Some(&claim)).maybe(answer)).await.map(drop)
    }

    async fn cancel(
        &self,
        service: &str,
        id: VerificationId,
        origin: Origin,
        detail: Option<&'static str>,
        now: Timestamp,
    ) -> Result<CancelOutcome, StoreError> {
        let arguments = add_origin(Packed::new().add(id_text(id)).add(service), &origin).maybe(detail);
        let (verdict, mut reply) = self.run(&script::CANCEL, now, arguments).await?;
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
        let arguments = Packed::new()
            .add(id_text(receipt.id))
            .number(receipt.message.into())
            .add(&receipt.provider)
            .add(kind.as_str())
            .add(delivery)
            .add(&receipt.detail);
        let (verdict, mut reply) = self.run(&script::RECEIPT, receipt.now, arguments).await?;
        if verdict != "YES" {
            return Ok(None);
        }
        let row = rows::row(reply.list()?)?;
        self.happened(&row, kind, Origin::default(), Some(receipt.detail), receipt.now);
        Ok(Some(Box::new(row)))
    }

    async fn release(&self, failures: BucketKey, event: Event) -> Result<bool, StoreError> {
        let arguments = Packed::new().key(&failures).add(id_text(event.about)).number(event.revision.into());
        let arguments = arguments.add(packed_event(&event)).number(self.kept_ms());
        let (verdict, mut reply) = self.run(&script::RELEASE, event.at, arguments).await?;
        if verdict != "YES" {
            return Ok(false);
        }
        self.durable.write(reply.list()?).await?;
        self.sink.committed(&[event]);
        Ok(true)
    }

    async fn take(&self, takes: Vec<Take>, now: Timestamp) -> Result<Result<(), Limited>, StoreError> {
        let (verdict, reply) = self.run(&script::TAKE, now, add_takes(Packed::new(), &takes)).await?;
        if verdict == "LIMITED" { takes::limited(reply, &takes).map(Err) } else { Ok(Ok(())) }
    }

    async fn clear(&self, buckets: Vec<BucketKey>) -> Result<(), StoreError> {
        let arguments = buckets.iter().fold(Packed::new().list(buckets.len()), Packed::key);
        let (_, mut reply) = self.run(&script::CLEAR, self.latest(), arguments).await?;
        self.durable.write(reply.list()?).await
    }

    async fn get(&self, service: &str, id: VerificationId) -> Result<Option<(Verification, Bucket)>, StoreError> {
        let (verdict, mut reply) = self.run(&script::GET, self.latest(), Packed::new().add(service).add(id_text(id))).await?;
        if verdict == "YES" { rows::row_and_bucket(reply.list()?).map(Some) } else { Ok(None) }
    }

    async fn timeline(&self, id: VerificationId) -> Result<Vec<Event>, StoreError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(format!("{}:v:{}", self.link.base(), id_text(id)));
        let fields: BTreeMap<String, Vec<u8>> = from_redis_value(self.link.ask(&command, self.latest()).await?).map_err(database)?;
        let events = fields.into_iter().filter_map(|(field, packed)| Some((field.parse::<u32>().ok()?, packed)));
        let mut events: Vec<_> = events.map(|(revision, packed)| rows::event(id, revision, &packed)).collect::<Result<_, _>>()?;
        events.sort_unstable_by_key(|event| event.revision);
        Ok(events)
    }

    async fn list(
        &self,
        service: &str,
        destination: [u8; 16],
        before: Option<VerificationId>,
        limit: usize,
    ) -> Result<Vec<(Verification, Bucket)>, StoreError> {
        let index = index_key(service, &destination);
        let arguments = Packed::new().add(service).key(&index).maybe(before.map(id_text)).number(limit as i64);
        let mut listed = self.run(&script::LIST, self.latest(), arguments).await?.1.list()?;
        let mut rows = Vec::new();
        while !listed.is_empty() {
            rows.push(rows::row_and_bucket(listed.list()?)?);
        }
        Ok(rows)
    }

    async fn heartbeat(&self, until: Timestamp) -> Result<Heartbeat, StoreError> {
        let (name, new) = (self.name.get(), self.name.following());
        // The time of the call itself decides nothing here.
        let arguments = Packed::new().add(id_text(name)).add(id_text(new)).number(until.0);
        let (verdict, _) = self.run(&script::HEARTBEAT, self.latest(), arguments).await?;
        if verdict == "KEPT" {
            return Ok(Heartbeat::Kept);
        }
        self.name.set(new);
        Ok(Heartbeat::Renamed(new))
    }

    async fn shared_clock(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut shown = Reply::of(self.link.ask(&redis::cmd("TIME"), self.latest()).await?)?;
        let (seconds, microseconds) = (shown.number::<i64>()?, shown.number::<i64>()?);
        Ok(Some(Timestamp(seconds * 1000 + microseconds / 1000)))
    }

    async fn undelivered(&self, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
        let name = self.name.get();
        let arguments = Packed::new().add(id_text(name)).number((now + ADOPTER_LIFE).0);
        let mut dead = self.run(&script::DEAD, now, arguments).await?.1.list()?;
        let mut adopted = Vec::new();
        while !dead.is_empty() {
            let (replica, mut after) = (dead.needed()?, String::new());
            loop {
                let arguments = Packed::new().add(&replica).add(id_text(name)).add(&after).number(ADOPTED_AT_ONCE);
                let (_, mut reply) = match self.run(&script::ADOPT, now, arguments).await {
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
        let (_, mut reply) = self.run(&script::SWEEP, now, Packed::new().number(before.0).number(SWEPT_AT_ONCE)).await?;
        Ok(reply.number::<usize>()? + self.durable.sweep(now).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Not PING: ready is who can run scripts on a server that has the failures.
        self.run(&script::TAKE, self.latest(), Packed::new().list(0)).await.map(drop)
    }
}
