#![cfg(test)]
//! An authenticator, and a browser around it, that say something wrong when told to.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ceremony::{verify_authentication, verify_registration};
use super::options::{Person, challenge, creation_options, request_options};
use super::response::{AuthenticationResponse, RegistrationResponse};
use super::vectors::Vector;
use super::{Asked, NewPasskey, PasskeyError, RelyingParty, StoredPasskey, Used, UserVerification};
use crate::account::model::AccountId;
use crate::secret::SystemEntropy;

const ACCOUNT: AccountId = AccountId::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);
const CHALLENGE: &str = "Y2hhbGxlbmdlLWNoYWxsZW5nZS1jaGFsbGVuZ2UtMTI";

const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const ELIGIBLE: u8 = 8;
const BACKED_UP: u8 = 16;

fn party() -> RelyingParty {
    RelyingParty::of("https://example.org", "Example").expect("a relying party")
}

fn asked(user_verification: UserVerification) -> Asked<'static> {
    Asked { challenge: CHALLENGE, user_verification }
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn register(asked: &Asked<'_>, answer: &Value) -> Result<NewPasskey, PasskeyError> {
    verify_registration(&party(), asked, &RegistrationResponse::parse(&answer.to_string())?)
}

pub(super) fn use_it(asked: &Asked<'_>, stored: &StoredPasskey, answer: &Value) -> Result<Used, PasskeyError> {
    let allowed = [stored.credential_id.clone()];
    verify_authentication(&party(), asked, &allowed, stored, &AuthenticationResponse::parse(&answer.to_string())?)
}

pub(super) fn stored(new: NewPasskey) -> StoredPasskey {
    StoredPasskey { account: ACCOUNT, credential_id: new.credential_id, public_key: new.public_key, counter: new.counter }
}

pub(super) fn registration(id: &[u8], client_data: &[u8], object: &[u8]) -> Value {
    json!({
        "id": base64url(id), "rawId": base64url(id), "type": "public-key", "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": { "clientDataJSON": base64url(client_data), "attestationObject": base64url(object), "transports": ["usb"] },
    })
}

/// What it says can be set; by default all of it is true.
struct Authenticator {
    key: Ed25519KeyPair,
    id: Vec<u8>,
    flags: u8,
    counter: u32,
    party: &'static str,
    client_data: Value,
    user_handle: Option<Vec<u8>>,
    /// What stands in place of its public key.
    cose: Option<Vec<u8>>,
    /// What follows the authenticator data.
    tail: Vec<u8>,
}

impl Authenticator {
    fn new() -> Authenticator {
        Authenticator {
            key: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"),
            id: b"id-1".to_vec(),
            flags: PRESENT | VERIFIED,
            counter: 0,
            party: "example.org",
            client_data: json!({ "challenge": CHALLENGE, "origin": "https://example.org", "crossOrigin": false }),
            user_handle: None,
            cose: None,
            tail: Vec::new(),
        }
    }

    fn with(change: impl FnOnce(&mut Authenticator)) -> Authenticator {
        let mut authenticator = Authenticator::new();
        change(&mut authenticator);
        authenticator
    }

    /// One that says something else about the page.
    fn on_page(field: &str, value: impl Into<Value>) -> Authenticator {
        Authenticator::with(|authenticator| authenticator.client_data[field] = value.into())
    }

    fn client_data(&self, kind: &str) -> Vec<u8> {
        let mut client_data = self.client_data.clone();
        if client_data.get("type").is_none() {
            client_data["type"] = kind.into();
        }
        client_data.to_string().into_bytes()
    }

    fn data(&self, flags: u8, credential: &[u8]) -> Vec<u8> {
        let hash = Sha256::digest(self.party);
        [&hash[..], &[flags], &self.counter.to_be_bytes(), credential, &self.tail].concat()
    }

    fn register(&self) -> Value {
        let cose = self.cose.clone().unwrap_or_else(|| ed25519(self.key.public_key().as_ref()));
        let length = (self.id.len() as u16).to_be_bytes();
        let data = self.data(self.flags | 64, &[&[0; 16][..], &length, &self.id, &cose].concat());
        registration(&self.id, &self.client_data("webauthn.create"), &attestation_object(&data))
    }

