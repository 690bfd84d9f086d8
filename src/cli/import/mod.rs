//! `countersign import users`
//!
//! Reads people from a table or a file, checks each of them as if they registered, and puts them among the accounts, some at a
//! time. It never prints a hash, and shows numbers and addresses masked.

mod person;
mod source;

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use crate::app::stores;
use crate::cli::{Failure, block_on, data, terminal};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::db::database::{Database, Place};
use crate::db::import::{Person, Placed, Terms, place};
use crate::secret::SystemEntropy;
use crate::verification::destination::Country;
use crate::verification::policy::DEFAULT_SERVICE;

use person::{Columns, Refusal};
use source::Source;

/// People in one transaction: few enough that a running server hardly waits.
const BATCH: usize = 200;

#[derive(clap::Subcommand)]
pub enum Command {
    /// People, with their numbers, addresses and password hashes (bcrypt, argon2, scrypt, pbkdf2)
    Users(Users),
    /// What `countersign export` wrote, into an empty database
    Data(data::Import),
}

#[derive(clap::Args)]
pub struct Users {
    /// mysql://USER:PASSWORD@HOST/DATABASE, or a file: .csv, .json (an array) or .ndjson
    #[arg(long, value_name = "SOURCE", env = "COUNTERSIGN_IMPORT_FROM", hide_env_values = true)]
    from: String,
    /// The table, where the source is a database
    #[arg(long, default_value = "users")]
    table: String,
    #[command(flatten)]
    columns: Columns,
    /// Country of numbers that are written without a country code (DE)
    #[arg(long, value_name = "COUNTRY", value_parser = Country::named)]
    region: Option<Country>,
    /// The other system had proven every number and address with a code
    #[arg(long)]
    verified: bool,
    /// Read and check everything, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What became of the rows.
#[derive(Default)]
struct Report {
    rows: u64,
    added: u64,
    there: u64,
    without_password: u64,
    refused: Vec<Refusal>,
}

pub fn run(config: &Config, command: &Command) -> Result<ExitCode, Failure> {
    let arguments = match command {
        Command::Users(arguments) => arguments,
        Command::Data(arguments) => return data::import(config, arguments),
    };
    let report = block_on(import(config, arguments))?;
    say(&report, arguments);
    Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn import(config: &Config, arguments: &Users) -> Result<Report, Failure> {
    let mut source = Source::open(&arguments.from, &arguments.table).await?;
    let columns = arguments.columns.find(&source.columns()).map_err(|rule| ConfigError::rule("--from", rule))?;
    // A dry run makes no file either.
    let is_missing = matches!(&config.database_settings()?.place, Place::File(file, _) if !file.exists());
    let database = if arguments.dry_run && is_missing { None } else { Some(stores::database(config).await?) };
    let now = SystemClock.now();
    let locale = config.service.get(DEFAULT_SERVICE).map_or("en", |service| service.locale.as_str());
    let terms = Terms { now, locale, verified: arguments.verified, entropy: &SystemEntropy };
    let (mut report, mut seen, total) = (Report::default(), HashSet::new(), source.total().await?);
    let mut rows = source.rows(&columns.names());
    loop {
        let batch = rows.next_batch(BATCH).await?;
        if batch.is_empty() {
            break;
        }
        let mut people = Vec::with_capacity(batch.len());
        for row in batch {
            report.rows += 1;
            let row = row.and_then(|row| columns.person(&row, arguments.region, now));
            let person = row.and_then(|person| unseen(person, &mut seen));
            match person {
                Ok(person) => people.push((report.rows, person)),
                Err(refusal) => report.refused.push(refusal.in_row(report.rows)),
            }
        }
        settle(database.as_ref(), people, &terms, arguments, &mut report).await?;
        terminal::progress(&bar(report.rows, total));
    }
    terminal::progress("");
    Ok(report)
}

/// Two rows with one number or address are two claims to it: the first one has it.
fn unseen(person: Person, seen: &mut HashSet<[u8; 16]>) -> Result<Person, Refusal> {
    if let Some(twice) = person.identifiers.iter().find(|identifier| seen.contains(&identifier.key())) {
        return Err(Refusal::new(twice.masked(), "its number or address is in an earlier row"));
    }
    seen.extend(person.identifiers.iter().map(|identifier| identifier.key()));
    Ok(person)
}

async fn settle(
    database: Option<&Database>,
    people: Vec<(u64, Person)>,
    terms: &Terms<'_>,
    arguments: &Users,
    report: &mut Report,
) -> Result<(), Failure> {
    let (numbers, people): (Vec<u64>, Vec<Person>) = people.into_iter().unzip();
    let placed = match database {
        Some(database) => {
            let placed = place(database, &people, terms, !arguments.dry_run).await;
            placed.context("the accounts cannot be written; what was said to be added so far is there, and a second run goes on from it")?
        }
        None => vec![Placed::Added; people.len()],
    };
    for ((number, person), placed) in numbers.into_iter().zip(people).zip(placed) {
        match placed {
            Placed::Added => {
                report.added += 1;
                report.without_password += u64::from(person.password.is_none());
            }
            Placed::There => report.there += 1,
            Placed::Taken => {
                let masked: Vec<_> = person.identifiers.iter().map(|identifier| identifier.masked()).collect();
                report.refused.push(Refusal::new(masked.join(" "), "its number or address belongs to another account").in_row(number));
            }
        }
    }
    Ok(())
}

fn bar(rows: u64, total: u64) -> String {
    let part = (rows.min(total) * 30 / total.max(1)) as usize;
    format!("[{}{}] {rows} of {total}", "#".repeat(part), ".".repeat(30 - part))
}

fn say(report: &Report, arguments: &Users) {
    let mut refused: Vec<_> = report.refused.iter().collect();
    refused.sort_by_key(|refusal| refusal.row);
    if arguments.json {
        let refused: Vec<_> = refused.iter().map(|one| json!({ "row": one.row, "who": one.who, "reason": one.reason })).collect();
        terminal::say_json(&json!({
            "dry_run": arguments.dry_run,
            "rows": report.rows,
            "added": report.added,
            "there": report.there,
            "without_password": report.without_password,
            "refused": refused,
        }));
        return;
    }
    for refusal in refused {
        terminal::say(&format!("row {}: {}: {}", refusal.row, refusal.who, refusal.reason));
    }
    let (added, changed) = if arguments.dry_run { ("would be added", " Nothing was changed.") } else { ("added", "") };
    terminal::say(&format!(
        "{} rows: {} {added} ({} without a password), {} there already, {} refused.{changed}",
        report.rows,
        report.added,
        report.without_password,
        report.there,
        report.refused.len()
    ));
}
