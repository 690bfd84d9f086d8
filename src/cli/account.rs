//! `countersign account list|show|disable|enable|roles|sessions|end-sessions`

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::account::model::{Identifier, Session};
use crate::account::notice::{Notifier, Recorder};
use crate::account::operator::{By, Change, Operator, Overview};
use crate::app::{self, stores};
use crate::cli::{Failure, block_on, terminal};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::db::accounts::AccountTables;
use crate::delivery::dispatch::Dispatcher;
use crate::secret::SystemEntropy;
use crate::verification::destination::Destination;

#[derive(Subcommand)]
pub enum Command {
    /// List accounts, the newest first
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Those before this one, by its id
        #[arg(long, value_name = "ID")]
        before: Option<uuid::Uuid>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an account: what it owns and claims, what is enrolled, its last events
    Show(One),
    /// Keep somebody from signing in. Sessions and refresh tokens end at once; the person is told
    Disable(One),
    /// Let somebody sign in again
    Enable(One),
    /// Show an account's roles, or give it others: its next access tokens name them
    Roles {
        #[command(flatten)]
        one: One,
        /// All the roles that it is to have; left out, they are shown
        #[arg(value_name = "ROLE")]
        roles: Vec<String>,
        /// Take every role away
        #[arg(long, conflicts_with = "roles")]
        none: bool,
    },
    /// List where somebody is signed in
    Sessions(One),
    /// Sign somebody out everywhere
    EndSessions(One),
}

