//! What is kept of our own passwords: Argon2id over what the pepper makes of the password (PWD-02).
//!
//! `$argon2id$v=19$m=19456,t=2,p=1,keyid=…$salt$hash`; `keyid` names the pepper, so that a hash of the one before is known
//! and replaced at the next sign-in. A hash without it was made elsewhere and is none of ours.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;

use super::Password;
use super::phc::{Phc, decode, encode};
use crate::secret::{Entropy, Pepper};

/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// How much work a hash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// KiB.
    pub memory: u32,
    /// Passes.
    pub passes: u32,
}

/// The parameters are out of Argon2's range, or there is no memory.
#[derive(Debug, thiserror::Error)]
#[error("Argon2id did not work: {0}")]
pub struct NotHashed(argon2::Error);

/// One of our hashes.
pub struct Keyed {
    /// Names the pepper.
    pub pepper: u32,
    /// How it was made.
    pub work: Work,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Keyed {
    /// One of ours; none for everything else.
    pub fn parse(text: &str) -> Option<Keyed> {
        let phc = Phc::parse(text)?;
        let pepper = <[u8; 4]>::try_from(decode(phc.text("keyid")?)?).ok()?;
        let work = Work { memory: phc.number("m")?, passes: phc.number("t")? };
        let ours = phc.name == "argon2id" && phc.version == Some("19") && phc.number("p") == Some(1);
        // A short hash would be easy to meet; ours never are.
        let whole = phc.hash.len() == HASH_BYTES && phc.salt.len() == SALT_BYTES;
        (ours && whole).then_some(Keyed { pepper: u32::from_be_bytes(pepper), work, salt: phc.salt, hash: phc.hash })
    }

    /// Whether the password made it, in a time that does not depend on how alike they are.
    pub fn is_of(&self, password: &Password, pepper: &Pepper, blocks: &mut Vec<Block>) -> Result<bool, NotHashed> {
        Ok(derive(password, pepper, self.work, &self.salt, blocks)?.ct_eq(&self.hash).into())
    }
}

/// How a hash names its pepper.
pub fn key_id(pepper: &Pepper) -> String {
    encode(&pepper.id().to_be_bytes())
}

/// A new hash.
pub fn hash(password: &Password, pepper: &Pepper, work: Work, entropy: &dyn Entropy, blocks: &mut Vec<Block>) -> Result<String, NotHashed> {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    let hash = derive(password, pepper, work, &salt, blocks)?;
    let (Work { memory, passes }, keyid) = (work, key_id(pepper));
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p=1,keyid={keyid}${}${}", encode(&salt), encode(&hash)))
}

fn derive(password: &Password, pepper: &Pepper, work: Work, salt: &[u8], blocks: &mut Vec<Block>) -> Result<[u8; HASH_BYTES], NotHashed> {
    let params = Params::new(work.memory, work.passes, 1, Some(HASH_BYTES)).map_err(NotHashed)?;
    // The memory stays with the thread from one password to the next: asking the system for it costs as much as a pass.
    blocks.resize(params.block_count(), Block::default());
    // All of the password counts, its zeros too: what Argon2id is given always has 32 bytes.
    let key = zeroize::Zeroizing::new(pepper.digest(b"countersign password\0", |add| add(password.expose().as_bytes())));
    let mut hash = [0; HASH_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(&*key, salt, &mut hash, blocks).map_err(NotHashed)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    const WORK: Work = Work { memory: 19_456, passes: 2 };

    fn made(text: &str, key: u8) -> String {
        let password = Password::parse(text).expect("a password");
        hash(&password, &pepper(key), WORK, &SystemEntropy, &mut Vec::new()).expect("a hash")
    }

    fn pepper(key: u8) -> Pepper {
        Pepper::new(&[key; 32]).expect("long enough")
    }

    fn fits(text: &str, key: u8, hash: &str) -> bool {
        let password = Password::parse(text).expect("a password");
        Keyed::parse(hash).expect("ours").is_of(&password, &pepper(key), &mut Vec::new()).expect("judged")
    }

    /// PWD-02, PWD-04: what is stored, what fits, and that nothing is cut off: neither after 72 bytes nor at a zero.
    #[test]
    fn only_the_same_password_under_the_same_pepper_fits() {
        let long = "x".repeat(72);
        let hash = made(&format!("{long}a"), 1);
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1"), "{hash}");
        assert!(fits(&format!("{long}a"), 1, &hash) && !fits(&format!("{long}b"), 1, &hash) && !fits(&long, 1, &hash));
        assert!(!fits(&format!("{long}a"), 2, &hash));
        let zero = made("a\0b", 1);
        assert!(fits("a\0b", 1, &zero) && !fits("a", 1, &zero) && !fits("a\0c", 1, &zero));
        assert!(fits("\u{e4}", 1, &made("a\u{308}", 1)));
        assert_ne!(made("same", 1), made("same", 1), "each has a salt of its own");
    }

    #[test]
    fn hashes_that_are_not_ours_are_told_apart() {
        let ours = made("password", 1);
        assert_eq!(Keyed::parse(&ours).map(|keyed| (keyed.pepper, keyed.work)), Some((pepper(1).id(), WORK)));
        let (head, tail) = ours.split_once(",keyid=").expect("a keyid");
        let rest = tail.split_once('$').expect("a salt").1;
        assert!(Keyed::parse(&format!("{head}${rest}")).is_none(), "no keyid");
        assert!(Keyed::parse(&ours[..ours.len() - 4]).is_none(), "a short hash");
        assert!(Keyed::parse(&ours.replace("argon2id", "argon2i")).is_none() && Keyed::parse("").is_none());
    }
}
