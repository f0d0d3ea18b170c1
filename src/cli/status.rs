//! `status`: how far each observer is, and what it waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Failure, Outcome, connect_to_schema, log_to_stderr, print};
use crate::chain::Timestamp;
use crate::config::{Database, Logs};
use crate::observer::State;
use crate::state::entities::{checkpoints, observer_status};
use crate::state::{Overview, at, now};
use crate::telemetry::table::{shortened, table};

/// A worker reports at least every 5 s; one that has been silent for longer is gone.
const SILENT_AFTER: i64 = 15;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    /// For scripts
    #[arg(long)]
    json: bool,
    /// Again every second
    #[arg(long)]
    watch: bool,
    /// Only the exit status counts: 1, with the reason, unless every observer is looked after by a live worker and none has stopped
    #[arg(long, conflicts_with = "watch")]
    healthy: bool,
}

/// One observer, as shown.
struct Line {
    observer: String,
    executed: i64,
    version: Option<i64>,
    /// Of a stream that is looked for in transactions: up to which version that is done.
    scanned: Option<i64>,
    counter: Option<i64>,
    behind: Option<i64>,
    state: String,
    cause: Option<String>,
    error: Option<String>,
    rate: f64,
    eta: Option<u64>,
    lag: Option<i64>,
    parked: i64,
    oldest_parked: Option<Timestamp>,
    since: Option<Timestamp>,
    reported: Option<Timestamp>,
    worker: Option<String>,
    holder: Option<String>,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let _guard = log_to_stderr(logs, args.database.secrets())?;
    let store = connect_to_schema(&args.database).await?;
    loop {
        let overview = store.overview().await?;
        let lines: Vec<_> = overview.checkpoints.iter().map(|checkpoint| Line::of(checkpoint, &overview)).collect();
        let missing: Vec<_> = store.missing_indexes().await?.iter().map(ToString::to_string).collect();
        let unexpected: i64 = overview.markets.iter().map(|market| market.unexpected).sum();
        if args.healthy {
            return healthy(&lines);
        }
        if args.json {
            let observers: Vec<_> = lines.iter().map(Line::json).collect();
            print(
                &json!({ "observers": observers, "unexpected": unexpected, "missing_indexes": missing }).to_string(),
            )?;
        } else {
            let clear = if args.watch { "\x1b[2J\x1b[H" } else { "" };
            print(&format!("{clear}{}", shown(&lines, unexpected, missing.len())))?;
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn shown(lines: &[Line], unexpected: i64, missing: usize) -> String {
    if lines.is_empty() {
        return "no observer has run on this database yet: start `event-worker run`".to_owned();
    }
    let header =
        ["observer", ">executed", ">behind", ">lag", ">events/s", ">ETA", ">parked", "state", "cause", "since"];
    let mut shown = vec![table(&header, lines.iter().map(Line::row))];
    let mut errors: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.state == "waiting" || line.state == "stopped") {
        if let Some(error) = &line.error {
            errors.entry(error).or_default().push(&line.observer);
        }
    }
    shown
        .extend(errors.iter().map(|(error, observers)| format!("{}: {}", observers.join(", "), shortened(error, 300))));
    shown.extend(lines.iter().filter_map(|line| {
        let (observer, parked, oldest) = (&line.observer, line.parked, line.oldest_parked?);
        Some(format!("{observer}: {parked} events are parked in dead_letters, the oldest since {oldest}"))
    }));
    if let Some((slowest, version)) =
        lines.iter().filter_map(|line| Some((&line.observer, line.scanned?))).min_by_key(|(_, version)| *version)
    {
        shown.push(format!(
            "of what is looked for in transactions everything is found up to version {version}, where {slowest} is, the slowest"
        ));
    }
    if unexpected > 0 {
        shown.push(format!(
            "{unexpected} transitions were unexpected (a sale of what was not listed, for example): the tables follow the chain all the same"
        ));
    }
    if missing > 0 {
        shown.push(format!(
            "{missing} indexes for readers are not made yet, a worker makes them once everything is caught up: until then queries may read whole tables"
        ));
    }
    shown.join("\n")
}

fn healthy(lines: &[Line]) -> Outcome {
    if lines.is_empty() {
        return Err(Failure::Failed("no observer has run on this database yet".to_owned()));
    }
    // A market that is no longer in MARKETS has no worker, and needs none.
    let newest = lines.iter().max_by_key(|line| line.reported).and_then(|line| line.worker.as_deref());
    let matters = |line: &&Line| line.worker.as_deref() == newest || line.holder.is_some() || line.state == "stopped";
    let lines = lines.iter().filter(matters);
    let ill: Vec<_> = lines.filter(|line| line.state == "stopped" || line.state == "no worker").collect();
    let Some(first) = ill.first() else { return Ok(()) };
    let why = match &first.error {
        Some(error) if first.state == "stopped" => format!("stopped: {error}"),
        _ => format!("{}: start `event-worker`", first.state),
    };
    let others = if ill.len() > 1 { format!("; and {} more", ill.len() - 1) } else { String::new() };
    Err(Failure::Failed(format!("{}: {why}{others}", first.observer)))
}

impl Line {
    fn of(checkpoint: &checkpoints::Model, overview: &Overview) -> Self {
        let report = overview.reports.get(&checkpoint.observer);
        let parked = overview.parked.get(&checkpoint.observer);
        // By the database's clock, or as far as ours and the worker's are to be trusted.
        let alive = report.is_some_and(|report| {
            overview.alive.contains(&report.worker) || seconds_since(report.updated_at).abs() <= SILENT_AFTER
        });
        let live = report.filter(|report| alive && report.state != State::Ended.name());
        let (executed, executed_version) = (checkpoint.executed_seq_no, checkpoint.executed_version);
        let counter = report.and_then(|report| report.counter).map(|counter| counter.max(executed + 1));
        let behind = counter.map(|counter| counter - executed - 1);
        let rate = live.map_or(0.0, |report| report.rate);
        let holder = overview.holders.get(&checkpoint.observer).cloned();
        // Nobody says how it gets on, and nobody else may take it yet.
        let silent = holder.as_ref().filter(|_| live.is_none()).map(|holder| format!("lease held by {holder}"));
        let nobody = if silent.is_some() { "waiting" } else { "no worker" };
        Self {
            observer: checkpoint.observer.clone(),
            executed,
            version: executed_version,
            scanned: checkpoint.scanned_for.as_ref().and(checkpoint.scanned_version.max(executed_version)),
            counter,
            behind,
            state: live.map_or(nobody.to_owned(), |report| report.state.clone()),
            cause: live.map_or(silent, |report| report.cause.clone()),
            error: report.and_then(|report| report.last_error.clone()),
            rate,
            eta: behind.and_then(|behind| eta(behind, rate)),
            lag: report.and_then(|report| lag(report, live.is_some())),
            parked: parked.map_or(0, |parked| parked.events),
            oldest_parked: parked.map(|parked| parked.oldest),
            since: report.map(|report| if alive { report.since } else { report.updated_at }),
            reported: report.map(|report| report.updated_at),
            worker: report.map(|report| report.worker.clone()),
            holder,
        }
    }

    fn row(&self) -> Vec<String> {
        let number = |number: Option<i64>| number.map_or("?".to_owned(), |number| number.to_string());
        let span = |seconds: u64| humantime::format_duration(Duration::from_secs(seconds)).to_string();
        vec![
            self.observer.clone(),
            self.executed.to_string(),
            number(self.behind),
            self.lag.and_then(|lag| u64::try_from(lag).ok()).map_or("?".to_owned(), span),
            format!("{:.0}", self.rate),
            self.eta.map_or(String::new(), span),
            self.parked.to_string(),
            self.state.clone(),
            self.cause.clone().unwrap_or_default(),
            self.since.map_or(String::new(), |since| at(since).format("%Y-%m-%d %H:%M:%S").to_string()),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "observer": self.observer,
            "executed_seq_no": self.executed,
            "executed_version": self.version,
            "scanned_version": self.scanned,
            "counter": self.counter,
            "events_behind": self.behind,
            "lag_seconds": self.lag,
            "events_per_second": self.rate,
            "eta_seconds": self.eta,
            "state": self.state,
            "cause": self.cause,
            "since": self.since,
            "last_error": self.error,
            "dead_letters": self.parked,
            "oldest_dead_letter": self.oldest_parked,
            "oldest_dead_letter_seconds": self.oldest_parked.map(seconds_since),
            "worker": self.worker,
            "lease_holder": self.holder,
        })
    }
}

/// Nobody looks after it: then it lags at least as long as that has been so.
fn lag(report: &observer_status::Model, alive: bool) -> Option<i64> {
    report.lag_seconds.map(|lag| if alive { lag } else { lag + seconds_since(report.updated_at) })
}

fn seconds_since(time: Timestamp) -> i64 {
    (now().micros() - time.micros()) / 1_000_000
}

fn eta(behind: i64, rate: f64) -> Option<u64> {
    let behind = u32::try_from(behind).ok().filter(|behind| *behind > 0)?;
    (rate > 0.0).then(|| Duration::try_from_secs_f64(f64::from(behind) / rate).map_or(u64::MAX, |eta| eta.as_secs()))
}
