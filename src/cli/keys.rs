//! `countersign keys list|rotate`

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use crate::account::token::keys::{self, KeySet, Rotation, Standing};
use crate::app::stores;
use crate::cli::{Failure, block_on, terminal};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::db::database::Database;
use crate::db::signing_key::{self, SigningKeyRow};
use crate::secret::{Peppers, SystemEntropy};

#[derive(Subcommand)]
pub enum Command {
    /// List the keys that sign access tokens
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new key: published at once, it signs in 15 minutes, and no token is refused meanwhile
    Rotate {
        /// A key has leaked: the new one signs at once, and what the others signed is refused
        #[arg(long)]
        now: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub fn run(config: &Config, command: &Command) -> Result<ExitCode, Failure> {
    let now = SystemClock.now();
    block_on(async {
        let database = stores::database(config).await?;
        let peppers = config.secrets.peppers(&config.data_dir, &SystemEntropy)?;
        let (rows, as_json) = match command {
            Command::List { json } => (signing_key::all(&database).await.context("the keys cannot be read")?, *json),
            Command::Rotate { now: at_once, json } => (rotate(&database, &peppers, *at_once, now).await?, *json),
        };
        database.close().await;
        show(&rows, &peppers, as_json, now);
        Ok(ExitCode::SUCCESS)
    })
}

async fn rotate(database: &Database, peppers: &Peppers, at_once: bool, now: Timestamp) -> anyhow::Result<Vec<SigningKeyRow>> {
    let rotation = if at_once { Rotation::AtOnce } else { Rotation::Gentle };
    let new = keys::make(peppers, &SystemEntropy, now, now)?;
    let changed = signing_key::change(database, |rows| keys::rotated(peppers, rows, new, rotation, now)).await;
    changed.context("the keys could not be changed")
}

fn show(rows: &[SigningKeyRow], peppers: &Peppers, as_json: bool, now: Timestamp) {
    let sealed = KeySet::new(peppers, rows).sealed;
    let standings = keys::standings(rows, now).into_iter();
    let shown: Vec<_> = rows.iter().zip(standings).map(|(row, standing)| (row, standing, !sealed.contains(&row.id))).collect();
    if as_json {
        let shown = shown.iter().map(|(row, standing, opens)| {
            json!({
                "kid": row.id,
                "algorithm": row.algorithm,
                "standing": standing,
                "opens": opens,
                "created_at": row.created_at.to_string(),
                "active_at": row.active_at.to_string(),
                "retired_at": row.retired_at.map(|at| at.to_string()),
            })
        });
        terminal::say_json(&shown.collect::<Vec<_>>());
        return;
    }
    if rows.is_empty() {
        terminal::say("No keys. The first is made with the first token, or by countersign keys rotate");
    }
    for (row, standing, opens) in shown {
        let state = match (standing, row.retired_at) {
            _ if !opens => "does not open with this pepper".to_owned(),
            (Standing::Next, _) => format!("signs from {}", row.active_at),
            (Standing::Signs, None) => "signs".to_owned(),
            (Standing::Signs, Some(_)) => "signs, and has a successor".to_owned(),
            (Standing::Old, Some(end)) => format!("published until {end}"),
            (Standing::Old, None) => "published".to_owned(),
            (Standing::Ended, _) => "ended".to_owned(),
        };
        terminal::say(&format!("{}  {}  made {}  {state}", row.id, row.algorithm, row.created_at));
    }
}
