//! Secrets: the pepper, codes, and values that must not be printed.
//!
//! A code is never stored. It is *derived* from the pepper, a random seed that lies in the verification's row, and what
//! the code is for; so it can be sent again after a crash, and whoever reads the database learns nothing without the
//! pepper, nor whoever has the pepper without the database (OTP-05, OTP-07, D6 in the security requirements).
//! What is stored is a tag (HMAC-SHA-256) under which a candidate is compared in constant time (OTP-08).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

type HmacSha256 = Hmac<Sha256>;

/// Bytes of a verification's random seed.
pub const SEED_BYTES: usize = 16;
/// Shortest pepper that is accepted, in bytes: the strength of HMAC-SHA-256.
pub const PEPPER_MIN_BYTES: usize = 32;

/// A value that prints as `[redacted]`, so that it cannot reach a log by accident (LOG-02).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a secret.
    pub fn new(secret: T) -> Redacted<T> {
        Redacted(secret)
    }

    /// The secret itself. Each call is a place to look at in a review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Redacted<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The parser's own words would repeat the value.
        T::deserialize(deserializer).map(Redacted).map_err(|_| serde::de::Error::custom("must be text in quotes"))
    }
}

impl<T> serde::Serialize for Redacted<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

/// Where random bytes come from. Only tests use another source than [`SystemEntropy`].
pub trait Entropy: Send + Sync {
    /// Fills the buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// ChaCha12 seeded and re-seeded by the operating system: a CSPRNG without a system call for each code (OTP-01).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// A one-time code: 6 to 10 ASCII digits. It has no `Debug` and no `Display`, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code(String);

/// Why a string is no code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be 6 to 10 digits (0-9) and nothing else")]
pub struct NotACode;

impl Code {
    /// The one accepted spelling: digits only, so that no second spelling of a used code exists (TOTP-06, A09, A20).
    pub fn parse(input: &str) -> Result<Code, NotACode> {
        let right_length = (6..=10).contains(&input.len());
        if right_length && input.bytes().all(|byte| byte.is_ascii_digit()) { Ok(Code(input.to_owned())) } else { Err(NotACode) }
    }

    /// The digits. Each call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What a code is bound to: it is worth nothing elsewhere (OTP-05).
#[derive(Debug, Clone, Copy)]
pub struct CodeContext<'a> {
    /// The service that asked.
    pub service: &'a str,
    /// The verification's id.
    pub verification: &'a [u8; 16],
    /// What the code is good for.
    pub purpose: &'a str,
    /// Canonical destination.
    pub destination: &'a str,
    /// 0 for the first code, one more for each new one.
    pub generation: u32,
}

/// A server key outside the database (32 bytes or more).
#[derive(Clone)]
pub struct Pepper {
    id: u32,
    keyed: HmacSha256,
}

impl fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pepper({:08x})", self.id)
    }
}

impl Pepper {
    /// A pepper from its bytes; `None` when they are fewer than [`PEPPER_MIN_BYTES`].
    pub fn new(key: &[u8]) -> Option<Pepper> {
        if key.len() < PEPPER_MIN_BYTES {
            return None;
        }
        let digest = Sha256::new().chain_update(b"countersign pepper id\0").chain_update(key).finalize();
        let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let keyed = HmacSha256::new_from_slice(key).ok()?;
        Some(Pepper { id, keyed })
    }

    /// Names the pepper in rows, so that the right one is used after a change. Tells nothing about its bytes.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The code of this context: uniform over all codes of `length` digits, leading zeros kept (OTP-01, OTP-02).
    pub fn derive_code(&self, seed: &[u8; SEED_BYTES], context: &CodeContext<'_>, length: u8) -> Code {
        let codes = 10_u64.pow(u32::from(length));
        // The largest multiple of `codes` that fits: what lies above is drawn again, so no digit is likelier (no bias).
        let fair = u64::MAX - u64::MAX % codes;
        let mut round = 0_u32;
        loop {
            let mut mac = self.begin(b"countersign code\0", context);
            mac.update(seed);
            mac.update(&[length]);
            mac.update(&round.to_be_bytes());
            let block = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
            for chunk in block.chunks_exact(8) {
                let mut draw = [0; 8];
                draw.copy_from_slice(chunk);
                let draw = u64::from_be_bytes(draw);
                if draw < fair {
                    return Code(format!("{:0width$}", draw % codes, width = usize::from(length)));
                }
            }
            round += 1;
        }
    }

    /// What is stored in place of a code.
    pub fn tag(&self, context: &CodeContext<'_>, code: &Code) -> Tag {
        let mut mac = self.begin(b"countersign tag\0", context);
        mac.update(code.expose().as_bytes());
        Tag(mac.finalize().into_bytes().into())
    }

