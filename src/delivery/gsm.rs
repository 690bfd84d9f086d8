//! How a text travels as SMS: in which alphabet, and in how many segments.
//!
//! 3GPP TS 23.038: seven bits a character in the GSM alphabet (160 to a message, 153 where several are joined), and 16-bit
//! units for everything else (70, and 67). One character outside the alphabet makes the whole text the other kind.

use serde::Serialize;

/// The basic alphabet: one septet each. (The escape, the 128th, is no character.)
const BASIC: &str =
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension: an escape and one more septet.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// The alphabet of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Seven bits a character.
    Gsm7,
    /// 16-bit units.
    Ucs2,
}

impl Encoding {
    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Gsm7 => "GSM-7",
            Encoding::Ucs2 => "UCS-2",
        }
    }

    /// Units of a message that stands alone, and of one that is joined with others.
    fn room(self) -> (usize, usize) {
        match self {
            Encoding::Gsm7 => (160, 153),
            Encoding::Ucs2 => (70, 67),
        }
    }
}

/// Letters that the alphabet lacks, and what people write in their place on a phone.
const PLAIN: [(&str, char); 28] = [
    ("áâãāăą", 'a'),
    ("ÁÂÃĀĂĄ", 'A'),
    ("çćč", 'c'),
    ("ĆČ", 'C'),
    ("êëēęě", 'e'),
    ("ÊËĒĘĚÈ", 'E'),
    ("íîïīı", 'i'),
    ("ÍÎÏĪİ", 'I'),
    ("óôõōő", 'o'),
    ("ÓÔÕŌŐ", 'O'),
    ("úûūůű", 'u'),
    ("ÚÛŪŮŰ", 'U'),
    ("ł", 'l'),
    ("Ł", 'L'),
    ("ńň", 'n'),
    ("ŃŇ", 'N'),
    ("śšş", 's'),
    ("ŚŠŞ", 'S'),
    ("źżž", 'z'),
    ("ŹŻŽ", 'Z'),
    ("ğ", 'g'),
    ("Ğ", 'G'),
    ("ý", 'y'),
    ("Ý", 'Y'),
    ("ř", 'r'),
    ("Ř", 'R'),
    ("’‘", '\''),
    ("–—", '-'),
];

/// The text without the marks that the GSM alphabet lacks, where that makes it a GSM text: it is read as easily, and is one
/// segment in place of two or three. Any other text as it is.
pub fn plain(text: &str) -> String {
    let plain = |character: char| {
        let missing = septets(character).is_none();
        let found = PLAIN.iter().find(|(letters, _)| missing && letters.contains(character));
        found.map_or(character, |(_, plain)| *plain)
    };
    let written: String = text.chars().map(plain).collect();
    if is_gsm7(&written) { written } else { text.to_owned() }
}

/// Whether every character is in the GSM alphabet or its extension.
pub fn is_gsm7(text: &str) -> bool {
    text.chars().all(|character| septets(character).is_some())
}

/// The alphabet that the text needs, and the number of segments that carry it. An empty text is one.
pub fn segments(text: &str) -> (Encoding, usize) {
    let (encoding, units) = units(text);
    let (alone, joined) = encoding.room();
    if units.iter().sum::<usize>() <= alone {
        return (encoding, 1);
    }
    // A character of two units stays whole, so a segment may end one unit early.
    let (mut count, mut used) = (1, 0);
    for size in units {
        if used + size > joined {
            count += 1;
            used = 0;
        }
        used += size;
    }
    (encoding, count)
}

/// The units that the text takes: septets, or 16-bit ones.
pub fn length(text: &str) -> usize {
    units(text).1.iter().sum()
}

fn units(text: &str) -> (Encoding, Vec<usize>) {
    match text.chars().map(septets).collect::<Option<Vec<_>>>() {
        Some(septets) => (Encoding::Gsm7, septets),
        None => (Encoding::Ucs2, text.chars().map(char::len_utf16).collect()),
    }
}

fn septets(character: char) -> Option<usize> {
    match character {
        _ if BASIC.contains(character) => Some(1),
        _ if EXTENSION.contains(character) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_that_of_the_standard() {
        assert_eq!(BASIC.chars().count(), 127);
        assert!(is_gsm7("") && is_gsm7("Grüße, 12 €") && is_gsm7("@example.com #123456"));
        // Not in it, though it looks as if: the backtick, ç, á, the long dash, the curly apostrophe.
        for not in ["`", "ç", "á", "–", "’", "ł", "1\u{a0}2", "\t", "你", "🙂"] {
            assert!(!is_gsm7(not), "{not}");
        }
    }

    #[test]
    fn marks_go_where_that_makes_a_gsm_text() {
        assert_eq!(plain("Hasło: señal, Grüße, şifre, não – l’été"), "Haslo: señal, Grüße, sifre, nao - l'été");
        for as_it_is in ["Пароль – ł", "mật khẩu", "パスワード’"] {
            assert_eq!(plain(as_it_is), as_it_is);
        }
    }

    #[test]
    fn segments_are_counted_as_carriers_do() {
        for (text, expected) in [
            (String::new(), (Encoding::Gsm7, 1)),
            ("a".repeat(160), (Encoding::Gsm7, 1)),
            ("a".repeat(161), (Encoding::Gsm7, 2)),
            ("a".repeat(306), (Encoding::Gsm7, 2)),
            ("a".repeat(307), (Encoding::Gsm7, 3)),
            ("€".repeat(80), (Encoding::Gsm7, 1)),
            ("€".repeat(81), (Encoding::Gsm7, 2)),
            // 153 is odd: the 77th euro sign does not fit into the first segment.
            ("€".repeat(152), (Encoding::Gsm7, 2)),
            ("€".repeat(153), (Encoding::Gsm7, 3)),
            ("я".repeat(70), (Encoding::Ucs2, 1)),
            ("я".repeat(71), (Encoding::Ucs2, 2)),
            ("я".repeat(135), (Encoding::Ucs2, 3)),
            ("🙂".repeat(35), (Encoding::Ucs2, 1)),
            // 67 is odd, too.
            ("🙂".repeat(66), (Encoding::Ucs2, 2)),
            ("🙂".repeat(67), (Encoding::Ucs2, 3)),
            (format!("{}я", "a".repeat(69)), (Encoding::Ucs2, 1)),
        ] {
            assert_eq!(segments(&text), expected, "{} units", length(&text));
        }
    }
}
