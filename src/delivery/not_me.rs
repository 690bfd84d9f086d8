//! The link "I did not ask for this" of a mail: a name for one verification that nobody can make up.
//!
//! Derived from the pepper and never stored. It can do one thing: whoever holds it may call the verification off
//! (`src/http/not_me.rs`), which a code cannot, and it tells nothing of the code.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::secret::{Pepper, Peppers};
use crate::verification::VerificationId;

/// Bytes of the seal: 128 bits (OTP-12).
const SEAL_BYTES: usize = 16;
/// Where the page is.
pub const PATH: &str = "/not-me/";

/// Makes and opens the links.
#[derive(Clone)]
pub struct CancelLinks {
    peppers: Peppers,
    public_url: String,
}

impl CancelLinks {
    /// `public_url`: where people reach this server.
    pub fn new(peppers: Peppers, public_url: String) -> CancelLinks {
        CancelLinks { peppers, public_url }
    }

    /// The link for a verification.
    pub fn link(&self, service: &str, id: VerificationId) -> String {
        let mut token = id.as_bytes().to_vec();
        token.extend_from_slice(&seal(&self.peppers.current, service, id));
        token.extend_from_slice(service.as_bytes());
        format!("{}{PATH}{}", self.public_url, URL_SAFE_NO_PAD.encode(token))
    }

    /// The service and the verification that a token names, if this server made it.
    pub fn open(&self, token: &str) -> Option<(String, VerificationId)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (given, service) = rest.split_first_chunk::<SEAL_BYTES>()?;
        let (id, service) = (VerificationId::from_bytes(*id), std::str::from_utf8(service).ok()?);
        let mut peppers = [Some(&self.peppers.current), self.peppers.previous.as_ref()].into_iter().flatten();
        let made = peppers.any(|pepper| seal(pepper, service, id).ct_eq(given).into());
        made.then(|| (service.to_owned(), id))
    }
}

fn seal(pepper: &Pepper, service: &str, id: VerificationId) -> [u8; SEAL_BYTES] {
    let digest = pepper.digest(b"countersign not me\0", |field| {
        field(service.as_bytes());
        field(id.as_bytes());
    });
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&digest[..SEAL_BYTES]);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(key: u8) -> CancelLinks {
        let current = Pepper::new(&[key; 32]).expect("a pepper");
        CancelLinks::new(Peppers { current, previous: Pepper::new(&[9; 32]) }, "https://otp.example".into())
    }

    /// OTP-12: bound to the verification and its service; one changed bit makes it worthless.
    #[test]
    fn a_link_names_one_verification_and_cannot_be_made_up() {
        let id = VerificationId::from_u128(0x1234);
        let link = links(1).link("shop", id);
        let token = link.strip_prefix("https://otp.example/not-me/").expect("a link");
        assert_eq!(links(1).open(token), Some(("shop".into(), id)));
        assert_eq!(links(2).open(token), None, "under another pepper");
        let old = links(9).link("shop", id);
        assert_eq!(links(1).open(&old["https://otp.example/not-me/".len()..]), Some(("shop".into(), id)), "under the previous pepper");
        let bytes = URL_SAFE_NO_PAD.decode(token).expect("base64");
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(links(1).open(&URL_SAFE_NO_PAD.encode(other)), None, "bit {bit}");
        }
        for nothing in ["", "a", "????", &"A".repeat(43)] {
            assert_eq!(links(1).open(nothing), None);
        }
    }
}
