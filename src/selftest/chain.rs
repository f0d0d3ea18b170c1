//! The simulated chain, read as a node answers, with what may go wrong with an answer.
//!
//! A page is worded as JSON and read by the code that reads a real node's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::chain::{ChainId, EventOrder, RawEvent, SeqNo, Version, canonical_type};
use crate::market::{Markets, Stream};
use crate::simulate::{CONTRACT, Emitted, Node};
use crate::subject::{Counter, Ledger, Page, SubjectError, events_of_page};

/// The chain of the simulated node.
pub const CHAIN: ChainId = 4;
const OTHER_CHAIN: ChainId = 9;
/// Events that an answer has at most.
const LONGEST: usize = 40;

/// Everything that has been emitted.
pub struct Chain {
    /// For what else it tells.
    pub node: Arc<Node>,
    streams: BTreeMap<&'static str, Vec<Emitted>>,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    Truncated,
    Repeated,
    OutOfOrder,
    Hole,
    Older,
    Lagging,
    Empty,
    OtherChain,
    Unreachable,
    Throttled,
    Pruned,
}

impl Mishap {
    const PASSING: [Self; 9] = [
        Self::Truncated,
        Self::Repeated,
        Self::OutOfOrder,
        Self::Hole,
        Self::Older,
        Self::Lagging,
        Self::Empty,
        Self::Unreachable,
        Self::Throttled,
    ];

    /// One answer in three is wrong; few so that an observer stops.
    pub fn draw(rng: &mut ChaCha8Rng) -> Option<Self> {
        if !rng.random_ratio(1, 3) {
            return None;
        }
        Some(match rng.random_range(0..40) {
            0 => Self::OtherChain,
            1 => Self::Pruned,
            _ => Self::PASSING[rng.random_range(0..Self::PASSING.len())],
        })
    }

    /// As it is counted and traced.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "fault: truncated page",
            Self::Repeated => "fault: repeated event",
            Self::OutOfOrder => "fault: events out of order",
            Self::Hole => "fault: hole in a page",
            Self::Older => "fault: event of an older version",
            Self::Lagging => "fault: lagging node",
            Self::Empty => "fault: empty page",
            Self::OtherChain => "fault: node of another chain",
            Self::Unreachable => "fault: node unreachable",
            Self::Throttled => "fault: node throttles",
            Self::Pruned => "fault: history pruned",
        }
    }
}

impl Chain {
    pub fn new(node: Arc<Node>) -> Self {
        let mut chain = Self { node, streams: BTreeMap::new() };
        chain.read_anew();
        chain
    }

    /// Lets about so many events happen.
    pub fn emit(&mut self, events: u64) {
        self.node.emit(events);
        self.read_anew();
    }

    /// How many there are in all.
    pub fn len(&self) -> usize {
        self.streams.values().map(Vec::len).sum()
    }

    fn read_anew(&mut self) {
        self.streams.clear();
        for event in self.node.history() {
            self.streams.entry(event.stream).or_default().push(event);
        }
    }

    /// The events of a stream, in their order.
    pub fn events(&self, stream: &Stream) -> &[Emitted] {
        stream.source.field().and_then(|field| self.streams.get(field)).map_or(&[], Vec::as_slice)
    }

    /// The version that a node knows: of a lagging one, that of some event before.
    pub fn head(&self, mishap: Option<Mishap>, rng: &mut ChaCha8Rng) -> u64 {
        let head = self.node.ledger_version();
        if mishap == Some(Mishap::Lagging) { rng.random_range(0..=head) } else { head }
    }

