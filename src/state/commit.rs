//! The one transaction: events, rows and checkpoints together, or nothing.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::entities::{checkpoints, commits};
use super::error::answered;
use super::value::{now, stored};
use super::{Edge, Orders, Plan, Store, StoreError};
use crate::chain::{ChainId, RawEvent, SeqNo, Timestamp};
use crate::market::fold::Entry;
use crate::market::{Markets, Refusal, Stream};

/// A contiguous run of one stream's events, ready to be committed. Never empty.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The stream.
    pub stream: Arc<Stream>,
    /// The chain they come from, where the node told.
    pub chain_id: Option<ChainId>,
    /// The epoch of the lease under which they were read; `None` without leases.
    pub epoch: Option<i64>,
    /// The events, by ascending seq no.
    pub events: Vec<Executed>,
}

/// An event and what it means; or why nobody knows.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The event as received.
    pub raw: RawEvent,
    /// Its meaning, or the reason why it is parked.
    pub meaning: Result<Entry, Refusal>,
}

impl Executed {
    /// Whether nobody has told when it was.
    #[must_use]
    pub fn lacks_time(&self) -> bool {
        self.raw.block_time.is_none() && !self.meaning.as_ref().is_ok_and(|entry| entry.event.time.is_some())
    }

    /// It is of a block of that time.
    pub fn is_of(&mut self, time: Timestamp, stream: &Stream) {
        self.raw.block_time = Some(time);
        self.meaning = stream.entry(&self.raw);
    }
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Events executed.
    pub events: usize,
    /// Orders and offers folded anew, because an event came late.
    pub refolded: usize,
}

impl Slice {
    /// The first event's seq no: where the checkpoint must stand.
    #[must_use]
    pub fn start(&self) -> SeqNo {
        self.events.first().map_or(SeqNo::ZERO, |event| event.raw.seq_no)
    }

    /// The position behind the last event: where the checkpoint will stand.
    #[must_use]
    pub fn end(&self) -> SeqNo {
        self.events.last().map_or(SeqNo::ZERO, |event| event.raw.seq_no.next())
    }
}

