//! `rebuild`: orders, offers, tokens, collections and activities anew from the stored events.
//!
//! The events are followed into tables beside the live ones by the code that follows a node, in its order and as fast. When
//! these have come as far as the workers, the workers' leases are seized, the rest is folded, and the tables are swapped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::run::{reasons, worker_name};
use super::{Failure, Outcome, connect, log_to_stdout, print, until_signal};
use crate::config::{self, Database, Logs, Parking};
use crate::market::Markets;
use crate::observer::{self, Board};
use crate::state::{Rebuild, Store, StoredEvents, Swap, Trouble};
use crate::verify;

/// How long the leases hold that are seized, should the rebuild be killed then.
const LEASE: Duration = Duration::from_secs(5);
/// Swaps that readers, or workers without leases, may prevent.
const TRIES: u32 = 10;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    markets: config::Markets,
    #[command(flatten)]
    parking: Parking,
    /// Begin anew, even if an earlier rebuild can be gone on with
    #[arg(long)]
    restart: bool,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let markets = args.markets.markets()?;
    let config = observer::Config {
        poll_interval: Duration::from_secs(1),
        max_parked: args.parking.max_parked()?,
        until_caught_up: true,
        lease: None,
        worker: format!("rebuild {}", worker_name()),
    };
    let _guard = log_to_stdout(logs, args.database.secrets())?;
    let cancel = until_signal()?;
    let store = connect(&args.database).await?;
    store.require_schema().await?;
    let started = Instant::now();
    let rebuild = Rebuild::begin(&store, &markets, args.restart).await?;
    if rebuild.is_resumed {
        tracing::info!("going on with the rebuild that was interrupted (--restart begins anew)");
    }
    fold(&rebuild, &config, &markets, &cancel).await?;
    tracing::info!("all stored events are folded: the workers are held off for the rest");
    let done = alone(&store, &config.worker, finish(&rebuild, &config, &markets, &cancel)).await;
    store.release(&config.worker).await?;
    done?;
    tracing::info!("rebuilt in {:.1} s; verifying", started.elapsed().as_secs_f64());
    let certificate = verify::run(&store, &markets, None, &verify::Config::default(), Arc::default()).await;
    let certificate = certificate.map_err(|error| Failure::Failed(error.to_string()))?;
    store.close().await?;
    if !certificate.verified {
        print(&certificate.to_string())?;
        return Err(Failure::Failed(certificate.conclusion()));
    }
    tracing::info!("{}", certificate.conclusion());
    Ok(())
}

/// Folds all that is stored, and was not folded yet.
async fn fold(
    rebuild: &Rebuild,
    config: &observer::Config,
    markets: &Arc<Markets>,
    cancel: &CancellationToken,
) -> Outcome {
    let board = Arc::new(Board::new(markets));
    let stored = |stream: &crate::market::Stream| StoredEvents::new(rebuild.store.clone(), &stream.observer);
    let (store, cancelled) = (rebuild.store.clone(), cancel.clone());
    let folding = observer::run(config.clone(), store, Arc::clone(markets), stored, board, cancelled);
    match &Box::pin(folding).await?[..] {
        _ if cancel.is_cancelled() => {
            Err(Failure::Failed("interrupted: nothing has changed; run `rebuild` again to go on".to_owned()))
        }
        [] => Ok(()),
        stopped => Err(Failure::Failed(format!("{}\n       nothing has changed", reasons(stopped)))),
    }
}

/// Folds the rest and swaps, while nobody else executes anything.
async fn finish(
    rebuild: &Rebuild,
    config: &observer::Config,
    markets: &Arc<Markets>,
    cancel: &CancellationToken,
) -> Outcome {
    for _ in 0..TRIES {
        fold(rebuild, config, markets, cancel).await?;
        match rebuild.swap().await {
            Ok(Swap::Done) => return Ok(()),
            Ok(Swap::Behind) => {}
            Err(error) if error.trouble() == Trouble::Contended => tracing::info!("trying again to swap: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Failed(format!(
        "the tables could not be swapped in {TRIES} tries: is a long query reading them, or a worker without leases writing? Run `rebuild` again to go on"
    )))
}

/// Does `work` with all leases seized.
async fn alone(store: &Store, holder: &str, work: impl Future<Output = Outcome>) -> Outcome {
    store.seize(holder, LEASE).await?;
    let keep = async {
        let mut rounds = tokio::time::interval(LEASE / 5);
        loop {
            rounds.tick().await;
            if let Err(error) = store.keep(holder, LEASE).await {
                tracing::warn!("the leases cannot be renewed: {error}");
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = keep => unreachable!("it has no end"),
    }
}
