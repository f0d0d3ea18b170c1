//! By which mapping the rows of a market were made: rows of two do not belong together, and nobody could tell them apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect};

use super::commit::Writing;
use super::entities::{activities, checkpoints, markets};
use super::tables::Tables;
use super::{Store, StoreError};
use crate::chain::Source;
use crate::market::{Market, Markets, Stream};

/// Digests by the names of streams, and where these are read from by [`from`].
type Mapping = BTreeMap<String, String>;

/// What is said behind an observer of which a file says nothing any more.
const GONE: &str = " (which is gone)";

impl Store {
    /// Refuses a market whose file says otherwise of a stream than when its events were folded; what is new is kept. Nobody
    /// folds anything meanwhile.
    pub(super) async fn keep_mapping(&self, market: &Market) -> Result<(), StoreError> {
        if self.tables == Tables::Rebuilt {
            let _turn = self.turn().await;
            return self.set_mapping(&self.db, market, &said(market).collect()).await;
        }
        let writing = self.begin_leasing().await?;
        let done = async {
            let Some(known) = self.known(&*writing, market).await? else { return Ok(()) };
            self.keep_sources(&*writing, market, &known).await?;
            let changed = self.changed_mapping(&*writing, market, &known).await?;
            if !changed.is_empty() {
                let is_gone = |observer: &String| observer.ends_with(GONE);
                let back = if changed.iter().any(is_gone) { "put back what is gone" } else { "change it back" };
                let anew =
                    if changed.iter().any(is_gone) { "" } else { "fold them all anew by `event-worker rebuild`, " };
                return Err(StoreError::Refused(format!(
                    "the file of market {} says otherwise of {} (its fields, key, units, or place among the streams) than when their events were folded: {anew}{back}, or go on with rows of both by `run --accept-mapping`",
                    market.name,
                    changed.join(", ")
                )));
            }
            let now = read(&known).into_iter().chain(said(market)).collect();
            self.take_mapping(&writing, market, &known, &now).await
        };
        let done = done.await;
        self.end(writing, done).await
    }

    /// Refuses a market of which a stream that has events is read from elsewhere: their numbers do not go on from one another.
    pub async fn keep_sources(
        &self,
        db: &impl ConnectionTrait,
        market: &Market,
        known: &markets::Model,
    ) -> Result<(), StoreError> {
        let before = read(known);
        for stream in &market.streams {
            let Some(before) = before.get(&from(stream.name())).filter(|before| **before != source(stream)) else {
                continue;
            };
            let executed = self.tables.find::<checkpoints::Entity>();
            let executed = executed.filter(checkpoints::Column::Observer.eq(&*stream.observer)).one(db).await?;
            if executed.is_some_and(|row| row.executed_seq_no >= 0) {
                return Err(StoreError::Refused(format!(
                    "{} has events of {before}, and the file of market {} says {}: give the stream of the latter another name, or, if both are the same, say so once by `run --accept-mapping`",
                    stream.observer,
                    market.name,
                    source(stream)
                )));
            }
        }
        Ok(())
    }

    /// The observers of `market` of which its file says otherwise than when their events were folded, or nothing any more.
    pub async fn changed_mapping(
        &self,
        db: &impl ConnectionTrait,
        market: &Market,
        known: &markets::Model,
    ) -> Result<Vec<String>, StoreError> {
        let mut changed = vec![];
        for (name, before) in read(known).iter().filter(|(name, _)| !name.contains(' ')) {
            let stream = market.streams.iter().find(|stream| stream.name() == name);
            let observer = format!("{}:{name}", market.name);
            if stream.is_none_or(|stream| **before != *stream.mapping) && self.has_folded(db, &observer).await? {
                changed.push(observer + if stream.is_some() { "" } else { GONE });
            }
        }
        Ok(changed)
    }

