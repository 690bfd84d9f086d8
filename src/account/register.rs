//! Registration: an account, and what it claims. Nothing is proven yet.

use std::sync::Arc;
use std::time::Duration;

use crate::account::model::{IdentifierKind, Visitor};
use crate::account::notice::Notice;
use crate::account::settings::SecondFactor;
use crate::account::{AccountError, Accounts};
use crate::db::accounts::{NewAccount, Registering};
use crate::verification::courier::CodeMaker;
use crate::verification::destination::Destination;
use crate::verification::limit::{LimitName, Limited, Rule, Take};
use crate::verification::model::Channel;
use crate::verification::prepare::ip_key;
use crate::verification::request::InvalidField;

/// A claim keeps others from registering the same for so long, unless it is proven before.
const CLAIM_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Longest full name, in characters.
const FULL_NAME_MAX: usize = 200;

/// What somebody who registers wrote.
pub struct Registration {
    /// May be empty.
    pub full_name: String,
    /// Any spelling of a number.
    pub phone: Option<String>,
    /// A mail address.
    pub email: Option<String>,
    /// In clear, once.
    pub password: String,
}

/// A number or address that somebody names as theirs.
type Claim = (IdentifierKind, Destination);

/// What came of it.
#[derive(Debug)]
pub enum Registered {
    /// It is made: sign in.
    Made,
    /// The number or address belongs to somebody, or was claimed today. The owner was told.
    Taken(IdentifierKind),
    /// A field breaks a rule.
    Invalid(InvalidField),
    /// Too many from this address.
    Limited(Limited),
}

impl Accounts {
    /// Makes an account. It takes the same time whether the number is taken or not: the password is hashed either way.
    pub async fn register(&self, visitor: &Visitor, wanted: Registration) -> Result<Registered, AccountError> {
        let checked = match self.check(&wanted) {
            Ok(checked) => checked,
            Err(invalid) => return Ok(Registered::Invalid(invalid)),
        };
        let (full_name, claims) = checked;
        let now = self.now();
        let take = Take {
            key: LimitName::IpRegistrations.key(&[&ip_key(visitor.ip)]),
            name: LimitName::IpRegistrations,
            rule: Rule::Rate(self.settings.ip_registrations),
        };
        if let Err(limited) = self.engine.store.take(vec![take], now).await? {
            return Ok(Registered::Limited(limited));
        }
        let mut own_words: Vec<_> = claims.iter().map(|(_, destination)| destination.canonical().to_owned()).collect();
        own_words.push(full_name.clone());
        let password = match self.acceptable(&wanted.password, own_words).await? {
            Ok(password) => self.hasher.hash(password).await?,
            Err(invalid) => return Ok(Registered::Invalid(invalid)),
        };
        let id = self.new_id(now);
        let identifiers = claims.iter().map(|(kind, destination)| (self.new_id(now), *kind, destination.canonical().to_owned())).collect();
        let unproven_until = Some(now + self.settings.unproven_kept).filter(|_| !self.settings.unproven_kept.is_zero());
        let new = NewAccount { id, full_name, locale: visitor.locale.to_string(), password: Some(password), unproven_until, identifiers };
        let names: Vec<_> = claims.iter().map(|(_, destination)| destination.masked()).collect();
        let event = self.event("account.registered", Some(id), visitor, names.join(" "));
        match self.tables.register(&new, now - CLAIM_LIFE, now, &event).await? {
            Registering::Made => Ok(Registered::Made),
            Registering::Taken(kind) => {
                for (_, destination) in claims {
                    if let Some(owner) = self.tables.candidates(destination.canonical()).await?.into_iter().next() {
                        let owned = self.tables.identifiers(owner.id).await?;
                        if owned.iter().any(|identifier| identifier.value == destination.canonical() && identifier.proven_at.is_some()) {
                            self.notifier.notify(destination.clone(), Arc::clone(&owner.locale), Notice::Taken);
                        }
                    }
                }
                Ok(Registered::Taken(kind))
            }
        }
    }

    /// The full name, and what is claimed.
    fn check(&self, wanted: &Registration) -> Result<(String, Vec<Claim>), InvalidField> {
        let full_name = full_name(&wanted.full_name)?;
        let mut claims = Vec::new();
        for (kind, field, input) in [(IdentifierKind::Phone, "phone", &wanted.phone), (IdentifierKind::Email, "email", &wanted.email)] {
            let Some(input) = input.as_deref().filter(|input| !input.trim().is_empty()) else { continue };
            let destination = self.destination(input, field)?;
            if destination.is_phone() != (kind == IdentifierKind::Phone) {
                let rule = if kind == IdentifierKind::Phone { "must be a phone number" } else { "must be a mail address" };
                return Err(InvalidField::new(field, rule));
            }
            claims.push((kind, destination));
        }
        if claims.is_empty() {
            return Err(InvalidField::new("phone", "or email must be given"));
        }
        // Whoever could never sign in had better hear of it now.
        if self.settings.second_factor == SecondFactor::Required && !claims.iter().any(|(_, destination)| self.reaches(destination)) {
            return Err(InvalidField::new(
                if claims[0].0 == IdentifierKind::Phone { "phone" } else { "email" },
                "cannot be sent codes here",
            ));
        }
        Ok((full_name, claims))
    }

    /// Whether an account must have a number, since nobody delivers codes by mail.
    pub fn needs_phone(&self) -> bool {
        let mails = self.settings.email_codes && self.engine.courier.code_maker(Channel::Email, None).is_some();
        self.settings.second_factor == SecondFactor::Required && !mails
    }

    /// Whether a provider serves a channel that reaches it.
    pub(super) fn reaches(&self, destination: &Destination) -> bool {
        Channel::ALL.into_iter().any(|channel| self.serves(channel, destination))
    }

    /// The channel by which a code goes there when nobody chose one: the usual one, or where nobody delivers that, one that reaches
    /// it. It depends on the destination alone, and tells nothing of who is there (ENM-01).
    pub(super) fn usual_channel(&self, destination: &Destination) -> Channel {
        let usual = Channel::usual(destination);
        let all = [usual, Channel::Whatsapp, Channel::Call];
        all.into_iter().find(|channel| self.serves(*channel, destination)).unwrap_or(usual)
    }

    /// Whether a provider makes the codes that go there.
    pub(super) fn is_by_provider(&self, channel: Channel, destination: &Destination) -> bool {
        matches!(self.engine.courier.code_maker(channel, destination.country()), Some(CodeMaker::Provider(_)))
    }

    /// Whether a provider serves that channel there.
    pub(super) fn serves(&self, channel: Channel, destination: &Destination) -> bool {
        channel.reaches(destination)
            && (channel != Channel::Email || self.settings.email_codes)
            && self.engine.courier.code_maker(channel, destination.country()).is_some()
    }
}

/// At most 200 characters, no control characters; spaces at the ends do not count.
pub(super) fn full_name(input: &str) -> Result<String, InvalidField> {
    let name = input.trim();
    if name.chars().count() > FULL_NAME_MAX || name.chars().any(char::is_control) {
        return Err(InvalidField::new("fullname", "must have at most 200 characters and no control characters"));
    }
    Ok(name.to_owned())
}
