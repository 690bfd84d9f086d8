//! The scripts: one for each transition, which Redis runs as one step. Each is put together from the parts that it needs.

use std::sync::LazyLock;

use redis::Cmd;

use crate::clock::Timestamp;
use crate::verification::store::redis::packed::Packed;

/// A script and the name that Redis knows it by once it has seen it.
pub struct Script {
    code: String,
    hash: String,
}

impl Script {
    fn new(parts: &[&str]) -> Script {
        let code = parts.concat();
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Script { code, hash }
    }
}

const HEAD: &str = include_str!("lua/head.lua");
const LEDGER: &str = include_str!("lua/ledger.lua");
const BUCKETS: &str = include_str!("lua/buckets.lua");
const LIMITS: &str = include_str!("lua/limits.lua");
const FAILURES: &str = include_str!("lua/failures.lua");
const ROWS: &str = include_str!("lua/rows.lua");
const PENDING: &str = include_str!("lua/pending.lua");
const QUEUE: &str = include_str!("lua/queue.lua");
const HOLDERS: &str = include_str!("lua/holders.lua");
const CLAIMS: &str = include_str!("lua/claims.lua");
const SENDING: &str = include_str!("lua/sending.lua");
const DELIVERIES: &str = include_str!("lua/deliveries.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = [$($part:expr),*] $file:literal;)+) => {
        $($(#[$doc])* pub static $name: LazyLock<Script> = LazyLock::new(|| Script::new(&[$($part,)* include_str!(concat!("lua/", $file))]));)+
    };
}

scripts! {
    /// See [`crate::verification::Store::start`].
    START = [HEAD, LEDGER, BUCKETS, LIMITS, ROWS, PENDING, QUEUE, CLAIMS, SENDING] "start.lua";
    /// See [`crate::verification::Store::resend`].
    RESEND = [HEAD, LEDGER, BUCKETS, LIMITS, ROWS, PENDING, QUEUE, HOLDERS, CLAIMS, SENDING] "resend.lua";
    /// See [`crate::verification::Store::attempt`].
    ATTEMPT = [HEAD, LEDGER, BUCKETS, LIMITS, FAILURES, ROWS, PENDING, CLAIMS] "attempt.lua";
    /// See [`crate::verification::Store::approve`].
    APPROVE = [HEAD, LEDGER, BUCKETS, FAILURES, ROWS, QUEUE, HOLDERS, CLAIMS] "approve.lua";
    /// See [`crate::verification::Store::answered`].
    ANSWERED = [HEAD, LEDGER] "answered.lua";
    /// See [`crate::verification::Store::cancel`].
    CANCEL = [HEAD, LEDGER, ROWS, QUEUE, HOLDERS] "cancel.lua";
    /// See [`crate::verification::Store::delivered`]: one message.
    DELIVERED = [HEAD, LEDGER, BUCKETS, ROWS, QUEUE, HOLDERS, DELIVERIES] "delivered.lua";
    /// See [`crate::verification::Store::receipt`].
    RECEIPT = [HEAD, LEDGER, BUCKETS, ROWS, QUEUE, DELIVERIES] "receipt.lua";
    /// See [`crate::verification::Store::release`].
    RELEASE = [HEAD, LEDGER, BUCKETS, FAILURES] "release.lua";
    /// See [`crate::verification::Store::take`].
    TAKE = [HEAD, LEDGER, BUCKETS, LIMITS] "take.lua";
    /// See [`crate::verification::Store::clear`].
    CLEAR = [HEAD, LEDGER, BUCKETS, FAILURES] "clear.lua";
    /// See [`crate::verification::Store::get`].
    GET = [HEAD, LEDGER, BUCKETS, ROWS] "get.lua";
    /// See [`crate::verification::Store::list`].
    LIST = [HEAD, LEDGER, BUCKETS, ROWS] "list.lua";
    /// See [`crate::verification::Store::heartbeat`].
    HEARTBEAT = [HEAD, LEDGER] "heartbeat.lua";
    /// The replicas that left messages.
    DEAD = [HEAD, LEDGER, QUEUE] "dead.lua";
    /// Some of the messages that one of them left.
    ADOPT = [HEAD, LEDGER, ROWS, QUEUE] "adopt.lua";
    /// See [`crate::verification::Store::sweep`].
    SWEEP = [HEAD, LEDGER, ROWS, QUEUE] "sweep.lua";
    /// Brings failures back to a Redis that has lost them.
    REMEMBER = [HEAD, ROWS] "remember.lua";
    /// Looks whether the server is the one that it was.
    MEET = [] "meet.lua";
}

/// A script with its arguments.
pub struct Call {
    script: &'static Script,
    now: Timestamp,
    arguments: Packed,
}

impl Call {
    /// A call at that time.
    pub fn new(script: &'static Script, now: Timestamp, arguments: Packed) -> Call {
        Call { script, now, arguments }
    }

    /// The time of the call.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// By the script's name, or with the script itself where the server does not know it.
    pub fn command(&self, base: &str, in_full: bool) -> Cmd {
        let mut command = if in_full { redis::cmd("EVAL") } else { redis::cmd("EVALSHA") };
        command.arg(if in_full { &self.script.code } else { &self.script.hash }).arg(1).arg(base);
        command.arg(self.now.0).arg(self.arguments.as_ref());
        command
    }
}
