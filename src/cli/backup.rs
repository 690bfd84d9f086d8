//! `countersign backup` and `countersign restore`: the files of SQLite. A server database has better tools of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use serde_json::json;

use crate::app::make_data_dir;
use crate::cli::{Failure, remind_of_pepper, terminal};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::db::backup;
use crate::db::database::Place;
use crate::verification::store::sqlite;

#[derive(clap::Args)]
pub struct Arguments {
    /// The directory of the backup
    directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Makes a backup beside a running server.
pub fn make(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let files = [config.store_file(), accounts(config)?];
    let made = backup::make(&files, &arguments.directory, env!("CARGO_PKG_VERSION"), SystemClock.now());
    let manifest = made.context("no backup was made")?;
    if arguments.json {
        terminal::say_json(&manifest);
        return Ok(ExitCode::SUCCESS);
    }
    terminal::say(&format!("{}: {}", arguments.directory.display(), manifest.files.join(", ")));
    terminal::say("The pepper is not in it, and must not lie beside it: keep a copy of it elsewhere.");
    Ok(ExitCode::SUCCESS)
}

/// Puts a backup back, with no server running.
pub fn put_back(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    make_data_dir(config)?;
    let accounts = accounts(config)?;
    let _lock = sqlite::lock(&config.store_file()).context("nothing was put back")?;
    let done = backup::put_back(&arguments.directory, &config.store_file(), &accounts, SystemClock.now());
    let (manifest, closed) = done.context("nothing was put back")?;
    if arguments.json {
        terminal::say_json(&json!({ "backup": manifest, "closed": closed }));
        return Ok(ExitCode::SUCCESS);
    }
    terminal::say(&format!("Put back as it was at {}: {}.", manifest.made_at, manifest.files.join(", ")));
    terminal::say(&format!(
        "Ended: {} codes that were out, {} sessions; {} authenticator apps count from now on.",
        closed.codes, closed.sessions, closed.apps
    ));
    terminal::say(
        "As they were then, too: passwords, recovery codes, limits, and clients' keys. Revoke again what was revoked since, \
         and let everybody whose password changed since choose a new one.",
    );
    remind_of_pepper(config);
    Ok(ExitCode::SUCCESS)
}

fn accounts(config: &Config) -> Result<PathBuf, Failure> {
    match config.database_settings()?.place {
        Place::File(file, _) => Ok(file),
        Place::Server(..) => {
            Err(anyhow!("the durable data are in a server's database: use pg_dump or mariadb-dump (docs/guides/many-machines.md)").into())
        }
    }
}
