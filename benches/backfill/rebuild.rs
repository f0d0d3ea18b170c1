//! Rebuilding the tables of a database, against the backfill that filled it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use event_worker::market::Stream;
use event_worker::observer::{self, Board};
use event_worker::state::{DatabaseUrl, Rebuild, Store, StoredEvents, Swap};
use tokio_util::sync::CancellationToken;

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::sink;
use crate::turns::Turns;
use crate::worker;

/// Both in turns.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let node = sink::history(settings.events, settings, folder)?;
    let mut turns = Turns::new(case, "backfill_per_s", settings.reps);
    for _ in 0..settings.reps {
        let both = async |url: DatabaseUrl| {
            let filled = worker::time(&node.url, settings.events, &url).await?;
            Ok((time(settings.events, &url).await?, filled))
        };
        let (rebuilt, filled) = case.server.with_database(folder, both).await?;
        turns.push((settings.events, rebuilt), (settings.events, filled));
    }
    Ok(turns.tell(Figures::of(case), "ratio_to_backfill"))
}

/// How long it takes from connecting until the new tables are in place; verifying, with which the command ends, is another case.
async fn time(events: u32, url: &DatabaseUrl) -> Result<Duration> {
    let start = Instant::now();
    let (store, markets) = (Store::connect(url).await?, Arc::new(worker::imart()?));
    let config = worker::config(Duration::from_secs(5), true);
    let rebuild = Rebuild::begin(&store, &config.worker, &markets, true).await?;
    let board = Arc::new(Board::new(&markets));
    let stored = |stream: &Stream| StoredEvents::new(rebuild.store.clone(), &stream.observer);
    let folding = observer::run(
        config.clone(),
        rebuild.store.clone(),
        markets,
        stored,
        Arc::clone(&board),
        CancellationToken::new(),
    );
    let stopped = folding.await?;
    ensure!(stopped.is_empty(), "observers had to stop: {stopped:?}");
    store.seize(&config.worker, Duration::from_mins(1)).await?;
    ensure!(rebuild.swap().await? == Swap::Done, "somebody else writes");
    let took = start.elapsed();
    let folded: u64 = board.snapshots().iter().map(|observer| observer.next.get()).sum();
    ensure!(folded == u64::from(events), "{folded} of {events} events were folded");
    store.close().await?;
    Ok(took)
}
