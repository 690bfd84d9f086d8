//! What operators do with people's accounts: look them up, keep one from signing in, give roles, end sessions (SES-06, A53).
//!
//! Nothing here reads or sets what a person proves: no password, no factor, no number. Of whoever did it the audit log keeps the
//! name.

use std::sync::Arc;

use uuid::Uuid;

use crate::account::model::{Account, AccountId, Identifier, Method, Session};
use crate::account::notice::{Notice, Notifier};
use crate::account::{AccountError, Accounts, identity};
use crate::clock::Timestamp;
use crate::db::accounts::{AccountTables, NewEvent};
use crate::id;
use crate::secret::Entropy;
use crate::verification::destination::Destination;
use crate::verification::request::InvalidField;

/// Accounts that may name one number, and are shown.
const NAMING_MAX: i64 = 20;
/// Roles of one account.
const ROLES_MAX: usize = 32;
/// Longest role, in characters.
const ROLE_MAX: usize = 64;

/// Who does it, for the audit log: a client by its id, or whoever sits at the machine.
#[derive(Debug, Clone, Copy)]
pub enum By {
    /// A client of the API.
    Client(Uuid),
    /// The command line.
    Machine,
}

impl std::fmt::Display for By {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            By::Client(id) => write!(formatter, "by the client {id}"),
            By::Machine => formatter.write_str("by the command line"),
        }
    }
}

/// What operators see of an account.
#[derive(Debug, Clone)]
pub struct Overview {
    /// The account.
    pub account: Account,
    /// What it names as its own.
    pub identifiers: Vec<Identifier>,
    /// What is enrolled: apps, passkeys, recovery codes that are left. Of one account; of a list nothing.
    pub factors: Vec<Method>,
}

/// What is to be different. What is none stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    active: Option<bool>,
    roles: Option<Vec<String>>,
}

impl Change {
    /// Checked: roles stand in tokens, parted by nothing but their own letters.
    pub fn new(active: Option<bool>, roles: Option<Vec<String>>) -> Result<Change, InvalidField> {
        let sign = |sign: char| sign.is_ascii_alphanumeric() || "_.:-".contains(sign);
        let is_role = |role: &String| !role.is_empty() && role.len() <= ROLE_MAX && role.chars().all(sign);
        let Some(mut roles) = roles else { return Ok(Change { active, roles: None }) };
        if roles.len() > ROLES_MAX || !roles.iter().all(is_role) {
            let rule = format!("must be at most {ROLES_MAX} names of 1 to {ROLE_MAX} letters, digits, _ . : -");
            return Err(InvalidField::new("roles", rule));
        }
        roles.sort();
        roles.dedup();
        Ok(Change { active, roles: Some(roles) })
    }
}

/// The accounts, to operators. Needs neither the engine nor any key: the command line has it beside a server that runs.
pub struct Operator {
    /// The tables.
    pub tables: AccountTables,
    /// Tells people that their account is off.
    pub notifier: Arc<dyn Notifier>,
    /// For the ids of events.
    pub entropy: Arc<dyn Entropy>,
}

impl Accounts {
    /// The same accounts, to operators.
    pub fn operator(&self) -> Operator {
        Operator { tables: self.tables.clone(), notifier: Arc::clone(&self.notifier), entropy: Arc::clone(&self.entropy) }
    }

    /// Any spelling of a number or address, as the accounts have it.
    pub fn spelled(&self, input: &str) -> Result<Destination, InvalidField> {
        self.destination(input, "identifier")
    }
}

