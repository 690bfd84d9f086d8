//! `countersign doctor`: what this configuration means, and whether it works.

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::{Failure, load, terminal};
use crate::config::{Config, Mode, PEPPER_FILE};
use crate::db;
use crate::db::client::Clients;

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

pub fn run(file: Option<&Path>, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = load(file)?;
    let checks = [
        configuration(&config),
        mode(&config),
        pepper(&config),
        database(&config),
        clients(&config),
        listener("server", &config.server.host, config.server.port),
        listener("admin", &config.admin.host, config.admin.port),
    ];
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

fn configuration(config: &Config) -> Check {
    let (finding, detail) = match crate::app::check(config) {
        Ok(_) => (Finding::Ok, "every setting is in its range, every text renders".to_owned()),
        Err(error) => (Finding::Wrong, error.to_string()),
    };
    Check { what: "settings", finding, detail }
}

fn mode(config: &Config) -> Check {
    let (finding, detail) = match config.mode {
        Mode::Dev => (Finding::Note, "dev: codes are shown in the inbox and on the console, nothing is sent".into()),
        Mode::Production => (Finding::Ok, "production".into()),
    };
    Check { what: "mode", finding, detail }
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

fn database(config: &Config) -> Check {
    let file = config.database();
    let (finding, detail) = match db::migrations(&file) {
        Err(error) => (Finding::Wrong, error.to_string()),
        Ok(_) if !file.exists() => (Finding::Note, format!("{} will be made at the first start", file.display())),
        Ok(migrations) => {
            let waiting = migrations.iter().filter(|migration| !migration.applied).count();
            let detail = format!("SQLite {}, {} of {} migrations", file.display(), migrations.len() - waiting, migrations.len());
            (if waiting == 0 { Finding::Ok } else { Finding::Note }, detail)
        }
    };
    Check { what: "database", finding, detail }
}

fn clients(config: &Config) -> Check {
    let usable = if config.database().exists() { Clients::new(&config.database()).list() } else { Ok(Vec::new()) };
    let (finding, detail) = match usable {
        Err(error) => (Finding::Note, format!("cannot be read yet: {error}")),
        Ok(clients) => {
            let active = clients.iter().filter(|client| client.revoked_at.is_none()).count();
            let lost =
                clients.iter().filter(|client| client.revoked_at.is_none() && !config.service.contains_key(&*client.service)).count();
            match (active, lost) {
                (0, _) => (Finding::Note, "none yet: countersign client create".into()),
                (_, 0) => (Finding::Ok, format!("{active} with a valid key")),
                _ => (Finding::Wrong, format!("{lost} belong to a service that is not configured")),
            }
        }
    };
    Check { what: "clients", finding, detail }
}

fn listener(what: &'static str, host: &str, port: u16) -> Check {
    let (finding, detail) = match TcpListener::bind((host, port)) {
        Ok(_) => (Finding::Ok, format!("{host}:{port} is free")),
        Err(error) => (Finding::Note, format!("{host}:{port} cannot be listened on: {error} (is the server running?)")),
    };
    Check { what, finding, detail }
}
