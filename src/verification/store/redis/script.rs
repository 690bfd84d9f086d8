//! The scripts: one for each transition, which Redis runs as one step. Each is put together from the parts that it needs.

use std::sync::LazyLock;

use redis::Cmd;

use crate::clock::Timestamp;
use crate::hex;
use crate::verification::limit::BucketKey;

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

const COMMON: &str = include_str!("lua/common.lua");
const LIMITS: &str = include_str!("lua/limits.lua");
const ROWS: &str = include_str!("lua/rows.lua");
const CLAIMS: &str = include_str!("lua/claims.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = [$($part:expr),*] $file:literal;)+) => {
        $($(#[$doc])* pub static $name: LazyLock<Script> = LazyLock::new(|| Script::new(&[$($part,)* include_str!(concat!("lua/", $file))]));)+
    };
}

scripts! {
    /// See [`crate::verification::Store::start`].
    START = [COMMON, LIMITS, ROWS, CLAIMS] "start.lua";
    /// See [`crate::verification::Store::resend`].
    RESEND = [COMMON, LIMITS, ROWS, CLAIMS] "resend.lua";
    /// See [`crate::verification::Store::attempt`].
    ATTEMPT = [COMMON, LIMITS, ROWS, CLAIMS] "attempt.lua";
    /// See [`crate::verification::Store::approve`].
    APPROVE = [COMMON, LIMITS, ROWS, CLAIMS] "approve.lua";
    /// See [`crate::verification::Store::answered`].
    ANSWERED = [COMMON, LIMITS, CLAIMS] "answered.lua";
    /// See [`crate::verification::Store::cancel`].
    CANCEL = [COMMON, LIMITS, ROWS] "cancel.lua";
    /// See [`crate::verification::Store::delivered`]: one message.
    DELIVERED = [COMMON, LIMITS, ROWS] "delivered.lua";
    /// See [`crate::verification::Store::receipt`].
    RECEIPT = [COMMON, LIMITS, ROWS] "receipt.lua";
    /// See [`crate::verification::Store::release`].
    RELEASE = [COMMON, LIMITS] "release.lua";
    /// See [`crate::verification::Store::take`].
    TAKE = [COMMON, LIMITS] "take.lua";
    /// See [`crate::verification::Store::clear`].
    CLEAR = [COMMON, LIMITS] "clear.lua";
    /// See [`crate::verification::Store::get`].
    GET = [COMMON, LIMITS, ROWS] "get.lua";
    /// See [`crate::verification::Store::list`].
    LIST = [COMMON, LIMITS, ROWS] "list.lua";
    /// See [`crate::verification::Store::heartbeat`].
    HEARTBEAT = [COMMON] "heartbeat.lua";
    /// The replicas that left messages.
    DEAD = [COMMON, LIMITS, ROWS] "dead.lua";
    /// Some of the messages that one of them left.
    ADOPT = [COMMON, LIMITS, ROWS] "adopt.lua";
    /// See [`crate::verification::Store::sweep`].
    SWEEP = [COMMON, LIMITS, ROWS] "sweep.lua";
    /// Brings failures back to a Redis that has lost them.
    REMEMBER = [] "remember.lua";
    /// Looks whether the server is the one that it was.
    MEET = [] "meet.lua";
}

/// A script with its arguments.
pub struct Call {
    script: &'static Script,
    now: Timestamp,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Call {
    /// A call at that time, which is its first argument.
    pub fn new(script: &'static Script, now: Timestamp) -> Call {
        Call { script, now, bytes: Vec::with_capacity(1024), ends: Vec::with_capacity(64) }.number(now.0)
    }

    /// The time of the call.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// One more argument.
    pub fn add(mut self, argument: impl AsRef<[u8]>) -> Call {
        self.bytes.extend_from_slice(argument.as_ref());
        self.ends.push(self.bytes.len());
        self
    }

    /// One more argument, a number.
    pub fn number(self, number: i64) -> Call {
        self.add(number.to_string())
    }

    /// One more argument, in hexadecimal digits.
    pub fn key(self, key: &BucketKey) -> Call {
        self.add(hex::digits(key))
    }

    /// By the script's name, or with the script itself where the server does not know it.
    pub fn command(&self, base: &str, in_full: bool) -> Cmd {
        let mut command = if in_full { redis::cmd("EVAL") } else { redis::cmd("EVALSHA") };
        command.arg(if in_full { &self.script.code } else { &self.script.hash }).arg(1).arg(base);
        let mut from = 0;
        for &end in &self.ends {
            command.arg(&self.bytes[from..end]);
            from = end;
        }
        command
    }
}
