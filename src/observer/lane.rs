//! The way from a feed to the writer, and back comes what has been committed.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::order::AskOrder;
use super::room::Ticket;
use crate::chain::{ChainId, SeqNo, Version};
use crate::market::Stream;
use crate::state::{Checkpoint, Executed, Slice};

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
    /// This worker executes the stream from here on, under the lease of that epoch, if there are leases.
    Open(SeqNo, Option<i64>),
    /// It no longer does.
    Close,
    /// Events to commit, and their room; more are coming at once.
    Slice(Slice, Ticket),
    /// Nothing is coming for now: others need not wait for this lane.
    Idle,
}

/// A feed's end.
#[derive(Clone)]
pub(super) struct Sender {
    pub index: usize,
    pub messages: mpsc::UnboundedSender<(usize, Message)>,
    pub position: watch::Receiver<Position>,
}

/// The writer's end.
pub(super) struct Lane {
    pub stream: Arc<Stream>,
    pub position: watch::Sender<Position>,
    /// Tells the order of events within a version.
    pub order: AskOrder,
    /// Whether more is coming at once.
    pub busy: bool,
    /// Whether this worker executes the stream.
    is_open: bool,
    epoch: Option<i64>,
    expected: SeqNo,
    chain_id: Option<ChainId>,
    events: VecDeque<Executed>,
    /// By the end of the slice that each came with.
    tickets: VecDeque<(SeqNo, Ticket)>,
}

impl Sender {
    /// This worker executes the stream from `next` on.
    pub fn open(&self, next: SeqNo, epoch: Option<i64>) {
        let _ = self.messages.send((self.index, Message::Open(next, epoch)));
    }

    /// Nothing that waits here is to be committed any more.
    pub fn close(&self) {
        let _ = self.messages.send((self.index, Message::Close));
    }

    /// Sends `slice`, with the room that it takes.
    pub fn send(&self, slice: Slice, ticket: Ticket) {
        // Never closed while a feed lives but at the end of the program.
        let _ = self.messages.send((self.index, Message::Slice(slice, ticket)));
    }

    /// Tells that nothing is coming for now.
    pub fn idle(&self) {
        let _ = self.messages.send((self.index, Message::Idle));
    }
}

impl Lane {
    pub fn new(stream: &Arc<Stream>, next: SeqNo, order: AskOrder) -> Self {
        Self {
            stream: Arc::clone(stream),
            position: watch::channel(Position { next, ..Position::default() }).0,
            order,
            busy: false,
            is_open: false,
            epoch: None,
            expected: next,
            chain_id: None,
            events: VecDeque::new(),
            tickets: VecDeque::new(),
        }
    }

    pub fn sender(&self, index: usize, messages: mpsc::UnboundedSender<(usize, Message)>) -> Sender {
        Sender { index, messages, position: self.position.subscribe() }
    }

