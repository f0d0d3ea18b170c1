//! The loop over subject, market and state.
//!
//! Which observers this worker executes say the leases that it keeps ([`lease`]). While it has one it is on [`duty`]: a
//! [`feed`] reads [`pages`], several at once while it is behind, within the [`room`] that all feeds share, checks and decodes
//! them, and asks for the [`times`] of events that tell none. One [`writer`] takes what all feeds have ready, in ledger order
//! where they are far behind, asks for the [`order`] within a version where rows depend on it, and commits it. What is going on stands on the [`board`], from which the [`reporter`] tells `observer_status`,
//! [`metrics`] Prometheus, and [`progress`] people; [`watch`] names whoever does not answer.

mod board;
mod duty;
mod feed;
mod indexes;
mod lane;
mod lease;
mod metrics;
mod order;
mod pages;
mod progress;
mod reason;
mod reporter;
mod room;
mod speed;
mod times;
mod watch;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use board::{Board, Cause, Snapshot, State};
pub use metrics::{Observed, metrics};

use crate::backoff::Backoff;
use crate::chain::ChainId;
use crate::market::{Markets, Stream};
use crate::state::{Checkpoint, Store, StoreError, Trouble};
use crate::subject::Subject;
use duty::Duty;
use lease::Leasing;
use room::Room;
use watch::Watched;
use writer::Writer;

/// So much of a quiet stretch, at most, is looked through again after a kill.
pub const SCANNED_INTERVAL: Duration = Duration::from_secs(30);

/// How observers go about their work.
#[derive(Debug, Clone)]
pub struct Config {
    /// Pause between polls of a caught-up observer.
    pub poll_interval: Duration,
    /// Parked events in a row before an observer stops.
    pub max_parked: u64,
    /// Whether to end once all observers are caught up.
    pub until_caught_up: bool,
    /// How often it is stored how far a stream was looked for where nothing of it is found: [`SCANNED_INTERVAL`].
    pub scanned_interval: Duration,
    /// How long an observer stays with a worker that no longer says that it lives. `None`: no leases, compare-and-set alone.
    pub lease: Option<Duration>,
    /// This worker's name, which no other has.
    pub worker: String,
}

/// An observer that had to stop, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The observer.
    pub observer: String,
    /// Why, with the remedy.
    pub reason: String,
}

/// Runs one observer per stream of `markets` until `cancel`, or, if so configured, until all are caught up. `subject`
/// tells where a stream is read from. Returns the observers that had to stop; the others went on.
pub async fn run<S: Subject>(
    config: Config,
    store: Store,
    markets: Arc<Markets>,
    subject: impl Fn(&Stream) -> S,
    board: Arc<Board>,
    cancel: CancellationToken,
) -> Result<Vec<Stopped>, StoreError> {
    let Some(checkpoints) = read_checkpoints(&store, &markets, &cancel).await? else { return Ok(vec![]) };
    let chain_id = match one_chain(&checkpoints)? {
        Some(chain) => Some(chain),
        None => store.chain_id().await?,
    };
    // Without a writer nobody goes on, either.
    let (told_to_stop, cancel) = (cancel.clone(), cancel.child_token());
    let told = CancellationToken::new();
    let reporter = reporter::run(store.clone(), Arc::clone(&board), config.worker.clone(), told.clone());
    let reporter = tokio::spawn(reporter);
    let progress = tokio::spawn(progress::run(Arc::clone(&board), told.clone()));
    if !config.until_caught_up {
        tokio::spawn(indexes::follow(store.clone(), Arc::clone(&markets), told.clone()));
    }
    let leases = Leasing::start(&config, &store, &board, &markets);
    let room = Room::new(checkpoints.len(), store.room());
    let mut writer =
        Writer::new(store.clone(), Arc::clone(&markets), Arc::clone(&room), Arc::clone(&board), cancel.clone());
    let mut duties = JoinSet::new();
    for (index, (stream, checkpoint)) in markets.streams().zip(checkpoints).enumerate() {
        board.executed(index, checkpoint.next, None);
        let subject = Arc::new(Watched::new(subject(stream), index, &board));
        let lane = writer.lane(stream, checkpoint.next, &subject);
        let duty = Duty {
            index,
            stream: Arc::clone(stream),
            subject,
            store: store.clone(),
            lane,
            lease: leases.of[index].clone(),
            config: config.clone(),
            chain_id,
            room: Arc::clone(&room),
            board: Arc::clone(&board),
        };
        let (observer, cancel) = (Arc::clone(&stream.observer), cancel.clone());
        duties.spawn(async move { (observer, duty.run(cancel).await) });
    }
    let writing = writer.start().map_err(|error| StoreError::Refused(format!("the writer cannot start: {error}")))?;
    let mut stopped = vec![];
    while let Some(ended) = duties.join_next().await {
        match ended {
            Ok((observer, ended)) => {
                // Another worker may have a node that can, or go on where this one was only to catch up.
                if !cancel.is_cancelled() {
                    leases.unwanted(&observer);
                }
                stopped.extend(ended);
            }
            Err(panic) => stopped.push(Stopped {
                observer: "(unknown)".to_owned(),
                reason: format!("broke down, which is a bug: {panic}"),
            }),
        }
    }
    if let Err(panic) = writing.await {
        stopped.push(Stopped {
            observer: "(all)".to_owned(),
            reason: format!("the writer broke down, which is a bug: {panic}"),
        });
    }
    leases.end().await;
    if config.until_caught_up && stopped.len() < markets.streams().count() {
        indexes::make(&store, &told_to_stop).await;
    }
    board.ended();
    told.cancel();
    let _ = tokio::join!(reporter, progress);
    Ok(stopped)
}

/// Where all streams stand, in their order; `None` if cancelled before the database answered.
async fn read_checkpoints(
    store: &Store,
    markets: &Markets,
    cancel: &CancellationToken,
) -> Result<Option<Vec<Checkpoint>>, StoreError> {
    let mut backoff = Backoff::default();
    let mut checkpoints = vec![];
    for stream in markets.streams() {
        checkpoints.push(loop {
            match store.checkpoint(&stream.observer).await {
                Err(error) if error.trouble() != Trouble::Lasting => backoff.wait(cancel).await,
                read => break read?,
            }
            if cancel.is_cancelled() {
                return Ok(None);
            }
        });
    }
    Ok(Some(checkpoints))
}

/// The chain of the stored events: checkpoints of two chains cannot belong together.
fn one_chain(checkpoints: &[Checkpoint]) -> Result<Option<ChainId>, StoreError> {
    let mut chains: Vec<_> = checkpoints.iter().filter_map(|checkpoint| checkpoint.chain_id).collect();
    chains.sort_unstable();
    chains.dedup();
    match chains[..] {
        [] => Ok(None),
        [chain] => Ok(Some(chain)),
        [..] => Err(StoreError::Refused(format!(
            "the checkpoints are of several chains ({chains:?}): give each chain a database of its own"
        ))),
    }
}
