//! What was asked, what was answered, what was sent, what was broken on purpose.
//!
//! A call whose answer never came is [`Outcome::Unknown`]: it may have been done or not, then or later. It is never "failed".

/// Microseconds since the run began.
pub type Moment = u64;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A start, perhaps with an idempotency key.
    Start {
        /// The destination.
        to: String,
        /// The key.
        key: Option<String>,
    },
    /// A check of a code.
    Check {
        /// The verification.
        id: String,
        /// The code.
        code: String,
    },
    /// Call it off.
    Cancel {
        /// The verification.
        id: String,
    },
    /// How does it stand?
    Get {
        /// The verification.
        id: String,
    },
}

/// Where a verification stands, as an answer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for its code.
    Pending,
    /// The right code came.
    Approved,
    /// Called off.
    Canceled,
    /// Its time ran out.
    Expired,
    /// Its checks ran out.
    Exhausted,
}

impl Status {
    /// The status of that name.
    pub fn parse(name: &str) -> Option<Status> {
        Some(match name {
            "pending" => Status::Pending,
            "approved" => Status::Approved,
            "canceled" => Status::Canceled,
            "expired" => Status::Expired,
            "exhausted" => Status::Exhausted,
            _ => return None,
        })
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A start was acknowledged.
    Started {
        /// The verification.
        id: String,
    },
    /// A check was answered.
    Checked {
        /// Whether it was the one that approved.
        valid: bool,
        /// Where it stands.
        status: Status,
        /// Checks that remain.
        left: u32,
    },
    /// A verification was shown.
    Seen {
        /// Where it stands.
        status: Status,
        /// Checks that remain.
        left: u32,
        /// How far its message got.
        delivery: String,
    },
    /// There is none such.
    NotFound,
    /// Nothing was done, and the answer says so: a limit, a key that is being answered.
    Refused(u16),
    /// No answer, or one that leaves it open: a time-out, a broken connection, 5xx.
    Unknown(String),
}

/// One call.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which replica was asked.
    pub replica: usize,
    /// Before the first byte was sent.
    pub began: Moment,
    /// After the last byte had come.
    pub ended: Moment,
    /// What was asked.
    pub call: Call,
    /// What was answered.
    pub outcome: Outcome,
}

/// A message that reached the provider.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When it had been read.
    pub at: Moment,
    /// To whom.
    pub to: String,
    /// The code in it.
    pub code: String,
}

/// Something that was broken on purpose.
#[derive(Clone, Debug)]
pub struct Fault {
    /// From then on.
    pub from: Moment,
    /// Until then.
    pub until: Moment,
    /// What.
    pub what: String,
    /// Everything that was not durable was lost on purpose (FLUSHALL): what began before may be gone.
    pub forgets: bool,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every call.
    pub records: Vec<Record>,
    /// Every message.
    pub sent: Vec<Sent>,
    /// Every fault.
    pub faults: Vec<Fault>,
    /// Checks that one code has.
    pub checks: u32,
    /// How long a destination waits for its second message, in microseconds.
    pub wait: Moment,
    /// From then on nothing was under way: what was read after it is how everything ended.
    pub settled: Moment,
}
