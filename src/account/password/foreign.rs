//! Hashes that other systems made: bcrypt, Argon2, scrypt and PBKDF2 in the forms in which they are usually stored.
//!
//! They are good for one sign-in, which replaces them. Refused: what cannot be checked (other schemes, a key that we do not
//! have, a part that is missing), and what would take so much memory or time that whoever imports it has a weapon (A51).

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::Password;
use super::phc::{Phc, decode, number};

/// Dearest bcrypt: 2.4 s.
const BCRYPT_COST_MAX: u32 = 15;
/// Most memory, in KiB: 128 MiB. Only one such hash is checked at a time.
const MEMORY_MAX: u32 = 131_072;
/// Most KiB written in all passes of Argon2: about half a second.
const ARGON2_TRAFFIC_MAX: u32 = 1_048_576;
/// Most lanes of Argon2.
const LANES_MAX: u32 = 16;
/// Most work of scrypt, N × r × p: twice what OWASP names.
const SCRYPT_WORK_MAX: u64 = 1 << 21;
/// Most rounds of PBKDF2: about half a second.
const PBKDF2_ROUNDS_MAX: u32 = 2_000_000;
/// A hash of fewer bytes is met by chance, one of none always.
const HASH_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// Why a hash is not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither of the schemes.
    #[error("its password hash is of a kind that is not known here (known: bcrypt, argon2, scrypt, pbkdf2)")]
    Scheme,
    /// Cut off, or changed.
    #[error("its password hash is incomplete or damaged")]
    Damaged,
    /// It would keep a processor busy for seconds, or fill the memory.
    #[error("its password hash asks for more memory or time than a sign-in may take")]
    TooCostly,
    /// It was made with a secret key beside the password.
    #[error("its password hash needs a key of the system that made it")]
    Key,
}

/// A hash that can be checked.
pub struct Foreign(Scheme);

enum Scheme {
    Bcrypt(String),
    Argon2 { argon2: Argon2<'static>, memory: u32, salt: Vec<u8>, hash: Vec<u8> },
    Scrypt { params: scrypt::Params, memory: u32, salt: Vec<u8>, hash: Vec<u8> },
    Pbkdf2 { digest: Digest, rounds: u32, salt: Vec<u8>, hash: Vec<u8> },
}

#[derive(Clone, Copy)]
enum Digest {
    Sha256,
    Sha512,
}

impl Foreign {
    /// Takes a hash over, or says why not. Never repeats it.
    pub fn parse(text: &str) -> Result<Foreign, Refused> {
        let scheme = if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            bcrypt(text)
        } else if text.starts_with("pbkdf2_sha256$") {
            django(text)
        } else if text.starts_with("$argon2") {
            argon2(text)
        } else if text.starts_with("$scrypt$") {
            scrypt(text)
        } else if text.starts_with("$pbkdf2-sha256$") || text.starts_with("$pbkdf2-sha512$") {
            pbkdf2(text)
        } else {
            Err(Refused::Scheme)
        };
        scheme.map(Foreign)
    }

    /// Memory that a check takes, in KiB.
    pub fn memory(&self) -> u32 {
        match &self.0 {
            Scheme::Argon2 { memory, .. } | Scheme::Scrypt { memory, .. } => *memory,
            Scheme::Bcrypt(_) | Scheme::Pbkdf2 { .. } => 4,
        }
    }

    /// Whether the password made it.
    pub fn is_of(&self, password: &Password) -> bool {
        password.spellings().any(|spelling| self.is_of_bytes(spelling.as_bytes()))
    }

    fn is_of_bytes(&self, password: &[u8]) -> bool {
        match &self.0 {
            // To bcrypt "a" and "a", zero, "a" are one password: it repeats what it is given, with a zero after it.
            Scheme::Bcrypt(hash) => !password.contains(&0) && bcrypt::verify(password, hash).unwrap_or(false),
            Scheme::Argon2 { argon2, salt, hash, .. } => same(hash, |out| argon2.hash_password_into(password, salt, out).is_ok()),
            Scheme::Scrypt { params, salt, hash, .. } => same(hash, |out| scrypt::scrypt(password, salt, params, out).is_ok()),
            Scheme::Pbkdf2 { digest, rounds, salt, hash } => same(hash, |out| {
                match digest {
                    Digest::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *rounds, out),
                    Digest::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, *rounds, out),
                }
                true
            }),
        }
    }
}

fn same(hash: &[u8], make: impl FnOnce(&mut [u8]) -> bool) -> bool {
    let mut made = vec![0; hash.len()];
    make(&mut made) && made.ct_eq(hash).into()
}

/// `$2b$12$` and 53 characters.
fn bcrypt(text: &str) -> Result<Scheme, Refused> {
    let cost = text.get(4..6).and_then(number).ok_or(Refused::Damaged)?;
    if cost > BCRYPT_COST_MAX {
        return Err(Refused::TooCostly);
    }
    let whole = cost >= 4 && text.len() == 60 && text.parse::<bcrypt::HashParts>().is_ok();
    if whole { Ok(Scheme::Bcrypt(text.to_owned())) } else { Err(Refused::Damaged) }
}

