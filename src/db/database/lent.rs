//! A connection of the pool while somebody uses it. What the driver leaves open is closed here: it waits for ever for a database
//! that has vanished, also where it only takes a connection back; and where a `BEGIN` was left before it was answered it does not
//! know of the transaction, so that the next one's statement would be in it and never be committed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::doubt::Doubt;
use super::error::{DataError, Reason};

/// A connection of the pool. It goes back when this is dropped, in whatever state it was left.
pub(super) struct Lent {
    /// None once it was thrown away.
    connection: Option<PoolConnection<Any>>,
    /// A change was begun, or may have been, and is not ended.
    is_open: bool,
    /// None: a file, which answers.
    patience: Option<Duration>,
    doubt: Arc<Doubt>,
}

impl Lent {
    pub fn new(connection: PoolConnection<Any>, patience: Option<Duration>, doubt: Arc<Doubt>) -> Lent {
        Lent { connection: Some(connection), is_open: false, patience, doubt }
    }

    /// Asks it something. Where no answer comes in time nothing more will: it is thrown away.
    pub async fn ask<T>(
        &mut self,
        question: impl for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DataError> {
        let Some(connection) = &mut self.connection else { return Err(silent()) };
        let answer = within(self.patience, question(connection)).await;
        let answer = match answer {
            Some(answer) => answer.map_err(DataError::from),
            None => {
                self.throw_away();
                Err(silent())
            }
        };
        if answer.as_ref().is_err_and(|error| matches!(error.reason(), Reason::Unreachable | Reason::ReadOnly)) {
            self.doubt.raise();
        }
        answer
    }

    /// Begins a change.
    pub async fn begin(&mut self, words: &'static str) -> Result<(), DataError> {
        // Before it is known whether it has begun: whoever is not there for the answer leaves it to be undone.
        self.is_open = true;
        self.ask(|connection| Box::pin(sqlx::raw_sql(words).execute(connection))).await.map(drop)
    }

    /// Makes what was begun last.
    pub async fn commit(mut self) -> Result<(), DataError> {
        self.ask(|connection| Box::pin(sqlx::raw_sql("COMMIT").execute(connection))).await?;
        self.is_open = false;
        Ok(())
    }

    fn throw_away(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Without a runtime nobody can ask it anything: it is closed.
        let Ok(runtime) = Handle::try_current() else { return self.throw_away() };
        let Some(connection) = self.connection.take() else { return };
        runtime.spawn(give_back(connection, self.is_open, self.patience, Arc::clone(&self.doubt)));
    }
}

/// Undoes what was left open, and gives the connection back once it has answered everything: until then its place is taken, since
/// the server is busy with it.
async fn give_back(mut connection: PoolConnection<Any>, is_open: bool, patience: Option<Duration>, doubt: Arc<Doubt>) {
    if is_open && !matches!(within(patience, sqlx::raw_sql("ROLLBACK").execute(&mut *connection)).await, Some(Ok(_))) {
        drop(connection.detach());
        return doubt.raise();
    }
    // The driver asks whether it is still one, and would wait for that for ever.
    if within(patience, connection.return_to_pool()).await.is_none() {
        doubt.raise();
    }
}

/// None: it took longer.
async fn within<T>(patience: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match patience {
        Some(patience) => timeout(patience, work).await.ok(),
        None => Some(work.await),
    }
}

fn silent() -> DataError {
    DataError::because(Reason::Unreachable, "no answer in time")
}
