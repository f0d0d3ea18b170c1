//! `demo`: a simulated node, a database and the worker in one process; no network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Failure, Outcome, ending_in_time, list, log_to_stdout, run, until_signal};
use crate::config::{Database, Logs, Node as NodeSettings, Worker};
use crate::observer::{Board, Snapshot, State};
use crate::simulate::{Config, Node};
use crate::state::{DatabaseUrl, Filter, Store, now};
use crate::telemetry::table::table;

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
    #[arg(long, value_name = "R", default_value_t = 2.0)]
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
    let (url, _folder) = database(&args.database)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let node_url = format!("http://{}/v1", listener.local_addr()?);
    let _guard = log_to_stdout(logs, args.database.secrets())?;
    println!("A market is made up: {} events, seed {}. Its node: {node_url}", args.events, args.seed);
    println!("The database: {url}\n");
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
    };
    let prepared = run::prepare(&settings, url.clone())?;
    let board = Arc::new(Board::new(&prepared.markets));
    let watching = watch(Arc::clone(&board), url, args.until_caught_up, cancel.clone());
    let work = async { tokio::join!(Box::pin(run::work(prepared, Arc::clone(&board), cancel.clone())), watching) };
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

/// Shows the catch-up, then what is in the tables.
async fn watch(board: Arc<Board>, url: DatabaseUrl, ends: bool, cancel: CancellationToken) -> Outcome {
    let started = Instant::now();
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let (mut executed, mut known) = (0, 0);
    while !cancel.is_cancelled() {
        let observers = board.snapshots();
        executed = observers.iter().map(|observer| observer.next.get()).sum();
        known = observers.iter().map(|observer| observer.counter.unwrap_or(observer.next).get()).sum();
        bar.set_length(known);
        bar.set_position(executed);
        if observers.iter().all(is_done) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bar.finish_and_clear();
    if cancel.is_cancelled() {
        return Ok(());
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("\nCaught up: {executed} of {known} events in {seconds:.1} s.\n");
    show(&url).await?;
    if !ends {
        println!("Now following: new events are committed as the market emits them. Look into it meanwhile:");
        println!("  event-worker status --database-url '{url}'");
        println!("  event-worker list activities --database-url '{url}'");
        println!("Ctrl-C ends the demo and deletes a temporary database.\n");
    }
    Ok(())
}

fn is_done(observer: &Snapshot) -> bool {
    matches!(observer.state, State::Following | State::Stopped | State::Ended)
}

async fn show(url: &DatabaseUrl) -> Outcome {
    let store = Store::connect(url).await?;
    let open = Filter { status: Some("listing".to_owned()), limit: 8, ..Filter::default() };
    println!(
        "Open orders, the newest:\n{}\n",
        table(&list::ORDERS, store.orders(&open).await?.iter().map(list::order))
    );
    let sales = Filter { kind: Some("fill_listing".to_owned()), limit: 8, ..Filter::default() };
    println!("Last sales:\n{}\n", table(&list::ACTIVITIES, store.activities(&sales).await?.iter().map(list::activity)));
    let floors = store.floors(8).await?;
    let floors = floors.into_iter().map(|floor| {
        let price = list::money(floor.floor, floor.currency.as_deref());
        vec![floor.collection_name.unwrap_or_default(), price, floor.listings.to_string()]
    });
    println!(
        "Floor prices, collections with the most listings:\n{}\n",
        table(&["collection", ">floor", ">listings"], floors)
    );
    Ok(store.close().await?)
}