    fn sign(&self) -> Value {
        let (client_data, data) = (self.client_data("webauthn.get"), self.data(self.flags, &[]));
        let signature = self.key.sign(&[&data[..], &Sha256::digest(&client_data)[..]].concat());
        json!({
            "id": base64url("id-1"), "rawId": base64url("id-1"), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(client_data), "authenticatorData": base64url(data),
                "signature": base64url(signature.as_ref()), "userHandle": self.user_handle.as_ref().map(base64url),
            },
        })
    }
}

fn attestation_object(data: &[u8]) -> Vec<u8> {
    [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59", &(data.len() as u16).to_be_bytes()[..], data].concat()
}

fn ed25519(key: &[u8]) -> Vec<u8> {
    [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], key].concat()
}

fn enrolled() -> StoredPasskey {
    stored(register(&asked(UserVerification::Required), &Authenticator::new().register()).expect("registers"))
}

#[test]
fn a_passkey_is_made_and_used() {
    let authenticator = Authenticator::with(|authenticator| authenticator.flags |= ELIGIBLE | BACKED_UP);
    let new = register(&asked(UserVerification::Required), &authenticator.register()).expect("registers");
    assert_eq!((new.user_verified, new.backup_eligible, new.backed_up), (true, true, true));
    assert_eq!((new.credential_id.as_str(), new.counter), ("aWQtMQ", 0));
    let used = use_it(&asked(UserVerification::Required), &stored(new), &authenticator.sign()).expect("signs in");
    assert_eq!(used, Used { counter: 0, user_verified: true, backed_up: true });
}

/// MFA-07: another page, another site, another question, nobody there: both ceremonies refuse each for what it is.
#[test]
fn whatever_is_not_as_asked_is_refused() {
    let with = |change: fn(&mut Authenticator)| Authenticator::with(change);
    let wrong = [
        (Authenticator::on_page("origin", "https://example.com"), PasskeyError::WrongOrigin),
        (Authenticator::on_page("origin", "http://example.org"), PasskeyError::WrongOrigin),
        (Authenticator::on_page("origin", "https://example.org:8443"), PasskeyError::WrongOrigin),
        (Authenticator::on_page("origin", "https://login.example.org"), PasskeyError::WrongOrigin),
        (Authenticator::on_page("crossOrigin", true), PasskeyError::WrongOrigin),
        (Authenticator::on_page("topOrigin", "https://example.org"), PasskeyError::WrongOrigin),
        (Authenticator::on_page("challenge", CHALLENGE.replace('Y', "Z")), PasskeyError::WrongChallenge),
        (Authenticator::on_page("challenge", ""), PasskeyError::WrongChallenge),
        (Authenticator::on_page("type", "payment.get"), PasskeyError::WrongType),
        (Authenticator::on_page("origin", Value::Null), PasskeyError::Malformed),
        (with(|authenticator| authenticator.party = "example.com"), PasskeyError::WrongRelyingParty),
        (with(|authenticator| authenticator.flags = VERIFIED), PasskeyError::NobodyPresent),
        (with(|authenticator| authenticator.flags = PRESENT), PasskeyError::NotVerified),
        (with(|authenticator| authenticator.flags |= BACKED_UP), PasskeyError::WrongFlags),
        (with(|authenticator| authenticator.tail = vec![0]), PasskeyError::Malformed),
    ];
    let asked = asked(UserVerification::Required);
    for (place, (authenticator, error)) in wrong.iter().enumerate() {
        assert_eq!(register(&asked, &authenticator.register()), Err(*error), "registration {place}");
        assert_eq!(use_it(&asked, &enrolled(), &authenticator.sign()), Err(*error), "authentication {place}");
    }
}

/// MFA-07, A28: the answer to one ceremony is none to the other.
#[test]
fn an_answer_is_good_for_its_own_ceremony() {
    let asked = asked(UserVerification::Preferred);
    assert_eq!(register(&asked, &Authenticator::on_page("type", "webauthn.get").register()), Err(PasskeyError::WrongType));
    let created = Authenticator::on_page("type", "webauthn.create");
    assert_eq!(use_it(&asked, &enrolled(), &created.sign()), Err(PasskeyError::WrongType));
}

