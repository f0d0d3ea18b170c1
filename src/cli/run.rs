//! `run`: the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Failure, Outcome, cannot_connect, ending_in_time, log_to_stdout, subjects, until_signal};
use crate::api;
use crate::backoff::Backoff;
use crate::chain::{LOCAL_CHAIN, Version};
use crate::config::{Database, Logs, Node, ReadFrom, Worker};
use crate::market::Markets;
use crate::observer::{self, Board, Cause, Stopped};
use crate::state::{DatabaseUrl, Store, StoreError, Trouble};
use crate::subject::{Nodes, StreamService};
use crate::telemetry::metrics::Metric;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub database: Database,
    #[command(flatten)]
    pub node: Node,
    #[command(flatten)]
    pub worker: Worker,
    /// End with status 0 once every observer is caught up; with status 1 if one had to stop
    #[arg(long)]
    pub until_caught_up: bool,
    /// Go on although a market file says otherwise than when its events were folded: rows of both then stand side by side
    /// until a `rebuild`
    #[arg(long)]
    pub accept_mapping: bool,
    /// Where streams of module events begin that have executed none yet, instead of where their market's file says:
    /// what was emitted before is left out for good
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(..=i64::MAX.cast_unsigned()))]
    pub from_version: Option<u64>,
}

/// A worker whose settings have all been checked.
pub struct Prepared {
    pub url: DatabaseUrl,
    nodes: Arc<Nodes>,
    pub markets: Arc<Markets>,
    read_from: ReadFrom,
    service: Option<StreamService>,
    accept_mapping: bool,
    from_version: Option<Version>,
    config: observer::Config,
    api: api::Config,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let prepared = prepare(&args, args.database.url_or_default()?)?;
    let secrets = [args.database.secrets(), args.node.secrets(), args.worker.reading().secrets()].concat();
    let _guard = log_to_stdout(logs, secrets)?;
    if let Some(warning) = args.database.warning() {
        tracing::warn!("{warning}");
    }
    let cancel = until_signal()?;
    let board = Arc::new(Board::new(&prepared.markets));
    ending_in_time(&cancel, Box::pin(work(prepared, board, cancel.clone()))).await.unwrap_or(Ok(()))
}

/// Checks all settings, before anything is touched.
pub fn prepare(args: &Args, url: DatabaseUrl) -> Result<Prepared, Failure> {
    let config = observer::Config {
        poll_interval: args.worker.poll_interval()?,
        max_parked: args.worker.max_parked()?,
        until_caught_up: args.until_caught_up,
        scanned_interval: observer::SCANNED_INTERVAL,
        lease: Some(args.worker.lease()?),
        worker: worker_name(),
    };
    let (markets, read_from) = (args.worker.markets()?, args.worker.reading().from()?);
    subjects::check(&markets, read_from)?;
    Ok(Prepared {
        url,
        nodes: Arc::new(Nodes::new(args.node.nodes()?).map_err(Failure::Setting)?),
        markets,
        read_from,
        service: args.worker.reading().stream()?.map(StreamService::new).transpose().map_err(Failure::Setting)?,
        accept_mapping: args.accept_mapping,
        from_version: args.from_version.and_then(Version::new),
        config,
        api: args.worker.api()?,
    })
}

