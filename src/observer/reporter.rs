//! Telling what stands on the board: `observer_status` for other processes, a line of progress for the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Snapshot, State};
use crate::chain::SeqNo;
use crate::state::{ObserverReport, Store};

const TICK: Duration = Duration::from_secs(1);
/// Unchanged, a report is written this often all the same: its age tells that the worker lives.
const HEARTBEAT: u32 = 5;
/// A line of progress, while there is progress to tell.
const PROGRESS: u32 = 5;
/// No report is worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells until `stop`, and then once more.
pub(super) async fn run(store: Store, board: Arc<Board>, worker: String, stop: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut speed = Speed::default();
    let mut reported: Vec<ObserverReport> = vec![];
    for tick in 1.. {
        let ends = stop.run_until_cancelled(ticks.tick()).await.is_none();
        let snapshots = board.snapshots();
        let reports = reports(&snapshots, &mut speed, &worker);
        if ends || reports != reported || tick % HEARTBEAT == 0 {
            // A database that does not answer is told about by the writer.
            if let Ok(Err(error)) = timeout(PATIENCE, store.report(reports.clone())).await {
                tracing::debug!("observer_status could not be written: {error}");
            }
            reported = reports;
        }
        if ends {
            let executed: u64 = snapshots.iter().map(|observer| observer.next.get()).sum();
            tracing::info!("the worker ends: {executed} events are executed");
            return;
        }
        if tick % PROGRESS == 0 {
            progress(&snapshots, &speed);
        }
    }
}

/// Events per second, smoothed.
#[derive(Default)]
struct Speed {
    before: HashMap<Arc<str>, (SeqNo, Instant, f64)>,
}

impl Speed {
    fn observe(&mut self, observer: &Snapshot) -> f64 {
        /// The newest second's share.
        const WEIGHT: f64 = 0.4;
        let now = Instant::now();
        let (next, then, rate) = self.before.get(&observer.observer).copied().unwrap_or((observer.next, now, 0.0));
        let seconds = now.duration_since(then).as_secs_f64();
        let mut rate = rate;
        if seconds > 0.0 {
            let events = u32::try_from(next.until(observer.next)).unwrap_or(u32::MAX);
            rate += WEIGHT * (f64::from(events) / seconds - rate);
        }
        rate = if rate < 0.05 { 0.0 } else { rate };
        self.before.insert(Arc::clone(&observer.observer), (observer.next, now, rate));
        rate
    }

    fn total(&self) -> f64 {
        self.before.values().map(|(_, _, rate)| rate).sum()
    }
}

fn reports(snapshots: &[Snapshot], speed: &mut Speed, worker: &str) -> Vec<ObserverReport> {
    let report = |observer: &Snapshot| ObserverReport {
        observer: observer.observer.to_string(),
        state: observer.state.name().to_owned(),
        cause: observer.cause.map(|cause| cause.to_string()),
        last_error: observer.last_error.clone(),
        rate: (speed.observe(observer) * 10.0).round() / 10.0,
        counter: observer.counter.map(SeqNo::get),
        lag_seconds: observer.lag_seconds,
        worker: worker.to_owned(),
        since: observer.since,
    };
    snapshots.iter().map(report).collect()
}

fn progress(snapshots: &[Snapshot], speed: &Speed) {
    if !snapshots.iter().any(|observer| observer.state == State::CatchingUp) {
        return;
    }
    let executed: u64 = snapshots.iter().map(|observer| observer.next.get()).sum();
    let known: u64 = snapshots.iter().map(|observer| observer.counter.unwrap_or(observer.next).get()).sum();
    let waiting = snapshots.iter().filter(|observer| matches!(observer.state, State::Waiting | State::Stopped)).count();
    let waiting = if waiting > 0 { format!(", {waiting} observers do not get on") } else { String::new() };
    tracing::info!(
        "catching up: {executed} of at least {known} events executed, {:.0} a second{waiting}",
        speed.total()
    );
}
