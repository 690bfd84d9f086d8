//! The cryptography of `jsonwebtoken`, by the `ring` that is here for TLS: Ed25519 and HMAC-SHA-256, and nothing else.
//!
//! `jsonwebtoken` asks one provider in the whole process. Another one that somebody installed before is as good: it signs and
//! verifies by the same standards, and which algorithm a key may be used with is decided in [`super`], not there.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use ring::{digest, hmac};

/// Bytes of an Ed25519 private key.
pub const SEED_BYTES: usize = 32;

/// Makes ring the provider. Costs nothing after the first time.
pub fn install() {
    static INSTALLED: Once = Once::new();
    static PROVIDER: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };
    // Refused where there is one already, which will do.
    INSTALLED.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

/// The public key of a private one; none when it is no private key.
pub fn public_of(seed: &[u8]) -> Option<[u8; 32]> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    pair.public_key().as_ref().try_into().ok()
}

/// SHA-256, for names of keys.
pub fn sha_256(text: &str) -> impl AsRef<[u8]> {
    digest::digest(&digest::SHA256, text.as_bytes())
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match algorithm {
        // The "DER" of the key is its seed: nobody but us makes these.
        Algorithm::EdDSA if key.family() == algorithm.family() => {
            Ok(Box::new(EdDsa(Ed25519KeyPair::from_seed_unchecked(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?)))
        }
        Algorithm::HS256 if key.family() == algorithm.family() => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match algorithm {
        Algorithm::EdDSA if key.family() == algorithm.family() => Ok(Box::new(EdDsaPublic(key.try_get_as_bytes()?.to_vec()))),
        Algorithm::HS256 if key.family() == algorithm.family() => {
            Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?))))
        }
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

struct EdDsa(Ed25519KeyPair);

impl Signer<Vec<u8>> for EdDsa {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct EdDsaPublic(Vec<u8>);

impl Verifier<Vec<u8>> for EdDsaPublic {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for EdDsaPublic {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// In a time that tells nothing: ring compares.
impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::crypto::{sign, verify};

    use super::*;

    fn decoded(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    }

    /// TOK-01: Ed25519 as RFC 8037 (appendix A) has it, key, signature and thumbprint.
    #[test]
    fn signs_as_rfc_8037() {
        install();
        let seed = decoded("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let public = public_of(&seed).expect("a key");
        assert_eq!(URL_SAFE_NO_PAD.encode(public), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = sign(message, &EncodingKey::from_ed_der(&seed), Algorithm::EdDSA).expect("a signature");
        assert_eq!(signature, "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
        assert!(verify(&signature, message, &DecodingKey::from_ed_der(&public), Algorithm::EdDSA).expect("judged"));
        assert!(!verify(&signature, b"another", &DecodingKey::from_ed_der(&public), Algorithm::EdDSA).expect("judged"));
    }

    /// TOK-01: HMAC-SHA-256 as RFC 7515 (appendix A.1) has it.
    #[test]
    fn signs_as_rfc_7515() {
        install();
        let secret = decoded("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
        let message = b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = sign(message, &EncodingKey::from_secret(&secret), Algorithm::HS256).expect("a signature");
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert!(verify(&signature, message, &DecodingKey::from_secret(&secret), Algorithm::HS256).expect("judged"));
        assert!(!verify(&signature, message, &DecodingKey::from_secret(b"another"), Algorithm::HS256).expect("judged"));
    }

    /// TOK-01: no key is used with an algorithm that is not its own, and no other algorithm exists.
    #[test]
    fn a_key_is_of_one_algorithm() {
        install();
        let (seed, secret) = (EncodingKey::from_ed_der(&[1; 32]), EncodingKey::from_secret(&[1; 32]));
        for (key, algorithm) in
            [(&seed, Algorithm::HS256), (&secret, Algorithm::EdDSA), (&secret, Algorithm::HS512), (&seed, Algorithm::ES256)]
        {
            assert!(sign(b"message", key, algorithm).is_err(), "{algorithm:?}");
        }
        let (public, secret) = (DecodingKey::from_ed_der(&[1; 32]), DecodingKey::from_secret(&[1; 32]));
        for (key, algorithm) in [(&public, Algorithm::HS256), (&secret, Algorithm::EdDSA), (&secret, Algorithm::HS384)] {
            assert!(verify("AAAA", b"message", key, algorithm).is_err(), "{algorithm:?}");
        }
    }
}
