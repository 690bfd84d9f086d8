//! Delivery: who takes a code to a phone or a mailbox, in which words, and what became of it.
//!
//! [`provider`] says what a provider is and [`route`] whom a message is handed to; [`dispatch`] hands it over and decides
//! what follows a failure, by [`health`]; [`text`] words it; [`receipt`] is what comes back. [`providers`] has a file for each
//! provider.

pub mod accounts;
pub mod dispatch;
pub mod free_text;
pub mod gsm;
pub mod health;
pub mod http;
pub mod inbox;
mod lanes;
pub mod mail;
pub mod message;
pub mod not_me;
pub mod notice;
pub mod notice_text;
pub mod provider;
pub mod providers;
pub mod public_address;
pub mod receipt;
pub mod route;
pub mod signature;
pub mod signed_post;
pub mod standard_webhooks;
pub mod subscribers;
pub mod text;
pub mod twilio_signature;
pub mod words;
mod work;

pub use lanes::Tools;
