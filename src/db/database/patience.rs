//! How long anybody waits for a database, in one place.
//!
//! A database that is slow ends what takes too long by itself (`statement_timeout`). One that has vanished, with its machine or
//! with the way to it, says nothing at all, and the system gives such a connection up after a quarter of an hour. So each
//! question has an end on this side too, a little later than the one over there, and each transaction has one over there that
//! does not need us.

use std::time::Duration;

/// What a statement may take longer than on the server: its way there and back.
pub const WAY: Duration = Duration::from_secs(1);
/// A connection that rested for longer is asked whether it is still one, before it is used.
pub const RESTED: Duration = Duration::from_secs(1);
/// How long it may take to say so.
pub const PING: Duration = Duration::from_secs(1);
/// A change in which nothing was asked for so long is undone by the server: whoever began it has vanished, and others wait for
/// what it has locked.
pub const ABANDONED: Duration = Duration::from_secs(5);
/// After so long a connection of MySQL's that rests is closed by the server. It knows no other end for an abandoned change
/// (MariaDB does).
pub const RESTED_TOO_LONG: Duration = Duration::from_secs(10);
/// How long a farewell may take.
pub const FAREWELL: Duration = Duration::from_secs(2);
/// Statements of a command: somebody waits for its end, and nobody for each of them.
pub const OF_COMMANDS: Duration = Duration::from_secs(60);
