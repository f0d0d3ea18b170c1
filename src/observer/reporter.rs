//! Telling other processes what stands on the board: `observer_status`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Snapshot};
use super::speed::Speed;
use super::watch::{SILENCE, Whom};
use crate::chain::SeqNo;
use crate::state::{ObserverReport, Store, StoreError};

const TICK: Duration = Duration::from_secs(1);
/// Unchanged, a report is written this often all the same: its age tells that the worker lives.
const HEARTBEAT: u32 = 5;
/// No report is worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells until `stop`, and then once more. Keeps watch meanwhile.
pub(super) async fn run(store: Store, board: Arc<Board>, worker: String, stop: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut speed = Speed::default();
    let mut reported: Vec<ObserverReport> = vec![];
    let mut failing: Option<Instant> = None;
    for tick in 0.. {
        let ends = stop.run_until_cancelled(ticks.tick()).await.is_none();
        let beat = tick % HEARTBEAT == 0;
        let snapshots = board.snapshots();
        let reports = reports(&snapshots, &mut speed, &worker);
        board.observe(|observed| observed.rates = rates(&reports));
        if ends || reports != reported || beat || failing.is_some() {
            let written = timeout(PATIENCE, store.report(reports.clone())).await;
            if let Ok(Err(error)) = &written {
                tracing::debug!("observer_status could not be written: {error}");
            }
            failing = match (written, failing) {
                (Ok(Ok(())), before) => {
                    if before.is_some_and(|since| since.elapsed() >= SILENCE) {
                        board.database_works();
                    }
                    None
                }
                (_, before) => before.or_else(|| Some(Instant::now())),
            };
            reported = reports;
        }
        if ends {
            let executed: u64 = snapshots.iter().map(|observer| observer.next.get()).sum();
            tracing::info!("the worker ends: {executed} events are executed");
            return;
        }
        let silent = failing.map(|since| since.elapsed()).filter(|silent| *silent >= SILENCE);
        let answers = if beat || silent.is_some() || board.silent(Whom::Database).is_some() {
            look(&store, &board).await
        } else {
            true
        };
        // Even a worker with nothing to commit tells that it could not.
        if let Some(silent) = silent {
            board.database_is_silent(silent, answers);
        }
        board.watch(answers);
    }
}

/// Reads what the metrics tell of the database; whether it answered.
async fn look(store: &Store, board: &Board) -> bool {
    let read = async { Ok::<_, StoreError>((store.parked().await?, store.unexpected().await?)) };
    match timeout(PATIENCE, read).await {
        Ok(Ok((parked, unexpected))) => {
            board.observe(|observed| {
                (observed.is_read, observed.parked, observed.unexpected) = (true, parked, unexpected);
            });
            true
        }
        Ok(Err(_)) | Err(_) => false,
    }
}

fn rates(reports: &[ObserverReport]) -> BTreeMap<String, f64> {
    reports.iter().map(|report| (report.observer.clone(), report.rate)).collect()
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
    snapshots.iter().filter(|observer| !observer.elsewhere).map(report).collect()
}
