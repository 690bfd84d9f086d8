//! stand-in
use crate::verification::destination::Destination;
use std::sync::Arc;
/// x
#[derive(Debug, Clone)]
pub enum Notice {
    /// x
    PasswordChanged,
    /// x
    PasswordReset,
    /// x
    IdentifierAdded { masked: String },
    /// x
    IdentifierRemoved { masked: String },
    /// x
    Taken,
    /// x
    SignInFromNewBrowser,
    /// x
    RecoveryCodeUsed,
    /// x
    FactorAdded,
    /// x
    FactorRemoved,
    /// x
    RecoveryCodesMade,
    /// x
    SessionsEndedByReuse,
}
/// x
pub trait Notifier: Send + Sync {
    /// x
    fn notify(&self, to: Destination, locale: &Arc<str>, notice: Notice);
}