impl Operator {
    /// A page of accounts, the newest first.
    pub async fn list(&self, before: Option<AccountId>, limit: usize) -> Result<Vec<Overview>, AccountError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.overviews(self.tables.newest_accounts(before, limit).await?).await
    }

    /// Whoever names this number or address: its owner first, then those who only claim it.
    pub async fn find(&self, destination: &Destination) -> Result<Vec<Overview>, AccountError> {
        let folded = identity(destination);
        let value = folded.as_ref().unwrap_or(destination).canonical();
        self.overviews(self.tables.naming(value, NAMING_MAX).await?).await
    }

    async fn overviews(&self, accounts: Vec<Account>) -> Result<Vec<Overview>, AccountError> {
        let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
        let mut identifiers = self.tables.identifiers_of(&ids).await?;
        let overview = |account: Account| {
            let identifiers = identifiers.remove(&account.id).unwrap_or_default();
            Overview { account, identifiers, factors: Vec::new() }
        };
        Ok(accounts.into_iter().map(overview).collect())
    }

    /// One account, with what is enrolled.
    pub async fn show(&self, id: AccountId) -> Result<Option<Overview>, AccountError> {
        let Some(account) = self.tables.account(id).await? else { return Ok(None) };
        let identifiers = self.tables.identifiers(id).await?;
        let factors = self.tables.factors(id).await?.into_iter().filter(|factor| factor.confirmed_at.is_some());
        Ok(Some(Overview { account, identifiers, factors: factors.map(|factor| factor.method).collect() }))
    }

    /// Changes an account, and tells its person where it is off from now on. None: there is no such account. An account that is
    /// switched off or on loses its sessions and refresh tokens at once; what became of an access token elsewhere ends with the token.
    pub async fn change(&self, by: By, id: AccountId, change: &Change, now: Timestamp) -> Result<Option<Overview>, AccountError> {
        let Some(before) = self.show(id).await? else { return Ok(None) };
        if let Some(roles) = &change.roles {
            let event = self.event("account.roles_set", id, now, format!("{by}: {}", roles.join(" ")));
            self.tables.set_roles(id, roles, &event).await?;
        }
        if let Some(active) = change.active {
            let kind = if active { "account.enabled" } else { "account.disabled" };
            let changed = self.tables.set_active(id, active, &self.event(kind, id, now, by.to_string())).await?;
            if changed && !active {
                self.tell(&before, &Notice::AccountDisabled);
            }
        }
        self.show(id).await
    }

    /// Where somebody is signed in; none: no such account.
    pub async fn sessions(&self, id: AccountId, now: Timestamp) -> Result<Option<Vec<Session>>, AccountError> {
        let account = self.tables.account(id).await?;
        Ok(if account.is_some() { Some(self.tables.sessions(id, now).await?) } else { None })
    }

    /// Signs somebody out everywhere. How many sessions there were; none: no such account.
    pub async fn end_sessions(&self, by: By, id: AccountId, now: Timestamp) -> Result<Option<u64>, AccountError> {
        if self.tables.account(id).await?.is_none() {
            return Ok(None);
        }
        let event = self.event("account.sessions_ended", id, now, by.to_string());
        Ok(Some(self.tables.end_sessions(id, &event).await?))
    }

    fn event(&self, kind: &'static str, account: AccountId, at: Timestamp, detail: String) -> NewEvent {
        let id = id::new(at, self.entropy.as_ref());
        NewEvent { id, account: Some(account), at, kind, address: String::new(), detail }
    }

    /// Where it owns nothing yet, nobody is told: a claim may be a stranger's.
    fn tell(&self, overview: &Overview, notice: &Notice) {
        let proven = overview.identifiers.iter().filter(|identifier| identifier.proven_at.is_some());
        let to: Vec<_> = proven.filter_map(|identifier| Destination::parse(&identifier.value, None).ok()).collect();
        self.notifier.notify_all(&to, &overview.account.locale, notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A53: roles are names, and nothing that could pass for two or for another claim.
    #[test]
    fn roles_are_plain_names() {
        let roles = |roles: &[&str]| Change::new(None, Some(roles.iter().map(|role| (*role).to_owned()).collect()));
        assert_eq!(roles(&["staff", "admin", "staff"]).expect("roles").roles, Some(vec!["admin".to_owned(), "staff".to_owned()]));
        assert_eq!(roles(&[]).expect("no roles").roles, Some(Vec::new()));
        for wrong in ["", "two words", "a\nb", "ä", &"x".repeat(65)] {
            assert_eq!(roles(&[wrong]).expect_err(wrong).field, "roles");
        }
        assert!(roles(&["x"; 33]).is_err());
    }
}
