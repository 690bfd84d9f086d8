//! `countersign migrate`

use std::process::ExitCode;

use anyhow::Context;

use crate::app::make_data_dir;
use crate::cli::{Failure, terminal};
use crate::config::Config;
use crate::db;

#[derive(clap::Args)]
pub struct Arguments {
    /// Only show which migrations the database has
    #[arg(long)]
    status: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if !arguments.status {
        make_data_dir(config)?;
        db::migrate(&config.database()).context("the migration failed; nothing was changed")?;
    }
    let migrations = db::migrations(&config.database()).context("the database cannot be read")?;
    if arguments.json {
        terminal::say_json(&migrations);
    } else {
        for migration in &migrations {
            terminal::say(&format!("{}  {}", if migration.applied { "applied" } else { "waiting" }, migration.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}
