//! Signatures as Standard Webhooks has them (standardwebhooks.com, version 1): HMAC-SHA-256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::delivery::receipt::ReceiptRequest;

/// Names the message: the same in every retry.
pub const ID: &str = "webhook-id";
/// When this attempt was made, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// `v1,` and the signature in base64; several, parted by spaces, while secrets change.
pub const SIGNATURE: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";

/// A secret that both sides know.
#[derive(Clone)]
pub struct Secret {
    keyed: Hmac<Sha256>,
}

impl Secret {
    /// `whsec_` and 24 to 64 bytes in base64; none for anything else.
    pub fn parse(text: &str) -> Option<Secret> {
        let key = STANDARD.decode(text.trim().strip_prefix(PREFIX)?).ok().filter(|key| (24..=64).contains(&key.len()))?;
        Hmac::new_from_slice(&key).ok().map(|keyed| Secret { keyed })
    }

    /// The header's value.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        format!("{VERSION}{}", STANDARD.encode(self.mac(id, seconds, body)))
    }

    /// Whether a post was signed, and lately.
    pub fn has_signed(&self, request: &ReceiptRequest<'_>) -> bool {
        let header = |name: &str| (request.header)(name);
        let (Some(id), Some(seconds), Some(signature)) = (header(ID), header(TIMESTAMP), header(SIGNATURE)) else { return false };
        seconds.parse().is_ok_and(|seconds| request.is_fresh(seconds) && self.is_signed(id, seconds, request.body, signature))
    }

    /// Whether one of the header's signatures is right. In constant time.
    pub fn is_signed(&self, id: &str, seconds: i64, body: &[u8], header: &str) -> bool {
        let wanted = self.mac(id, seconds, body);
        let mut given = header.split(' ').filter_map(|signature| STANDARD.decode(signature.strip_prefix(VERSION)?).ok());
        given.any(|given| wanted.ct_eq(&given).into())
    }

    fn mac(&self, id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
        let mut mac = self.keyed.clone();
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    /// The vector of the reference libraries.
    #[test]
    fn the_reference_vector_holds() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let (id, seconds, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(secret.sign(id, seconds, body), signature);
        assert!(secret.is_signed(id, seconds, body, signature));
        assert!(secret.is_signed(id, seconds, body, &format!("v1a,AAAA v1,AAAA {signature}")));
        assert!(!secret.is_signed("msg_other", seconds, body, signature));
        assert!(!secret.is_signed(id, seconds + 1, body, signature));
        assert!(!secret.is_signed(id, seconds, b"{}", signature));
        for forged in ["", "v1,", &signature.replace("v1,", "v2,"), &signature[3..]] {
            assert!(!secret.is_signed(id, seconds, body, forged), "{forged}");
        }
    }

    /// The same vector, as a post with its headers.
    #[test]
    fn a_post_is_judged_by_its_headers_its_bytes_and_its_age() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let signed = |body: &str, signature: &str, now: i64| {
            let header = |name: &str| match name {
                "webhook-id" => Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
                "webhook-timestamp" => Some("1614265330"),
                "webhook-signature" => Some(signature),
                _ => None,
            };
            let now = Timestamp(now * 1000);
            secret.has_signed(&ReceiptRequest { method: "POST", url: "", query: "", header: &header, body: body.as_bytes(), now })
        };
        let body = r#"{"test": 2432232314}"#;
        assert!(signed(body, right, 1_614_265_330));
        assert!(signed(body, &format!("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,x {right}"), 1_614_265_330), "while keys change");
        assert!(!signed(body, right, 1_614_265_631), "too old");
        assert!(!signed(r#"{"test":2432232314}"#, right, 1_614_265_330), "the bytes are signed, not the meaning");
        for wrong in ["", "v1,", "v1", &right.replace("v1", "v2"), &right.replace("v1,", "")] {
            assert!(!signed(body, wrong, 1_614_265_330), "{wrong:?}");
        }
    }

    #[test]
    fn weak_secrets_are_refused() {
        for weak in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_ not base64"] {
            assert!(Secret::parse(weak).is_none(), "{weak}");
        }
    }
}
