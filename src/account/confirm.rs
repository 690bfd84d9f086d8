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
        let takes = self.confirmation_limits(current);
        let keys: Vec<_> = takes.iter().map(|take| take.key).collect();
        if let Err(limited) = self.engine.store.take(takes, self.now()).await? {
            return Ok(Confirmed::Limited(limited));
        }
        if matches!(self.hasher.verify(password, current.account.password.clone()).await?, Verified::No) {
            let event = self.event("session.confirmation_refused", Some(current.account.id), visitor, "pwd");
            self.tables.note(&event).await?;
            return Ok(Confirmed::Wrong);
        }
        self.engine.store.clear(keys).await?;
        let (session, keeps_token) = (current.session.id, !current.by_its_token);
        let confirmed = self.confirmed(visitor, &current.account, session, &["pwd".to_owned()], None, keeps_token).await?;
        Ok(confirmed.map_or(Confirmed::Ended, |signed_in| Confirmed::Done(Box::new(signed_in))))
    }

    /// As a sign-in from a browser that nobody knows: whoever holds a stolen session guesses no longer at its password than strangers do
    /// (PWD-03). In buckets of their own, so that neither closes the other one's door.
    fn confirmation_limits(&self, current: &Current) -> Vec<Take> {
        let quotas =
            [(LimitName::SignInFailures, self.settings.sign_in_failures), (LimitName::AccountFailures, self.settings.account_failures)];
        let take = |(name, quota): (LimitName, _)| {
            let key = name.key(&[b"confirmation", current.account.id.as_bytes()]);
            Take { key, name, rule: Rule::Rate(quota) }
        };
        quotas.into_iter().map(take).collect()
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
        self.confirmed(visitor, account, session, &state.proven, state.second, state.keeps_token).await
    }

    /// `place`: where the code went that was shown, if it was one that was sent.
    async fn confirmed(
        &self,
        visitor: &Visitor,
        account: &Account,
        session: uuid::Uuid,
        proven: &[String],
        place: Option<uuid::Uuid>,
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
        let level = level(account, &session.methods, proven, place);
        let settles_reset = account.password_reset_by.is_some() && level == Assurance::Aal2;
        session.assurance = session.assurance.max(level);
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
        let is_confirmed = self.tables.confirm_session(&new, keeps_token, settles_reset, &event).await?;
        Ok(is_confirmed.then(|| SignedIn { token, session, account: account.clone() }))
    }
}

/// How sure a session with these methods is, of which `proven` were shown now. While a reset is in doubt only those count beside the
/// password, and not the place whose code set it: what was shown before may have been that place (REC-03).
fn level(account: &Account, methods: &[String], proven: &[String], place: Option<uuid::Uuid>) -> Assurance {
    let Some(doubtful) = account.password_reset_by else { return assurance(methods) };
    if place == Some(doubtful) {
        return Assurance::Aal1;
    }
    let counted: Vec<_> = methods.iter().filter(|method| *method == "pwd" || proven.contains(method)).cloned().collect();
    assurance(&counted)
}
