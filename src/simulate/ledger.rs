//! What has happened: every event's `data` rendered once, per stream by sequence number, and the transactions by version.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::stream::Stream;
use super::world::Transaction;
use super::{Emitted, dice};

/// The version before the first transaction can have one.
const FIRST_VERSION: u64 = 6_000_000;

/// All events and transactions so far.
#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    logs: [Log; Stream::ALL.len()],
    transactions: Vec<Executed>,
    /// Every event in the order of the chain: its stream and sequence number.
    order: Vec<(Stream, usize)>,
    sent: HashMap<Arc<str>, u64>,
    head: u64,
}

/// One stream, by sequence number.
#[derive(Debug, Default)]
pub struct Log {
    /// The version of each event; ascending.
    pub versions: Vec<u64>,
    /// The `data` of each event.
    pub data: Vec<Box<str>>,
}

/// An executed transaction of the market.
#[derive(Debug)]
pub struct Executed {
    /// Its version.
    pub version: u64,
    /// Microseconds since 1970.
    pub timestamp: i64,
    /// Its signer.
    pub sender: Arc<str>,
    /// How many transactions the signer had sent before.
    pub sequence_number: u64,
    /// Position of its first event in the order of the chain.
    first: usize,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            logs: Default::default(),
            transactions: Vec::new(),
            order: Vec::new(),
            sent: HashMap::new(),
            head: FIRST_VERSION,
        }
    }

    /// Executes a transaction some versions after the last one.
    ///
    /// The ledger then ends right before the version of the next one: nothing will ever appear at or below an end that
    /// the node has told.
    pub fn append(&mut self, transaction: Transaction, timestamp: i64) {
        let sequence_number = self.sent.entry(Arc::clone(&transaction.sender)).or_default();
        let executed = Executed {
            version: self.head + 1,
            timestamp,
            sender: transaction.sender,
            sequence_number: *sequence_number,
            first: self.order.len(),
        };
        *sequence_number += 1;
        for event in transaction.events {
            let log = &mut self.logs[event.stream as usize];
            self.order.push((event.stream, log.data.len()));
            log.versions.push(executed.version);
            log.data.push(event.data.into_boxed_str());
        }
        let others = dice::roll(self.seed, 0x6A9, executed.version) % 5_000;
        self.head = executed.version + others;
        self.transactions.push(executed);
    }

    /// The last version, with or without an event of the market.
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Number of events.
    pub const fn len(&self) -> u64 {
        self.order.len() as u64
    }

    /// The events of a stream.
    pub const fn log(&self, stream: Stream) -> &Log {
        &self.logs[stream as usize]
    }

    /// How many transactions an account has sent.
    pub fn sent_by(&self, account: &str) -> u64 {
        self.sent.get(account).copied().unwrap_or(0)
    }

    /// The market's transaction of exactly that version.
    pub fn transaction(&self, version: u64) -> Option<&Executed> {
        let at = self.transactions.binary_search_by_key(&version, |executed| executed.version).ok()?;
        self.transactions.get(at)
    }

    /// Chain time at a version: that of the market's last transaction up to there.
    pub fn timestamp(&self, version: u64) -> i64 {
        let after = self.transactions.partition_point(|executed| executed.version <= version);
        let last = self.transactions.get(after.saturating_sub(1));
        last.map_or(0, |executed| executed.timestamp)
    }

    /// Stream and sequence number of each event of a transaction, in the order of the chain.
    pub fn events_of(&self, executed: &Executed) -> &[(Stream, usize)] {
        let next = self.transactions.partition_point(|other| other.version <= executed.version);
        let end = self.transactions.get(next).map_or(self.order.len(), |next| next.first);
        &self.order[executed.first..end]
    }

    /// Everything, in the order of the chain.
    pub fn history(&self) -> Vec<Emitted> {
        let mut all = Vec::with_capacity(self.order.len());
        for executed in &self.transactions {
            for (event_index, (stream, seq_no)) in (0..).zip(self.events_of(executed)) {
                all.push(Emitted {
                    stream: stream.field(),
                    seq_no: *seq_no as u64,
                    version: executed.version,
                    event_index,
                    event_type: stream.event_type(),
                    data: self.log(*stream).data[*seq_no].to_string(),
                });
            }
        }
        all
    }
}

impl Log {
    /// How many events there are up to a version, which is what the handle's counter said then.
    pub fn counter(&self, version: u64) -> usize {
        self.versions.partition_point(|executed| *executed <= version)
    }

    /// How many events there are below a version.
    pub fn below(&self, version: u64) -> usize {
        self.versions.partition_point(|executed| *executed < version)
    }

    /// The sequence numbers of a page: from `start`, or the latest ones, never above `counter`.
    pub fn page(counter: usize, start: Option<u64>, limit: usize) -> Range<usize> {
        match start {
            Some(start) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(counter);
                start..start.saturating_add(limit).min(counter)
            }
            None => counter.saturating_sub(limit)..counter,
        }
    }
}
