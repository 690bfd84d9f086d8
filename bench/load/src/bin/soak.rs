//! The crash test: load, SIGKILL at a random moment, restart, and what was acknowledged must hold.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use countersign_bench::soak::client::Client;
use countersign_bench::soak::ledger::{Entry, Ledger, Right};
use countersign_bench::soak::round::{NumberSource, load_and_kill, verify};
use countersign_bench::soak::server::Server;
use fastrand::Rng;

/// Accepted codes of earlier rounds that are tried again after each later crash.
const REMEMBERED: usize = 200;

/// Violations that are printed; the rest is only counted.
const SHOWN: usize = 20;

/// Kills a server again and again, and checks that it keeps its word.
#[derive(Debug, Parser)]
struct Options {
    /// The server's program.
    #[arg(long)]
    server: PathBuf,
    /// The configuration, with @DATA_DIR@ and @ADMIN_PORT@ to be filled in.
    #[arg(long)]
    template: PathBuf,
    /// An empty directory for the configuration, the data and the server's log.
    #[arg(long)]
    directory: PathBuf,
    /// How many kills.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Concurrent clients.
    #[arg(long, default_value_t = 16)]
    workers: usize,
    /// The shortest time from ready to kill, in milliseconds.
    #[arg(long, default_value_t = 20)]
    shortest: u64,
    /// The longest time from ready to kill, in milliseconds.
    #[arg(long, default_value_t = 400)]
    longest: u64,
    /// Makes the moments and the mix repeatable, as far as the machine's timing is; random when not given.
    #[arg(long)]
    seed: Option<u64>,
}

/// What all rounds together came to.
#[derive(Debug, Default)]
struct Totals {
    starts: usize,
    accepted: usize,
    wrong: i64,
    unknown: u64,
    restarts: Vec<Duration>,
    violations: usize,
}

impl Totals {
    fn add(&mut self, ledger: &Ledger) {
        self.starts += ledger.entries.len();
        self.accepted += ledger.accepted();
        self.wrong += ledger.entries.iter().map(|entry| entry.wrong).sum::<i64>();
        self.unknown += ledger.unknown;
    }

    fn print(&mut self) {
        self.restarts.sort_unstable();
        let milliseconds = |duration: Option<&Duration>| duration.map_or(0, Duration::as_millis);
        println!(
            "{} kills: {} acknowledged starts, {} wrong codes, {} codes accepted, {} calls without an answer",
            self.restarts.len(),
            self.starts,
            self.wrong,
            self.accepted,
            self.unknown,
        );
        println!(
            "restart to ready: median {} ms, longest {} ms",
            milliseconds(self.restarts.get(self.restarts.len() / 2)),
            milliseconds(self.restarts.last()),
        );
        println!("{} violations", self.violations);
    }
}

fn soak(options: &Options, directory: &Path, seed: u64) -> Result<Totals> {
    let mut random = Rng::with_seed(seed);
    let mut server = Server::prepare(&options.server, &options.template, directory)?;
    let (mut totals, numbers) = (Totals::default(), NumberSource::default());
    let mut remembered: VecDeque<Entry> = VecDeque::with_capacity(REMEMBERED);
    server.start()?;
    for round in 1..=options.rounds {
        let delay = Duration::from_millis(random.u64(options.shortest..=options.longest));
        let ledger = load_and_kill(&mut server, options.workers, delay, &numbers, &mut random)?;
        totals.add(&ledger);
        totals.restarts.push(server.start()?);

        let mut client = Client::connect(server.port, &server.key)?;
        let mut violations = ledger.violations;
        violations.extend(verify(&server, options.workers, &ledger.entries)?);
        for entry in &remembered {
            if client.check(&entry.id, &entry.code).context("a healthy server must answer")?.is_valid() {
                violations.push(format!("{}: accepted again, some crashes later", entry.id));
            }
        }
        let accepted = ledger.entries.into_iter().filter(|entry| entry.right == Right::Accepted);
        for entry in accepted.take(REMEMBERED / 10) {
            remembered.truncate(REMEMBERED - 1);
            remembered.push_front(entry);
        }

        eprintln!(
            "round {round}: killed after {} ms, ready again in {} ms, {} violations",
            delay.as_millis(),
            totals.restarts.last().map_or(0, Duration::as_millis),
            violations.len(),
        );
        for violation in violations.iter().take(SHOWN.saturating_sub(totals.violations)) {
            eprintln!("  {violation}");
        }
        totals.violations += violations.len();
    }
    Ok(totals)
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let outcome = soak(&options, &options.directory, seed);
    if !matches!(&outcome, Ok(totals) if totals.violations == 0) {
        eprintln!("failed with --seed {seed}");
    }
    let mut totals = outcome?;
    totals.print();
    Ok(ExitCode::from(u8::from(totals.violations > 0)))
}
