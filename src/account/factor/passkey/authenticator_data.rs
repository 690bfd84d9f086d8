//! What the authenticator says, as bytes (WebAuthn Level 3, sections 6.1 and 6.5.1). Every byte has to be accounted for.

use minicbor::decode::Decoder;

use super::public_key::PublicKey;
use super::{CREDENTIAL_ID_MAX_BYTES, PasskeyError};

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;
/// Names the model of the authenticator, which decides nothing here.
const AAGUID_BYTES: usize = 16;

/// Authenticator data, read.
pub(super) struct AuthenticatorData<'a> {
    pub(super) party_hash: &'a [u8; 32],
    pub(super) counter: u32,
    pub(super) credential: Option<Credential<'a>>,
    flags: u8,
}

/// A new key and its name.
pub(super) struct Credential<'a> {
    pub(super) id: &'a [u8],
    /// As it came: COSE.
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<AuthenticatorData<'a>, PasskeyError> {
        let (party_hash, rest) = bytes.split_first_chunk().ok_or(PasskeyError::Malformed)?;
        let ([flags, counter @ ..], mut rest) = rest.split_first_chunk::<5>().ok_or(PasskeyError::Malformed)?;
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let parsed = Credential::parse(rest)?;
            credential = Some(parsed.0);
            rest = parsed.1;
        }
        if flags & HAS_EXTENSIONS != 0 {
            // We asked for none and use none; what came unasked is read over.
            let mut decoder = Decoder::new(rest);
            decoder.skip().map_err(|_| PasskeyError::Malformed)?;
            rest = rest.get(decoder.position()..).ok_or(PasskeyError::Malformed)?;
        }
        if !rest.is_empty() {
            return Err(PasskeyError::Malformed);
        }
        Ok(AuthenticatorData { party_hash, counter: u32::from_be_bytes(*counter), credential, flags: *flags })
    }

    pub(super) fn user_present(&self) -> bool {
        self.flags & USER_PRESENT != 0
    }

    pub(super) fn user_verified(&self) -> bool {
        self.flags & USER_VERIFIED != 0
    }

    pub(super) fn backup_eligible(&self) -> bool {
        self.flags & BACKUP_ELIGIBLE != 0
    }

    pub(super) fn backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }
}

impl<'a> Credential<'a> {
    /// The credential, and what follows it.
    fn parse(bytes: &'a [u8]) -> Result<(Credential<'a>, &'a [u8]), PasskeyError> {
        let (_, rest) = bytes.split_at_checked(AAGUID_BYTES).ok_or(PasskeyError::Malformed)?;
        let (length, rest) = rest.split_first_chunk().ok_or(PasskeyError::Malformed)?;
        let (id, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(PasskeyError::Malformed)?;
        // 7.1, step 25.
        if id.is_empty() || id.len() > CREDENTIAL_ID_MAX_BYTES {
            return Err(PasskeyError::Malformed);
        }
        let (public_key, rest) = PublicKey::split(rest)?;
        Ok((Credential { id, public_key }, rest))
    }
}

/// The authenticator data in an attestation object. What else it holds is about the authenticator's maker, and not judged.
pub(super) fn of_attestation_object(bytes: &[u8]) -> Result<&[u8], PasskeyError> {
    read_attestation_object(bytes).ok().flatten().ok_or(PasskeyError::Malformed)
}

fn read_attestation_object(bytes: &[u8]) -> Result<Option<&[u8]>, minicbor::decode::Error> {
    let mut decoder = Decoder::new(bytes);
    let mut data = None;
    for _ in 0..decoder.map()?.unwrap_or_default() {
        match decoder.str()? {
            // Twice the same key is no map.
            "authData" if data.is_some() => return Ok(None),
            "authData" => data = Some(decoder.bytes()?),
            _ => decoder.skip()?,
        }
    }
    Ok(data.filter(|_| decoder.position() == bytes.len()))
}
