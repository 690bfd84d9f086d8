//! Accounts: who a person is, and how they prove it.

pub mod model;
pub mod notice;
pub mod secret_token;
