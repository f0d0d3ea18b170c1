//! The worker into a database, against the bare cost of its rows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use event_worker::state::{DatabaseUrl, Store};
use serde_json::{Value, json};

use crate::cases::{Case, Figures, rounded};
use crate::report::Settings;
use crate::support::node::Node;
use crate::support::program;
use crate::tape::{Tape, Transaction, replay};
use crate::turns::{Turns, median, per_second};
use crate::ways::{Way, contents, play};
use crate::worker;

/// One recorded run, then worker and replay in turns, then the worker alone in a process for its memory.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let server = case.server;
    let node = history(settings.events, settings, folder)?;
    let (database, tape) = server.with_database(folder, async |url| record(case, settings, &node, &url).await).await?;
    let mut turns = Turns::new(case, "bare_per_s", settings.reps);
    let mut others: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..settings.reps {
        let ours =
            server.with_database(folder, async |url| worker::time(&node.url, settings.events, &url).await).await?;
        let copy = tape.clone();
        let (bare, rows) = server.with_database(folder, async |url| bare(&url, copy).await).await?;
        turns.push((settings.events, ours), (settings.events, bare));
        for way in Way::of(server.backend(), settings.all_ways) {
            let (took, same) = server.with_database(folder, async |url| other(&url, *way, &tape).await).await?;
            ensure!(same == rows, "{way} leads to other rows");
            others.entry(way.to_string()).or_default().push(per_second(settings.events, took));
        }
    }
    drop(node);
    let mut peaks = vec![];
    for events in settings.memory_events {
        let node = history(events, settings, folder)?;
        peaks.push((events, peak(case, &node, events, folder).await?));
    }
    let bare = turns.others_median();
    let ways: BTreeMap<_, _> = others.into_iter().map(|(way, runs)| (way, median(runs))).collect();
    let bare_too = [("bare", bare)].into_iter();
    let all = ways.iter().map(|(way, per_s)| (way.as_str(), *per_s)).chain(bare_too);
    let (best, best_per_s) = all.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("bare", bare));
    let figures = Figures::of(case).with("database", database);
    Ok(turns
        .tell(figures, "ratio_to_bare")
        .with("best", best)
        .with_number("best_per_s", best_per_s, 0)
        .with_number("bare_to_best", bare / best_per_s, 3)
        .with(
            "ways",
            ways.iter().map(|(way, per_s)| json!({"way": way, "per_s": rounded(*per_s, 0)})).collect::<Value>(),
        )
        // Of the larger number of events.
        .with("peak_rss_mb", peaks.last().and_then(|peak| peak.1))
        .with("commits", tape.len())
        .with("writes", tape.iter().map(Vec::len).sum::<usize>())
        .with("memory", peaks.iter().map(|(events, mb)| json!({"events": events, "rss_mb": mb})).collect::<Value>()))
}

/// The peak memory of a worker process that executes the `events` of `node`, in MB.
pub async fn peak(case: &Case, node: &Node, events: u32, folder: &Path) -> Result<Option<f64>> {
    let arguments = ["run", "--until-caught-up", "--api-listen", "off", "--node-url", &node.url];
    let took = case.server.with_database(folder, async |url| program::run(&arguments, &url, folder).await).await?;
    eprintln!("{}: peak memory for {events} events: {}", case.name, program::shown(took.peak_mb));
    Ok(took.peak_mb)
}

/// A node with so many events.
pub fn history(events: u32, settings: &Settings, folder: &Path) -> Result<Node> {
    Node::start(&[("--events", &events), ("--seed", &settings.seed)], folder)
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
    let markets = worker::imart()?;
    let handles = worker::handles(&node.url)?;
    worker::backfill(store, markets, handles, settings.events, tape.clone()).await?;
    Ok((version, tape.take()))
}

/// How long the replay takes, and what it leads to.
async fn bare(url: &DatabaseUrl, tape: Vec<Transaction>) -> Result<(Duration, Vec<String>)> {
    let store = prepared(url).await?;
    let took = undisturbed({
        let store = store.clone();
        async move { replay(&store, tape).await }
    })
    .await?;
    let rows = contents(&store).await?;
    store.close().await?;
    Ok((took, rows))
}

/// The same for another way.
async fn other(url: &DatabaseUrl, way: Way, tape: &[Transaction]) -> Result<(Duration, Vec<String>)> {
    let store = prepared(url).await?;
    let plan = way.plan(tape)?;
    let took = undisturbed({
        let store = store.clone();
        async move { play(&store, plan).await }
    })
    .await?;
    let rows = contents(&store).await?;
    store.close().await?;
    Ok((took, rows))
}

/// Runs `writes` as the worker's writer does: on a thread that also listens to the database.
async fn undisturbed(writes: impl Future<Output = Result<Duration>> + Send + 'static) -> Result<Duration> {
    tokio::spawn(writes).await?
}

async fn prepared(url: &DatabaseUrl) -> Result<Store> {
    worker::prepared(url, &worker::imart()?).await
}
