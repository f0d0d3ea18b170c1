//! Verifying a database, against the backfill that filled it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use event_worker::state::{DatabaseUrl, Store};
use event_worker::subject::{self, Nodes};
use event_worker::verify::{self, Config, Progress};
use serde_json::{Value, json};

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::sink;
use crate::support::program;
use crate::turns::Turns;
use crate::worker;

/// The bound of the runs that tell the peak memory, in MB.
const MEMORY: &str = "32";

/// Both in turns, then verifying alone in a process for its memory.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let Case { name, server, .. } = *case;
    let node = sink::history(settings.events, settings, folder)?;
    let mut turns = Turns::new(case, "backfill_per_s", settings.reps);
    for _ in 0..settings.reps {
        let both = async |url: DatabaseUrl| {
            let filled = worker::time(&node.url, settings.events, &url).await?;
            Ok((time(&node.url, &url).await?, filled))
        };
        let (verified, filled) = server.with_database(folder, both).await?;
        turns.push((settings.events, verified), (settings.events, filled));
    }
    drop(node);
    let mut peaks = vec![];
    for events in settings.memory_events {
        let node = sink::history(events, settings, folder)?;
        let peak = async |url: DatabaseUrl| {
            worker::time(&node.url, events, &url).await?;
            let arguments = ["verify", "--memory-mb", MEMORY, "--node-url", &node.url];
            Ok(program::run(&arguments, &url, folder).await?.peak_mb)
        };
        let peak = server.with_database(folder, peak).await?;
        eprintln!("{name}: peak memory for {events} events: {}", program::shown(peak));
        peaks.push((events, peak));
    }
    Ok(turns
        .tell(Figures::of(case), "ratio_to_backfill")
        .with("peak_rss_mb", peaks.last().and_then(|peak| peak.1))
        .with("memory", peaks.iter().map(|(events, mb)| json!({"events": events, "rss_mb": mb})).collect::<Value>()))
}

/// How long it takes from connecting to the certificate.
async fn time(node: &str, url: &DatabaseUrl) -> Result<Duration> {
    let node = node.parse().map_err(anyhow::Error::msg)?;
    let nodes = Nodes::new(subject::Config { nodes: vec![(node, None)], archive: None }).map_err(anyhow::Error::msg)?;
    let config = Config { memory: 256_000_000, shown: 10, sample: 0, seed: 0 };
    let start = Instant::now();
    let store = Store::connect(url).await?;
    let markets = worker::imart()?;
    let certificate =
        verify::run(&store, &markets, Some(Arc::new(nodes)), &config, Arc::new(Progress::default())).await?;
    let took = start.elapsed();
    store.close().await?;
    ensure!(certificate.verified, "{certificate}");
    Ok(took)
}
