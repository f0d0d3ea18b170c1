//! `selftest`: cases by seed, until one fails.

use std::time::Instant;

use serde_json::json;

use super::{Failure, Outcome, log_to_stderr, print};
use crate::config::{Database, Logs};
use crate::selftest::{self, Ground, Tally};
use crate::telemetry::progress::Progress;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    /// Of the first case; the others follow [default: by chance]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100)]
    cases: u64,
    /// Print every step
    #[arg(long)]
    trace: bool,
    /// The figures as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let first = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let _guard = log_to_stderr(logs, args.database.secrets())?;
    let url = args.database.url()?;
    let again = if url.is_some() { " on the same DATABASE_URL" } else { "" };
    let ground = Ground::open(url).await.map_err(Failure::Failed)?;
    let (begin, mut tally, mut bar) = (Instant::now(), Tally::default(), Progress::new("cases"));
    for number in 0..args.cases {
        let seed = first.wrapping_add(number);
        bar.show(number, args.cases, &format!("seed {seed}, {} faults", tally.faults()));
        let (trace, failed) = match Box::pin(selftest::run(&ground, seed)).await {
            Ok(finished) => {
                tally.add_all(&finished.tally);
                (finished.trace, None)
            }
            Err(failed) => (failed.trace, Some((failed.step, failed.what))),
        };
        if args.trace {
            print(&trace.join("\n"))?;
        }
        if let Some((step, what)) = failed {
            bar.end();
            return Err(Failure::Failed(format!(
                "seed {seed}, step {step}: {what}\n       again{again}: event-worker selftest --seed {seed} --cases 1 --trace"
            )));
        }
    }
    bar.end();
    ground.close().await?;
    let seconds = begin.elapsed().as_secs_f64();
    if args.json {
        let figures = json!({
            "seed": first, "cases": args.cases, "seconds": seconds, "faults": tally.faults(), "counts": tally,
        });
        return print(&figures.to_string());
    }
    print(&format!(
        "{tally}\n\n{} cases from seed {first} passed in {seconds:.1} s, with {} faults",
        args.cases,
        tally.faults()
    ))
}