/// `$argon2id$v=19$m=65536,t=3,p=4$salt$hash`, also `argon2i`, `argon2d`, and version 16, which has no `v=`.
fn argon2(text: &str) -> Result<Scheme, Refused> {
    let phc = whole(text)?;
    let algorithm = Algorithm::new(phc.name).map_err(|_| Refused::Scheme)?;
    let version = match phc.version {
        Some("19") => Version::V0x13,
        None | Some("16") => Version::V0x10,
        Some(_) => return Err(Refused::Scheme),
    };
    let parameter = |name| phc.number(name).ok_or(Refused::Damaged);
    let (memory, passes, lanes) = (parameter("m")?, parameter("t")?, parameter("p")?);
    if phc.text("keyid").is_some() {
        return Err(Refused::Key);
    }
    if memory > MEMORY_MAX || memory.saturating_mul(passes) > ARGON2_TRAFFIC_MAX || lanes > LANES_MAX {
        return Err(Refused::TooCostly);
    }
    let mut params = ParamsBuilder::new();
    params.m_cost(memory).t_cost(passes).p_cost(lanes).output_len(phc.hash.len());
    if let Some(data) = phc.text("data") {
        params.data(AssociatedData::new(&decode(data).ok_or(Refused::Damaged)?).map_err(|_| Refused::Damaged)?);
    }
    let params = params.build().map_err(|_| Refused::Damaged)?;
    if phc.salt.len() < argon2::MIN_SALT_LEN {
        return Err(Refused::Damaged);
    }
    Ok(Scheme::Argon2 { argon2: Argon2::new(algorithm, version, params), memory, salt: phc.salt, hash: phc.hash })
}

/// `$scrypt$ln=17,r=8,p=1$salt$hash`.
fn scrypt(text: &str) -> Result<Scheme, Refused> {
    let phc = whole(text)?;
    let parameter = |name| phc.number(name).ok_or(Refused::Damaged);
    let (log_n, r, p) = (parameter("ln")?, parameter("r")?, parameter("p")?);
    let n = 1_u64.checked_shl(log_n).filter(|n| *n > 1).ok_or(Refused::TooCostly)?;
    let blocks = n.saturating_mul(u64::from(r));
    let memory = u32::try_from(blocks.saturating_mul(128) / 1024).map_err(|_| Refused::TooCostly)?;
    if memory > MEMORY_MAX || blocks.saturating_mul(u64::from(p)) > SCRYPT_WORK_MAX {
        return Err(Refused::TooCostly);
    }
    let log_n = u8::try_from(log_n).map_err(|_| Refused::TooCostly)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| Refused::Damaged)?;
    Ok(Scheme::Scrypt { params, memory, salt: phc.salt, hash: phc.hash })
}

/// `$pbkdf2-sha256$i=600000,l=32$salt$hash`, or passlib's `$pbkdf2-sha256$29000$salt$hash`.
fn pbkdf2(text: &str) -> Result<Scheme, Refused> {
    let phc = whole(text)?;
    let rounds = rounds(phc.number("i").or_else(|| phc.bare_number()))?;
    let digest = if phc.name == "pbkdf2-sha512" { Digest::Sha512 } else { Digest::Sha256 };
    Ok(Scheme::Pbkdf2 { digest, rounds, salt: phc.salt, hash: phc.hash })
}

/// Django's `pbkdf2_sha256$1000000$salt$hash`, whose salt is text.
fn django(text: &str) -> Result<Scheme, Refused> {
    let parts: Vec<_> = text.split('$').collect();
    let &[_, turns, salt, hash] = parts.as_slice() else { return Err(Refused::Damaged) };
    let hash = decode(hash).filter(|hash| HASH_BYTES.contains(&hash.len())).ok_or(Refused::Damaged)?;
    Ok(Scheme::Pbkdf2 { digest: Digest::Sha256, rounds: rounds(number(turns))?, salt: salt.into(), hash })
}

fn rounds(rounds: Option<u32>) -> Result<u32, Refused> {
    match rounds {
        None | Some(0) => Err(Refused::Damaged),
        Some(rounds) if rounds > PBKDF2_ROUNDS_MAX => Err(Refused::TooCostly),
        Some(rounds) => Ok(rounds),
    }
}

