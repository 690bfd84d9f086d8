//! `countersign migrate`

use std::process::ExitCode;

use anyhow::Context;

use crate::app::{make_data_dir, stores};
use crate::cli::{Failure, block_on, terminal};
use crate::config::Config;
use crate::db;
use crate::db::database::Database;
use serde_json::json;

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
        block_on(async {
            stores::database(config).await?.close().await;
            Ok(())
        })?;
    }
    let settings = config.database_settings()?;
    let place = settings.place.shown();
    let durable = block_on(async { Ok(Database::migrations(settings).await.context("the database cannot be read")?) })?;
    let embedded = db::migrations(&config.database()).context("the embedded database cannot be read")?;
    let both = [(format!("SQLite {}", config.database().display()), embedded), (place, durable)];
    if arguments.json {
        let shown = both.iter().flat_map(|(place, migrations)| {
            migrations.iter().map(move |migration| json!({ "database": place, "name": migration.name, "applied": migration.applied }))
        });
        terminal::say_json(&shown.collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    for (place, migrations) in &both {
        terminal::say(place);
        for migration in migrations {
            terminal::say(&format!("{}  {}", if migration.applied { "applied" } else { "waiting" }, migration.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}
