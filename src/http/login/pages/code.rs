//! The pages that ask for a proof: the second step, the confirmation of a number or address, a recovery code, and a proof
//! once more before a change.

use askama::Template;

use crate::account::model::Method;
use crate::http::login::pages::frame::{Field, Frame, Invalid, Way, WayName};

/// `/verify`: `code`, and R1's hidden `phone`. Also the page that confirms a number or an address, or asks for a factor before a
/// change, each under its own path.
///
/// Under that path, with the same hidden fields: `…/resend` sends again, `…/method` (with `method`) changes the way.
#[derive(Template, Clone)]
#[template(path = "pages/login/verify.html")]
pub struct VerifyPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// Where its forms go: [`VERIFY`], [`CONFIRM`] or [`CONFIRM_IDENTIFIER`].
    pub path: &'a str,
    /// Names and values that every form on it sends back: `phone`, or `identifier`.
    pub hidden: &'a [(&'a str, &'a str)],
    /// What is asked for.
    pub way: Way<'a>,
    /// Whether something waits to be shown: no code could be sent where this is false, and there is nothing to type.
    pub is_asked: bool,
    /// What is wrong with `code`.
    pub error: Option<Invalid>,
    /// Seconds until another code can be asked for; none where no code is sent, or no other may be.
    pub resend_in: Option<u64>,
    /// The options for a passkey as JSON, where that is the way; its answer goes to `path` as `passkey`.
    pub passkey: Option<&'a str>,
    /// The other ways.
    pub others: &'a [Way<'a>],
    /// Whether a box asks to `remember` the browser (MFA-08).
    pub may_remember: bool,
    /// Where somebody goes who does not want to go on.
    pub back: &'a str,
}

/// The second step of a sign-in.
pub const VERIFY: &str = "/verify";
/// A proof once more, before a change.
pub const CONFIRM: &str = "/security/confirm";
/// The proof of a number or an address.
pub const CONFIRM_IDENTIFIER: &str = "/security/identifiers/verify";

impl VerifyPage<'_> {
    /// Whether a text message may come that a browser can read out of (WebOTP).
    pub fn is_sms(&self) -> bool {
        self.way.method == Method::Sms
    }
}

/// `/recover`: `code`, one of those on paper in place of the second step.
#[derive(Template, Clone)]
#[template(path = "pages/login/recover.html")]
pub struct RecoverPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// What is wrong with `code`.
    pub error: Option<Invalid>,
}

/// `/security/confirm`: `password`, or a factor by its button (MFA-04).
#[derive(Template, Clone)]
#[template(path = "pages/login/confirm.html")]
pub struct ConfirmPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// Who signs in, for the browser's password manager.
    pub identifier: &'a str,
    /// Goes back with every form, as `then`: where somebody came from.
    pub then: &'a str,
    /// Whether the account has a password.
    pub has_password: bool,
    /// What is wrong with `password`.
    pub password: Option<Invalid>,
    /// The factors: each a button that posts `method` to `/security/confirm/method`.
    pub ways: &'a [Way<'a>],
}

/// `/forgot`: `identifier`.
#[derive(Template, Clone)]
#[template(path = "pages/login/forgot.html")]
pub struct ForgotPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// `identifier`
    pub identifier: Field<'a>,
}
