//! The HTML of a mail: one layout for shipped words and for the operator's own.

use askama::Template;

/// A piece of the page, top to bottom. `html` is markup already, everything else is text.
pub enum Block {
    /// What the mail is about.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// The digits, to be seen and to be selected at once.
    Code(String),
    /// The way out for whoever did not ask.
    Link {
        /// What it is for.
        hint: String,
        /// What it says.
        label: String,
        /// Where it leads.
        url: String,
    },
}

/// The page.
#[derive(Template)]
#[template(path = "mail/code.html")]
pub struct Page<'a> {
    /// BCP 47.
    pub language: &'a str,
    /// "ltr" or "rtl".
    pub direction: &'a str,
    /// Of the mail.
    pub subject: &'a str,
    /// Its pieces.
    pub blocks: Vec<Block>,
}

/// A brand within markup. Isolated: a name in another script must not turn the sentence around.
pub fn isolated(brand: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(brand))
}

/// Text as markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The operator's plain text as pieces: blank lines part paragraphs, a paragraph that is the code alone shows as the code, and
/// the link can be followed.
pub fn blocks_of(text: &str, code: &str, link: Option<&str>) -> Vec<Block> {
    let text = text.replace('\r', "");
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let alone = paragraphs.clone().any(|paragraph| paragraph == code);
    let block = |paragraph: &str| match paragraph {
        _ if paragraph == code => Block::Code(code.to_owned()),
        _ => {
            let mut html = escaped(paragraph).replace('\n', "<br>");
            if !alone {
                html = html.replace(code, &format!("<strong style=\"font-size: 22px; letter-spacing: 0.05em;\">{code}</strong>"));
            }
            if let Some(link) = link.map(escaped) {
                html = html.replace(&link, &format!("<a href=\"{link}\" style=\"color: inherit;\">{link}</a>"));
            }
            Block::Text(html)
        }
    };
    paragraphs.map(block).collect()
}
