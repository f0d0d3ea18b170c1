//! Progress through quiet stretches of a stream that is found by scanning, so that a restart does not scan them again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::lane::Sender;
use crate::chain::{ChainId, SeqNo, Version};
use crate::market::Stream;
use crate::state::Store;

pub(super) struct Scanned {
    store: Store,
    stream: Arc<Stream>,
    epoch: Option<i64>,
    interval: Duration,
    told: Option<Instant>,
}

impl Scanned {
    pub fn new(store: &Store, stream: &Arc<Stream>, epoch: Option<i64>, interval: Duration) -> Self {
        Self { store: store.clone(), stream: Arc::clone(stream), epoch, interval, told: None }
    }

    /// Stores, now and then, that nothing of the stream is missing up to `version` but what comes from `next` on. Only of
    /// what is committed: it says nothing about events that are still on their way.
    pub async fn tell(
        &mut self,
        version: Option<Version>,
        chain: Option<ChainId>,
        next: SeqNo,
        lane: &Sender,
        at_once: bool,
    ) {
        let Some(version) = version else { return };
        let is_due = at_once || self.told.is_none_or(|told| told.elapsed() >= self.interval);
        if !is_due || lane.position.borrow().next != next {
            return;
        }
        self.told = Some(Instant::now());
        // It only saves work: the next one is as good.
        if let Err(error) = self.store.scanned(&self.stream.observer, next, self.epoch, version, chain).await {
            tracing::debug!("{}: progress to version {version} is not stored: {error}", self.stream.observer);
        }
    }
}
