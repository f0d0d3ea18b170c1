//! `collection-import`: an account's collections and tokens, as they are now.

use std::fmt::Write;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Outcome, ending_in_time, log_to_stderr, open, print, until_signal};
use crate::chain::Address;
use crate::config::{self, Database, Logs, Node};
use crate::import::{self, Config, Listed, Progress, Summary, Tally, Target};
use crate::subject::{Indexer, Nodes};
use crate::telemetry::progress;
use crate::telemetry::table::table;

const TICK: Duration = Duration::from_millis(200);
/// Failures that are shown to people; scripts get more.
const SHOWN: usize = 20;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    node: Node,
    /// The creator; several with commas, or the flag again
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', required_unless_present = "from_json")]
    account: Vec<String>,
    /// Only the collections of this name; letter case and spaces count
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Import this list of collections instead of asking a node; --account is whose its entries without creator are
    #[arg(long, value_name = "FILE", conflicts_with_all = ["indexer", "collection", "no_tokens"])]
    from_json: Option<PathBuf>,
    /// Find collections and tokens by a GraphQL indexer instead of the account's transactions: for creators that do not sign themselves
    #[arg(long, value_name = "URL")]
    indexer: Option<String>,
    /// Only collections, without their tokens
    #[arg(long)]
    no_tokens: bool,
    /// How many reads are under way at once (1 to 256)
    #[arg(long, value_name = "N", default_value = "16")]
    parallel: String,
    /// Write nothing, only tell what would be
    #[arg(long)]
    dry_run: bool,
    /// The summary as JSON
    #[arg(long)]
    json: bool,
}

/// What is asked for, checked before anything is touched.
enum Work {
    Accounts { accounts: Vec<Address>, nodes: Arc<Nodes>, indexer: Option<Box<Indexer>>, config: Config },
    List(Listed),
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let work = work(&args)?;
    let _guard = log_to_stderr(logs, [args.database.secrets(), args.node.secrets()].concat())?;
    let target = target(&args).await?;
    let cancel = until_signal()?;
    let progress = Arc::new(Progress::default());
    let importing = async {
        let (mut summaries, mut failed, mut untried) = (vec![], None, 0);
        match work {
            Work::List(listed) => summaries.push(import::list(listed, &target, Arc::clone(&progress), &cancel).await),
            Work::Accounts { accounts, nodes, indexer, config } => {
                for account in accounts {
                    if failed.is_some() || cancel.is_cancelled() {
                        untried += 1;
                        continue;
                    }
                    let (nodes, progress) = (Arc::clone(&nodes), Arc::clone(&progress));
                    let indexer = indexer.as_deref();
                    match import::account(account, &config, nodes, indexer, &target, progress, &cancel).await {
                        Ok(summary) => summaries.push(summary),
                        Err(reason) => failed = Some((account, reason)),
                    }
                }
            }
        }
        (summaries, failed, untried)
    };
    let interrupted = || Failure::Failed("interrupted; run it again to go on".to_owned());
    let done = ending_in_time(&cancel, shown(&progress, Box::pin(importing))).await;
    let (mut summaries, failed, untried) = done.ok_or_else(interrupted)?;
    if let Some(store) = target.store {
        store.close().await?;
    }
    if let Some((account, reason)) = failed.as_ref().filter(|_| args.json) {
        summaries.push(Summary::failed(*account, reason));
    }
    if !summaries.is_empty() {
        print(&if args.json { json(&summaries, args.dry_run)? } else { text(&summaries, args.dry_run) })?;
    }
    if let Some((account, reason)) = failed {
        let others = if untried > 0 { format!("; {untried} more accounts were not tried") } else { String::new() };
        return Err(Failure::Failed(format!("{account}: {reason}{others}")));
    }
    let failed: u64 = summaries.iter().map(|summary| summary.results.failures.count).sum();
    if summaries.iter().any(|summary| summary.interrupted) {
        return Err(interrupted());
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 failure, see the summary; run it again once that is mended".to_owned())),
        _ => Err(Failure::Failed(format!("{failed} failures, see the summary; run it again once they are mended"))),
    }
}