/// A transaction that writes, and this process's turn to do so.
pub(super) struct Writing {
    transaction: DatabaseTransaction,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Deref for Writing {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

impl Writing {
    /// Takes everything back.
    pub async fn undo(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }

    /// Commits if all went well.
    async fn end<T>(self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        /// Whoever did not answer before hardly will now.
        const ROLLBACK: Duration = Duration::from_secs(2);
        let ended = match done {
            Ok(done) => answered(self.transaction.commit()).await.map(|()| done),
            Err(error) => {
                // After a deadlock the server has already rolled back; what counts is that nobody uses it again.
                let _ = timeout(ROLLBACK, self.transaction.rollback()).await;
                Err(error)
            }
        };
        drop(self.turn);
        ended
    }
}

/// The one row of `commits`.
pub(super) const THE_ROW: i32 = 1;

impl Store {
    /// Executes a plan in one transaction. [`StoreError::Overtaken`]: somebody else has written since it was made. On any
    /// error nothing has happened, but for a lost connection at the very end: then the checkpoints decide
    /// ([`Store::checkpoint`]).
    pub async fn execute(&self, plan: Plan) -> Result<Committed, StoreError> {
        let transaction = self.begin().await?;
        let executed = async {
            self.count_up(&transaction, Some(plan.before())).await?;
            self.carry_out(&transaction, plan).await
        };
        let executed = executed.await;
        self.end(transaction, executed).await
    }

    /// Executes slices of different streams in one transaction that is planned inside, where nobody else can write.
    pub async fn commit(&self, markets: &Markets, slices: &[Slice]) -> Result<Committed, StoreError> {
        self.commit_alone(markets, slices, None).await
    }

    /// The same, by the order of events within versions that `orders` has. [`StoreError::Unordered`]: rows depend on the
    /// order within others; nothing has happened.
    pub async fn commit_in_order(
        &self,
        markets: &Markets,
        slices: &[Slice],
        orders: &Orders,
    ) -> Result<Committed, StoreError> {
        self.commit_alone(markets, slices, Some(orders)).await
    }

    async fn commit_alone(
        &self,
        markets: &Markets,
        slices: &[Slice],
        orders: Option<&Orders>,
    ) -> Result<Committed, StoreError> {
        let transaction = self.begin().await?;
        let executed = async {
            self.count_up(&transaction, None).await?;
            let plan = answered(self.plan_alone(&*transaction, markets, slices.into(), orders)).await?;
            self.carry_out(&transaction, plan).await
        };
        let executed = executed.await;
        self.end(transaction, executed).await
    }

    /// Begins a transaction on the connection for commits.
    pub(super) async fn begin(&self) -> Result<Writing, StoreError> {
        let begun = self.begin_on(&self.commits.now()).await;
        self.commits.after(begun).await
    }

    pub(super) async fn begin_on(&self, db: &DatabaseConnection) -> Result<Writing, StoreError> {
        let turn = self.turn().await;
        Ok(Writing { transaction: answered(db.begin_with_options(self.to_write())).await?, turn })
    }

    /// Commits if all went well, and tells the recorder.
    pub(super) async fn end<T>(&self, writing: Writing, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let done = match done {
            Ok(done) => self.meet(Edge::Commit).await.map(|()| done),
            failed => failed,
        };
        let ended = writing.end(done).await;
        self.copy_log();
        let ended = match ended {
            Ok(done) => self.meet(Edge::Committed).await.map(|()| done),
            failed => failed,
        };
        match (&self.recorder, &ended) {
            (Some(recorder), Ok(_)) => recorder.committed(),
            (Some(recorder), Err(_)) => recorder.abandoned(),
            (None, _) => {}
        }
        ended
    }

    /// Every transaction that writes what folding and importing own does this first: the lock on that row makes them follow
    /// one another, and the number tells a plan whether somebody came between. With `expected` it must be that one.
    pub(super) async fn count_up(
        &self,
        transaction: &DatabaseTransaction,
        expected: Option<i64>,
    ) -> Result<(), StoreError> {
        let mut update = Query::update();
        update
            .table(self.tables.of::<commits::Entity>())
            .value(commits::Column::Number, Expr::col(commits::Column::Number).add(1))
            .and_where(Expr::col(commits::Column::Id).eq(THE_ROW));
        if let Some(expected) = expected {
            update.and_where(Expr::col(commits::Column::Number).eq(expected));
        }
        match self.write(transaction, self.backend.build(&update)).await? {
            1 => Ok(()),
            _ if expected.is_some() => Err(StoreError::Overtaken),
            _ => Err(StoreError::no_number()),
        }
    }

    async fn carry_out(&self, transaction: &DatabaseTransaction, plan: Plan) -> Result<Committed, StoreError> {
        let now = now();
        for slice in &*plan.slices {
            self.move_checkpoint(transaction, slice, now).await?;
        }
        for statement in plan.statements {
            self.write(transaction, statement).await?;
        }
        Ok(Committed { events: plan.slices.iter().map(|slice| slice.events.len()).sum(), refolded: plan.refolded })
    }

    /// Compare-and-set, of the position and of the lease's epoch.
    async fn move_checkpoint(
        &self,
        transaction: &DatabaseTransaction,
        slice: &Slice,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(last) = slice.events.last() else { return Ok(()) };
        let mut update = Query::update();
        update
            .table(self.tables.of::<checkpoints::Entity>())
            .value(checkpoints::Column::ExecutedSeqNo, slice.end().executed())
            .value(checkpoints::Column::ExecutedVersion, last.raw.version.column())
            .value(checkpoints::Column::EventsTotal, slice.end().column())
            .value(checkpoints::Column::UpdatedAt, stored(self.backend, now.into()))
            .and_where(Expr::col(checkpoints::Column::Observer).eq(&*slice.stream.observer))
            .and_where(Expr::col(checkpoints::Column::ExecutedSeqNo).eq(slice.start().executed()));
        if let Some(epoch) = slice.epoch {
            update.and_where(Expr::col(checkpoints::Column::LeaseEpoch).eq(epoch));
        }
        if let Some(chain) = slice.chain_id {
            update.value(checkpoints::Column::ChainId, i32::from(chain));
        }
        match self.write(transaction, self.backend.build(&update)).await? {
            1 => Ok(()),
            _ => Err(StoreError::Moved(slice.stream.observer.to_string())),
        }
    }

    /// Executes a write; returns how many rows it changed.
    pub(super) async fn write(&self, transaction: &DatabaseTransaction, write: Statement) -> Result<u64, StoreError> {
        if let Some(recorder) = &self.recorder {
            recorder.writes(&write);
        }
        self.meet(Edge::Statement).await?;
        let executed = match &write.values {
            Some(_) => answered(transaction.execute_raw(write)).await?,
            None => answered(transaction.execute_unprepared(&write.sql)).await?,
        };
        self.logged(executed.rows_affected());
        Ok(executed.rows_affected())
    }
}
