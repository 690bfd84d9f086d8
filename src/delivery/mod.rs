//! From a verification and its code to a message in somebody's hand.
//!
//! [`provider`] is what a provider must do, [`message`] renders the text, [`dispatch`] queues messages and reports what
//! became of them, [`console`] is the provider of dev mode, [`inbox`] keeps what dev mode shows.

pub mod console;
pub mod dispatch;
pub mod inbox;
pub mod message;
pub mod provider;
