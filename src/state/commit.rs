//! The one transaction: events, rows and checkpoints together, or nothing.

use std::sync::Arc;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{DatabaseTransaction, IdenStatic, Iterable, TransactionTrait};

use super::entities::{activities, checkpoints, collections, dead_letters, events, markets, offers, orders, tokens};
use super::value::{now, stored};
use super::write::Writer;
use super::{Store, StoreError, convert, load};
use crate::chain::{ChainId, RawEvent, SeqNo, Timestamp};
use crate::market::fold::{self, Changes, Entry, Keys, Rows};
use crate::market::{Markets, Refusal, Stream};

/// A contiguous run of one stream's events, ready to be committed. Never empty.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The stream.
    pub stream: Arc<Stream>,
    /// The chain they come from, where the node told.
    pub chain_id: Option<ChainId>,
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

impl Store {
    /// Executes slices of different streams in one transaction. On any error nothing has happened, but for a lost
    /// connection at the very end: then the checkpoints decide ([`Store::checkpoint`]).
    pub async fn commit(&self, markets: &Markets, slices: &[Slice]) -> Result<Committed, StoreError> {
        self.commit_in(markets, slices, false).await
    }

    /// The same once an import, or another worker, was first with a new token or collection: their rows are claimed before
    /// they are read, which costs more and cannot lose such a race again.
    pub async fn commit_claiming(&self, markets: &Markets, slices: &[Slice]) -> Result<Committed, StoreError> {
        self.commit_in(markets, slices, true).await
    }

    async fn commit_in(&self, markets: &Markets, slices: &[Slice], claim: bool) -> Result<Committed, StoreError> {
        let transaction = self.commits.begin_with_options(self.to_write()).await?;
        match self.execute(&transaction, markets, slices, claim).await {
            Ok(committed) => {
                transaction.commit().await?;
                if let Some(recorder) = &self.recorder {
                    recorder.committed();
                }
                Ok(committed)
            }
            Err(error) => {
                // After a deadlock the server has already rolled back; what counts is that nobody uses it again.
                let _ = transaction.rollback().await;
                if let Some(recorder) = &self.recorder {
                    recorder.abandoned();
                }
                Err(error)
            }
        }
    }

    async fn execute(
        &self,
        transaction: &DatabaseTransaction,
        markets: &Markets,
        slices: &[Slice],
        claim: bool,
    ) -> Result<Committed, StoreError> {
        let now = now();
        let writer = Writer::new(self, transaction);
        for slice in slices {
            self.move_checkpoint(&writer, slice, now).await?;
        }
        let events = || slices.iter().flat_map(|slice| slice.events.iter().map(move |event| (&slice.stream, event)));
        let batch: Vec<&Entry> = events().filter_map(|(_, event)| event.meaning.as_ref().ok()).collect();
        let keys = fold::keys(&batch);
        let rows = if claim {
            let (deals, items) = apart(keys);
            let rows = load::rows(transaction, &deals).await?;
            self.claim(&writer, &batch, now).await?;
            let Rows { tokens, collections, .. } = load::rows(transaction, &items).await?;
            Rows { tokens, collections, ..rows }
        } else {
            load::rows(transaction, &keys).await?
        };
        let late = fold::late(&batch, &rows);
        let history = load::history(transaction, markets, &late).await?;
        let changes = fold::fold(&batch, &rows, &history);

        let stored = events().map(|(stream, event)| {
            let time = event.meaning.as_ref().map_or(event.raw.block_time, |entry| entry.event.time);
            convert::event(&stream.observer, &event.raw, time, now)
        });
        writer.insert::<events::Entity>(stored.collect()).await.map_err(StoreError::not_a_race)?;
        let told = batch.iter().map(|entry| convert::activity(entry)).collect();
        writer.insert::<activities::Entity>(told).await.map_err(StoreError::not_a_race)?;
        let parked = events().filter_map(|(stream, event)| Some((stream, &event.raw, event.meaning.as_ref().err()?)));
        let parked = parked.map(|(stream, raw, why)| convert::dead_letter(&stream.observer, raw, why, now));
        writer.insert::<dead_letters::Entity>(parked.collect()).await.map_err(StoreError::not_a_race)?;
        self.write_changes(&writer, &rows, changes, now).await?;
        Ok(Committed { events: events().count(), refolded: late.orders.len() + late.offers.len() })
    }

