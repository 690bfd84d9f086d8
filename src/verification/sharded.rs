//! A map in parts. Whoever must go over all of it (to forget, to write it out) goes over one part at a time, so that nobody
//! who waits for the map waits for long.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Parts of a map.
pub const SHARDS: usize = 64;

/// Keys are hashes already (SHA-256, cut), which nobody can aim: eight of their bytes are as good as another hash of them.
#[derive(Debug, Default)]
pub struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk::<8>() {
            self.0 = u64::from_ne_bytes(*last);
        }
    }

    // The length of a key: always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

type Shard<V> = HashMap<[u8; 16], V, BuildHasherDefault<AlreadyHashed>>;

/// A map by 128-bit hashes.
#[derive(Debug)]
pub struct Sharded<V> {
    shards: Vec<Shard<V>>,
    next: usize,
}

impl<V> Default for Sharded<V> {
    fn default() -> Sharded<V> {
        Sharded { shards: (0..SHARDS).map(|_| Shard::default()).collect(), next: 0 }
    }
}

impl<V> Sharded<V> {
    /// The value of a key.
    pub fn get(&self, key: &[u8; 16]) -> Option<&V> {
        self.shards[shard_of(key)].get(key)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &[u8; 16]) -> Option<&mut V> {
        self.shards[shard_of(key)].get_mut(key)
    }

    /// The value of a key, made when there is none.
    pub fn entry(&mut self, key: [u8; 16]) -> &mut V
    where
        V: Default,
    {
        self.shards[shard_of(&key)].entry(key).or_default()
    }

    /// Sets a value.
    pub fn insert(&mut self, key: [u8; 16], value: V) {
        self.shards[shard_of(&key)].insert(key, value);
    }

    /// Removes a value.
    pub fn remove(&mut self, key: &[u8; 16]) {
        self.shards[shard_of(key)].remove(key);
    }

    /// One shard.
    pub fn shard(&self, shard: usize) -> impl Iterator<Item = (&[u8; 16], &V)> {
        self.shards[shard].iter()
    }

    /// Removes what `keep` does not want, in the next shard: call it again and again.
    pub fn tidy(&mut self, keep: impl FnMut(&[u8; 16], &mut V) -> bool) {
        self.shards[self.next].retain(keep);
        self.next = (self.next + 1) % SHARDS;
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(HashMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(HashMap::is_empty)
    }
}

/// The shard of a key. Keys are hashes, so their first byte is as good as any.
pub fn shard_of(key: &[u8; 16]) -> usize {
    usize::from(key[0]) % SHARDS
}
