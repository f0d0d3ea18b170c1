//! The end of a stream: what its counter means to a feed that has read everything it was shown.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::board::Cause;
use super::super::reason;
use super::{End, Feed, GAP_PATIENCE, Step};
use crate::chain::{SeqNo, Version};
use crate::subject::{Counter, Ledger, Subject, SubjectError};

/// What to make of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// There are events behind the last one read, whoever says so.
    More,
    /// There are none.
    End,
    /// This node cannot tell: it knows less than was known before.
    Behind(&'static str),
    /// Fewer than have been read, by a node that should know.
    Fewer,
}

impl Tail {
    /// For a feed that reads `next` next, after an event of `version`.
    fn of(counter: &Counter, next: SeqNo, version: Option<Version>) -> Self {
        match counter.next.cmp(&next) {
            std::cmp::Ordering::Greater => Self::More,
            _ if counter.ledger.behind => Self::Behind("the node's ledger is behind what it has shown before"),
            std::cmp::Ordering::Equal => Self::End,
            std::cmp::Ordering::Less if counter.ledger.version < version => Self::Behind(
                "the node's ledger is behind the last executed event; if the chain was reset, give it a database of its own (DATABASE_URL)",
            ),
            std::cmp::Ordering::Less => Self::Fewer,
        }
    }
}

impl<S: Subject> Feed<S> {
    /// A short page is probably the end; an empty one is the end, a node that lags, or history that is gone. The handle's
    /// counter tells.
    pub(super) async fn end_of_stream(&mut self, ledger: Ledger, empty: bool, cancel: &CancellationToken) -> Step {
        self.committed(cancel).await?;
        if ledger.behind {
            return self.wait(Cause::NodeBehind, "the node's ledger is behind what it has shown before", cancel).await;
        }
        let (counter, tail) = match self.tail(cancel).await? {
            Ok(known) => known,
            Err(error) => return self.meet(error, cancel).await,
        };
        match tail {
            Tail::More if empty => self.meet_missing(counter.next, ledger, cancel).await,
            Tail::More => Ok(()),
            Tail::Behind(why) => self.wait(Cause::NodeBehind, why, cancel).await,
            Tail::Fewer => self.meet_reset(counter.next, cancel).await,
            Tail::End => {
                self.settled();
                self.following = true;
                self.board.counter(self.index, counter.next);
                let at_once = self.config.until_caught_up;
                self.scanned
                    .tell(counter.ledger.version, counter.ledger.chain_id, self.next, &self.lane, at_once)
                    .await;
                if self.config.until_caught_up {
                    return Err(End::CaughtUp);
                }
                self.board.caught_up(self.index);
                self.rest();
                Ok(())
            }
        }
    }

    /// The counter, and what it means. A node that cannot tell is asked again before the page is: of a pair the one that lags
    /// may be the one that is asked every second time.
    async fn tail(&mut self, cancel: &CancellationToken) -> Result<Result<(Counter, Tail), SubjectError>, End> {
        const TRIES: u32 = 4;
        let mut tries = 0;
        loop {
            tries += 1;
            let counter = match self.subject.counter().await {
                Ok(counter) => counter,
                Err(error) => return Ok(Err(error)),
            };
            self.check_chain(counter.ledger)?;
            match Tail::of(&counter, self.next, self.version) {
                Tail::Behind(_) if tries < TRIES => self.backoff.wait(cancel).await,
                tail => return Ok(Ok((counter, tail))),
            }
        }
    }

    /// From now on only the counter is looked at.
    pub(super) fn rest(&mut self) {
        self.lane.idle();
        self.idle = Some(self.config.poll_interval);
    }

    /// Whatever was strange before has passed.
    pub(super) fn settled(&mut self) {
        self.gap_since = None;
        self.lagging = 0;
        self.backoff.reset();
    }

