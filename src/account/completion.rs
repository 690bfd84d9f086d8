//! The end of a sign-in: one change in which the flow goes, the session begins, and what a code proved is owned.

use std::time::Duration;

use crate::account::model::{Account, Assurance, Visitor};
use crate::account::notice::Notice;
use crate::account::sessions::{SignedIn, assurance};
use crate::account::sign_in::{BROWSER, State};
use crate::account::{AccountError, Accounts};
use crate::clock::Timestamp;
use crate::db::accounts::{Completion, Flow};

/// How long a browser is known that signed in once.
pub const BROWSER_LIFE: Duration = Duration::from_secs(180 * 24 * 3600);

impl Accounts {
    /// The end: the flow goes, the session begins, what a code proved is owned from now on.
    pub(super) async fn complete(
        &self,
        visitor: &Visitor,
        account: &Account,
        flow: Option<&Flow>,
        state: &State,
        remember: bool,
    ) -> Result<Option<SignedIn>, AccountError> {
        let now = self.now();
        let proven = state.first.or(state.second);
        // The place whose code alone reset the password says nothing new (REC-03).
        let doubtful = account.password_reset_by.is_some() && proven == account.password_reset_by;
        let level = if doubtful { Assurance::Aal1 } else { assurance(&state.proven) };
        let mut methods = state.proven.clone();
        if level == Assurance::Aal2 {
            methods.push("mfa".to_owned());
        }
        let (new, token) = self.new_session(visitor, account, methods, level);
        let browser = visitor.browser.as_ref().map(|token| token.hash(BROWSER));
        let known = match &browser {
            Some(browser) => self.tables.browser(browser, account.id, now).await?,
            None => None,
        };
        let is_known = known.is_some();
        // A sign-in without a second factor neither ends what was remembered nor prolongs it (MFA-08).
        let remembered_until = match remember && level == Assurance::Aal2 {
            true => now + self.settings.remember_browser,
            false => known.unwrap_or(Timestamp(0)),
        };
        let session = new.session.clone();
        let completion = Completion {
            new,
            flow: flow.map(|flow| flow.token_hash.clone()),
            proven,
            password_as_of: state.password_as_of,
            browser: browser.map(|browser| (browser, now + BROWSER_LIFE, remembered_until)),
            settles_reset: level == Assurance::Aal2,
        };
        let event = self.event("account.signed_in", Some(account.id), visitor, session.methods.join(" "));
        if !self.tables.complete(&completion, &event).await? {
            return Ok(None);
        }
        self.forgive(visitor, account, state.typed.as_deref()).await?;
        if !is_known && self.settings.sign_in_notices {
            self.tell(account, Notice::SignInFromNewBrowser(visitor.ip), None).await?;
        }
        Ok(Some(SignedIn { token, session, account: account.clone() }))
    }
}
