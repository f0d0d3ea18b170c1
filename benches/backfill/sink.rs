//! The worker into a database, against the bare cost of its rows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use event_worker::state::{DatabaseUrl, Store};
use serde_json::{Value, json};

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::support::node::Node;
use crate::support::program;
use crate::tape::{Tape, Transaction, replay};
use crate::turns::Turns;
use crate::worker;

/// One recorded run, then worker and replay in turns, then the worker alone in a process for its memory.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let Case { name, server, .. } = *case;
    let node = history(settings.events, settings, folder)?;
    let (database, tape) = server.with_database(folder, async |url| record(case, settings, &node, &url).await).await?;
    let mut turns = Turns::new(case, "bare_per_s", settings.reps);
    for _ in 0..settings.reps {
        let ours =
            server.with_database(folder, async |url| worker::time(&node.url, settings.events, &url).await).await?;
        let tape = tape.clone();
        let bare = server.with_database(folder, async |url| bare(&url, tape).await).await?;
        turns.push((settings.events, ours), (settings.events, bare));
    }
    drop(node);
    let mut peaks = vec![];
    for events in settings.memory_events {
        let node = history(events, settings, folder)?;
        let arguments = ["run", "--until-caught-up", "--api-listen", "off", "--node-url", &node.url];
        let took = server.with_database(folder, async |url| program::run(&arguments, &url, folder).await).await?;
        let peak = took.peak_mb;
        eprintln!("{name}: peak memory for {events} events: {}", program::shown(peak));
        peaks.push((events, peak));
    }
    let figures = Figures::of(case).with("database", database);
    Ok(turns
        .tell(figures, "ratio_to_bare")
        // Of the larger number of events.
        .with("peak_rss_mb", peaks.last().and_then(|peak| peak.1))
        .with("commits", tape.len())
        .with("writes", tape.iter().map(Vec::len).sum::<usize>())
        .with("memory", peaks.iter().map(|(events, mb)| json!({"events": events, "rss_mb": mb})).collect::<Value>()))
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
    let handles = worker::handles(&node.url)?;
    worker::backfill(store, worker::imart()?, handles, settings.events, tape.clone()).await?;
    Ok((version, tape.take()))
}

/// How long the replay takes.
async fn bare(url: &DatabaseUrl, tape: Vec<Transaction>) -> Result<Duration> {
    let store = prepared(url).await?;
    let took = replay(&store, tape).await?;
    store.close().await?;
    Ok(took)
}

async fn prepared(url: &DatabaseUrl) -> Result<Store> {
    worker::prepared(url, &worker::imart()?).await
}
