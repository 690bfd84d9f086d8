//! Judges what the browser answered: WebAuthn Level 3, sections 7.1 and 7.2. Each step bears its number there; those that
//! are missing are the browser's, or the caller's (whose account it is, and whether the credential id is new).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::authenticator_data::{AuthenticatorData, of_attestation_object};
use super::public_key::PublicKey;
use super::response::{AuthenticationResponse, RegistrationResponse, checked_client_data};
use super::{Asked, NewPasskey, PasskeyError, RelyingParty, StoredPasskey, Used, UserVerification};

/// A new passkey (7.1).
pub fn verify_registration(party: &RelyingParty, asked: &Asked<'_>, response: &RegistrationResponse) -> Result<NewPasskey, PasskeyError> {
    let attestation = response.attestation();
    // 5 to 12. The hash would be for the attestation, which is not judged.
    checked_client_data(&attestation.client_data.0, "webauthn.create", party, asked)?;
    // 13, and within it 20 (the key is of a kind that we asked for) and 25 (its id is not too long).
    let data = AuthenticatorData::parse(of_attestation_object(&attestation.attestation_object.0)?)?;
    // 14 to 17
    check(&data, party, asked)?;
    // 18, 19: reported to the caller. 21 to 24: any statement of attestation is taken as none.
    let credential = data.credential.as_ref().ok_or(PasskeyError::Malformed)?;
    let credential_id = URL_SAFE_NO_PAD.encode(credential.id);
    // The browser and the authenticator name the same passkey.
    if credential_id != response.credential_id() {
        return Err(PasskeyError::WrongPasskey);
    }
    // 27. 28: no extension was asked for.
    Ok(NewPasskey {
        credential_id,
        public_key: URL_SAFE_NO_PAD.encode(credential.public_key),
        counter: data.counter,
        user_verified: data.user_verified(),
        backup_eligible: data.backup_eligible(),
        backed_up: data.backed_up(),
    })
}

/// A use of a passkey (7.2). `allowed` is what the options listed; where that was nothing, the answer has to name the account.
pub fn verify_authentication(
    party: &RelyingParty,
    asked: &Asked<'_>,
    allowed: &[String],
    stored: &StoredPasskey,
    response: &AuthenticationResponse,
) -> Result<Used, PasskeyError> {
    // 5
    if !allowed.is_empty() && !allowed.iter().any(|id| id == response.credential_id()) {
        return Err(PasskeyError::WrongPasskey);
    }
    // 6
    let named = response.account()?;
    let is_theirs = named.map_or(!allowed.is_empty(), |account| account == stored.account);
    if response.credential_id() != stored.credential_id || !is_theirs {
        return Err(PasskeyError::WrongPasskey);
    }
    let assertion = response.assertion();
    // 8 to 14, and 20
    let hash = checked_client_data(&assertion.client_data.0, "webauthn.get", party, asked)?;
    // 15 to 18
    let data = AuthenticatorData::parse(&assertion.authenticator_data.0)?;
    check(&data, party, asked)?;
    // 21
    let cose = URL_SAFE_NO_PAD.decode(&stored.public_key).map_err(|_| PasskeyError::UnsupportedKey)?;
    let signed = [assertion.authenticator_data.0.as_slice(), hash.as_slice()].concat();
    if !PublicKey::parse(&cose)?.signed(&signed, &assertion.signature.0) {
        return Err(PasskeyError::WrongSignature);
    }
    // 22: refused, and not only noted. Authenticators that share one key among devices count nothing: 0 and 0.
    if (data.counter != 0 || stored.counter != 0) && data.counter <= stored.counter {
        return Err(PasskeyError::CounterStood);
    }
    // 24 is the caller's. 23: no extension was asked for.
    Ok(Used { counter: data.counter, user_verified: data.user_verified(), backed_up: data.backed_up() })
}

/// What both ceremonies ask of the authenticator. The numbers are those of registration, and in brackets of authentication.
fn check(data: &AuthenticatorData<'_>, party: &RelyingParty, asked: &Asked<'_>) -> Result<(), PasskeyError> {
    // 14 (15)
    if data.party_hash[..] != Sha256::digest(&party.id)[..] {
        return Err(PasskeyError::WrongRelyingParty);
    }
    // 15 (16)
    if !data.user_present() {
        return Err(PasskeyError::NobodyPresent);
    }
    // 16 (17)
    if asked.user_verification == UserVerification::Required && !data.user_verified() {
        return Err(PasskeyError::NotVerified);
    }
    // 17 (18)
    if data.backed_up() && !data.backup_eligible() {
        return Err(PasskeyError::WrongFlags);
    }
    Ok(())
}
