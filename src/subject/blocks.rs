//! The times of blocks, for events that tell none of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;

use super::answer::Answer;
use super::turns::Turns;
use super::{Nodes, SubjectError};
use crate::chain::{Timestamp, Version};

/// Blocks that are remembered.
const KEPT: usize = 10_000;

/// The blocks of a ledger, as far as they were asked for.
#[derive(Default)]
pub(super) struct Blocks {
    /// By their last version.
    known: Mutex<BTreeMap<Version, Block>>,
    /// Of those who ask for one.
    turns: Turns,
}

#[derive(Clone, Copy)]
struct Block {
    first: Version,
    last: Version,
    time: Timestamp,
}

impl Nodes {
    /// The times of the blocks that hold `versions`; without those that nobody has any more.
    pub(super) async fn times(
        &self,
        versions: &BTreeSet<Version>,
    ) -> Result<BTreeMap<Version, Timestamp>, SubjectError> {
        let (mut asked, mut times) = (versions.clone(), BTreeMap::new());
        while !asked.is_empty() {
            let is_failing = AtomicBool::new(false);
            let answers: FuturesUnordered<_> =
                asked.iter().map(async |version| Some((*version, self.time(*version, &is_failing).await?))).collect();
            let (mut failed, mut is_answered) = (None::<SubjectError>, false);
            // All that are under way: whatever they bring is not asked for again.
            for (version, answer) in answers.collect::<Vec<_>>().await.into_iter().flatten() {
                match answer {
                    Ok(time) => {
                        is_answered = true;
                        asked.remove(&version);
                        times.extend(time.map(|time| (version, time)));
                    }
                    Err(error) if error.may_pass() => {
                        failed = failed.into_iter().chain([error]).max_by_key(SubjectError::pause);
                    }
                    Err(error) => return Err(error),
                }
            }
            match failed {
                // Whoever answers some of them will answer the others.
                Some(error) if is_answered && error.pause().is_zero() => {}
                Some(error) => return Err(error),
                None => {}
            }
        }
        Ok(times)
    }

    /// The time of the block that holds `version`, if anybody has it. `None`: not asked, as another one has failed.
    async fn time(&self, version: Version, is_failing: &AtomicBool) -> Option<Result<Option<Timestamp>, SubjectError>> {
        if let Some(block) = self.blocks.known(version) {
            return Some(Ok(Some(block.time)));
        }
        let turn = self.blocks.turns.take().await;
        if is_failing.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(block) = self.blocks.known(version) {
            return Some(Ok(Some(block.time)));
        }
        let path = format!("/blocks/by_version/{version}?with_transactions=false");
        // In a box, as hundreds may wait for their turns.
        let asked = Box::pin(self.ask_about(version, &path, |answer| read(answer, version))).await;
        is_failing.fetch_or(asked.is_err(), Ordering::Relaxed);
        Some(asked.map(|block| {
            turn.answered();
            block.map(|block| {
                self.blocks.remember(block);
                block.time
            })
        }))
    }
}

impl Blocks {
    fn known(&self, version: Version) -> Option<Block> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.range(version..).next().map(|(_, block)| *block).filter(|block| block.first <= version)
    }

    fn remember(&self, block: Block) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(block.last, block);
        if known.len() > KEPT {
            // The one furthest from here: streams may be far apart.
            let distance =
                |other: Option<(&Version, &Block)>| other.map(|(last, _)| last.get().abs_diff(block.last.get()));
            if distance(known.first_key_value()) < distance(known.last_key_value()) {
                known.pop_last();
            } else {
                known.pop_first();
            }
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