    /// Inserts the batch's tokens and collections that are not there, and locks those that are. What they hold is folded
    /// once more later, which changes nothing.
    async fn claim(&self, writer: &Writer<'_>, batch: &[&Entry], now: Timestamp) -> Result<(), StoreError> {
        let rows = fold::fold(batch, &Rows::default(), &[]).rows;
        let tokens = rows.tokens.into_values().map(|token| convert::token_row(token, now)).collect();
        writer.replace::<tokens::Entity>(tokens, &[tokens::Column::TokenId]).await?;
        let collections = rows.collections.into_values().map(|row| convert::collection_row(row, now)).collect();
        writer.replace::<collections::Entity>(collections, &[collections::Column::CollectionId]).await
    }

    /// Compare-and-set. It comes first, so that its row lock keeps a second worker on the same stream waiting here.
    async fn move_checkpoint(&self, writer: &Writer<'_>, slice: &Slice, now: Timestamp) -> Result<(), StoreError> {
        let Some(last) = slice.events.last() else { return Ok(()) };
        let mut update = Query::update();
        update
            .table(checkpoints::Entity)
            .value(checkpoints::Column::ExecutedSeqNo, slice.end().executed())
            .value(checkpoints::Column::ExecutedVersion, last.raw.version.column())
            .value(checkpoints::Column::EventsTotal, slice.end().column())
            .value(checkpoints::Column::UpdatedAt, stored(self.backend, now.into()))
            .and_where(Expr::col(checkpoints::Column::Observer).eq(&*slice.stream.observer))
            .and_where(Expr::col(checkpoints::Column::ExecutedSeqNo).eq(slice.start().executed()));
        if let Some(chain) = slice.chain_id {
            update.value(checkpoints::Column::ChainId, i32::from(chain));
        }
        match writer.execute(self.backend.build(&update)).await? {
            1 => Ok(()),
            _ => Err(StoreError::Moved(slice.stream.observer.to_string())),
        }
    }

    /// New rows are inserted plainly, so that a row which another worker inserts meanwhile fails the transaction instead of
    /// being overwritten unread; known rows are under our lock.
    async fn write_changes(
        &self,
        writer: &Writer<'_>,
        before: &Rows,
        changes: Changes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rows = changes.rows;
        let (known, new) = split(rows.orders, |id| before.orders.contains_key(id), convert::order_row);
        writer.insert::<orders::Entity>(new).await?;
        writer.replace::<orders::Entity>(known, &all_but(&[orders::Column::OrderId])).await?;
        let (known, new) = split(rows.offers, |id| before.offers.contains_key(id), convert::offer_row);
        writer.insert::<offers::Entity>(new).await?;
        writer.replace::<offers::Entity>(known, &all_but(&[offers::Column::OfferId])).await?;
        let (known, new) =
            split(rows.tokens, |key| before.tokens.contains_key(key), |token| convert::token_row(token, now));
        writer.insert::<tokens::Entity>(new).await?;
        let imported = [
            tokens::Column::TokenId,
            tokens::Column::PropertyVersion,
            tokens::Column::Supply,
            tokens::Column::Maximum,
            tokens::Column::Metadata,
            tokens::Column::Imported,
        ];
        writer.replace::<tokens::Entity>(known, &all_but(&imported)).await?;
        let (known, new) =
            split(rows.collections, |id| before.collections.contains_key(id), |row| convert::collection_row(row, now));
        writer.insert::<collections::Entity>(new).await?;
        let imported = [
            collections::Column::CollectionId,
            collections::Column::Supply,
            collections::Column::Metadata,
            collections::Column::Imported,
        ];
        writer.replace::<collections::Entity>(known, &all_but(&imported)).await?;
        for (market, more) in changes.unexpected {
            let mut update = Query::update();
            update
                .table(markets::Entity)
                .value(markets::Column::Unexpected, Expr::col(markets::Column::Unexpected).add(more))
                .and_where(Expr::col(markets::Column::Market).eq(&*market));
            writer.execute(self.backend.build(&update)).await?;
        }
        Ok(())
    }
}

/// Keys of orders and offers, and keys of tokens and collections.
fn apart(keys: Keys) -> (Keys, Keys) {
    let Keys { orders, offers, tokens, collections } = keys;
    (Keys { orders, offers, ..Keys::default() }, Keys { tokens, collections, ..Keys::default() })
}

/// Rows that exist, and rows that do not yet.
fn split<K: Ord, T, M>(
    rows: std::collections::BTreeMap<K, T>,
    exists: impl Fn(&K) -> bool,
    model: impl Fn(T) -> M,
) -> (Vec<M>, Vec<M>) {
    let (known, new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(key, _)| exists(key));
    let models = |rows: Vec<(K, T)>| rows.into_iter().map(|(_, row)| model(row)).collect();
    (models(known), models(new))
}

pub(super) fn all_but<C: Iterable + IdenStatic>(columns: &[C]) -> Vec<C> {
    C::iter().filter(|column| columns.iter().all(|other| other.as_str() != column.as_str())).collect()
}
