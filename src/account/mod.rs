//! Accounts: who a person is, and how they prove it.

pub mod model;
pub mod seal;
pub mod secret_token;
pub mod token;
