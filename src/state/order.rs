//! Stored events whose place in their transaction becomes known later, as an event of the same transaction comes in whose row
//! depends on it: all that was made of them is told anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use super::commit::{Executed, Slice};
use super::entities::{activities, dead_letters, events, reordered};
use super::letters::{self, LetterKey};
use super::plan::Folded;
use super::tables::Tables;
use super::write::Statements;
use super::{Store, StoreError, load};
use crate::chain::{EventOrder, RawEvent, SeqNo, Source, Version};
use crate::market::Markets;
use crate::market::fold::{self, Entry, Keys, Rows};

/// Events that are looked up at once.
const AT_ONCE: usize = 200;

/// The orders of events within versions, as far as they were asked for; none of a version that nobody has any more.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    known: BTreeMap<Version, Option<EventOrder>>,
    /// What nobody needs, and nobody tells.
    forgone: BTreeSet<Version>,
}

impl Orders {
    /// Keeps what was answered.
    pub fn insert(&mut self, version: Version, order: Option<EventOrder>) {
        self.known.insert(version, order);
    }

    /// From now on it is only needed there, not wished for.
    pub fn forgo(&mut self, version: Version) {
        self.forgone.insert(version);
    }

    /// Whether that version was asked for, whatever the answer.
    #[must_use]
    pub fn has(&self, version: Version) -> bool {
        self.known.contains_key(&version)
    }

    /// The order of that version, where known.
    #[must_use]
    pub fn of(&self, version: Version) -> Option<&EventOrder> {
        self.known.get(&version)?.as_ref()
    }

    /// Gives the events of `slices` the places that are known now.
    pub fn place(&self, slices: &mut [Slice]) {
        for slice in slices {
            for event in slice.events.iter_mut().filter(|event| event.raw.event_index.is_none()) {
                let Some(order) = self.of(event.raw.version) else { continue };
                let Some(index) = order.index_of(&event.raw) else { continue };
                event.raw.event_index = Some(index);
                event.raw.block_time = event.raw.block_time.or(order.time);
                event.meaning = slice.stream.entry(&event.raw);
            }
        }
    }

    /// How many versions were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len() + self.forgone.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.forgone.is_empty()
    }
}

/// Versions the order of whose events is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unordered {
    /// Rows depend on it.
    pub needed: BTreeSet<Version>,
    /// Rows may come to depend on it, once a parked event is understood.
    pub wished: BTreeSet<Version>,
}

impl Unordered {
    /// The order of these events, as far as the need for it can be seen without the database.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Executed>) -> Self {
        let (mut wished, mut told) = (BTreeSet::new(), vec![]);
        for event in events {
            match &event.meaning {
                Ok(entry) => told.push(entry),
                Err(_) => drop(wished.insert(event.raw.version)),
            }
        }
        let needed = if told.len() > 1 { fold::contested(&told, &[]).into_keys().collect() } else { BTreeSet::new() };
        Self { needed, wished }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Version> {
        self.needed.union(&self.wished).copied()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needed.is_empty() && self.wished.is_empty()
    }

    /// What is not known yet.
    #[must_use]
    pub fn without(mut self, orders: &Orders) -> Self {
        self.needed.retain(|version| !orders.has(*version));
        self.wished.retain(|version| !orders.has(*version) && !orders.forgone.contains(version));
        self
    }
}

/// `versions 7, 9`, of which there may be many.
impl fmt::Display for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TOLD: usize = 5;
        let told: Vec<_> = self.all().take(TOLD).map(|version| version.to_string()).collect();
        let more = if self.all().nth(TOLD).is_some() { ", ..." } else { "" };
        write!(f, "versions {}{more}", told.join(", "))
    }
}

/// How a transaction is planned.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// Ahead of time, on top of rows that are still being committed.
    Ahead(Option<&'a Rows>),
    /// Where nobody else can write. With `Orders`, what they lack and rows depend on is asked for first.
    Alone(Option<&'a Orders>),
}

/// What a batch is about, as it is being read.
pub(super) struct Read<'a> {
    pub batch: &'a [&'a Entry],
    /// The versions of what is parked with it.
    pub parked: &'a BTreeSet<Version>,
    pub rows: Rows,
    pub late: Keys,
    pub history: Vec<Entry>,
    /// Stored events that are told again, as all of their version are once some index has become known.
    pub again: Vec<Entry>,
    /// Those whose index that is.
    pub placed: BTreeSet<LetterKey>,
}

