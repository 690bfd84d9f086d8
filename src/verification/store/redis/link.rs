//! The connection: one server, the master that Sentinels name, or a Cluster. It comes back by itself.
//!
//! Nothing is run twice: what may have been run when a connection broke is an error to its caller ("unknown"). Only what
//! the server certainly refused before it ran is sent again: a script that it did not know, a slot that had moved.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use crate::clock::Timestamp;
use crate::verification::store::StoreError;
use crate::verification::store::ledger::database;
use crate::verification::store::redis::packed::Packed;
use crate::verification::store::redis::reply::{Reply, Unreadable};
use crate::verification::store::redis::script::{Call, MEET};

/// Longest wait for a connection.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Longest wait for an answer: a script takes well under a millisecond.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Finding the master, or the nodes of a cluster, is a few connections.
const FIND_WITHIN: Duration = Duration::from_secs(3);

/// Who is asked.
pub enum Peer {
    /// One server.
    Single(Box<Client>),
    /// The master that these name. Each of them is asked for it anew after a connection broke.
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
    /// A cluster.
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn run(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Connection::One(connection) => command.query_async(connection).await,
            Connection::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

/// No connection, and none to be had: what was to be asked certainly was not.
#[derive(Debug, thiserror::Error)]
enum Unreachable {
    #[error("Redis cannot be reached")]
    Silent,
    #[error("Redis cannot be reached: {0}")]
    Failed(#[source] RedisError),
}

/// What a server says of itself; "?" where it does not say.
#[derive(Debug)]
pub struct Met {
    /// Its name, a new one with each start.
    pub run: String,
    appends: String,
    eviction: String,
}

impl Met {
    fn of(answer: Value) -> Result<Met, StoreError> {
        let mut answer = Reply::of(answer)?;
        answer.needed()?;
        Ok(Met { run: answer.needed()?, appends: answer.needed()?, eviction: answer.needed()? })
    }

    /// What its operator should change.
    pub fn advice(&self) -> Vec<&'static str> {
        let appends = "Redis forgets codes and limits when it restarts: set appendonly yes";
        let evicts = "Redis may throw away live codes and limits when its memory is full: set maxmemory-policy noeviction";
        let wrong = [(self.appends == "0", appends), (self.eviction.contains("lru") || self.eviction.contains("lfu"), evicts)];
        let evicts_others = ["allkeys-random", "volatile-random", "volatile-ttl"].contains(&self.eviction.as_str());
        wrong.into_iter().chain([(evicts_others, evicts)]).filter(|(is_wrong, _)| *is_wrong).map(|(_, advice)| advice).collect()
    }
}

/// A connection that many use at once.
pub struct Link {
    peer: Peer,
    base: String,
    current: Mutex<Option<(u64, Connection)>>,
    connecting: tokio::sync::Mutex<()>,
    /// Connections that were tried: who waited while one failed does not try the next, but fails too.
    tried: AtomicU64,
}

impl Link {
    /// A link that connects when it is first needed. All keys begin with `{prefix}`.
    pub fn new(peer: Peer, prefix: &str) -> Link {
        let (current, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Link { peer, base: format!("{{{prefix}}}"), current, connecting, tried: AtomicU64::default() }
    }

    /// What all keys begin with.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Runs a script.
    pub async fn run(&self, call: &Call) -> Result<Value, StoreError> {
        self.send(call.now(), |in_full| call.command(&self.base, in_full)).await
    }

    /// What the server says of itself.
    pub async fn meet(&self, now: Timestamp) -> Result<Met, StoreError> {
        Met::of(self.run(&Call::new(&MEET, now, Packed::new())).await?)
    }

    /// Makes Redis ask SQL for the failures again before it judges anything, as after a loss: they were written there by another.
    pub async fn cool(&self, now: Timestamp) -> Result<(), StoreError> {
        let ledger = format!("{}:failures", self.base);
        self.send(now, |_| redis::cmd("DEL").arg(&ledger).to_owned()).await.map(drop)
    }

    /// Runs a command that reads.
    pub async fn ask(&self, command: &Cmd, now: Timestamp) -> Result<Value, StoreError> {
        self.send(now, |_| command.clone()).await
    }

    async fn send(&self, now: Timestamp, command: impl Fn(bool) -> Cmd) -> Result<Value, StoreError> {
        let mut in_full = false;
        let mut moved = 0;
        loop {
            let (number, mut connection) = self.connection(now).await?;
            let error = match connection.run(&command(in_full)).await.and_then(Value::extract_error) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Server(ServerErrorKind::NoScript) if !in_full => in_full = true,
                // Somebody else is the master, or has the slot: it was refused before it ran.
                ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::Moved | ServerErrorKind::Ask) if moved < 2 => {
                    moved += 1;
                    self.drop_connection(number);
                }
                _ => {
                    if is_of_the_connection(&error) {
                        self.drop_connection(number);
                    }
                    return Err(database(error));
                }
            }
        }
    }

    async fn connection(&self, now: Timestamp) -> Result<(u64, Connection), StoreError> {
        let tried = self.tried.load(Ordering::Acquire);
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let _alone = self.connecting.lock().await;
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        if self.tried.load(Ordering::Acquire) != tried {
            return Err(database(Unreachable::Silent));
        }
        let connected = tokio::time::timeout(FIND_WITHIN, self.connect(now)).await;
        let number = self.tried.fetch_add(1, Ordering::AcqRel) + 1;
        let connected = connected.map_err(|_| Unreachable::Silent).and_then(|connected| connected.map_err(Unreachable::Failed));
        let connection = connected.map_err(database)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, connection.clone()));
        Ok((number, connection))
    }

    /// Connects, and looks whether this is the server that it was: see `lua/meet.lua`.
    async fn connect(&self, now: Timestamp) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_WITHIN)).set_response_timeout(Some(ANSWER_WITHIN));
        let mut connection = match &self.peer {
            Peer::Single(client) => Connection::One(client.get_multiplexed_async_connection_with_config(&config).await?),
            Peer::Sentinel(client) => Connection::One(client.lock().await.get_async_connection_with_config(&config).await?),
            Peer::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        };
        let call = Call::new(&MEET, now, Packed::new());
        let met = connection.run(&call.command(&self.base, true)).await?.extract_error()?;
        for advice in Met::of(met).iter().flat_map(Met::advice) {
            tracing::warn!("{advice}");
        }
        Ok(connection)
    }

    fn current(&self) -> Option<(u64, Connection)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Only that one: somebody may have made the next already.
    fn drop_connection(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|(held, _)| *held == number) {
            *current = None;
        }
    }
}

