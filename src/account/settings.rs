//! The rules of accounts, checked. The configuration makes them; nothing else knows where they came from.

use std::sync::Arc;
use std::time::Duration;

use crate::verification::limit::Quota;

/// Whether a sign-in needs a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondFactor {
    /// Always: a code to the account's number or address where nothing better is enrolled.
    Required,
    /// Where one is enrolled. Passwords must be longer then (PWD-01).
    WhenEnrolled,
}

/// How long a session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLife {
    /// Whatever happens.
    pub whole: Duration,
    /// Without a request.
    pub idle: Duration,
}

/// Everything that may be set.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// The service whose policy, limits and texts the codes have.
    pub service: Arc<str>,
    /// Whether strangers may register.
    pub registration: bool,
    /// For how long an account is kept to which nobody ever signed in; zero: for ever.
    pub unproven_kept: Duration,
    /// Whether the registration page says that a number or address is taken (R1's pages do). Without it the page answers the
    /// same, and the owner is told.
    pub reveal_taken: bool,
    /// Whether a second factor is asked for.
    pub second_factor: SecondFactor,
    /// Whether a code alone signs in.
    pub passwordless: bool,
    /// Whether codes go by mail at all (D1 in the security requirements).
    pub email_codes: bool,
    /// How long a browser may be remembered; zero: never (MFA-08).
    pub remember_browser: Duration,
    /// Whether people are told of a sign-in from a browser that never was seen with their account.
    pub sign_in_notices: bool,
    /// Of a session with one factor (NIST SP 800-63B 2.1.3).
    pub session_aal1: SessionLife,
    /// Of a session with two (NIST SP 800-63B 2.2.3).
    pub session_aal2: SessionLife,
    /// How long ago somebody may have proven who they are when they change what matters (MFA-04).
    pub fresh: Duration,
    /// Sign-ins begun from one address.
    pub ip_sign_ins: Quota,
    /// Wrong passwords of one account from one address or known browser.
    pub sign_in_failures: Quota,
    /// Wrong passwords of one account from all browsers that never signed in to it.
    pub account_failures: Quota,
    /// Accounts registered from one address.
    pub ip_registrations: Quota,
    /// Passwords and recovery codes that one account is given anew: each costs as much as sign-ins do (PWD-03).
    pub account_changes: Quota,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The constants of the security requirements, section 5.
impl Default for AccountSettings {
    fn default() -> AccountSettings {
        AccountSettings {
            service: crate::verification::policy::DEFAULT_SERVICE.into(),
            registration: true,
            unproven_kept: Duration::from_secs(30 * 24 * 3600),
            reveal_taken: true,
            second_factor: SecondFactor::Required,
            passwordless: false,
            email_codes: true,
            remember_browser: Duration::ZERO,
            sign_in_notices: false,
            session_aal1: SessionLife { whole: 30 * DAY, idle: 14 * DAY },
            session_aal2: SessionLife { whole: DAY, idle: HOUR },
            fresh: Duration::from_secs(600),
            ip_sign_ins: Quota { count: 30, per: Duration::from_secs(60) },
            sign_in_failures: Quota { count: 5, per: Duration::from_secs(300) },
            account_failures: Quota { count: 50, per: DAY },
            ip_registrations: Quota { count: 20, per: HOUR },
            account_changes: Quota { count: 10, per: Duration::from_secs(600) },
        }
    }
}
