//! The operator's own name, logo and colours on the pages, without a rebuild: checked once, and served as `/static/brand.css`
//! beside the sheet of all pages.
//!
//! It refuses colours that somebody could not read: every pair that carries text holds WCAG AA.

use std::fmt::Write;

/// Where a logo from a file is served.
pub const LOGO_PATH: &str = "/static/brand-logo";
/// Where the colours are served.
pub const SHEET_PATH: &str = "/static/brand.css";

/// WCAG 2.2, 1.4.3.
const LEAST_CONTRAST: f64 = 4.5;
/// What the accent colour must be readable on, as `static/countersign.css` has them: canvas and surface.
const LIGHT_GROUNDS: [Colour; 2] = [Colour([0xf4, 0xf6, 0xf5]), Colour([0xff, 0xff, 0xff])];
const DARK_GROUNDS: [Colour; 2] = [Colour([0x0e, 0x14, 0x12]), Colour([0x17, 0x1f, 0x1c])];
const WHITE: Colour = Colour([0xff; 3]);
const INK: Colour = Colour([0x0b, 0x10, 0x0f]);
/// How far a hovered accent moves towards ink or white, and how much of it tints a ground.
const HOVER: f64 = 0.22;
const TINT: f64 = 0.14;

/// A setting of the brand that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum BrandError {
    /// Its name is empty, long, or more than a line.
    #[error("name: must have 1 to 40 characters in one line")]
    Name,
    /// Not `#rrggbb`.
    #[error("{0}: must be a colour such as #0a6759")]
    Colour(&'static str),
    /// People could not read it.
    #[error("{key}: its contrast with {ground} is {found:.1}:1 and must be 4.5:1 or more")]
    Contrast {
        /// The setting.
        key: &'static str,
        /// The other colour.
        ground: String,
        /// What the two have.
        found: f64,
    },
    /// Elsewhere, or of a kind that browsers do not show.
    #[error("logo: must be a path on this server such as /logo.svg, or a file named .svg, .png, .jpg, .webp or .avif")]
    Logo,
}

/// An opaque sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    /// `#rrggbb`, and no other of CSS's many spellings: what is checked is what stands in the sheet.
    pub fn parse(text: &str) -> Option<Colour> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        let number = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = number.to_be_bytes();
        Some(Colour([red, green, blue]))
    }

    /// From 1 to 21, as WCAG reckons it.
    pub fn contrast(self, other: Colour) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    /// This colour with so much of the other in it.
    fn mixed(self, other: Colour, share: f64) -> Colour {
        let mut parts = [0; 3];
        for (part, (one, two)) in parts.iter_mut().zip(self.0.into_iter().zip(other.0)) {
            *part = (f64::from(one) * (1.0 - share) + f64::from(two) * share).round() as u8;
        }
        Colour(parts)
    }
}

impl std::fmt::Display for Colour {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [red, green, blue] = self.0;
        write!(formatter, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// What a brand may set; all but the name may stay away.
#[derive(Debug, Clone, Copy, Default)]
pub struct BrandSettings<'a> {
    /// What people know the service by.
    pub name: &'a str,
    /// A path on this server, or a file whose bytes `logo_bytes` are.
    pub logo: Option<&'a str>,
    /// The content of the file that `logo` names.
    pub logo_bytes: Option<&'a [u8]>,
    /// `accent`: links and the main button, where it is light.
    pub accent: Option<&'a str>,
    /// `on_accent`: the words on the main button. White or nearly black, whichever reads better, when not given.
    pub on_accent: Option<&'a str>,
    /// `accent_dark`: as `accent`, where it is dark.
    pub accent_dark: Option<&'a str>,
    /// `on_accent_dark`: as `on_accent`, where it is dark.
    pub on_accent_dark: Option<&'a str>,
}

/// A logo of the operator's.
#[derive(Debug, Clone)]
pub struct Logo {
    /// Its address in the page.
    pub path: String,
    /// Kind and content, where we serve it at [`LOGO_PATH`].
    pub file: Option<(&'static str, Vec<u8>)>,
}

/// The colours of one scheme.
#[derive(Debug, Clone, Copy)]
struct Accent {
    accent: Colour,
    over: Colour,
    on: Colour,
    tint: Colour,
}

/// A brand, checked.
#[derive(Debug, Clone)]
pub struct Brand {
    /// What people know the service by.
    pub name: String,
    /// In place of the name's own letters.
    pub logo: Option<Logo>,
    light: Option<Accent>,
    dark: Option<Accent>,
}

impl Brand {
    /// Checks what is set.
    pub fn new(settings: &BrandSettings<'_>) -> Result<Brand, BrandError> {
        let name = settings.name.trim();
        if !(1..=40).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(BrandError::Name);
        }
        let logo = settings.logo.map(|logo| Logo::new(logo, settings.logo_bytes)).transpose()?;
        let light = accent(("accent", settings.accent), ("on_accent", settings.on_accent), LIGHT_GROUNDS, INK)?;
        let dark = accent(("accent_dark", settings.accent_dark), ("on_accent_dark", settings.on_accent_dark), DARK_GROUNDS, WHITE)?;
        Ok(Brand { name: name.to_owned(), logo, light, dark })
    }

