//! The factors that people enrol, authenticator apps and recovery codes: made, listed, judged, given up. [`super::passkeys`]
//! are the third kind.
//! With a factor that comes or goes every other session of the account ends (SES-05).

use uuid::Uuid;

use crate::account::factor::{qr, recovery_code, totp};
use crate::account::model::{Account, AccountId, Method, Visitor};
use crate::account::notice::Notice;
use crate::account::password::{Password, Verified};
use crate::account::second_factor::Judged;
use crate::account::sessions::{Current, reference};
use crate::account::{AccountError, Accounts, seal};
use crate::db::accounts::{FactorRow, NewFactor, Securing};
use crate::secret::Code;
use crate::verification::limit::Limited;

/// An authenticator app's first code has to come within this time, in milliseconds (TOTP-05).
pub(super) const CONFIRM_WITHIN: i64 = 10 * 60 * 1000;
/// Longest name that a person may give a factor, in characters.
const NAME_MAX: usize = 60;
/// Passkeys, and authenticator apps, of one account at most.
pub(super) const FACTORS_MAX: usize = 20;

/// An authenticator app to be set up. Shown once.
pub struct NewTotp {
    /// Names it until its first code.
    pub id: Uuid,
    /// To type by hand.
    pub secret: String,
    /// `otpauth://…`
    pub uri: String,
    /// The same as a picture.
    pub qr: String,
}

/// What came of a change to the factors.
#[derive(Debug, PartialEq, Eq)]
pub enum Enrolled<T> {
    /// It is done.
    Done(T),
    /// Confirm first who you are (TOTP-05, MFA-04).
    NotFresh,
    /// The code is wrong, or too late, or the browser's answer is to something else.
    Wrong,
    /// There are too many, or browsers offer none here.
    Impossible,
    /// Too often.
    Limited(Limited),
}

/// Whose code it is, as far as one authenticator app can tell.
enum CodeOf {
    /// This one's, of a step that is newer than any before.
    This(i64),
    /// Not this one's. It was counted.
    Other,
    /// It was not looked at.
    NotCounted,
}

impl Accounts {
    /// What the account has enrolled.
    pub async fn factors(&self, current: &Current) -> Result<Vec<FactorRow>, AccountError> {
        let all = self.tables.factors(current.account.id).await?;
        Ok(all.into_iter().filter(|factor| factor.confirmed_at.is_some()).collect())
    }

