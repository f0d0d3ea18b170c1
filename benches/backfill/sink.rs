//! The worker into a database, against the bare cost of its rows.

use std::collections::BTreeMap;
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
use crate::ways::{Way, contents, play};

/// One recorded run, then worker and replay in turns, then the worker alone in a process for its memory.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let Case { name, server } = *case;
    let node = history(settings.events, settings, folder)?;
    let (database, tape) = server.with_database(folder, async |url| record(case, settings, &node, &url).await).await?;
    let mut runs = vec![];
    for rep in 1..=settings.reps {
        let ours = server.with_database(folder, async |url| work(&node, settings.events, &url).await).await?;
        let copy = tape.clone();
        let (bare, rows) = server.with_database(folder, async |url| bare(&url, copy).await).await?;
        let mut run = Run {
            events_per_s: per_second(settings.events, ours),
            bare_per_s: per_second(settings.events, bare),
            ways: BTreeMap::new(),
        };
        for way in Way::of(server.backend(), settings.all_ways) {
            let (took, same) = server.with_database(folder, async |url| other(&url, *way, &tape).await).await?;
            ensure!(same == rows, "{way} leads to other rows");
            run.ways.insert(way.to_string(), per_second(settings.events, took));
        }
        eprintln!(
            "{name}: run {rep} of {}: {:.0} events/s, bare {:.0}/s, {}",
            settings.reps,
            run.events_per_s,
            run.bare_per_s,
            run.ways.iter().map(|(way, per_s)| format!("{way} {per_s:.0}/s")).collect::<Vec<_>>().join(", ")
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
    let (best, best_per_s) = best(&runs, bare);
    Ok(Figures {
        case: name,
        database,
        events_per_s: ours.round(),
        bare_per_s: bare.round(),
        ratio_to_bare: (ours / bare * 1000.0).round() / 1000.0,
        best,
        best_per_s: best_per_s.round(),
        bare_to_best: (bare / best_per_s * 1000.0).round() / 1000.0,
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

/// How long the replay takes, and what it leads to.
async fn bare(url: &DatabaseUrl, tape: Vec<Transaction>) -> Result<(Duration, Vec<String>)> {
    let store = prepared(url).await?;
    let took = replay(&store, tape).await?;
    let rows = contents(&store).await?;
    store.close().await?;
    Ok((took, rows))
}

/// The same for another way.
async fn other(url: &DatabaseUrl, way: Way, tape: &[Transaction]) -> Result<(Duration, Vec<String>)> {
    let store = prepared(url).await?;
    let took = play(&store, way.plan(tape)?).await?;
    let rows = contents(&store).await?;
    store.close().await?;
    Ok((took, rows))
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

/// The fastest way, the replay included.
fn best(runs: &[Run], bare: f64) -> (String, f64) {
    let ways = runs.first().into_iter().flat_map(|run| run.ways.keys());
    let ways = ways.map(|way| (way.clone(), median(runs, |run| run.ways.get(way).copied().unwrap_or_default())));
    ways.chain([("bare".to_owned(), bare)]).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    let mut figures: Vec<_> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2])
}
