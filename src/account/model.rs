//! What accounts are made of. Plain data; the rules are in the files beside it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::verification::Destination;
use crate::verification::model::Channel;

/// Names an account; in time order.
pub type AccountId = Uuid;

/// A person who can sign in.
#[derive(Clone)]
pub struct Account {
    /// Its id, and the `sub` of its tokens.
    pub id: AccountId,
    /// As the person wrote it; may be empty.
    pub full_name: String,
    /// BCP 47: the language of messages to this person.
    pub locale: Arc<str>,
    /// What services may read from its tokens. Only operators set them (A53).
    pub roles: Vec<String>,
    /// Whether it may sign in.
    pub is_active: bool,
    /// PHC string; none where the person signs in without a password. Not for printing.
    pub password: Option<String>,
    /// The identifier whose code alone allowed the last reset of the password: as a second factor it proves nothing more
    /// (REC-03).
    pub password_reset_by: Option<Uuid>,
    /// When the password was set.
    pub password_changed_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Without what opens an account (LOG-02).
impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Account").field("id", &self.id).field("is_active", &self.is_active).finish_non_exhaustive()
    }
}

/// A number or a mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentifierKind {
    /// E.164.
    Phone,
    /// A mail address.
    Email,
}

impl IdentifierKind {
    /// What a destination is.
    pub fn of(destination: &Destination) -> IdentifierKind {
        if destination.is_phone() { IdentifierKind::Phone } else { IdentifierKind::Email }
    }

    /// The name as it appears outside and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            IdentifierKind::Phone => "phone",
            IdentifierKind::Email => "email",
        }
    }
}

/// A number or address that an account names as its own.
#[derive(Debug, Clone)]
pub struct Identifier {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub account: AccountId,
    /// What it is.
    pub kind: IdentifierKind,
    /// Canonical.
    pub value: String,
    /// Claimed with the account, and not later: good for the first sign-in, which proves one.
    pub is_registered: bool,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When a code sent there came back. Only then the account owns it.
    pub proven_at: Option<Timestamp>,
}

/// A way to prove who one is, after the password or in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code by text message.
    Sms,
    /// A code by WhatsApp.
    Whatsapp,
    /// A spoken code.
    Call,
    /// A code by mail. Never more than AAL1 (OTP-13).
    Email,
    /// A code of an authenticator app.
    Totp,
    /// A passkey.
    Passkey,
    /// One of the codes on paper.
    RecoveryCode,
}

impl Method {
    /// The name as it appears outside and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Sms => "sms",
            Method::Whatsapp => "whatsapp",
            Method::Call => "call",
            Method::Email => "email",
            Method::Totp => "totp",
            Method::Passkey => "passkey",
            Method::RecoveryCode => "recovery_code",
        }
    }

    /// The channel of a method that sends a code.
    pub fn channel(self) -> Option<Channel> {
        match self {
            Method::Sms => Some(Channel::Sms),
            Method::Whatsapp => Some(Channel::Whatsapp),
            Method::Call => Some(Channel::Call),
            Method::Email => Some(Channel::Email),
            Method::Totp | Method::Passkey | Method::RecoveryCode => None,
        }
    }
}

/// How sure a session is of its person (NIST SP 800-63B): `acr` of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// One factor, or one that was skipped or came by mail.
    Aal1 = 1,
    /// Two different ones.
    Aal2 = 2,
}

impl Assurance {
    /// `acr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Assurance::Aal1 => "aal1",
            Assurance::Aal2 => "aal2",
        }
    }
}

/// A browser or app in which a person is signed in.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id, and the `sid` of its tokens. May be shown.
    pub id: Uuid,
    /// Whose.
    pub account: AccountId,
    /// How sure.
    pub assurance: Assurance,
    /// `amr` (RFC 8176): "pwd", "sms", "otp", … in the order in which they were proven.
    pub methods: Vec<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// The last time somebody proved who they are: `auth_time`.
    pub authenticated_at: Timestamp,
    /// Its last request, to the minute.
    pub seen_at: Timestamp,
    /// Its end, whatever happens.
    pub expires_at: Timestamp,
    /// Without a request for so long it ends, in milliseconds.
    pub idle: i64,
    /// Where it began.
    pub address: String,
    /// The browser's own name for itself, shortened.
    pub agent: String,
}

/// Who is at the other end of a request.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The end user's address.
    pub ip: IpAddr,
    /// `User-Agent`.
    pub agent: String,
    /// The token of the browser, from its cookie, where it has one.
    pub browser: Option<crate::account::secret_token::SecretToken>,
    /// Whether flows are found by their cookie alone: those of our own pages are. A client of the JSON API may have none.
    pub keeps_cookies: bool,
    /// BCP 47: what the page is shown in, and what messages are written in where no account says otherwise.
    pub locale: Arc<str>,
}
