//! `migrate up / down / status`.

use clap::Subcommand;

use super::{Failure, Outcome, connect, log_to_stderr, open, print};
use crate::config::{Database, Logs};
use crate::telemetry::table::table;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Brings the schema up to date, and makes the indexes that a worker has left out so far; an empty database gets all of it
    Up,
    /// Takes back the newest migrations; DELETES their tables and all that is in them
    Down {
        /// How many
        #[arg(long, default_value_t = 1)]
        steps: u32,
        /// Needed, as data is lost
        #[arg(long)]
        yes: bool,
    },
    /// Which migrations the database has
    Status,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let _guard = log_to_stderr(logs, args.database.secrets())?;
    if let Step::Down { yes: false, .. } = args.step {
        return Err(Failure::Setting(
            "migrate down deletes tables with all their rows: say --yes if you mean it".to_owned(),
        ));
    }
    let store = match args.step {
        Step::Up => open(&args.database, args.database.url_or_default()?).await?,
        Step::Down { .. } | Step::Status => connect(&args.database).await?,
    };
    match args.step {
        Step::Up => {
            match store.migrate_up().await? {
                0 => println!("the schema is up to date"),
                applied => println!("the schema is up to date: {applied} migrations applied"),
            }
            for index in store.missing_indexes().await? {
                println!("making the index {index}");
                store.make_index(&index).await?;
            }
        }
        Step::Down { steps, .. } => println!("{} migrations taken back", store.migrate_down(steps).await?),
        Step::Status => {
            let migrations = store.migrations().await?.into_iter();
            let rows = migrations.map(|migration| {
                vec![migration.name, if migration.applied { "applied" } else { "missing" }.to_owned()]
            });
            print(&table(&["migration", "state"], rows))?;
        }
    }
    Ok(store.close().await?)
}
