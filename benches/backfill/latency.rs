//! The worker reading a node whose answers take long, against the same from one that answers at once.
//!
//! Both have the same events, and take turns into the same kind of database; then a worker process reads the far one for its memory. The node waits without working: it answers
//! any number of requests at once, and a page costs it less than 0.1 ms of a core.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::sink;
use crate::support::node::Node;
use crate::turns::Turns;
use crate::worker;

/// Near and far node in turns.
pub async fn measure(case: &Case, latency: Duration, settings: &Settings, folder: &Path) -> Result<Figures> {
    let server = case.server;
    let events = settings.events;
    let near = sink::history(events, settings, folder)?;
    let milliseconds = format!("{}ms", latency.as_millis());
    let far = Node::start(&[("--events", &events), ("--seed", &settings.seed), ("--latency", &milliseconds)], folder)?;
    let mut turns = Turns::new(case, "sink_per_s", settings.reps);
    for _ in 0..settings.reps {
        let sink = server.with_database(folder, async |url| worker::time(&near.url, events, &url).await).await?;
        let ours = server.with_database(folder, async |url| worker::time(&far.url, events, &url).await).await?;
        turns.push((events, ours), (events, sink));
    }
    let peak = sink::peak(case, &far, events, folder).await?;
    Ok(turns.tell(Figures::of(case), "ratio_to_sink").with("peak_rss_mb", peak))
}
