//! Stored events whose place in their transaction becomes known later, as an event of the same transaction comes in whose row
//! depends on it: all that was made of them is told anew.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Query};

use super::entities::{activities, events, reordered};
use super::letters::{self, LetterKey};
use super::plan::Folded;
use super::tables::Tables;
use super::write::Statements;
use super::{Store, StoreError, load};
use crate::chain::{EventOrder, RawEvent, Version};
use crate::market::Markets;
use crate::market::fold::{self, Entry, Keys, Moment, Rows, TokenKey};

/// The orders of events within versions, as far as they were asked for; none of a version that nobody has any more.
#[derive(Debug, Clone, Default)]
pub struct Orders(BTreeMap<Version, Option<EventOrder>>);

impl Orders {
    /// Keeps what was answered.
    pub fn insert(&mut self, version: Version, order: Option<EventOrder>) {
        self.0.insert(version, order);
    }

    /// Whether that version was asked for, whatever the answer.
    #[must_use]
    pub fn has(&self, version: Version) -> bool {
        self.0.contains_key(&version)
    }

    /// The order of that version, where known.
    #[must_use]
    pub fn of(&self, version: Version) -> Option<&EventOrder> {
        self.0.get(&version)?.as_ref()
    }

    /// How many versions were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
    pub rows: Rows,
    pub late: Keys,
    pub history: Vec<Entry>,
    /// Stored events with the index that has become known.
    pub again: Vec<Entry>,
}

impl Read<'_> {
    /// What becomes of it.
    pub fn folded(self) -> Folded {
        let Read { batch, rows, late, history, again } = self;
        let changes = fold::fold_again(batch, &again, &rows, &history);
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
    /// Completes `read` by the stored events whose index has become known, and that something in the batch depends on.
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
        // A rebuild takes events as they are stored.
        if self.tables == Tables::Rebuilt || (owners.is_empty() && read.history.is_empty() && !is_asked) {
            return Ok(true);
        }
        let contested = fold::contested(read.batch, &read.history);
        let is_of_stored = !owners.is_empty() || contested.values().any(|stored| *stored);
        let orders = match way {
            Way::Ahead(_) => return Ok(!is_of_stored),
            Way::Alone(None) => return Ok(true),
            Way::Alone(Some(orders)) => orders,
        };
        let all = contested.keys().copied().chain(owners.values().map(|since| since.version));
        let unknown: BTreeSet<_> = all.filter(|version| !orders.has(*version)).collect();
        if !unknown.is_empty() {
            return Err(StoreError::Unordered(unknown));
        }
        if is_of_stored {
            let stored = contested.into_iter().filter(|(_, stored)| *stored).map(|(version, _)| version).collect();
            self.tell_again(db, markets, &stored, &owners, orders, read).await?;
        }
        Ok(true)
    }

    async fn tell_again(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        wanted: &BTreeSet<Version>,
        owners: &BTreeMap<TokenKey, Moment>,
        orders: &Orders,
        read: &mut Read<'_>,
    ) -> Result<(), StoreError> {
        let of_history = read.history.iter().filter(|entry| wanted.contains(&entry.version));
        let of_history: BTreeSet<_> = of_history.map(key).collect();
        // A token knows the place of its owner's event, but not of which market that is.
        let of_owners = owners.values().flat_map(|since| {
            let streams = markets.streams().filter(|stream| stream.order == since.stream());
            streams.map(|stream| LetterKey { observer: stream.observer.clone(), seq_no: since.seq_no })
        });
        let keys: Vec<_> = of_owners.chain(of_history.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect();
        for (key, raw) in letters::stored(db, &keys).await? {
            if raw.event_index.is_some() {
                continue;
            }
            let Some(index) = orders.of(raw.version).and_then(|order| order.index_of(&raw)) else { continue };
            let entry = load::decoded(markets, &key.observer, &RawEvent { event_index: Some(index), ..raw })?;
            let is_owners = fold::keys(&[&entry])
                .tokens
                .iter()
                .any(|token| owners.get(token).is_some_and(|since| *since == entry.moment_unplaced()));
            if is_owners || of_history.contains(&key) {
                read.again.push(entry);
            }
        }
        if read.again.is_empty() {
            return Ok(());
        }
        self.complete(db, markets, read).await
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
