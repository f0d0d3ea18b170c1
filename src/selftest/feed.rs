//! One observer's reading in a simulated worker, by the rules of the observers' feeds.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::chain::{ChainId, SeqNo, Version};
use crate::market::Stream;
use crate::state::{Checkpoint, Executed, Slice};
use crate::subject::{Counter, Ledger, Page, SubjectError};

/// Where an observer reads, and what of it waits to be committed.
pub struct Feed {
    pub stream: Arc<Stream>,
    pub epoch: Option<i64>,
    /// The next event to read.
    pub next: SeqNo,
    pub waiting: VecDeque<Executed>,
    /// Whether the last answer was that there is nothing more.
    pub is_caught_up: bool,
    is_stopped: bool,
    /// Whether its lease has gone to another worker.
    is_closed: bool,
    chain_id: Option<ChainId>,
    version: Option<Version>,
}

/// What came of reading a page.
pub enum Read {
    Events { events: usize, parked: u64 },
    Again(&'static str),
    CaughtUp,
    Stopped(&'static str),
}

impl Feed {
    /// Reads on from `checkpoint`.
    pub fn new(stream: &Arc<Stream>, checkpoint: &Checkpoint, epoch: Option<i64>, chain_id: Option<ChainId>) -> Self {
        Self {
            stream: Arc::clone(stream),
            epoch,
            next: checkpoint.next,
            waiting: VecDeque::new(),
            is_caught_up: false,
            is_stopped: false,
            is_closed: false,
            chain_id: checkpoint.chain_id.or(chain_id),
            version: checkpoint.executed_version,
        }
    }

    /// Whether it reads on.
    pub fn is_open(&self) -> bool {
        !self.is_stopped && !self.is_closed
    }

    /// Takes what of a page goes on where it stands. `counter` is what a node answers to the question how many there are.
    pub fn take(&mut self, page: Result<Page, SubjectError>, counter: Option<Counter>) -> Read {
        let page = match page {
            Ok(page) => page,
            Err(
                SubjectError::Unreachable(_)
                | SubjectError::Behind(_)
                | SubjectError::ArchiveUnreachable(_)
                | SubjectError::Throttled { .. },
            ) => return Read::Again("no answer"),
            Err(SubjectError::Pruned(_)) => return self.stop("history is pruned"),
            Err(SubjectError::Missing { .. } | SubjectError::TooLong(_) | SubjectError::Refused(_)) => {
                return self.stop("refused");
            }
        };
        if self.is_other_chain(page.ledger) {
            return self.stop("a node of another chain");
        }
        if page.events.is_empty() {
            return self.end_of_stream(counter);
        }
        let good = page.continuing(self.next, self.version);
        if good == 0 {
            return Read::Again("gap");
        }
        let mut parked = 0;
        for raw in page.events.into_iter().take(good) {
            let meaning = self.stream.entry(&raw);
            parked += u64::from(meaning.is_err());
            (self.next, self.version) = (raw.seq_no.next(), Some(raw.version));
            if !self.is_closed {
                self.waiting.push_back(Executed { raw, meaning });
            }
        }
        self.chain_id = page.ledger.chain_id.or(self.chain_id);
        self.is_caught_up = false;
        Read::Events { events: good, parked }
    }

    fn end_of_stream(&mut self, counter: Option<Counter>) -> Read {
        let Some(counter) = counter else { return Read::Again("no answer") };
        if self.is_other_chain(counter.ledger) {
            return self.stop("a node of another chain");
        }
        if counter.next > self.next {
            return Read::Again("nothing yet");
        }
        if counter.next < self.next {
            if counter.ledger.version < self.version {
                return Read::Again("behind");
            }
            return self.stop("the chain was reset");
        }
        self.is_caught_up = true;
        Read::CaughtUp
    }

    fn is_other_chain(&self, ledger: Ledger) -> bool {
        self.chain_id.zip(ledger.chain_id).is_some_and(|(ours, theirs)| ours != theirs)
    }

    fn stop(&mut self, why: &'static str) -> Read {
        self.is_stopped = true;
        Read::Stopped(why)
    }

    /// The first `length` of what waits.
    pub fn slice(&mut self, length: usize) -> Slice {
        let events = self.waiting.drain(..length).collect();
        Slice { stream: Arc::clone(&self.stream), chain_id: self.chain_id, epoch: self.epoch, events }
    }

    /// Everything before `next` is committed.
    pub fn settle(&mut self, next: SeqNo) {
        self.waiting.retain(|event| event.raw.seq_no >= next);
    }

    /// The checkpoint has been read again: another worker may have executed what this one wanted to.
    pub fn found(&mut self, checkpoint: &Checkpoint) {
        if checkpoint.next > self.next {
            self.next = checkpoint.next;
            self.version = checkpoint.executed_version;
        }
    }

    /// Nothing that waits here is to be committed any more.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.waiting.clear();
    }
}
