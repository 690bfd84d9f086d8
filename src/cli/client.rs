//! `countersign client create|list|revoke`

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde_json::json;

use crate::app::stores;
use crate::cli::{Failure, block_on, terminal};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::db::client::{Client, Clients, Scope};
use crate::db::database::Database;
use crate::db::twilio::CredentialTable;
use crate::http::twilio::sid;
use crate::secret::{Redacted, SystemEntropy};
use crate::verification::policy::DEFAULT_SERVICE;

#[derive(Subcommand)]
pub enum Command {
    /// Make a client and print its key: the only time that it is shown
    Create {
        /// For people: what uses the key
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// The service that it acts in
        #[arg(long, default_value = DEFAULT_SERVICE)]
        service: String,
        /// Credentials for Twilio's SDKs as well: an Account SID with its Auth Token, and an API key with its secret
        #[arg(long)]
        twilio: bool,
        /// What it may do; repeat for more [default: the four of the server's own API; see docs/reference/cli.md]
        #[arg(long, value_name = "SCOPE", value_parser = scope)]
        scope: Vec<Scope>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List clients
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a client; a running server refuses its key within a second
    Revoke {
        /// The client's id, or the first part of its key (csk_…)
        client: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn scope(name: &str) -> Result<Scope, String> {
    Scope::parse(name).ok_or_else(|| {
        let names = Scope::ALL.map(Scope::as_str).join(", ");
        format!("must be one of {names}")
    })
}

pub fn run(config: &Config, command: &Command) -> Result<ExitCode, Failure> {
    block_on(async {
        let database = stores::database(config).await?;
        let done = run_on(config, &database, command).await;
        database.close().await;
        done
    })
}

async fn run_on(config: &Config, database: &Database, command: &Command) -> Result<ExitCode, Failure> {
    let clients = &Clients::new(database.clone());
    match command {
        Command::Create { name, service, twilio, scope, json } => {
            let mut scopes = scope.clone();
            if scopes.is_empty() {
                scopes.extend(Scope::USUAL);
                scopes.extend(twilio.then_some(Scope::Services));
            }
            let (client, key) = create(config, clients, name, service, &scopes).await?;
            match twilio {
                true => twilio_credentials(config, database, &client, &key, *json).await,
                false => Ok(shown_once(&client, &key, *json)),
            }
        }
        Command::List { json } => list(clients, *json).await,
        Command::Revoke { client, json } => revoke(clients, client, *json).await,
    }
}

async fn create(
    config: &Config,
    clients: &Clients,
    name: &str,
    service: &str,
    scopes: &[Scope],
) -> Result<(Client, Redacted<String>), Failure> {
    if !config.service.contains_key(service) {
        let known = config.service.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(ConfigError::rule("--service", format!("\"{service}\" is not configured; there is {known}")).into());
    }
    let made = clients.create(service, name, scopes, &SystemEntropy, SystemClock.now()).await;
    Ok(made.context("the client could not be made")?)
}

fn shown_once(client: &Client, key: &Redacted<String>, as_json: bool) -> ExitCode {
    if as_json {
        terminal::say_json(&json!({ "id": client.id, "key": key.expose(), "service": client.service }));
    } else {
        terminal::say(&format!("Client {} of service {}.", client.id, client.service));
        terminal::say(&format!("Its key, shown this once: {}", terminal::bold(key.expose())));
    }
    ExitCode::SUCCESS
}

/// Makes and prints what Twilio's SDKs want to know, beside the key.
async fn twilio_credentials(
    config: &Config,
    database: &Database,
    client: &Client,
    key: &Redacted<String>,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let peppers = config.secrets.peppers(&config.data_dir, &SystemEntropy)?;
    let made = CredentialTable::new(database.clone()).create(client.id, &peppers, &SystemEntropy, SystemClock.now()).await;
    let made = made.context("the credentials could not be made")?;
    let service_sid = sid::named(sid::SERVICE, &client.service);
    if as_json {
        terminal::say_json(&json!({
            "id": client.id,
            "key": key.expose(),
            "service": client.service,
            "account_sid": made.account_sid,
            "auth_token": made.auth_token.expose(),
            "api_key_sid": made.api_key_sid,
            "api_key_secret": made.api_key_secret.expose(),
            "service_sid": service_sid,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    shown_once(client, key, false);
    terminal::say("For Twilio's SDKs, shown this once:");
    for (name, value) in [
        ("TWILIO_ACCOUNT_SID", &made.account_sid),
        ("TWILIO_AUTH_TOKEN", made.auth_token.expose()),
        ("TWILIO_API_KEY", &made.api_key_sid),
        ("TWILIO_API_KEY_SECRET", made.api_key_secret.expose()),
        ("TWILIO_VERIFY_SERVICE_SID", &service_sid),
    ] {
        terminal::say(&format!("{name}={}", terminal::bold(value)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(clients: &Clients, as_json: bool) -> Result<ExitCode, Failure> {
    let clients = clients.list().await.context("the clients cannot be read")?;
    if as_json {
        terminal::say_json(&clients.iter().map(shown).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    if clients.is_empty() {
        terminal::say("No clients. Make one: countersign client create --name NAME");
    }
    for client in &clients {
        let state = match (client.revoked_at, client.last_used_at) {
            (Some(revoked), _) => format!("revoked {revoked}"),
            (None, Some(used)) => format!("last used {used}"),
            (None, None) => "never used".into(),
        };
        terminal::say(&format!("{}  csk_{}…  {:16}  {:20}  {state}", client.id, client.key_prefix, client.service, client.name));
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke(clients: &Clients, wanted: &str, as_json: bool) -> Result<ExitCode, Failure> {
    let revoked = clients.revoke(wanted, SystemClock.now()).await.context("the client could not be revoked")?;
    let client = revoked.ok_or_else(|| anyhow!("there is no client \"{wanted}\" that is not revoked; see countersign client list"))?;
    if as_json {
        terminal::say_json(&shown(&client));
    } else {
        terminal::say(&format!("Revoked {} ({}).", client.id, client.name));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(client: &Client) -> serde_json::Value {
    json!({
        "id": client.id,
        "service": client.service,
        "name": client.name,
        "key_prefix": format!("csk_{}", client.key_prefix),
        "scopes": client.scopes,
        "created_at": client.created_at.to_string(),
        "last_used_at": client.last_used_at.map(|at| at.to_string()),
        "revoked_at": client.revoked_at.map(|at| at.to_string()),
    })
}
