//! Passkeys of accounts: made, asked for, judged, as a second factor and alone. The ceremonies themselves are in
//! [`crate::account::factor::passkey`].

use crate::account::factor::passkey::options::{self, Person};
use crate::account::factor::passkey::response::{AuthenticationResponse, RegistrationResponse};
use crate::account::factor::passkey::{Asked as PasskeyAsked, RelyingParty, StoredPasskey, UserVerification, ceremony};
use crate::account::factors::{CONFIRM_WITHIN, Enrolled, FACTORS_MAX, shortened};
use crate::account::model::{Account, AccountId, Method, Visitor};
use crate::account::notice::Notice;
use crate::account::second_factor::{Judged, Proof, Proved};
use crate::account::sessions::{Current, reference};
use crate::account::sign_in::{SIGN_IN, State};
use crate::account::{AccountError, Accounts};
use crate::clock::Timestamp;
use crate::db::accounts::{FactorRow, Flow, NewFactor, Securing};

/// The kind of the flow that holds the challenge of a passkey that is being made.
const ENROL: &str = "enrol";

impl Accounts {
    /// Begins a passkey: the options for `navigator.credentials.create`.
    pub async fn begin_passkey(&self, current: &Current) -> Result<Enrolled<serde_json::Value>, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Enrolled::NotFresh);
        }
        let Some(party) = &self.relying_party else { return Ok(Enrolled::Impossible) };
        let account = &current.account;
        let known: Vec<_> = self.passkeys(account.id).await?.into_iter().map(|passkey| passkey.credential_id).collect();
        if known.len() >= FACTORS_MAX {
            return Ok(Enrolled::Impossible);
        }
        let (challenge, now) = (self.challenge(), self.now());
        let flow = Flow {
            token_hash: enrolment(current),
            kind: ENROL.into(),
            account: Some(account.id),
            identifier_hash: None,
            address: String::new(),
            state: challenge.clone(),
            revision: 0,
            created_at: now,
            expires_at: Timestamp(now.0 + CONFIRM_WITHIN),
        };
        self.tables.replace_flow(&flow).await?;
        let asked = PasskeyAsked { challenge: &challenge, user_verification: UserVerification::Preferred };
        let name = self.label(account).await?;
        let display_name = if account.full_name.is_empty() { &name } else { &account.full_name };
        let person = Person { account: account.id, name: &name, display_name };
        Ok(Enrolled::Done(options::creation_options(party, &asked, &person, &known)))
    }

    /// The browser's answer.
    pub async fn confirm_passkey(
        &self,
        visitor: &Visitor,
        current: &Current,
        name: &str,
        answer: &str,
    ) -> Result<Enrolled<()>, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Enrolled::NotFresh);
        }
        let Some(party) = &self.relying_party else { return Ok(Enrolled::Impossible) };
        let now = self.now();
        let flow = self.tables.flow(ENROL, &enrolment(current), now).await?;
        let Some(flow) = flow else { return Ok(Enrolled::Wrong) };
        // Once: an answer that is wrong asks for another challenge.
        if !self.tables.end_flow(&flow.token_hash).await? {
            return Ok(Enrolled::Wrong);
        }
        let asked = PasskeyAsked { challenge: &flow.state, user_verification: UserVerification::Preferred };
        let made = RegistrationResponse::parse(answer).and_then(|answer| ceremony::verify_registration(party, &asked, &answer));
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                tracing::info!(%error, account = %current.account.id, "a passkey was refused");
                return Ok(Enrolled::Wrong);
            }
        };
        let new = NewFactor {
            id: self.new_id(now),
            method: Method::Passkey,
            name: shortened(name),
            secret: made.public_key,
            selector: Some(made.credential_id),
            counter: i64::from(made.counter),
            is_confirmed: true,
        };
        let event = self.event("factor.added", Some(current.account.id), visitor, Method::Passkey.as_str());
        let securing = Securing { keep: current.session.id, event: &event };
        match self.tables.add_passkey(current.account.id, &new, now, securing).await {
            Ok(()) => {}
            Err(error) if error.is_refused_by("factor_selector_is_unique", "selector") => return Ok(Enrolled::Wrong),
            Err(error) => return Err(error.into()),
        }
        self.tell(&current.account, Notice::FactorAdded(Method::Passkey, None), None).await?;
        Ok(Enrolled::Done(()))
    }

    pub(super) fn challenge(&self) -> String {
        options::challenge(self.entropy.as_ref())
    }

    /// For `navigator.credentials.get`. Without an account: any passkey of this place, which has to check its holder.
    pub(super) async fn passkey_request(&self, account: Option<AccountId>, challenge: &str) -> Result<serde_json::Value, AccountError> {
        let Some(party) = &self.relying_party else { return Ok(serde_json::Value::Null) };
        let allowed = match account {
            Some(account) => self.passkeys(account).await?.into_iter().map(|passkey| passkey.credential_id).collect(),
            None => Vec::new(),
        };
        Ok(options::request_options(party, &asked(challenge, account.is_none()), &allowed))
    }

    pub(super) async fn judge_passkey(
        &self,
        account: &Account,
        challenge: &str,
        answer: &serde_json::Value,
    ) -> Result<Judged, AccountError> {
        let known = self.passkeys(account.id).await?;
        let allowed: Vec<_> = known.iter().map(|passkey| passkey.credential_id.clone()).collect();
        let Ok(response) = AuthenticationResponse::parse(&answer.to_string()) else { return Ok(Judged::Wrong) };
        self.judge_answer(&known, &allowed, &asked(challenge, false), &response).await
    }

    /// A sign-in whose only step is a passkey: it names its account.
    pub(super) async fn prove_passkey_alone(
        &self,
        visitor: &Visitor,
        flow: &Flow,
        mut state: State,
        proof: Proof,
    ) -> Result<Proved, AccountError> {
        let (Proof::Passkey(answer), Some(challenge)) = (proof, state.asked.as_ref().and_then(|asked| asked.challenge.clone())) else {
            return Ok(Proved::Wrong);
        };
        // Once: the challenge is used up by any answer.
        if !self.tables.end_flow(&flow.token_hash).await? {
            return Ok(Proved::Ended);
        }
        let Ok(response) = AuthenticationResponse::parse(&answer.to_string()) else { return Ok(Proved::Wrong) };
        let Some(row) = self.tables.passkey(response.credential_id()).await? else { return Ok(Proved::Wrong) };
        let Some(account) = self.tables.account(row.account).await?.filter(|account| account.is_active) else { return Ok(Proved::Wrong) };
        match self.judge_answer(&[stored(row)], &[], &asked(&challenge, true), &response).await? {
            Judged::Right(methods) => state.proven.extend(methods),
            _ => return Ok(Proved::Wrong),
        }
        let done = self.complete(visitor, &account, None, &state, false).await?;
        Ok(done.map_or(Proved::Ended, |signed_in| Proved::Done(Box::new(signed_in))))
    }

    async fn judge_answer(
        &self,
        known: &[StoredPasskey],
        allowed: &[String],
        asked: &PasskeyAsked<'_>,
        response: &AuthenticationResponse,
    ) -> Result<Judged, AccountError> {
        let Some(party) = &self.relying_party else { return Ok(Judged::Wrong) };
        let Some(passkey) = known.iter().find(|passkey| passkey.credential_id == response.credential_id()) else {
            return Ok(Judged::Wrong);
        };
        let used = match ceremony::verify_authentication(party, asked, allowed, passkey, response) {
            Ok(used) => used,
            Err(error) => {
                tracing::info!(%error, account = %passkey.account, "a passkey was refused");
                return Ok(Judged::Wrong);
            }
        };
        let Some(row) = self.tables.passkey(&passkey.credential_id).await? else { return Ok(Judged::Wrong) };
        if !self.tables.accept_factor(row.id, i64::from(used.counter), &[]).await? {
            return Ok(Judged::Wrong);
        }
        let mut methods = vec![reference(Method::Passkey).to_owned()];
        if used.user_verified {
            methods.push("user".to_owned());
        }
        Ok(Judged::Right(methods))
    }

    async fn passkeys(&self, account: AccountId) -> Result<Vec<StoredPasskey>, AccountError> {
        let all = self.tables.factors(account).await?.into_iter();
        Ok(all.filter(|factor| factor.method == Method::Passkey).map(stored).collect())
    }

    /// Whether browsers offer passkeys here.
    pub fn passkeys_work(&self) -> bool {
        self.relying_party.is_some()
    }
}

/// Where passkeys are bound to: the public URL's host; on a developer's machine, whose address in digits has none, `localhost`.
pub fn relying_party(public_url: &str, brand: &str) -> Option<RelyingParty> {
    RelyingParty::of(public_url, brand).or_else(|| {
        let mut url = url::Url::parse(public_url).ok()?;
        let is_loopback = matches!(url.host(), Some(url::Host::Ipv4(address)) if address.is_loopback());
        url.set_host(Some("localhost")).ok().filter(|()| is_loopback)?;
        RelyingParty::of(url.as_str(), brand)
    })
}

fn asked(challenge: &str, alone: bool) -> PasskeyAsked<'_> {
    let user_verification = if alone { UserVerification::Required } else { UserVerification::Preferred };
    PasskeyAsked { challenge, user_verification }
}

fn stored(row: FactorRow) -> StoredPasskey {
    StoredPasskey {
        account: row.account,
        credential_id: row.selector.unwrap_or_default(),
        public_key: row.secret,
        counter: u32::try_from(row.counter).unwrap_or(u32::MAX),
    }
}

/// Names the flow of a passkey that is being made: one at a time in a session.
fn enrolment(current: &Current) -> String {
    format!("{SIGN_IN} enrol {}", current.session.id)
}
