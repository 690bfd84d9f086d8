//! Requests to a store, with the parts that a case does not care about filled in.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::Synchronous;
use crate::secret::Tag;
use crate::verification::destination::Destination;
use crate::verification::limit::{FailureRule, LimitName, Quota, Rule, SendRule, Take};
use crate::verification::model::{Channel, CodeBy, Delivery, Origin, Status, Verification, VerificationId, failures_key};
use crate::verification::store::sqlite::SqliteStore;
use crate::verification::store::{Approve, Attempt, IdempotencyClaim, Resend, Start, Store, Target};

/// The time of every case.
pub const NOW: Timestamp = Timestamp(1_767_225_600_000);
/// Life of a code.
pub const LIFE: Duration = Duration::from_secs(300);
/// The service of every case.
pub const SERVICE: &str = "default";

/// A store on a file, opened at [`NOW`].
pub fn sqlite(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path, Synchronous::Normal, Arc::new(crate::audit::AuditLog), NOW).expect("the store opens"))
}

/// The n-th destination.
pub fn destination(number: u32) -> Destination {
    Destination::parse(&format!("+49151{:08}", 10_000_000 + number), None).expect("a number")
}

/// A rule that never refuses in these cases.
pub fn roomy() -> Arc<SendRule> {
    Arc::new(SendRule { quotas: vec![Quota { count: 100, per: Duration::from_secs(600) }], waits: Vec::new() })
}

/// A limit of `count` in ten minutes.
pub fn limit(key: u8, count: u32) -> Take {
    let quotas = vec![Quota { count, per: Duration::from_secs(600) }];
    Take { key: [key; 16], name: LimitName::Destination, rule: Rule::Windows(Arc::new(SendRule { quotas, waits: Vec::new() })) }
}

/// The n-th verification, begun `n` milliseconds after [`NOW`].
pub fn verification(number: u32, to: u32) -> Verification {
    let destination = destination(to);
    let created_at = NOW + Duration::from_millis(u64::from(number));
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Verification {
        id: uuid::Builder::from_unix_timestamp_millis(created_at.0 as u64, &random).into_uuid(),
        service: SERVICE.into(),
        purpose: "login".into(),
        failures_key: failures_key(SERVICE, &destination, None),
        destination,
        channel: Channel::Sms,
        subject: None,
        locale: "en".into(),
        status: Status::Pending,
        revision: 0,
        generation: 0,
        sends: 1,
        attempts: 0,
        max_attempts: 5,
        seed: [number as u8; 16],
        pepper_id: 7,
        tag: Tag([9; 32]),
        code_by: CodeBy::Server,
        created_at,
        queued_at: created_at,
        expires_at: created_at + LIFE,
        ended_at: None,
        delivery: Delivery::Queued,
        delivered_by: None,
        queued_by: None,
        metadata: [("order".to_owned(), number.to_string())].into(),
    }
}

/// Starts it without limits.
pub fn start(verification: Verification) -> Start {
    let now = verification.created_at;
    let takes = vec![Take { key: verification.sends_key(), name: LimitName::Destination, rule: Rule::Windows(roomy()) }];
    Start { verification: Box::new(verification), takes, sends: roomy(), rearm: false, idempotency: None, origin: Origin::default(), now }
}

/// A check of that one.
pub fn attempt(id: VerificationId, now: Timestamp) -> Attempt {
    Attempt {
        target: Target::Id(id),
        service: SERVICE.into(),
        takes: Vec::new(),
        subject_failures: FailureRule { soft: 12, hard: 12, until_released: true },
        idempotency: None,
        origin: Origin { client: Some(Uuid::from_u128(5)), ip: Some("192.0.2.1".parse().expect("an address")) },
        now,
    }
}

/// An approval of its first code.
pub fn approve(id: VerificationId) -> Approve {
    Approve { id, generation: 0, idempotency: None, origin: Origin::default(), now: NOW }
}

/// A resend with a new code.
pub fn resend(of: &Verification) -> Resend {
    Resend {
        id: of.id,
        service: SERVICE.into(),
        revision: of.revision,
        channel: Channel::Whatsapp,
        generation: of.generation + 1,
        tag: Tag([8; 32]),
        pepper_id: 7,
        expires_at: of.expires_at + LIFE,
        idempotency: None,
        takes: Vec::new(),
        sends: roomy(),
        origin: Origin::default(),
        now: NOW + Duration::from_secs(60),
    }
}

/// A claim on a key.
pub fn claim(key: u8, payload: u8) -> Option<IdempotencyClaim> {
    Some(IdempotencyClaim { key: [key; 32], payload: [payload; 32] })
}