    /// A page from `from` on, as a node answers it that knows the chain up to `head`.
    pub fn page(
        &self,
        stream: &Stream,
        from: SeqNo,
        head: u64,
        mishap: Option<Mishap>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Page, SubjectError> {
        let limit = rng.random_range(1..=LONGEST);
        let known = self.events(stream).iter().filter(|event| event.version <= head);
        let rest = known.skip_while(|event| event.seq_no < from.get());
        let mut events: Vec<Emitted> = rest.take(limit).cloned().collect();
        let full = events.len() == limit;
        let mut ledger = ledger(head);
        let at = |rng: &mut ChaCha8Rng, length: usize| rng.random_range(0..length);
        match mishap {
            Some(Mishap::Unreachable) => return Err(SubjectError::Unreachable("no answer".to_owned())),
            Some(Mishap::Throttled) => {
                let message = "answered 429".to_owned();
                return Err(SubjectError::Throttled { message, pause: Duration::ZERO });
            }
            Some(Mishap::Pruned) => return Err(SubjectError::Pruned("answered 410".to_owned())),
            Some(Mishap::OtherChain) => ledger.chain_id = Some(OTHER_CHAIN),
            Some(Mishap::Empty) => events.clear(),
            Some(Mishap::Repeated) if !events.is_empty() => {
                let at = at(rng, events.len());
                events.insert(at, events[at].clone());
            }
            Some(Mishap::OutOfOrder) if events.len() > 1 => {
                let at = at(rng, events.len() - 1);
                events.swap(at, at + 1);
            }
            Some(Mishap::Hole) if !events.is_empty() => drop(events.remove(at(rng, events.len()))),
            Some(Mishap::Older) if !events.is_empty() => {
                let at = at(rng, events.len());
                let before = self.events(stream).iter().rfind(|event| event.seq_no < events[at].seq_no);
                // Before the first event there is none to be older than.
                if let Some(older) = before.and_then(|before| before.version.checked_sub(1)) {
                    events[at].version = older;
                }
            }
            _ => {}
        }
        let mut body = worded(stream, &events).into_bytes();
        if mishap == Some(Mishap::Truncated) {
            body.truncate(at(rng, body.len()));
        }
        let events = events_of_page(&body).map_err(SubjectError::Unreachable)?;
        Ok(Page { events, full, scanned: None, ledger })
    }

    /// The order of the events of a transaction.
    pub fn order(&self, markets: &Markets, version: Version) -> EventOrder {
        let of = |stream: &Arc<Stream>| -> Vec<_> {
            let events = self.events(stream).iter().filter(|event| event.version == version.get());
            let account = stream.source.account();
            events.map(|event| (event.event_index, (account, creation_number(stream), seq_no(event)))).collect()
        };
        let mut events: Vec<_> = markets.streams().flat_map(of).collect();
        events.sort_unstable();
        // The simulated market's transactions have no others before or between them.
        EventOrder::new(None, events.into_iter().map(|(_, event)| event))
    }

    /// How many events there are, as a node tells that knows the chain up to `head`.
    pub fn counter(&self, stream: &Stream, head: u64) -> Counter {
        let known = self.events(stream).iter().filter(|event| event.version <= head).count();
        Counter { next: SeqNo::new(known as u64).unwrap_or_default(), ledger: ledger(head) }
    }
}

fn ledger(head: u64) -> Ledger {
    Ledger { chain_id: Some(CHAIN), version: Version::new(head), ..Ledger::default() }
}

fn worded(stream: &Stream, events: &[Emitted]) -> String {
    let mut body = String::from("[");
    for event in events {
        let Emitted { version, seq_no, event_type, data, .. } = event;
        let comma = if body.len() > 1 { "," } else { "" };
        let number = creation_number(stream);
        // Into a string it cannot fail.
        let _ = write!(
            body,
            r#"{comma}{{"version":"{version}","guid":{{"creation_number":"{number}","account_address":"{CONTRACT}"}},"sequence_number":"{seq_no}","type":"{event_type}","data":{data}}}"#
        );
    }
    body.push(']');
    body
}

/// An event with its place.
pub fn raw(stream: &Stream, event: &Emitted) -> RawEvent {
    RawEvent {
        version: Version::new(event.version).unwrap_or_default(),
        event_index: Some(event.event_index),
        seq_no: seq_no(event),
        event_type: canonical_type(&event.event_type).into(),
        account_address: stream.source.account(),
        creation_number: creation_number(stream),
        data: event.data.clone(),
        block_time: None,
        caller: None,
    }
}

fn seq_no(event: &Emitted) -> SeqNo {
    SeqNo::new(event.seq_no).unwrap_or_default()
}

fn creation_number(stream: &Stream) -> u64 {
    /// Of the first stream's handle; the others follow.
    const FIRST: u64 = 4;
    FIRST + u64::from(stream.order)
}
