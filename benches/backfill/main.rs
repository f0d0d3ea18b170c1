//! How fast a marketplace's history is backfilled: `cargo bench --bench backfill`.
//!
//! The real worker reads a simulated node, which is a process of its own, into a real database with durable commits. All
//! is measured in one run: absolute figures go up and down with the machine, ratios can be compared.
//! - `sink/*`: events per second from the worker's first request to its last commit, against the bare cost of the same rows:
//!   the writes of one more such run, recorded, replayed on an empty database of the same kind in the same transactions
//!   over one connection, with nothing read or computed; that replay against the fastest way that the driver has to the same
//!   rows ([`ways`]); and the worker's peak memory, alone in its process, for few events and for many;
//! - `latency/*`: the same from a node whose answers take long;
//! - `naive/*`: against a program that does the obvious, one transaction per event;
//! - `live/*`: how soon after the node shows an event it is committed, and what an idle worker costs;
//! - `contention/*`: streams that touch the same orders against the same events in one stream;
//! - `verify/*`: verifying a database, against the backfill that filled it; and its peak memory within a bound of 32 MB;
//! - `rebuild/*`: rebuilding its tables, against the same;
//! - `scan/*`: how many of the ledger's versions are looked through a second where few are the market's;
//! - `growth/*`: what becomes of all that with millions of events stored.
//!
//! Figures are medians of repetitions in which both sides take turns. How events fall into transactions differs a little from
//! run to run; the rows are the same, as the seed is. Prints a table with the bars that figures should reach, and writes the
//! figures to `target/bench/backfill.json`. With `--quick` it fails if a figure is not even half as good as its bar. Options
//! follow `--`: see `--help`.

mod cases;
mod contention;
mod growth;
mod latency;
mod live;
mod naive;
mod rebuild;
mod report;
mod scan;
mod sink;
#[path = "../support/mod.rs"]
mod support;
mod tape;
mod turns;
mod verify;
mod ways;
mod worker;

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::time::timeout;

use cases::{CASES, Case, Length};
use report::{Report, Settings};

/// A worker waits for a node or a database that is gone; a benchmark does not.
const LIMIT: Duration = Duration::from_mins(20);
const LONG_LIMIT: Duration = Duration::from_hours(6);

#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
#[command(name = "backfill", about = "Backfills databases from a simulated node, and says how fast that was")]
struct Options {
    /// Fewer cases, events and repetitions: a rough answer in less than a minute, and a failure if it is a bad one
    #[arg(long)]
    quick: bool,
    /// The growth cases, too, which take hours, 20 GB of memory and 60 GB of disk
    #[arg(long, conflicts_with = "quick")]
    long: bool,
    /// Events of the growth cases
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    long_events: u32,
    /// Events of a run [default: 50000, quick: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    events: Option<u32>,
    /// Repetitions of the worker and of the replay; medians count [default: 5, quick: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    reps: Option<u32>,
    /// Other ways to write are all measured, those that never came near the best, too
    #[arg(long)]
    all_ways: bool,
    /// Only cases whose names start so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    case: String,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn settings(&self) -> Settings {
        let (events, reps, memory_events, naive_events) =
            if self.quick { (10_000, 2, [2_000, 10_000], 500) } else { (50_000, 5, [20_000, 100_000], 2_000) };
        Settings {
            events: self.events.unwrap_or(events),
            reps: self.reps.unwrap_or(reps),
            seed: 1,
            memory_events,
            naive_events,
            live_seconds: 20,
            long_events: self.long_events,
            all_ways: self.all_ways,
        }
    }

    fn length(&self) -> Length {
        match (self.quick, self.long) {
            (true, _) => Length::Quick,
            (false, false) => Length::Usual,
            (false, true) => Length::Long,
        }
    }
}

fn main() -> Result<()> {
    // `cargo test --benches` runs benchmarks too, only to see them start.
    if !env::args().any(|argument| argument == "--bench") {
        println!("Measures nothing without --bench: use `cargo bench --bench backfill`.");
        return Ok(());
    }
    let options = Options::parse();
    let possible: Vec<_> = CASES.iter().filter(|case| case.from <= options.length()).collect();
    let cases: Vec<_> = possible.iter().copied().filter(|case| case.name.starts_with(&options.case)).collect();
    ensure!(!cases.is_empty(), "no case of such a run starts with {:?}; there are: {}", options.case, names(&possible));
    if cases.iter().any(|case| !case.server.is_at_hand()) {
        return support::start_again_with_databases(if options.long { growth::MARIADB } else { "" });
    }
    let runtime = event_worker::cli::worker_runtime()?;
    let report = runtime.block_on(measure(&cases, options.settings()));
    // Not waiting for a writer whose database hangs.
    runtime.shutdown_background();
    let report = report?;
    println!("\n{report}");
    let file = report.write()?;
    println!("Written to {}", file.display());
    let failures = report.failures();
    ensure!(!options.quick || failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

async fn measure(cases: &[&Case], settings: Settings) -> Result<Report> {
    // Below target, which nobody has in memory.
    let folder = tempfile::Builder::new().prefix("backfill-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut report = Report::new(settings, folder.path())?;
    eprintln!("{}", report.preface());
    for case in cases {
        let limit = if case.from == Length::Long { LONG_LIMIT } else { LIMIT };
        let figures = timeout(limit, case.measure(&report.settings, folder.path())).await;
        let figures = figures.with_context(|| format!("case {} did not end", case.name))?;
        report.cases.push(figures.with_context(|| format!("case {}", case.name))?);
        // What comes next may take hours, or fail.
        report.write()?;
    }
    Ok(report)
}

fn names(cases: &[&Case]) -> String {
    cases.iter().map(|case| case.name).collect::<Vec<_>>().join(", ")
}