    /// Begins an authenticator app; it counts from its first code on.
    pub async fn begin_totp(&self, current: &Current) -> Result<Enrolled<NewTotp>, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Enrolled::NotFresh);
        }
        let account = &current.account;
        if self.tables.factors(account.id).await?.len() >= FACTORS_MAX + recovery_code::CODES {
            return Ok(Enrolled::Impossible);
        }
        let secret = totp::Secret::random(self.entropy.as_ref());
        let sealed = seal::seal(&self.peppers, self.entropy.as_ref(), &context(&account.id), secret.expose());
        let now = self.now();
        let new = NewFactor {
            id: self.new_id(now),
            method: Method::Totp,
            name: String::new(),
            secret: sealed.map_err(|_| AccountError::Row("factor"))?,
            selector: None,
            counter: 0,
            is_confirmed: false,
        };
        let id = new.id;
        self.tables.add_factors(account.id, &[new], Some(Method::Totp), now, None).await?;
        Ok(Enrolled::Done(self.shown_totp(account, id, &secret).await?))
    }

    /// The authenticator app that waits for its first code, as it was shown when it was begun: for a page that is read again.
    pub async fn waiting_totp(&self, current: &Current) -> Result<Option<NewTotp>, AccountError> {
        if !self.is_fresh(current) {
            return Ok(None);
        }
        let Some(factor) = self.waiting(current).await?.pop() else { return Ok(None) };
        let opened = seal::open(&self.peppers, &context(&factor.account), &factor.secret);
        let Some(secret) = opened.and_then(totp::Secret::from_bytes) else { return Err(AccountError::Row("factor")) };
        Ok(Some(self.shown_totp(&current.account, factor.id, &secret).await?))
    }

    async fn waiting(&self, current: &Current) -> Result<Vec<FactorRow>, AccountError> {
        let (now, mut waiting) = (self.now(), self.tables.factors(current.account.id).await?);
        waiting.retain(|factor| factor.method == Method::Totp && factor.confirmed_at.is_none());
        waiting.retain(|factor| now.0 < factor.created_at.0 + CONFIRM_WITHIN);
        Ok(waiting)
    }

    async fn shown_totp(&self, account: &Account, id: Uuid, secret: &totp::Secret) -> Result<NewTotp, AccountError> {
        let policy = self.engine.policy(&self.settings.service);
        let uri = secret.uri(totp::Form::default(), &policy.brand, &self.label(account).await?);
        let qr = qr::svg(&uri, "QR code").ok_or(AccountError::Row("factor"))?;
        Ok(NewTotp { id, secret: secret.base32().to_string(), uri: uri.to_string(), qr })
    }

    /// The first code of an authenticator app: from now on it is a factor, and that code is used (TOTP-02).
    pub async fn confirm_totp(
        &self,
        visitor: &Visitor,
        current: &Current,
        id: Uuid,
        name: &str,
        code: &str,
    ) -> Result<Enrolled<()>, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Enrolled::NotFresh);
        }
        let Some(factor) = self.waiting(current).await?.into_iter().find(|factor| factor.id == id) else { return Ok(Enrolled::Wrong) };
        let CodeOf::This(step) = self.judge_code_of(&factor, code).await? else { return Ok(Enrolled::Wrong) };
        let event = self.event("factor.added", Some(current.account.id), visitor, Method::Totp.as_str());
        let securing = Securing { keep: current.session.id, event: &event };
        if !self.tables.confirm_factor(&factor, step, &shortened(name), self.now(), securing).await? {
            return Ok(Enrolled::Wrong);
        }
        self.tell(&current.account, Notice::FactorAdded(Method::Totp, None), None).await?;
        Ok(Enrolled::Done(()))
    }

    /// New recovery codes in place of all earlier ones (REC-02). Shown once.
    pub async fn make_recovery_codes(&self, visitor: &Visitor, current: &Current) -> Result<Enrolled<Vec<String>>, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Enrolled::NotFresh);
        }
        if let Err(limited) = self.take_change(current).await? {
            return Ok(Enrolled::Limited(limited));
        }
        let (account, now) = (&current.account, self.now());
        let (mut shown, mut rows) = (Vec::new(), Vec::new());
        for code in recovery_code::generate(self.entropy.as_ref()) {
            let secret = Password::parse(code.secret()).map_err(|_| AccountError::Row("factor"))?;
            rows.push(NewFactor {
                id: self.new_id(now),
                method: Method::RecoveryCode,
                name: String::new(),
                secret: self.hasher.hash(secret).await?,
                selector: Some(selector(account.id, code.selector())),
                counter: 0,
                is_confirmed: true,
            });
            shown.push(code.grouped().to_string());
        }
        let event = self.event("recovery_codes.made", Some(account.id), visitor, "");
        self.tables.add_factors(account.id, &rows, Some(Method::RecoveryCode), now, Some(&event)).await?;
        self.tell(account, Notice::RecoveryCodesMade, None).await?;
        Ok(Enrolled::Done(shown))
    }

    /// Gives a factor up.
    pub async fn remove_factor(&self, visitor: &Visitor, current: &Current, id: Uuid) -> Result<Enrolled<()>, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Enrolled::NotFresh);
        }
        let found = self.tables.factors(current.account.id).await?.into_iter().find(|factor| factor.id == id);
        let Some(factor) = found else { return Ok(Enrolled::Wrong) };
        let event = self.event("factor.removed", Some(current.account.id), visitor, factor.method.as_str());
        let securing = Securing { keep: current.session.id, event: &event };
        if !self.tables.remove_factor(current.account.id, id, securing).await? {
            return Ok(Enrolled::Wrong);
        }
        self.tell(&current.account, Notice::FactorRemoved(factor.method, None), None).await?;
        Ok(Enrolled::Done(()))
    }

    pub(super) async fn judge_totp(&self, account: &Account, code: &str) -> Result<Judged, AccountError> {
        let mut counted = Vec::new();
        for factor in self.tables.factors(account.id).await? {
            if factor.method != Method::Totp || factor.confirmed_at.is_none() {
                continue;
            }
            let judged = self.judge_code_of(&factor, code).await?;
            // What was counted of the same code for the apps before this one is given back.
            if let CodeOf::This(step) = judged
                && self.tables.accept_factor(factor.id, step, &counted).await?
            {
                return Ok(right(Method::Totp));
            }
            if !matches!(judged, CodeOf::NotCounted) {
                counted.push(factor.id);
            }
        }
        Ok(Judged::Wrong)
    }

    /// Whether it is a code of this authenticator app that was not used before. Counted first (ATT-04). It is used when its step is
    /// written down.
    async fn judge_code_of(&self, factor: &FactorRow, code: &str) -> Result<CodeOf, AccountError> {
        let now = self.now();
        let Ok(code) = Code::parse(code.trim()) else { return Ok(CodeOf::NotCounted) };
        if !self.tables.attempt_factor(factor.id, now).await? {
            return Ok(CodeOf::NotCounted);
        }
        let opened = seal::open(&self.peppers, &context(&factor.account), &factor.secret);
        let Some(secret) = opened.and_then(totp::Secret::from_bytes) else { return Err(AccountError::Row("factor")) };
        let step = totp::accepted_step(&secret, totp::Form::default(), &code, now, factor.counter, totp::Skew::Back);
        Ok(step.map_or(CodeOf::Other, CodeOf::This))
    }

    pub(super) async fn judge_recovery_code(&self, visitor: &Visitor, account: &Account, typed: &str) -> Result<Judged, AccountError> {
        let Some(code) = recovery_code::parse(typed) else { return Ok(Judged::Wrong) };
        let wanted = selector(account.id, code.selector());
        let found = self.tables.factors(account.id).await?.into_iter().find(|factor| factor.selector.as_deref() == Some(&wanted));
        let Some(factor) = found.filter(|factor| factor.method == Method::RecoveryCode) else { return Ok(Judged::Wrong) };
        let secret = Password::parse(code.secret()).map_err(|_| AccountError::Row("factor"))?;
        if matches!(self.hasher.verify(secret, Some(factor.secret)).await?, Verified::No)
            || !self.tables.use_factor(factor.id, self.now()).await?
        {
            return Ok(Judged::Wrong);
        }
        let event = self.event("recovery_code.used", Some(account.id), visitor, "");
        self.tables.note(&event).await?;
        self.tell(account, Notice::RecoveryCodeUsed, None).await?;
        Ok(right(Method::RecoveryCode))
    }

    /// What tells a person's accounts apart in an app's list: the first number or address.
    pub(super) async fn label(&self, account: &Account) -> Result<String, AccountError> {
        let identifiers = self.tables.identifiers(account.id).await?;
        Ok(identifiers.into_iter().next().map(|identifier| identifier.value).unwrap_or_default())
    }
}

/// What the secret of an authenticator app is sealed for.
pub fn context(account: &AccountId) -> [&[u8]; 2] {
    [b"totp", account.as_bytes()]
}

fn right(method: Method) -> Judged {
    Judged::Right(vec![reference(method).to_owned()])
}

/// Of a recovery code: unique over all accounts.
fn selector(account: AccountId, selector: &str) -> String {
    format!("{account}:{selector}")
}

pub(super) fn shortened(name: &str) -> String {
    name.trim().chars().filter(|character| !character.is_control()).take(NAME_MAX).collect()
}