fn work(args: &Args) -> Result<Work, Failure> {
    let mut accounts: Vec<Address> = vec![];
    for text in &args.account {
        let account = config::parse("--account", text)?;
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    if let Some(path) = &args.from_json {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::Setting(format!("--from-json {}: {error}", path.display()));
        if accounts.len() > 1 {
            return Err(wrong(&"takes one --account at most: the creator of entries that name none"));
        }
        let file = std::fs::read(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        return Ok(Work::List(Listed::parse(&file, accounts.first().copied()).map_err(|error| wrong(&error))?));
    }
    let parallel = config::parse("--parallel", &args.parallel).ok().filter(|parallel| (1..=256).contains(parallel));
    let parallel = parallel
        .ok_or_else(|| Failure::Setting(format!("--parallel {}: expected a number from 1 to 256", args.parallel)))?;
    let indexer = args
        .indexer
        .as_ref()
        .map(|url| Indexer::new(config::indexer_url(url)?).map(Box::new).map_err(Failure::Setting));
    Ok(Work::Accounts {
        accounts,
        nodes: Arc::new(Nodes::new(args.node.nodes()?).map_err(Failure::Setting)?),
        indexer: indexer.transpose()?,
        config: Config { collection: args.collection.clone(), tokens: !args.no_tokens, parallel },
    })
}

/// Migrates the database first, as `run` does; a dry run takes it as it is, or does without.
async fn target(args: &Args) -> Result<Target, Failure> {
    let url = args.database.url_or_default()?;
    if !args.dry_run {
        let store = open(&args.database, url).await?;
        store.migrate_up().await?;
        return Ok(Target { store: Some(store), dry_run: false });
    }
    if url.is_missing_file() {
        return Ok(Target { store: None, dry_run: true });
    }
    let store = open(&args.database, url.existing()).await?;
    if store.migrations().await?.iter().all(|migration| !migration.applied) {
        return Ok(Target { store: None, dry_run: true });
    }
    store.require_schema().await?;
    Ok(Target { store: Some(store), dry_run: true })
}

/// Shows how far it is until `work` is done.
async fn shown<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut bar = progress::Progress::new("steps");
    let showing = async {
        // A first line says nothing yet.
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        loop {
            ticks.tick().await;
            let mut note = format!("{} collections, {} tokens", progress.collections(), progress.tokens());
            if let Some(cause) = progress.waiting() {
                let _ = write!(note, "; waiting: {cause}");
            }
            bar.show(progress.done(), progress.expected(), &note);
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = showing => unreachable!("it shows until the work is done"),
    };
    bar.end();
    done
}

fn json(summaries: &[Summary], dry_run: bool) -> Result<String, Failure> {
    let imports = serde_json::json!({ "dry_run": dry_run, "imports": summaries });
    serde_json::to_string_pretty(&imports).map_err(|error| Failure::Failed(error.to_string()))
}

fn text(summaries: &[Summary], dry_run: bool) -> String {
    summaries.iter().map(|summary| one(summary, dry_run)).collect::<Vec<_>>().join("\n\n")
}

fn one(summary: &Summary, dry_run: bool) -> String {
    let mut text = match &summary.account {
        None => "The list".to_owned(),
        Some(account) => format!(
            "{account} on chain {}, as of version {}",
            summary.chain_id.unwrap_or_default(),
            summary.ledger_version.unwrap_or_default()
        ),
    };
    if dry_run {
        text.push_str(" (dry run: nothing is written)");
    }
    let results = &summary.results;
    if summary.account.is_some() && results.collections.found + results.tokens.found == 0 && results.failures.count == 0
    {
        text.push_str("\nThe account has created no collections or tokens, neither v1 nor v2.");
    } else {
        let row = |name: &str, tally: &Tally| {
            let counts = [tally.found, tally.new, tally.changed, tally.unchanged, tally.gone, tally.failed];
            [name.to_owned()].into_iter().chain(counts.map(|count| count.to_string())).collect::<Vec<_>>()
        };
        let rows = [row("collections", &results.collections), row("tokens", &results.tokens)];
        let header = ["", ">found", ">new", ">changed", ">unchanged", ">gone", ">failed"];
        let _ = write!(text, "\n{}", table(&header, rows));
    }
    for told in &summary.not_visible {
        let _ = write!(text, "\nnot visible: {told}");
    }
    for failure in results.failures.first.iter().take(SHOWN) {
        let _ = write!(text, "\nfailed: {}: {}", failure.what, failure.reason);
    }
    if results.failures.count > SHOWN as u64 {
        let _ =
            write!(text, "\nfailed: {} more; --json tells the first hundred", results.failures.count - SHOWN as u64);
    }
    if summary.interrupted {
        text.push_str("\ninterrupted before its end");
    }
    text
}