    /// The observers of which the rows are made by another file than `markets` has, as somebody has begun to since these were
    /// started, each with what to do about it.
    pub async fn overruled(&self, markets: &Markets) -> Result<BTreeMap<String, String>, StoreError> {
        let known = self.tables.find::<markets::Entity>().all(&self.db).await?;
        let mut overruled = BTreeMap::new();
        for market in markets.iter() {
            let known = known.iter().find(|known| known.market == *market.name).map(read).unwrap_or_default();
            for stream in &market.streams {
                if known.get(stream.name()).is_some_and(|known| **known != *stream.mapping) {
                    let why = format!(
                        "a rebuild, or another worker, has a file of market {} that says otherwise of it than this worker's: start this one again with that file",
                        market.name
                    );
                    overruled.insert(stream.observer.to_string(), why);
                }
            }
        }
        Ok(overruled)
    }

    /// Takes the files of `markets` for what the rows were made by, whatever that was.
    pub async fn accept_mapping(&self, markets: &Markets) -> Result<(), StoreError> {
        let writing = self.begin_leasing().await?;
        let done = async {
            for market in markets.iter() {
                if let Some(known) = self.known(&*writing, market).await? {
                    is_of(market, &known)?;
                    self.take_mapping(&writing, market, &known, &said(market).collect()).await?;
                }
            }
            Ok(())
        };
        let done = done.await;
        self.end(writing, done).await
    }

    /// From now on rows are made by `now`; whoever executes a stream of which that says otherwise has to look again.
    async fn take_mapping(
        &self,
        writing: &Writing,
        market: &Market,
        known: &markets::Model,
        now: &Mapping,
    ) -> Result<(), StoreError> {
        let before = read(known);
        if *now == before {
            return Ok(());
        }
        let is_other = |stream: &&Arc<Stream>| before.get(stream.name()) != now.get(stream.name());
        let others: Vec<_> = market.streams.iter().filter(is_other).map(|stream| stream.observer.to_string()).collect();
        self.hand(writing, &others, None, Duration::ZERO, true).await?;
        self.set_mapping(&**writing, market, now).await
    }

    async fn known(&self, db: &impl ConnectionTrait, market: &Market) -> Result<Option<markets::Model>, StoreError> {
        let query = self.tables.find::<markets::Entity>().filter(markets::Column::Market.eq(&*market.name));
        Ok(query.one(db).await?)
    }

    async fn set_mapping(
        &self,
        db: &impl ConnectionTrait,
        market: &Market,
        mapping: &Mapping,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(mapping).unwrap_or_default();
        let mut update = Query::update();
        update
            .table(self.tables.of::<markets::Entity>())
            .value(markets::Column::Mapping, text)
            .and_where(Expr::col(markets::Column::Market).eq(&*market.name));
        db.execute(&update).await?;
        Ok(())
    }

    /// Whether anything has come of events of `observer`: what is parked was folded by no mapping.
    async fn has_folded(&self, db: &impl ConnectionTrait, observer: &str) -> Result<bool, StoreError> {
        let query = self
            .tables
            .find::<activities::Entity>()
            .select_only()
            .column(activities::Column::SeqNo)
            .filter(activities::Column::Observer.eq(observer))
            .limit(1);
        Ok(query.into_tuple::<i64>().one(db).await?.is_some())
    }
}

/// Refuses another deployment of the market.
pub(super) fn is_of(market: &Market, known: &markets::Model) -> Result<(), StoreError> {
    if known.address == market.address.to_string() {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "this database holds market {} at {}, MARKETS says {}: use a database of its own for each deployment",
        market.name, known.address, market.address
    )))
}

fn read(known: &markets::Model) -> Mapping {
    known.mapping.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn said(market: &Market) -> impl Iterator<Item = (String, String)> {
    let mappings = market.streams.iter().map(|stream| (stream.name().to_owned(), stream.mapping.to_string()));
    mappings.chain(market.streams.iter().map(|stream| (from(stream.name()), source(stream))))
}

/// No stream has such a name.
fn from(name: &str) -> String {
    format!("{name} from")
}

fn source(stream: &Stream) -> String {
    match &stream.source {
        Source::Handle(handle) => format!("{} of {}", stream.source, handle.account),
        other => other.to_string(),
    }
}
