//! The times of blocks, for events that tell none of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::node::Question;
use super::{Nodes, SubjectError};
use crate::chain::{RawEvent, Timestamp, Version};

/// Blocks that are asked for at once, by all streams together.
const AT_ONCE: usize = 32;
/// Blocks that are remembered.
const KEPT: usize = 10_000;

/// The blocks of a ledger, as far as they were asked for.
pub struct Blocks {
    nodes: Arc<Nodes>,
    /// By their last version.
    known: Mutex<BTreeMap<Version, Block>>,
    turns: Semaphore,
}

/// Whether an event tells no time of its own.
pub type Untimed = Box<dyn Fn(&RawEvent) -> bool + Send + Sync>;

#[derive(Clone, Copy)]
struct Block {
    first: Version,
    last: Version,
    time: Timestamp,
}

impl Blocks {
    /// Those of these nodes.
    #[must_use]
    pub fn new(nodes: Arc<Nodes>) -> Self {
        Self { nodes, known: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }

    /// Gives the `untimed` of `events` the times of their blocks. One whose block nobody has any more stays without.
    pub(super) async fn fill(&self, events: &mut [RawEvent], untimed: &Untimed) -> Result<(), SubjectError> {
        let versions: BTreeSet<_> = events.iter().filter(|event| untimed(event)).map(|event| event.version).collect();
        if versions.is_empty() {
            return Ok(());
        }
        let mut times = BTreeMap::new();
        loop {
            let before = times.len();
            match self.more(&versions, &mut times).await {
                Ok(()) => break,
                // Whoever answers some of them will answer the others.
                Err(SubjectError::Unreachable(_)) if times.len() > before => {}
                Err(error) => return Err(error),
            }
        }
        for event in events {
            event.block_time = times.get(&event.version).copied().flatten().or(event.block_time);
        }
        Ok(())
    }

    /// Adds to `times` what is missing of `versions`. After a failure no more are asked for.
    async fn more(
        &self,
        versions: &BTreeSet<Version>,
        times: &mut BTreeMap<Version, Option<Timestamp>>,
    ) -> Result<(), SubjectError> {
        let failed = AtomicBool::new(false);
        let missing = versions.iter().filter(|version| !times.contains_key(version));
        let asked: Vec<_> = missing.map(|version| self.unless(&failed, *version)).collect();
        let mut failure = None;
        for told in stream::iter(asked).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            match told {
                Ok(told) => times.extend(told),
                // A node that asks for fewer requests goes before all others.
                Err(error) => failure = failure.into_iter().chain([error]).max_by_key(SubjectError::pause),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The time of a version, unless another one has `failed`.
    async fn unless(
        &self,
        failed: &AtomicBool,
        version: Version,
    ) -> Result<Option<(Version, Option<Timestamp>)>, SubjectError> {
        let turn = self.turns.acquire().await;
        if failed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let time = self.time(version).await.inspect_err(|_| failed.store(true, Ordering::Relaxed));
        drop(turn);
        Ok(Some((version, time?)))
    }

    /// The time of the block that holds `version`; `None` where that is pruned, and no archive has it.
    async fn time(&self, version: Version) -> Result<Option<Timestamp>, SubjectError> {
        if let Some(block) = self.known(version) {
            return Ok(Some(block.time));
        }
        let path = format!("/blocks/by_version/{version}?with_transactions=false");
        let read = |answer: &Answer| read(answer, version);
        let asked = match self.nodes.ask(Question::get(&path), read).await {
            // It has lost it without saying so.
            Err(SubjectError::Missing { ledger, .. }) if ledger.oldest_version > Some(version) => {
                self.nodes.ask_archived(Question::get(&path), read).await
            }
            asked => asked,
        };
        match asked {
            Ok((block, _)) => {
                self.remember(block);
                Ok(Some(block.time))
            }
            Err(SubjectError::Pruned(_)) => Ok(None),
            // The event is there, so its block will be, too.
            Err(SubjectError::Missing { message, .. }) => Err(SubjectError::Unreachable(message)),
            Err(error) => Err(error),
        }
    }

    fn known(&self, version: Version) -> Option<Block> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.range(version..).next().map(|(_, block)| *block).filter(|block| block.first <= version)
    }

    fn remember(&self, block: Block) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(block.last, block);
        if known.len() > KEPT {
            // The oldest: hardly anybody goes back.
            known.pop_first();
        }
    }
}

fn read(answer: &Answer, version: Version) -> Result<Block, String> {
    #[derive(Deserialize)]
    struct BlockJson {
        block_timestamp: String,
        first_version: String,
        last_version: String,
    }
    let told: BlockJson = answer.json()?;
    let at = |text: &str| text.parse().ok().and_then(Version::new);
    let time = told.block_timestamp.parse().ok().and_then(Timestamp::from_micros);
    let (Some(first), Some(last), Some(time)) = (at(&told.first_version), at(&told.last_version), time) else {
        return Err("answered a block whose versions or time are no numbers".to_owned());
    };
    if !(first..=last).contains(&version) {
        return Err(format!("answered the block of versions {first} to {last} where {version} was asked for"));
    }
    Ok(Block { first, last, time })
}
