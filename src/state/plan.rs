//! What a transaction will write, worked out before it begins.
//!
//! Rows are read without locks, ahead of time, maybe while the transaction before is still being committed. Whether they
//! still hold is proved by the transaction itself: every one that writes such rows counts up `commits.number`, by
//! compare-and-set, so that nobody else can have written in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, IdenStatic, Iterable, QueryFilter, Statement};

use super::commit::{Executed, Slice, THE_ROW};
use super::entities::{
    activities, collections, commits, dead_letters, events, markets, offers, orders, tokens, transactions,
};
use super::error::answered;
use super::order::{Read, Way};
use super::tables::Tables;
use super::value::now;
use super::write::Statements;
use super::{Orders, Store, StoreError, convert, load};
use crate::chain::{Address, SeqNo, Timestamp, Version};
use crate::market::fold::{self, Changes, Collection, Entry, Keys, Rows, Token};
use crate::market::{Markets, Stream};

/// A transaction that only has to be executed.
pub struct Plan {
    pub(super) slices: Arc<[Slice]>,
    pub(super) statements: Vec<Statement>,
    pub(super) refolded: usize,
    after: After,
}

/// The database as a plan leaves it: its number, the rows that it changes, and collections that it and plans before it have
/// read: nearly every event speaks of one, and hardly any changes it.
#[derive(Clone)]
pub struct After {
    number: i64,
    rows: Arc<Rows>,
}

/// With more collections than this a plan hands on only its own.
const KNOWN_COLLECTIONS: usize = 1_000;

impl Plan {
    /// What the next plan can build on before this one is committed.
    #[must_use]
    pub fn after(&self) -> After {
        self.after.clone()
    }

    /// The number that `commits` must have for it to hold.
    pub(super) fn before(&self) -> i64 {
        self.after.number - 1
    }
}

impl Store {
    /// Plans the transaction that executes `slices`, on top of `before` if that one is still being committed. `None`: an
    /// event comes late, and stored events are needed that `before` may bring, or depends on the place of a stored one of its
    /// version; [`Store::commit`] can.
    pub async fn plan(
        &self,
        markets: &Markets,
        slices: Arc<[Slice]>,
        before: Option<After>,
    ) -> Result<Option<Plan>, StoreError> {
        let (number, pending) = match before {
            Some(After { number, rows }) => (number, Some(rows)),
            None => (self.reads.after(answered(self.number()).await).await?, None),
        };
        // Events of the same version may be under way.
        if self.tables == Tables::Live && !self.parked_versions(&slices).is_empty() {
            return Ok(None);
        }
        let (told, parked) = (self.told(&slices), BTreeSet::new());
        let reads = self.reads.now();
        let folded = answered(self.folded(&reads, markets, &told, &parked, Way::Ahead(pending.as_deref()))).await;
        Ok(match self.reads.after(folded).await? {
            Some(folded) => Some(folded.plan(self, slices, number)?),
            None => None,
        })
    }

    /// The same, of the database as `db` sees it, which nobody else can be writing to.
    pub(super) async fn plan_alone(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        slices: Arc<[Slice]>,
        orders: Option<&Orders>,
    ) -> Result<Plan, StoreError> {
        // Nobody asks for its number.
        let parked = self.parked_versions(&slices);
        self.folded_alone(db, markets, &self.told(&slices), &parked, orders).await?.plan(self, slices, 0)
    }

    /// What becomes of the rows that `batch` is about, whichever of its events are late, where nobody else can write.
    pub(super) async fn folded_alone(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        batch: &[&Entry],
        parked: &BTreeSet<Version>,
        orders: Option<&Orders>,
    ) -> Result<Folded, StoreError> {
        let bug = || StoreError::Refused("nothing is under way, and still something is waited for: a bug".to_owned());
        self.folded(db, markets, batch, parked, Way::Alone(orders)).await?.ok_or_else(bug)
    }

    async fn number(&self) -> Result<i64, StoreError> {
        let reads = self.reads.now();
        let row = self.tables.find::<commits::Entity>().filter(commits::Column::Id.eq(THE_ROW)).one(&reads).await?;
        row.map(|row| row.number).ok_or_else(StoreError::no_number)
    }

