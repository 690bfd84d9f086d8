//! The load generator: one thread, many connections, one scenario, one line of JSON.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use countersign_bench::driver::{Course, run};
use countersign_bench::number::Numbers;
use countersign_bench::scenario::{Plan, Scenario};
use countersign_bench::wire::{Target, Wire};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Asks a server as fast as it answers, and reports how fast that was.
#[derive(Debug, Parser)]
struct Options {
    /// Whose wire format to speak.
    #[arg(long, value_enum)]
    target: Target,
    /// What to measure.
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// The server's port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// The API key, for a target that wants one.
    #[arg(long, env = "BENCH_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The service's SID, for Twilio's API.
    #[arg(long)]
    service: Option<String>,
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// check-wrong: verifications to start before the clock runs, four checks in each.
    #[arg(long, default_value_t = 50_000)]
    prepare: u64,
    /// The first phone number's place in the row, so that runs do not share numbers.
    #[arg(long, default_value_t = 0)]
    offset: u64,
    /// The code that is right, where the target lets us choose.
    #[arg(long, default_value = "482915")]
    code: String,
    /// Processes whose CPU time is the target's.
    #[arg(long, value_delimiter = ',')]
    server: Vec<u32>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let wire = Wire::new(options.target, options.key.as_deref(), &options.code).within(options.service.as_deref());
    let numbers = Numbers::from_offset(options.offset);
    let course = Course {
        address: SocketAddr::from(([127, 0, 0, 1], options.port)),
        connections: options.connections,
        warm_up: Duration::from_secs_f64(options.warm_up),
        duration: Duration::from_secs_f64(options.seconds),
        servers: options.server,
    };
    let report = run(&course, Plan::new(options.scenario, wire, numbers, options.prepare))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
