//! The nouns: entities, factors, challenges, and what is told of them.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::account::factor::totp;
use crate::clock::Timestamp;

/// The integrator's own name for a person: 8 to 64 letters, digits and dashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Arc<str>);

impl Identity {
    /// The one accepted spelling; none for anything else.
    pub fn parse(text: &str) -> Option<Identity> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        ((8..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| Identity(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person of an integrator's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its id.
    pub id: Uuid,
    /// The service that it belongs to, and no other (OPS-07).
    pub service: Arc<str>,
    /// The integrator's name for it.
    pub identity: Identity,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An authenticator app. Its secret is not part of this.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub entity: Uuid,
    /// The integrator's name for it.
    pub name: String,
    /// Hash, digits, seconds.
    pub form: totp::Form,
    /// Steps that are taken beside the current one.
    pub skew: totp::Skew,
    /// The integrator's own notes.
    pub metadata: Option<Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Since when it counts.
    pub verified_at: Option<Timestamp>,
}

/// Where a challenge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeStatus {
    /// It waits for a code.
    Pending,
    /// A right code came.
    Approved,
    /// More wrong codes came than it takes.
    Denied,
    /// No right code came in time.
    Expired,
}

impl ChallengeStatus {
    /// Every one of them.
    pub const ALL: [ChallengeStatus; 4] =
        [ChallengeStatus::Pending, ChallengeStatus::Approved, ChallengeStatus::Denied, ChallengeStatus::Expired];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            ChallengeStatus::Pending => "pending",
            ChallengeStatus::Approved => "approved",
            ChallengeStatus::Denied => "denied",
            ChallengeStatus::Expired => "expired",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Option<ChallengeStatus> {
        ChallengeStatus::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// One question for one code.
#[derive(Debug, Clone, PartialEq)]
pub struct Challenge {
    /// Its id.
    pub id: Uuid,
    /// Whose code it asks for.
    pub factor: Uuid,
    /// Of whom.
    pub entity: Uuid,
    /// As of the time at which it was read.
    pub status: ChallengeStatus,
    /// What the person is shown.
    pub details: Option<Value>,
    /// What the person is not shown.
    pub hidden_details: Option<Value>,
    /// The integrator's own notes.
    pub metadata: Option<Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// From then on no code counts.
    pub expires_at: Timestamp,
    /// When a right code, or one too many, came.
    pub answered_at: Option<Timestamp>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A factor was made, and waits for its first code.
    FactorCreated,
    /// The first right code of a factor came.
    FactorVerified,
    /// A factor was removed.
    FactorDeleted,
    /// A right code came to a challenge.
    ChallengeApproved,
    /// More wrong codes came than a challenge takes.
    ChallengeDenied,
}

impl EventKind {
    /// Every one of them.
    pub const ALL: [EventKind; 5] = [
        EventKind::FactorCreated,
        EventKind::FactorVerified,
        EventKind::FactorDeleted,
        EventKind::ChallengeApproved,
        EventKind::ChallengeDenied,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::FactorCreated => "factor.created",
            EventKind::FactorVerified => "factor.verified",
            EventKind::FactorDeleted => "factor.deleted",
            EventKind::ChallengeApproved => "challenge.approved",
            EventKind::ChallengeDenied => "challenge.denied",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct EntityEvent {
    /// Its id: the same in every try to tell of it.
    pub id: Uuid,
    /// What.
    pub kind: EventKind,
    /// To whom.
    pub entity: Entity,
    /// To which factor.
    pub factor: Factor,
    /// To which challenge.
    pub challenge: Option<Challenge>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INP-01: one spelling, and nothing that would mean something in a path.
    #[test]
    fn an_identity_is_plain() {
        for right in ["user-0123456789", "ABCDEFGH", &"a".repeat(64)] {
            assert_eq!(Identity::parse(right).expect(right).as_str(), right);
        }
        for wrong in ["", "short-7", &"a".repeat(65), "user_0123456789", "user 0123456789", "../../../../etc", "üser-0123456789"] {
            assert_eq!(Identity::parse(wrong), None, "{wrong}");
        }
    }
}
