//! Some replicas on one store, each with ways of its own to the databases, and one provider for all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::chaos::caller::Caller;
use crate::chaos::history::{Fault, History, Record};
use crate::chaos::link::Link;
use crate::chaos::replica::Replica;
use crate::chaos::sink::Sink;
use crate::response::text_field;

/// 32 bytes that are no secret: the pepper that all replicas share.
const PEPPER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Checks that one code has, and the wait before a destination's second message: the server's defaults.
const CHECKS: u32 = 5;
const WAIT: Duration = Duration::from_secs(30);

/// The stores that replicas share.
#[derive(Clone, Debug)]
pub struct Stores {
    /// What people call it.
    pub name: &'static str,
    /// A database server whose user may create databases.
    pub sql: String,
    /// A Redis, where verifications live in one.
    pub redis: Option<String>,
}

/// Replicas on one store.
pub struct Cluster {
    /// The replicas.
    pub replicas: Vec<Mutex<Replica>>,
    /// The way of each to the SQL database.
    pub sql: Vec<Link>,
    /// The way of each to Redis.
    pub redis: Vec<Link>,
    /// Their provider.
    pub sink: Sink,
    /// The port of each.
    pub ports: Vec<u16>,
    /// A key for their API.
    pub key: String,
    /// When the run began.
    pub began: Instant,
    /// Redis itself, for what an operator does to it.
    pub redis_port: Option<u16>,
    records: Mutex<Vec<Record>>,
    faults: Mutex<Vec<Fault>>,
}

impl Cluster {
    /// Prepares so many replicas on a new database of that server, and starts them.
    pub fn start(program: &Path, directory: &Path, stores: &Stores, count: usize) -> Result<Cluster> {
        let cluster = Cluster::prepare(program, directory, stores, count)?;
        for replica in &cluster.replicas {
            lock(replica).launch()?;
        }
        for replica in &cluster.replicas {
            lock(replica).ready(Duration::from_secs(90))?;
        }
        Ok(cluster)
    }

    /// The same, with nothing started but what makes the tables and the key.
    pub fn prepare(program: &Path, directory: &Path, stores: &Stores, count: usize) -> Result<Cluster> {
        let program = std::path::absolute(program)?;
        let began = Instant::now();
        let sink = Sink::listen(began)?;
        let url = new_database(&stores.sql)?;
        let (mut replicas, mut sql, mut redis) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..count {
            let (own_url, link) = through(&url)?;
            sql.push(link);
            let mut environment = vec![("DATABASE_URL".to_owned(), own_url), ("COUNTERSIGN_SECRETS__PEPPER".to_owned(), PEPPER.to_owned())];
            if let Some(server) = &stores.redis {
                let (own_url, link) = through(server)?;
                redis.push(link);
                environment.push(("REDIS_URL".to_owned(), own_url));
            }
            let place: PathBuf = directory.join(format!("{}-{number}", stores.name));
            replicas.push(Replica::prepare(&program, &place, sink.port, environment)?);
        }
        let made = replicas[0].run(&["client", "create", "--name", "chaos", "--json"])?;
        let key = text_field(&made, "key").context("client create printed no key")?.to_owned();
        let redis_port = stores.redis.as_deref().map(port_of).transpose()?;
        let ports = replicas.iter().map(|replica| replica.port).collect();
        let replicas = replicas.into_iter().map(Mutex::new).collect();
        Ok(Cluster { replicas, sql, redis, sink, ports, key, began, redis_port, records: Mutex::default(), faults: Mutex::default() })
    }

    /// Somebody who asks, and whose calls are recorded.
    pub fn caller(&self) -> Caller<'_> {
        Caller::new(self)
    }

    /// The replica with that number.
    pub fn replica(&self, number: usize) -> MutexGuard<'_, Replica> {
        lock(&self.replicas[number])
    }

    /// Microseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// Notes a call.
    pub fn note(&self, record: Record) {
        lock(&self.records).push(record);
    }

    /// Breaks something and, where the work says so, mends it; and notes from when to when.
    pub fn fault<T>(&self, what: &str, forgets: bool, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let from = self.now();
        let done = work();
        lock(&self.faults).push(Fault { from, until: self.now(), what: what.to_owned(), forgets });
        done
    }

    /// Waits until nothing is queued any more, reads how everything ended, and gives the whole history.
    pub fn history(&self, patience: Duration) -> Result<History> {
        let until = Instant::now() + patience;
        let mut open: Vec<String> = {
            let records = lock(&self.records);
            let started = records.iter().filter_map(|record| match &record.outcome {
                crate::chaos::history::Outcome::Started { id } => Some(id.clone()),
                _ => None,
            });
            started.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        };
        let mut caller = self.caller();
        let settled;
        loop {
            let moment = self.now();
            open.retain(|id| caller.is_unsettled(id));
            if open.is_empty() || Instant::now() > until {
                settled = moment;
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        // Once more, so that each has a last word after everything had come to rest.
        let ids: std::collections::BTreeSet<_> = caller.started();
        for id in ids {
            caller.get_settled(&id);
        }
        let (records, faults) = (lock(&self.records).clone(), lock(&self.faults).clone());
        Ok(History { records, sent: self.sink.sent(), faults, checks: CHECKS, wait: WAIT.as_micros() as u64, settled })
    }

    /// The ids of everything that was acknowledged.
    pub fn started(&self) -> std::collections::BTreeSet<String> {
        let records = lock(&self.records);
        let started = records.iter().filter_map(|record| match &record.outcome {
            crate::chaos::history::Outcome::Started { id } => Some(id.clone()),
            _ => None,
        });
        started.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same URL through a link of its own.
fn through(url: &str) -> Result<(String, Link)> {
    let port = port_of(url)?;
    let link = Link::to(port)?;
    Ok((url.replacen(&format!(":{port}"), &format!(":{}", link.port), 1), link))
}

fn port_of(url: &str) -> Result<u16> {
    let host = url.split("://").nth(1).and_then(|rest| rest.rsplit('@').next()).context("no URL")?;
    let host = host.split('/').next().unwrap_or_default();
    host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).with_context(|| format!("the URL of {host} names no port"))
}

/// A new database on that server, by its own client program.
fn new_database(url: &str) -> Result<String> {
    let name = format!("chaos_{:016x}", fastrand::u64(..));
    let (server, _) = url.rsplit_once('/').context("the URL names no database")?;
    let create = format!("CREATE DATABASE {name}");
    let output = if url.starts_with("postgres") {
        Command::new("psql").args([url, "-qc", &create]).output()
    } else {
        let (user, place) = server.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).context("the URL names no user")?;
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let (host, port) = place.split_once(':').context("the URL names no port")?;
        let password = password.replace("%20", " ");
        Command::new("mariadb")
            .args(["--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", user, "-e", &create])
            .env("MYSQL_PWD", password)
            .output()
    };
    let output = output.context("the database's client program")?;
    if !output.status.success() {
        bail!("{create}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(format!("{server}/{name}"))
}
