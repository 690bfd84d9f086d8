//! The buckets of all limits, and the one rule about taking from several: all or nothing.
//!
//! In memory for the embedded and the memory store; a store whose buckets lie elsewhere fills one of these with the few
//! that a call needs, lets it decide, and writes back what [`Buckets::changed`] names.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::verification::limit::{self, Bucket, BucketKey, Limited, Take};

/// Parts that buckets lie in, so that a store can write all of them a part at a time.
pub const SHARDS: usize = 64;

/// Buckets by key. An absent one is as good as new.
#[derive(Debug)]
pub struct Buckets {
    shards: Vec<HashMap<BucketKey, Bucket>>,
    changed: Vec<BucketKey>,
}

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets { shards: vec![HashMap::new(); SHARDS], changed: Vec::new() }
    }
}

static UNUSED: Bucket = Bucket { values: Vec::new(), forget_at: Timestamp(0) };

impl Buckets {
    /// The state of a bucket.
    pub fn get(&self, key: &BucketKey) -> &Bucket {
        self.shards[shard_of(key)].get(key).unwrap_or(&UNUSED)
    }

    /// Takes from every limit, or from none, and says which one refuses for the longest time.
    pub fn take_all(&mut self, takes: &[Take], now: Timestamp) -> Result<(), Limited> {
        let refused = takes.iter().filter_map(|take| take.judge(self.get(&take.key), now).err());
        if let Some(limited) = refused.max_by_key(|limited| limited.retry_after) {
            return Err(limited);
        }
        for take in takes {
            take.apply(self.edit(take.key), now);
        }
        Ok(())
    }

    /// One more wrong code in a row.
    pub fn count_failure(&mut self, key: BucketKey, now: Timestamp) {
        limit::count_failure(self.edit(key), now);
    }

    /// As good as new again. False when it was.
    pub fn clear(&mut self, key: &BucketKey) -> bool {
        if self.get(key).values.is_empty() {
            return false;
        }
        limit::clear(self.edit(*key));
        true
    }

    /// Gives back the newest taking from a bucket of windows: the message never went out.
    pub fn give_back(&mut self, key: BucketKey) {
        if !self.get(&key).values.is_empty() {
            self.edit(key).values.pop();
        }
    }

    /// Sets a bucket as it was stored.
    pub fn restore(&mut self, key: BucketKey, bucket: Bucket) {
        self.shards[shard_of(&key)].insert(key, bucket);
    }

    /// The buckets changed since the last call, with their states. Names one twice when it changed twice.
    pub fn changed(&mut self) -> Vec<(BucketKey, Bucket)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| (key, self.get(&key).clone())).collect()
    }

    /// Forgets buckets that are as good as new.
    pub fn forget(&mut self, now: Timestamp) {
        for shard in &mut self.shards {
            shard.retain(|_, bucket| bucket.forget_at > now);
        }
    }

    /// The buckets of one shard.
    pub fn shard(&self, shard: usize) -> impl Iterator<Item = (&BucketKey, &Bucket)> {
        self.shards[shard].iter()
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(HashMap::len).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(HashMap::is_empty)
    }

    fn edit(&mut self, key: BucketKey) -> &mut Bucket {
        self.changed.push(key);
        self.shards[shard_of(&key)].entry(key).or_default()
    }
}

/// The shard of a key. Keys are hashes, so their first byte is as good as any.
pub fn shard_of(key: &BucketKey) -> usize {
    usize::from(key[0]) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verification::limit::{LimitName, Quota, Rule};
    use std::time::Duration;

    fn take(key: u8, count: u32) -> Take {
        let rule = Rule::Rate(Quota { count, per: Duration::from_secs(3600) });
        Take { key: [key; 16], name: LimitName::Service, rule }
    }

    #[test]
    fn one_refusal_takes_from_none() {
        let mut buckets = Buckets::default();
        assert!(buckets.take_all(&[take(1, 2), take(2, 1)], Timestamp(0)).is_ok());
        assert!(buckets.take_all(&[take(1, 2), take(2, 1)], Timestamp(0)).is_err());
        assert!(buckets.take_all(&[take(1, 2)], Timestamp(0)).is_ok(), "the refused call took nothing from it");
        assert!(buckets.take_all(&[take(1, 2)], Timestamp(0)).is_err());
    }

    #[test]
    fn names_what_changed_once_asked() {
        let mut buckets = Buckets::default();
        buckets.count_failure([9; 16], Timestamp(5));
        let changed = buckets.changed();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].1.values, [1, 5]);
        assert!(buckets.changed().is_empty());
    }

    #[test]
    fn forgets_only_what_is_as_good_as_new() {
        let mut buckets = Buckets::default();
        assert!(buckets.take_all(&[take(1, 1)], Timestamp(0)).is_ok());
        buckets.count_failure([9; 16], Timestamp(0));
        buckets.forget(Timestamp(3_600_001));
        assert_eq!(buckets.len(), 1, "failures do not fade");
    }
}
