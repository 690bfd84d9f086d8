//! How much work a password is, and how much of it is done at once.

use serde::{Deserialize, Serialize};

use crate::verification::request::InvalidField;

/// What guards against guessing as well as OWASP's least: a pass fewer wants so much more memory. (Passes, KiB)
const LEAST: [(u32, u32); 5] = [(1, 47_104), (2, 19_456), (3, 12_288), (4, 9_216), (5, 7_168)];
/// Most memory for one hash, in KiB: 256 MiB.
const MEMORY_MAX: u32 = 262_144;
/// Most passes.
const PASSES_MAX: u32 = 10;
/// Most threads.
const THREADS_MAX: usize = 256;
/// Most sign-ins that wait.
const QUEUE_MAX: usize = 100_000;

/// The part of `[accounts]` that is about hashing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HashSettings {
    /// Threads that hash, and nothing else does; 0 means one for each core. Each uses `hash_memory` while it works.
    pub hash_threads: usize,
    /// Sign-ins that may wait for a thread. Who comes then is told to come again.
    pub hash_queue: usize,
    /// Argon2id: memory for one hash, in KiB.
    pub hash_memory: u32,
    /// Argon2id: passes over that memory.
    pub hash_passes: u32,
}

impl Default for HashSettings {
    fn default() -> HashSettings {
        HashSettings { hash_threads: 0, hash_queue: 200, hash_memory: 19_456, hash_passes: 2 }
    }
}

impl HashSettings {
    /// Whether the values are within their ranges.
    pub fn check(&self) -> Result<(), InvalidField> {
        if self.hash_threads > THREADS_MAX {
            return Err(InvalidField::new("hash_threads", format!("must be 0 (one for each core) to {THREADS_MAX}")));
        }
        if !(1..=QUEUE_MAX).contains(&self.hash_queue) {
            return Err(InvalidField::new("hash_queue", format!("must be 1 to {QUEUE_MAX}")));
        }
        if !(1..=PASSES_MAX).contains(&self.hash_passes) {
            return Err(InvalidField::new("hash_passes", format!("must be 1 to {PASSES_MAX}")));
        }
        let least = LEAST.iter().filter(|(passes, _)| *passes <= self.hash_passes).map(|(_, memory)| *memory).min().unwrap_or(MEMORY_MAX);
        if !(least..=MEMORY_MAX).contains(&self.hash_memory) {
            let rule = format!("must be {least} to {MEMORY_MAX} (KiB) with hash_passes = {}", self.hash_passes);
            return Err(InvalidField::new("hash_memory", rule));
        }
        Ok(())
    }

    /// The number of threads, with 0 made out.
    pub fn threads(&self) -> usize {
        match self.hash_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PWD-02: nothing weaker than the least can be configured.
    #[test]
    fn only_strong_parameters_are_accepted() {
        let with = |hash_passes, hash_memory| HashSettings { hash_passes, hash_memory, ..HashSettings::default() }.check().is_ok();
        assert!(HashSettings::default().check().is_ok());
        for (passes, memory) in LEAST {
            assert!(with(passes, memory) && !with(passes, memory - 1), "{passes} {memory}");
        }
        assert!(with(10, 7_168) && with(2, 262_144));
        assert!(!with(0, 47_104) && !with(11, 47_104) && !with(2, 262_145) && !with(10, 7_167));
    }

    #[test]
    fn there_is_always_somebody_who_works() {
        assert!(HashSettings::default().threads() >= 1);
        assert!(HashSettings { hash_queue: 0, ..HashSettings::default() }.check().is_err());
        assert!(HashSettings { hash_threads: 257, ..HashSettings::default() }.check().is_err());
    }
}
