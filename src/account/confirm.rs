//! Confirming a session (step-up): whoever changes what matters has proven a short while ago who they are (MFA-04). The
//! session keeps its id and gets another token (SES-02).

use crate::account::model::{Account, Assurance, Visitor};
use crate::account::password::{Password, Verified};
use crate::account::secret_token::SecretToken;
use crate::account::sessions::{Current, SESSION, SignedIn, assurance};
use crate::account::sign_in::State;
use crate::account::{AccountError, Accounts};
use crate::db::accounts::{Flow, NewSession};
use crate::verification::limit::{LimitName, Limited, Rule, Take};

/// What came of a password.
#[derive(Debug)]
pub enum Confirmed {
    /// The session's new token.
    Done(Box<SignedIn>),
    /// Wrong, or the account has none.
    Wrong,
    /// Too many tries.
    Limited(Limited),
    /// The session ended in the meantime.
    Ended,
}

impl Accounts {
    /// By the password.
    pub async fn confirm_by_password(&self, visitor: &Visitor, current: &Current, password: &str) -> Result<Confirmed, AccountError> {
        let Ok(password) = Password::parse(password) else { return Ok(Confirmed::Wrong) };
        let key = LimitName::SignInFailures.key(&[b"confirmation", current.account.id.as_bytes()]);
        let take = Take { key, name: LimitName::SignInFailures, rule: Rule::Rate(self.settings.sign_in_failures) };
        if let Err(limited) = self.engine.store.take(vec![take], self.now()).await? {
            return Ok(Confirmed::Limited(limited));
        }
        if matches!(self.hasher.verify(password, current.account.password.clone()).await?, Verified::No) {
            let event = self.event("session.confirmation_refused", Some(current.account.id), visitor, "pwd");
            self.tables.note(&event).await?;
            return Ok(Confirmed::Wrong);
        }
        self.engine.store.clear(vec![key]).await?;
        let confirmed = self.confirmed(visitor, &current.account, current.session.id, &["pwd".to_owned()], !current.by_its_token).await?;
        Ok(confirmed.map_or(Confirmed::Ended, |signed_in| Confirmed::Done(Box::new(signed_in))))
    }

    /// Before a password or recovery codes are hashed for somebody who is signed in: that is as much work as a few sign-ins, for
    /// which everybody would wait behind whoever does it all day (PWD-03).
    pub(super) async fn take_change(&self, current: &Current) -> Result<Result<(), Limited>, AccountError> {
        let key = LimitName::AccountChanges.key(&[current.account.id.as_bytes()]);
        let take = Take { key, name: LimitName::AccountChanges, rule: Rule::Rate(self.settings.account_changes) };
        Ok(self.engine.store.take(vec![take], self.now()).await?)
    }

    /// The end of such a flow.
    pub(super) async fn confirm(
        &self,
        visitor: &Visitor,
        account: &Account,
        session: uuid::Uuid,
        flow: &Flow,
        state: &State,
    ) -> Result<Option<SignedIn>, AccountError> {
        if !self.tables.end_flow(&flow.token_hash).await? {
            return Ok(None);
        }
        self.confirmed(visitor, account, session, &state.proven, state.keeps_token).await
    }

    async fn confirmed(
        &self,
        visitor: &Visitor,
        account: &Account,
        session: uuid::Uuid,
        proven: &[String],
        keeps_token: bool,
    ) -> Result<Option<SignedIn>, AccountError> {
        let now = self.now();
        let found = self.look_at(session).await?.map(|current| current.session);
        let Some(mut session) = found.filter(|session| session.account == account.id) else {
            return Ok(None);
        };
        // What was shown long ago says nothing any more (MFA-06).
        let is_recent = now < session.authenticated_at + self.settings.session_aal2.whole;
        session.methods.retain(|method| is_recent && method != "mfa" && !proven.contains(method));
        session.methods.extend(proven.iter().cloned());
        // It never gets less sure by being confirmed, and no more than what was shown makes it.
        session.assurance =
            session.assurance.max(if account.password_reset_by.is_some() { Assurance::Aal1 } else { assurance(&session.methods) });
        if session.assurance == Assurance::Aal2 {
            session.methods.push("mfa".to_owned());
        }
        let life = self.life(session.assurance);
        session.authenticated_at = now;
        session.seen_at = now;
        session.expires_at = session.expires_at.min(now + life.whole);
        session.idle = crate::clock::milliseconds(life.idle);
        let token = SecretToken::random(self.entropy.as_ref());
        let new = NewSession { session: session.clone(), token_hash: token.hash(SESSION) };
        let event = self.event("session.confirmed", Some(account.id), visitor, proven.join(" "));
        Ok(self.tables.confirm_session(&new, keeps_token, &event).await?.then(|| SignedIn { token, session, account: account.clone() }))
    }
}
