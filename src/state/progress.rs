//! Where observers stand: checkpoints, and what workers report of themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::sea_query::{ExprTrait, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Iterable, QueryFilter, QueryOrder, QuerySelect,
};

use super::entities::{checkpoints, dead_letters, events, markets, observer_status};
use super::error::answered;
use super::tables::Tables;
use super::value::now;
use super::{LetterState, Store, StoreError, mapping, write};
use crate::chain::{ChainId, SeqNo, Timestamp, Version};
use crate::market::{Markets, Stream};
use crate::subject::{Numbers, Place};

/// An observer's stored position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The chain of the events executed so far.
    pub chain_id: Option<ChainId>,
    /// The next event to execute.
    pub next: SeqNo,
    /// The version of the last executed event.
    pub executed_version: Option<Version>,
    /// How many of the last executed events are parked, without one between them that is not.
    pub parked_in_a_row: u64,
    /// How often its lease has been given to another worker.
    pub lease_epoch: i64,
}

/// How the words end by which a stream is looked for that was set to begin elsewhere than its market's file says.
pub const SET_START: &str = " on, as --from-version says";

/// Where a stream begins that we number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The version that it was set to begin at.
    pub set: Option<Version>,
    /// Whether any of its events has been executed.
    pub has_events: bool,
}

impl Start {
    /// As a checkpoint has it.
    #[must_use]
    pub fn of(row: &checkpoints::Model) -> Self {
        let said = row.scanned_for.as_deref().and_then(|text| text.strip_suffix(SET_START));
        let version = said.and_then(|text| text.rsplit(' ').next()?.parse().ok());
        Self { set: version.and_then(Version::new), has_events: row.executed_seq_no >= 0 }
    }
}

/// What a worker tells about one of its observers.
#[derive(Debug, Clone, PartialEq)]
pub struct ObserverReport {
    pub observer: String,
    pub state: String,
    pub cause: Option<String>,
    pub last_error: Option<String>,
    /// Events per second.
    pub rate: f64,
    /// Events that the handle has emitted, where known.
    pub counter: Option<u64>,
    pub lag_seconds: Option<u64>,
    pub worker: String,
    /// Since when it is in that state.
    pub since: Timestamp,
}

impl Store {
    /// Makes sure that every stream has a checkpoint, and that the markets are the ones this database is about.
    pub async fn prepare(&self, markets: &Markets) -> Result<(), StoreError> {
        for market in markets.iter() {
            let row = markets::Model {
                market: market.name.to_string(),
                address: market.address.to_string(),
                unexpected: 0,
                mapping: None,
            };
            // Setting the key to itself hides no other failure, unlike INSERT IGNORE.
            self.upsert::<markets::Entity>(vec![row], &[markets::Column::Market]).await?;
            let query = self.tables.find::<markets::Entity>().filter(markets::Column::Market.eq(&*market.name));
            let known = query.one(&self.db).await?;
            let Some(known) = known else { continue };
            mapping::is_of(market, &known)?;
            self.keep_mapping(market).await?;
        }
        let checkpoint = |stream: &Arc<Stream>| checkpoints::Model {
            observer: stream.observer.to_string(),
            chain_id: None,
            executed_seq_no: SeqNo::ZERO.executed(),
            executed_version: None,
            scanned_version: None,
            scanned_for: None,
            events_total: 0,
            updated_at: now(),
            lease_holder: None,
            lease_epoch: 0,
            lease_expires_at: None,
        };
        let rows = markets.streams().map(checkpoint).collect();
        self.upsert::<checkpoints::Entity>(rows, &[checkpoints::Column::Observer]).await
    }