    pub fn receive(&mut self, message: Message) {
        match message {
            Message::Open(next, epoch) => {
                self.close();
                (self.is_open, self.epoch, self.busy) = (true, epoch, true);
                // Another worker may have been there meanwhile.
                self.expected = next;
                self.settle(next);
            }
            Message::Close => self.close(),
            Message::Idle => self.busy = false,
            Message::Slice(slice, ticket) => {
                // A feed may not know yet that another worker was faster, or that the writer gave up here. What is dropped
                // must give its room back at once: nothing will be committed that would.
                if self.has_failed() || !self.is_open || slice.epoch != self.epoch || slice.end() <= self.expected {
                    self.busy = false;
                    return;
                }
                self.busy = true;
                self.chain_id = slice.chain_id.or(self.chain_id);
                self.tickets.push_back((slice.end(), ticket));
                let expected = self.expected;
                self.events.extend(slice.events.into_iter().filter(|event| event.raw.seq_no >= expected));
            }
        }
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The versions of what is waiting, ascending.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = Version> {
        self.events.iter().map(|event| event.raw.version)
    }

    /// The events of `version` that are waiting.
    pub fn of_version(&self, version: Version) -> impl Iterator<Item = &Executed> {
        let first = self.events.partition_point(|event| event.raw.version < version);
        self.events.range(first..).take_while(move |event| event.raw.version == version)
    }

    /// How many events wait up to `horizon`.
    pub fn waiting(&self, horizon: Version) -> usize {
        self.events.partition_point(|event| event.raw.version <= horizon)
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes all events up to `horizon`.
    pub fn take(&mut self, horizon: Version) -> Option<Slice> {
        let events: Vec<_> = self.events.drain(..self.waiting(horizon)).collect();
        let rest = self.events.front().map(|event| event.raw.seq_no);
        for (_, ticket) in self.tickets.iter_mut().take_while(|(end, _)| rest.is_none_or(|rest| *end <= rest)) {
            ticket.taken();
        }
        let Self { stream, chain_id, epoch, .. } = self;
        (!events.is_empty()).then(|| Slice { stream: Arc::clone(stream), chain_id: *chain_id, epoch: *epoch, events })
    }

    /// Everything before `next` is committed.
    pub fn settle(&mut self, next: SeqNo) {
        self.expected = self.expected.max(next);
        self.events.retain(|event| event.raw.seq_no >= next);
        while self.tickets.front().is_some_and(|(end, _)| *end <= next) {
            self.tickets.pop_front();
        }
        self.position.send_modify(|position| position.next = position.next.max(next));
    }

    /// The checkpoint has been read again.
    pub fn found(&mut self, checkpoint: Checkpoint) {
        self.settle(checkpoint.next);
        self.position.send_modify(|position| position.elsewhere = Some(checkpoint));
    }

    /// The lease of that epoch has gone to another worker.
    pub fn lost(&mut self, epoch: Option<i64>) {
        if self.epoch == epoch {
            self.close();
        }
    }

    fn close(&mut self) {
        (self.is_open, self.busy) = (false, false);
        self.events.clear();
        self.tickets.clear();
    }

    /// Nothing more will be committed here.
    pub fn fail(&mut self, reason: String) {
        self.close();
        self.position.send_modify(|position| position.failed = Some(reason));
    }

    /// Whether `slice`, which was taken, may still be committed.
    pub fn holds(&self, slice: &Slice) -> bool {
        self.is_open && self.epoch == slice.epoch && !self.has_failed()
    }

    pub fn has_failed(&self) -> bool {
        self.position.borrow().failed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::AbortOnDropHandle;

    use super::super::room::Room;
    use super::*;
    use crate::chain::RawEvent;
    use crate::market::Market;

    fn slice(stream: &Arc<Stream>, seq_nos: std::ops::Range<u64>) -> Slice {
        let event = |seq_no| {
            let raw = RawEvent {
                version: Version::default(),
                event_index: None,
                seq_no: SeqNo::new(seq_no).unwrap(),
                event_type: Arc::default(),
                account_address: stream.source.account(),
                creation_number: 1,
                data: "x".repeat(10_000),
                block_time: None,
                caller: None,
            };
            Executed { meaning: stream.entry(&raw), raw }
        };
        Slice { stream: Arc::clone(stream), chain_id: None, epoch: Some(1), events: seq_nos.map(event).collect() }
    }

    /// Whatever a lane takes or drops, a feed that is behind another worker gets its room back.
    #[tokio::test]
    async fn what_another_worker_has_executed_takes_no_room() {
        let stream = &Market::built_in("imart", None).unwrap().streams[0];
        let mut lane =
            Lane::new(stream, SeqNo::ZERO, Box::new(|_| AbortOnDropHandle::new(tokio::spawn(async { Ok(None) }))));
        let (messages, mut received) = mpsc::unbounded_channel();
        let sender = lane.sender(0, messages);
        let room = Room::new(1, 1 << 20);
        room.withdraw(0);
        // More than half of it, so that two are too many, but for one that nothing is waiting of.
        let ticket = || room.ticket(0, Version::default(), (1 << 19) + 1);
        lane.receive(Message::Open(SeqNo::new(1_000).unwrap(), Some(1)));
        for start in (0..1_000).step_by(50) {
            sender.send(slice(stream, start..start + 50), ticket().unwrap());
            lane.receive(received.recv().await.unwrap().1);
        }
        assert!(lane.is_empty() && !lane.busy);
        // Partly old: the rest is kept, and its room too.
        sender.send(slice(stream, 990..1_010), ticket().unwrap());
        lane.receive(received.recv().await.unwrap().1);
        assert!(ticket().is_none());
        assert_eq!(lane.take(Version::max()).unwrap().start(), SeqNo::new(1_000).unwrap());
        assert!(ticket().is_some(), "the writer has nothing left of it");
        lane.settle(SeqNo::new(1_010).unwrap());
        assert!(ticket().is_some(), "all room is back");
        assert!(ticket().is_some(), "and stays");
    }
}
