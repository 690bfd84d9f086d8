//! Challenges: one code of one factor is asked for, and judged.

use uuid::Uuid;

use super::factors::code;
use super::{CHALLENGES, Entities, EntityError, FAILURES_HARD, TRIES};
use crate::db::entities::{FactorRow, Tried};
use crate::entity::model::{Challenge, ChallengeStatus, Entity, EventKind};
use crate::entity::request::{self, NewChallenge};
use crate::secret::Code;
use crate::verification::request::InvalidField;

/// What came of a wish for a challenge.
#[derive(Debug)]
pub enum Asked {
    /// It is there.
    Done(Box<Challenge>),
    /// No such factor of this entity.
    NoFactor,
    /// The factor never proved itself.
    Unverified,
    /// So many wrong codes came in a row that the factor is judged no more.
    FactorClosed,
    /// There were too many challenges for this factor.
    TooMany,
    /// A field breaks a rule.
    Invalid(InvalidField),
}

/// What came of a code for a challenge.
#[derive(Debug)]
pub enum Answered {
    /// It was judged; the challenge says how.
    Judged(Box<Challenge>),
    /// No such challenge of this entity.
    NotFound,
    /// It was answered before.
    Before,
    /// It came too late.
    Expired,
    /// Too many codes came to this challenge.
    TooManyTries,
    /// So many wrong codes came in a row that the factor is judged no more.
    FactorClosed,
    /// What was sent is no code.
    Invalid(InvalidField),
}

impl Entities {
    /// Puts a challenge to a factor. With a code it is judged at once.
    pub async fn challenge(&self, entity: &Entity, factor: Uuid, new: NewChallenge, typed: Option<&str>) -> Result<Asked, EntityError> {
        let now = self.clock.now();
        let fields = new.end(now).and_then(|end| Ok((end, new.details()?)));
        let fields = fields.and_then(|fields| request::notes("HiddenDetails", new.hidden_details.as_ref()).map(|()| fields));
        let (expires_at, details) = match fields {
            Ok(fields) => fields,
            Err(invalid) => return Ok(Asked::Invalid(invalid)),
        };
        let Some(row) = self.tables.factor(entity.id, factor).await? else { return Ok(Asked::NoFactor) };
        if row.factor.verified_at.is_none() {
            return Ok(Asked::Unverified);
        }
        if row.is_closed() {
            return Ok(Asked::FactorClosed);
        }
        let code = match typed.map(|typed| code(&row.factor, typed)).transpose() {
            Ok(code) => code,
            Err(invalid) => return Ok(Asked::Invalid(invalid)),
        };
        let challenge = Challenge {
            id: self.new_id(),
            factor,
            entity: entity.id,
            status: ChallengeStatus::Pending,
            details,
            hidden_details: new.hidden_details,
            metadata: None,
            created_at: now,
            updated_at: now,
            expires_at,
            answered_at: None,
        };
        if !self.tables.add_challenge(&challenge, &CHALLENGES).await? {
            return Ok(Asked::TooMany);
        }
        let Some(code) = code else { return Ok(Asked::Done(Box::new(challenge))) };
        match self.judge(entity, row, challenge, &code).await? {
            Answered::Judged(challenge) => Ok(Asked::Done(challenge)),
            // Others were quicker with so many wrong codes.
            Answered::FactorClosed => Ok(Asked::FactorClosed),
            _ => Ok(Asked::NoFactor),
        }
    }

    /// A challenge of an entity, as it stands now.
    pub async fn challenge_of(&self, entity: &Entity, id: Uuid) -> Result<Option<Challenge>, EntityError> {
        Ok(self.tables.challenge(entity.id, id, self.clock.now()).await?)
    }

    /// The challenges of an entity, of one factor or with one status where that is wanted.
    pub async fn challenges(
        &self,
        entity: &Entity,
        factor: Option<Uuid>,
        status: Option<ChallengeStatus>,
        newest_first: bool,
        (offset, limit): (u32, u32),
    ) -> Result<Vec<Challenge>, EntityError> {
        let now = self.clock.now();
        Ok(self.tables.challenges(entity.id, factor, status, newest_first, (offset, limit), now).await?)
    }

    /// Judges a code: counted first, for the challenge and for the factor, and right once.
    pub async fn answer(
        &self,
        entity: &Entity,
        id: Uuid,
        typed: &str,
        metadata: Option<serde_json::Value>,
    ) -> Result<Answered, EntityError> {
        if let Err(invalid) = request::notes("Metadata", metadata.as_ref()) {
            return Ok(Answered::Invalid(invalid));
        }
        let Some(mut challenge) = self.challenge_of(entity, id).await? else { return Ok(Answered::NotFound) };
        let Some(row) = self.tables.factor(entity.id, challenge.factor).await? else { return Ok(Answered::NotFound) };
        let code = match code(&row.factor, typed) {
            Ok(code) => code,
            Err(invalid) => return Ok(Answered::Invalid(invalid)),
        };
        if metadata.is_some() {
            self.tables.note_challenge(id, metadata.as_ref()).await?;
            challenge.metadata = metadata;
        }
        self.judge(entity, row, challenge, &code).await
    }

    async fn judge(&self, entity: &Entity, row: FactorRow, challenge: Challenge, code: &Code) -> Result<Answered, EntityError> {
        let now = self.clock.now();
        match self.tables.try_challenge(&challenge, (TRIES, FAILURES_HARD), now).await? {
            Tried::Counted => {}
            Tried::Closed => return Ok(Answered::FactorClosed),
            Tried::Over => return self.why_over(entity, &row, challenge).await,
        }
        if let Some(step) = self.accepted_step(entity, &row, code)?
            && self.tables.approve_challenge(&challenge, step, now).await?
        {
            let approved = Challenge { status: ChallengeStatus::Approved, updated_at: now, answered_at: Some(now), ..challenge };
            self.tell(EventKind::ChallengeApproved, entity, &row.factor, Some(approved.clone()));
            return Ok(Answered::Judged(Box::new(approved)));
        }
        // Wrong; or somebody was quicker with the same code, here or in another challenge.
        Ok(self.challenge_of(entity, challenge.id).await?.map_or(Answered::NotFound, |challenge| match challenge.status {
            ChallengeStatus::Pending => Answered::Judged(Box::new(challenge)),
            ChallengeStatus::Expired => Answered::Expired,
            ChallengeStatus::Approved | ChallengeStatus::Denied => Answered::Before,
        }))
    }

    /// Why a challenge takes no more codes. One code too many denies it.
    async fn why_over(&self, entity: &Entity, row: &FactorRow, challenge: Challenge) -> Result<Answered, EntityError> {
        let now = self.clock.now();
        if self.tables.deny_challenge(challenge.id, TRIES, now).await? {
            let denied = Challenge { status: ChallengeStatus::Denied, updated_at: now, answered_at: Some(now), ..challenge };
            self.tell(EventKind::ChallengeDenied, entity, &row.factor, Some(denied));
            return Ok(Answered::TooManyTries);
        }
        Ok(match self.challenge_of(entity, challenge.id).await?.map(|challenge| challenge.status) {
            None => Answered::NotFound,
            Some(ChallengeStatus::Denied) => Answered::TooManyTries,
            Some(ChallengeStatus::Expired) => Answered::Expired,
            Some(ChallengeStatus::Pending | ChallengeStatus::Approved) => Answered::Before,
        })
    }
}