    /// Inserts `rows`, or rewrites only the columns `update` of those that are there.
    pub(super) async fn upsert<E>(&self, rows: Vec<E::Model>, update: &[E::Column]) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        let _turn = self.turn().await;
        self.db.execute_raw(write::upsert::<E>(self.backend, self.tables, rows, update)?).await?;
        Ok(())
    }

    /// Where `observer` stands. The truth, also after a lost answer to COMMIT.
    pub async fn checkpoint(&self, observer: &str) -> Result<Checkpoint, StoreError> {
        answered(self.read_checkpoint(observer)).await
    }

    async fn read_checkpoint(&self, observer: &str) -> Result<Checkpoint, StoreError> {
        let query = self.tables.find::<checkpoints::Entity>().filter(checkpoints::Column::Observer.eq(observer));
        let row = query.one(&self.db).await?.ok_or_else(|| {
            StoreError::Refused(format!(
                "there is no checkpoint of {observer}: was the table emptied while the worker ran? Start it again"
            ))
        })?;
        Ok(Checkpoint {
            chain_id: row.chain_id.and_then(|chain| ChainId::try_from(chain).ok()),
            next: SeqNo::after_executed(row.executed_seq_no),
            executed_version: row.executed_version.map(Version::from_column),
            parked_in_a_row: self.parked_in_a_row(observer, row.executed_seq_no).await?,
            lease_epoch: row.lease_epoch,
        })
    }

    /// Where all streams begin, by observer.
    pub async fn starts(&self) -> Result<BTreeMap<String, Start>, StoreError> {
        let rows = answered(checkpoints::Entity::find().all(&self.db)).await?;
        Ok(rows.into_iter().map(|row| (row.observer.clone(), Start::of(&row))).collect())
    }

    /// Where `observer` stands in a stream that is found by scanning; `definition` is what its events are looked for by. What
    /// was scanned for another one does not count. If we number the events, they would be numbered otherwise: then another
    /// one is refused once any is executed.
    pub async fn place(&self, observer: &str, definition: &str, numbers: Numbers) -> Result<Place, StoreError> {
        answered(self.read_place(observer, definition, numbers)).await
    }

    async fn read_place(&self, observer: &str, definition: &str, numbers: Numbers) -> Result<Place, StoreError> {
        let row = checkpoints::Entity::find_by_id(observer).one(&self.db).await?;
        let Some(mut row) = row else { return Ok(Place::default()) };
        if row.scanned_for.as_deref() != Some(definition) {
            let is_ours = numbers == Numbers::Ours && row.executed_seq_no >= 0;
            if let Some(before) = row.scanned_for.as_ref().filter(|_| is_ours) {
                return Err(StoreError::Refused(format!(
                    "{observer} has events that were found as {before}, the market file now says {definition}: they would be numbered \
                     otherwise; change it back, or use a database of its own (DATABASE_URL)"
                )));
            }
            let mut update = Query::update();
            update
                .table(self.tables.of::<checkpoints::Entity>())
                .value(checkpoints::Column::ScannedFor, definition)
                .value(checkpoints::Column::ScannedVersion, Option::<i64>::None)
                .and_where(checkpoints::Column::Observer.eq(observer))
                .and_where(checkpoints::Column::ExecutedSeqNo.eq(row.executed_seq_no));
            let _turn = self.turn().await;
            self.db.execute(&update).await?;
            row.scanned_version = None;
        }
        let last = events::Entity::find_by_id((observer.to_owned(), row.executed_seq_no)).one(&self.db).await?;
        Ok(Place {
            next: SeqNo::after_executed(row.executed_seq_no),
            last: last.map(|event| {
                let index = event.event_index.and_then(|index| u32::try_from(index).ok());
                (Version::from_column(event.version), index)
            }),
            scanned: row.scanned_version.map(Version::from_column),
        })
    }

    /// Nothing of `observer`'s stream is missing up to `version`, as long as it stands at `next` under the lease of that epoch.
    pub async fn scanned(
        &self,
        observer: &str,
        next: SeqNo,
        epoch: Option<i64>,
        version: Version,
        chain: Option<ChainId>,
    ) -> Result<(), StoreError> {
        let column = checkpoints::Column::ScannedVersion;
        let mut update = Query::update();
        update
            .table(self.tables.of::<checkpoints::Entity>())
            .value(column, version.column())
            .and_where(column.is_null().or(column.lt(version.column())))
            .and_where(checkpoints::Column::Observer.eq(observer))
            .and_where(checkpoints::Column::ExecutedSeqNo.eq(next.executed()));
        if let Some(chain) = chain {
            update.value(checkpoints::Column::ChainId, i32::from(chain));
        }
        if let Some(epoch) = epoch {
            update.and_where(checkpoints::Column::LeaseEpoch.eq(epoch));
        }
        let _turn = self.turn().await;
        answered(self.db.execute(&update)).await?;
        Ok(())
    }

    async fn parked_in_a_row(&self, observer: &str, executed: i64) -> Result<u64, StoreError> {
        /// As many as `MAX_PARKED` can be.
        const ENOUGH: u64 = 1_000_000;
        let parked: Vec<i64> = self
            .tables
            .find::<dead_letters::Entity>()
            .select_only()
            .column(dead_letters::Column::SeqNo)
            .filter(dead_letters::Column::Observer.eq(observer))
            .filter(dead_letters::Column::State.eq(LetterState::Parked.name()))
            .filter(dead_letters::Column::SeqNo.lte(executed))
            .order_by_desc(dead_letters::Column::SeqNo)
            .limit(ENOUGH)
            .into_tuple()
            .all(&self.db)
            .await?;
        let run = parked.iter().zip((0..=executed).rev()).take_while(|(parked, expected)| *parked == expected);
        Ok(run.count() as u64)
    }

    /// What workers last reported of the observers that somebody executes, or did.
    pub async fn reported_states(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let query = observer_status::Entity::find()
            .select_only()
            .columns([observer_status::Column::Observer, observer_status::Column::State]);
        Ok(answered(query.into_tuple::<(String, String)>().all(&self.db)).await?.into_iter().collect())
    }

    /// Stores what `status` shows in other processes, of those that execute what the chain emits.
    pub async fn report(&self, reports: Vec<ObserverReport>) -> Result<(), StoreError> {
        if self.tables != Tables::Live || reports.is_empty() {
            return Ok(());
        }
        let now = now();
        let row = |report: ObserverReport| observer_status::Model {
            observer: report.observer,
            state: report.state,
            cause: report.cause,
            last_error: report.last_error,
            rate: report.rate,
            counter: report.counter.and_then(|counter| i64::try_from(counter).ok()),
            lag_seconds: report.lag_seconds.and_then(|lag| i64::try_from(lag).ok()),
            worker: report.worker,
            since: report.since,
            updated_at: now,
        };
        let update: Vec<_> = observer_status::Column::iter().skip(1).collect();
        self.upsert::<observer_status::Entity>(reports.into_iter().map(row).collect(), &update).await
    }
}
