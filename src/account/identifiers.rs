//! Numbers and addresses of an account: claimed, proven by a code, given up. A number never changes before the new one is
//! proven, and the old one is told (NOT-01, A43).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::asking::Share;
use crate::account::model::{Identifier, IdentifierKind, Method, Visitor};
use crate::account::notice::Notice;
use crate::account::second_factor::Judged;
use crate::account::sessions::Current;
use crate::account::sign_in::NotSent;
use crate::account::{AccountError, Accounts, network};
use crate::clock::Timestamp;
use crate::db::accounts::{Flow, Proving, Securing};
use crate::verification::limit::Limited;
use crate::verification::policy::LIFE_MAX;
use crate::verification::request::InvalidField;

/// The kind of these flows, and the purpose of their codes.
const PROVE: &str = "identifier";

/// Numbers and addresses of one account at most, claims included.
const IDENTIFIERS_MAX: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
struct State {
    verification: Uuid,
}

/// What came of claiming one.
#[derive(Debug)]
pub enum Claimed {
    /// A code is on its way.
    Sent {
        /// The claim.
        identifier: Box<Identifier>,
        /// From when on the code may be sent again.
        resend_after: Timestamp,
    },
    /// It is the account's own already.
    Owned(Box<Identifier>),
    /// Confirm first who you are.
    NotFresh,
    /// Not a number or address, or one that cannot be sent to.
    Invalid(InvalidField),
    /// Too many messages.
    Limited(Limited),
}

/// What came of a code.
#[derive(Debug, PartialEq, Eq)]
pub enum IdentifierProved {
    /// The account owns it now.
    Done,
    /// Wrong, expired, used.
    Wrong,
    /// Somebody else proved it before: it is theirs.
    OfAnother,
    /// Too many.
    Limited(Limited),
    /// Whoever made the code could not be asked.
    NotJudged,
}

/// What came of giving one up.
#[derive(Debug, PartialEq, Eq)]
pub enum IdentifierRemoved {
    /// It is gone.
    Done,
    /// Confirm first who you are.
    NotFresh,
    /// It is the last one that is proven, or that the account is found by.
    LastOne,
    /// The account has none such.
    NotFound,
}

impl Accounts {
    /// What the account names as its own.
    pub async fn identifiers(&self, current: &Current) -> Result<Vec<Identifier>, AccountError> {
        Ok(self.tables.identifiers(current.account.id).await?)
    }

    /// Claims a number or address and sends a code there; asked again, sends it again.
    pub async fn add_identifier(&self, visitor: &Visitor, current: &Current, typed: &str) -> Result<Claimed, AccountError> {
        if !self.is_fresh(current) {
            return Ok(Claimed::NotFresh);
        }
        let destination = match self.destination(typed, "identifier") {
            Ok(destination) if self.reaches(&destination) => destination,
            Ok(_) => return Ok(Claimed::Invalid(InvalidField::new("identifier", "cannot be sent codes here"))),
            Err(invalid) => return Ok(Claimed::Invalid(invalid)),
        };
        let now = self.now();
        let claim = Identifier {
            id: self.new_id(now),
            account: current.account.id,
            kind: IdentifierKind::of(&destination),
            value: destination.canonical().to_owned(),
            is_registered: false,
            claimed_at: now,
            proven_at: None,
        };
        let Some(identifier) = self.tables.add_identifier(&claim, IDENTIFIERS_MAX).await? else {
            return Ok(Claimed::Invalid(InvalidField::new("identifier", "is one too many: remove another one first")));
        };
        if identifier.proven_at.is_some() {
            return Ok(Claimed::Owned(Box::new(identifier)));
        }
        let channel = self.usual_channel(&destination);
        if !self.serves(channel, &destination) {
            return Ok(Claimed::Invalid(InvalidField::new("identifier", "cannot be sent codes here")));
        }
        let earlier = self.flow_of(&identifier).await?.map(|(_, state)| state.verification);
        let sent = match self.send(visitor, &current.account, &destination, channel, earlier, PROVE, Share::Strangers).await? {
            Ok(sent) => sent,
            Err(NotSent::Limited(limited)) => return Ok(Claimed::Limited(limited)),
            Err(NotSent::Impossible) => {
                return Ok(Claimed::Invalid(InvalidField::new("identifier", "cannot be sent codes here")));
            }
        };
        let state = serde_json::to_string(&State { verification: sent.id }).map_err(|_| AccountError::Row("flow"))?;
        let flow = Flow {
            token_hash: name(&identifier),
            kind: PROVE.into(),
            account: Some(current.account.id),
            identifier_hash: None,
            address: network(visitor),
            state,
            revision: 0,
            created_at: now,
            expires_at: now + LIFE_MAX,
        };
        self.tables.replace_flow(&flow).await?;
        Ok(Claimed::Sent { identifier: Box::new(identifier), resend_after: sent.resend_after })
    }