    /// HMAC over labelled fields, for digests that cover a code and must not be undone by trying all codes.
    pub fn digest(&self, label: &[u8], fields: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        mac.update(label);
        fields(&mut |field| {
            mac.update(&(field.len() as u32).to_be_bytes());
            mac.update(field);
        });
        mac.finalize().into_bytes().into()
    }

    fn begin(&self, label: &[u8], context: &CodeContext<'_>) -> HmacSha256 {
        let mut mac = self.keyed.clone();
        mac.update(label);
        mac.update(context.verification);
        mac.update(&context.generation.to_be_bytes());
        // Lengths first: no two contexts share one encoding.
        for field in [context.service, context.purpose, context.destination] {
            mac.update(&(field.len() as u32).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

/// The pepper in use, and the one before it while codes made under that one still live.
#[derive(Debug, Clone)]
pub struct Peppers {
    /// Makes new codes.
    pub current: Pepper,
    /// Still checks old ones.
    pub previous: Option<Pepper>,
}

impl Peppers {
    /// The pepper that a row names, if it is still known.
    pub fn by_id(&self, id: u32) -> Option<&Pepper> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|pepper| pepper.id == id)
    }
}

/// HMAC-SHA-256 of a code in its context. Compared in constant time only: it has no `==`.
#[derive(Clone, Copy)]
pub struct Tag(pub [u8; 32]);

impl Tag {
    /// Whether both are the same, in a time that tells nothing (OTP-08).
    pub fn matches(&self, other: &Tag) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tag([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pepper() -> Pepper {
        Pepper::new(&[7; 32]).expect("32 bytes are enough")
    }

    fn context(generation: u32) -> CodeContext<'static> {
        CodeContext { service: "default", verification: &[1; 16], purpose: "login", destination: "+4915112345678", generation }
    }

    #[test]
    fn a_short_pepper_is_refused() {
        assert!(Pepper::new(&[1; 31]).is_none());
    }

    #[test]
    fn the_same_inputs_give_the_same_code_and_others_another() {
        let code = |seed: u8, generation| pepper().derive_code(&[seed; 16], &context(generation), 8).expose().to_owned();
        assert_eq!(code(1, 0), code(1, 0));
        assert_ne!(code(1, 0), code(2, 0));
        assert_ne!(code(1, 0), code(1, 1));
    }

    /// OTP-05: every field of the context counts, and text cannot move from one field to the next.
    #[test]
    fn a_tag_is_bound_to_every_field_of_its_context() {
        let code = Code::parse("123456").expect("a code");
        let tag = pepper().tag(&context(0), &code);
        let others = [
            CodeContext { service: "other", ..context(0) },
            CodeContext { verification: &[2; 16], ..context(0) },
            CodeContext { purpose: "signup", ..context(0) },
            CodeContext { destination: "+4915112345679", ..context(0) },
            CodeContext { purpose: "login+", destination: "4915112345678", ..context(0) },
            context(1),
        ];
        assert!(pepper().tag(&context(0), &code).matches(&tag));
        for other in others {
            assert!(!pepper().tag(&other, &code).matches(&tag), "{other:?}");
        }
    }

    /// OTP-01: each digit place is uniform (chi-square, 9 degrees of freedom, p > 0.001 means below 27.88), and leading
    /// zeros are kept.
    #[test]
    fn codes_are_uniform_in_every_place() {
        let mut counts = [[0_u32; 10]; 6];
        let draws = 100_000_u32;
        for draw in 0..draws {
            let mut seed = [0; SEED_BYTES];
            seed[..4].copy_from_slice(&draw.to_be_bytes());
            let code = pepper().derive_code(&seed, &context(0), 6);
            assert_eq!(code.expose().len(), 6);
            for (place, digit) in code.expose().bytes().enumerate() {
                counts[place][usize::from(digit - b'0')] += 1;
            }
        }
        let expected = f64::from(draws) / 10.0;
        for (place, digits) in counts.iter().enumerate() {
            let chi_square: f64 = digits.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
            assert!(chi_square < 27.88, "place {place}: chi-square {chi_square}");
        }
    }

    proptest! {
        #[test]
        fn only_plain_digits_are_a_code(input in "\\PC{0,12}") {
            let plain = (6..=10).contains(&input.len()) && input.bytes().all(|byte| byte.is_ascii_digit());
            prop_assert_eq!(Code::parse(&input).is_ok(), plain);
        }
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Redacted::new("hush")), "[redacted]");
        assert!(!format!("{:?}", pepper()).contains('7'.to_string().repeat(4).as_str()));
        assert_eq!(serde_json::to_string(&Redacted::new("hush")).expect("json"), "\"[redacted]\"");
    }
}
