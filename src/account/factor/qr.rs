//! QR codes as SVG, to stand inline in a page.
//!
//! Black on white by attributes of its own: a page in dark mode does not turn it round (many readers take no light code on
//! dark), and our Content-Security-Policy, which allows no inline style, has nothing to refuse.

use std::fmt::Write;

use fast_qr::{ECL, QRBuilder};

/// Blank modules on every side, as the standard asks for (ISO/IEC 18004).
const QUIET_ZONE: usize = 4;

/// The picture of `text`, which a screen reader calls `label`; none when it is more than a QR code can hold (2,331 bytes).
pub fn svg(text: &str, label: &str) -> Option<String> {
    // Level M: a screen does not get scratched, and fewer modules are read from further away.
    let code = QRBuilder::new(text).ecl(ECL::M).build().ok()?;
    let side = code.size + 2 * QUIET_ZONE;
    let mut path = String::new();
    for row in 0..code.size {
        let dark = |column: usize| column < code.size && code[row][column].value();
        let mut column = 0;
        while column < code.size {
            let run = (column..code.size).take_while(|column| dark(*column)).count();
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", column + QUIET_ZONE, row + QUIET_ZONE);
            }
            column += run.max(1);
        }
    }
    let label = escaped(label);
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"qr\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"{label}\" \
         shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/Countersign:ann%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Countersign";

    /// Reads the picture back into rows of dark and light.
    fn modules(svg: &str) -> (usize, Vec<Vec<bool>>) {
        let between = |start: &str, end: &str| svg.split_once(start).expect(start).1.split_once(end).expect(end).0.to_owned();
        let side: usize = between("viewBox=\"0 0 ", " ").parse().expect("a number");
        let mut rows = vec![vec![false; side]; side];
        for run in between("d=\"M", "\"").split('M') {
            let numbers: Vec<usize> =
                run.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
            let [column, row, length, 1, back] = numbers[..] else { panic!("{run}") };
            assert_eq!(length, back);
            rows[row][column..column + length].fill(true);
        }
        (side, rows)
    }

    #[test]
    fn the_picture_is_the_code_with_its_quiet_zone() {
        let code = QRBuilder::new(URI).ecl(ECL::M).build().expect("a code");
        let (side, rows) = modules(&svg(URI, "QR").expect("a picture"));
        assert_eq!(side, code.size + 8);
        for (row, modules) in rows.iter().enumerate() {
            for (column, dark) in modules.iter().enumerate() {
                let inside = (4..side - 4).contains(&row) && (4..side - 4).contains(&column);
                assert_eq!(*dark, inside && code[row - 4][column - 4].value(), "{row} {column}");
            }
        }
    }

    /// WEB-03: nothing in it that our Content-Security-Policy would refuse, and a label that is text only.
    #[test]
    fn it_has_a_label_and_nothing_active() {
        let svg = svg(URI, "Scan \"me\" <b>&</b>").expect("a picture");
        assert!(svg.contains("role=\"img\" aria-label=\"Scan &quot;me&quot; &lt;b&gt;&amp;&lt;/b&gt;\""));
        for word in ["style", "script", "href", "currentColor", "secret"] {
            assert!(!svg.contains(word), "{word}");
        }
    }

    #[test]
    fn too_much_text_is_no_picture() {
        assert!(svg(&"x".repeat(2331), "QR").is_some());
        assert!(svg(&"x".repeat(2332), "QR").is_none());
    }
}
