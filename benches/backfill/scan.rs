//! Looking for a market's events in the ledger's transactions, of which few have any.
//!
//! The worker is a process of its own, like the node: what counts are the versions that it has looked through, from its start
//! to its end.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use event_worker::simulate::CONTRACT;
use event_worker::state::entities::checkpoints;
use event_worker::state::{DatabaseUrl, Store};
use sea_orm::EntityTrait;

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::support::node::Node;
use crate::support::program;
use crate::turns::median;
use crate::worker;

/// The market's events, and so many versions from one of its transactions to the next.
const EVENTS: u32 = 150;
const SPACING: u32 = 5_000;
/// Where the simulated market begins.
const FIRST: u32 = 6_000_000;

/// From an empty database to the end of the ledger, by that `SUBJECT`.
pub async fn measure(case: &Case, subject: &str, settings: &Settings, folder: &Path) -> Result<Figures> {
    let node = Node::start(&[("--events", &EVENTS), ("--spacing", &SPACING), ("--seed", &settings.seed)], folder)?;
    let text = format!("name = \"imart\"\nlike = \"imart\"\naddress = \"{CONTRACT}\"\nfirst_version = {FIRST}\n");
    std::fs::write(folder.join("market.toml"), text)?;
    let stream = node.url.trim_end_matches("/v1");
    let arguments = ["run", "--until-caught-up", "--api-listen", "off", "--node-url", &node.url];
    let arguments =
        [&arguments[..], &["--markets", "market.toml", "--subject", subject, "--stream-url", stream]].concat();
    let (mut speeds, mut peaks, mut versions) = (vec![], vec![], 0.0);
    for _ in 0..settings.reps {
        let scan = async |url: DatabaseUrl| {
            let took = program::run(&arguments, &url, folder).await?;
            Ok((took, scanned(&url).await?))
        };
        let (took, scanned) = case.server.with_database(folder, scan).await?;
        versions = f64::from(scanned - FIRST);
        speeds.push(versions / took.time.as_secs_f64());
        eprintln!("{}: {scanned} in {:.2} s", case.name, took.time.as_secs_f64());
        peaks.extend(took.peak_mb);
    }
    Ok(Figures::of(case)
        .with_number("versions", versions, 0)
        .with_number("versions_per_s", median(speeds), 0)
        .with("peak_rss_mb", peaks.into_iter().reduce(f64::max)))
}

/// The version up to which all streams have been looked for, once they are all there.
async fn scanned(url: &DatabaseUrl) -> Result<u32> {
    let store = Store::connect(url).await?;
    let executed = worker::executed(&store).await?;
    ensure!(executed == u64::from(EVENTS), "{executed} of {EVENTS} events were executed");
    let all = checkpoints::Entity::find().all(store.connection()).await?;
    let reached = all.iter().map(|checkpoint| checkpoint.scanned_version).min().flatten();
    store.close().await?;
    Ok(u32::try_from(reached.context("nothing was looked through")?)?)
}
