//! Notices: what a person is told when their account changes (NOT-01). They carry no code and ask for nothing.
//!
//! Each goes to all addresses of the account, the one that was just removed among them: whoever took an account over cannot
//! keep its owner from hearing of it. An identifier is named in its masked form only, since an address may be another's by now.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::account::model::Method;
use crate::verification::destination::Destination;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// By somebody who knew the old one.
    PasswordChanged,
    /// By a code that was sent.
    PasswordReset,
    /// A number or address belongs to the account from now on.
    IdentifierAdded(Destination),
    /// One that was there does no longer. It is told, too.
    IdentifierRemoved(Destination),
    /// One more way to prove who one is.
    FactorAdded(Method, Option<Destination>),
    /// One fewer.
    FactorRemoved(Method, Option<Destination>),
    /// New recovery codes; older ones are dead.
    RecoveryCodesMade,
    /// One of them was used.
    RecoveryCodeUsed,
    /// From a browser that was never seen with this account. Sent where the operator wants it.
    SignInFromNewBrowser(IpAddr),
    /// Somebody tried to register with a number or address of this account. The answer that they got does not say that it is
    /// taken (ENM-01); its owner hears of it here.
    Taken,
    /// A refresh token came a second time, so its whole family of sessions ended (TOK-04).
    SessionsEndedByReuse,
    /// An operator switched the account off.
    AccountDisabled,
}

/// What a person had better do who knows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Take the account back: reset the password.
    Secure,
    /// Nothing: nothing has changed.
    Ignore,
    /// Ask whoever runs the service.
    Ask,
}

impl Notice {
    /// Its name in metrics and logs, and in the files of texts.
    pub fn name(&self) -> &'static str {
        match self {
            Notice::PasswordChanged => "password_changed",
            Notice::PasswordReset => "password_reset",
            Notice::IdentifierAdded(_) => "identifier_added",
            Notice::IdentifierRemoved(_) => "identifier_removed",
            Notice::FactorAdded(..) => "factor_added",
            Notice::FactorRemoved(..) => "factor_removed",
            Notice::RecoveryCodesMade => "recovery_codes_made",
            Notice::RecoveryCodeUsed => "recovery_code_used",
            Notice::SignInFromNewBrowser(_) => "sign_in_from_new_browser",
            Notice::Taken => "taken",
            Notice::SessionsEndedByReuse => "sessions_ended_by_reuse",
            Notice::AccountDisabled => "account_disabled",
        }
    }

    /// What it advises.
    pub fn advice(&self) -> Advice {
        match self {
            Notice::Taken => Advice::Ignore,
            Notice::AccountDisabled => Advice::Ask,
            _ => Advice::Secure,
        }
    }

    /// One of each kind, for previews and tests.
    pub fn samples() -> [Notice; 12] {
        let address = || Destination::from_canonical("ann@example.com", None);
        [
            Notice::PasswordChanged,
            Notice::PasswordReset,
            Notice::IdentifierAdded(address()),
            Notice::IdentifierRemoved(address()),
            Notice::FactorAdded(Method::Email, Some(address())),
            Notice::FactorRemoved(Method::Totp, None),
            Notice::RecoveryCodesMade,
            Notice::RecoveryCodeUsed,
            Notice::SignInFromNewBrowser(IpAddr::from([192, 0, 2, 7])),
            Notice::Taken,
            Notice::SessionsEndedByReuse,
            Notice::AccountDisabled,
        ]
    }
}

/// Takes notices to people. Never waits, and never fails: what cannot be sent is logged and counted where it is known.
pub trait Notifier: Send + Sync {
    /// Tells one address. `locale`: BCP 47, the account's.
    fn notify(&self, to: Destination, locale: Arc<str>, notice: Notice);

    /// Tells all addresses of an account, each once.
    fn notify_all(&self, to: &[Destination], locale: &Arc<str>, notice: &Notice) {
        for (index, destination) in to.iter().enumerate() {
            if to[..index].iter().all(|earlier| earlier.key() != destination.key()) {
                self.notify(destination.clone(), Arc::clone(locale), notice.clone());
            }
        }
    }
}

/// Somebody was told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub to: Destination,
    /// In which language.
    pub locale: Arc<str>,
    /// What.
    pub notice: Notice,
}

/// Keeps notices in place of sending them: for tests of whoever causes them.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Told>>);

impl Recorder {
    /// What was told since the last call, in order.
    pub fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notifier for Recorder {
    fn notify(&self, to: Destination, locale: Arc<str>, notice: Notice) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Told { to, locale, notice });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NOT-01: every address hears of it, and none twice.
    #[test]
    fn all_addresses_are_told_once() {
        let [number, address] = ["+4915112345678", "ann@example.com"].map(|text| Destination::parse(text, None).expect("valid"));
        let spelled_otherwise = Destination::parse("Ann@Example.com", None).expect("valid");
        let recorder = Recorder::default();
        recorder.notify_all(&[number.clone(), address.clone(), number.clone(), spelled_otherwise], &"de".into(), &Notice::PasswordChanged);
        let told: Vec<_> = recorder.take().into_iter().map(|told| told.to).collect();
        assert_eq!(told, [number, address]);
        assert!(recorder.take().is_empty());
    }

    /// LOG-02: what is printed of a notice holds no address.
    #[test]
    fn no_address_in_what_a_log_would_print() {
        for notice in Notice::samples() {
            assert!(!format!("{notice:?}").contains("ann@example.com"), "{notice:?}");
        }
    }
}
