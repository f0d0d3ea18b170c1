//! Making the indexes that only readers need, once nobody is catching up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::board::State;
use crate::backoff::Backoff;
use crate::market::{Markets, Stream};
use crate::state::{Store, StoreError, Trouble};

/// How often to look whether somebody is still catching up.
const LOOK: Duration = Duration::from_secs(1);

/// What takes longer is told index by index.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often one is tried that others are in the way of, or the database: the next start tries again.
const TRIES: u32 = 10;

/// Waits until no observer of `markets` is catching up, in whichever worker, and makes what is missing then.
pub(super) async fn follow(store: Store, markets: Arc<Markets>, cancel: CancellationToken) {
    loop {
        // What is reported at first may be an earlier worker's.
        if cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
        let Ok(missing) = store.missing_indexes().await else { continue };
        if missing.is_empty() {
            return;
        }
        if is_settled(&store, &markets).await.unwrap_or(false) {
            return make(&store, &cancel).await;
        }
    }
}

/// Makes what is missing. What cannot be made is told, and nothing else comes of it.
pub(super) async fn make(store: &Store, cancel: &CancellationToken) {
    let Some(missing) = patiently(cancel, || store.missing_indexes()).await else { return };
    let missing = match missing {
        Ok(missing) => missing,
        Err(error) => return tracing::warn!("cannot tell whether indexes are missing: {error}"),
    };
    if missing.is_empty() {
        return;
    }
    let started = Instant::now();
    tracing::info!("making {} indexes for readers; commits may have to wait for that", missing.len());
    let mut unmade: Option<StoreError> = None;
    let mut remedy = vec![];
    for (number, index) in missing.iter().enumerate() {
        if started.elapsed() > PATIENCE {
            tracing::info!("making the index {index} ({} of {})", number + 1, missing.len());
        }
        match patiently(cancel, || store.make_index(index)).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                unmade.get_or_insert(error);
                remedy.push(index.sql());
            }
        }
    }
    match unmade {
        None => tracing::info!("all indexes are made, in {:.1} s", started.elapsed().as_secs_f64()),
        Some(error) => tracing::warn!(
            "indexes cannot be made, without which readers wait longer: {error}; they are tried again by the next start, or run: {}",
            remedy.join("; ")
        ),
    }
}

/// Whether every observer has come to the end of its stream, or stands still for good, as the workers report. Where all stand
/// still nothing was filled yet.
async fn is_settled(store: &Store, markets: &Markets) -> Result<bool, StoreError> {
    let states = store.reported_states().await?;
    let is =
        |stream: &Arc<Stream>, state: State| states.get(&*stream.observer).is_some_and(|told| told == state.name());
    let follows = |stream: &Arc<Stream>| is(stream, State::Following);
    Ok(markets.streams().any(follows) && markets.streams().all(|stream| follows(stream) || is(stream, State::Stopped)))
}

/// Tries some times, unless it cannot work; `None` if cancelled first.
async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    cancel: &CancellationToken,
    task: impl Fn() -> F,
) -> Option<Result<T, StoreError>> {
    let mut backoff = Backoff::default();
    for _ in 1..TRIES {
        match cancel.run_until_cancelled(task()).await? {
            Err(error) if error.trouble() != Trouble::Lasting => backoff.wait(cancel).await,
            done => return Some(done),
        }
    }
    cancel.run_until_cancelled(task()).await
}
