//! Secrets that a browser or an app holds for us: sessions, flows, refresh tokens. 256 random bits; only a hash is kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::secret::Entropy;

/// 32 random bytes in base64url: 43 characters. It has no `Display` and prints as `[redacted]` (SES-01).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretToken(String);

impl SecretToken {
    /// A new one.
    pub fn random(entropy: &dyn Entropy) -> SecretToken {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        SecretToken::from_bytes(bytes)
    }

    /// From bytes that nobody can guess.
    pub fn from_bytes(mut bytes: [u8; 32]) -> SecretToken {
        let text = URL_SAFE_NO_PAD.encode(bytes);
        bytes.zeroize();
        SecretToken(text)
    }

    /// What somebody showed us; none when it cannot be one.
    pub fn parse(text: &str) -> Option<SecretToken> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (text.len() == 43 && text.bytes().all(plain)).then(|| SecretToken(text.to_owned()))
    }

    /// What is kept of it. `purpose` keeps the kinds apart: a token of one is none of another (A28, TOK-03).
    pub fn hash(&self, purpose: &str) -> String {
        let digest = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(&self.0).finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// The token. Each call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn a_token_is_read_back_and_kinds_stay_apart() {
        let token = SecretToken::random(&SystemEntropy);
        let read = SecretToken::parse(token.expose()).expect("a token");
        assert_eq!(read.hash("session"), token.hash("session"));
        assert_ne!(token.hash("flow"), token.hash("session"));
        assert_eq!(format!("{token:?}"), "[redacted]");
        assert!(SecretToken::parse("short").is_none() && SecretToken::parse(&"ä".repeat(43)).is_none());
    }
}
