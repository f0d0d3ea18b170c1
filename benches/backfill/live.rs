//! How soon after the node shows an event it is committed, and what a worker costs that has nothing to do.
//!
//! The node is in this process: a transaction at a time is put on its chain, whenever the rate says that it is due, and the
//! moment is noted for each of its events. The worker is in this process, too, and its board is looked at every millisecond:
//! an event that it shows as executed has been committed, a moment ago. So the figures are at most some milliseconds too
//! high, never too low. The idle workers are processes of their own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_worker::observer::{self, Board};
use event_worker::simulate;
use event_worker::state::DatabaseUrl;
use tokio::net::TcpListener;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cases::{Case, Figures, LIVE_P50_MS, LIVE_P99_MS, LIVE_POLL};
use crate::report::Settings;
use crate::sink;
use crate::support::database::Server;
use crate::support::program;
use crate::worker;

/// Between two events: 100 a second.
const PACE: Duration = Duration::from_millis(10);
/// What is there before, so that all streams have something to go on with.
const HISTORY: u64 = 2_000;
/// How long everything else may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long an idle worker is watched, after a pause in which it settles down.
const IDLE: Duration = Duration::from_secs(10);
const SETTLING: Duration = Duration::from_secs(3);

/// Follows a live market, then two idle ones.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let latencies = case.server.with_database(folder, async |url| follow(settings, &url).await).await?;
    eprintln!("{}: {} events followed", case.name, latencies.len());
    let idle =
        tokio::try_join!(idle(case.server, "5s", settings, folder), idle(case.server, "100ms", settings, folder),)?;
    Ok(Figures::of(case)
        .with("events", latencies.len())
        .with_number("p50_ms", nearest_rank(&latencies, 50), 1)
        .with("p50_bar_ms", LIVE_P50_MS)
        .with_number("p99_ms", nearest_rank(&latencies, 99), 1)
        .with("p99_bar_ms", LIVE_P99_MS)
        .with("idle_cpu_percent", idle.0)
        .with("idle_cpu_percent_at_100ms", idle.1))
}

/// From shown to committed, of every event in ascending milliseconds.
async fn follow(settings: &Settings, url: &DatabaseUrl) -> Result<Vec<f64>> {
    let config = simulate::Config { seed: settings.seed, events: HISTORY, ..simulate::Config::default() };
    let node = simulate::Node::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let markets = Arc::new(worker::imart()?);
    let handles = worker::handles(&format!("http://{}/v1", listener.local_addr()?))?;
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    tokio::spawn(Arc::clone(&node).serve(listener, cancel.clone()));

    let board = Arc::new(Board::new(&markets));
    let store = worker::prepared(url, &markets).await?;
    let config = worker::config(LIVE_POLL, false);
    let worker = observer::run(config, store.clone(), markets, handles, Arc::clone(&board), cancel.clone());
    let worker = tokio::spawn(worker);

    let mut watch = Watch::new(&node, &board).await?;
    watch.emit_and_look(Duration::from_secs(settings.live_seconds)).await?;
    let mut latencies = watch.latencies;
    cancel.cancel();
    let stopped = worker.await??;
    ensure!(stopped.is_empty(), "observers had to stop: {stopped:?}");
    store.close().await?;
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

struct Watch<'a> {
    node: &'a simulate::Node,
    board: &'a Board,
    /// When each event was shown, by stream, from the history's end on.
    shown: Vec<Vec<Instant>>,
    /// How many events of the history each stream has.
    before: Vec<u64>,
    /// How many of the others are known to be committed, by stream.
    done: Vec<usize>,
    latencies: Vec<f64>,
}

impl<'a> Watch<'a> {
    /// Waits until the worker has caught up with the history. Streams of node and board are in the same order.
    async fn new(node: &'a simulate::Node, board: &'a Board) -> Result<Self> {
        let before = counters(node);
        let caught_up = async {
            while executed(board) != before {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, caught_up).await.context("the worker does not catch up with the history")?;
        let streams = before.len();
        Ok(Self { node, board, shown: vec![vec![]; streams], before, done: vec![0; streams], latencies: vec![] })
    }

    /// Emits for so long, and looks until everything is committed.
    async fn emit_and_look(&mut self, time: Duration) -> Result<()> {
        let mut ticks = interval(Duration::from_millis(1));
        let (start, before) = (Instant::now(), self.before.iter().sum::<u64>());
        let mut emitted = 0;
        while start.elapsed() < time || self.latencies.len() < usize::try_from(emitted)? {
            ticks.tick().await;
            if start.elapsed() < time && PACE * emitted <= start.elapsed() {
                let now = Instant::now();
                self.node.emit(1);
                self.note(now);
                emitted = u32::try_from(counters(self.node).iter().sum::<u64>() - before)?;
            }
            self.look();
            ensure!(start.elapsed() < time + PATIENCE, "{} of {emitted} events are committed", self.latencies.len());
        }
        Ok(())
    }

    fn note(&mut self, now: Instant) {
        for ((shown, before), counter) in self.shown.iter_mut().zip(&self.before).zip(counters(self.node)) {
            shown.resize(usize::try_from(counter - before).unwrap_or(usize::MAX), now);
        }
    }

    fn look(&mut self) {
        let positions = executed(self.board);
        let now = Instant::now();
        for (stream, position) in positions.into_iter().enumerate() {
            let until = usize::try_from(position - self.before[stream]).unwrap_or(usize::MAX);
            let new = &self.shown[stream][self.done[stream]..until];
            self.latencies.extend(new.iter().map(|shown| (now - *shown).as_secs_f64() * 1e3));
            self.done[stream] = until;
        }
    }
}

fn counters(node: &simulate::Node) -> Vec<u64> {
    node.counters().into_iter().map(|(_, counter)| counter).collect()
}

fn executed(board: &Board) -> Vec<u64> {
    board.snapshots().iter().map(|observer| observer.next.get()).collect()
}

/// Percent of a core that a worker process takes that has caught up and finds nothing new.
async fn idle(server: Server, poll_interval: &str, settings: &Settings, folder: &Path) -> Result<Option<f64>> {
    const EVENTS: u32 = 1_000;
    let node = sink::history(EVENTS, settings, folder)?;
    let arguments =
        ["run", "--poll-interval", poll_interval, "--api-listen", "127.0.0.1:0", "--node-url", node.url.as_str()];
    let watch = async |url: DatabaseUrl| {
        let store = worker::prepared(&url, &worker::imart()?).await?;
        let process = program::start(&arguments, &url, folder)?;
        let caught_up = async {
            while worker::executed(&store).await? != u64::from(EVENTS) {
                sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, caught_up).await.context("the worker does not catch up")??;
        store.close().await?;
        sleep(SETTLING).await;
        let id = process.id().context("the worker has ended")?;
        let (start, before) = (Instant::now(), program::cpu_of(id));
        sleep(IDLE).await;
        let took = program::cpu_of(id).zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(took.map(|took| (took.as_secs_f64() / start.elapsed().as_secs_f64() * 1e4).round() / 1e2))
    };
    server.with_database(folder, watch).await
}

/// The smallest figure that so many percent do not exceed; they are sorted.
fn nearest_rank(figures: &[f64], percent: usize) -> f64 {
    let rank = (figures.len() * percent).div_ceil(100);
    figures.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