    /// The code that was sent there.
    pub async fn prove_identifier(
        &self,
        visitor: &Visitor,
        current: &Current,
        id: Uuid,
        code: &str,
    ) -> Result<IdentifierProved, AccountError> {
        let found = self.identifiers(current).await?.into_iter().find(|identifier| identifier.id == id);
        let Some(identifier) = found else { return Ok(IdentifierProved::Wrong) };
        let Some((flow, state)) = self.flow_of(&identifier).await? else { return Ok(IdentifierProved::Wrong) };
        match self.check_code(visitor, state.verification, PROVE, code, Method::Sms).await? {
            Judged::Right(_) => {}
            Judged::Wrong => return Ok(IdentifierProved::Wrong),
            Judged::Limited(limited) => return Ok(IdentifierProved::Limited(limited)),
            Judged::Unanswered => return Ok(IdentifierProved::NotJudged),
        }
        self.tables.end_flow(&flow.token_hash).await?;
        let destination = self.stored_destination(&identifier.value)?;
        let event = self.event("identifier.proven", Some(current.account.id), visitor, destination.masked());
        let securing = Securing { keep: current.session.id, event: &event };
        match self.tables.prove(current.account.id, id, self.now(), securing).await? {
            Proving::Owned => {
                self.tell(&current.account, Notice::IdentifierAdded(destination), None).await?;
                Ok(IdentifierProved::Done)
            }
            Proving::OfAnother => Ok(IdentifierProved::OfAnother),
            Proving::Gone => Ok(IdentifierProved::Wrong),
        }
    }

    /// Gives one up; it is told, like all the others.
    pub async fn remove_identifier(&self, visitor: &Visitor, current: &Current, id: Uuid) -> Result<IdentifierRemoved, AccountError> {
        if !self.is_fresh(current) {
            return Ok(IdentifierRemoved::NotFresh);
        }
        let found = self.identifiers(current).await?.into_iter().find(|identifier| identifier.id == id);
        let Some(identifier) = found else { return Ok(IdentifierRemoved::NotFound) };
        let destination = self.stored_destination(&identifier.value)?;
        let event = self.event("identifier.removed", Some(current.account.id), visitor, destination.masked());
        let securing = Securing { keep: current.session.id, event: &event };
        if !self.tables.remove_identifier(current.account.id, id, securing).await? {
            return Ok(IdentifierRemoved::LastOne);
        }
        let also = identifier.proven_at.map(|_| destination.clone());
        self.tell(&current.account, Notice::IdentifierRemoved(destination), also).await?;
        Ok(IdentifierRemoved::Done)
    }

    async fn flow_of(&self, identifier: &Identifier) -> Result<Option<(Flow, State)>, AccountError> {
        let Some(flow) = self.tables.flow(PROVE, &name(identifier), self.now()).await? else { return Ok(None) };
        let state = serde_json::from_str(&flow.state).map_err(|_| AccountError::Row("flow"))?;
        Ok(Some((flow, state)))
    }
}

/// Names the flow: the session is what binds it to a browser.
fn name(identifier: &Identifier) -> String {
    format!("identifier {}", identifier.id)
}
