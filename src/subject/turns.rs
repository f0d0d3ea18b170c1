//! How many short questions are asked at once: the longer the node takes to answer, the more. Mostly it is far away; one that
//! is slow or busy is asked more at once, too, up to the same limit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// At once of a node that is far away. Each may take a connection, and so some 26 KB.
const MOST: u32 = 192;
/// From here on a node is far away. Nearer ones can answer as many a second of fewer at once.
const FAR: Duration = Duration::from_millis(75);
/// How many times fewer at once while no answer has come, and of a node that is next door.
const UNKNOWN: u32 = 3;
const NEAR: u32 = 12;
/// What part of the difference an answer that takes longer makes.
const SLOWLY: u64 = 64;

/// The turns of those who ask, in the order in which they come.
pub(super) struct Turns {
    free: Semaphore,
    /// About the shortest time to an answer, in microseconds. It goes up slowly, as whoever is asked may be another one later.
    distance: AtomicU64,
}

/// The right to ask one question. Dropped, it tells nothing.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    began: Instant,
    _taken: Option<SemaphorePermit<'a>>,
}

impl Default for Turns {
    fn default() -> Self {
        let most = usize::try_from(MOST).unwrap_or(Semaphore::MAX_PERMITS);
        Self { free: Semaphore::new(most), distance: AtomicU64::new(u64::MAX) }
    }
}

impl Turns {
    /// Waits for a turn.
    pub async fn take(&self) -> Turn<'_> {
        // Never closed.
        let taken = self.free.acquire_many(self.share()).await.ok();
        Turn { turns: self, began: Instant::now(), _taken: taken }
    }

    /// How much of [`MOST`] a question takes.
    fn share(&self) -> u32 {
        let distance = self.distance.load(Ordering::Relaxed);
        if distance == u64::MAX {
            return UNKNOWN;
        }
        let share = FAR.as_micros().div_ceil(u128::from(distance.max(1)));
        u32::try_from(share).unwrap_or(NEAR).clamp(1, NEAR)
    }
}

impl Turn<'_> {
    /// The node has answered.
    pub fn answered(self) {
        let took = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let distance = self.turns.distance.load(Ordering::Relaxed);
        let nearer = took.min(distance);
        self.turns.distance.store(nearer + (took - nearer) / SLOWLY, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    /// How many may ask at once.
    fn at_once(turns: &Turns) -> usize {
        let taken: Vec<_> = std::iter::from_fn(|| unconstrained(turns.take()).now_or_never()).collect();
        taken.len()
    }

    #[tokio::test(start_paused = true)]
    async fn the_further_away_a_node_is_the_more_are_asked_at_once() {
        let turns = Turns::default();
        assert_eq!(at_once(&turns), 64, "nobody has answered yet");
        for (milliseconds, expected) in [(200, 192), (75, 192), (50, 96), (20, 48), (2, 16), (200, 16)] {
            let turn = turns.take().await;
            tokio::time::advance(Duration::from_millis(milliseconds)).await;
            turn.answered();
            assert_eq!(at_once(&turns), expected, "after an answer that took {milliseconds} ms");
        }
        for _ in 0..100 {
            let turn = turns.take().await;
            tokio::time::advance(Duration::from_millis(200)).await;
            turn.answered();
        }
        assert_eq!(at_once(&turns), 192, "another node is asked since then, which is far away");
    }
}