/// Runs the worker until `cancel`, or until it is caught up if so asked.
pub async fn work(prepared: Prepared, board: Arc<Board>, cancel: CancellationToken) -> Outcome {
    let Prepared { url, nodes, markets, read_from, service, accept_mapping, from_version, config, api } = prepared;
    let serving = CancellationToken::new();
    let _stop_serving = serving.clone().drop_guard();
    tokio::spawn(api::serve(api, told(&board, &nodes), serving));
    let Some(store) = patiently(&cancel, &board, || Store::connect(&url)).await else {
        return Ok(());
    };
    let store = store.map_err(|error| cannot_connect(&url, &error))?;
    tracing::info!("database {url}; {} observers of {}", markets.streams().count(), names(&markets));
    for market in markets.iter() {
        if let Some(why) = &market.unverified {
            tracing::warn!("market {} is not verified; not known: {why}", market.name);
        }
    }
    let ready = async || {
        let applied = store.migrate_up_to_fill().await?;
        if applied > 0 {
            tracing::info!("the database's schema is up to date: {applied} migrations applied");
        }
        Ok(())
    };
    match patiently(&cancel, &board, ready).await {
        Some(ready) => ready?,
        None => return Ok(()),
    }
    match patiently(&cancel, &board, || store.chain_id()).await {
        Some(Ok(None)) => {
            if let Some((_, chain)) = markets.chains().next() {
                nodes.expect_chain_of_market(chain);
            }
        }
        Some(Ok(Some(chain))) => {
            if let Some((market, other)) = markets.chains().find(|(_, other)| ![*other, LOCAL_CHAIN].contains(&chain)) {
                return Err(Failure::Setting(format!(
                    "MARKETS: {} is on chain {other}, the database's rows are of chain {chain}: give it a database of its own (DATABASE_URL)",
                    market.name
                )));
            }
            nodes.expect_chain(chain);
        }
        Some(Err(error)) => return Err(error.into()),
        None => return Ok(()),
    }
    let prepared = async || {
        if accept_mapping {
            store.accept_mapping(&markets).await?;
        }
        store.prepare(&markets).await
    };
    match patiently(&cancel, &board, prepared).await {
        Some(prepared) => prepared?,
        None => return Ok(()),
    }
    let starts = match patiently(&cancel, &board, || store.starts()).await {
        Some(known) => subjects::starts(&known?, &markets, from_version)?,
        None => return Ok(()),
    };
    for market in subjects::from_the_first(&markets, read_from, &starts) {
        tracing::warn!(
            "market {} is looked for in transactions from the first one on: set first_version in its file to where the contract was published (of a built-in market: in one with `like` and `address`), or begin with --from-version",
            market.name
        );
    }
    let subject = subjects::subjects(&nodes, &markets, &store, read_from, service, starts);
    let stopped = observer::run(config, store.clone(), Arc::clone(&markets), subject, board, cancel).await?;
    store.close().await?;
    match &stopped[..] {
        [] => Ok(()),
        stopped => Err(Failure::Failed(reasons(stopped))),
    }
}

/// All metrics, at the moment at which they are asked for.
fn told(board: &Arc<Board>, nodes: &Arc<Nodes>) -> impl Fn() -> Vec<Metric> + Clone + Send + Sync + 'static {
    let (board, nodes) = (Arc::clone(board), Arc::clone(nodes));
    move || {
        let mut all = observer::metrics(&board);
        all.extend(nodes.metrics());
        all
    }
}

/// Tries until it works or cannot work; `None` if cancelled first. The board tells what it waits for.
async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    cancel: &CancellationToken,
    board: &Board,
    task: impl Fn() -> F,
) -> Option<Result<T, StoreError>> {
    let mut backoff = Backoff::default();
    loop {
        let error = match cancel.run_until_cancelled(task()).await? {
            Err(error) if error.trouble() != Trouble::Lasting => error,
            done => {
                board.database_works();
                return Some(done);
            }
        };
        let cause = match error.trouble() {
            Trouble::Contended => Cause::DatabaseLocked,
            _ => Cause::DatabaseUnreachable,
        };
        board.database_waits(cause, &error.to_string());
        backoff.wait(cancel).await;
    }
}

/// One line for each reason, with the observers that had it.
pub fn reasons(stopped: &[Stopped]) -> String {
    let mut reasons: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in stopped {
        reasons.entry(&one.reason).or_default().insert(&one.observer);
    }
    let names = |observers: BTreeSet<&str>| observers.into_iter().collect::<Vec<_>>().join(", ");
    let line = |(reason, observers)| format!("{} had to stop: {reason}", names(observers));
    reasons.into_iter().map(line).collect::<Vec<_>>().join("\n       ")
}

fn names(markets: &Markets) -> String {
    markets.iter().map(|market| format!("{} at {}", market.name, market.address)).collect::<Vec<_>>().join(", ")
}

/// Host, process and chance: tells workers on one database apart, in containers, too, where these may be alike.
pub fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
    format!("{host}:{}-{:04x}", std::process::id(), rand::random::<u16>())
}
