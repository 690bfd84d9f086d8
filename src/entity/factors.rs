//! Factors: an authenticator app is made, proves itself by its first code, and is given up.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Entities, EntityError, FACTORS, FAILURES_HARD, TRIES, context};
use crate::account::factor::totp;
use crate::account::seal;
use crate::db::entities::{FactorRow, Tried};
use crate::entity::model::{Challenge, Entity, EntityEvent, EventKind, Factor, Identity};
use crate::entity::request::{self, FactorChange, NewFactor};
use crate::secret::Code;
use crate::verification::request::InvalidField;

/// A factor that was made, with what is shown once.
pub struct Enrolment {
    /// Whose.
    pub entity: Entity,
    /// The factor.
    pub factor: Factor,
    /// The secret in Base32.
    pub secret: Zeroizing<String>,
    /// `otpauth://…`
    pub uri: Zeroizing<String>,
}

/// What came of a wish for a factor.
pub enum Made {
    /// It is there, and waits for its first code.
    Done(Box<Enrolment>),
    /// A field breaks a rule.
    Invalid(InvalidField),
    /// The entity has as many as it may have.
    TooMany,
}

/// What came of a code for a factor.
#[derive(Debug)]
pub enum Proof {
    /// It is right, and the factor is verified from now on.
    Verified(Box<Factor>),
    /// It is wrong, or was used before.
    Wrong(Box<Factor>),
    /// No such factor.
    NotFound,
    /// So many wrong ones came that no other is judged.
    TooManyTries,
    /// It was verified before: codes are for challenges now. Whoever took this for a way to log somebody in would be mistaken.
    VerifiedBefore,
    /// What was sent is no code.
    Invalid(InvalidField),
}

/// What came of a change to a factor.
#[derive(Debug)]
pub enum Changed {
    /// It is done.
    Done(Box<Factor>),
    /// No such factor.
    NotFound,
    /// A field breaks a rule.
    Invalid(InvalidField),
}

impl Entities {
    /// Makes a factor, and its entity where there is none.
    pub async fn make_factor(&self, service: &str, identity: &Identity, new: NewFactor) -> Result<Made, EntityError> {
        let checked = request::name("FriendlyName", &new.name)
            .and_then(|()| request::form(new.form))
            .and_then(|()| request::notes("Metadata", new.metadata.as_ref()))
            .and_then(|()| request::skew(new.skew));
        let skew = match checked {
            Ok(skew) => skew,
            Err(invalid) => return Ok(Made::Invalid(invalid)),
        };
        let (entity, _) = self.entity_or_new(service, identity).await?;
        let secret = new.secret.unwrap_or_else(|| totp::Secret::random(self.entropy.as_ref()));
        let (id, now) = (self.new_id(), self.clock.now());
        let factor = Factor {
            id,
            entity: entity.id,
            name: new.name,
            form: new.form,
            skew,
            metadata: new.metadata,
            created_at: now,
            updated_at: now,
            verified_at: None,
        };
        let sealed = seal::seal(&self.peppers, self.entropy.as_ref(), &context(&entity.service, &entity.id, &id), secret.expose());
        let row = FactorRow { factor: factor.clone(), secret: sealed.map_err(|_| EntityError::Secret)?, last_step: 0, failures: 0 };
        if !self.tables.add_factor(&row, FACTORS).await? {
            return Ok(Made::TooMany);
        }
        self.tell(EventKind::FactorCreated, &entity, &factor, None);
        let uri = secret.uri(factor.form, &new.issuer, &factor.name);
        Ok(Made::Done(Box::new(Enrolment { entity, factor, secret: secret.base32(), uri })))
    }

    /// A factor of an entity.
    pub async fn factor(&self, service: &str, identity: &str, id: Uuid) -> Result<Option<(Entity, Factor)>, EntityError> {
        let Some(entity) = self.entity(service, identity).await? else { return Ok(None) };
        let row = self.tables.factor(entity.id, id).await?;
        Ok(row.map(|row| (entity, row.factor)))
    }