    /// `/static/brand.css`: only custom properties that the sheet of all pages has. Empty where no colour is set.
    pub fn css(&self) -> String {
        let mut css = String::new();
        if let Some(light) = &self.light {
            // Not for the dark scheme: a colour for a light ground cannot be read on a dark one.
            let _ = write!(css, "@media not (prefers-color-scheme: dark) {{\n{}}}\n", light.properties());
        }
        if let Some(dark) = &self.dark {
            let _ = write!(css, "@media (prefers-color-scheme: dark) {{\n{}}}\n", dark.properties());
        }
        css
    }
}

impl Logo {
    fn new(logo: &str, bytes: Option<&[u8]>) -> Result<Logo, BrandError> {
        let Some(bytes) = bytes else {
            // The policy of the pages lets a browser load pictures from nowhere else.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
            let is_here = logo.starts_with('/') && !logo.starts_with("//") && logo.bytes().all(plain);
            return if is_here { Ok(Logo { path: logo.to_owned(), file: None }) } else { Err(BrandError::Logo) };
        };
        let kind = match logo.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("jpg" | "jpeg") => "image/jpeg",
            Some("webp") => "image/webp",
            Some("avif") => "image/avif",
            _ => return Err(BrandError::Logo),
        };
        Ok(Logo { path: LOGO_PATH.to_owned(), file: Some((kind, bytes.to_vec())) })
    }
}

impl Accent {
    fn properties(&self) -> String {
        let Accent { accent, over, on, tint } = self;
        format!(":root {{\n  --accent: {accent};\n  --accent-over: {over};\n  --on-accent: {on};\n  --accent-tint: {tint};\n}}\n")
    }
}

type Setting<'a> = (&'static str, Option<&'a str>);

fn accent(accent: Setting<'_>, on: Setting<'_>, grounds: [Colour; 2], towards: Colour) -> Result<Option<Accent>, BrandError> {
    let (key, Some(text)) = accent else {
        // Words for a button whose colour is ours would be checked against nothing.
        return if on.1.is_some() { Err(BrandError::Colour(accent.0)) } else { Ok(None) };
    };
    let accent = Colour::parse(text).ok_or(BrandError::Colour(key))?;
    for ground in grounds {
        readable(key, accent, ground)?;
    }
    let own = on.1.map(|text| Colour::parse(text).ok_or(BrandError::Colour(on.0))).transpose()?;
    let better = if WHITE.contrast(accent) >= INK.contrast(accent) { WHITE } else { INK };
    let words = own.unwrap_or(better);
    readable(on.0, words, accent)?;
    // Towards what the grounds are not, and for words that are not the usual ones only as far as they stay readable.
    let over = accent.mixed(towards, HOVER);
    let over = if words.contrast(over) >= LEAST_CONTRAST { over } else { accent };
    Ok(Some(Accent { accent, over, on: words, tint: grounds[1].mixed(accent, TINT) }))
}

