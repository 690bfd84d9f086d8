//! The buckets of all limits, and the one rule about taking from several: all or nothing.
//!
//! In memory for the embedded and the memory store; a store whose buckets lie elsewhere fills one of these with the few
//! that a call needs, lets it decide, and writes back what [`Buckets::changed`] names.

use crate::clock::Timestamp;
use crate::verification::limit::{self, Bucket, BucketKey, Limited, Take};
use crate::verification::sharded::Sharded;

/// Buckets by key. An absent one is as good as new.
#[derive(Debug, Default)]
pub struct Buckets {
    map: Sharded<Bucket>,
    changed: Vec<BucketKey>,
}

static UNUSED: Bucket = Bucket { values: Vec::new(), forget_at: Timestamp(0) };

impl Buckets {
    /// The state of a bucket.
    pub fn get(&self, key: &BucketKey) -> &Bucket {
        self.map.get(key).unwrap_or(&UNUSED)
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
    pub fn count_failure(&mut self, key: BucketKey, of_subject: bool, now: Timestamp) {
        limit::count_failure(self.edit(key), of_subject, now);
    }

    /// As good as new again. False when it was.
    pub fn clear(&mut self, key: &BucketKey) -> bool {
        if self.get(key).values.is_empty() {
            return false;
        }
        limit::clear(self.edit(*key));
        true
    }

    /// Gives back what was taken at that time from a bucket of windows: the message certainly never went out.
    pub fn give_back(&mut self, key: BucketKey, taken_at: Timestamp) {
        if let Some(place) = self.get(&key).values.iter().rposition(|time| *time == taken_at.0) {
            self.edit(key).values.remove(place);
        }
    }

    /// Sets a bucket as it was stored.
    pub fn restore(&mut self, key: BucketKey, bucket: Bucket) {
        self.map.insert(key, bucket);
    }

    /// The buckets changed since the last call, each once.
    pub fn changed(&mut self) -> Vec<BucketKey> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Forgets buckets that are as good as new, in one shard; call it again and again.
    pub fn tidy(&mut self, now: Timestamp) {
        self.map.tidy(|_, bucket| bucket.forget_at > now);
    }

    /// The buckets of one shard.
    pub fn shard(&self, shard: usize) -> impl Iterator<Item = (&BucketKey, &Bucket)> {
        self.map.shard(shard)
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    fn edit(&mut self, key: BucketKey) -> &mut Bucket {
        self.changed.push(key);
        self.map.entry(key)
    }
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
        buckets.count_failure([9; 16], false, Timestamp(4));
        buckets.count_failure([9; 16], false, Timestamp(5));
        assert_eq!(buckets.changed(), [[9; 16]]);
        assert_eq!(buckets.get(&[9; 16]).values, [2, 5]);
        assert!(buckets.changed().is_empty());
    }

    #[test]
    fn forgets_only_what_is_as_good_as_new() {
        let mut buckets = Buckets::default();
        assert!(buckets.take_all(&[take(1, 1)], Timestamp(0)).is_ok());
        buckets.count_failure([9; 16], false, Timestamp(0));
        buckets.count_failure([8; 16], true, Timestamp(0));
        let mut tidy = |hours: i64| {
            for _ in 0..crate::verification::sharded::SHARDS {
                buckets.tidy(Timestamp(hours * 3_600_000 + 1));
            }
            buckets.len()
        };
        assert_eq!(tidy(1), 2, "failures do not fade");
        assert_eq!(tidy(31 * 24), 1, "a subject's never do");
    }
}
