//! What a rebuild read of events before their place in their transaction was known: put right before the swap, while nobody
//! executes anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entities::{activities, events, reordered};
use super::letters::{self, LetterKey};
use super::order::Read;
use super::value::now;
use super::write::Statements;
use super::{Rebuild, Store, StoreError, convert};
use crate::chain::{SeqNo, Version};
use crate::market::Markets;
use crate::market::fold::{Entry, Keys, Rows};

/// Keys that are looked up at once.
const AT_ONCE: usize = 200;

impl Rebuild {
    /// Takes over the places of events that workers have learnt since the rebuild read them. To be called with all leases
    /// seized, when everything is folded.
    pub async fn reorder(&self, markets: &Markets) -> Result<(), StoreError> {
        let told = reordered::Entity::find().all(&self.store.db).await?;
        let keys: Vec<_> = told.into_iter().map(|row| key(&row.observer, row.seq_no)).collect();
        let mut versions = BTreeSet::new();
        for keys in keys.chunks(AT_ONCE) {
            let unplaced: BTreeSet<_> = self.store.unplaced(keys).await?.into_iter().collect();
            let stored = letters::stored(&self.store.db, keys).await?.into_iter();
            versions.extend(stored.filter(|(key, _)| unplaced.contains(key)).map(|(_, raw)| raw.version));
        }
        for version in versions {
            let writing = self.store.begin_on(&self.store.db).await?;
            let done = async {
                self.store.count_up(&writing, None).await?;
                self.store.reorder(&writing, markets, version).await
            };
            let done = done.await;
            self.store.end(writing, done).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Which of these events have an activity that knows no index.
    async fn unplaced(&self, keys: &[LetterKey]) -> Result<Vec<LetterKey>, StoreError> {
        let of = letters::these(keys, activities::Column::Observer, activities::Column::SeqNo);
        let query = self.tables.find::<activities::Entity>().filter(of);
        let rows = query.filter(activities::Column::EventIndex.is_null()).all(&self.db).await?;
        Ok(rows.iter().map(|row| key(&row.observer, row.seq_no)).collect())
    }

    /// Folds what the events of `version` are about anew.
    async fn reorder(
        &self,
        transaction: &DatabaseTransaction,
        markets: &Markets,
        version: Version,
    ) -> Result<(), StoreError> {
        let mut again = vec![];
        for stream in markets.streams() {
            for raw in self.of_version(transaction, &stream.observer, version).await? {
                again.extend(stream.entry(&raw).ok());
            }
        }
        // What is parked, or left out, was not folded.
        let keys: Vec<_> = again.iter().map(|entry: &Entry| key(&entry.observer, entry.seq_no.column())).collect();
        let of = letters::these(&keys, activities::Column::Observer, activities::Column::SeqNo);
        let folded = self.tables.find::<activities::Entity>().filter(of).all(transaction).await?;
        let folded: BTreeSet<_> = folded.iter().map(|row| key(&row.observer, row.seq_no)).collect();
        again.retain(|entry| folded.contains(&key(&entry.observer, entry.seq_no.column())));
        let (rows, late, history, none) = (Rows::default(), Keys::default(), vec![], BTreeSet::new());
        let mut read = Read { batch: &[], parked: &none, rows, late, history, again, placed: BTreeSet::new() };
        self.complete(transaction, markets, &mut read).await?;
        let mut writes = Statements::new(self.backend, self.tables);
        self.write_again(&mut writes, &read.again)?;
        read.folded().write_rows(&mut writes, self.tables, now())?;
        for statement in writes.done() {
            self.write(transaction, statement).await?;
        }
        Ok(())
    }

    /// The stored events of one version, which ascends with their numbers.
    pub(super) async fn of_version(
        &self,
        db: &impl ConnectionTrait,
        observer: &str,
        version: Version,
    ) -> Result<Vec<crate::chain::RawEvent>, StoreError> {
        let of = || events::Entity::find().filter(events::Column::Observer.eq(observer));
        let number = || of().select_only().column(events::Column::Version);
        let last: Option<i64> = of()
            .select_only()
            .column(events::Column::SeqNo)
            .order_by_desc(events::Column::SeqNo)
            .limit(1)
            .into_tuple()
            .one(db)
            .await?;
        let (mut first, mut end) = (0, last.map_or(0, |last| last + 1));
        while first < end {
            let middle = first.midpoint(end);
            let found: Option<i64> = number().filter(events::Column::SeqNo.eq(middle)).into_tuple().one(db).await?;
            if found.is_some_and(|found| found < version.column()) { first = middle + 1 } else { end = middle }
        }
        let (mut found, mut next) = (vec![], first);
        loop {
            let query = of().filter(events::Column::SeqNo.gte(next)).order_by_asc(events::Column::SeqNo).limit(32);
            let rows = query.all(db).await?;
            let count = rows.len();
            let same: Vec<_> = rows.into_iter().take_while(|row| row.version == version.column()).collect();
            let is_all = same.len() < count || count == 0;
            next += 32;
            for row in same {
                found.push(convert::raw_event(row)?.1);
            }
            if is_all {
                return Ok(found);
            }
        }
    }
}

fn key(observer: &str, seq_no: i64) -> LetterKey {
    LetterKey { observer: Arc::from(observer), seq_no: SeqNo::from_column(seq_no) }
}
