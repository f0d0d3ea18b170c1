//! The way from a feed to the writer, and back comes what has been committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::order::AskOrder;
use super::room::Ticket;
use crate::chain::{ChainId, SeqNo, Timestamp, Version};
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

/// The times of versions whose events tell none; or why nobody tells them.
pub(super) type Times = Result<BTreeMap<Version, Timestamp>, String>;

/// What feeds tell the writer.
pub(super) enum Message {
    /// This worker executes the stream from here on, under the lease of that epoch, if there are leases.
    Open(SeqNo, Option<i64>),
    /// It no longer does.
    Close,
    /// Events to commit, and their room; more are coming at once. They may have to wait for the answer to a question: their
    /// times.
    Slice { slice: Slice, ticket: Ticket, question: Option<u64> },
    /// The answer to that question.
    Times(u64, Times),
    /// Nothing is coming for now: others need not wait for this lane.
    Idle,
    /// Nothing more is coming, nor are any times.
    Leave,
}

/// A slice that waits for times.
struct Untimed {
    question: u64,
    end: SeqNo,
    /// Why they are not to be had.
    refusal: Option<String>,
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
    /// The slices that wait for times, by where they begin: nothing from there on is committed.
    untimed: BTreeMap<SeqNo, Untimed>,
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

    /// Sends `slice`, with the room that it takes, and the question whose answer will tell the times that it lacks.
    pub fn send(&self, slice: Slice, ticket: Ticket, question: Option<u64>) {
        // Never closed while a feed lives but at the end of the program.
        let _ = self.messages.send((self.index, Message::Slice { slice, ticket, question }));
    }

    /// Answers such a question.
    pub fn answer(&self, question: u64, times: Times) {
        let _ = self.messages.send((self.index, Message::Times(question, times)));
    }

