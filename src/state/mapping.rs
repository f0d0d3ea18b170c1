//! By which mapping the rows of a market were made: rows of two do not belong together, and nobody could tell them apart.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect};

use super::entities::{activities, markets};
use super::{Store, StoreError};
use crate::chain::{SeqNo, Source};
use crate::market::{Market, Markets, Stream};

/// Digests by the names of streams, and where these are read from by [`from`].
type Mapping = BTreeMap<String, String>;

impl Store {
    /// Refuses a market whose file says otherwise of a stream than when its events were folded; what is new is kept.
    pub(super) async fn keep_mapping(&self, market: &Market, known: &markets::Model) -> Result<(), StoreError> {
        self.keep_sources(market, known).await?;
        let changed = self.changed_mapping(market, known).await?;
        if !changed.is_empty() {
            return Err(StoreError::Refused(format!(
                "the file of market {} says otherwise of {} (its fields, key, units, or place among the streams) than when their events were folded: fold them all anew by `event-worker rebuild`, change it back, or go on with rows of both by `run --accept-mapping`",
                market.name,
                changed.join(", ")
            )));
        }
        let before = read(known);
        let now: Mapping = before.clone().into_iter().chain(said(market)).collect();
        if now == before { Ok(()) } else { self.set_mapping(market, &now).await }
    }

    /// Refuses a market of which a stream that has events is read from elsewhere: their numbers do not go on from one another.
    pub async fn keep_sources(&self, market: &Market, known: &markets::Model) -> Result<(), StoreError> {
        let before = read(known);
        for stream in &market.streams {
            let Some(before) = before.get(&from(stream.name())).filter(|before| **before != source(stream)) else {
                continue;
            };
            if self.checkpoint(&stream.observer).await?.next > SeqNo::ZERO {
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
    pub async fn changed_mapping(&self, market: &Market, known: &markets::Model) -> Result<Vec<String>, StoreError> {
        let mut changed = vec![];
        for (name, before) in read(known).iter().filter(|(name, _)| !name.contains(' ')) {
            let stream = market.streams.iter().find(|stream| stream.name() == name);
            let observer = format!("{}:{name}", market.name);
            if stream.is_none_or(|stream| **before != *stream.mapping) && self.has_folded(&observer).await? {
                changed.push(observer + if stream.is_some() { "" } else { " (which is gone)" });
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
        for market in markets.iter() {
            self.set_mapping(market, &said(market).collect()).await?;
        }
        Ok(())
    }

    async fn set_mapping(&self, market: &Market, mapping: &Mapping) -> Result<(), StoreError> {
        let text = serde_json::to_string(mapping).unwrap_or_default();
        let mut update = Query::update();
        update
            .table(self.tables.of::<markets::Entity>())
            .value(markets::Column::Mapping, text)
            .and_where(Expr::col(markets::Column::Market).eq(&*market.name));
        let _turn = self.turn().await;
        self.db.execute(&update).await?;
        Ok(())
    }

    /// Whether anything has come of events of `observer`: what is parked was folded by no mapping.
    async fn has_folded(&self, observer: &str) -> Result<bool, StoreError> {
        let query = self
            .tables
            .find::<activities::Entity>()
            .select_only()
            .column(activities::Column::SeqNo)
            .filter(activities::Column::Observer.eq(observer))
            .limit(1);
        Ok(query.into_tuple::<i64>().one(&self.db).await?.is_some())
    }
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
