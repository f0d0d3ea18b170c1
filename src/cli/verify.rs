//! `verify`: the completeness certificate.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Outcome, connect_to_schema, log_to_stderr, print};
use crate::config::{self, Database, Logs, Markets, Node};
use crate::subject::Nodes;
use crate::telemetry::progress;
use crate::verify::{self, Config, Progress};

const TICK: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    markets: Markets,
    /// Ask no node: what is stored is compared with itself alone
    #[arg(long, conflicts_with = "sample")]
    offline: bool,
    /// Read so many random pages again from a node, and compare them
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    sample: u32,
    /// Which pages: the same number chooses the same ones [default: by chance]
    #[arg(long, value_name = "S", requires = "sample")]
    seed: Option<u64>,
    /// About how much to hold in memory; beyond, a file in the temporary folder (TMPDIR) is used
    #[arg(long, value_name = "MB", default_value = "256")]
    memory_mb: String,
    /// Differences to show of each table
    #[arg(long, value_name = "N", default_value_t = 10)]
    differences: usize,
    /// The certificate as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let config = config(&args)?;
    let markets = args.markets.markets()?;
    let nodes = if args.offline { None } else { Some(args.node.nodes()?) };
    let nodes = nodes.map(Nodes::new).transpose().map_err(Failure::Setting)?.map(Arc::new);
    let _guard = log_to_stderr(logs, [args.database.secrets(), args.node.secrets()].concat())?;
    let store = connect_to_schema(&args.database).await?;
    let progress = Arc::new(Progress::default());
    let verifying = verify::run(&store, &markets, nodes, &config, Arc::clone(&progress));
    let certificate = shown(&progress, verifying).await.map_err(|error| Failure::Failed(error.to_string()))?;
    store.close().await?;
    if args.json {
        print(&serde_json::to_string_pretty(&certificate).map_err(|error| Failure::Failed(error.to_string()))?)?;
    } else {
        print(&certificate.to_string())?;
    }
    if certificate.verified { Ok(()) } else { Err(Failure::Failed(certificate.conclusion())) }
}

fn config(args: &Args) -> Result<Config, Failure> {
    /// Beyond the largest machine.
    const MOST: usize = 1 << 20;
    let megabytes = config::parse::<usize>("--memory-mb", &args.memory_mb).ok().filter(|mb| (1..=MOST).contains(mb));
    let megabytes = megabytes.ok_or_else(|| {
        Failure::Setting(format!("--memory-mb {}: expected a number from 1 to {MOST}", args.memory_mb))
    })?;
    Ok(Config {
        memory: megabytes * 1_000_000,
        shown: args.differences,
        sample: args.sample,
        seed: args.seed.unwrap_or_else(rand::random),
    })
}

/// Shows how far it is until `work` is done.
async fn shown<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut bar = progress::Progress::new("steps");
    let showing = async {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        loop {
            ticks.tick().await;
            let doing = progress.doing();
            if !doing.is_empty() {
                bar.show(progress.done(), progress.expected(), &doing);
            }
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = showing => unreachable!("it shows until the work is done"),
    };
    bar.end();
    done
}