/// Whether a script that failed so may have run, or have begun to: it was sent, and its answer is not that it was refused before.
pub fn may_have_run(error: &StoreError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, CrossSlot, MasterDown, Moved, NoScript, ReadOnly, TryAgain};
    let StoreError::Database(cause) = error else { return false };
    match cause.downcast_ref::<RedisError>().map(RedisError::kind) {
        Some(ErrorKind::Server(Ask | BusyLoading | ClusterDown | CrossSlot | MasterDown | Moved | NoScript | ReadOnly | TryAgain)) => false,
        Some(_) => true,
        None => cause.is::<Unreadable>(),
    }
}

/// Broken, silent, or no longer the right one to ask.
fn is_of_the_connection(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, ClusterDown, MasterDown, Moved, ReadOnly};
    let server = matches!(error.kind(), ErrorKind::Server(Ask | ClusterDown | MasterDown | Moved | ReadOnly));
    server || error.is_io_error() || error.is_unrecoverable_error() || error.kind() == ErrorKind::ClusterConnectionNotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a script that was answered so may have queued a message whose answer never came.
    #[test]
    fn only_what_may_have_run_is_in_doubt() {
        let said = |line: &str| {
            let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).and_then(Value::extract_error);
            database(answer.expect_err("a failure"))
        };
        for refused in ["READONLY You can't write", "MOVED 1 127.0.0.1:1", "LOADING soon", "CLUSTERDOWN", "NOSCRIPT", "TRYAGAIN"] {
            assert!(!may_have_run(&said(refused)), "{refused}");
        }
        assert!(!may_have_run(&database(Unreachable::Silent)) && !may_have_run(&StoreError::Overloaded));
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(!may_have_run(&database(Unreachable::Failed(RedisError::from(std::io::Error::from(broken.kind()))))));
        assert!(may_have_run(&database(RedisError::from(broken))) && may_have_run(&database(Unreadable("half of it"))));
        assert!(may_have_run(&said("ERR in the middle of the script")));
    }
}
