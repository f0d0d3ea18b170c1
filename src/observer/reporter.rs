//! Telling other processes what stands on the board: `observer_status`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Cause, Snapshot};
use super::speed::Speed;
use crate::chain::SeqNo;
use crate::state::{ObserverReport, Store};

const TICK: Duration = Duration::from_secs(1);
/// Unchanged, a report is written this often all the same: its age tells that the worker lives.
const HEARTBEAT: u32 = 5;
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
    // Whoever holds the lease tells.
    snapshots.iter().filter(|observer| observer.cause != Some(Cause::LeaseHeld)).map(report).collect()
}