    async fn folded(
        &self,
        db: &impl ConnectionTrait,
        markets: &Markets,
        batch: &[&Entry],
        parked: &BTreeSet<Version>,
        way: Way<'_>,
    ) -> Result<Option<Folded>, StoreError> {
        let pending = if let Way::Ahead(pending) = way { pending } else { None };
        let mut keys = fold::keys(batch);
        let changing = pending.map(|pending| shared(pending, &mut keys));
        let mut rows = Rows::default();
        load::rows(db, self.tables, &keys, &mut rows).await?;
        // Last, as the database may still show what they were before.
        if let Some(Rows { orders, offers, tokens, collections }) = changing {
            rows.orders.extend(orders);
            rows.offers.extend(offers);
            rows.tokens.extend(tokens);
            rows.collections.extend(collections);
        }
        let late = fold::late(batch, &rows);
        if pending.is_some() && late != Keys::default() {
            return Ok(None);
        }
        let history = load::history(db, self.tables, markets, &late).await?;
        let mut read = Read { batch, parked, rows, late, history, again: vec![], placed: BTreeSet::new() };
        if !self.place_stored(db, markets, way, &mut read).await? {
            return Ok(None);
        }
        let mut folded = read.folded();
        let handed_on = pending.filter(|pending| pending.collections.len() < KNOWN_COLLECTIONS);
        let mut collections = handed_on.map(|pending| pending.collections.clone()).unwrap_or_default();
        for known in [&folded.before, &folded.changes.rows] {
            collections.extend(known.collections.iter().map(|(id, row)| (*id, row.clone())));
        }
        folded.collections = collections;
        Ok(Some(folded))
    }
}

impl Store {
    /// The events that a transaction tells, what they mean, and what nobody understands.
    fn write_events(&self, writes: &mut Statements, slices: &[Slice], now: Timestamp) -> Result<(), StoreError> {
        // A rebuild reads them from where they are.
        if self.tables == Tables::Live {
            let stored = self.executed(slices).map(|(stream, event)| {
                let time = event.meaning.as_ref().map_or(event.raw.block_time, |entry| entry.event.time);
                convert::event(&stream.observer, &event.raw, time, now)
            });
            writes.insert::<events::Entity>(stored)?;
            // Another observer may have had an event of the same transaction before.
            let called = self.executed(slices).filter_map(|(_, event)| convert::transaction(&event.raw));
            let called: BTreeMap<_, _> = called.map(|row| (row.version, row)).collect();
            let update = [transactions::Column::Sender, transactions::Column::EntryFunction];
            writes.replace::<transactions::Entity>(called.into_values(), &update)?;
        }
        writes.insert::<activities::Entity>(self.told(slices).into_iter().map(convert::activity))?;
        let parked = self.executed(slices).filter_map(|(stream, event)| {
            let why = event.meaning.as_ref().err()?;
            Some(convert::dead_letter(&stream.observer, &event.raw, why, now))
        });
        writes.insert::<dead_letters::Entity>(parked)
    }

    /// The events that could be decoded.
    fn told<'a>(&'a self, slices: &'a [Slice]) -> Vec<&'a Entry> {
        self.executed(slices).filter_map(|(_, event)| event.meaning.as_ref().ok()).collect()
    }

    /// The versions of those that could not.
    fn parked_versions(&self, slices: &[Slice]) -> BTreeSet<Version> {
        let parked = self.executed(slices).filter(|(_, event)| event.meaning.is_err());
        parked.map(|(_, event)| event.raw.version).collect()
    }

    /// All events of `slices` but those that somebody has decided to leave out.
    fn executed<'a>(&'a self, slices: &'a [Slice]) -> impl Iterator<Item = (&'a Arc<Stream>, &'a Executed)> {
        let all = slices.iter().flat_map(|slice| slice.events.iter().map(move |event| (&slice.stream, event)));
        all.filter(|(stream, event)| !self.leaves_out(&stream.observer, event.raw.seq_no))
    }

    /// Whether that event is executed as if it were not there: in a rebuild, one that somebody has discarded.
    #[must_use]
    pub fn leaves_out(&self, observer: &Arc<str>, seq_no: SeqNo) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&(Arc::clone(observer), seq_no))
    }
}

/// Takes the rows that both speak of out of `keys`.
fn shared(pending: &Rows, keys: &mut Keys) -> Rows {
    fn known<K: Ord + Clone, R: Clone>(pending: &BTreeMap<K, R>, keys: &mut BTreeSet<K>) -> BTreeMap<K, R> {
        let mut rows = BTreeMap::new();
        keys.retain(|key| match pending.get_key_value(key) {
            Some((key, row)) => rows.insert(key.clone(), row.clone()).is_some(),
            None => true,
        });
        rows
    }
    Rows {
        orders: known(&pending.orders, &mut keys.orders),
        offers: known(&pending.offers, &mut keys.offers),
        tokens: known(&pending.tokens, &mut keys.tokens),
        collections: known(&pending.collections, &mut keys.collections),
    }
}

/// Rows as they were, and what becomes of them.
pub(super) struct Folded {
    pub before: Rows,
    pub changes: Changes,
    /// Stored events whose index has become known.
    pub again: Vec<Entry>,
    pub refolded: usize,
    /// What is known of collections afterwards.
    pub collections: BTreeMap<Address, Collection>,
}

