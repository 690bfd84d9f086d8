//! `countersign config default|check|show`

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::{Failure, load, terminal};
use crate::config::DEFAULT_TOML;

#[derive(Subcommand)]
pub enum Command {
    /// Print the reference: every key, its default and its meaning
    Default,
    /// Check the configuration; say nothing but "ok" when it is right
    Check,
    /// Print the configuration in force as JSON, secrets left out
    Show {
        /// Accepted for symmetry: the output is JSON always
        #[arg(long)]
        json: bool,
    },
}

pub fn run(file: Option<&Path>, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Default => terminal::say(DEFAULT_TOML.trim_end()),
        Command::Check => {
            crate::app::check(&load(file)?)?;
            terminal::say("ok");
        }
        Command::Show { .. } => terminal::say_json(&load(file)?),
    }
    Ok(ExitCode::SUCCESS)
}
