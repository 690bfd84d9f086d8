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
    let embedded = config.stores_in_a_file()?.then(|| config.store_file());
    if !arguments.status {
        make_data_dir(config)?;
        if let Some(file) = &embedded {
            db::migrate(file).context("the migration failed; nothing was changed")?;
        }
        block_on(async {
            stores::database(config).await?.close().await;
            Ok(())
        })?;
    }
    let mut places = Vec::new();
    if let Some(file) = embedded {
        places.push((format!("SQLite {}", file.display()), db::migrations(&file).context("the embedded database cannot be read")?));
    }
    let settings = config.database_settings()?;
    let place = settings.place.shown();
    places.push((place, block_on(async { Ok(Database::migrations(settings).await.context("the database cannot be read")?) })?));
    if arguments.json {
        let shown = places.iter().flat_map(|(place, migrations)| {
            migrations.iter().map(move |migration| json!({ "database": place, "name": migration.name, "applied": migration.applied }))
        });
        terminal::say_json(&shown.collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    for (place, migrations) in &places {
        terminal::say(place);
        for migration in migrations {
            terminal::say(&format!("{}  {}", if migration.applied { "applied" } else { "waiting" }, migration.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}
