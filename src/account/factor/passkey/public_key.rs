//! The public keys of passkeys: COSE (RFC 9052, RFC 9053) in three kinds, and signatures that they made.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};

use super::PasskeyError;

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;
/// Those that we can check, the preferred ones first. Every authenticator knows one of them.
pub(super) const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];

// Labels of the COSE map.
const KEY_TYPE: i64 = 1;
const ALGORITHM: i64 = 3;
/// The curve; with RSA the modulus.
const FIRST: i64 = -1;
/// X; with RSA the exponent.
const SECOND: i64 = -2;
const Y: i64 = -3;

/// More fields than any key has.
const FIELDS_MAX: u64 = 16;
/// RSA keys of 2048 to 8192 bits: what `ring` checks.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key that signatures can be checked with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicKey<'a> {
    /// ECDSA on P-256 with SHA-256: the point, uncompressed.
    Es256([u8; 65]),
    /// Ed25519.
    EdDsa(&'a [u8; 32]),
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256 { modulus: &'a [u8], exponent: &'a [u8] },
}

enum Field<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

impl<'a> PublicKey<'a> {
    /// Parts the key at the front from what follows it. It is one that [`PublicKey::parse`] takes.
    pub(super) fn split(bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), PasskeyError> {
        let mut decoder = Decoder::new(bytes);
        decoder.skip().map_err(|_| PasskeyError::Malformed)?;
        let (key, rest) = bytes.split_at_checked(decoder.position()).ok_or(PasskeyError::Malformed)?;
        PublicKey::parse(key)?;
        Ok((key, rest))
    }

    /// Reads a key of one of the [`ALGORITHMS`] (7.1, step 20).
    pub(super) fn parse(cose: &'a [u8]) -> Result<PublicKey<'a>, PasskeyError> {
        let fields = fields(cose).map_err(|_| PasskeyError::Malformed)?.ok_or(PasskeyError::Malformed)?;
        let number = |label| {
            fields.iter().find_map(|field| match field {
                (found, Field::Number(number)) if *found == label => Some(*number),
                _ => None,
            })
        };
        let bytes = |label| {
            let found = fields.iter().find_map(|field| match field {
                (found, Field::Bytes(bytes)) if *found == label => Some(*bytes),
                _ => None,
            });
            found.ok_or(PasskeyError::UnsupportedKey)
        };
        let coordinate = |label| bytes(label)?.as_array::<32>().ok_or(PasskeyError::UnsupportedKey);
        match (number(KEY_TYPE), number(ALGORITHM), number(FIRST)) {
            // EC2, P-256
            (Some(2), Some(ES256), Some(1)) => {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(coordinate(SECOND)?);
                point[33..].copy_from_slice(coordinate(Y)?);
                Ok(PublicKey::Es256(point))
            }
            // OKP, Ed25519
            (Some(1), Some(EDDSA), Some(6)) => Ok(PublicKey::EdDsa(coordinate(SECOND)?)),
            // RSA
            (Some(3), Some(RS256), None) => {
                let (modulus, exponent) = (bytes(FIRST)?, bytes(SECOND)?);
                let is_plain = MODULUS_BYTES.contains(&modulus.len()) && modulus[0] != 0 && matches!(exponent, [1, 0, 1]);
                is_plain.then_some(PublicKey::Rs256 { modulus, exponent }).ok_or(PasskeyError::UnsupportedKey)
            }
            _ => Err(PasskeyError::UnsupportedKey),
        }
    }

    /// Whether this key signed `message`.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            PublicKey::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            PublicKey::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            PublicKey::Rs256 { modulus, exponent } => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        checked.is_ok()
    }
}

/// The fields of a COSE map that are whole numbers or bytes; none when it is no map, or one with a label twice.
fn fields(cose: &[u8]) -> Result<Option<Vec<(i64, Field<'_>)>>, Error> {
    let mut decoder = Decoder::new(cose);
    let mut fields: Vec<(i64, Field<'_>)> = Vec::new();
    let Some(length) = decoder.map()?.filter(|length| *length <= FIELDS_MAX) else { return Ok(None) };
    for _ in 0..length {
        let label = decoder.i64()?;
        if fields.iter().any(|(known, _)| *known == label) {
            return Ok(None);
        }
        match decoder.datatype()? {
            Type::Bytes => fields.push((label, Field::Bytes(decoder.bytes()?))),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
                fields.push((label, Field::Number(decoder.i64()?)));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(fields).filter(|_| decoder.position() == cose.len()))
}
