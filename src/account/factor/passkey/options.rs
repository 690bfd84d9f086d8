//! What the browser is asked: `PublicKeyCredentialCreationOptionsJSON` and `PublicKeyCredentialRequestOptionsJSON`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::public_key::ALGORITHMS;
use super::{Asked, RelyingParty};
use crate::account::model::AccountId;
use crate::secret::Entropy;

/// How long the browser's own window waits. The challenge's end is what counts.
const TIMEOUT_MILLISECONDS: u32 = 300_000;

/// Whom a passkey is made for.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// The user handle is its 16 bytes: it tells nothing about the person.
    pub account: AccountId,
    /// What tells accounts apart in the browser's list: a number or an address.
    pub name: &'a str,
    /// What the person is called.
    pub display_name: &'a str,
}

/// A new challenge: 256 random bits, in base64url. No secret, but nobody can know it in advance.
pub fn challenge(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Asks for a new passkey. `known`: the credential ids of those that the person has, so that no authenticator gets a second.
pub fn creation_options(party: &RelyingParty, asked: &Asked<'_>, person: &Person<'_>, known: &[String]) -> Value {
    let parameters: Vec<_> = ALGORITHMS.iter().map(|algorithm| json!({ "type": "public-key", "alg": algorithm })).collect();
    json!({
        "rp": { "id": party.id, "name": party.name },
        "user": {
            "id": URL_SAFE_NO_PAD.encode(person.account.as_bytes()),
            "name": person.name,
            "displayName": person.display_name,
        },
        "challenge": asked.challenge,
        "pubKeyCredParams": parameters,
        "timeout": TIMEOUT_MILLISECONDS,
        "excludeCredentials": descriptors(known),
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": false,
            "userVerification": asked.user_verification.as_str(),
        },
        "attestation": "none",
    })
}

/// Asks for one of these passkeys; for any of this relying party, where `allowed` is empty: the person is not known yet.
pub fn request_options(party: &RelyingParty, asked: &Asked<'_>, allowed: &[String]) -> Value {
    json!({
        "rpId": party.id,
        "challenge": asked.challenge,
        "timeout": TIMEOUT_MILLISECONDS,
        "allowCredentials": descriptors(allowed),
        "userVerification": asked.user_verification.as_str(),
    })
}

fn descriptors(credential_ids: &[String]) -> Vec<Value> {
    credential_ids.iter().map(|id| json!({ "type": "public-key", "id": id })).collect()
}
