//! `countersign export` and `countersign import data`: from one database to another.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write, stdin};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::app::stores;
use crate::cli::{Failure, block_on, terminal};
use crate::config::Config;
use crate::db::transfer::{self, Counts};

/// Standard output, or standard input.
const STANDARD: &str = "-";
/// How often progress is shown.
const SHOWN_EVERY: u64 = 1000;

#[derive(clap::Args)]
pub struct Export {
    /// The file to write, or - for standard output. It tells whose numbers and addresses are known: keep it private
    file: String,
}

#[derive(clap::Args)]
pub struct Import {
    /// The file that countersign export wrote, or - for standard input
    file: String,
    /// Read and try everything, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn export(config: &Config, arguments: &Export) -> Result<ExitCode, Failure> {
    let is_file = arguments.file != STANDARD;
    let partial = PathBuf::from(format!("{}.partial", arguments.file));
    let mut out: Box<dyn Write> = if is_file {
        // What an earlier try that died left.
        let _ = fs::remove_file(&partial);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        Box::new(BufWriter::new(file.with_context(|| format!("cannot write {}", partial.display()))?))
    } else {
        Box::new(BufWriter::new(terminal::out()))
    };
    let counts = block_on(async {
        let database = stores::database(config).await?;
        let progress = |done: u64, total: u64| terminal::progress(&format!("{done} of {total} rows"));
        let write = |line: &str| writeln!(out, "{line}");
        Ok(transfer::export(&database, env!("CARGO_PKG_VERSION"), write, progress).await.context("not all could be written")?)
    })?;
    out.flush().context("not all could be written")?;
    drop(out);
    terminal::progress("");
    if is_file {
        File::open(&partial).and_then(|file| file.sync_all()).context("not all could be written")?;
        fs::rename(&partial, &arguments.file).with_context(|| format!("cannot write {}", arguments.file))?;
        say(&counts);
        terminal::say("Secrets in it are hashed, or sealed with the pepper: move that, too, by another way.");
        if config.redis_peer()?.is_none() && stores_verifications_apart(config)? {
            terminal::say("Codes under way and the limits of the embedded store stay where they are: people ask for a new code.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn import(config: &Config, arguments: &Import) -> Result<ExitCode, Failure> {
    let lines: Box<dyn BufRead> = if arguments.file == STANDARD {
        Box::new(stdin().lock())
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("cannot read {}", arguments.file))?;
        Box::new(BufReader::new(file))
    };
    let counts = block_on(async {
        let database = stores::database(config).await?;
        let progress = |done: u64| {
            if done.is_multiple_of(SHOWN_EVERY) {
                terminal::progress(&format!("{done} rows"));
            }
        };
        Ok(transfer::import(&database, lines.lines(), arguments.dry_run, progress).await.context("nothing was taken over")?)
    })?;
    terminal::progress("");
    say(&counts);
    if arguments.dry_run {
        terminal::say("Nothing was changed.");
    }
    Ok(ExitCode::SUCCESS)
}

fn stores_verifications_apart(config: &Config) -> Result<bool, Failure> {
    Ok(matches!(config.database_settings()?.place, crate::db::database::Place::File(..)))
}

fn say(counts: &Counts) {
    for (table, count) in counts.iter().filter(|(_, count)| **count > 0) {
        terminal::say(&format!("{count:>9}  {table}"));
    }
}
