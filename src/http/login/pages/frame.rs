//! What all pages share: words, brand, the form's own token, and what a page says first.

use crate::account::model::Method;
use crate::http::login::pages::brand::Brand;
use crate::http::login::pages::texts::{Gap, Texts};

/// Around every page.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// In the person's language.
    pub words: &'a Texts,
    /// Whose pages these are.
    pub brand: &'a Brand,
    /// Goes back with every form, as `csrf` (WEB-01).
    pub csrf: &'a str,
    /// What the page says first.
    pub notice: Option<Notice>,
}

/// What a page says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// After `/register`.
    AccountCreated,
    /// The same for whatever was wrong (ENM-01).
    WrongCredentials,
    /// The session or the half-finished sign-in ended.
    SignInAgain,
    /// After `/logout`.
    SignedOut,
    /// After `/reset`, and after a change that ended this session too.
    PasswordChanged,
    /// A limit: so many seconds.
    Wait(u64),
    /// The server has too much to do.
    Busy,
    /// The form's token was wrong or too old.
    FormExpired,
    /// After a resend.
    CodeSent,
    /// No provider took it.
    CodeNotSent,
    /// No, or a wrong, answer of a passkey.
    PasskeyFailed,
    /// After a change in `/security`.
    Saved,
    /// A number or an address is proven.
    Confirmed,
    /// It cannot be removed.
    LastOne,
}

impl Notice {
    /// Whether something went well.
    pub fn is_good(self) -> bool {
        matches!(
            self,
            Notice::AccountCreated | Notice::SignedOut | Notice::PasswordChanged | Notice::CodeSent | Notice::Saved | Notice::Confirmed
        )
    }

    /// Seconds to count down.
    pub fn seconds(self) -> Option<u64> {
        if let Notice::Wait(seconds) = self { Some(seconds) } else { None }
    }

    /// Its words.
    pub fn text(self, words: &Texts) -> String {
        let texts = &words.notice;
        match self {
            Notice::AccountCreated => texts.account_created.to_string(),
            Notice::WrongCredentials => texts.wrong_credentials.to_string(),
            Notice::SignInAgain => texts.sign_in_again.to_string(),
            Notice::SignedOut => texts.signed_out.to_string(),
            Notice::PasswordChanged => texts.password_changed.to_string(),
            Notice::Wait(seconds) => texts.wait.with(&words.duration(seconds)),
            Notice::Busy => texts.busy.to_string(),
            Notice::FormExpired => texts.form_expired.to_string(),
            Notice::CodeSent => texts.code_sent.to_string(),
            Notice::CodeNotSent => texts.code_not_sent.to_string(),
            Notice::PasskeyFailed => texts.passkey_failed.to_string(),
            Notice::Saved => texts.saved.to_string(),
            Notice::Confirmed => texts.confirmed.to_string(),
            Notice::LastOne => texts.last_one.to_string(),
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Empty.
    Missing,
    /// No phone number.
    Phone,
    /// No mail address.
    Email,
    /// Neither.
    PhoneOrEmail,
    /// Somebody has an account with it.
    Taken,
    /// Fewer characters than this.
    TooShort(u32),
    /// Longer than anything of its kind.
    TooLong,
    /// On the list of common passwords, or made of the person's own name or number.
    Common,
    /// Wrong, old or used: the page does not tell which.
    Code,
}

impl Invalid {
    /// Its words.
    pub fn text(&self, words: &Texts) -> String {
        let texts = &words.invalid;
        match self {
            Invalid::Missing => texts.missing.to_string(),
            Invalid::Phone => texts.phone.to_string(),
            Invalid::Email => texts.email.to_string(),
            Invalid::PhoneOrEmail => texts.phone_or_email.to_string(),
            Invalid::Taken => texts.taken.to_string(),
            Invalid::TooShort(characters) => texts.too_short.with(&characters.to_string()),
            Invalid::TooLong => texts.too_long.to_string(),
            Invalid::Common => texts.common.to_string(),
            Invalid::Code => texts.code.to_string(),
        }
    }
}

/// A field with what somebody wrote into it. Passwords and codes are never written back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Field<'a> {
    /// What stands in it.
    pub value: &'a str,
    /// What is wrong with it.
    pub error: Option<Invalid>,
}

/// A way to prove who one is, as a page offers it.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// How.
    pub method: Method,
    /// Masked; empty where nothing is sent.
    pub address: &'a str,
}

/// The name of a way: with a place for the address, or without.
pub enum WayName<'a> {
    /// "Text message to {}"
    To(&'a Gap),
    /// "Passkey"
    Plain(String),
}

impl Way<'_> {
    /// Its name.
    pub fn name<'a>(&self, words: &'a Texts) -> WayName<'a> {
        let texts = &words.method;
        match self.method {
            Method::Sms => WayName::To(&texts.sms),
            Method::Whatsapp => WayName::To(&texts.whatsapp),
            Method::Call => WayName::To(&texts.call),
            Method::Email => WayName::To(&texts.email),
            Method::Totp => WayName::Plain(texts.totp.to_string()),
            Method::Passkey => WayName::Plain(texts.passkey.to_string()),
            Method::RecoveryCode => WayName::Plain(texts.recovery_code.to_string()),
        }
    }

    /// Whether a code is sent.
    pub fn sends(&self) -> bool {
        self.method.channel().is_some()
    }
}
