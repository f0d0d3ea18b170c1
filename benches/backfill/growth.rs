//! What becomes of the worker once there is much: its speed at the end of a long history against that near its beginning,
//! its memory, how long it takes to start, and how large the database is. Only with `--long`.
//!
//! The worker is a process of its own. How far it is says the database, which is asked ten times a second.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_worker::simulate;
use event_worker::state::{DatabaseUrl, Store};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::sink;
use crate::support::program;
use crate::turns::median;
use crate::worker;

/// Between two looks at the checkpoints.
const LOOK: Duration = Duration::from_millis(100);
/// Starts of the worker; the median counts.
const STARTS: usize = 5;
/// How long a start may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a server is set up that holds so much; by default `MariaDB` keeps 128 MB in memory.
pub const MARIADB: &str = "--innodb-buffer-pool-size=12G --innodb-log-file-size=4G";

/// When so many events had been executed.
type Sample = (Instant, u64);

/// Executes all of a long history, then starts anew.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let server = case.server;
    let events = u64::from(settings.long_events);
    let node = sink::history(settings.long_events, settings, folder)?;
    let figures = async |url| {
        let store = worker::prepared(&url, &worker::imart()?).await?;
        let database = server.version(&store).await?;
        let (samples, peak_mb) = grow(case, &node.url, &store, events, &url, folder).await?;
        // Around 100,000 events, and the last 200,000.
        let small = speed(&samples, (events / 4).min(50_000), (events / 2).min(150_000))?;
        let large = speed(&samples, events - (events / 4).min(200_000), events)?;
        let indexes_s = indexes(&samples, events)?;
        let startup_ms = startup(&url, folder).await?;
        let database_mb = server.megabytes(&store).await?;
        store.close().await?;
        Ok(Figures::of(case)
            .with("database", database)
            .with("events", events)
            .with_number("events_per_s", large, 0)
            .with_number("small_per_s", small, 0)
            .with_number("ratio_to_small", large / small, 3)
            .with_number("indexes_s", indexes_s, 1)
            .with_number("startup_ms", startup_ms, 1)
            .with("peak_rss_mb", peak_mb)
            .with("database_mb", database_mb)
            .with("node_peak_rss_mb", node.peak_mb()))
    };
    server.with_database(folder, figures).await
}

/// Executes everything there is; returns how that went on, and the worker's peak memory.
async fn grow(
    case: &Case,
    node: &str,
    store: &Store,
    events: u64,
    url: &DatabaseUrl,
    folder: &Path,
) -> Result<(Vec<Sample>, Option<f64>)> {
    let arguments = ["run", "--until-caught-up", "--api-listen", "off", "--node-url", node];
    let mut process = program::start(&arguments, url, folder)?;
    let (mut samples, mut peak_mb, mut told) = (vec![], None, 0);
    let status = loop {
        // Once it has ended there is nothing to read.
        peak_mb = process.id().and_then(program::peak_of).or(peak_mb);
        let executed = worker::executed(store).await?;
        samples.push((Instant::now(), executed));
        if executed / 100_000 > told {
            told = executed / 100_000;
            eprintln!("{}: {executed} of {events} events", case.name);
        }
        if let Ok(ended) = timeout(LOOK, process.wait()).await {
            break ended?;
        }
    };
    samples.push((Instant::now(), worker::executed(store).await?));
    ensure!(status.success(), "the worker failed: {status}");
    ensure!(samples.last().is_some_and(|sample| sample.1 == events), "not all of {events} events were executed");
    Ok((samples, peak_mb))
}

/// Events per second from one number of events to another.
fn speed(samples: &[Sample], from: u64, to: u64) -> Result<f64> {
    let reached = |events| samples.iter().find(|sample| sample.1 >= events).context("the worker never got there");
    let ((start, first), (end, last)) = (*reached(from)?, *reached(to)?);
    ensure!(start < end, "too few events to tell the speed between {from} and {to}: use a larger --long-events");
    Ok(f64::from(u32::try_from(last - first)?) / (end - start).as_secs_f64())
}

/// Seconds from the last event to the end, in which the indexes for readers were made.
fn indexes(samples: &[Sample], events: u64) -> Result<f64> {
    let done = samples.iter().find(|sample| sample.1 >= events).context("the worker never got there")?;
    let (end, _) = samples.last().context("no samples")?;
    Ok((*end - done.0).as_secs_f64())
}

/// Milliseconds from the start of the process to its first request, as the node sees it.
async fn startup(url: &DatabaseUrl, folder: &Path) -> Result<f64> {
    let config = simulate::Config { events: 0, ..simulate::Config::default() };
    let (node, listener) = (simulate::Node::new(config), TcpListener::bind("127.0.0.1:0").await?);
    let address = format!("http://{}/v1", listener.local_addr()?);
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(Arc::clone(&node).serve(listener, stop));
    let mut times = vec![];
    for _ in 0..STARTS {
        let before = node.requests();
        let start = Instant::now();
        let mut process = program::start(&["run", "--api-listen", "off", "--node-url", &address], url, folder)?;
        let asked = async {
            while node.requests() == before {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, asked).await.context("the worker does not start")?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        // One that is killed leaves its leases, for which the next would wait.
        program::terminate(&mut process).await?;
    }
    Ok(median(times))
}
