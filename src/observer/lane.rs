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
                // A feed may not know yet that another worker was faster, or that the writer gave up here. What is dropped
                // must give its room back at once: nothing will be committed that would.
                if self.has_failed() || slice.end() <= self.expected {
                    self.busy = false;
                    return;
                }
                self.busy = true;
                self.chain_id = slice.chain_id.or(self.chain_id);
                self.permits.push_back((slice.end(), permit));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::RawEvent;
    use crate::market::Market;

    fn slice(stream: &Arc<Stream>, seq_nos: std::ops::Range<u64>) -> Slice {
        let event = |seq_no| {
            let raw = RawEvent {
                version: Version::default(),
                event_index: None,
                seq_no: SeqNo::new(seq_no).unwrap(),
                event_type: String::new(),
                account_address: stream.handle.account,
                creation_number: 1,
                data: "x".repeat(10_000),
                block_time: None,
            };
            Executed { meaning: stream.entry(&raw), raw }
        };
        Slice { stream: Arc::clone(stream), chain_id: None, events: seq_nos.map(event).collect() }
    }

    /// Whatever a lane takes or drops, a feed that is behind another worker gets its room back.
    #[tokio::test]
    async fn what_another_worker_has_executed_takes_no_room() {
        let stream = &Market::built_in("imart", None).unwrap().streams[0];
        let mut lane = Lane::new(stream, SeqNo::ZERO);
        let (messages, mut received) = mpsc::unbounded_channel();
        let sender = lane.sender(0, messages);
        lane.settle(SeqNo::new(1_000).unwrap());
        for start in (0..1_000).step_by(50) {
            // Would wait for ever once the room is taken.
            sender.send(slice(stream, start..start + 50)).await;
            lane.receive(received.recv().await.unwrap().1);
        }
        assert!(lane.is_empty() && !lane.busy);
        assert_eq!(sender.room.available_permits(), ROOM);
        // Partly old: the rest is kept, and its room too.
        sender.send(slice(stream, 990..1_010)).await;
        lane.receive(received.recv().await.unwrap().1);
        assert_eq!(lane.take(Version::max()).unwrap().start(), SeqNo::new(1_000).unwrap());
        assert!(sender.room.available_permits() < ROOM);
        lane.settle(SeqNo::new(1_010).unwrap());
        assert_eq!(sender.room.available_permits(), ROOM);
    }
}