/// MFA-06: where the authenticator need not check who holds it, the answer says whether it did.
#[test]
fn what_was_verified_is_told_truly() {
    let asked = asked(UserVerification::Preferred);
    for (flags, verified) in [(PRESENT, false), (PRESENT | VERIFIED, true)] {
        let authenticator = Authenticator::with(|authenticator| authenticator.flags = flags);
        assert_eq!(register(&asked, &authenticator.register()).expect("registers").user_verified, verified);
        assert_eq!(use_it(&asked, &enrolled(), &authenticator.sign()).expect("signs in").user_verified, verified);
    }
}

/// MFA-07: a copy of a passkey that counts is found out when either is used.
#[test]
fn the_counter_only_moves_forward() {
    let used = |before, now| {
        let stored = StoredPasskey { counter: before, ..enrolled() };
        let authenticator = Authenticator::with(|authenticator| authenticator.counter = now);
        use_it(&asked(UserVerification::Required), &stored, &authenticator.sign()).map(|used| used.counter)
    };
    assert_eq!(used(0, 0), Ok(0));
    assert_eq!(used(0, 1), Ok(1));
    assert_eq!(used(7, u32::MAX), Ok(u32::MAX));
    for (before, now) in [(7, 7), (7, 6), (7, 0), (1, 0)] {
        assert_eq!(used(before, now), Err(PasskeyError::CounterStood), "{before} {now}");
    }
}

/// MFA-03: the passkey that answers is one that was asked for, and its owner's.
#[test]
fn only_the_passkey_that_was_asked_for_counts() {
    let asked = asked(UserVerification::Required);
    let judge = |allowed: &[&str], stored: &StoredPasskey, user_handle: Option<AccountId>| {
        let handle = user_handle.map(|account| account.as_bytes().to_vec());
        let answer = Authenticator::with(|authenticator| authenticator.user_handle = handle).sign();
        let allowed: Vec<_> = allowed.iter().map(|id| (*id).to_owned()).collect();
        let response = AuthenticationResponse::parse(&answer.to_string()).expect("parses");
        verify_authentication(&party(), &asked, &allowed, stored, &response).map(|used| used.user_verified)
    };
    let stored = enrolled();
    let other = StoredPasskey { credential_id: "b3RoZXI".to_owned(), ..stored.clone() };
    let nobody = AccountId::from_u128(9);
    assert_eq!(judge(&["aWQtMQ"], &stored, None), Ok(true));
    assert_eq!(judge(&["b3RoZXI", "aWQtMQ"], &stored, Some(ACCOUNT)), Ok(true));
    assert_eq!(judge(&[], &stored, Some(ACCOUNT)), Ok(true));
    let wrong: [(&[&str], _, _); 5] = [
        (&["b3RoZXI"], &stored, None),
        (&["aWQtMQ"], &other, None),
        (&["aWQtMQ"], &stored, Some(nobody)),
        (&[], &stored, Some(nobody)),
        // Nobody said whose it is.
        (&[], &stored, None),
    ];
    for (allowed, stored, handle) in wrong {
        assert_eq!(judge(allowed, stored, handle), Err(PasskeyError::WrongPasskey), "{allowed:?} {handle:?}");
    }
}

#[test]
fn the_browser_and_the_authenticator_name_the_same_passkey() {
    let asked = asked(UserVerification::Required);
    let mut answer = Authenticator::new().register();
    answer["id"] = "b3RoZXI".into();
    assert_eq!(register(&asked, &answer), Err(PasskeyError::Malformed));
    answer["rawId"] = "b3RoZXI".into();
    assert_eq!(register(&asked, &answer), Err(PasskeyError::WrongPasskey));
}

