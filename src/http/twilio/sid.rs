//! SIDs: two letters for the kind, and 32 hexadecimal digits.
//!
//! Where a thing has a UUID the digits are that, so that nothing need be stored to translate. What has only a name gets the
//! digest of it. They are names and no secrets: whoever knows one may do nothing by that.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::secret::Entropy;

/// Accounts: a client of ours.
pub const ACCOUNT: &str = "AC";
/// API keys.
pub const KEY: &str = "SK";
/// Services.
pub const SERVICE: &str = "VA";
/// Verifications.
pub const VERIFICATION: &str = "VE";
/// Attempts: one message of a verification.
pub const ATTEMPT: &str = "VL";
/// Rate limits.
pub const RATE_LIMIT: &str = "RK";
/// Buckets of rate limits.
pub const BUCKET: &str = "BL";

/// Messages of one verification that an attempt's SID can tell apart.
const MESSAGES: u32 = 64;

/// The SID of what has that id.
pub fn of(kind: &str, id: Uuid) -> String {
    format!("{kind}{}", id.simple())
}

/// The id in a SID of that kind; none for anything else.
pub fn id(kind: &str, sid: &str) -> Option<Uuid> {
    digits(kind, sid).and_then(|digits| Uuid::try_parse(digits).ok())
}

/// The SID as we write it, in lower case; none for anything else.
pub fn canonical(kind: &str, sid: &str) -> Option<String> {
    digits(kind, sid).map(|digits| format!("{kind}{}", digits.to_ascii_lowercase()))
}

/// Whether it reads like a SID of that kind.
pub fn is(kind: &str, sid: &str) -> bool {
    digits(kind, sid).is_some()
}

/// The SID of what has only a name: the digest of it.
pub fn named(kind: &str, name: &str) -> String {
    let digest = Sha256::new().chain_update(b"countersign sid\0").chain_update(kind).chain_update([0]).chain_update(name).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    of(kind, Uuid::from_bytes(half))
}

/// A new one.
pub fn random(kind: &str, entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    of(kind, Uuid::from_bytes(bytes))
}

/// The SID of a verification's message, counted from 1. The six bits of a UUIDv7 that are always the same hold its number;
/// messages beyond the 64th have none.
pub fn attempt(verification: Uuid, message: u32) -> Option<String> {
    let number = message.checked_sub(1).filter(|number| *number < MESSAGES)? as u8;
    let mut bytes = verification.into_bytes();
    bytes[6] = bytes[6] & 0x0f | (number & 0x0f) << 4;
    bytes[8] = bytes[8] & 0x3f | (number >> 4) << 6;
    Some(of(ATTEMPT, Uuid::from_bytes(bytes)))
}

/// The verification and the number of the message that an attempt's SID names.
pub fn attempted(sid: &str) -> Option<(Uuid, u32)> {
    let mut bytes = id(ATTEMPT, sid)?.into_bytes();
    let number = bytes[6] >> 4 | (bytes[8] >> 6) << 4;
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Some((Uuid::from_bytes(bytes), u32::from(number) + 1))
}

fn digits<'a>(kind: &str, sid: &'a str) -> Option<&'a str> {
    let digits = sid.strip_prefix(kind)?;
    (digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        let verification = Uuid::try_parse("019a9b7e-3c4d-7fff-bfff-0123456789ab").expect("an id");
        let sid = of(VERIFICATION, verification);
        assert_eq!(sid, "VE019a9b7e3c4d7fffbfff0123456789ab");
        assert_eq!(id(VERIFICATION, &sid), Some(verification));
        assert_eq!(id(VERIFICATION, &sid.to_uppercase()), Some(verification));
        for wrong in
            ["", "VE", "VA019a9b7e3c4d7fffbfff0123456789ab", "VE019a9b7e-3c4d-7fff-bfff-0123456789ab", "VEg19a9b7e3c4d7fffbfff0123456789ab"]
        {
            assert_eq!(id(VERIFICATION, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_message_has_an_attempt_of_its_own() {
        let verification = Uuid::try_parse("019a9b7e-3c4d-7a5a-a5a5-0123456789ab").expect("an id");
        let sids: std::collections::HashSet<_> = (1..=64).map(|message| attempt(verification, message).expect("a SID")).collect();
        assert_eq!(sids.len(), 64);
        for message in 1..=64 {
            assert_eq!(attempt(verification, message).and_then(|sid| attempted(&sid)), Some((verification, message)));
        }
        assert_eq!((attempt(verification, 0), attempt(verification, 65)), (None, None));
    }

    #[test]
    fn names_of_two_kinds_share_nothing() {
        assert!(is(SERVICE, &named(SERVICE, "default")));
        assert_ne!(named(SERVICE, "a")[2..], named(BUCKET, "a")[2..]);
    }
}