fn readable(key: &'static str, colour: Colour, ground: Colour) -> Result<(), BrandError> {
    let found = colour.contrast(ground);
    if found >= LEAST_CONTRAST { Ok(()) } else { Err(BrandError::Contrast { key, ground: ground.to_string(), found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(accent: &str, on_accent: Option<&str>) -> Result<Brand, BrandError> {
        Brand::new(&BrandSettings { name: "Harbour", accent: Some(accent), on_accent, ..BrandSettings::default() })
    }

    #[test]
    fn contrast_is_what_wcag_says() {
        assert!((WHITE.contrast(Colour([0; 3])) - 21.0).abs() < 1e-9);
        // Known pairs: the lightest grey that passes on white, and the next one that does not.
        assert!(WHITE.contrast(Colour([0x76; 3])) >= 4.5 && WHITE.contrast(Colour([0x77; 3])) < 4.5);
    }

    #[test]
    fn colours_that_cannot_be_read_are_refused() {
        assert!(with("#7a2e8e", None).is_ok());
        assert!(matches!(with("#f0a020", None), Err(BrandError::Contrast { key: "accent", .. })), "too light for a light page");
        assert!(matches!(with("#7a2e8e", Some("#808080")), Err(BrandError::Contrast { key: "on_accent", .. })));
        let dark = BrandSettings { name: "Harbour", accent_dark: Some("#0a6759"), ..BrandSettings::default() };
        assert!(matches!(Brand::new(&dark), Err(BrandError::Contrast { key: "accent_dark", .. })), "too dark for a dark page");
    }

    /// Nothing but a colour reaches the sheet.
    #[test]
    fn only_one_spelling_is_a_colour() {
        for text in ["red", "#fff", "#12345", "0a6759", "#0a675g", "#+a6759", "#0a6759;}", "rgb(0 0 0)"] {
            assert_eq!(with(text, None).err(), Some(BrandError::Colour("accent")), "{text}");
        }
        let alone = BrandSettings { name: "Harbour", on_accent: Some("#ffffff"), ..BrandSettings::default() };
        assert_eq!(Brand::new(&alone).err(), Some(BrandError::Colour("accent")));
    }

    #[test]
    fn the_sheet_has_only_the_scheme_that_is_set() {
        let css = with("#7A2E8E", None).expect("a brand").css();
        assert!(css.contains("--accent: #7a2e8e;") && css.contains("--on-accent: #ffffff;"), "{css}");
        assert_eq!(css.matches("@media").count(), 1);
        assert!(css.starts_with("@media not (prefers-color-scheme: dark)"));
        assert_eq!(Brand::new(&BrandSettings { name: "Harbour", ..BrandSettings::default() }).expect("a brand").css(), "");
    }

    #[test]
    fn the_grounds_are_those_of_the_sheet() {
        let sheet = include_str!("../../../../static/countersign.css");
        let (light, dark) = sheet.split_once("@media (prefers-color-scheme: dark)").expect("two schemes");
        for (part, [canvas, surface]) in [(light, LIGHT_GROUNDS), (dark, DARK_GROUNDS)] {
            assert!(part.contains(&format!("--canvas: {canvas};")), "{canvas}");
            let surface = if surface == WHITE { "#fff".to_owned() } else { surface.to_string() };
            assert!(part.contains(&format!("--surface: {surface};")), "{surface}");
        }
    }

    #[test]
    fn a_logo_is_here_or_a_picture() {
        let brand =
            |logo, logo_bytes| Brand::new(&BrandSettings { name: "Harbour", logo: Some(logo), logo_bytes, ..BrandSettings::default() });
        assert_eq!(brand("/app/logo.svg", None).expect("a path").logo.map(|logo| logo.path).as_deref(), Some("/app/logo.svg"));
        for elsewhere in ["https://evil.example/logo.svg", "//evil.example/logo.svg", "logo.svg", "/logo.svg\" onerror=\"", "data:,"] {
            assert_eq!(brand(elsewhere, None).err(), Some(BrandError::Logo), "{elsewhere}");
        }
        let file = brand("art/Logo.PNG", Some(b"png")).expect("a file").logo.expect("a logo");
        assert_eq!((file.path.as_str(), file.file.map(|(kind, _)| kind)), (LOGO_PATH, Some("image/png")));
        assert_eq!(brand("logo.html", Some(b"<script>")).err(), Some(BrandError::Logo));
    }

    #[test]
    fn a_name_is_one_short_line() {
        for name in ["", "  ", "a\nb", &"x".repeat(41)] {
            assert_eq!(Brand::new(&BrandSettings { name, ..BrandSettings::default() }).err(), Some(BrandError::Name), "{name:?}");
        }
    }
}
