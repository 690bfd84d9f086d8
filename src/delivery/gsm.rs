//! How a text message travels: in GSM 03.38's alphabet of seven bits, or as UTF-16 when one character is not in it. What
//! that costs: messages are paid by the segment.

/// One character each (3GPP TS 23.038, 6.2.1), without the escape.
const BASIC: &str =
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// An escape and one character each (6.2.1.1).
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// The alphabet of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Seven bits a character: 160 in one segment, 153 in each of several.
    Gsm7,
    /// UTF-16: 70 units in one segment, 67 in each of several.
    Ucs2,
}

impl Encoding {
    /// Units that one segment holds: alone, and as one of several.
    const fn room(self) -> (usize, usize) {
        match self {
            Encoding::Gsm7 => (160, 153),
            Encoding::Ucs2 => (70, 67),
        }
    }
}

/// Whether every character is in GSM's alphabet, its extension included.
pub fn is_gsm7(text: &str) -> bool {
    text.chars().all(|character| septets(character).is_some())
}

/// The alphabet that the text needs, and how many segments it takes; an empty one takes one.
pub fn segments(text: &str) -> (Encoding, usize) {
    let encoding = if is_gsm7(text) { Encoding::Gsm7 } else { Encoding::Ucs2 };
    let units = |character: char| match encoding {
        Encoding::Gsm7 => septets(character).unwrap_or_default(),
        Encoding::Ucs2 => character.len_utf16(),
    };
    let (alone, each) = encoding.room();
    if text.chars().map(units).sum::<usize>() <= alone {
        return (encoding, 1);
    }
    // A character of two units is never cut: it goes into the next segment whole.
    let (mut segments, mut used) = (1, 0);
    for units in text.chars().map(units) {
        if used + units > each {
            segments += 1;
            used = 0;
        }
        used += units;
    }
    (encoding, segments)
}

fn septets(character: char) -> Option<usize> {
    if BASIC.contains(character) { Some(1) } else { EXTENSION.contains(character).then_some(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_gsm_s_and_no_more() {
        assert_eq!((BASIC.chars().count(), EXTENSION.chars().count()), (127, 10), "128 places, one of them the escape");
        for text in ["", "123456 ist Ihr Code für Übergröße", "à la carte", "[{~}] €", "ΩΣ", "a\r\nb"] {
            assert!(is_gsm7(text), "{text}");
        }
        for text in ["ç", "á", "Ê", "ş", "код", "验证码", "“quoted”", "`", "\t", "\u{1b}", "🙂", "α"] {
            assert!(!is_gsm7(text), "{text}");
        }
    }

    #[test]
    fn segments_break_where_phones_break_them() {
        assert_eq!(segments(""), (Encoding::Gsm7, 1));
        for (length, expected) in [(160, 1), (161, 2), (306, 2), (307, 3)] {
            assert_eq!(segments(&"a".repeat(length)), (Encoding::Gsm7, expected), "{length}");
        }
        for (length, expected) in [(70, 1), (71, 2), (134, 2), (135, 3)] {
            assert_eq!(segments(&"я".repeat(length)), (Encoding::Ucs2, expected), "{length}");
        }
        assert_eq!(segments(&"€".repeat(80)).1, 1, "two septets each");
        assert_eq!(segments(&"€".repeat(81)).1, 2);
        // 152 + 2 do not fit into 153, so 76 in each of two segments, and one more.
        assert_eq!((segments(&"€".repeat(152)).1, segments(&"€".repeat(153)).1), (2, 3));
        assert_eq!(segments(&"🙂".repeat(35)), (Encoding::Ucs2, 1), "two units each");
        assert_eq!((segments(&"🙂".repeat(66)).1, segments(&"🙂".repeat(67)).1), (2, 3), "33 in each, none cut in half");
    }
}
