//! How fast a marketplace's history is backfilled: `cargo bench --bench backfill`.
//!
//! The real worker reads a simulated node, which is a process of its own, into a real database with durable commits. For
//! each database, in one run:
//! - events per second from the worker's first request to its last commit, as the median of some repetitions;
//! - the bare cost of the same rows: the writes of one more such run, recorded, replayed on an empty database of the same
//!   kind in the same transactions over one connection, with nothing read or computed. Worker and replay take turns;
//! - the best that the driver is able to: the fastest of that replay and of other ways to the same rows (`ways`);
//! - the worker's peak memory, alone in its process, for few events and for many.
//!
//! How events fall into transactions differs a little from run to run; the rows are the same, as the seed is.
//! Prints a table, and writes the figures to `target/bench/backfill.json`. Options follow `--`: see `--help`.

mod cases;
mod report;
mod sink;
#[path = "../support/mod.rs"]
mod support;
mod tape;
mod ways;

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::time::timeout;

use cases::{CASES, Case};
use report::{Report, Settings};

/// A worker waits for a node or a database that is gone; a benchmark does not.
const LIMIT: Duration = Duration::from_mins(20);

#[derive(Parser)]
#[command(name = "backfill", about = "Backfills databases from a simulated node, and says how fast that was")]
struct Options {
    /// Fewer events and repetitions: a rough answer in less than a minute
    #[arg(long)]
    quick: bool,
    /// Events of a run [default: 50000, quick: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    events: Option<u32>,
    /// Repetitions of the worker and of the replay; medians count [default: 5, quick: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    reps: Option<u32>,
    /// Only cases whose names start so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    case: String,
    /// Every way to write the same rows, not only those that come near the best
    #[arg(long)]
    all_ways: bool,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn settings(&self) -> Settings {
        let (events, reps, memory_events) =
            if self.quick { (10_000, 2, [5_000, 20_000]) } else { (50_000, 5, [20_000, 100_000]) };
        Settings {
            events: self.events.unwrap_or(events),
            reps: self.reps.unwrap_or(reps),
            seed: 1,
            memory_events,
            all_ways: self.all_ways,
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
    let cases: Vec<_> = CASES.iter().filter(|case| case.name.starts_with(&options.case)).collect();
    ensure!(!cases.is_empty(), "no case starts with {:?}; there are: {}", options.case, names(CASES));
    if cases.iter().any(|case| !case.server.is_at_hand()) {
        return support::start_again_with_databases();
    }
    let report = tokio::runtime::Runtime::new()?.block_on(measure(&cases, options.settings()))?;
    println!("\n{report}");
    let file = report.write()?;
    println!("Written to {}", file.display());
    Ok(())
}

async fn measure(cases: &[&Case], settings: Settings) -> Result<Report> {
    // Below target, which nobody has in memory.
    let folder = tempfile::Builder::new().prefix("backfill-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut report = Report::new(settings, folder.path())?;
    eprintln!("{}", report.preface());
    for case in cases {
        let figures = timeout(LIMIT, sink::measure(case, &report.settings, folder.path())).await;
        let figures = figures.with_context(|| format!("case {} did not end", case.name))?;
        report.cases.push(figures.with_context(|| format!("case {}", case.name))?);
    }
    Ok(report)
}

fn names(cases: &[Case]) -> String {
    cases.iter().map(|case| case.name).collect::<Vec<_>>().join(", ")
}
