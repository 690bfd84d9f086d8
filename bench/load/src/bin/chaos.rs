//! The replica tests: several servers on one store, and what happens to them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use countersign_bench::chaos::cluster::{Cluster, Stores};
use countersign_bench::chaos::load::{Numbers, live};
use countersign_bench::chaos::model::violations;
use countersign_bench::chaos::nemesis::strike;
use countersign_bench::chaos::races;
use fastrand::Rng;

/// How long everything may take to come to rest after the last fault.
const REST: Duration = Duration::from_secs(60);
/// Violations that are printed.
const SHOWN: usize = 20;

/// Starts servers that share a store, asks and breaks them, and holds what they answered against what may happen.
#[derive(Debug, Parser)]
struct Options {
    /// The server's program.
    #[arg(long)]
    server: PathBuf,
    /// An empty directory for the servers' data and logs.
    #[arg(long)]
    directory: PathBuf,
    /// How long things break, for each store; the races come first.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Draws what breaks, and when; random when not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Rounds of each race.
    #[arg(long, default_value_t = 500)]
    rounds: usize,
    /// Replicas.
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// People who start and check.
    #[arg(long, default_value_t = 8)]
    people: usize,
    /// Only these stores: postgres, mysql, redis.
    #[arg(long, value_delimiter = ',')]
    stores: Vec<String>,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A PostgreSQL server whose user may create databases.
    #[arg(long, env = "COUNTERSIGN_TEST_POSTGRES_URL", hide_env_values = true)]
    postgres: Option<String>,
    /// A MySQL or MariaDB server whose user may create databases.
    #[arg(long, env = "COUNTERSIGN_TEST_MYSQL_URL", hide_env_values = true)]
    mysql: Option<String>,
    /// A Redis that may be emptied.
    #[arg(long, env = "COUNTERSIGN_TEST_REDIS_URL", hide_env_values = true)]
    redis: Option<String>,
}

type Scenario<'a> = (&'static str, Box<dyn Fn(&Cluster, &Numbers) -> Result<()> + 'a>);

fn scenarios(options: &Options, has_redis: bool, seed: u64) -> Vec<Scenario<'_>> {
    let mut all: Vec<Scenario<'_>> = vec![
        ("right-answers", Box::new(|cluster, numbers| races::right_answers(cluster, numbers, options.rounds))),
        ("wrong-answers", Box::new(|cluster, numbers| races::wrong_answers(cluster, numbers, options.rounds.div_ceil(10)))),
        ("one-key", Box::new(|cluster, numbers| races::one_key(cluster, numbers, options.rounds.div_ceil(10)))),
        ("revoked-key", Box::new(|cluster, _| races::revoked_key(cluster))),
        ("killed", Box::new(|cluster, numbers| races::taken_over(cluster, numbers, false))),
        ("stood-still", Box::new(|cluster, numbers| races::taken_over(cluster, numbers, true))),
        ("rolling-restart", Box::new(races::rolling_restart)),
        ("without-database", Box::new(races::without_database)),
    ];
    if has_redis {
        all.push(("emptied-redis", Box::new(races::emptied_redis)));
    }
    all.push(("chaos", Box::new(move |cluster, numbers| chaos(cluster, numbers, options, seed))));
    all.retain(|(name, _)| options.only.is_empty() || options.only.iter().any(|only| only == name));
    all
}

/// People at work while one thing after another breaks.
fn chaos(cluster: &Cluster, numbers: &Numbers, options: &Options, seed: u64) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    let stop = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    std::thread::scope(|scope| {
        for _ in 0..options.people {
            let (random, stop) = (random.fork(), &stop);
            scope.spawn(move || live(cluster, numbers, random, stop));
        }
        let over = || Instant::now() >= until;
        let mut struck = || {
            while !over() {
                std::thread::sleep(Duration::from_millis(random.u64(500..3000)));
                eprintln!("    {}", strike(cluster, &mut random, &over)?);
            }
            Ok(())
        };
        let outcome = struck();
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

fn run(options: &Options, stores: &Stores, seed: u64) -> Result<()> {
    let name = stores.name;
    let cluster = Cluster::start(&options.server, &options.directory, stores, options.replicas)?;
    let numbers = Numbers::default();
    for (scenario, work) in scenarios(options, stores.redis.is_some(), seed) {
        let began = Instant::now();
        work(&cluster, &numbers).map_err(|error| error.context(format!("{name}: {scenario}")))?;
        eprintln!("  {name}: {scenario}: {:.1} s", began.elapsed().as_secs_f64());
    }
    let history = cluster.history(REST)?;
    let found = violations(&history);
    let unknown =
        history.records.iter().filter(|record| matches!(record.outcome, countersign_bench::chaos::history::Outcome::Unknown(_))).count();
    eprintln!(
        "  {name}: {} calls, {unknown} without an answer, {} messages, {} faults: {} violations",
        history.records.len(),
        history.sent.len(),
        history.faults.len(),
        found.len()
    );
    for violation in found.iter().take(SHOWN) {
        eprintln!("    {violation:?}");
        show(&history, violation);
    }
    ensure!(found.is_empty(), "{name}: {} violations", found.len());
    Ok(())
}

/// The calls and messages that a violation is about.
fn show(history: &countersign_bench::chaos::history::History, violation: &countersign_bench::chaos::model::Violation) {
    let text = format!("{violation:?}");
    let about = text.split('"').nth(1).unwrap_or_default();
    let named = history.records.iter().filter(|record| format!("{record:?}").contains(about));
    for record in named.take(30) {
        eprintln!("      {:>10} {:>10} at {} {:?} → {:?}", record.began, record.ended, record.replica, record.call, record.outcome);
    }
    for sent in history.sent.iter().filter(|sent| sent.to == about) {
        eprintln!("      {:>10} sent to {}", sent.at, sent.to);
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.directory)?;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut all = Vec::new();
    if let Some(sql) = &options.postgres {
        all.push(Stores { name: "postgres", sql: sql.clone(), redis: None });
    }
    if let Some(sql) = &options.mysql {
        all.push(Stores { name: "mysql", sql: sql.clone(), redis: None });
    }
    if let (Some(sql), Some(redis)) = (&options.postgres, &options.redis) {
        all.push(Stores { name: "redis", sql: sql.clone(), redis: Some(redis.clone()) });
    }
    all.retain(|stores| options.stores.is_empty() || options.stores.iter().any(|name| name == stores.name));
    ensure!(!all.is_empty(), "no store to test: see --help");
    let mut failed = false;
    for stores in &all {
        println!("{}", stores.name);
        if let Err(error) = run(&options, stores, seed) {
            eprintln!("failed with --seed {seed}: {error:#}");
            failed = true;
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}