    /// The factors of an entity, the oldest first.
    pub async fn factors_of(&self, entity: &Entity, offset: u32, limit: u32) -> Result<Vec<Factor>, EntityError> {
        Ok(self.tables.factors(entity.id, offset, limit).await?)
    }

    /// Judges the first code of a factor: counted first, right for one caller only, and used then (TOTP-02, TOTP-05).
    pub async fn verify_factor(&self, entity: &Entity, id: Uuid, typed: &str) -> Result<Proof, EntityError> {
        let Some(row) = self.tables.factor(entity.id, id).await? else { return Ok(Proof::NotFound) };
        let code = match code(&row.factor, typed) {
            Ok(code) => code,
            Err(invalid) => return Ok(Proof::Invalid(invalid)),
        };
        match self.tables.try_new_factor(id, TRIES).await? {
            Tried::Counted => {}
            Tried::Closed => return Ok(Proof::TooManyTries),
            Tried::Over => return Ok(Proof::VerifiedBefore),
        }
        let now = self.clock.now();
        let verified = match self.accepted_step(entity, &row, &code)? {
            Some(step) => self.tables.verify_factor(id, step, now).await?,
            None => false,
        };
        let Some(row) = self.tables.factor(entity.id, id).await? else { return Ok(Proof::NotFound) };
        if !verified {
            return Ok(Proof::Wrong(Box::new(row.factor)));
        }
        self.tell(EventKind::FactorVerified, entity, &row.factor, None);
        Ok(Proof::Verified(Box::new(row.factor)))
    }

    /// Changes what may change. What codes look like is fixed by the first right one.
    pub async fn change_factor(&self, entity: &Entity, id: Uuid, change: FactorChange) -> Result<Changed, EntityError> {
        let Some(FactorRow { mut factor, .. }) = self.tables.factor(entity.id, id).await? else { return Ok(Changed::NotFound) };
        if let Some(form) = change.form {
            if factor.verified_at.is_some() && form != factor.form {
                let rule = "cannot change once the factor is verified";
                return Ok(Changed::Invalid(InvalidField::new("Config", rule)));
            }
            factor.form = form;
        }
        factor.name = change.name.unwrap_or(factor.name);
        let checked = request::name("FriendlyName", &factor.name).and_then(|()| request::form(factor.form));
        let skew = checked.and_then(|()| change.skew.map_or(Ok(factor.skew), request::skew));
        factor.skew = match skew {
            Ok(skew) => skew,
            Err(invalid) => return Ok(Changed::Invalid(invalid)),
        };
        factor.updated_at = self.clock.now();
        match self.tables.change_factor(&factor).await? {
            true => Ok(Changed::Done(Box::new(factor))),
            false => Ok(Changed::NotFound),
        }
    }

    /// Gives a factor up. False: there is none.
    pub async fn remove_factor(&self, entity: &Entity, id: Uuid) -> Result<bool, EntityError> {
        let Some(row) = self.tables.factor(entity.id, id).await? else { return Ok(false) };
        let removed = self.tables.remove_factor(entity.id, id).await?;
        if removed {
            self.tell(EventKind::FactorDeleted, entity, &row.factor, None);
        }
        Ok(removed)
    }

    pub(super) fn tell(&self, kind: EventKind, entity: &Entity, factor: &Factor, challenge: Option<Challenge>) {
        let event = EntityEvent { id: self.new_id(), kind, entity: entity.clone(), factor: factor.clone(), challenge };
        self.subscribers.publish(event);
    }
}

impl FactorRow {
    /// So many wrong codes came in a row that no other is judged.
    pub(super) fn is_closed(&self) -> bool {
        self.failures >= i64::from(FAILURES_HARD)
    }
}

/// The one spelling of a code of this factor (TOTP-06). What is none is not counted: it could not have been right.
pub(super) fn code(factor: &Factor, typed: &str) -> Result<Code, InvalidField> {
    let digits = usize::from(factor.form.digits);
    let rule = || InvalidField::new("AuthPayload", format!("must be {digits} digits"));
    Code::parse(typed).ok().filter(|code| code.expose().len() == digits).ok_or_else(rule)
}