impl Folded {
    fn plan(self, store: &Store, slices: Arc<[Slice]>, number: i64) -> Result<Plan, StoreError> {
        let now = now();
        let mut writes = Statements::new(store.backend, store.tables);
        store.write_events(&mut writes, &slices, now)?;
        store.write_again(&mut writes, &self.again)?;
        self.write_rows(&mut writes, store.tables, now)?;
        let rows = Rows { collections: self.collections, ..self.changes.rows };
        Ok(Plan {
            slices,
            statements: writes.done(),
            refolded: self.refolded,
            after: After { number: number + 1, rows: Arc::new(rows) },
        })
    }

    /// Rows that are new are inserted plainly: should one be there all the same, nothing is overwritten unread.
    pub(super) fn write_rows(&self, writes: &mut Statements, tables: Tables, now: Timestamp) -> Result<(), StoreError> {
        let (before, rows) = (&self.before, &self.changes.rows);
        writes.insert::<orders::Entity>(new(&rows.orders, &before.orders).map(convert::order_row))?;
        let update = all_but(&[orders::Column::OrderId]);
        writes.replace::<orders::Entity>(known(&rows.orders, &before.orders).map(convert::order_row), &update)?;

        writes.insert::<offers::Entity>(new(&rows.offers, &before.offers).map(convert::offer_row))?;
        let update = all_but(&[offers::Column::OfferId]);
        writes.replace::<offers::Entity>(known(&rows.offers, &before.offers).map(convert::offer_row), &update)?;

        let row = |token| convert::token_row(token, now);
        writes.insert::<tokens::Entity>(new(&rows.tokens, &before.tokens).map(row))?;
        for (stays, tokens) in self.known_tokens(writes.backend()) {
            let mut same = vec![
                tokens::Column::TokenId,
                tokens::Column::PropertyVersion,
                tokens::Column::Supply,
                tokens::Column::Maximum,
                tokens::Column::Metadata,
                tokens::Column::Imported,
            ];
            same.extend(stays.owner.then_some(tokens::Column::Owner));
            same.extend(stays.collection.then_some(tokens::Column::CollectionId));
            writes.replace::<tokens::Entity>(tokens.into_iter().map(row), &all_but(&same))?;
        }

        let row = |collection| convert::collection_row(collection, now);
        writes.insert::<collections::Entity>(new(&rows.collections, &before.collections).map(row))?;
        let update = all_but(&[
            collections::Column::CollectionId,
            collections::Column::Supply,
            collections::Column::Metadata,
            collections::Column::Imported,
        ]);
        writes.replace::<collections::Entity>(known(&rows.collections, &before.collections).map(row), &update)?;

        for (market, more) in &self.changes.unexpected {
            let mut update = Query::update();
            update
                .table(tables.of::<markets::Entity>())
                .value(markets::Column::Unexpected, Expr::col(markets::Column::Unexpected).add(*more))
                .and_where(Expr::col(markets::Column::Market).eq(&**market));
            writes.push(&update);
        }
        Ok(())
    }

    /// The tokens that are there already. SQLite writes the index of every column that is set, changed or not: there they
    /// are told apart by what stays as it is, which is all of it for most events.
    fn known_tokens(&self, backend: DbBackend) -> BTreeMap<Stays, Vec<&Token>> {
        let owner = |token: &Token| token.owner.as_ref().map(|owner| owner.address);
        let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for token in known(&self.changes.rows.tokens, &self.before.tokens) {
            let stays = match self.before.tokens.get(&token.key) {
                Some(before) if backend == DbBackend::Sqlite => Stays {
                    owner: owner(before) == owner(token),
                    collection: before.collection_id == token.collection_id,
                },
                _ => Stays::default(),
            };
            alike.entry(stays).or_default().push(token);
        }
        alike
    }
}

/// Columns of a token's indexes that keep their value.
#[derive(PartialEq, Eq, PartialOrd, Ord, Default)]
struct Stays {
    owner: bool,
    collection: bool,
}

/// The rows that are not there yet.
fn new<'a, K: Ord, T>(rows: &'a BTreeMap<K, T>, before: &BTreeMap<K, T>) -> impl Iterator<Item = &'a T> {
    rows.iter().filter(|(key, _)| !before.contains_key(key)).map(|(_, row)| row)
}

/// The rows that are.
fn known<'a, K: Ord, T>(rows: &'a BTreeMap<K, T>, before: &BTreeMap<K, T>) -> impl Iterator<Item = &'a T> {
    rows.iter().filter(|(key, _)| before.contains_key(key)).map(|(_, row)| row)
}

pub(super) fn all_but<C: Iterable + IdenStatic>(columns: &[C]) -> Vec<C> {
    C::iter().filter(|column| columns.iter().all(|other| other.as_str() != column.as_str())).collect()
}
