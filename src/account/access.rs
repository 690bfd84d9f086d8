//! Access tokens of sessions, and their renewal by refresh tokens (TOK-04). A session ends, and with it all of these, save
//! that an access token is good elsewhere until it ends by itself; here it opens nothing once its session is gone (SES-04).

use crate::account::model::{Account, Identifier, IdentifierKind, Session, Visitor};
use crate::account::notice::Notice;
use crate::account::secret_token::SecretToken;
use crate::account::sessions::Current;
use crate::account::token::claims::{Claims, Subject};
use crate::account::token::{AccessToken, Judged, ShownFor, refresh};
use crate::account::{AccountError, Accounts};
use crate::db::refresh_token::{self, NewToken, Spent};
use crate::verification::request::InvalidField;

/// What came of a refresh token.
pub enum Refreshed {
    /// A new pair. The one that was shown is spent.
    Done {
        /// For other services.
        access: Box<AccessToken>,
        /// For the next time.
        refresh: SecretToken,
    },
    /// Unknown, expired, or used before: then the session has ended, since somebody has a copy.
    Refused,
}

impl Accounts {
    /// An access token of a session, for one audience: one that [`Accounts::audience`] knows.
    pub async fn access_token(&self, account: &Account, session: &Session, audience: &str) -> Result<AccessToken, AccountError> {
        let identifiers = self.tables.identifiers(account.id).await?;
        let subject = Subject {
            account,
            session,
            email: self.email(account, &identifiers).await?,
            phone: proven(&identifiers, IdentifierKind::Phone),
        };
        Ok(self.tokens.issue(&subject, audience, self.now()).await?)
    }

    /// The audience that somebody asks a token for; the usual one where nobody asks. Of unknown ones there are none: a token for
    /// whoever was named would be one that opens that service.
    pub fn audience(&self, wanted: Option<&str>) -> Result<&str, InvalidField> {
        let found = self.tokens.settings().audience(wanted);
        found.ok_or_else(|| InvalidField::new("audience", "must be one that is configured here"))
    }

    /// The proven mail address. Clients that share a secret with us know people by the one that they registered with (R4): where
    /// it was never proven, the token says so; and where somebody else claims it as well, it is nobody's.
    async fn email<'a>(&self, account: &Account, identifiers: &'a [Identifier]) -> Result<Option<(&'a str, bool)>, AccountError> {
        if let Some(email) = proven(identifiers, IdentifierKind::Email) {
            return Ok(Some((email, true)));
        }
        let mut registered = identifiers.iter().filter(|found| found.kind == IdentifierKind::Email && found.is_registered);
        let Some(found) = registered.next().filter(|_| self.tokens.settings().shared_secret.is_some()) else { return Ok(None) };
        let is_alone = !self.tables.is_claimed_beside(account.id, &found.value).await?;
        Ok(is_alone.then_some((found.value.as_str(), false)))
    }

    /// The first refresh token of a session; none when the session has ended.
    pub async fn refresh_token(&self, session: &Session) -> Result<Option<SecretToken>, AccountError> {
        let now = self.now();
        let token = SecretToken::random(self.entropy.as_ref());
        let hash = refresh::hash(&token);
        let new = NewToken { hash: &hash, expires_at: now + self.tokens.settings().refresh_idle };
        Ok(refresh_token::begin(self.tables.database(), session.id, new, now).await?.then_some(token))
    }

    /// Spends a refresh token, for an access token to one audience. One that was spent before ends its session, and with it the whole family.
    pub async fn refresh(&self, visitor: &Visitor, token: &SecretToken, audience: &str) -> Result<Refreshed, AccountError> {
        let now = self.now();
        let successor = refresh::successor(&self.peppers, token);
        let hash = refresh::hash(&successor);
        let new = NewToken { hash: &hash, expires_at: now + self.tokens.settings().refresh_idle };
        let session = match refresh_token::spend(self.tables.database(), &refresh::hash(token), new, now).await? {
            Spent::First(session) | Spent::AgainWithinGrace(session) => session,
            Spent::Reused(session) => {
                self.end_family(visitor, session).await?;
                return Ok(Refreshed::Refused);
            }
            Spent::Expired | Spent::Unknown => return Ok(Refreshed::Refused),
        };
        let Some(Current { session, account, .. }) = self.current_by_id(session).await? else { return Ok(Refreshed::Refused) };
        let access = Box::new(self.access_token(&account, &session, audience).await?);
        Ok(Refreshed::Done { access, refresh: successor })
    }

    async fn end_family(&self, visitor: &Visitor, session: uuid::Uuid) -> Result<(), AccountError> {
        let Some(Current { session, account, .. }) = self.look_at(session).await? else { return Ok(()) };
        let event = self.event("refresh_token.reused", Some(session.account), visitor, "its session was ended");
        if self.tables.end_session(session.account, session.id, &event).await? {
            self.tell(&account, Notice::SessionsEndedByReuse, None).await?;
        }
        Ok(())
    }

    /// The session that a good access token speaks of, while it lives, and what the token says.
    /// Whoever only asks what it is worth does not use the session (SES-03).
    pub async fn current_by_access_token(&self, token: &str, shown_for: ShownFor) -> Result<Option<(Current, Claims)>, AccountError> {
        let Judged::Good(claims) = self.tokens.judge(token, shown_for, self.now()).await? else { return Ok(None) };
        let current = match shown_for {
            ShownFor::Question => self.look_at(claims.sid).await?,
            ShownFor::Account | ShownFor::Entry => self.current_by_id(claims.sid).await?,
        };
        let current = current.filter(|current| current.account.id == claims.sub);
        Ok(current.map(|current| (current, *claims)))
    }
}

fn proven(identifiers: &[Identifier], kind: IdentifierKind) -> Option<&str> {
    let found = identifiers.iter().find(|identifier| identifier.kind == kind && identifier.proven_at.is_some());
    found.map(|identifier| identifier.value.as_str())
}
