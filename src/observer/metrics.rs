//! What stands on the board, as metrics.

use std::collections::BTreeMap;

use super::board::{Board, Cause, Snapshot};
use crate::chain::Timestamp;
use crate::state::{Parked, now};
use crate::telemetry::metrics::{Kind, Metric};

/// What is counted, and what the database was last found to hold.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Events per second, by observer.
    pub rates: BTreeMap<String, f64>,
    /// Whether the database has been read.
    pub is_read: bool,
    pub parked: BTreeMap<String, Parked>,
    pub unexpected: i64,
    pub commits: u64,
    pub events: u64,
    pub database_waits: u64,
}

const OBSERVER: &[&str] = &["observer"];

/// All metrics of a worker, as they are now.
#[must_use]
pub fn metrics(board: &Board) -> Vec<Metric> {
    let (snapshots, observed) = (board.snapshots(), board.observed());
    let mut metrics = streams(&snapshots).to_vec();
    metrics.extend(standing(&snapshots));
    metrics.extend(stored(&snapshots, &observed));
    metrics.extend(work(&observed));
    metrics
}

fn streams(snapshots: &[Snapshot]) -> [Metric; 4] {
    let gauge = |name, help, value: fn(&Snapshot) -> Option<f64>| gauge(name, help, snapshots, value);
    [
        gauge("event_worker_executed_events", "Events of the stream that are executed, by whichever worker.", |one| {
            Some(float(one.next.get()))
        }),
        gauge("event_worker_emitted_events", "Events that the stream's handle has emitted, as last read.", |one| {
            one.counter.map(|counter| float(counter.get()))
        }),
        gauge("event_worker_behind_events", "Events that are emitted and not executed.", |one| {
            one.counter.map(|counter| float(one.next.until(counter)))
        }),
        gauge(
            "event_worker_lag_seconds",
            "Seconds between the last executed event and the chain's time; 0 at the end of the stream.",
            |one| one.lag_seconds.map(float),
        ),
    ]
}

fn standing(snapshots: &[Snapshot]) -> [Metric; 2] {
    let labels = |one: &Snapshot| {
        let cause = match (one.cause, &one.last_error) {
            // Who holds it is what there is to know.
            (Some(Cause::LeaseHeld), Some(held)) => held.clone(),
            (cause, _) => cause.map(|cause| cause.to_string()).unwrap_or_default(),
        };
        vec![one.observer.to_string(), one.state.name().to_owned(), cause]
    };
    [
        Metric {
            name: "event_worker_observer_state",
            help: "1 for what the observer is doing (state), and why it does not get on (cause, empty if it does).",
            kind: Kind::Gauge,
            labels: &["observer", "state", "cause"],
            series: snapshots.iter().map(|one| (labels(one), 1.0)).collect(),
        },
        gauge(
            "event_worker_observer_state_since_seconds",
            "Unix time at which the observer got into its state.",
            snapshots,
            |one| Some(seconds(one.since)),
        ),
    ]
}

/// What the database holds, as read every few seconds.
fn stored(snapshots: &[Snapshot], observed: &Observed) -> [Metric; 4] {
    let now = seconds(now());
    let parked = |one: &Snapshot| observed.parked.get(&*one.observer);
    let series = |value: &dyn Fn(&Snapshot) -> Option<f64>| -> Vec<_> {
        snapshots.iter().filter_map(|one| Some((vec![one.observer.to_string()], value(one)?))).collect()
    };
    let metric = |name, help, series| Metric { name, help, kind: Kind::Gauge, labels: OBSERVER, series };
    [
        metric(
            "event_worker_parked_events",
            "Events in dead_letters that are parked.",
            series(&|one| {
                observed.is_read.then(|| parked(one).map_or(0.0, |parked| float(parked.events.unsigned_abs())))
            }),
        ),
        metric(
            "event_worker_oldest_parked_age_seconds",
            "Seconds since the oldest of the parked events was parked; 0 if there is none.",
            series(&|one| {
                observed.is_read.then(|| parked(one).map_or(0.0, |parked| (now - seconds(parked.oldest)).max(0.0)))
            }),
        ),
        metric(
            "event_worker_events_per_second",
            "Events that are executed in a second, over the last seconds.",
            series(&|one| observed.rates.get(&*one.observer).copied()),
        ),
        Metric {
            name: "event_worker_unexpected_transitions",
            help: "Transitions of orders and offers that no rule book allows, of all markets of the database.",
            kind: Kind::Gauge,
            labels: &[],
            series: observed.is_read.then(|| (vec![], float(observed.unexpected.unsigned_abs()))).into_iter().collect(),
        },
    ]
}

/// What this worker has done.
fn work(observed: &Observed) -> [Metric; 3] {
    let counter = |name, help, value: u64| Metric {
        name,
        help,
        kind: Kind::Counter,
        labels: &[],
        series: vec![(vec![], float(value))],
    };
    [
        counter("event_worker_commits_total", "Transactions that this worker has committed.", observed.commits),
        counter("event_worker_committed_events_total", "Events that this worker has committed.", observed.events),
        counter(
            "event_worker_database_waits_total",
            "How often this worker has begun to wait for the database: locked, unreachable or silent.",
            observed.database_waits,
        ),
    ]
}

fn gauge(
    name: &'static str,
    help: &'static str,
    snapshots: &[Snapshot],
    value: impl Fn(&Snapshot) -> Option<f64>,
) -> Metric {
    let series = snapshots.iter().filter_map(|one| Some((vec![one.observer.to_string()], value(one)?)));
    Metric { name, help, kind: Kind::Gauge, labels: OBSERVER, series: series.collect() }
}

#[expect(clippy::cast_precision_loss, reason = "all that Prometheus knows; exact up to 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are exact until the year 2255")]
fn seconds(time: Timestamp) -> f64 {
    time.micros() as f64 / 1_000_000.0
}
