//! `demo`: a simulated node, a database and the worker in one process; no network.

use std::io::IsTerminal;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Failure, Outcome, ending_in_time, list, log_to_stdout, run, until_signal};
use crate::config::{Database, Logs, Node as NodeSettings, Worker};
use crate::observer::{Board, Snapshot, State};
use crate::simulate::{Config, Node};
use crate::state::{DatabaseUrl, Filter, Store, now};
use crate::telemetry::bars::AboveBars;
use crate::telemetry::table::{brief, printable, table};

const TICK: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    worker: Worker,
    /// Events before the worker starts
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    events: u64,
    /// Events per second from then on
    #[arg(long, value_name = "R", default_value_t = 2.0, allow_negative_numbers = true)]
    rate: f64,
    /// The same seed gives the same market
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// End once caught up
    #[arg(long)]
    until_caught_up: bool,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    if !args.rate.is_finite() || args.rate < 0.0 {
        return Err(Failure::Setting(format!("--rate {}: expected events per second, 0 or more", args.rate)));
    }
    let (url, folder) = database(&args.database)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let node_url = format!("http://{}/v1", listener.local_addr()?);
    // On a terminal the bar and the tables say what INFO would.
    let quieter = logs.quieter();
    let _guard = log_to_stdout(if std::io::stdout().is_terminal() { &quieter } else { logs }, args.database.secrets())?;
    println!("A market is made up: {} events, seed {}. Its node: {node_url}", args.events, args.seed);
    println!("The database: {url}");
    if folder.is_none() {
        println!("It is the one of DATABASE_URL, and gets the made-up events.");
    }
    println!();
    let config = Config {
        seed: args.seed,
        events: args.events,
        rate: args.rate,
        ends_at: Some(now().micros()),
        ..Config::default()
    };
    let node = tokio::task::spawn_blocking(move || Node::new(config))
        .await
        .map_err(|error| Failure::Failed(error.to_string()))?;

    let cancel = until_signal()?;
    tokio::spawn(node.serve(listener, cancel.clone()));
    let settings = run::Args {
        database: args.database,
        node: NodeSettings::at(node_url),
        worker: args.worker,
        until_caught_up: args.until_caught_up,
        accept_mapping: false,
        from_version: None,
    };
    let prepared = run::prepare(&settings, url.clone())?;
    let board = Arc::new(Board::new(&prepared.markets));
    let watched = cancel.child_token();
    let watching = watch(Arc::clone(&board), url, args.until_caught_up, watched.clone());
    let working = async {
        // There is nothing to watch once the worker has failed.
        Box::pin(run::work(prepared, Arc::clone(&board), cancel.clone())).await.inspect_err(|_| watched.cancel())
    };
    let work = async { tokio::join!(working, watching) };
    let (worked, shown) = ending_in_time(&cancel, work).await.unwrap_or((Ok(()), Ok(())));
    worked.and(shown)
}

/// `DATABASE_URL`, or a fresh SQLite file in a temporary folder that lives as long as the demo.
fn database(settings: &Database) -> Result<(DatabaseUrl, Option<tempfile::TempDir>), Failure> {
    if let Some(url) = settings.url()? {
        return Ok((url, None));
    }
    let folder = tempfile::Builder::new().prefix("event-worker-demo-").tempdir()?;
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("demo.db").display());
    Ok((url.parse().map_err(Failure::Setting)?, Some(folder)))
}

/// Prints a line, above the bars if there are any.
macro_rules! say {
    ($($told:tt)*) => {{
        let _ = writeln!(AboveBars(io::stdout()), $($told)*);
    }};
}

/// Waits for the end of the catch-up, then shows what is in the tables, then what happens.
async fn watch(board: Arc<Board>, url: DatabaseUrl, ends: bool, cancel: CancellationToken) -> Outcome {
    let started = Instant::now();
    let totals = || {
        let observers = board.snapshots();
        let executed: u64 = observers.iter().map(|observer| observer.next.get()).sum();
        let known: u64 = observers.iter().map(|observer| observer.counter.unwrap_or(observer.next).get()).sum();
        (executed, known, observers.iter().all(is_done))
    };
    let (executed, known) = loop {
        let (executed, known, done) = totals();
        if done {
            break (executed, known);
        }
        if cancel.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
            return Ok(());
        }
    };
    say!("Caught up: {executed} of {known} events in {:.1} s.\n", started.elapsed().as_secs_f64());
    let store = Store::connect(&url).await?;
    show(&store).await?;
    if !ends {
        say!("Now following. Look into it meanwhile, from another terminal:");
        say!("  event-worker status --database-url '{url}'");
        say!("  event-worker list orders --status listing --database-url '{url}'");
        say!("Ctrl-C ends the demo and deletes a temporary database. What happens:\n");
        follow(&store, &cancel).await?;
    }
    Ok(store.close().await?)
}

/// Prints each activity as it is committed.
async fn follow(store: &Store, cancel: &CancellationToken) -> Outcome {
    let newest = Filter { limit: 50, ..Filter::default() };
    let mut shown = store.activities(&newest).await?.first().map_or(0, |row| row.version);
    while cancel.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_some() {
        let rows = store.activities(&newest).await?;
        let new: Vec<_> = rows.iter().filter(|row| row.version > shown).rev().map(list::activity).collect();
        shown = rows.first().map_or(shown, |row| row.version.max(shown));
        for row in new {
            say!(
                "{}",
                row.iter().filter(|cell| !cell.is_empty()).map(|cell| printable(cell)).collect::<Vec<_>>().join("  ")
            );
        }
    }
    Ok(())
}

fn is_done(observer: &Snapshot) -> bool {
    matches!(observer.state, State::Following | State::Stopped | State::Ended)
}

async fn show(store: &Store) -> Outcome {
    let open = Filter { status: Some("listing".to_owned()), limit: 8, ..Filter::default() };
    say!("Open orders, the newest:\n{}\n", table(&list::ORDERS, store.orders(&open).await?.iter().map(list::order)));
    let sales = Filter { kind: Some("fill_listing".to_owned()), limit: 8, ..Filter::default() };
    say!("Last sales:\n{}\n", table(&list::ACTIVITIES, store.activities(&sales).await?.iter().map(list::activity)));
    let floors = store.floors(8).await?;
    let floors = floors.into_iter().map(|floor| {
        let price = list::money(floor.floor, floor.currency.as_deref());
        let id = brief(&floor.collection_id.unwrap_or_default());
        vec![id, floor.collection_name.unwrap_or_default(), price, floor.listings.to_string()]
    });
    say!(
        "Floor prices, collections with the most listings:\n{}\n",
        table(&["collection", "name", ">floor", ">listings"], floors)
    );
    Ok(())
}
