//! The way from a feed to the writer: bounded in bytes, and back comes what has been committed.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::chain::{ChainId, SeqNo, Version};
use crate::market::Stream;
use crate::state::{Checkpoint, Executed, Slice};

/// How much a feed may be ahead of the writer, in bytes of event data and overhead.
const ROOM: usize = 1 << 20;
/// What an event weighs besides its data, roughly.
const OVERHEAD: usize = 600;

/// How far the writer is with a lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Position {
    /// Everything before has been committed, by whomever.
    pub next: SeqNo,
    /// The checkpoint as it was found when it was last read: another worker may have moved it.
    pub elsewhere: Option<Checkpoint>,
    /// Why nothing more will be.
    pub failed: Option<String>,
}

/// What feeds tell the writer.
pub(super) enum Message {
    /// Events to commit; more are coming at once.
    Slice(Slice, OwnedSemaphorePermit),
    /// Nothing is coming for now: others need not wait for this lane.
    Idle,
}

/// A feed's end.
pub(super) struct Sender {
    pub index: usize,
    pub messages: mpsc::UnboundedSender<(usize, Message)>,
    pub room: Arc<Semaphore>,
    pub position: watch::Receiver<Position>,
}

/// The writer's end.
pub(super) struct Lane {
    pub stream: Arc<Stream>,
    pub position: watch::Sender<Position>,
    /// Whether more is coming at once.
    pub busy: bool,
    room: Arc<Semaphore>,
    expected: SeqNo,
    chain_id: Option<ChainId>,
    events: VecDeque<Executed>,
    permits: VecDeque<(SeqNo, OwnedSemaphorePermit)>,
}

impl Sender {
    /// Sends `slice` once there is room.
    pub async fn send(&self, slice: Slice) {
        let weight = slice.events.iter().map(|event| event.raw.data.len() + OVERHEAD).sum::<usize>().min(ROOM);
        let permits = u32::try_from(weight).unwrap_or(u32::MAX);
        // Neither is ever closed while a feed lives but at the end of the program.
        if let Ok(permit) = Arc::clone(&self.room).acquire_many_owned(permits).await {
            let _ = self.messages.send((self.index, Message::Slice(slice, permit)));
        }
    }

    /// Tells that nothing is coming for now.
    pub fn idle(&self) {
        let _ = self.messages.send((self.index, Message::Idle));
    }
}

impl Lane {
    pub fn new(stream: &Arc<Stream>, next: SeqNo) -> Self {
        Self {
            stream: Arc::clone(stream),
            position: watch::channel(Position { next, ..Position::default() }).0,
            busy: true,
            room: Arc::new(Semaphore::new(ROOM)),
            expected: next,
            chain_id: None,
            events: VecDeque::new(),
            permits: VecDeque::new(),
        }
    }

    pub fn sender(&self, index: usize, messages: mpsc::UnboundedSender<(usize, Message)>) -> Sender {
        Sender { index, messages, room: Arc::clone(&self.room), position: self.position.subscribe() }
    }

    pub fn receive(&mut self, message: Message) {
        match message {
            Message::Idle => self.busy = false,
            Message::Slice(slice, permit) => {
                self.busy = true;
                self.chain_id = slice.chain_id.or(self.chain_id);
                self.permits.push_back((slice.end(), permit));
                // A feed may not know yet that another worker was faster.
                let expected = self.expected;
                self.events.extend(slice.events.into_iter().filter(|event| event.raw.seq_no >= expected));
            }
        }
    }

    /// The versions of what is waiting, ascending.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = Version> {
        self.events.iter().map(|event| event.raw.version)
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes all events up to `horizon`.
    pub fn take(&mut self, horizon: Version) -> Option<Slice> {
        let count = self.events.partition_point(|event| event.raw.version <= horizon);
        let events: Vec<_> = self.events.drain(..count).collect();
        (!events.is_empty()).then(|| Slice { stream: Arc::clone(&self.stream), chain_id: self.chain_id, events })
    }

    /// Everything before `next` is committed.
    pub fn settle(&mut self, next: SeqNo) {
        self.expected = self.expected.max(next);
        self.events.retain(|event| event.raw.seq_no >= next);
        while self.permits.front().is_some_and(|(end, _)| *end <= next) {
            self.permits.pop_front();
        }
        self.position.send_modify(|position| position.next = position.next.max(next));
    }

    /// The checkpoint has been read again.
    pub fn found(&mut self, checkpoint: Checkpoint) {
        self.settle(checkpoint.next);
        self.position.send_modify(|position| position.elsewhere = Some(checkpoint));
    }

    /// Nothing more will be committed here.
    pub fn fail(&mut self, reason: String) {
        self.busy = false;
        self.events.clear();
        self.permits.clear();
        self.position.send_modify(|position| position.failed = Some(reason));
    }

    pub fn has_failed(&self) -> bool {
        self.position.borrow().failed.is_some()
    }
}
