//! `countersign doctor`: what this configuration means, and whether it works.

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::app::{self, Senders};
use crate::cli::{Failure, block_on, load, senders, terminal};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Mode, PEPPER_FILE};
use crate::db::client::{Client, Clients};
use crate::db::database::{DataError, Database, Place};
use crate::db::{self, Migration, sealed};
use crate::secret::Pepper;
use crate::verification::store::redis::link::Link;

#[derive(clap::Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding {
    Ok,
    Note,
    Wrong,
}

#[derive(Serialize)]
struct Check {
    what: &'static str,
    finding: Finding,
    detail: String,
}

impl Check {
    fn new(what: &'static str, finding: Finding, detail: impl Into<String>) -> Check {
        Check { what, finding, detail: detail.into() }
    }
}

pub fn run(file: Option<&Path>, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = load(file)?;
    let (settings, senders) = match app::check(&config) {
        Ok(senders) => (Check::new("settings", Finding::Ok, "every setting is in its range, every text renders"), Some(senders)),
        Err(error) => (Check::new("settings", Finding::Wrong, error.to_string()), None),
    };
    let mut checks = vec![settings, mode(&config, senders.as_ref().is_some_and(Senders::are_real))];
    if let Some(senders) = &senders {
        checks.extend(delivery(&config, senders));
    }
    let accounts = senders.as_ref().map_or(&[][..], |senders| &senders.accounts);
    checks.extend(senders::unused(accounts, &config.environment).into_iter().map(|line| Check::new("variable", Finding::Note, line)));
    checks.extend([pepper(&config), accounts_of(&config)]);
    checks.extend(redis(&config).unwrap_or_else(|| embedded(&config).into_iter().collect()));
    checks.extend(database(&config));
    checks.extend([
        listener("server", &config.server.host, config.server.port, &plain_names(&config)),
        listener("admin", &config.admin.host, config.admin.port, ""),
    ]);
    if arguments.json {
        terminal::say_json(&checks);
    } else {
        for check in &checks {
            let mark = match check.finding {
                Finding::Ok => "ok   ",
                Finding::Note => "note ",
                Finding::Wrong => "WRONG",
            };
            terminal::say(&format!("{mark}  {:9}  {}", check.what, check.detail));
        }
    }
    let wrong = checks.iter().any(|check| check.finding == Finding::Wrong);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn mode(config: &Config, are_real: bool) -> Check {
    match config.mode {
        Mode::Dev if are_real => {
            Check::new("mode", Finding::Note, "dev: messages are really sent, which costs money; codes of ours are shown in the inbox, too")
        }
        Mode::Dev => Check::new("mode", Finding::Note, "dev: codes are shown in the inbox and on the console, nothing is sent"),
        Mode::Production => Check::new("mode", Finding::Ok, "production"),
    }
}

/// Who delivers, by which routes, and whether it will be known what arrived.
fn delivery(config: &Config, from: &Senders) -> Vec<Check> {
    let mut checks: Vec<Check> = senders::accounts(from).into_iter().map(|line| Check::new("provider", Finding::Ok, line)).collect();
    checks.extend(senders::routes(from).into_iter().map(|line| Check::new("route", Finding::Ok, line)));
    if from.are_real() && config.server.public_url.is_none() {
        let line = "server.public_url is not set: providers cannot report what became of messages";
        checks.push(Check::new("receipts", Finding::Note, line));
    }
    checks
}

/// Of the variables that many hosts set.
fn plain_names(config: &Config) -> String {
    let set: Vec<_> = ["HOST", "PORT"].into_iter().filter(|name| config.environment.contains_key(*name)).collect();
    if set.is_empty() { String::new() } else { format!(" ({})", set.join(", ")) }
}

fn pepper(config: &Config) -> Check {
    let file = config.data_dir.join(PEPPER_FILE);
    let configured = config.secrets.pepper.is_some() || config.secrets.pepper_file.is_some();
    let (finding, detail) = match (configured, file.exists()) {
        (true, _) => (Finding::Ok, "configured".into()),
        (false, true) => (Finding::Ok, format!("{} (keep a copy apart from the database's)", file.display())),
        (false, false) => (Finding::Note, format!("{} will be made at the first start", file.display())),
    };
    Check { what: "pepper", finding, detail }
}

/// What the database needs of peppers.
struct Needs {
    /// What still needs the one before the current one, where that is configured.
    previous: Option<Vec<(&'static str, i64)>>,
    /// What needs one that is not configured.
    lost: Vec<(&'static str, i64)>,
    /// Whether anything needs the current one.
    current: bool,
}

impl Needs {
    async fn of(database: &Database, current: Option<&Pepper>, previous: Option<&Pepper>) -> Result<Needs, DataError> {
        let all: Vec<_> = current.into_iter().chain(previous).collect();
        let needs = async |pepper: Option<&Pepper>| match pepper {
            Some(pepper) => sealed::needs(database, pepper).await.map(Some),
            None => Ok(None),
        };
        let current = needs(current).await?.is_some_and(|needs| !needs.is_empty());
        Ok(Needs { previous: needs(previous).await?, lost: sealed::lost(database, &all).await?, current })
    }

    /// Without its pepper passwords and recovery codes are wrong, and secrets closed.
    fn checks(&self) -> Vec<Check> {
        let previous = self.previous.as_deref().map(|needs| match needs {
            [] => {
                let detail = "nothing that is kept needs the previous one any more: it can go a day after the change";
                Check::new("pepper", Finding::Ok, detail)
            }
            needs => Check::new("pepper", Finding::Note, format!("the previous one is still needed by {}", sealed::listed(needs))),
        });
        let lost = (!self.lost.is_empty()).then(|| {
            // Of a pepper that was given up too early some things are left; all of them are those of a pepper that was lost.
            let finding = if self.current { Finding::Note } else { Finding::Wrong };
            let detail = format!("{} need one that is not configured: put it back", sealed::listed(&self.lost));
            Check::new("pepper", finding, detail)
        });
        previous.into_iter().chain(lost).collect()
    }
}

/// The file that keeps verifications. None: the database does, or it is said elsewhere what is wrong with that.
fn embedded(config: &Config) -> Option<Check> {
    if !config.stores_in_a_file().unwrap_or_default() {
        return None;
    }
    let file = config.store_file();
    let (finding, detail) = match db::migrations(&file) {
        Err(error) => (Finding::Wrong, error.to_string()),
        Ok(_) if !file.exists() => (Finding::Note, format!("{} will be made at the first start", file.display())),
        Ok(migrations) => migrated(&format!("SQLite {}", file.display()), &migrations),
    };
    Some(Check { what: "store", finding, detail })
}

/// Where verifications are kept, if in Redis: whether it answers, and is set up to keep them.
fn redis(config: &Config) -> Option<Vec<Check>> {
    let peer = match config.redis_peer() {
        Ok(peer) => peer?,
        Err(error) => return Some(vec![Check::new("redis", Finding::Wrong, error.to_string())]),
    };
    let looked = block_on(async {
        let link = Link::new(peer.peer().map_err(anyhow::Error::from)?, &config.redis.prefix);
        Ok(link.meet(SystemClock.now()).await.map_err(anyhow::Error::from)?)
    });
    let place = peer.shown();
    Some(match looked {
        Ok(met) => {
            let answers = Check::new("redis", Finding::Ok, format!("{place}: verifications and limits are kept there"));
            std::iter::once(answers).chain(met.advice().into_iter().map(|advice| Check::new("redis", Finding::Note, advice))).collect()
        }
        Err(error) => vec![Check::new("redis", Finding::Wrong, format!("{place}: {error}"))],
    })
}

fn migrated(place: &str, migrations: &[Migration]) -> (Finding, String) {
    let known = migrations.iter().filter(|migration| migration.known).count();
    let waiting = migrations.iter().filter(|migration| !migration.applied).count();
    let detail = format!("{place}, {} of {known} migrations", known - waiting);
    match migrations.iter().find(|migration| !migration.known) {
        Some(newer) => (Finding::Wrong, format!("{detail}, and {} of a newer version: run that one", newer.name)),
        None => (if waiting == 0 { Finding::Ok } else { Finding::Note }, detail),
    }
}

/// The database of accounts and clients, and the clients in it. Nothing is changed there.
fn database(config: &Config) -> Vec<Check> {
    let what = "database";
    let settings = match config.database_settings() {
        Ok(settings) => settings,
        Err(error) => return vec![Check::new(what, Finding::Wrong, error.to_string())],
    };
    let place = settings.place.shown();
    if matches!(&settings.place, Place::File(file, _) if !file.exists()) {
        return vec![Check::new(what, Finding::Note, format!("{place} will be made at the first start")), clients(config, &[])];
    }
    let (current, previous) = match (config.secrets.current(&config.data_dir), config.secrets.previous()) {
        (Ok(current), Ok(previous)) => (current, previous),
        (Err(error), _) | (_, Err(error)) => return vec![Check::new("pepper", Finding::Wrong, error.to_string())],
    };
    let looked = block_on(async {
        let migrations = Database::migrations(settings.clone()).await.map_err(anyhow::Error::from)?;
        if migrations.iter().any(|migration| !migration.applied || !migration.known) {
            return Ok((migrations, Vec::new(), None));
        }
        let database = Database::open(settings).await.map_err(anyhow::Error::from)?;
        let clients = Clients::new(database.clone()).list().await.map_err(anyhow::Error::from)?;
        let needs = Needs::of(&database, current.as_ref(), previous.as_ref()).await.map_err(anyhow::Error::from)?;
        database.close().await;
        Ok((migrations, clients, Some(needs)))
    });
    match looked {
        Err(error) => vec![Check::new(what, Finding::Wrong, format!("{place}: {error}"))],
        Ok((migrations, found, needs)) => {
            let (finding, detail) = migrated(&place, &migrations);
            let checks = [Check { what, finding, detail }, clients(config, &found)];
            checks.into_iter().chain(needs.iter().flat_map(Needs::checks)).collect()
        }
    }
}

/// Whether people can sign in here, and who can check what comes of it.
fn accounts_of(config: &Config) -> Check {
    let signed = match config.token_settings("") {
        Ok(settings) if settings.shared_secret.is_some() => "access tokens are signed with JWT_SECRET (HS256)",
        _ => "access tokens are signed by keys of our own (/.well-known/jwks.json)",
    };
    let (finding, detail) = match config.accounts() {
        Ok(Some(_)) => (Finding::Ok, format!("on; {signed}")),
        Ok(None) => (Finding::Note, "off: nobody registers or signs in here (accounts.enabled)".into()),
        Err(error) => (Finding::Wrong, error.to_string()),
    };
    Check { what: "accounts", finding, detail }
}

fn clients(config: &Config, clients: &[Client]) -> Check {
    let active = clients.iter().filter(|client| client.revoked_at.is_none()).count();
    let lost = clients.iter().filter(|client| client.revoked_at.is_none() && !config.service.contains_key(&*client.service)).count();
    let (finding, detail) = match (active, lost) {
        (0, _) => (Finding::Note, "none yet: countersign client create".into()),
        (_, 0) => (Finding::Ok, format!("{active} with a valid key")),
        _ => (Finding::Wrong, format!("{lost} belong to a service that is not configured")),
    };
    Check { what: "clients", finding, detail }
}

fn listener(what: &'static str, host: &str, port: u16, from: &str) -> Check {
    let (finding, detail) = match TcpListener::bind((host, port)) {
        Ok(_) => (Finding::Ok, format!("{host}:{port} is free{from}")),
        Err(error) => (Finding::Note, format!("{host}:{port}{from} cannot be listened on: {error} (is the server running?)")),
    };
    Check { what, finding, detail }
}
