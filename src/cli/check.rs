//! `check`: is this going to work?

use serde_json::json;

use super::{Failure, Outcome, log_to_stderr, print, subjects};
use crate::check::{self, Line, Verdict};
use crate::config::{Database, Logs, Node, ReadFrom, Worker};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    worker: Worker,
    /// For scripts
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    // Settings that cannot be right are refused as the worker would.
    args.worker.poll_interval()?;
    args.worker.max_parked()?;
    args.worker.lease()?;
    let (markets, read_from) = (args.worker.markets()?, args.worker.reading().from()?);
    subjects::check(&markets, read_from)?;
    let config = check::Config {
        nodes: args.node.nodes()?,
        stream: args.worker.reading().stream()?,
        database: args.database.url_or_default()?,
        markets,
        scans: read_from != ReadFrom::Handles,
        listen: args.worker.api()?.listen,
        log_folder: logs.folder(),
    };
    let secrets = [args.database.secrets(), args.node.secrets(), args.worker.reading().secrets()].concat();
    let _guard = log_to_stderr(logs, secrets)?;
    if let Some(warning) = args.database.warning() {
        tracing::warn!("{warning}");
    }
    let lines = check::run(&config).await;
    let failing = lines.iter().filter(|line| line.verdict == Verdict::Fail).count();
    if args.json {
        print(&json!({ "ok": failing == 0, "checks": lines }).to_string())?;
    } else {
        print(&lines.iter().map(shown).collect::<Vec<_>>().join("\n"))?;
    }
    match failing {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!("{failing} of {} checks fail, each with its remedy above", lines.len()))),
    }
}

fn shown(line: &Line) -> String {
    let verdict = match line.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    };
    // Part of it is what nodes and contracts say.
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let told = format!("{verdict:4}  {}: {}", clean(&line.check), clean(&line.found));
    match &line.remedy {
        Some(remedy) => format!("{told}\n      -> {}", clean(remedy)),
        None => told,
    }
}
