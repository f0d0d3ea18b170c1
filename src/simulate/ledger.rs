//! What has happened: every event's `data` rendered once, per stream by sequence number, and the transactions by version.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::stream::Stream;
use super::texts::Texts;
use super::world::Transaction;
use super::{Emitted, clock, dice};

/// The version before the first transaction can have one.
const FIRST_VERSION: u64 = 6_000_000;
/// Microseconds from one version to the next before that.
const VERSION_STEP: i64 = 18_800;

/// All events and transactions so far.
#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    /// Versions from one transaction to the next, at most.
    spacing: u64,
    logs: [Log; Stream::ALL.len()],
    transactions: Vec<Executed>,
    /// Every event in the order of the chain: its stream and sequence number.
    order: Vec<(Stream, usize)>,
    accounts: HashMap<Arc<str>, Account>,
    /// Events that are broken as served, as they should have been.
    sound: HashMap<(Stream, usize), Box<str>>,
    head: u64,
}

/// What one account did, by position in the ledger.
#[derive(Debug, Default)]
pub struct Account {
    /// Among all transactions.
    pub transactions: Vec<u32>,
    /// Among the events of `Stream::CreateCollection`.
    pub collections: Vec<u32>,
    /// Among the events of `Stream::CreateToken`.
    pub tokens: Vec<u32>,
}

/// One stream, by sequence number.
#[derive(Debug, Default)]
pub struct Log {
    /// The version of each event; ascending.
    pub versions: Vec<u64>,
    /// The `data` of each event.
    pub data: Texts,
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
    pub fn new(seed: u64, spacing: u64) -> Self {
        Self {
            seed,
            spacing: spacing.max(1),
            logs: Default::default(),
            transactions: Vec::new(),
            order: Vec::new(),
            accounts: HashMap::new(),
            sound: HashMap::new(),
            head: FIRST_VERSION,
        }
    }

    /// Executes a transaction some versions after the last one.
    ///
    /// The ledger then ends right before the version of the next one: nothing will ever appear at or below an end that
    /// the node has told.
    pub fn append(&mut self, transaction: Transaction, timestamp: i64) {
        let account = self.accounts.entry(Arc::clone(&transaction.sender)).or_default();
        let executed = Executed {
            version: self.head + 1,
            timestamp,
            sender: transaction.sender,
            sequence_number: account.transactions.len() as u64,
            first: self.order.len(),
        };
        account.transactions.push(position(self.transactions.len()));
        for event in transaction.events {
            let log = &mut self.logs[event.stream as usize];
            let seq_no = log.data.len();
            match event.stream {
                // Only the creator itself creates.
                Stream::CreateCollection => account.collections.push(position(seq_no)),
                Stream::CreateToken => account.tokens.push(position(seq_no)),
                Stream::List
                | Stream::Delist
                | Stream::Buy
                | Stream::Offer
                | Stream::AcceptOffer
                | Stream::CancelOffer => {}
            }
            if let Some(sound) = event.sound {
                self.sound.insert((event.stream, seq_no), sound.into_boxed_str());
            }
            self.order.push((event.stream, seq_no));
            log.versions.push(executed.version);
            log.data.push(&event.data);
        }
        let others = dice::roll(self.seed, 0x6A9, executed.version) % self.spacing;
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

    /// An account that has sent a transaction.
    pub fn account(&self, account: &str) -> Option<&Account> {
        self.accounts.get(account)
    }

    /// The version of the transaction at a position.
    pub fn version_at(&self, position: u32) -> u64 {
        self.transactions.get(position as usize).map_or(u64::MAX, |executed| executed.version)
    }

    /// `data` of an event as the contract meant it, even where it is broken as served.
    pub fn sound(&self, stream: Stream, seq_no: usize) -> Cow<'_, str> {
        let sound = self.sound.get(&(stream, seq_no)).map(|sound| Cow::Borrowed(&**sound));
        sound.unwrap_or_else(|| self.log(stream).data.get(seq_no).into())
    }

    /// The market's transaction of exactly that version.
    pub fn transaction(&self, version: u64) -> Option<&Executed> {
        let at = self.transactions.binary_search_by_key(&version, |executed| executed.version).ok()?;
        self.transactions.get(at)
    }

    /// Chain time at a version: that of the market's last transaction up to there, and a steady one before the market.
    pub fn timestamp(&self, version: u64) -> i64 {
        let after = self.transactions.partition_point(|executed| executed.version <= version);
        if let Some(last) = after.checked_sub(1).and_then(|last| self.transactions.get(last)) {
            return last.timestamp;
        }
        let opening = self.transactions.first().map_or(clock::GENESIS, |first| first.timestamp);
        let before = FIRST_VERSION.saturating_sub(version);
        opening - VERSION_STEP * i64::try_from(before).unwrap_or(0)
    }

    /// The versions around `version`, from `first` to `last` at most, at which chain time is the same.
    pub fn of_one_time(&self, version: u64, first: u64, last: u64) -> (u64, u64) {
        let time = self.timestamp(version);
        let is_other = |other: &u64| self.timestamp(*other) != time;
        let first = (first..version).rev().find(is_other).map_or(first, |other| other + 1);
        let last = (version..=last).find(is_other).map_or(last, |other| other - 1);
        (first, last)
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
                    data: self.log(*stream).data.get(*seq_no),
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
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
