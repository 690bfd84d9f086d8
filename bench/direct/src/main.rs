//! Drives a store as the server does, with nothing around it: no HTTP, no engine, nothing that is sent. How fast that goes is the
//! ceiling of a server on that store; and while one task asks alone, the store's own counters tell what each request costs there.

mod measure;
mod requests;
mod stores;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};
use countersign::verification::model::{Verification, VerificationId};
use countersign::verification::store::{AttemptOutcome, Sending, Store};
use mimalloc::MiMalloc;
use serde_json::Value;
use tokio::task::JoinSet;

use measure::{Course, Record};
use requests::Requests;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Asks a store as fast as it answers, and reports how fast that was, as one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    /// The file of the embedded store. Without it: what DATABASE_URL names, and REDIS_URL if that is set.
    #[arg(long)]
    file: Option<PathBuf>,
    /// The SQL database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    sql: Option<String>,
    /// The Redis.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis: Option<String>,
    /// How it is driven.
    #[arg(long, value_enum, default_value_t = Way::Store)]
    way: Way,
    /// What is asked.
    #[arg(long, value_enum, default_value_t = Scenario::Pairs)]
    scenario: Scenario,
    /// Tasks, each with one request under way.
    #[arg(long, default_value_t = 64)]
    tasks: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// So many units in place of a time, and all of them are measured.
    #[arg(long)]
    count: Option<u64>,
    /// The first phone number's place in the row, so that runs do not share numbers.
    #[arg(long, default_value_t = 0)]
    offset: u64,
}

/// How a store is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// As the server does: one store for all tasks, which puts into one transaction what waits.
    Store,
    /// SQL: each task has a store and a connection of its own, so each request is a transaction by itself.
    Alone,
    /// Redis: the scripts and nothing else; what is to be kept in SQL is kept nowhere.
    Scripts,
}

/// What one unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A start.
    Start,
    /// A start, and a check of a wrong code.
    Wrong,
    /// A start, and a check of the right code.
    Pairs,
}

async fn start(store: &dyn Store, requests: &Requests) -> Result<Box<Verification>> {
    match store.start(requests.start()).await? {
        Sending::Queued(verification, _) => Ok(verification),
        refused => bail!("a start was refused: {refused:?}"),
    }
}

/// A check as the engine makes it, but for the comparison.
async fn check(store: &dyn Store, requests: &Requests, id: VerificationId, is_right: bool) -> Result<()> {
    let row = match store.attempt(requests.attempt(id)).await? {
        AttemptOutcome::Judge(row) => row,
        refused => bail!("a check was refused: {refused:?}"),
    };
    ensure!(!is_right || store.approve(requests.approve(&row)).await?, "a right code was not approved");
    Ok(())
}

async fn work(store: Arc<dyn Store>, requests: Arc<Requests>, course: Arc<Course>, scenario: Scenario) -> Result<Record> {
    let mut record = Record::default();
    while course.goes_on() {
        let verification = record.timed(&course, start(&*store, &requests)).await?;
        if scenario != Scenario::Start {
            record.timed(&course, check(&*store, &requests, verification.id, scenario == Scenario::Pairs)).await?;
        }
        record.completed(&course);
    }
    Ok(record)
}

async fn run(options: &Options) -> Result<Value> {
    let stores = stores::open(options).await?;
    let requests = Arc::new(Requests::new(options.offset));
    let course = Arc::new(Course::new(options));
    let mut tasks = JoinSet::new();
    for task in 0..options.tasks {
        let store = Arc::clone(&stores[task % stores.len()]);
        tasks.spawn(work(store, Arc::clone(&requests), Arc::clone(&course), options.scenario));
    }
    let mut together = Record::default();
    while let Some(record) = tasks.join_next().await {
        together.add(record??);
    }
    Ok(together.report(&course))
}

#[tokio::main]
async fn main() -> Result<()> {
    println!("{}", run(&Options::parse()).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No limit refuses, every wrong code is judged, every right one passes, and no more is asked than was said.
    #[tokio::test]
    async fn as_many_as_were_asked_for_pass() {
        let directory = std::env::temp_dir().join(format!("countersign-direct-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("countersign.db");
        for (scenario, offset, answers) in [("start", "0", 50), ("wrong", "100", 100), ("pairs", "200", 100)] {
            let file = file.to_str().unwrap();
            let arguments = ["direct", "--file", file, "--tasks", "8", "--count", "50", "--scenario", scenario, "--offset", offset];
            let report = run(&Options::parse_from(arguments)).await.unwrap();
            assert_eq!((&report["requests"], &report["answers"]), (&50.into(), &answers.into()), "{scenario}: {report}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
