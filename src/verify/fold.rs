//! The stored events folded anew, and the stored rows compared with what comes out: by parts that fit into memory.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Progress;
use super::buckets::Buckets;
use super::differences::{Differences, Key};
use super::rows;
use crate::chain::{Address, SeqNo, Version};
use crate::market::fold::{self, Entry, Keys, Rows, TokenKey};
use crate::market::{MarketEvent, Stream};
use crate::state::entities::{collections, offers, orders, tokens};
use crate::state::{convert, now};

/// What the rows of an event take in memory, roughly.
const BYTES_PER_EVENT: u64 = 1_500;
/// Events that are folded at once, but for the last version's.
const BATCH: usize = 1_000;
const MOST_BUCKETS: u64 = 1 << 14;

/// Collects events and rows, then compares.
pub struct Folding {
    streams: Vec<Arc<Stream>>,
    buckets: Buckets,
    events: usize,
}

/// What a bucket holds: events by ascending version, then stored rows.
#[derive(Serialize, Deserialize)]
enum Record {
    Event(Box<Event>),
    Order(Box<orders::Model>),
    Offer(Box<offers::Model>),
    Token(Box<tokens::Model>),
    Collection(Box<collections::Model>),
}

#[derive(Serialize, Deserialize)]
struct Event {
    stream: usize,
    seq_no: SeqNo,
    version: Version,
    event_index: Option<u32>,
    event: Box<MarketEvent>,
}

impl Folding {
    /// For about so many events, within about `memory` bytes.
    pub fn new(streams: Vec<Arc<Stream>>, events: u64, memory: usize) -> Self {
        // One half for the rows of a bucket, the other for what waits to be one.
        let rows = (memory as u64 / 2).max(1);
        let count = events.saturating_mul(BYTES_PER_EVENT).div_ceil(rows).clamp(1, MOST_BUCKETS);
        let buckets = Buckets::new(usize::try_from(count).unwrap_or(1), memory / 2);
        Self { streams, buckets, events: 0 }
    }

    /// More events, none older than those before.
    pub fn events(&mut self, entries: Vec<(usize, Entry)>) -> io::Result<()> {
        let count = self.buckets.count();
        self.events += entries.len();
        for (stream, entry) in entries {
            let into = all_buckets(&fold::keys(&[&entry]), count);
            let Entry { seq_no, version, event_index, event, .. } = entry;
            let event = Event { stream, seq_no, version, event_index, event };
            self.buckets.push(into, &Record::Event(Box::new(event)))?;
        }
        Ok(())
    }

    pub fn order(&mut self, row: orders::Model) -> io::Result<()> {
        let bucket = bucket(&*row.order_id, self.buckets.count());
        self.buckets.push([bucket], &Record::Order(Box::new(row)))
    }

    pub fn offer(&mut self, row: offers::Model) -> io::Result<()> {
        let bucket = bucket(&*row.offer_id, self.buckets.count());
        self.buckets.push([bucket], &Record::Offer(Box::new(row)))
    }

    pub fn token(&mut self, row: tokens::Model) -> io::Result<()> {
        let key = token_key(&row).unwrap_or(NO_TOKEN);
        self.buckets.push([bucket(&key, self.buckets.count())], &Record::Token(Box::new(row)))
    }

    pub fn collection(&mut self, row: collections::Model) -> io::Result<()> {
        let key = address(&row.collection_id).unwrap_or(NO_TOKEN.0);
        self.buckets.push([bucket(&key, self.buckets.count())], &Record::Collection(Box::new(row)))
    }

    /// Compares; returns how many transitions of each market were unexpected. With `items`, tokens and collections, too.
    pub fn compare(
        mut self,
        items: bool,
        differences: &mut Differences,
        progress: &Progress,
    ) -> io::Result<BTreeMap<Arc<str>, i64>> {
        let mut unexpected = BTreeMap::new();
        let count = self.buckets.count();
        for number in 0..count {
            progress.does(format!("folding part {} of {count}", number + 1));
            let mut part = Part { number, count, batch: vec![], rows: Rows::default() };
            let (streams, mut is_folded) = (&self.streams, false);
            self.buckets.drain(number, |mut bytes| {
                while !bytes.is_empty() {
                    let (record, rest) = postcard::take_from_bytes(bytes).map_err(io::Error::other)?;
                    bytes = rest;
                    if let Record::Event(event) = record {
                        part.event(entry(streams, *event)?);
                        continue;
                    }
                    if !is_folded {
                        is_folded = true;
                        part.folded(items, &mut unexpected);
                    }
                    part.compare(record, differences);
                }
                Ok(())
            })?;
            if !is_folded {
                part.folded(items, &mut unexpected);
            }
            part.missing(differences);
            progress.step(self.events * (number + 1) / count - self.events * number / count);
        }
        Ok(unexpected)
    }
}

fn entry(streams: &[Arc<Stream>], event: Event) -> io::Result<Entry> {
    let stream = streams.get(event.stream).ok_or_else(|| io::Error::other("the temporary file is damaged"))?;
    let Event { seq_no, version, event_index, event, .. } = event;
    Ok(Entry {
        observer: Arc::clone(&stream.observer),
        market: Arc::clone(&stream.market),
        stream: stream.order,
        seq_no,
        version,
        event_index,
        event,
    })
}

