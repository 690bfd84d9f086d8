//! The requests that the engine makes of `POST /v1/verifications` and of a check, with the limits of the usual configuration:
//! the same rows are written, the same buckets taken from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign::clock::{Clock, SystemClock, Timestamp};
use countersign::secret::Tag;
use countersign::verification::destination::{Country, Destination};
use countersign::verification::limit::{FailureRule, LimitName, Quota, Rule, SendRule, Take};
use countersign::verification::model::{Channel, CodeBy, Delivery, Metadata, Origin, Status, Verification, VerificationId, failures_key};
use countersign::verification::store::{Approve, Attempt, Start, Target};
use uuid::Uuid;

const SERVICE: &str = "default";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So high that it never refuses, as in `bench/countersign.toml`.
const NEVER_REFUSES: Quota = Quota { count: 1_000_000_000, per: HOUR };
/// How many numbers there are before they begin again.
const RANGE: u64 = 100_000_000;

/// Makes them.
#[derive(Debug)]
pub struct Requests {
    next_number: AtomicU64,
    service: Arc<str>,
    purpose: Arc<str>,
    locale: Arc<str>,
    country: Option<Country>,
    client: Uuid,
    destination: Arc<SendRule>,
    destination_all_services: Arc<SendRule>,
}

impl Requests {
    /// The first is for the number at that place in the row.
    pub fn new(offset: u64) -> Requests {
        let quota = |count, per| Quota { count, per };
        let waits = [30, 40, 60, 90, 120].map(Duration::from_secs).to_vec();
        Requests {
            next_number: offset.into(),
            service: SERVICE.into(),
            purpose: "default".into(),
            locale: "en".into(),
            country: Country::parse("DE"),
            client: Uuid::now_v7(),
            destination: Arc::new(SendRule { quotas: vec![quota(5, 10 * MINUTE), quota(10, DAY)], waits }),
            destination_all_services: Arc::new(SendRule { quotas: vec![quota(20, DAY)], waits: Vec::new() }),
        }
    }

    /// A start for a number that was never used before.
    pub fn start(&self) -> Start {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed) % RANGE;
        let destination = Destination::from_canonical(format!("+49151{number:08}"), self.country);
        let now = now();
        let id = Uuid::now_v7();
        let mut tag = [0; 32];
        tag[..16].copy_from_slice(id.as_bytes());
        let verification = Verification {
            id,
            failures_key: failures_key(SERVICE, &destination, None),
            service: Arc::clone(&self.service),
            purpose: Arc::clone(&self.purpose),
            destination,
            channel: Channel::Sms,
            subject: None,
            locale: Arc::clone(&self.locale),
            status: Status::Pending,
            revision: 0,
            generation: 0,
            sends: 1,
            attempts: 0,
            max_attempts: 5,
            seed: *id.as_bytes(),
            pepper_id: 1,
            tag: Tag(tag),
            code_by: CodeBy::Caller,
            created_at: now,
            queued_at: now,
            expires_at: now + 5 * MINUTE,
            ended_at: None,
            delivery: Delivery::Queued,
            delivered_by: None,
            queued_by: None,
            metadata: Metadata::new(),
        };
        let takes = self.takes(&verification);
        let sends = Arc::clone(&self.destination);
        Start { verification: Box::new(verification), takes, sends, rearm: false, idempotency: None, origin: self.origin(), now }
    }

    /// The limits on a message, in the engine's order.
    fn takes(&self, verification: &Verification) -> Vec<Take> {
        let service = SERVICE.as_bytes();
        let rate = |name: LimitName, parts: &[&[u8]]| Take { key: name.key(parts), name, rule: Rule::Rate(NEVER_REFUSES) };
        let gate = FailureRule { soft: 10, hard: 50, until_released: false };
        let mut takes = vec![
            Take { key: verification.failures_key, name: LimitName::Failures, rule: Rule::Failures(gate) },
            Take { key: verification.sends_key(), name: LimitName::Destination, rule: Rule::Windows(Arc::clone(&self.destination)) },
            Take {
                key: LimitName::DestinationAllServices.key(&[&verification.destination.key(), &[0]]),
                name: LimitName::DestinationAllServices,
                rule: Rule::Windows(Arc::clone(&self.destination_all_services)),
            },
            rate(LimitName::Service, &[service]),
        ];
        if let Some(country) = &self.country {
            takes.push(rate(LimitName::Country, &[service, country.as_str().as_bytes()]));
        }
        takes
    }

    /// The first half of a check: it is counted.
    pub fn attempt(&self, id: VerificationId) -> Attempt {
        Attempt {
            target: Target::Id(id),
            service: Arc::clone(&self.service),
            takes: Vec::new(),
            subject_failures: FailureRule { soft: 50, hard: 50, until_released: true },
            idempotency: None,
            origin: self.origin(),
            now: now(),
        }
    }

    /// The second, where the code was right.
    pub fn approve(&self, row: &Verification) -> Approve {
        Approve { id: row.id, generation: row.generation, idempotency: None, origin: self.origin(), now: now() }
    }

    fn origin(&self) -> Origin {
        Origin { client: Some(self.client), ip: None }
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}