/// Which account.
#[derive(clap::Args)]
pub struct One {
    /// Its id, or a number (+4915112345678) or mail address that it owns, or that nobody else claims
    account: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `countersign account --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  countersign account show +4915112345678              who that is; numbers and addresses are shown masked
  countersign account disable ann@example.com          a lost or stolen account: nobody gets in, the owner is told
  countersign account roles ann@example.com staff      what services read in the claim roles
  countersign account end-sessions ann@example.com     signed out everywhere; the password stays
  countersign account list --json | jq '.[] | select(.status == \"disabled\")'

They work beside a running server, which knows of each change at once. An access token that a service verifies by itself is good
until it ends (tokens.life, 10 minutes).";

/// How many events are shown.
const EVENTS: i64 = 10;

pub fn run(config: &Config, command: &Command) -> Result<ExitCode, Failure> {
    block_on(async {
        let database = stores::database(config).await?;
        // Only one of the commands has anything to tell people, and needs providers for it.
        let (messenger, notifier) = match command {
            Command::Disable(_) => {
                let (messenger, notifier) = app::messenger(config, Arc::new(SystemClock), Arc::new(SystemEntropy))?;
                (Some(messenger), notifier)
            }
            _ => (None, Arc::new(Recorder::default()) as Arc<dyn Notifier>),
        };
        let operator = Operator { tables: AccountTables::new(database.clone()), notifier, entropy: Arc::new(SystemEntropy) };
        let done = execute(&operator, command).await;
        if let Some(messenger) = messenger {
            Dispatcher::drain(&messenger).await;
        }
        database.close().await;
        done?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn execute(operator: &Operator, command: &Command) -> anyhow::Result<()> {
    let now = SystemClock.now();
    match command {
        Command::List { limit, before, json } => {
            let found = operator.list(*before, usize::from(*limit)).await?;
            if *json {
                terminal::say_json(&found.iter().map(shown).collect::<Vec<_>>());
            } else if found.is_empty() {
                terminal::say("No accounts. People register at /register, or come by countersign import users");
            } else {
                found.iter().for_each(|overview| terminal::say(&line(overview)));
            }
        }
        Command::Show(one) => {
            let overview = find(operator, &one.account).await?;
            let events = operator.tables.events(overview.account.id, EVENTS).await?;
            if one.json {
                let mut shown = shown(&overview);
                let event = |(at, kind, detail): &(crate::clock::Timestamp, String, String)| json!({ "at": at.to_string(), "event": kind, "detail": detail });
                shown["events"] = events.iter().map(event).collect();
                terminal::say_json(&shown);
            } else {
                details(&overview);
                events.iter().for_each(|(at, kind, detail)| terminal::say(&format!("  {at}  {kind}  {detail}")));
            }
        }
        Command::Disable(one) => change(operator, one, &Change::new(Some(false), None)?, "is disabled, and signed out everywhere").await?,
        Command::Enable(one) => change(operator, one, &Change::new(Some(true), None)?, "may sign in").await?,
        Command::Roles { one, roles, none } if *none || !roles.is_empty() => {
            change(operator, one, &Change::new(None, Some(roles.clone()))?, "has other roles from its next token on").await?;
        }
        Command::Roles { one, .. } => {
            let overview = find(operator, &one.account).await?;
            match one.json {
                true => terminal::say_json(&overview.account.roles),
                false => terminal::say(&overview.account.roles.join(" ")),
            }
        }
        Command::Sessions(one) => {
            let overview = find(operator, &one.account).await?;
            let sessions = operator.sessions(overview.account.id, now).await?.unwrap_or_default();
            match one.json {
                true => terminal::say_json(&sessions.iter().map(session).collect::<Vec<_>>()),
                false if sessions.is_empty() => terminal::say("Signed in nowhere."),
                false => sessions.iter().for_each(|session| terminal::say(&session_line(session))),
            }
        }
        Command::EndSessions(one) => {
            let overview = find(operator, &one.account).await?;
            let ended = operator.end_sessions(By::Machine, overview.account.id, now).await?.unwrap_or_default();
            match one.json {
                true => terminal::say_json(&json!({ "ended": ended })),
                false => terminal::say(&format!("{} is signed out: {ended} sessions ended.", overview.account.id)),
            }
        }
    }
    Ok(())
}

/// The one that is meant: never one of several.
async fn find(operator: &Operator, wanted: &str) -> anyhow::Result<Overview> {
    let nobody = || anyhow!("there is no account \"{wanted}\"; see countersign account list");
    if let Ok(id) = uuid::Uuid::try_parse(wanted) {
        return operator.show(id).await?.ok_or_else(nobody);
    }
    let destination = Destination::parse(wanted, None);
    let destination =
        destination.map_err(|_| anyhow!("name an account by its id, a number with its country code (+49…) or a mail address"))?;
    let found = operator.find(&destination).await?;
    let owns = |overview: &&Overview| {
        overview.identifiers.iter().any(|identifier| identifier.proven_at.is_some() && identifier.value == found_value(&destination))
    };
    let id = match (found.iter().find(owns), &found[..]) {
        (Some(owner), _) => owner.account.id,
        (None, []) => return Err(nobody()),
        (None, [only]) => only.account.id,
        (None, several) => {
            let ids: Vec<_> = several.iter().map(|overview| overview.account.id.to_string()).collect();
            return Err(anyhow!("{} accounts claim that and none has proven it: name one by its id: {}", ids.len(), ids.join(", ")));
        }
    };
    operator.show(id).await?.ok_or_else(nobody)
}

/// As accounts have it.
fn found_value(destination: &Destination) -> String {
    crate::account::identity(destination).as_ref().unwrap_or(destination).canonical().to_owned()
}

async fn change(operator: &Operator, one: &One, change: &Change, done: &str) -> anyhow::Result<()> {
    let overview = find(operator, &one.account).await?;
    let changed = operator.change(By::Machine, overview.account.id, change, SystemClock.now()).await?;
    let changed = changed.ok_or_else(|| anyhow!("the account is gone"))?;
    if one.json {
        terminal::say_json(&shown(&changed));
    } else {
        terminal::say(&format!("{} {done}.", changed.account.id));
    }
    Ok(())
}

fn status(overview: &Overview) -> &'static str {
    if overview.account.is_active { "active" } else { "disabled" }
}

fn masked(identifier: &Identifier) -> String {
    Destination::parse(&identifier.value, None).map(|destination| destination.masked()).unwrap_or_default()
}

fn line(overview: &Overview) -> String {
    let account = &overview.account;
    let named = overview.identifiers.iter().map(|identifier| match identifier.proven_at {
        Some(_) => masked(identifier),
        None => format!("{} (unproven)", masked(identifier)),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    format!("{}  {:8}  {}  {}  {named}", account.id, status(overview), account.created_at, account.full_name)
}

fn details(overview: &Overview) {
    terminal::say(&line(overview));
    let list = |words: Vec<String>| if words.is_empty() { "none".to_owned() } else { words.join(" ") };
    terminal::say(&format!("  roles    {}", list(overview.account.roles.clone())));
    terminal::say(&format!("  factors  {}", list(overview.factors.iter().map(|method| method.as_str().to_owned()).collect())));
    terminal::say(&format!("  password {}", if overview.account.password.is_some() { "set" } else { "none" }));
}

fn shown(overview: &Overview) -> Value {
    let account = &overview.account;
    let identifiers = overview
        .identifiers
        .iter()
        .map(|identifier| json!({ "kind": identifier.kind, "value": masked(identifier), "verified": identifier.proven_at.is_some() }));
    json!({
        "id": account.id,
        "full_name": account.full_name,
        "status": status(overview),
        "roles": account.roles,
        "identifiers": identifiers.collect::<Vec<_>>(),
        "factors": overview.factors,
        "locale": account.locale,
        "created_at": account.created_at.to_string(),
    })
}

fn session(session: &Session) -> Value {
    json!({
        "id": session.id,
        "methods": session.methods,
        "assurance": session.assurance.as_str(),
        "created_at": session.created_at.to_string(),
        "seen_at": session.seen_at.to_string(),
        "expires_at": session.expires_at.to_string(),
        "address": session.address,
        "agent": session.agent,
    })
}

fn session_line(session: &Session) -> String {
    let methods = session.methods.join("+");
    format!(
        "{}  {}  {methods}  last seen {}  {}  {}",
        session.id,
        session.assurance.as_str(),
        session.seen_at,
        session.address,
        session.agent
    )
}
