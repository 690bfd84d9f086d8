//! The ways that are open at a step, and where the code of each would go: what a page shows beside "try another way".

use crate::account::model::{Account, Method, Visitor};
use crate::account::sessions::Current;
use crate::account::sign_in::{FlowRef, Stage, State, Step};
use crate::account::{AccountError, Accounts};

/// A method, and where its code would go, masked; none where nothing is sent.
pub type Way = (Method, Option<String>);

impl Accounts {
    /// The ways of a flow. None of one that began without a password: nobody may see whether anybody is there (ENM-01).
    pub async fn ways(&self, visitor: &Visitor, which: &FlowRef) -> Result<Vec<Way>, AccountError> {
        let Some((flow, state)) = self.find_flow(visitor, which).await? else { return Ok(Vec::new()) };
        match self.account_of(&flow).await? {
            Some(account) if state.stage == Stage::Second => self.ways_of(&account, &state).await,
            _ => Ok(Vec::new()),
        }
    }

    /// The ways to confirm a session, before one of them is begun.
    pub async fn confirmation_ways(&self, current: &Current) -> Result<Vec<Way>, AccountError> {
        self.ways_of(&current.account, &confirmation(current)).await
    }

    /// Begins a confirmation by the method that somebody chose. Nothing is sent anywhere else.
    pub async fn begin_confirmation_by(&self, visitor: &Visitor, current: &Current, method: Method) -> Result<Step, AccountError> {
        self.begin_by(visitor, Some(&current.account), None, confirmation(current), Some(method)).await
    }

    async fn ways_of(&self, account: &Account, state: &State) -> Result<Vec<Way>, AccountError> {
        let identifiers = self.tables.identifiers(account.id).await?;
        let mut ways = Vec::new();
        for method in self.methods(account, state).await? {
            let target = match method.channel() {
                Some(channel) => self.target(&identifiers, channel)?,
                None => None,
            };
            ways.push((method, target.map(|(_, destination)| destination.masked())));
        }
        Ok(ways)
    }
}

fn confirmation(current: &Current) -> State {
    let session = Some(current.session.id);
    State { session, keeps_token: !current.by_its_token, ..State::new(Stage::Second) }
}
