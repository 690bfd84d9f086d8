//! One batch within its transaction: lock and load what it needs, let the ledger decide, write back what changed.
//!
//! Rows that are not there cannot be locked. Where two batches make the same one, the second to write is refused by the primary
//! key, is undone whole, and runs again over what the first one made ([`Failure::Again`]). So nothing is written before it is
//! known that it will change, and what is new is written once. A key of a caller that was not there and is not made either (a
//! limit refused) is looked for once more at the end: who made it meanwhile may be the one who used that limit up.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::connection::Change;
use super::failure::Failure;
use super::needs::{Needs, With};
use super::records::{self, BucketRecord, EventRecord, IdempotencyRecord, ReferenceRecord, StateRecord, VerificationRecord, json};
use super::rows::{Held, Owned, SqlRows, Unforeseen};
use super::statement::{BUCKET, EVENT, IDEMPOTENCY, REFERENCE, Table, VERIFICATION};
use crate::clock::Timestamp;
use crate::hex;
use crate::verification::limit::{Bucket, BucketKey};
use crate::verification::model::{CodeBy, Event, Status, Verification};
use crate::verification::policy::LIFE_MAX;
use crate::verification::store::ledger::{Ledger, database};
use crate::verification::store::pending::{Holder, PendingIndex, reference_key};

/// What a batch locked, and what of it there was.
pub struct Batch {
    /// Runs the transitions.
    pub ledger: Ledger<SqlRows>,
    /// Buckets that are locked, as the database has them.
    buckets: HashMap<BucketKey, Option<Bucket>>,
    /// Destinations that only this batch looks at, and until when that is worth a row; only those that have none.
    new_guards: Vec<(BucketKey, Timestamp)>,
    references: HashMap<BucketKey, Option<Holder>>,
}

impl Batch {
    /// Locks and loads, each kind in the order of its keys.
    pub async fn load(change: &mut Change, mut needs: Needs, replica: &Arc<str>) -> Result<Batch, Failure> {
        let mut rows = SqlRows { replica: Arc::clone(replica), ..SqlRows::default() };
        for row in lock(change, &IDEMPOTENCY, needs.idempotency.iter().map(|key| hex::digits(key))).await? {
            let (key, kept) = records::idempotency(&row)?;
            rows.idempotency.insert(key, Held::stored(Some(kept)));
        }
        for key in &needs.idempotency {
            rows.idempotency.entry(*key).or_insert_with(|| Held::stored(None));
        }
        let guards = buckets(change, &needs.guards).await?;
        let new_guards = needs.pending.iter().filter(|(key, _)| needs.guards.contains(*key) && !guards.contains_key(*key));
        let new_guards = new_guards.map(|(key, (now, _))| (*key, *now + LIFE_MAX)).collect();
        find_pending(change, &mut needs).await?;
        for row in lock(change, &VERIFICATION, needs.verifications.keys().map(ToString::to_string)).await? {
            let (verification, queued_by) = records::verification(&row)?;
            let owned = Owned { verification, queued_by: queued_by.map(Into::into) };
            rows.verifications.insert(owned.verification.id, Held::stored(Some(owned)));
        }
        let mut pending = PendingIndex::default();
        let mut reference_keys = BTreeSet::new();
        let since = needs.pending.values().map(|(since, _)| *since).min();
        // In the order of their ids, which is the order of time.
        for (id, With { failures, sends, all_services }) in &needs.verifications {
            let held = rows.verifications.entry(*id).or_insert_with(|| Held::stored(None));
            let Some(Owned { verification, .. }) = &held.row else { continue };
            needs.buckets.extend(failures.then_some(verification.failures_key));
            needs.buckets.extend(sends.then(|| verification.sends_key()));
            needs.buckets.extend(all_services.then(|| verification.all_services_key()));
            if verification.status == Status::Pending && since.is_some_and(|since| verification.expires_at > since) {
                pending.enter(verification);
            }
            reference_keys.extend(references_of(verification, &needs));
        }
        let mut references: HashMap<_, _> = reference_keys.iter().map(|key| (*key, None)).collect();
        for row in lock(change, &REFERENCE, reference_keys.iter().map(|key| hex::digits(key))).await? {
            let (key, holder) = records::reference(&row)?;
            pending.restore(key, holder.clone());
            references.insert(key, Some(holder));
        }
        let mut ledger = Ledger { rows, buckets: Default::default(), pending, events: Vec::new() };
        let mut locked: HashMap<_, _> = needs.buckets.iter().map(|key| (*key, None)).collect();
        for (key, bucket) in buckets(change, &needs.buckets).await? {
            ledger.buckets.restore(key, bucket.clone());
            locked.insert(key, Some(bucket));
        }
        Ok(Batch { ledger, buckets: locked, new_guards, references })
    }

