//! Ids in the order of time (UUIDv7, RFC 9562 5.7): what is made together lies together in every store.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::secret::Entropy;

/// Bytes of an id that are not its time.
pub const RANDOM_BYTES: usize = 10;

/// A new one.
pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; RANDOM_BYTES];
    entropy.fill(&mut random);
    of(now, &random)
}

/// The lowest of that time: a bound for "since then".
pub fn lowest(time: Timestamp) -> Uuid {
    of(time, &[0; RANDOM_BYTES])
}

/// The one of that time and those bytes. Times before 1970 are none.
pub fn of(time: Timestamp, random: &[u8; RANDOM_BYTES]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(time.0.max(0) as u64, random).into_uuid()
}