impl Read<'_> {
    /// What becomes of it.
    pub fn folded(self) -> Folded {
        let Read { batch, rows, late, history, mut again, placed, parked: _ } = self;
        let changes = fold::fold_again(batch, &again, &rows, &history);
        again.retain(|entry| placed.contains(&key(entry)));
        Folded {
            before: rows,
            changes,
            again,
            refolded: late.orders.len() + late.offers.len(),
            collections: BTreeMap::new(),
        }
    }
}

impl Store {
    /// Completes `read` by the stored events whose index has become known, and that something in the batch depends on: a
    /// parked event, too, must find those of its version in their places once it is understood, and be found by them.
    /// `false`: that can only be done where nobody else writes.
    pub(super) async fn place_stored(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        way: Way<'_>,
        read: &mut Read<'_>,
    ) -> Result<bool, StoreError> {
        let owners = fold::contested_owners(read.batch, &read.rows);
        let is_asked = matches!(way, Way::Alone(Some(_)));
        // A rebuild takes events as they are stored, and so does who asks nobody.
        if self.tables == Tables::Rebuilt || matches!(way, Way::Alone(None)) {
            return Ok(true);
        }
        let beside = self.beside_parked(db, read.batch).await?;
        if !is_asked && owners.is_empty() && read.history.is_empty() && beside.is_empty() {
            return Ok(true);
        }
        let contested = fold::contested(read.batch, &read.history);
        let is_of_stored = !owners.is_empty() || contested.values().any(|stored| *stored);
        let orders = match way {
            Way::Ahead(_) => return Ok(!is_of_stored && beside.is_empty()),
            Way::Alone(None) => return Ok(true),
            Way::Alone(Some(orders)) => orders,
        };
        let unknown = Unordered {
            needed: contested.keys().chain(owners.values()).copied().collect(),
            wished: beside.union(read.parked).copied().collect(),
        };
        let unknown = unknown.without(orders);
        if !unknown.is_empty() {
            return Err(StoreError::Unordered(unknown));
        }
        if is_of_stored || !read.parked.is_empty() {
            let stored = contested.into_iter().filter(|(_, stored)| *stored).map(|(version, _)| version);
            let versions = stored.chain(owners.into_values()).chain(read.parked.iter().copied()).collect();
            self.tell_again(db, markets, &versions, orders, read).await?;
        }
        Ok(true)
    }

    /// The versions of events of `batch` without a place of which a stored event is parked, or left out.
    async fn beside_parked(
        &self,
        db: &impl ConnectionTrait,
        batch: &[&Entry],
    ) -> Result<BTreeSet<Version>, StoreError> {
        use dead_letters::Column::Version as Column;
        let unplaced = batch.iter().filter(|entry| entry.event_index.is_none()).map(|entry| entry.version);
        let unplaced: BTreeSet<_> = unplaced.collect();
        let (Some(first), Some(last)) = (unplaced.first(), unplaced.last()) else { return Ok(BTreeSet::new()) };
        let parked = dead_letters::Entity::find().select_only().column(Column).distinct();
        let parked = parked.filter(Column.between(first.column(), last.column()));
        let parked: Vec<i64> = parked.into_tuple().all(db).await?;
        Ok(parked.into_iter().map(Version::from_column).filter(|version| unplaced.contains(version)).collect())
    }

    /// Takes all executed events of `versions`: a token knows only one of those that told its owner.
    async fn tell_again(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        versions: &BTreeSet<Version>,
        orders: &Orders,
        read: &mut Read<'_>,
    ) -> Result<(), StoreError> {
        let of_history = read.history.iter().filter(|entry| versions.contains(&entry.version)).map(key);
        let of_orders = markets.streams().flat_map(|stream| {
            let orders = versions.iter().filter_map(|version| orders.of(*version));
            let seq_nos = orders.flat_map(|order| order.seq_nos(stream.source.account()));
            seq_nos.map(|seq_no| LetterKey { observer: stream.observer.clone(), seq_no })
        });
        let maybe: BTreeSet<_> = of_orders.chain(of_history).collect();
        let changed = self.tell_these_again(db, markets, versions, orders, read, &maybe).await?;
        // Of module events no order tells which they are.
        let mut others = BTreeSet::new();
        for stream in markets.streams().filter(|stream| stream.source == Source::ModuleEvent) {
            for version in &changed {
                let stored = self.of_version(db, &stream.observer, *version).await?;
                let key = |raw: &RawEvent| LetterKey { observer: stream.observer.clone(), seq_no: raw.seq_no };
                others.extend(stored.iter().map(key).filter(|key| !maybe.contains(key)));
            }
        }
        self.tell_these_again(db, markets, versions, orders, read, &others).await?;
        self.complete(db, markets, read).await
    }

