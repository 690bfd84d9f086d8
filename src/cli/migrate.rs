//! `countersign migrate`

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use crate::app::{make_data_dir, stores};
use crate::cli::{Failure, block_on, terminal};
use crate::config::Config;
use crate::db::database::Database;
use crate::db::{self, Migration};

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
    let is_newer = places.iter().any(|(_, migrations)| migrations.iter().any(|migration| !migration.known));
    if arguments.json {
        let shown = places.iter().flat_map(|(place, migrations)| {
            let one = move |migration: &Migration| {
                json!({ "database": place, "name": migration.name, "applied": migration.applied, "known": migration.known })
            };
            migrations.iter().map(one)
        });
        terminal::say_json(&shown.collect::<Vec<_>>());
    } else {
        for (place, migrations) in &places {
            terminal::say(place);
            for migration in migrations {
                let state = match (migration.known, migration.applied) {
                    (false, _) => "newer  ",
                    (true, true) => "applied",
                    (true, false) => "waiting",
                };
                terminal::say(&format!("{state}  {}", migration.name));
            }
        }
    }
    if is_newer {
        terminal::complain("a newer version has been here: this one goes on where it runs, and does not start again");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
