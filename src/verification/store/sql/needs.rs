//! What a transition may touch, said before it runs, so that everything can be locked in one order for a whole batch: keys of
//! callers, destinations, verifications, references of providers, buckets; each kind sorted.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::verification::limit::{BucketKey, Take};
use crate::verification::model::VerificationId;
use crate::verification::store::pending::pending_key;
use crate::verification::store::{Approve, Attempt, Delivered, IdempotencyClaim, Receipt, Resend, Start, Target};

/// Which buckets of a verification are wanted with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct With {
    /// That of wrong codes in a row.
    pub failures: bool,
    /// That of messages.
    pub sends: bool,
    /// That of messages from all services.
    pub all_services: bool,
}

const ALONE: With = With { failures: false, sends: false, all_services: false };
const FAILURES: With = With { failures: true, ..ALONE };
const SENDS: With = With { sends: true, ..ALONE };
const ALL_SENDS: With = With { all_services: true, ..SENDS };

impl With {
    fn join(&mut self, other: With) {
        self.failures |= other.failures;
        self.sends |= other.sends;
        self.all_services |= other.all_services;
    }
}

/// What a transition, or a batch of them, may touch.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Keys of callers.
    pub idempotency: BTreeSet<[u8; 32]>,
    /// Destinations that only one may look for its newest verification at a time.
    pub guards: BTreeSet<BucketKey>,
    /// Destinations whose pending verifications may be meant: those that end after that time.
    pub pending: BTreeMap<BucketKey, (Timestamp, With)>,
    /// Verifications.
    pub verifications: BTreeMap<VerificationId, With>,
    /// What providers call the codes that they made: where the verification turns out to be of that kind.
    pub references: BTreeMap<VerificationId, BTreeSet<String>>,
    /// Buckets.
    pub buckets: BTreeSet<BucketKey>,
}

impl Needs {
    /// Those of a start.
    pub fn start(start: &Start) -> Needs {
        let verification = &start.verification;
        let mut needs = Needs::default().claimed(start.idempotency).taken(&start.takes);
        needs.buckets.insert(verification.sends_key());
        if start.rearm {
            let key = pending_key(&verification.service, &verification.purpose, &verification.destination.key());
            needs.pending.insert(key, (start.now, SENDS));
            needs.guards.insert(key);
        }
        needs
    }

    /// Those of a resend.
    pub fn resend(resend: &Resend) -> Needs {
        Needs::default().claimed(resend.idempotency).taken(&resend.takes).verification(resend.id, SENDS)
    }

    /// Those of an attempt.
    pub fn attempt(attempt: &Attempt) -> Needs {
        let mut needs = Needs::default().claimed(attempt.idempotency).taken(&attempt.takes);
        match &attempt.target {
            Target::Id(id) | Target::IdFor { id, .. } => needs.verification(*id, FAILURES),
            Target::Newest { purpose, destination } => {
                needs.pending.insert(pending_key(&attempt.service, purpose, destination), (attempt.now, FAILURES));
                needs
            }
        }
    }

    /// Those of an approval.
    pub fn approve(approve: &Approve) -> Needs {
        Needs::default().claimed(approve.idempotency).verification(approve.id, FAILURES)
    }

    /// Those of an answer.
    pub fn answered(claim: IdempotencyClaim) -> Needs {
        Needs::default().claimed(Some(claim))
    }

    /// Those of a cancel.
    pub fn cancel(id: VerificationId) -> Needs {
        Needs::default().verification(id, ALONE)
    }

    /// Those of reports.
    pub fn delivered(delivered: &[Delivered]) -> Needs {
        let mut needs = Needs::default();
        for Delivered { id, result, .. } in delivered {
            // What certainly never went out is given back everywhere.
            let certain = result.as_ref().is_err_and(|undelivered| !undelivered.perhaps_sent);
            needs = needs.verification(*id, if certain { ALL_SENDS } else { SENDS });
            if let Ok((_, reference)) = result {
                needs.references.entry(*id).or_default().insert(reference.clone());
            }
        }
        needs
    }

    /// Those of a receipt.
    pub fn receipt(receipt: &Receipt) -> Needs {
        Needs::default().verification(receipt.id, SENDS)
    }

    /// Those of a take.
    pub fn takes(takes: &[Take]) -> Needs {
        Needs::default().taken(takes)
    }

    /// Those buckets.
    pub fn buckets(buckets: &[BucketKey]) -> Needs {
        Needs { buckets: buckets.iter().copied().collect(), ..Needs::default() }
    }

    /// These as well.
    pub fn join(&mut self, other: &Needs) {
        self.idempotency.extend(&other.idempotency);
        self.guards.extend(&other.guards);
        self.buckets.extend(&other.buckets);
        for (key, (since, with)) in &other.pending {
            let joined = self.pending.entry(*key).or_insert((*since, *with));
            joined.0 = joined.0.min(*since);
            joined.1.join(*with);
        }
        for (id, with) in &other.verifications {
            self.verifications.entry(*id).or_default().join(*with);
        }
        for (id, references) in &other.references {
            self.references.entry(*id).or_default().extend(references.iter().cloned());
        }
    }

    /// A verification found later.
    pub fn found(&mut self, id: VerificationId, with: With) {
        self.verifications.entry(id).or_default().join(with);
    }

    fn claimed(mut self, claim: Option<IdempotencyClaim>) -> Needs {
        self.idempotency.extend(claim.map(|claim| claim.key));
        self
    }

    fn taken(mut self, takes: &[Take]) -> Needs {
        self.buckets.extend(takes.iter().map(|take| take.key));
        self
    }

    fn verification(mut self, id: VerificationId, with: With) -> Needs {
        self.found(id, with);
        self
    }
}
