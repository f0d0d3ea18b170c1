//! The times of events that tell none of their own, asked for beside whatever else is read: until they are known, the events
//! wait in their lane. While a question fails its feed reads no further, so that others have the room.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Cause};
use super::lane::{Sender, Times};
use crate::backoff::Backoff;
use crate::chain::Version;
use crate::state::Slice;
use crate::subject::{Subject, SubjectError};

/// The questions of one feed. Dropped, it asks no more.
pub(super) struct Asking<S> {
    index: usize,
    subject: Arc<S>,
    lane: Sender,
    board: Arc<Board>,
    /// One task each.
    questions: JoinSet<()>,
    /// How many have failed and are asked again.
    failing: watch::Sender<usize>,
}

impl<S: Subject> Asking<S> {
    pub fn new(index: usize, subject: &Arc<S>, lane: &Sender, board: &Arc<Board>) -> Self {
        let (subject, lane, board) = (Arc::clone(subject), lane.clone(), Arc::clone(board));
        Self { index, subject, lane, board, questions: JoinSet::new(), failing: watch::Sender::new(0) }
    }

    /// Asks when `versions` were, however often it has to; the lane, which knows the question by then, is told, or why it has
    /// to stop.
    pub fn ask(&mut self, question: u64, versions: BTreeSet<Version>, cancel: &CancellationToken) {
        while self.questions.try_join_next().is_some() {}
        let (index, subject, board) = (self.index, Arc::clone(&self.subject), Arc::clone(&self.board));
        let (lane, cancel, failing) = (self.lane.clone(), cancel.clone(), self.failing.clone());
        self.questions.spawn(async move {
            let asking =
                AssertUnwindSafe(answer(index, &*subject, &versions, &board, &failing, &cancel)).catch_unwind();
            let broke_down = |_| Some(Err("asking for times broke down, which is a bug".to_owned()));
            if let Some(told) = asking.await.unwrap_or_else(broke_down) {
                lane.answer(question, told);
            }
        });
    }

    /// Whether any has failed and is asked again.
    pub fn is_failing(&self) -> bool {
        *self.failing.borrow() > 0
    }

    /// Waits until none is.
    pub async fn well(&self) {
        // Never closed, as it is its own.
        let _ = self.failing.subscribe().wait_for(|failing| *failing == 0).await;
    }

    /// Waits for all answers, as long as none fails.
    pub async fn finish(&mut self) {
        let mut failing = self.failing.subscribe();
        let answers = async { while self.questions.join_next().await.is_some() {} };
        tokio::select! {
            () = answers => {}
            _ = failing.wait_for(|failing| *failing > 0) => {}
        }
    }

    /// Asks no more.
    pub async fn stop(&mut self) {
        self.questions.shutdown().await;
    }
}

/// Asks until there is an answer, or none is to be had; `None` if cancelled before.
async fn answer<S: Subject>(
    index: usize,
    subject: &S,
    versions: &BTreeSet<Version>,
    board: &Board,
    failing: &watch::Sender<usize>,
    cancel: &CancellationToken,
) -> Option<Times> {
    let (mut backoff, mut is_failing) = (Backoff::default(), None);
    loop {
        let error = match cancel.run_until_cancelled(subject.times(versions)).await? {
            Ok(times) => {
                if is_failing.take().is_some() && *failing.borrow() == 0 {
                    board.reads(index, None);
                }
                return Some(Ok(times));
            }
            Err(error) => error,
        };
        if !error.may_pass() && !matches!(error, SubjectError::TooLong(_)) {
            return Some(Err(error.to_string()));
        }
        is_failing.get_or_insert_with(|| Failing::of(failing));
        board.waits(index, Cause::of(&error), &error.to_string());
        if matches!(error, SubjectError::Throttled { .. }) {
            // The node has said how long; one pause is met by all that are under way.
            backoff.reset();
        }
        cancel.run_until_cancelled(tokio::time::sleep(error.pause())).await?;
        backoff.wait(cancel).await;
    }
}

/// A question that has failed, until it ends in whatever way.
struct Failing<'a>(&'a watch::Sender<usize>);

impl<'a> Failing<'a> {
    fn of(failing: &'a watch::Sender<usize>) -> Self {
        failing.send_modify(|failing| *failing += 1);
        Self(failing)
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|failing| *failing -= 1);
    }
}

/// The number of a new question.
pub(super) fn question() -> u64 {
    static QUESTIONS: AtomicU64 = AtomicU64::new(0);
    QUESTIONS.fetch_add(1, Ordering::Relaxed)
}

/// The versions of which events of `slice` tell no time.
pub(super) fn untimed(slice: &Slice) -> BTreeSet<Version> {
    if !slice.stream.may_lack_time() {
        return BTreeSet::new();
    }
    slice.events.iter().filter(|event| event.lacks_time()).map(|event| event.raw.version).collect()
}
