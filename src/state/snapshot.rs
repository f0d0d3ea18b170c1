//! The database as it is at one moment, read for as long as it takes while others go on writing. Nothing is written or locked.

use std::collections::BTreeSet;

use sea_orm::{
    AccessMode, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, IsolationLevel,
    QueryFilter, QueryOrder, QuerySelect, TransactionOptions, TransactionTrait,
};

use super::entities::{activities, checkpoints, collections, dead_letters, events, markets, offers, orders, tokens};
use super::value::now;
use super::{Store, StoreError};
use crate::chain::Timestamp;

/// One connection in one transaction that sees what was committed when it began.
pub struct Snapshot {
    transaction: DatabaseTransaction,
    /// When it began, by our own clock.
    pub taken_at: Timestamp,
}

/// What three tables hold of one stretch of a stream, each by ascending seq no.
#[derive(Debug)]
pub struct Chunk {
    pub events: Vec<events::Model>,
    pub activities: Vec<activities::Model>,
    pub dead_letters: Vec<dead_letters::Model>,
    /// The last seq no that it is about; `None`: there is nothing behind it.
    pub through: Option<i64>,
}

impl Store {
    /// The database as it is now.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let is_server = self.backend != DbBackend::Sqlite;
        let options = TransactionOptions {
            isolation_level: is_server.then_some(IsolationLevel::RepeatableRead),
            access_mode: is_server.then_some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        };
        let transaction = self.db.begin_with_options(options).await?;
        if self.backend == DbBackend::Postgres {
            // Of tables that have just been filled it knows nothing yet, and would read and sort them whole for every page.
            transaction.execute_unprepared("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off").await?;
        }
        // It may rest while what was read is folded, or a node is asked: nobody waits for its locks.
        let resting: &[_] = match self.backend {
            DbBackend::Postgres => &["LOCAL idle_in_transaction_session_timeout = 0"],
            DbBackend::MySql => &[
                "SESSION wait_timeout = 28800",
                "SESSION idle_transaction_timeout = 0",
                "SESSION idle_readonly_transaction_timeout = 0",
            ],
            _ => &[],
        };
        for limit in resting {
            // MySQL knows only the first.
            let _ = transaction.execute_unprepared(&format!("SET {limit}")).await;
        }
        // Everywhere the first reading decides what is seen.
        markets::Entity::find().all(&transaction).await?;
        Ok(Snapshot { transaction, taken_at: now() })
    }
}

impl Snapshot {
    pub async fn checkpoints(&self) -> Result<Vec<checkpoints::Model>, StoreError> {
        Ok(checkpoints::Entity::find().order_by_asc(checkpoints::Column::Observer).all(&self.transaction).await?)
    }

    pub async fn markets(&self) -> Result<Vec<markets::Model>, StoreError> {
        Ok(markets::Entity::find().order_by_asc(markets::Column::Market).all(&self.transaction).await?)
    }

    /// All observers that a row is of.
    pub async fn observers(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut all = BTreeSet::new();
        self.add_observers::<events::Entity>(events::Column::Observer, &mut all).await?;
        self.add_observers::<activities::Entity>(activities::Column::Observer, &mut all).await?;
        self.add_observers::<dead_letters::Entity>(dead_letters::Column::Observer, &mut all).await?;
        self.add_observers::<checkpoints::Entity>(checkpoints::Column::Observer, &mut all).await?;
        Ok(all)
    }

    /// From each to the next one, as counting what lies between would read the whole table.
    async fn add_observers<E: EntityTrait>(
        &self,
        column: E::Column,
        all: &mut BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let mut last = String::new();
        loop {
            let next = E::find().select_only().column(column).filter(column.gt(last)).order_by_asc(column).limit(1);
            let Some(next) = next.into_tuple::<String>().one(&self.transaction).await? else { return Ok(()) };
            all.insert(next.clone());
            last = next;
        }
    }

    /// What comes behind `after` in a stream, at most `limit` rows of each table.
    pub async fn chunk(&self, observer: &str, after: i64, limit: u64) -> Result<Chunk, StoreError> {
        let mut events = self.events(observer, after, limit).await?;
        let activities = activities::Entity::find()
            .filter(activities::Column::Observer.eq(observer))
            .filter(activities::Column::SeqNo.gt(after))
            .order_by_asc(activities::Column::SeqNo)
            .limit(limit);
        let mut activities = activities.all(&self.transaction).await?;
        let dead_letters = dead_letters::Entity::find()
            .filter(dead_letters::Column::Observer.eq(observer))
            .filter(dead_letters::Column::SeqNo.gt(after))
            .order_by_asc(dead_letters::Column::SeqNo)
            .limit(limit);
        let mut dead_letters = dead_letters.all(&self.transaction).await?;
        // It ends where the first of the three tables may have more.
        let full = |rows: usize, last: Option<i64>| last.filter(|_| rows as u64 >= limit);
        let ends = [
            full(events.len(), events.last().map(|row| row.seq_no)),
            full(activities.len(), activities.last().map(|row| row.seq_no)),
            full(dead_letters.len(), dead_letters.last().map(|row| row.seq_no)),
        ];
        let through = ends.into_iter().flatten().min();
        if let Some(through) = through {
            events.truncate(events.partition_point(|row| row.seq_no <= through));
            activities.truncate(activities.partition_point(|row| row.seq_no <= through));
            dead_letters.truncate(dead_letters.partition_point(|row| row.seq_no <= through));
        }
        Ok(Chunk { events, activities, dead_letters, through })
    }

    /// The events behind `after` in a stream, at most `limit`.
    pub async fn events(&self, observer: &str, after: i64, limit: u64) -> Result<Vec<events::Model>, StoreError> {
        let query = events::Entity::find()
            .filter(events::Column::Observer.eq(observer))
            .filter(events::Column::SeqNo.gt(after))
            .order_by_asc(events::Column::SeqNo)
            .limit(limit);
        Ok(query.all(&self.transaction).await?)
    }

    /// The orders behind the id `after`, at most `limit`; so with the other tables.
    pub async fn orders(&self, after: &str, limit: u64) -> Result<Vec<orders::Model>, StoreError> {
        let query = orders::Entity::find().filter(orders::Column::OrderId.gt(after));
        Ok(query.order_by_asc(orders::Column::OrderId).limit(limit).all(&self.transaction).await?)
    }

    pub async fn offers(&self, after: &str, limit: u64) -> Result<Vec<offers::Model>, StoreError> {
        let query = offers::Entity::find().filter(offers::Column::OfferId.gt(after));
        Ok(query.order_by_asc(offers::Column::OfferId).limit(limit).all(&self.transaction).await?)
    }

    pub async fn tokens(&self, after: (&str, i64), limit: u64) -> Result<Vec<tokens::Model>, StoreError> {
        let (id, property_version) = after;
        // Said so that every database goes to that place of its index.
        let behind = Condition::any()
            .add(tokens::Column::TokenId.gt(id))
            .add(tokens::Column::PropertyVersion.gt(property_version));
        let query = tokens::Entity::find().filter(tokens::Column::TokenId.gte(id)).filter(behind);
        let query = query.order_by_asc(tokens::Column::TokenId).order_by_asc(tokens::Column::PropertyVersion);
        Ok(query.limit(limit).all(&self.transaction).await?)
    }

    pub async fn collections(&self, after: &str, limit: u64) -> Result<Vec<collections::Model>, StoreError> {
        let query = collections::Entity::find().filter(collections::Column::CollectionId.gt(after));
        Ok(query.order_by_asc(collections::Column::CollectionId).limit(limit).all(&self.transaction).await?)
    }
}
