//! `/reset` and `/security/password`: a new password, by a code or by the old one.

use askama::Template;

use crate::http::login::pages::frame::{Frame, Invalid};

/// `/reset`: `code`, `password`. The same whether or not there is an account (ENM-01).
#[derive(Template, Clone)]
#[template(path = "pages/login/reset.html")]
pub struct ResetPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// As the person wrote it.
    pub identifier: &'a str,
    /// What is wrong with `code`.
    pub code: Option<Invalid>,
    /// What is wrong with `password`.
    pub password: Option<Invalid>,
    /// Fewest characters of a password.
    pub password_min: u32,
    /// Seconds until another code can be asked for, at `/reset/resend`.
    pub resend_in: Option<u64>,
}

/// `/security/password`: `current_password`, `new_password`.
#[derive(Template, Clone)]
#[template(path = "pages/login/password.html")]
pub struct PasswordPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// Who signs in, for the browser's password manager.
    pub identifier: &'a str,
    /// Whether there is one already.
    pub has_password: bool,
    /// What is wrong with `current_password`.
    pub current: Option<Invalid>,
    /// What is wrong with `new_password`.
    pub new: Option<Invalid>,
    /// Fewest characters of a password.
    pub password_min: u32,
}