    /// Writes what changed, and gives the events away.
    pub async fn write(mut self, change: &mut Change) -> Result<Vec<Event>, Failure> {
        let SqlRows { verifications, idempotency, .. } = &self.ledger.rows;
        let missed = idempotency.iter().filter(|(_, held)| !held.is_stored && !held.is_changed);
        let missed: BTreeSet<_> = missed.map(|(key, _)| hex::digits(key)).collect();
        if !lock(change, &IDEMPOTENCY, missed.into_iter()).await?.is_empty() {
            return Err(Failure::Again(database(Made)));
        }
        let kept = touched(idempotency).map(|(key, row, is_stored)| (IdempotencyRecord::new(key, row), is_stored));
        upsert(change, &IDEMPOTENCY, kept.collect()).await?;

        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for (_, Owned { verification, queued_by }, is_stored) in touched(verifications) {
            match is_stored {
                true => changed.push(StateRecord::new(verification, queued_by.as_deref())),
                false => new.push(VerificationRecord::new(verification, queued_by.as_deref())?),
            }
        }
        put(change, change.dialect.insert(&VERIFICATION), &new).await?;
        put(change, change.dialect.update(&VERIFICATION), &changed).await?;
        let events = std::mem::take(&mut self.ledger.events);
        put(change, change.dialect.insert(&EVENT), &events.iter().map(EventRecord::new).collect::<Vec<_>>()).await?;

        let mut references = Vec::new();
        for (key, before) in &self.references {
            match self.ledger.pending.holder(key) {
                Some(holder) if before.as_ref() != Some(holder) => references.push((ReferenceRecord::new(key, holder), before.is_some())),
                _ => {}
            }
        }
        upsert(change, &REFERENCE, references).await?;

        let mut buckets = Vec::new();
        for key in self.ledger.buckets.changed() {
            let before = self.buckets.get(&key).ok_or_else(|| database(Unforeseen))?;
            let bucket = self.ledger.buckets.get(&key);
            // A gate that was asked is as it was.
            if *bucket != before.clone().unwrap_or_default() {
                buckets.push((BucketRecord::new(&key, bucket)?, before.is_some()));
            }
        }
        for (key, forget_at) in self.new_guards {
            buckets.push((BucketRecord::new(&key, &Bucket { values: Vec::new(), forget_at })?, false));
        }
        upsert(change, &BUCKET, buckets).await?;
        Ok(events)
    }
}

/// Somebody made a row while we decided that there is none.
#[derive(Debug, thiserror::Error)]
#[error("a caller's key was used at the same time")]
struct Made;

/// Rows by their keys, locked.
async fn lock(change: &mut Change, table: &Table, keys: impl Iterator<Item = String>) -> Result<Vec<sqlx::any::AnyRow>, Failure> {
    let keys = table.keyed(keys);
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    change.rows(change.dialect.lock(table), [json(&keys)?.into()]).await
}

async fn buckets(change: &mut Change, keys: &BTreeSet<BucketKey>) -> Result<HashMap<BucketKey, Bucket>, Failure> {
    let mut found = HashMap::new();
    for row in lock(change, &BUCKET, keys.iter().map(|key| hex::digits(key))).await? {
        if let Some(bucket) = records::bucket(&row)? {
            found.insert(records::bytes(&row, "bucket_key")?, bucket);
        }
    }
    Ok(found)
}

/// Adds the verifications that "the newest one of a destination" may mean.
async fn find_pending(change: &mut Change, needs: &mut Needs) -> Result<(), Failure> {
    let Some(since) = needs.pending.values().map(|(since, _)| since.0).min() else { return Ok(()) };
    let keys: Vec<_> = needs.pending.keys().map(|key| [("pending_key", hex::digits(key))].into()).collect::<Vec<HashMap<_, _>>>();
    for row in change.rows(change.dialect.pending(), [json(&keys)?.into(), since.into()]).await? {
        let key: BucketKey = records::bytes(&row, "pending_key")?;
        let with = needs.pending.get(&key).map(|(_, with)| *with).unwrap_or_default();
        needs.found(records::id(&row, "id")?, with);
    }
    Ok(())
}

/// Keys of the references that a transition of this verification looks at, where the provider made the code.
fn references_of(verification: &Verification, needs: &Needs) -> Vec<BucketKey> {
    if verification.code_by != CodeBy::Provider {
        return Vec::new();
    }
    let known = verification.delivered_by.iter().map(|(_, reference)| reference);
    known.chain(needs.references.get(&verification.id).into_iter().flatten()).map(|reference| reference_key(reference)).collect()
}

/// What was touched, in the order of the keys, and whether the database has it.
fn touched<K: Ord, T>(held: &HashMap<K, Held<T>>) -> impl Iterator<Item = (&K, &T, bool)> {
    let mut touched: Vec<_> = held.iter().filter(|(_, held)| held.is_changed).collect();
    touched.sort_unstable_by_key(|(key, _)| *key);
    touched.into_iter().filter_map(|(key, held)| held.row.as_ref().map(|row| (key, row, held.is_stored)))
}

/// Makes those that the database does not have, and changes the others.
async fn upsert<R: Serialize + Ord>(change: &mut Change, table: &Table, mut rows: Vec<(R, bool)>) -> Result<(), Failure> {
    rows.sort_unstable();
    let of = |wanted: bool| rows.iter().filter(move |(_, is_stored)| *is_stored == wanted).map(|(row, _)| row).collect::<Vec<_>>();
    put(change, change.dialect.insert(table), &of(false)).await?;
    put(change, change.dialect.update(table), &of(true)).await
}

/// Writes rows, if there are any. Rows that are locked are there: fewer than that were not ours.
async fn put(change: &mut Change, sql: String, rows: &[impl Serialize]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let written = change.execute(sql, [json(rows)?.into()]).await?;
    if written as usize == rows.len() { Ok(()) } else { Err(database(Unforeseen).into()) }
}