/// A bucket that is being folded, then compared.
struct Part {
    number: usize,
    count: usize,
    batch: Vec<Entry>,
    rows: Rows,
}

impl Part {
    fn event(&mut self, entry: Entry) {
        // A version is folded as a whole: the order within it depends on all of its events.
        let is_next = self.batch.last().is_some_and(|last| last.version < entry.version);
        if is_next && self.batch.len() >= BATCH {
            self.fold();
        }
        self.batch.push(entry);
    }

    fn fold(&mut self) {
        let entries: Vec<_> = self.batch.iter().collect();
        let Rows { orders, offers, tokens, collections } = fold::fold(&entries, &self.rows, &[]).rows;
        // Events speak of rows of other buckets, too.
        let (number, count) = (self.number, self.count);
        self.rows.orders.extend(orders.into_iter().filter(|(id, _)| bucket(&**id, count) == number));
        self.rows.offers.extend(offers.into_iter().filter(|(id, _)| bucket(&**id, count) == number));
        self.rows.tokens.extend(tokens.into_iter().filter(|(key, _)| bucket(key, count) == number));
        self.rows.collections.extend(collections.into_iter().filter(|(id, _)| bucket(id, count) == number));
        self.batch.clear();
    }

    fn folded(&mut self, items: bool, unexpected: &mut BTreeMap<Arc<str>, i64>) {
        self.fold();
        if !items {
            self.rows.tokens.clear();
            self.rows.collections.clear();
        }
        let orders = self.rows.orders.values().map(|order| (&order.market, order.unexpected));
        let offers = self.rows.offers.values().map(|offer| (&offer.market, offer.unexpected));
        for (market, more) in orders.chain(offers).filter(|(_, more)| *more > 0) {
            *unexpected.entry(Arc::clone(market)).or_default() += i64::from(more);
        }
    }

    fn compare(&mut self, record: Record, differences: &mut Differences) {
        match record {
            Record::Order(row) => {
                let expected = self.rows.orders.remove(&*row.order_id).map(|order| convert::order_row(&order));
                same("orders", || Key::of(&row.order_id), expected.as_ref(), &*row, differences);
            }
            Record::Offer(row) => {
                let expected = self.rows.offers.remove(&*row.offer_id).map(|offer| convert::offer_row(&offer));
                same("offers", || Key::of(&row.offer_id), expected.as_ref(), &*row, differences);
            }
            Record::Token(row) => {
                let folded = token_key(&row).and_then(|key| self.rows.tokens.remove(&key));
                let expected = rows::token(folded.map(|token| convert::token_row(&token, row.updated_at)), &row);
                let key = || Key::at(&row.token_id, row.property_version);
                same("tokens", key, expected.as_ref(), &*row, differences);
            }
            Record::Collection(row) => {
                let folded = address(&row.collection_id).and_then(|id| self.rows.collections.remove(&id));
                let folded = folded.map(|collection| convert::collection_row(&collection, row.updated_at));
                let expected = rows::collection(folded, &row);
                same("collections", || Key::of(&row.collection_id), expected.as_ref(), &*row, differences);
            }
            // They come before all rows.
            Record::Event(_) => {}
        }
    }

    /// What should be stored and is not.
    fn missing(self, differences: &mut Differences) {
        let Rows { orders, offers, tokens, collections } = self.rows;
        for (id, row) in &orders {
            differences.rows("orders", &Key::of(&**id), Some(&convert::order_row(row)), None);
        }
        for (id, row) in &offers {
            differences.rows("offers", &Key::of(&**id), Some(&convert::offer_row(row)), None);
        }
        for ((id, property_version), row) in &tokens {
            let key = Key::at(id.to_string(), *property_version);
            differences.rows("tokens", &key, Some(&convert::token_row(row, now())), None);
        }
        for (id, row) in &collections {
            differences.rows("collections", &Key::of(id.to_string()), Some(&convert::collection_row(row, now())), None);
        }
    }
}

fn same<M: Serialize + PartialEq>(
    table: &'static str,
    key: impl FnOnce() -> Key,
    expected: Option<&M>,
    stored: &M,
    differences: &mut Differences,
) {
    differences.compared(table, 1);
    if expected != Some(stored) {
        differences.rows(table, &key(), expected, Some(stored));
    }
}

/// What an id that is no address is taken for.
const NO_TOKEN: TokenKey = (Address::new([0; 32]), 0);

fn token_key(row: &tokens::Model) -> Option<TokenKey> {
    address(&row.token_id).map(|id| (id, row.property_version))
}

/// The address, if it is written as ours are.
fn address(text: &str) -> Option<Address> {
    text.parse::<Address>().ok().filter(|address| address.to_string() == text)
}

fn all_buckets(keys: &Keys, count: usize) -> BTreeSet<usize> {
    let Keys { orders, offers, tokens, collections } = keys;
    let deals = orders.iter().chain(offers).map(|id| bucket(&**id, count));
    let items = tokens.iter().map(|key| bucket(key, count)).chain(collections.iter().map(|id| bucket(id, count)));
    deals.chain(items).collect()
}

fn bucket(key: &(impl Hash + ?Sized), count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % count as u64).unwrap_or_default()
}
