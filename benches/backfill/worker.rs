//! The worker in this process, as `event-worker run` puts it together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_worker::market::{Market, Markets, Stream};
use event_worker::observer::{self, Board, Config, SCANNED_INTERVAL};
use event_worker::state::entities::checkpoints;
use event_worker::state::{DatabaseUrl, Recorder, Store};
use event_worker::subject::{self, EventHandle, EventHandles, Nodes, Subject};
use sea_orm::EntityTrait;
use tokio_util::sync::CancellationToken;

use crate::tape::LastCommit;

/// The market that the simulated node is about.
pub fn imart() -> Result<Markets> {
    Markets::new(vec![Market::built_in("imart", None)?]).map_err(anyhow::Error::msg)
}

/// A database that is migrated and has checkpoints, as the worker finds it.
pub async fn prepared(url: &DatabaseUrl, markets: &Markets) -> Result<Store> {
    let store = Store::connect(url).await?;
    store.migrate_up_to_fill().await?;
    store.prepare(markets).await?;
    Ok(store)
}

/// The node at `url`.
pub fn nodes(url: &str) -> Result<Arc<Nodes>> {
    let url = url.parse().map_err(anyhow::Error::msg)?;
    Ok(Arc::new(Nodes::new(subject::Config { nodes: vec![(url, None)], archive: None }).map_err(anyhow::Error::msg)?))
}

/// How streams are read from the node at `url`.
pub fn handles(url: &str) -> Result<impl Fn(&Stream) -> EventHandle + use<>> {
    let handles = EventHandles::new(nodes(url)?);
    Ok(move |stream: &Stream| handles.at(&stream.source))
}

/// The default settings, but for the pause between polls.
pub fn config(poll_interval: Duration, until_caught_up: bool) -> Config {
    Config {
        poll_interval,
        max_parked: 100,
        until_caught_up,
        scanned_interval: SCANNED_INTERVAL,
        lease: None,
        worker: "bench".to_owned(),
    }
}

/// How long `imart` takes from an empty database to its last commit.
pub async fn time(node: &str, events: u32, url: &DatabaseUrl) -> Result<Duration> {
    let last = Arc::new(LastCommit::default());
    let markets = imart()?;
    let store = prepared(url, &markets).await?;
    let start = Instant::now();
    let handles = handles(node)?;
    backfill(store, markets, handles, events, last.clone()).await?;
    Ok(last.at().context("nothing was committed")? - start)
}

/// Executes everything there is, and closes the store; nothing may be missing at the end.
pub async fn backfill<S: Subject>(
    store: Store,
    markets: Markets,
    subject: impl Fn(&Stream) -> S,
    events: u32,
    recorder: Arc<dyn Recorder>,
) -> Result<()> {
    let markets = Arc::new(markets);
    let board = Arc::new(Board::new(&markets));
    let store = store.recorded(recorder);
    let config = config(Duration::from_secs(5), true);
    let cancel = CancellationToken::new();
    let stopped = observer::run(config, store.clone(), markets, subject, Arc::clone(&board), cancel).await?;
    ensure!(stopped.is_empty(), "observers had to stop: {stopped:?}");
    let executed: u64 = board.snapshots().iter().map(|observer| observer.next.get()).sum();
    ensure!(executed == u64::from(events), "{executed} of {events} events were executed");
    store.close().await?;
    Ok(())
}

/// How many events the checkpoints say are executed.
pub async fn executed(store: &Store) -> Result<u64> {
    let all = checkpoints::Entity::find().all(store.connection()).await?;
    Ok(all.iter().map(|checkpoint| checkpoint.events_total.unsigned_abs()).sum())
}
