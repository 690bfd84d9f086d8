//! One transition that waits for its batch. It may run more than once, each time over rows that were read anew; only the last
//! run counts, and only once that is durable somebody is told.

use tokio::sync::oneshot;

use super::needs::Needs;
use super::rows::SqlRows;
use crate::verification::store::StoreError;
use crate::verification::store::ledger::Ledger;

/// A transition, whatever it answers.
pub trait Job: Send {
    /// What it may touch.
    fn needs(&self) -> &Needs;
    /// Runs it over rows that are locked, and keeps the answer.
    fn run(&mut self, ledger: &mut Ledger<SqlRows>) -> Result<(), StoreError>;
    /// Hands over the answer of the last run, or why there is none.
    fn answer(self: Box<Self>, undone: Option<StoreError>);
}

struct Transition<T, F> {
    needs: Needs,
    run: F,
    answer: Option<T>,
    sender: oneshot::Sender<Result<T, StoreError>>,
}

/// A transition, and where its answer comes.
pub fn job<T, F>(needs: Needs, run: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: Fn(&mut Ledger<SqlRows>) -> Result<T, StoreError> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    (Box::new(Transition { needs, run, answer: None, sender }), receiver)
}

impl<T, F> Job for Transition<T, F>
where
    T: Send,
    F: Fn(&mut Ledger<SqlRows>) -> Result<T, StoreError> + Send,
{
    fn needs(&self) -> &Needs {
        &self.needs
    }

    fn run(&mut self, ledger: &mut Ledger<SqlRows>) -> Result<(), StoreError> {
        self.answer = None;
        self.answer = Some((self.run)(ledger)?);
        Ok(())
    }

    fn answer(self: Box<Self>, undone: Option<StoreError>) {
        let answer = match (undone, self.answer) {
            (None, Some(answer)) => Ok(answer),
            (undone, _) => Err(undone.unwrap_or(StoreError::Closed)),
        };
        // A caller that went away does not want the answer.
        let _ = self.sender.send(answer);
    }
}
