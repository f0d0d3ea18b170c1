//! `rebuild`: orders, offers, tokens, collections and activities anew from the stored events.
//!
//! The events are followed into tables beside the live ones by the code that follows a node, in its order and as fast. When
//! these have come as far as the workers, the workers' leases are seized, the rest is folded, and the tables are swapped. There
//! is one at a time on a database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::run::{reasons, worker_name};
use super::{Failure, Outcome, connect_to_schema, log_to_stdout, print, until_signal};
use crate::config::{self, Database, Logs, Parking};
use crate::market::Markets;
use crate::observer::{self, Board};
use crate::state::{Rebuild, Store, StoredEvents, Swap, Trouble};
use crate::verify;

/// How long others take a rebuild for alive that does not tell so, and the leases hold that it has seized.
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
        scanned_interval: observer::SCANNED_INTERVAL,
        lease: None,
        worker: format!("rebuild {}", worker_name()),
    };
    let _guard = log_to_stdout(logs, args.database.secrets())?;
    let cancel = until_signal()?;
    let store = connect_to_schema(&args.database).await?;
    let started = Instant::now();
    claim(&store, &config.worker, &cancel).await?;
    let rebuilt = rebuild(&store, &config, &markets, args.restart, &cancel);
    let done = kept(&store, &config.worker, Box::pin(rebuilt)).await;
    let released = store.release(&config.worker).await;
    done?;
    released?;
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

/// Makes sure that this is the only rebuild. One that was killed is waited for until it can be taken for dead.
async fn claim(store: &Store, name: &str, cancel: &CancellationToken) -> Outcome {
    let mut waiting_since = None;
    while let Some(other) = store.claim_rebuild(name, LEASE).await? {
        let since = *waiting_since.get_or_insert_with(|| {
            tracing::info!("{other} is under way, or was killed just now: waiting until that is clear");
            Instant::now()
        });
        if since.elapsed() > 2 * LEASE {
            let message = format!("{other} is under way on this database: run `rebuild` again once it has ended");
            return Err(Failure::Failed(message));
        }
        if cancel.run_until_cancelled(tokio::time::sleep(LEASE / 20)).await.is_none() {
            return Err(Failure::Failed("interrupted: nothing has changed".to_owned()));
        }
    }
    Ok(())
}

/// Makes the tables anew and swaps them in.
async fn rebuild(
    store: &Store,
    config: &observer::Config,
    markets: &Arc<Markets>,
    anew: bool,
    cancel: &CancellationToken,
) -> Outcome {
    let rebuild = Rebuild::begin(store, &config.worker, markets, anew).await?;
    if rebuild.is_resumed {
        tracing::info!("going on with the rebuild that was interrupted (--restart begins anew)");
    }
    fold(&rebuild, config, markets, cancel).await?;
    tracing::info!("all stored events are folded: the workers are held off for the rest");
    store.seize(&config.worker, LEASE).await?;
    finish(&rebuild, config, markets, cancel).await
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
        let swapped = async {
            rebuild.reorder(markets).await?;
            rebuild.swap().await
        };
        match swapped.await {
            Ok(Swap::Done) => return Ok(()),
            Ok(Swap::Behind) => {}
            Err(error) if error.trouble() == Trouble::Contended => tracing::info!("trying again to swap: {error}"),
            Err(error) if error.trouble() == Trouble::Away => {
                return Err(Failure::Failed(format!(
                    "the tables could not be swapped, or nobody could tell: {error}; run `rebuild` again"
                )));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Failed(format!(
        "the tables could not be swapped in {TRIES} tries: is a long query reading them, or a worker without leases writing? Run `rebuild` again to go on"
    )))
}

/// Does `work`, and tells all the while that it is being done.
async fn kept(store: &Store, name: &str, work: impl Future<Output = Outcome>) -> Outcome {
    let keep = async {
        let mut rounds = tokio::time::interval(LEASE / 5);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            match timeout(LEASE, store.keep(name, LEASE)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("the leases cannot be renewed: {error}"),
                Err(_) => tracing::warn!("the leases cannot be renewed: the database does not answer"),
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = keep => unreachable!("it has no end"),
    }
}
