#![cfg(test)]
//! What others made: the vectors of WebAuthn Level 3, section 16, as of its draft of July 2026, and what a browser posts.

use serde_json::{Value, json};

use super::ceremony::{verify_authentication, verify_registration};
use super::response::{AuthenticationResponse, RegistrationResponse};
use super::tests::{base64url, register, registration, stored, use_it};
use super::{Asked, NewPasskey, PasskeyError, RelyingParty, StoredPasskey, Used, UserVerification};
use crate::hex;

pub(super) struct Vector {
    name: String,
    pub(super) registration: Value,
    authentication: Value,
}

impl Vector {
    pub(super) fn all() -> Vec<Vector> {
        let all: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/fixtures/webauthn-level-3.json")).expect("JSON");
        let vector = |value: &Value| Vector {
            name: value["name"].as_str().expect("a name").to_owned(),
            registration: value["registration"].clone(),
            authentication: value["authentication"].clone(),
        };
        all.iter().map(vector).collect()
    }

    pub(super) fn bytes(of: &Value, field: &str) -> Vec<u8> {
        hex::bytes(of[field].as_str().expect(field)).expect("hexadecimal digits")
    }

    fn register(&self) -> Result<NewPasskey, PasskeyError> {
        let object = Vector::bytes(&self.registration, "attestationObject");
        let challenge = base64url(Vector::bytes(&self.registration, "challenge"));
        let asked = Asked { challenge: &challenge, user_verification: UserVerification::Preferred };
        let client_data = Vector::bytes(&self.registration, "clientDataJSON");
        register(&asked, &registration(&credential_id(&object), &client_data, &object))
    }

    /// The use of the passkey, with one part changed on the way.
    fn use_it(&self, stored: &StoredPasskey, part: &str, change: impl Fn(&mut Vec<u8>)) -> Result<Used, PasskeyError> {
        let bytes = |field| {
            let mut bytes = Vector::bytes(&self.authentication, field);
            if field == part {
                change(&mut bytes);
            }
            base64url(bytes)
        };
        let challenge = base64url(Vector::bytes(&self.authentication, "challenge"));
        let asked = Asked { challenge: &challenge, user_verification: UserVerification::Preferred };
        let answer = json!({
            "id": stored.credential_id, "rawId": stored.credential_id, "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": bytes("clientDataJSON"), "authenticatorData": bytes("authenticatorData"),
                "signature": bytes("signature"), "userHandle": null,
            },
        });
        use_it(&asked, stored, &answer)
    }
}

/// The vectors' credential ids stand in the attestation object only, behind `authData`.
fn credential_id(object: &[u8]) -> Vec<u8> {
    let at = object.windows(8).position(|window| window == b"authData").expect("authData") + 8;
    let head = if object[at] == 0x58 { 2 } else { 3 };
    let length_at = at + head + 37 + 16;
    let length = usize::from(u16::from_be_bytes([object[length_at], object[length_at + 1]]));
    object[length_at + 2..length_at + 2 + length].to_vec()
}

/// MFA-07: ES256, EdDSA and RS256 with whatever attestation; keys of other kinds and pages in frames are refused.
#[test]
fn the_vectors_of_the_specification() {
    let vectors = Vector::all();
    assert_eq!(vectors.len(), 15);
    for vector in vectors {
        let registered = vector.register();
        let refused = match vector.name.as_str() {
            "none-es256-crossOrigin" | "none-es256-topOrigin" => Some(PasskeyError::WrongOrigin),
            "packed-es384" | "packed-es512" | "packed-ed448" => Some(PasskeyError::UnsupportedKey),
            _ => None,
        };
        if let Some(refused) = refused {
            assert_eq!(registered, Err(refused), "{}", vector.name);
            continue;
        }
        let stored = stored(registered.unwrap_or_else(|error| panic!("{}: {error}", vector.name)));
        assert!(vector.use_it(&stored, "", |_| {}).is_ok(), "{}", vector.name);
        let other_key = super::tests::stored(Vector::all()[0].register().expect("registers")).public_key;
        let wrong_key = StoredPasskey { public_key: other_key, ..stored.clone() };
        if vector.name != "none-es256" {
            assert_eq!(vector.use_it(&wrong_key, "", |_| {}), Err(PasskeyError::WrongSignature), "{}", vector.name);
        }
        for part in ["clientDataJSON", "authenticatorData", "signature"] {
            let last = |bytes: &mut Vec<u8>| *bytes.last_mut().expect("a byte") ^= 1;
            assert!(vector.use_it(&stored, part, last).is_err(), "{} {part}", vector.name);
        }
    }
}

/// MFA-07: every bit of what was signed counts, and every bit of the signature.
#[test]
fn a_flipped_bit_is_refused() {
    for vector in Vector::all().iter().filter(|vector| ["none-es256", "packed-eddsa"].contains(&vector.name.as_str())) {
        let stored = stored(vector.register().expect("registers"));
        for part in ["clientDataJSON", "authenticatorData", "signature"] {
            for bit in 0..Vector::bytes(&vector.authentication, part).len() * 8 {
                let used = vector.use_it(&stored, part, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
                assert!(used.is_err(), "{} {part} {bit}", vector.name);
            }
        }
    }
}

/// INP-04: half an answer is none, and nothing in it makes us stumble.
#[test]
fn a_cut_answer_is_refused() {
    let vector = &Vector::all()[0];
    let object = Vector::bytes(&vector.registration, "attestationObject");
    let client_data = Vector::bytes(&vector.registration, "clientDataJSON");
    let challenge = base64url(Vector::bytes(&vector.registration, "challenge"));
    let asked = Asked { challenge: &challenge, user_verification: UserVerification::Preferred };
    let id = credential_id(&object);
    for length in 0..object.len() {
        let answer = registration(&id, &client_data, &object[..length]);
        assert_eq!(register(&asked, &answer), Err(PasskeyError::Malformed), "{length}");
    }
    let longer = [object.as_slice(), &[0]].concat();
    assert_eq!(register(&asked, &registration(&id, &client_data, &longer)), Err(PasskeyError::Malformed));
    assert!(register(&asked, &registration(&id, &client_data, &object)).is_ok());
}

/// MFA-07: what Chromium posted by `static/passkey.js`, with its virtual authenticator that counts: one passkey, used twice.
#[test]
fn a_browser_is_understood() {
    let recorded: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/passkey-chromium.json")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let party = RelyingParty::of(&text(&recorded["origin"]), "Example").expect("a relying party");
    let challenge = text(&recorded["challenge"]);
    let asked = Asked { challenge: &challenge, user_verification: UserVerification::Required };
    let response = RegistrationResponse::parse(&recorded["enrol"].to_string()).expect("parses");
    let mut stored = stored(verify_registration(&party, &asked, &response).expect("registers"));
    for answer in recorded["uses"].as_array().expect("uses") {
        let response = AuthenticationResponse::parse(&answer.to_string()).expect("parses");
        // Nothing was listed: the answer names the account.
        let used = verify_authentication(&party, &asked, &[], &stored, &response).expect("signs in");
        assert!(used.counter > stored.counter && used.user_verified);
        stored.counter = used.counter;
        // The same answer once more.
        assert_eq!(verify_authentication(&party, &asked, &[], &stored, &response), Err(PasskeyError::CounterStood));
    }
}
