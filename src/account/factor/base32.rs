//! Five bits a character. Without padding: what is encoded here fits, or is cut to fit.

use zeroize::Zeroizing;

/// RFC 4648: what authenticator apps read.
pub(crate) const STANDARD: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Crockford's: without I, L, O and U, which people mistake for others.
pub(super) const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The characters of these bytes; what is left over of the last five bits is zero.
pub(crate) fn encode(alphabet: &[u8; 32], bytes: &[u8]) -> Zeroizing<String> {
    // In one piece from the start: text that grows leaves copies of itself behind.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    let (mut bits, mut waiting) = (0_u16, 0);
    for byte in bytes {
        bits = bits << 8 | u16::from(*byte);
        waiting += 8;
        while waiting >= 5 {
            waiting -= 5;
            text.push(char::from(alphabet[usize::from(bits >> waiting & 31)]));
        }
    }
    if waiting > 0 {
        text.push(char::from(alphabet[usize::from(bits << (5 - waiting) & 31)]));
    }
    text
}

/// What these characters stand for, in either case and with or without padding; none for anything else. Bits that fill no
/// byte must be zero: each secret has one spelling.
pub(crate) fn decode(alphabet: &[u8; 32], text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8));
    let (mut bits, mut waiting) = (0_u16, 0);
    for character in text.bytes() {
        let value = alphabet.iter().position(|known| *known == character.to_ascii_uppercase())?;
        bits = bits << 5 | value as u16;
        waiting += 5;
        if waiting >= 8 {
            waiting -= 8;
            bytes.push((bits >> waiting) as u8);
            bits &= (1 << waiting) - 1;
        }
    }
    (waiting < 5 && bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648, section 10, without their padding.
    #[test]
    fn it_is_rfc_4648() {
        let vectors =
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB"), ("foobar", "MZXW6YTBOI")];
        for (plain, encoded) in vectors {
            assert_eq!(encode(STANDARD, plain.as_bytes()).as_str(), encoded);
            let padded = format!("{:=<1$}", encoded.to_lowercase(), encoded.len().div_ceil(8) * 8);
            for spelling in [encoded, padded.as_str()] {
                assert_eq!(decode(STANDARD, spelling).expect(encoded).as_slice(), plain.as_bytes());
            }
        }
        for wrong in ["M", "MZ1", "MY=A", "MZ", "MZXW6YTBOI8", "MZ XQ", "MZXR"] {
            assert!(decode(STANDARD, wrong).is_none(), "{wrong}");
        }
    }
}
