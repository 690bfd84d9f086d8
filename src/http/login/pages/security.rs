//! `/security` and what it leads to.

use askama::Template;

use crate::clock::Timestamp;
use crate::http::login::pages::frame::{Field, Frame, Invalid};

/// `/security`. Its forms, each with `csrf`:
///
/// | path | fields |
/// |---|---|
/// | `/security/identifiers/add` | `identifier` (a number or an address) |
/// | `/security/identifiers/send`, `…/remove` | `identifier` (its id); `send` leads to [`super::code::CONFIRM_IDENTIFIER`] |
/// | `/security/totp/start`, `…/remove` | |
/// | `/security/passkeys/add` | `name`, `passkey` (the answer of the browser) |
/// | `/security/passkeys/remove` | `passkey` (its id) |
/// | `/security/recovery-codes` | |
/// | `/security/sessions/revoke` | `session` (its id) |
/// | `/security/sessions/revoke-others` | |
#[derive(Template, Clone)]
#[template(path = "pages/login/security.html")]
pub struct SecurityPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// Numbers and addresses.
    pub identifiers: &'a [IdentifierRow<'a>],
    /// The field for another one.
    pub new_identifier: Field<'a>,
    /// Since when an authenticator app is on.
    pub totp: Option<Timestamp>,
    /// Passkeys.
    pub passkeys: &'a [PasskeyRow<'a>],
    /// Where the script asks for the options of a new passkey; empty where somebody has to show first who they are, and none
    /// where passkeys are off.
    pub new_passkey: Option<&'a str>,
    /// Recovery codes that still work.
    pub codes_left: usize,
    /// Browsers and apps, this one first.
    pub sessions: &'a [SessionRow<'a>],
    /// Whether there is a password to change.
    pub has_password: bool,
}

/// A number or an address.
#[derive(Clone, Copy)]
pub struct IdentifierRow<'a> {
    /// Its id.
    pub id: &'a str,
    /// As it is: its owner is looking.
    pub value: &'a str,
    /// Whether it is proven.
    pub is_confirmed: bool,
}

/// A passkey.
#[derive(Clone, Copy)]
pub struct PasskeyRow<'a> {
    /// Its id.
    pub id: &'a str,
    /// What its owner calls it.
    pub name: &'a str,
    /// Since when.
    pub added_at: Timestamp,
}

/// A browser or an app.
#[derive(Clone, Copy)]
pub struct SessionRow<'a> {
    /// Its id.
    pub id: &'a str,
    /// What the browser calls itself.
    pub agent: &'a str,
    /// Where it began.
    pub address: &'a str,
    /// Its last request.
    pub seen_at: Timestamp,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// `/security/totp`: `code`.
#[derive(Template, Clone)]
#[template(path = "pages/login/totp.html")]
pub struct TotpPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// An `<svg>` of ours, put into the page as it is.
    pub qr_svg: &'a str,
    /// `otpauth://…`, for an app on the same device.
    pub link: &'a str,
    /// Base32 in groups of four, for typing.
    pub key: &'a str,
    /// What is wrong with `code`.
    pub error: Option<Invalid>,
}

/// `/security/recovery-codes`: shown once.
#[derive(Template, Clone)]
#[template(path = "pages/login/codes.html")]
pub struct CodesPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// As people write them down.
    pub codes: &'a [String],
}
