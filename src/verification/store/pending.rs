//! What a ledger must find without its id: pending verifications by destination, and those whose code a provider made by the
//! provider's reference. In memory, rebuilt from the rows at start.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::verification::limit::{BucketKey, LimitName};
use crate::verification::model::{CodeBy, Status, Verification, VerificationId};
use crate::verification::sharded::Sharded;

/// No provider lets a code of its own live longer (Twilio Verify's longest).
const PROVIDER_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Pending verifications by service, purpose and destination, oldest first; and those whose code a provider made, by the
/// provider's reference.
#[derive(Debug, Default)]
pub struct PendingIndex {
    by_destination: Sharded<Vec<(VerificationId, Timestamp)>>,
    by_reference: Sharded<Holder>,
    /// What had expired by then is forgotten.
    tidied_at: Timestamp,
}

/// The verification that a provider's reference, and so the code behind it, belongs to. Kept beyond its end, because the
/// provider may let the code live longer than we do. (Over a restart only those of pending ones are kept.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub id: VerificationId,
    /// What its code is good for, and for whom.
    pub key: BucketKey,
    /// From then on its code may serve another one for the same.
    pub expires_at: Timestamp,
    /// From then on nobody remembers.
    pub until: Timestamp,
}

impl Holder {
    /// What a verification says of the reference that it has, where the provider made its code; the reference's key first.
    pub fn of(verification: &Verification) -> Option<(BucketKey, Holder)> {
        let (_, reference) = verification.delivered_by.as_ref().filter(|_| verification.code_by == CodeBy::Provider)?;
        let mut holder = Holder::new(verification);
        if verification.status != Status::Pending {
            holder.end();
        }
        Some((reference_key(reference), holder))
    }

    /// Used or called off: should the provider not know that yet, the code serves nobody any more.
    fn end(&mut self) {
        self.expires_at = self.until;
    }

    fn new(verification: &Verification) -> Holder {
        Holder {
            id: verification.id,
            key: holder_key(verification),
            expires_at: verification.expires_at,
            until: verification.created_at + PROVIDER_LIFE_MAX,
        }
    }
}

impl PendingIndex {
    /// An empty one, for what lives at that time.
    pub fn at(now: Timestamp) -> PendingIndex {
        PendingIndex { tidied_at: now, ..PendingIndex::default() }
    }

    /// The newest time that it knows of.
    pub fn tidied_at(&self) -> Timestamp {
        self.tidied_at
    }

    /// Enters a verification, or moves its end.
    pub fn enter(&mut self, verification: &Verification) {
        let key = pending_key(&verification.service, &verification.purpose, &verification.destination.key());
        if let Some((reference, holder)) = Holder::of(verification) {
            self.by_reference.insert(reference, holder);
        }
        let ids = self.by_destination.entry(key);
        // Nearly always one: no room for more until more come.
        ids.reserve_exact(1);
        match ids.iter_mut().find(|(id, _)| *id == verification.id) {
            Some(entry) => entry.1 = verification.expires_at,
            None => ids.push((verification.id, verification.expires_at)),
        }
    }

    /// Those that may be pending, newest first.
    pub fn newest_first(&self, service: &str, purpose: &str, destination: &[u8; 16]) -> Vec<VerificationId> {
        let ids = self.by_destination.get(&pending_key(service, purpose, destination));
        ids.into_iter().flatten().rev().map(|(id, _)| *id).collect()
    }

    /// Enters a provider's reference, unless it is another one's. One that has expired here and not there is taken over by
    /// the next one for the same service, purpose, destination and subject: that is a code sent again. Never for another.
    pub fn refers(&mut self, reference: &str, verification: &Verification) -> bool {
        let (now, next) = (verification.queued_at, Holder::new(verification));
        let is_taken = |holder: &Holder| holder.id != next.id && holder.until > now && (holder.expires_at > now || holder.key != next.key);
        let key = reference_key(reference);
        let is_free = !self.by_reference.get(&key).is_some_and(is_taken);
        if is_free {
            self.by_reference.insert(key, next);
        }
        is_free
    }

    /// Whose a provider's reference is, by [`reference_key`].
    pub fn holder(&self, key: &BucketKey) -> Option<&Holder> {
        self.by_reference.get(key)
    }

    /// Sets whose a reference is, as it was stored.
    pub fn restore(&mut self, key: BucketKey, holder: Holder) {
        self.by_reference.insert(key, holder);
    }

    /// Takes one out that ended.
    pub fn remove(&mut self, verification: &Verification) {
        let key = pending_key(&verification.service, &verification.purpose, &verification.destination.key());
        if let Some(holder) =
            verification.delivered_by.as_ref().and_then(|(_, reference)| self.by_reference.get_mut(&reference_key(reference)))
            && holder.id == verification.id
        {
            holder.end();
        }
        if let Some(ids) = self.by_destination.get_mut(&key) {
            ids.retain(|(id, _)| *id != verification.id);
            if ids.is_empty() {
                self.by_destination.remove(&key);
            }
        }
    }

    /// Forgets what has expired, in one shard; call it again and again.
    pub fn tidy(&mut self, now: Timestamp) {
        self.tidied_at = self.tidied_at.max(now);
        self.by_reference.tidy(|_, holder| holder.until > now);
        self.by_destination.tidy(|_, ids| {
            ids.retain(|(_, expires_at)| *expires_at > now);
            !ids.is_empty()
        });
    }
}

/// What a check by destination looks for.
pub fn pending_key(service: &str, purpose: &str, destination: &[u8; 16]) -> BucketKey {
    LimitName::Destination.key(&[service.as_bytes(), purpose.as_bytes(), destination])
}

/// What a provider's code is good for, and for whom.
pub fn holder_key(verification: &Verification) -> BucketKey {
    let destination = verification.destination.key();
    let subject = verification.subject.as_deref().unwrap_or_default();
    LimitName::Destination.key(&[verification.service.as_bytes(), verification.purpose.as_bytes(), &destination, subject.as_bytes()])
}

/// A hash, as the keys of sharded maps are.
pub fn reference_key(reference: &str) -> BucketKey {
    LimitName::Destination.key(&[b"reference", reference.as_bytes()])
}
