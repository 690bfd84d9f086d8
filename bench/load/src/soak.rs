//! What the crash test remembers, sends and verifies.
//!
//! - [`server`]: one server process on one data directory, killed and started again
//! - [`client`]: a blocking client that tells "answered" from "no answer"
//! - [`ledger`]: what was acknowledged, and therefore must hold after a crash
//! - [`round`]: load until the kill, then the verification

pub mod client;
pub mod ledger;
pub mod round;
pub mod server;