    /// What waits for times waits in vain, and nothing more is coming; what is ready is committed still.
    pub fn leave(&self) {
        let _ = self.messages.send((self.index, Message::Leave));
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
            untimed: BTreeMap::new(),
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
            Message::Leave => self.leave(),
            Message::Times(question, times) => self.told(question, times),
            Message::Slice { slice, ticket, question } => {
                // A feed may not know yet that another worker was faster, or that the writer gave up here. What is dropped
                // must give its room back at once: nothing will be committed that would.
                if self.has_failed() || !self.is_open || slice.epoch != self.epoch || slice.end() <= self.expected {
                    self.busy = false;
                    return;
                }
                self.busy = true;
                self.chain_id = slice.chain_id.or(self.chain_id);
                if let Some(question) = question {
                    self.untimed.insert(slice.start(), Untimed { question, end: slice.end(), refusal: None });
                }
                self.tickets.push_back((slice.end(), ticket));
                let expected = self.expected;
                self.events.extend(slice.events.into_iter().filter(|event| event.raw.seq_no >= expected));
            }
        }
    }

    fn told(&mut self, question: u64, times: Times) {
        // Whoever asked for a lease that is gone is not answered any more.
        let Some((start, untimed)) = self.untimed.iter_mut().find(|(_, untimed)| untimed.question == question) else {
            return;
        };
        let (start, end) = (*start, untimed.end);
        match times {
            Ok(times) => {
                self.untimed.remove(&start);
                let at = |seq_no| self.events.partition_point(|event| event.raw.seq_no < seq_no);
                let its = at(start)..at(end);
                for event in self.events.range_mut(its) {
                    if let Some(time) = times.get(&event.raw.version) {
                        event.is_of(*time, &self.stream);
                    }
                }
            }
            Err(why) => untimed.refusal = Some(why),
        }
        self.meet_refusal();
    }

    /// Fails once everything in front of what is refused has been committed.
    fn meet_refusal(&mut self) {
        let Some(first) = self.untimed.first_entry() else { return };
        if *first.key() <= self.expected && first.get().refusal.is_some() {
            let refusal = first.remove().refusal.unwrap_or_default();
            self.fail(refusal);
        }
    }

    fn leave(&mut self) {
        self.busy = false;
        if let Some((start, _)) = self.untimed.first_key_value() {
            self.events.truncate(self.ready());
            self.tickets.retain(|(end, _)| end <= start);
            self.untimed.clear();
        }
    }

    /// Whether there are events whose times are asked for.
    pub fn is_untimed(&self) -> bool {
        !self.untimed.is_empty()
    }

    /// How many events wait, for whatever.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The versions of those that wait behind the first so many.
    pub fn versions_behind(&self, first: usize) -> impl Iterator<Item = Version> {
        self.events.range(first.min(self.events.len())..).map(|event| event.raw.version)
    }

    /// How many events wait for nothing but to be committed.
    fn ready(&self) -> usize {
        let Some((first, _)) = self.untimed.first_key_value() else { return self.events.len() };
        self.events.partition_point(|event| event.raw.seq_no < *first)
    }

    /// The versions of what can be committed, ascending.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = Version> {
        self.events.range(..self.ready()).map(|event| event.raw.version)
    }

    /// The events of `version` that are waiting, for whatever.
    pub fn of_version(&self, version: Version) -> impl Iterator<Item = &Executed> {
        let first = self.events.partition_point(|event| event.raw.version < version);
        self.events.range(first..).take_while(move |event| event.raw.version == version)
    }

    /// How many events up to `horizon` can be committed.
    pub fn waiting(&self, horizon: Version) -> usize {
        self.events.partition_point(|event| event.raw.version <= horizon).min(self.ready())
    }

    /// Whether nothing can be committed.
    pub fn is_empty(&self) -> bool {
        self.ready() == 0
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
        self.untimed.retain(|_, untimed| untimed.end > next);
        while self.tickets.front().is_some_and(|(end, _)| *end <= next) {
            self.tickets.pop_front();
        }
        self.position.send_modify(|position| position.next = position.next.max(next));
        self.meet_refusal();
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
        self.untimed.clear();
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
            sender.send(slice(stream, start..start + 50), ticket().unwrap(), None);
            lane.receive(received.recv().await.unwrap().1);
        }
        assert!(lane.is_empty() && !lane.busy);
        // Partly old: the rest is kept, and its room too.
        sender.send(slice(stream, 990..1_010), ticket().unwrap(), None);
        lane.receive(received.recv().await.unwrap().1);
        assert!(ticket().is_none());
        assert_eq!(lane.take(Version::max()).unwrap().start(), SeqNo::new(1_000).unwrap());
        assert!(ticket().is_some(), "the writer has nothing left of it");
        lane.settle(SeqNo::new(1_010).unwrap());
        assert!(ticket().is_some(), "all room is back");
        assert!(ticket().is_some(), "and stays");
    }

    fn lane(stream: &Arc<Stream>) -> Lane {
        let mut lane =
            Lane::new(stream, SeqNo::ZERO, Box::new(|_| AbortOnDropHandle::new(tokio::spawn(async { Ok(None) }))));
        lane.receive(Message::Open(SeqNo::ZERO, Some(1)));
        lane
    }

    /// Gives `lane` a slice of ten events from `start` on, each of a version of its number.
    fn give(lane: &mut Lane, room: &Arc<Room>, start: u64, question: Option<u64>) {
        let mut slice = slice(&lane.stream, start..start + 10);
        for event in &mut slice.events {
            event.raw.version = version(event.raw.seq_no.get());
        }
        let ticket = room.ticket(0, Version::default(), 1).unwrap();
        lane.receive(Message::Slice { slice, ticket, question });
    }

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    fn at(number: u64) -> SeqNo {
        SeqNo::new(number).unwrap()
    }

    /// Times of all versions there may be.
    fn times(micros: u128) -> BTreeMap<Version, Timestamp> {
        (0..100).map(|number| (version(number), Timestamp::from_micros(micros).unwrap())).collect()
    }

    /// A lane for which five slices have come; those from 10 and 30 on wait for their times.
    fn waiting_lane() -> (Lane, Arc<Room>) {
        let stream = &Market::built_in("imart", None).unwrap().streams[6];
        let (mut lane, room) = (lane(stream), Room::new(1, 1 << 20));
        room.withdraw(0);
        for (start, question) in [(0, None), (10, Some(1)), (20, None), (30, Some(3)), (40, None)] {
            give(&mut lane, &room, start, question);
        }
        (lane, room)
    }

    fn ready(lane: &Lane) -> usize {
        let ready = lane.waiting(Version::max());
        assert_eq!((lane.versions().count(), lane.is_empty()), (ready, ready == 0));
        ready
    }

    #[tokio::test]
    async fn what_waits_for_its_times_is_not_taken_nor_what_is_behind_it() {
        let (mut lane, _room) = waiting_lane();
        assert_eq!((ready(&lane), lane.len()), (10, 50));
        lane.receive(Message::Times(3, Ok(times(3))));
        lane.receive(Message::Times(2, Ok(times(2))));
        assert_eq!(ready(&lane), 10);
        assert_eq!(lane.take(Version::max()).unwrap().end(), at(10));
        assert!(lane.is_empty() && lane.is_untimed() && lane.take(Version::max()).is_none());
        lane.receive(Message::Times(1, Ok(times(1))));
        let taken = lane.take(Version::max()).unwrap();
        let told: Vec<_> = taken.events.iter().map(|event| event.raw.block_time).collect();
        let ten = |micros: Option<u128>| [micros.and_then(Timestamp::from_micros); 10];
        assert_eq!(told, [ten(Some(1)), ten(None), ten(Some(3)), ten(None)].concat());
        assert_eq!(taken.events.iter().filter(|event| event.lacks_time()).count(), 20);
    }

    #[tokio::test]
    async fn a_refusal_stops_a_lane_where_it_stands_and_nowhere_before() {
        let (mut lane, _room) = waiting_lane();
        let failed = |lane: &Lane| lane.position.borrow().failed.clone();
        lane.receive(Message::Times(3, Err("no".to_owned())));
        assert_eq!(lane.take(Version::max()).unwrap().end(), at(10));
        lane.settle(at(10));
        lane.receive(Message::Times(1, Ok(times(1))));
        assert_eq!(lane.take(Version::max()).unwrap().end(), at(30));
        assert_eq!(failed(&lane), None);
        lane.settle(at(30));
        assert_eq!(failed(&lane).as_deref(), Some("no"));
    }

    #[tokio::test]
    async fn who_leaves_keeps_what_is_ready_and_no_room_for_the_rest() {
        let (mut lane, _room) = waiting_lane();
        assert_eq!(lane.tickets.len(), 5);
        lane.receive(Message::Leave);
        assert_eq!((ready(&lane), lane.len(), lane.tickets.len(), lane.is_untimed()), (10, 10, 1, false));
    }

    /// Another worker has executed them, or has the lease now.
    #[tokio::test]
    async fn nobody_waits_for_times_of_what_is_no_longer_here() {
        let (mut lane, room) = waiting_lane();
        lane.settle(at(15));
        assert_eq!(ready(&lane), 0);
        lane.settle(at(20));
        assert_eq!(ready(&lane), 10);
        lane.receive(Message::Times(1, Err("no".to_owned())));
        assert_eq!((ready(&lane), lane.has_failed()), (10, false));
        lane.receive(Message::Close);
        lane.receive(Message::Open(at(30), Some(1)));
        give(&mut lane, &room, 30, Some(5));
        lane.receive(Message::Times(3, Ok(times(3))));
        assert_eq!(ready(&lane), 0, "that was another slice");
        lane.receive(Message::Times(5, Ok(times(5))));
        assert_eq!(ready(&lane), 10);
    }
}
