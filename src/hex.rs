//! Bytes as hexadecimal digits, as signatures of receipts are often written, and hashes in shared databases.

/// The digits of these bytes, in lower case.
pub fn digits(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let both = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(both).map(char::from).collect()
}

/// The bytes that these digits stand for, in either case; none for anything else.
pub fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes, digits};

    #[test]
    fn digits_are_the_bytes_again() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(digits(&[0, 9, 10, 255]), "00090aff");
        assert_eq!(bytes(&digits(&all)), Some(all));
    }

    #[test]
    fn only_pairs_of_digits_are_bytes() {
        assert_eq!(bytes("00fFa1"), Some(vec![0, 255, 161]));
        assert_eq!(bytes(""), Some(Vec::new()));
        for wrong in ["0", "0g", "+1", " 1", "é"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