/// MFA-07: a key that signatures cannot be checked with is refused when it comes, and not at the first sign-in.
#[test]
fn odd_keys_are_refused() {
    let point = [[0x21, 0x58, 32].as_slice(), &[1; 32]].concat();
    let es256 = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1][..], &point, &[0x22, 0x58, 32], &[2; 32]].concat();
    let rs256 = |bytes: u16, first: u8, exponent: &[u8]| {
        let mut modulus = vec![0xff; usize::from(bytes)];
        modulus[0] = first;
        let head = [0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59];
        [&head[..], &bytes.to_be_bytes(), &modulus, &[0x21, 0x40 + exponent.len() as u8], exponent].concat()
    };
    let asked = asked(UserVerification::Required);
    let judge = |cose: &[u8]| {
        let answer = Authenticator::with(|authenticator| authenticator.cose = Some(cose.to_vec())).register();
        register(&asked, &answer).map(|new| new.public_key == base64url(cose))
    };
    assert_eq!(judge(&es256), Ok(true));
    assert_eq!(judge(&ed25519(&[1; 32])), Ok(true));
    assert_eq!(judge(&rs256(256, 0xff, &[1, 0, 1])), Ok(true));
    let changed = |at: usize, byte: u8| {
        let mut cose = es256.clone();
        cose[at] = byte;
        cose
    };
    let compressed = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1][..], &point, &[0x22, 0xf5]].concat();
    let twice = [&[0xa5, 1, 1, 3, 0x27, 0x20, 6, 0x20, 6][..], &point].concat();
    let wrong = [
        ("another curve", changed(6, 2), PasskeyError::UnsupportedKey),
        ("another algorithm", changed(4, 0x27), PasskeyError::UnsupportedKey),
        ("another kind of key", changed(2, 1), PasskeyError::UnsupportedKey),
        ("half a point", [&[0xa4, 1, 2, 3, 0x26, 0x20, 1][..], &point].concat(), PasskeyError::UnsupportedKey),
        ("a compressed point", compressed, PasskeyError::Malformed),
        ("a label twice", twice, PasskeyError::Malformed),
        ("no map", vec![0x81, 1], PasskeyError::Malformed),
        ("too many fields", vec![0xb1; 64], PasskeyError::Malformed),
        ("a map without end", vec![0xbf, 1, 2, 0xff], PasskeyError::Malformed),
        ("a short modulus", rs256(255, 0xff, &[1, 0, 1]), PasskeyError::UnsupportedKey),
        ("a long modulus", rs256(1025, 0xff, &[1, 0, 1]), PasskeyError::UnsupportedKey),
        ("a padded modulus", rs256(257, 0, &[1, 0, 1]), PasskeyError::UnsupportedKey),
        ("an odd exponent", rs256(256, 0xff, &[1]), PasskeyError::UnsupportedKey),
    ];
    for (what, cose, error) in wrong {
        assert_eq!(judge(&cose), Err(error), "{what}");
    }
}

/// MFA-07: an id is neither nothing nor longer than the specification allows.
#[test]
fn an_id_has_its_bounds() {
    for (length, taken) in [(0, false), (1, true), (1023, true), (1024, false)] {
        let authenticator = Authenticator::with(|authenticator| authenticator.id = vec![7; length]);
        assert_eq!(register(&asked(UserVerification::Required), &authenticator.register()).is_ok(), taken, "{length}");
    }
}

/// INP-01: of two statements neither is believed.
#[test]
fn an_object_says_everything_once() {
    let authenticator = Authenticator::new();
    let credential = [&[0; 16][..], &[0, 4], b"id-1", &ed25519(authenticator.key.public_key().as_ref())].concat();
    let data = authenticator.data(PRESENT | VERIFIED | 64, &credential);
    let said = [b"\x68authData\x59", &(data.len() as u16).to_be_bytes()[..], &data].concat();
    let judge = |object: &[u8]| {
        let answer = registration(b"id-1", &authenticator.client_data("webauthn.create"), object);
        register(&asked(UserVerification::Required), &answer).map(|_| ())
    };
    assert_eq!(judge(&[&[0xa1], &said[..]].concat()), Ok(()));
    assert_eq!(judge(&[&[0xa2], &said[..], &said].concat()), Err(PasskeyError::Malformed));
}

/// Extensions that nobody asked for are read over; what is no extension is not.
#[test]
fn unasked_extensions_are_read_over() {
    let asked = asked(UserVerification::Required);
    for (tail, taken) in [(b"\xa1\x64test\xf5".to_vec(), true), (b"\xa1\x64test".to_vec(), false), (Vec::new(), false)] {
        let authenticator = Authenticator::with(|authenticator| {
            authenticator.flags |= 128;
            authenticator.tail = tail.clone();
        });
        assert_eq!(register(&asked, &authenticator.register()).is_ok(), taken, "{tail:?}");
        assert_eq!(use_it(&asked, &enrolled(), &authenticator.sign()).is_ok(), taken, "{tail:?}");
    }
}

