//! Sessions: found by their token, ended one by one or all at once (SES-01 to SES-08).

use std::time::Duration;

use uuid::Uuid;

use crate::account::model::{Account, Assurance, Method, Session, Visitor};
use crate::account::secret_token::SecretToken;
use crate::account::settings::SessionLife;
use crate::account::{AccountError, Accounts, network};
use crate::clock::{Timestamp, milliseconds};
use crate::db::accounts::{Found, NewSession, SessionKey};

/// The purpose under which a session's token is hashed.
pub(super) const SESSION: &str = "session";
/// How exactly the last use is noted.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// Longest name of a browser that is kept, in characters.
const AGENT_MAX: usize = 200;

/// The session that came with a request.
#[derive(Debug, Clone)]
pub struct Current {
    /// The session.
    pub session: Session,
    /// Whose.
    pub account: Account,
    /// An app or a passkey is enrolled: what matters is not changed on less than two factors then.
    pub wants_two: bool,
    /// The session came with its own token, which a confirmation replaces (SES-02). An access token stands for it otherwise, and
    /// the browser that holds the session's token would be signed out by another one.
    pub by_its_token: bool,
}

/// Where a sign-in ended well.
#[derive(Debug)]
pub struct SignedIn {
    /// For the cookie; shown once.
    pub token: SecretToken,
    /// What began.
    pub session: Session,
    /// Whose.
    pub account: Account,
}

impl Accounts {
    /// The session of a token, noted as in use; none when it ended.
    pub async fn current(&self, token: &SecretToken) -> Result<Option<Current>, AccountError> {
        let current = self.look_by(SessionKey::Token(&token.hash(SESSION))).await?;
        self.note_use(current.as_ref()).await?;
        Ok(current)
    }

    /// The session of an access token, if it has not ended since.
    pub async fn current_by_id(&self, id: Uuid) -> Result<Option<Current>, AccountError> {
        let current = self.look_at(id).await?;
        self.note_use(current.as_ref()).await?;
        Ok(current)
    }

    /// The same, by somebody who only asks: that is no use of the session, and keeps it no longer alive.
    pub(super) async fn look_at(&self, id: Uuid) -> Result<Option<Current>, AccountError> {
        self.look_by(SessionKey::Id(id)).await
    }

    async fn look_by(&self, key: SessionKey<'_>) -> Result<Option<Current>, AccountError> {
        let found = self.tables.current(key, self.now()).await?;
        let by_its_token = matches!(key, SessionKey::Token(_));
        Ok(found.map(|Found { session, account, has_enrolled }| Current { session, account, wants_two: has_enrolled, by_its_token }))
    }

    async fn note_use(&self, current: Option<&Current>) -> Result<(), AccountError> {
        let now = self.now();
        if let Some(Current { session, .. }) = current
            && now >= session.seen_at + SEEN_EVERY
        {
            self.tables.seen(session.id, now).await?;
        }
        Ok(())
    }

    /// Whether its person proved who they are a short while ago, and with all that they have (MFA-04).
    pub fn is_fresh(&self, current: &Current) -> bool {
        let is_enough = !current.wants_two || current.session.assurance == Assurance::Aal2;
        is_enough && self.now() < current.session.authenticated_at + self.settings.fresh
    }

    /// The sessions of an account, the newest first.
    pub async fn sessions(&self, current: &Current) -> Result<Vec<Session>, AccountError> {
        Ok(self.tables.sessions(current.account.id, self.now()).await?)
    }

    /// Ends this session.
    pub async fn sign_out(&self, visitor: &Visitor, current: &Current) -> Result<(), AccountError> {
        self.end_session(visitor, current, current.session.id).await.map(drop)
    }

    /// Ends one session of the same account. False: there is none such (OPS-07).
    pub async fn end_session(&self, visitor: &Visitor, current: &Current, id: Uuid) -> Result<bool, AccountError> {
        let event = self.event("session.ended", Some(current.account.id), visitor, "signed out");
        Ok(self.tables.end_session(current.account.id, id, &event).await?)
    }

    /// Ends every other session of the account. How many there were.
    pub async fn end_other_sessions(&self, visitor: &Visitor, current: &Current) -> Result<u64, AccountError> {
        let event = self.event("session.others_ended", Some(current.account.id), visitor, "signed out everywhere else");
        Ok(self.tables.end_other_sessions(current.account.id, current.session.id, &event).await?)
    }

    /// A session to be stored, and its token.
    pub(super) fn new_session(
        &self,
        visitor: &Visitor,
        account: &Account,
        methods: Vec<String>,
        assurance: Assurance,
    ) -> (NewSession, SecretToken) {
        let now = self.now();
        let life = self.life(assurance);
        let token = SecretToken::random(self.entropy.as_ref());
        let session = Session {
            id: self.new_id(now),
            account: account.id,
            assurance,
            methods,
            created_at: now,
            authenticated_at: now,
            seen_at: now,
            expires_at: now + life.whole,
            idle: milliseconds(life.idle),
            address: network(visitor),
            agent: visitor.agent.chars().filter(|character| !character.is_control()).take(AGENT_MAX).collect(),
        };
        (NewSession { session, token_hash: token.hash(SESSION) }, token)
    }

    pub(super) fn life(&self, assurance: Assurance) -> SessionLife {
        match assurance {
            Assurance::Aal1 => self.settings.session_aal1,
            Assurance::Aal2 => self.settings.session_aal2,
        }
    }

    /// Housekeeping: what has ended goes, and what happened before `kept_since`.
    pub async fn sweep(&self, now: Timestamp, kept_since: Timestamp) -> Result<(), AccountError> {
        Ok(self.tables.sweep(now, kept_since).await?)
    }
}

/// What a method is called in `amr` (RFC 8176, where it has a name).
pub(super) fn reference(method: Method) -> &'static str {
    match method {
        Method::Sms => "sms",
        Method::Whatsapp => "whatsapp",
        Method::Call => "tel",
        Method::Email => "email",
        Method::Totp => "otp",
        Method::Passkey => "hwk",
        Method::RecoveryCode => "recovery",
    }
}

/// How sure these methods make us together (MFA-06). A code by mail adds nothing (OTP-13), nor does the same kind twice
/// (A22); a passkey is two by itself when the device checked its holder ("user").
pub(super) fn assurance(methods: &[String]) -> Assurance {
    let has = |wanted: &[&str]| methods.iter().any(|method| wanted.contains(&method.as_str()));
    let knows = has(&["pwd"]);
    let has_device = has(&["sms", "whatsapp", "tel", "otp", "hwk", "recovery"]);
    if (knows && has_device) || (has(&["hwk"]) && has(&["user"])) { Assurance::Aal2 } else { Assurance::Aal1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MFA-06, OTP-13, A22.
    #[test]
    fn two_different_factors_and_no_mail_make_the_second_level() {
        let level = |methods: &[&str]| assurance(&methods.iter().map(|method| (*method).to_owned()).collect::<Vec<_>>());
        for methods in [&["pwd", "sms"][..], &["pwd", "otp"], &["pwd", "tel"], &["pwd", "hwk"], &["hwk", "user"], &["pwd", "recovery"]] {
            assert_eq!(level(methods), Assurance::Aal2, "{methods:?}");
        }
        for methods in [&["pwd"][..], &["pwd", "email"], &["sms"], &["sms", "email"], &["hwk"], &["sms", "sms"], &[]] {
            assert_eq!(level(methods), Assurance::Aal1, "{methods:?}");
        }
    }
}