fn whole(text: &str) -> Result<Phc<'_>, Refused> {
    Phc::parse(text).filter(|phc| HASH_BYTES.contains(&phc.hash.len())).ok_or(Refused::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse ä";
    const DJANGO: &str = "pbkdf2_sha256$1000$saltySalt$m6SmOeWqbxT256N/g4sb3siIeen7EJV/35etltXax9Q=";
    const PASSLIB: &str = "$pbkdf2-sha256$1000$.vv8/f7/AAAAAAAAAAAAAA$0M8gEYqHfjZVJQoWvtDKmS9fBAYTSFRYWh3/P.9k/pY";
    const SHA512: &str = "$pbkdf2-sha512$i=1000,l=32$+vv8/f7/AAAAAAAAAAAAAA$6Jeq4/PVrKMIwKQOLcjhKm+lakKU0KUlqFMbBJIAiRc";
    const SCRYPT: &str = "$scrypt$ln=10,r=8,p=2$+vv8/f7/AAAAAAAAAAAAAA$J/SYGSCh47KONeovm0qcGtjXRl925vdFempQ2amelcU";
    const ARGON2ID: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    const ARGON2I: &str = "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA";
    const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    fn fits(hash: &str, password: &str) -> bool {
        let foreign = Foreign::parse(hash).unwrap_or_else(|refused| panic!("{hash}: {refused}"));
        foreign.is_of(&Password::parse(password).expect("a password"))
    }

    fn refusal(hash: &str) -> Option<Refused> {
        Foreign::parse(hash).err()
    }

    /// Hashes made by Python's hashlib, and the published vectors of bcrypt and Argon2.
    #[test]
    fn hashes_of_other_systems_fit_their_password_only() {
        for (hash, password) in [
            (DJANGO, PASSWORD),
            (PASSLIB, PASSWORD),
            (SHA512, PASSWORD),
            (SCRYPT, PASSWORD),
            (ARGON2ID, "password"),
            (ARGON2I, "password"),
            (BCRYPT, "U*U"),
            (&BCRYPT.replace("$2a$", "$2b$"), "U*U"),
            (&BCRYPT.replace("$2a$", "$2y$"), "U*U"),
        ] {
            assert!(fits(hash, password), "{hash}");
            assert!(!fits(hash, &password.to_uppercase().replace("U*", "V*")), "{hash}");
        }
    }

    /// PWD-04: what was hashed as it was typed is found as it is typed, and to bcrypt a zero is no way around.
    #[test]
    fn spellings_and_zeros() {
        let apart = "ga\u{308}nse";
        let hash = bcrypt::hash_with_salt(apart, 4, [7; 16]).expect("a hash").to_string();
        assert!(fits(&hash, apart) && !fits(&hash, "g\u{e4}nse"));
        let composed = bcrypt::hash_with_salt("g\u{e4}nse", 4, [7; 16]).expect("a hash").to_string();
        assert!(fits(&composed, apart) && fits(&composed, "g\u{e4}nse"));
        let short = bcrypt::hash_with_salt("a", 4, [7; 16]).expect("a hash").to_string();
        assert!(fits(&short, "a") && !fits(&short, "a\0a"));
    }

    /// A51: what would take absurd memory or time is refused where it is imported.
    #[test]
    fn absurd_costs_are_refused() {
        for hash in [
            BCRYPT.replace("$05$", "$16$"),
            BCRYPT.replace("$05$", "$31$"),
            DJANGO.replace("1000", "2000001"),
            PASSLIB.replace("1000", "4294967295"),
            SHA512.replace("i=1000", "i=99000000"),
            SCRYPT.replace("ln=10", "ln=18"),
            SCRYPT.replace("ln=10", "ln=64"),
            SCRYPT.replace("r=8", "r=4294967295"),
            SCRYPT.replace("p=2", "p=4294967295"),
            ARGON2ID.replace("m=65536", "m=131073"),
            ARGON2ID.replace("t=2", "t=17"),
            ARGON2ID.replace("t=2", "t=4294967295"),
            ARGON2ID.replace("p=1", "p=17"),
        ] {
            assert_eq!(refusal(&hash), Some(Refused::TooCostly), "{hash}");
        }
        for dear in [ARGON2ID.replace("m=65536,t=2,p=1", "m=102400,t=2,p=8"), SCRYPT.replace("ln=10,r=8,p=2", "ln=17,r=8,p=1")] {
            assert_eq!(refusal(&dear), None, "{dear}");
        }
    }

    /// Nothing that is cut off passes: an empty hash would fit every password.
    #[test]
    fn damaged_and_unknown_ones_are_refused() {
        for hash in [
            &BCRYPT[..59],
            "$2a$xx$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2a$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2a$",
            "pbkdf2_sha256$1000$saltySalt$",
            "pbkdf2_sha256$0$saltySalt$m6SmOeWqbxT256N/g4sb3siIeen7EJV/35etltXax9Q=",
            "$pbkdf2-sha256$1000$AAAA$",
            "$scrypt$ln=10,r=8$AAAAAAAA$J/SYGSCh47KONeovm0qcGg",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=65536,t=2,p=1$$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            assert_eq!(refusal(hash), Some(Refused::Damaged), "{hash}");
        }
        for hash in ["", "hunter2", "5f4dcc3b5aa765d61d8327deb882cf99", "$1$salt$hash", "$6$salt$hash", "$2x$05$CCCC", "{SSHA}abc"] {
            assert_eq!(refusal(hash), Some(Refused::Scheme), "{hash}");
        }
        assert_eq!(refusal(&ARGON2ID.replace("p=1", "p=1,keyid=AAAABw")), Some(Refused::Key));
    }
}
