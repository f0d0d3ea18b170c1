//! The worker into a database, against the bare cost of its rows.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_worker::market::{Market, Markets, Stream};
use event_worker::observer::{self, Board};
use event_worker::state::{DatabaseUrl, Recorder, Store};
use event_worker::subject::{self, EventHandle, Nodes};
use tokio_util::sync::CancellationToken;

use crate::cases::{Case, Figures, Peak, Run};
use crate::report::Settings;
use crate::support::node::Node;
use crate::support::program;
use crate::tape::{LastCommit, Tape, Transaction, replay};

/// One recorded run, then worker and replay in turns, then the worker alone in a process for its memory.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let Case { name, server } = *case;
    let node = history(settings.events, settings, folder)?;
    let (database, tape) = server.with_database(folder, async |url| record(case, settings, &node, &url).await).await?;
    let mut runs = vec![];
    for rep in 1..=settings.reps {
        let ours = server.with_database(folder, async |url| work(&node, settings.events, &url).await).await?;
        let tape = tape.clone();
        let bare = server.with_database(folder, async |url| bare(&url, tape).await).await?;
        let run =
            Run { events_per_s: per_second(settings.events, ours), bare_per_s: per_second(settings.events, bare) };
        eprintln!(
            "{name}: run {rep} of {}: {:.0} events/s, bare {:.0}/s",
            settings.reps, run.events_per_s, run.bare_per_s
        );
        runs.push(run);
    }
    drop(node);
    let mut peaks = vec![];
    for events in settings.memory_events {
        let node = history(events, settings, folder)?;
        let arguments = ["run", "--until-caught-up", "--api-listen", "off", "--node-url", &node.url];
        let took = server.with_database(folder, async |url| program::run(&arguments, &url, folder).await).await?;
        let peak = took.peak_mb;
        eprintln!("{name}: peak memory for {events} events: {}", program::shown(peak));
        peaks.push(Peak { events, rss_mb: peak });
    }
    let (ours, bare) = (median(&runs, |run| run.events_per_s), median(&runs, |run| run.bare_per_s));
    Ok(Figures {
        case: name,
        database,
        events_per_s: ours.round(),
        bare_per_s: bare.round(),
        ratio_to_bare: (ours / bare * 1000.0).round() / 1000.0,
        peak_rss_mb: peaks.last().and_then(|peak| peak.rss_mb),
        commits: tape.len(),
        writes: tape.iter().map(Vec::len).sum(),
        runs,
        memory: peaks,
    })
}

fn history(events: u32, settings: &Settings, folder: &Path) -> Result<Node> {
    Node::start(&[("--events", u64::from(events)), ("--seed", settings.seed)], folder)
}

/// The server's version, and the writes of a run.
async fn record(
    case: &Case,
    settings: &Settings,
    node: &Node,
    url: &DatabaseUrl,
) -> Result<(String, Vec<Transaction>)> {
    let store = prepared(url).await?;
    let version = case.server.version(&store).await?;
    let tape = Arc::new(Tape::default());
    run(node, settings.events, store, tape.clone()).await?;
    Ok((version, tape.take()))
}

/// How long the worker takes.
async fn work(node: &Node, events: u32, url: &DatabaseUrl) -> Result<Duration> {
    let last = Arc::new(LastCommit::default());
    let store = prepared(url).await?;
    let start = Instant::now();
    run(node, events, store, last.clone()).await?;
    Ok(last.at().context("nothing was committed")? - start)
}

/// How long the replay takes.
async fn bare(url: &DatabaseUrl, tape: Vec<Transaction>) -> Result<Duration> {
    let store = prepared(url).await?;
    let took = replay(&store, tape).await?;
    store.close().await?;
    Ok(took)
}

/// Migrated and with checkpoints, as the worker finds it.
async fn prepared(url: &DatabaseUrl) -> Result<Store> {
    let store = Store::connect(url).await?;
    store.migrate_up().await?;
    store.prepare(&markets()?).await?;
    Ok(store)
}

/// The worker as `event-worker run --until-caught-up` puts it together; nothing may be missing at its end.
async fn run(node: &Node, events: u32, store: Store, recorder: Arc<dyn Recorder>) -> Result<()> {
    let markets = Arc::new(markets()?);
    let url = node.url.parse().map_err(anyhow::Error::msg)?;
    let config = subject::Config { nodes: vec![(url, None)], archive: None };
    let nodes = Arc::new(Nodes::new(config).map_err(anyhow::Error::msg)?);
    let subject = |stream: &Stream| {
        let handle = &stream.handle;
        EventHandle::new(Arc::clone(&nodes), handle.account, &handle.resource, &handle.field)
    };
    let board = Arc::new(Board::new(&markets));
    let config = observer::Config {
        poll_interval: Duration::from_secs(5),
        max_parked: 100,
        until_caught_up: true,
        worker: "bench".to_owned(),
    };
    let store = store.recorded(recorder);
    let cancel = CancellationToken::new();
    let stopped = observer::run(config, store.clone(), markets, subject, Arc::clone(&board), cancel).await?;
    ensure!(stopped.is_empty(), "observers had to stop: {stopped:?}");
    let executed: u64 = board.snapshots().iter().map(|observer| observer.next.get()).sum();
    ensure!(executed == u64::from(events), "{executed} of {events} events were executed");
    store.close().await?;
    Ok(())
}

fn markets() -> Result<Markets> {
    Markets::new(vec![Market::built_in("imart", None)?]).map_err(anyhow::Error::msg)
}

fn per_second(events: u32, time: Duration) -> f64 {
    f64::from(events) / time.as_secs_f64()
}

fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    let mut figures: Vec<_> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2])
}