/// INP-01: what is not the JSON of a passkey is refused before anything is looked at.
#[test]
fn what_no_browser_makes_is_refused() {
    let change = |field: &str, value: Value| {
        let mut answer = Authenticator::new().sign();
        *answer.pointer_mut(field).expect(field) = value;
        AuthenticationResponse::parse(&answer.to_string()).err()
    };
    assert_eq!(change("/type", "public-key".into()), None);
    for (field, value) in [
        ("/type", json!("password")),
        ("/rawId", json!("other")),
        ("/response/signature", json!("a+b/")),
        ("/response/signature", json!("YQ==")),
        ("/response/signature", json!([1])),
        ("/response/clientDataJSON", Value::Null),
        ("/response", Value::Null),
    ] {
        assert_eq!(change(field, value), Some(PasskeyError::Malformed), "{field}");
    }
    assert_eq!(RegistrationResponse::parse("").err(), Some(PasskeyError::Malformed));
}

proptest! {
    /// INP-04: no bytes make it panic, wherever they stand.
    #[test]
    fn garbage_is_refused_and_no_more(cose in proptest::collection::vec(any::<u8>(), 0..80), at in 0_usize..150, byte in any::<u8>()) {
        let asked = asked(UserVerification::Preferred);
        let _ = register(&asked, &Authenticator::with(|authenticator| authenticator.cose = Some(cose.clone())).register());
        let vector = &Vector::all()[0];
        let mut object = Vector::bytes(&vector.registration, "attestationObject");
        object[at] = byte;
        let client_data = Authenticator::new().client_data("webauthn.create");
        let _ = register(&asked, &registration(b"id-1", &client_data, &object));
        prop_assert!(register(&asked, &registration(b"id-1", &client_data, &cose)).is_err());
    }
}

#[test]
fn the_options_ask_for_what_is_judged() {
    let person = Person { account: ACCOUNT, name: "ann@example.org", display_name: "Ann" };
    let known = ["aWQtMQ".to_owned()];
    assert_eq!(
        creation_options(&party(), &asked(UserVerification::Preferred), &person, &known),
        json!({
            "rp": { "id": "example.org", "name": "Example" },
            "user": { "id": "AZgAAAAAcACAAAAAAAAAAQ", "name": "ann@example.org", "displayName": "Ann" },
            "challenge": CHALLENGE,
            "pubKeyCredParams": [
                { "type": "public-key", "alg": -7 }, { "type": "public-key", "alg": -8 }, { "type": "public-key", "alg": -257 },
            ],
            "timeout": 300_000,
            "excludeCredentials": [{ "type": "public-key", "id": "aWQtMQ" }],
            "authenticatorSelection": { "residentKey": "preferred", "requireResidentKey": false, "userVerification": "preferred" },
            "attestation": "none",
        })
    );
    assert_eq!(
        request_options(&party(), &asked(UserVerification::Required), &known),
        json!({
            "rpId": "example.org", "challenge": CHALLENGE, "timeout": 300_000,
            "allowCredentials": [{ "type": "public-key", "id": "aWQtMQ" }], "userVerification": "required",
        })
    );
}

#[test]
fn a_challenge_is_256_random_bits() {
    let (one, other) = (challenge(&SystemEntropy), challenge(&SystemEntropy));
    assert_ne!(one, other);
    assert_eq!(URL_SAFE_NO_PAD.decode(one).expect("base64url").len(), 32);
}

/// MFA-07: passkeys are bound to the name that people see, and offered only where a browser would make one.
#[test]
fn a_relying_party_has_a_name_and_tls() {
    let of = |url| RelyingParty::of(url, "Example").map(|party| (party.id, party.origins.join(" ")));
    let is = |id: &str, origin: &str| Some((id.to_owned(), origin.to_owned()));
    assert_eq!(of("https://login.example.org/base/?x=1"), is("login.example.org", "https://login.example.org"));
    assert_eq!(of("https://EXAMPLE.org:8443"), is("example.org", "https://example.org:8443"));
    assert_eq!(of("https://bücher.example"), is("xn--bcher-kva.example", "https://xn--bcher-kva.example"));
    assert_eq!(of("http://localhost:8080"), is("localhost", "http://localhost:8080"));
    for none in ["http://example.org", "https://192.0.2.1", "https://[2001:db8::1]", "http://127.0.0.1:8080", "ftp://localhost", "no url"] {
        assert_eq!(of(none), None, "{none}");
    }
}
