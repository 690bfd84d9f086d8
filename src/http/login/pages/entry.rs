//! `/register`, `/login`, `/profile` and `/logout`.

use askama::Template;

use crate::http::login::pages::frame::{Field, Frame, Invalid};

/// `/register`: `fullname`, `phone`, `email`, `password`.
#[derive(Template, Clone)]
#[template(path = "pages/login/register.html")]
pub struct RegisterPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// `fullname`
    pub full_name: Field<'a>,
    /// `phone`
    pub phone: Field<'a>,
    /// Whether an account may do without a number; then there is an address.
    pub needs_phone: bool,
    /// `email`
    pub email: Field<'a>,
    /// What is wrong with `password`.
    pub password: Option<Invalid>,
    /// Fewest characters of a password.
    pub password_min: u32,
}

/// `/login`: `phone`, which may be a mail address too, and `password`.
#[derive(Template, Clone)]
#[template(path = "pages/login/login.html")]
pub struct LoginPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// `phone`
    pub identifier: Field<'a>,
    /// What is wrong with `password`: only that it is missing (ENM-01).
    pub password: Option<Invalid>,
    /// Whether people may register by themselves.
    pub may_register: bool,
    /// A button that posts the identifier to `/login/code`.
    pub by_code: bool,
    /// Where the script asks for the options of a passkey; with it there is a button, whose answer goes to `/login/passkey` as
    /// `passkey`.
    pub passkey: Option<&'a str>,
}

/// `/profile`
#[derive(Template, Clone)]
#[template(path = "pages/login/profile.html")]
pub struct ProfilePage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
    /// Greeted by it; the identifier, where somebody has no name.
    pub full_name: &'a str,
}

/// `/logout`: a button, since reading a page must not sign anybody out.
#[derive(Template, Clone)]
#[template(path = "pages/login/logout.html")]
pub struct LogoutPage<'a> {
    /// Around it.
    pub frame: Frame<'a>,
}