    /// At the end: until the counter, which is looked at every `interval` for all streams of the resource, says that there
    /// is more. After an answer that says nothing it is looked at again without that pause, as soon as the backoff allows.
    pub(super) async fn wait_for_more(&mut self, interval: Duration, cancel: &CancellationToken) -> Step {
        /// One node of a pair may lag: nothing to speak of before it does so again and again.
        const PASSING: u32 = 3;
        self.idle = Some(Duration::ZERO);
        let counter = match self.subject.next_counter(interval).await {
            Ok(counter) => counter,
            Err(error) => return self.meet(error, cancel).await,
        };
        self.check_chain(counter.ledger)?;
        match Tail::of(&counter, self.next, self.version) {
            Tail::More => {
                self.idle = None;
                self.known = counter.next;
                self.board.counter(self.index, counter.next);
                Ok(())
            }
            Tail::End => {
                self.settled();
                self.scanned.tell(counter.ledger.version, counter.ledger.chain_id, self.next, &self.lane, false).await;
                // What was read last may wait for its times.
                if self.lane.position.borrow().next >= self.next {
                    self.board.caught_up(self.index);
                }
                self.rest();
                Ok(())
            }
            Tail::Behind(why) => {
                self.lagging += 1;
                if self.lagging > PASSING {
                    return self.wait(Cause::NodeBehind, why, cancel).await;
                }
                self.backoff.wait(cancel).await;
                Ok(())
            }
            Tail::Fewer => self.meet_reset(counter.next, cancel).await,
        }
    }

    /// The counter says that there is more, the page says that there is not.
    async fn meet_missing(&mut self, counter: SeqNo, ledger: Ledger, cancel: &CancellationToken) -> Step {
        /// Events may have come between the page and the counter; twice in a row they have not.
        const BELIEVED: u32 = 3;
        self.board.counter(self.index, counter);
        self.lagging += 1;
        if self.lagging < BELIEVED {
            self.backoff.wait(cancel).await;
            return Ok(());
        }
        if self.is_pruned(ledger) {
            let what = format!("the node answers nothing for seq no {}, of {counter} events", self.next);
            return self.meet_pruned(&what).await;
        }
        self.wait(Cause::NodeBehind, &format!("the node shows no event {} yet, of {counter}", self.next), cancel).await
    }

    /// Fewer events than have been executed: the node errs, or the chain was reset.
    async fn meet_reset(&mut self, counter: SeqNo, cancel: &CancellationToken) -> Step {
        let why = reason::fewer_than_executed(counter, self.next);
        let since = *self.gap_since.get_or_insert_with(Instant::now);
        if since.elapsed() < GAP_PATIENCE {
            return self
                .wait(
                    Cause::Gap,
                    &format!(
                        "the handle has emitted {counter} events, but {} have been executed; reading it again",
                        self.next
                    ),
                    cancel,
                )
                .await;
        }
        Err(End::Stopped(Cause::Gap, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Ledger;

    #[test]
    fn a_node_that_lags_is_believed_about_more_and_about_nothing_else() {
        let counter = |next: u64, version: u64, behind| Counter {
            next: SeqNo::new(next).unwrap(),
            ledger: Ledger { version: Version::new(version), behind, ..Ledger::default() },
        };
        let tail = |counter| Tail::of(&counter, SeqNo::new(7).unwrap(), Version::new(50));
        let is_behind = |counter| matches!(tail(counter), Tail::Behind(_));
        assert_eq!(tail(counter(8, 60, false)), Tail::More);
        assert_eq!(tail(counter(8, 60, true)), Tail::More);
        assert_eq!(tail(counter(7, 60, false)), Tail::End);
        assert!(is_behind(counter(7, 60, true)));
        assert!(is_behind(counter(6, 60, true)));
        assert!(is_behind(counter(6, 49, false)));
        assert_eq!(tail(counter(6, 50, false)), Tail::Fewer);
        // Who does not say where it stands proves nothing.
        let untold = Counter { ledger: Ledger::default(), ..counter(6, 0, false) };
        assert!(is_behind(untold));
    }
}