    /// Those of `keys` that were executed; the versions of which one has learnt its place.
    async fn tell_these_again(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        versions: &BTreeSet<Version>,
        orders: &Orders,
        read: &mut Read<'_>,
        keys: &BTreeSet<LetterKey>,
    ) -> Result<BTreeSet<Version>, StoreError> {
        let mut changed = BTreeSet::new();
        let keys: Vec<_> = keys.iter().cloned().collect();
        for keys in keys.chunks(AT_ONCE) {
            // What is parked, or left out, was not executed.
            let these = letters::these(keys, activities::Column::Observer, activities::Column::SeqNo);
            let told = self.tables.find::<activities::Entity>().filter(these).all(db).await?;
            let told = told.into_iter().filter(|row| versions.contains(&Version::from_column(row.version)));
            let told: Vec<_> = told
                .map(|row| LetterKey { observer: row.observer.into(), seq_no: SeqNo::from_column(row.seq_no) })
                .collect();
            for (key, mut raw) in letters::stored(db, &told).await? {
                if raw.event_index.is_none() {
                    raw.event_index = orders.of(raw.version).and_then(|order| order.index_of(&raw));
                    if raw.event_index.is_some() {
                        read.placed.insert(key.clone());
                        changed.insert(raw.version);
                    }
                }
                read.again.push(load::decoded(markets, &key.observer, &raw)?);
            }
        }
        Ok(changed)
    }

    /// Reads the rest of what the events that are told again are about.
    pub(super) async fn complete(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        read: &mut Read<'_>,
    ) -> Result<(), StoreError> {
        let again: Vec<_> = read.again.iter().collect();
        let mut rows = Rows::default();
        let keys = fold::keys(&again);
        load::rows(db, self.tables, &keys, &mut rows).await?;
        let Rows { orders, offers, tokens, .. } = rows;
        read.rows.orders.extend(orders);
        read.rows.offers.extend(offers);
        read.rows.tokens.extend(tokens);
        let late = Keys {
            orders: keys.orders.difference(&read.late.orders).cloned().collect(),
            offers: keys.offers.difference(&read.late.offers).cloned().collect(),
            ..Keys::default()
        };
        read.history.extend(load::history(db, self.tables, markets, &late).await?);
        let indexes: BTreeMap<_, _> = read.again.iter().map(|entry| (key(entry), entry.event_index)).collect();
        for entry in &mut read.history {
            if let Some(index) = indexes.get(&key(entry)) {
                entry.event_index = *index;
            }
        }
        read.late.orders.extend(late.orders);
        read.late.offers.extend(late.offers);
        Ok(())
    }

    /// The index of `again`, with the events and with their activities.
    pub(super) fn write_again(&self, writes: &mut Statements, again: &[Entry]) -> Result<(), StoreError> {
        if self.tables == Tables::Live {
            let told = |entry: &Entry| reordered::Model {
                observer: entry.observer.to_string(),
                seq_no: entry.seq_no.column(),
            };
            writes.insert::<reordered::Entity>(again.iter().map(told))?;
        }
        for entry in again {
            let index = entry.event_index.and_then(|index| i32::try_from(index).ok());
            let (observer, seq_no) = (&*entry.observer, entry.seq_no.column());
            if self.tables == Tables::Live {
                let mut update = Query::update();
                update
                    .table(self.tables.of::<events::Entity>())
                    .value(events::Column::EventIndex, index)
                    .and_where(Expr::col(events::Column::Observer).eq(observer))
                    .and_where(Expr::col(events::Column::SeqNo).eq(seq_no));
                writes.push(&update);
            }
            let mut update = Query::update();
            update
                .table(self.tables.of::<activities::Entity>())
                .value(activities::Column::EventIndex, index)
                .and_where(Expr::col(activities::Column::Observer).eq(observer))
                .and_where(Expr::col(activities::Column::SeqNo).eq(seq_no));
            writes.push(&update);
        }
        Ok(())
    }
}

fn key(entry: &Entry) -> LetterKey {
    LetterKey { observer: entry.observer.clone(), seq_no: entry.seq_no }
}
