//! The command line: one file a command.
//!
//! Exit codes: 0 done, 1 it did not work, 2 the command line or the configuration is wrong.

mod account;
mod backup;
mod client;
mod config;
mod data;
mod dev_provider;
mod doctor;
mod import;
mod keys;
mod migrate;
mod send;
mod senders;
mod serve;
mod template;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::BuildError;
use crate::config::{Config, ConfigError, Flags, PEPPER_FILE};

/// A self-hosted one-time-password server: sends codes to phones and mailboxes, and checks them.
#[derive(Parser)]
#[command(name = "countersign", version, about, after_help = EXAMPLES, arg_required_else_help = false)]
struct Arguments {
    /// Configuration file [default: ./countersign.toml, when it exists]
    #[arg(long, short, global = true, env = "COUNTERSIGN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  countersign                                   start on http://127.0.0.1:8080, with an inbox for the codes
  countersign client create --name shop         make a key for the API
  countersign send +4915112345678               send a code through a running server, and check it
  countersign config default | less             every setting, with its default and its meaning
  countersign doctor                            what this configuration means, and whether it works

Settings come from a file (--config), the environment (COUNTERSIGN_SERVER__PORT=9000, also from .env), and flags.";

#[derive(Subcommand)]
enum Command {
    /// Start the server (the default)
    Serve(serve::Arguments),
    /// Bring the database's tables up to date
    Migrate(migrate::Arguments),
    /// Show, check or explain the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Make, list and revoke keys for the API
    #[command(subcommand)]
    Client(client::Command),
    /// Look people's accounts up, switch them off and on, give roles, end sessions
    #[command(subcommand, after_help = account::EXAMPLES)]
    Account(account::Command),
    /// List and rotate the keys that sign access tokens
    #[command(subcommand)]
    Keys(keys::Command),
    /// Take over people and their passwords from another system
    #[command(subcommand)]
    Import(import::Command),
    /// Write everything durable to a file, to be taken over by another database
    Export(data::Export),
    /// Copy the databases into a new directory, while the server runs
    Backup(backup::Arguments),
    /// Put a backup back: ends every code that was out, and every session
    Restore(backup::Arguments),
    /// Send a code through a running server, ask for it, and check it
    Send(send::Arguments),
    /// Show the texts of messages, with sample values
    #[command(subcommand)]
    Template(template::Command),
    /// Check that everything this configuration names is there and works
    Doctor(doctor::Arguments),
    /// A stand-in for providers on loopback, to develop against: takes messages, sends receipts, fails on demand
    DevProvider(dev_provider::Arguments),
}

/// Why a command did not work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Exit code 1.
    #[error("{}", with_causes(.0))]
    Other(#[from] anyhow::Error),
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Failure {
        match error {
            BuildError::Config(error) => Failure::Config(error),
            other => Failure::Other(other.into()),
        }
    }
}

/// Said to who has taken data in where no pepper is: the first start would make one that opens nothing of them.
fn remind_of_pepper(config: &Config) {
    if matches!(config.secrets.current(&config.data_dir), Ok(None)) {
        terminal::say(&format!(
            "No pepper is here: put the one of the server that they come from to {}, or passwords and secrets among them are lost.",
            config.data_dir.join(PEPPER_FILE).display()
        ));
    }
}

/// An error and what caused it. Many say that themselves: nothing is said twice.
fn with_causes(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// Runs the command that the process was started with. `env_file_error`: what is wrong with `.env`, if anything is.
pub fn run(env_file_error: Option<String>) -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(error) = env_file_error {
        terminal::complain(&format!(".env is not used: {error}"));
    }
    let config = arguments.config.as_deref();
    let result = match arguments.command.unwrap_or(Command::Serve(serve::Arguments::default())) {
        Command::Serve(arguments) => serve::run(config, &arguments),
        Command::Migrate(arguments) => load(config).and_then(|config| migrate::run(&config, &arguments)),
        Command::Config(command) => config::run(config, &command),
        Command::Client(command) => load(config).and_then(|config| client::run(&config, &command)),
        Command::Account(command) => load(config).and_then(|config| account::run(&config, &command)),
        Command::Keys(command) => load(config).and_then(|config| keys::run(&config, &command)),
        Command::Template(command) => load(config).and_then(|config| template::run(&config, &command)),
        Command::Import(command) => load(config).and_then(|config| import::run(&config, &command)),
        Command::Export(arguments) => load(config).and_then(|config| data::export(&config, &arguments)),
        Command::Backup(arguments) => load(config).and_then(|config| backup::make(&config, &arguments)),
        Command::Restore(arguments) => load(config).and_then(|config| backup::put_back(&config, &arguments)),
        Command::Send(arguments) => load(config).and_then(|config| send::run(&config, &arguments)),
        Command::Doctor(arguments) => doctor::run(config, &arguments),
        Command::DevProvider(arguments) => dev_provider::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            terminal::complain(&failure.to_string());
            match failure {
                Failure::Config(_) => ExitCode::from(2),
                Failure::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Runs a command that waits for a database or for the network.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| anyhow::anyhow!("the runtime cannot start: {error}"))?.block_on(work)
}

fn load(file: Option<&std::path::Path>) -> Result<Config, Failure> {
    Ok(Config::load(file, &Flags::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let disk = || anyhow::Error::new(std::io::Error::other("the disk is full"));
        assert_eq!(with_causes(&disk().context("no backup was made")), "no backup was made: the disk is full");
        assert_eq!(with_causes(&disk().context("no backup: the disk is full")), "no backup: the disk is full");
        assert_eq!(with_causes(&disk()), "the disk is full");
    }
}
