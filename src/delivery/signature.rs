//! What the signatures of receipts have in common: a MAC with a key that two know, compared in constant time (OPS-04).

use hmac::{KeyInit, Mac};

/// Whether `given` is the MAC of these parts, one after the other. A signature of no bytes is none.
pub fn is_mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return false };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(given).is_ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hmac::Hmac;
    use sha2::Sha256;

    use super::*;

    #[test]
    fn nothing_but_the_whole_mac_is_one() {
        // RFC 4231, test case 2.
        let mac = STANDARD.decode("W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=").expect("base64");
        let given = |mac: &[u8]| is_mac::<Hmac<Sha256>>(b"Jefe", &[b"what do ya want ", b"for nothing?"], mac);
        assert!(given(&mac));
        let mut other = mac.clone();
        other[31] ^= 1;
        for wrong in [&[][..], &mac[..31], &other, &[mac.as_slice(), &[0]].concat()] {
            assert!(!given(wrong), "{wrong:?}");
        }
    }
}
