//! Entities: people of an integrator's own, with authenticator apps that this server judges for them.
//!
//! An *entity* is the integrator's name for a person within a service, its *factors* are authenticator apps, and a
//! *challenge* asks for one code of one of them. Whoever they are, they are not this server's accounts: the integrator has
//! authenticated them before it calls, and what follows from a right code is its own affair.
//!
//! Guessing is what all of this is about. Codes have six digits or more: three to five, which other APIs allow, are refused,
//! since no count of tries that people can live with makes them safe (docs/decisions/0021-factors-of-integrators.md does the sums). A
//! challenge takes [`TRIES`] codes, a factor that waits for its first code as many, a verified one [`FAILURES_HARD`] wrong
//! ones in a row, and [`CHALLENGES`] bounds how many challenges there are. Each code is counted before it is judged, and each
//! step of the clock counts once (TOTP-02, ATT-04).

pub mod challenges;
pub mod factors;
pub mod model;
pub mod request;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::account::factor::totp;
use crate::account::seal;
use crate::clock::{Clock, Timestamp};
use crate::db::database::DataError;
use crate::db::entities::{EntityTables, FactorRow, MessagingConfiguration};
use crate::entity::model::{Entity, EntityEvent};
use crate::id;
use crate::secret::{Code, Entropy, Peppers};

/// Codes that one challenge takes, and that a factor takes before it is verified.
pub const TRIES: u32 = 5;
/// Wrong codes in a row after which a factor is judged no more until it is made anew (ATT-02).
pub const FAILURES_HARD: u32 = 50;
/// Factors of one entity.
pub const FACTORS: u32 = 100;
/// Challenges of one factor: so many in so long.
pub const CHALLENGES: [(u32, Duration); 2] = [(50, Duration::from_secs(3600)), (100, Duration::from_secs(24 * 3600))];
/// How long challenges are kept to be read.
const CHALLENGES_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why the work could not be done. Nothing passes then (OPS-01).
#[derive(Debug, thiserror::Error)]
pub enum EntityError {
    /// The database refused.
    #[error("the database of entities failed: {0}")]
    Database(#[from] DataError),
    /// A secret could not be sealed, or was sealed under a pepper that is gone.
    #[error("the secret of a factor cannot be read")]
    Secret,
}

/// Hears what happens to factors and challenges. It never waits.
pub trait Subscribers: Send + Sync {
    /// Something happened, and is durable.
    fn publish(&self, event: EntityEvent);
    /// Whether it would post to that URL at all; the error is a rule that follows its name.
    fn accepts(&self, url: &str) -> Result<(), String>;
}

/// Entities and everything that can be done with them.
pub struct Entities {
    /// Where they are kept.
    pub tables: EntityTables,
    /// Who is told.
    pub subscribers: Arc<dyn Subscribers>,
    /// Server keys.
    pub peppers: Peppers,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Entities {
    /// The entity of that name; made, where there is none.
    pub async fn entity_or_new(&self, service: &str, identity: &model::Identity) -> Result<(Entity, bool), EntityError> {
        let new = Entity { id: self.new_id(), service: service.into(), identity: identity.clone(), created_at: self.clock.now() };
        Ok(self.tables.add_entity(new).await?)
    }

    /// The entity of that name.
    pub async fn entity(&self, service: &str, identity: &str) -> Result<Option<Entity>, EntityError> {
        let Some(identity) = model::Identity::parse(identity) else { return Ok(None) };
        Ok(self.tables.entity(service, &identity).await?)
    }

    /// Entities of a service, the oldest first.
    pub async fn entities(&self, service: &str, offset: u32, limit: u32) -> Result<Vec<Entity>, EntityError> {
        Ok(self.tables.entities(service, offset, limit).await?)
    }

    /// Removes an entity with all that it has. False: there is none.
    pub async fn remove_entity(&self, service: &str, identity: &str) -> Result<bool, EntityError> {
        let Some(entity) = self.entity(service, identity).await? else { return Ok(false) };
        Ok(self.tables.remove_entity(entity.id).await?)
    }

    /// Removes everything that a service had here: it is gone.
    pub async fn forget_service(&self, service: &str) -> Result<(), EntityError> {
        Ok(self.tables.forget_service(service).await?)
    }

    /// Removes challenges of long ago.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), EntityError> {
        Ok(self.tables.sweep_challenges(now - CHALLENGES_KEPT).await?)
    }

    /// The step of the clock whose code this is, if it may count now. After it was counted (ATT-04).
    fn accepted_step(&self, entity: &Entity, row: &FactorRow, code: &Code) -> Result<Option<i64>, EntityError> {
        let opened = seal::open(&self.peppers, &context(&entity.service, &entity.id, &row.factor.id), &row.secret);
        let secret = opened.and_then(totp::Secret::from_bytes).ok_or(EntityError::Secret)?;
        let factor = &row.factor;
        Ok(totp::accepted_step(&secret, factor.form, code, self.clock.now(), row.last_step, factor.skew))
    }

    fn new_id(&self) -> Uuid {
        id::new(self.clock.now(), self.entropy.as_ref())
    }
}

/// What a factor's secret is sealed for: a row that was moved to another person does not open there (TOTP-04).
pub fn context<'a>(service: &'a str, entity: &'a Uuid, factor: &'a Uuid) -> [&'a [u8]; 4] {
    [b"entity totp", service.as_bytes(), entity.as_bytes(), factor.as_bytes()]
}

/// What integrators keep beside their entities. Nothing is decided by it.
impl Entities {
    /// Puts a number on the list of a client. None: it is there already.
    pub async fn add_safe_number(&self, client: Uuid, number: &str) -> Result<Option<Uuid>, EntityError> {
        Ok(self.tables.add_safe_number(self.new_id(), client, number, self.clock.now()).await?)
    }

    /// The entry of a number.
    pub async fn safe_number(&self, client: Uuid, number: &str) -> Result<Option<Uuid>, EntityError> {
        Ok(self.tables.safe_number(client, number).await?)
    }

    /// Takes a number from the list. True: it was there.
    pub async fn remove_safe_number(&self, client: Uuid, number: &str) -> Result<bool, EntityError> {
        Ok(self.tables.remove_safe_number(client, number).await?)
    }

    /// The messaging configurations of a service.
    pub async fn messaging(&self, service: &str) -> Result<Vec<MessagingConfiguration>, EntityError> {
        Ok(self.tables.messaging(service).await?)
    }

    /// Adds one. False: the country has one.
    pub async fn add_messaging(&self, service: &str, country: &str, sid: &str) -> Result<bool, EntityError> {
        Ok(self.tables.add_messaging(service, country, sid, self.clock.now()).await?)
    }

    /// Changes one. True: it is there.
    pub async fn change_messaging(&self, service: &str, country: &str, sid: &str) -> Result<bool, EntityError> {
        Ok(self.tables.change_messaging(service, country, sid, self.clock.now()).await?)
    }

    /// Removes one. True: it was there.
    pub async fn remove_messaging(&self, service: &str, country: &str) -> Result<bool, EntityError> {
        Ok(self.tables.remove_messaging(service, country).await?)
    }
}
