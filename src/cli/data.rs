//! `countersign export` and `countersign import data`: from one database to another.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write, stdin};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use crate::app::stores;
use crate::cli::{Failure, block_on, remind_of_pepper, terminal};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::db::transfer::{self, Counts};
use crate::verification::store::redis::link::Link;

/// Standard output, or standard input.
const STANDARD: &str = "-";
/// How often progress is shown.
const SHOWN_EVERY: u64 = 1000;

#[derive(clap::Args)]
pub struct Export {
    /// The file to write, or - for standard output. It tells whose numbers and addresses are known: keep it private
    file: String,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct Import {
    /// The file that countersign export wrote, or - for standard input
    file: String,
    /// Read and try everything, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

/// With no server running.
pub fn export(config: &Config, arguments: &Export) -> Result<ExitCode, Failure> {
    let is_file = arguments.file != STANDARD;
    let partial = PathBuf::from(format!("{}.partial", arguments.file));
    let now = SystemClock.now();
    let counts = block_on(async {
        let end = stores::end(config, now).await?;
        let mut out: Box<dyn Write> = if is_file {
            // What an earlier try that died left.
            let _ = fs::remove_file(&partial);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
            Box::new(BufWriter::new(file.with_context(|| format!("cannot write {}", partial.display()))?))
        } else {
            Box::new(BufWriter::new(terminal::out()))
        };
        let progress = |done: u64, total: u64| show(done, &format!("{done} of {total} rows"));
        let counts = transfer::export(&end, env!("CARGO_PKG_VERSION"), now, |line| writeln!(out, "{line}"), progress).await;
        let counts = counts.context("not all could be written")?;
        out.flush().context("not all could be written")?;
        Ok(counts)
    })?;
    terminal::progress("");
    if !is_file {
        return Ok(ExitCode::SUCCESS);
    }
    File::open(&partial).and_then(|file| file.sync_all()).context("not all could be written")?;
    fs::rename(&partial, &arguments.file).with_context(|| format!("cannot write {}", arguments.file))?;
    if arguments.json {
        terminal::say_json(&json!({ "rows": counts }));
        return Ok(ExitCode::SUCCESS);
    }
    say(&counts);
    terminal::say("Secrets in it are hashed, or sealed with the pepper: move that, too, by another way. Leave this server stopped.");
    if config.redis_peer()?.is_some() {
        terminal::say("Codes under way stay in Redis, as limits do: what counts elsewhere are the wrong codes in a row.");
    }
    Ok(ExitCode::SUCCESS)
}

/// With no server running.
pub fn import(config: &Config, arguments: &Import) -> Result<ExitCode, Failure> {
    let lines: Box<dyn BufRead> = if arguments.file == STANDARD {
        Box::new(stdin().lock())
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("cannot read {}", arguments.file))?;
        Box::new(BufReader::new(file))
    };
    let now = SystemClock.now();
    let taken = block_on(async {
        let end = stores::end(config, now).await?;
        if let Some(peer) = config.redis_peer()? {
            let link = Link::new(peer.peer().map_err(anyhow::Error::from)?, &config.redis.prefix);
            let there = if arguments.dry_run { link.meet(now).await.map(drop) } else { link.cool(now).await };
            there.context("nothing was taken over: Redis has to hear of it")?;
        }
        let progress = |done: u64| show(done, &format!("{done} rows"));
        Ok(transfer::import(end, now, lines.lines(), arguments.dry_run, progress).await.context("nothing was taken over")?)
    })?;
    terminal::progress("");
    if arguments.json {
        terminal::say_json(&json!({ "dry_run": arguments.dry_run, "rows": taken.rows, "left": taken.left }));
        return Ok(ExitCode::SUCCESS);
    }
    say(&taken.rows);
    if !taken.left.is_empty() {
        terminal::say("Of these, of no use where verifications are kept here, and left out:");
        say(&taken.left);
    }
    match arguments.dry_run {
        true => terminal::say("Nothing was changed."),
        false => remind_of_pepper(config),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(done: u64, text: &str) {
    if done.is_multiple_of(SHOWN_EVERY) {
        terminal::progress(text);
    }
}

fn say(counts: &Counts) {
    for (table, count) in counts.iter().filter(|(_, count)| **count > 0) {
        terminal::say(&format!("{count:>9}  {table}"));
    }
}
