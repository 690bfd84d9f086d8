//! Whether connections from before a moment are still worth anything.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections that are newer than that are not doubted anew: while a database is away each failure would close them all.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where one connection fell silent, or led to a server that takes no changes any more, those that are as old did so too, most
/// likely: each would have to be found out by somebody who waits. So all are replaced that were made before that moment.
#[derive(Debug, Default)]
pub struct Doubt {
    raised_at: Mutex<Option<Instant>>,
}

impl Doubt {
    /// Every connection that there is now is doubted.
    #[expect(clippy::disallowed_methods, reason = "an age is compared with a connection's, which the driver measures so")]
    pub fn raise(&self) {
        let mut raised_at = self.raised_at.lock().unwrap_or_else(PoisonError::into_inner);
        if raised_at.is_none_or(|at| at.elapsed() > AGAIN_AFTER) {
            *raised_at = Some(Instant::now());
        }
    }

    /// Whether a connection of that age is.
    pub fn is_about(&self, age: Duration) -> bool {
        let raised_at = *self.raised_at.lock().unwrap_or_else(PoisonError::into_inner);
        raised_at.is_some_and(|at| age >= at.elapsed())
    }
}
