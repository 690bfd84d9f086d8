//! What a replica is called by a store that others share.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// The present name of this process. Each time it was taken for dead it gets another one, and none is used twice: what is queued
/// under an earlier name belongs to whoever took it over.
#[derive(Debug)]
pub struct Name(Mutex<Uuid>);

impl Name {
    /// Begins with a random name, which nobody has heard yet.
    pub fn new(first: Uuid) -> Name {
        Name(Mutex::new(first))
    }

    /// The name now.
    pub fn get(&self) -> Uuid {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that would be the next.
    pub fn following(&self) -> Uuid {
        // In the random part, far away from whoever counts from one.
        Uuid::from_u128(self.get().as_u128().wrapping_add(1 << 64))
    }

    /// Nobody knows whether something was queued under the present name whose answer never came: nobody here would send it. So
    /// the name is given up. It is no longer said to live, and what is queued under it goes to whoever asks first.
    pub fn give_up(&self) {
        self.set(self.following());
    }

    /// From now on.
    pub fn set(&self, name: Uuid) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }
}
