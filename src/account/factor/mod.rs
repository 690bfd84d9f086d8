//! Second factors: what a person has beside a password. Pure building blocks, without a database and without HTTP.
//!
//! Each judges one proof and says what it was worth. That a proof counts once, how many may be tried and what a session
//! gets for it is decided where the state is kept.

pub(crate) mod base32;
pub mod passkey;
pub mod qr;
pub mod recovery_code;
pub mod totp;
