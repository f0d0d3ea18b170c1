//! By which mapping the rows of a market were made: rows of two do not belong together, and nobody could tell them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect};

use super::commit::Writing;
use super::entities::{activities, checkpoints, markets};
use super::tables::Tables;
use super::{Store, StoreError};
use crate::chain::Source;
use crate::market::{Market, Markets, Stream};

/// Digests by the names of streams, or [`gone`] where the file has them no more, and where these are read from by [`from`].
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
            let mut now = read(&known);
            now.extend(said(market));
            now.retain(|entry, _| !is_back(entry, market));
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
        let known = read(known);
        let mut changed = vec![];
        for stream in &market.streams {
            let before = known.get(stream.name()).or_else(|| known.get(&gone(stream.name())));
            let is_other = before.is_some_and(|before| **before != *stream.mapping);
            if is_other && self.has_folded(db, &stream.observer).await? {
                changed.push(stream.observer.to_string());
            }
        }
        for name in known.keys().filter(|entry| !entry.contains(' ') && !has(market, entry)) {
            let observer = format!("{}:{name}", market.name);
            if self.has_folded(db, &observer).await? {
                changed.push(observer + GONE);
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
                let name = stream.name();
                let is_other = known.get(name).is_some_and(|known| **known != *stream.mapping)
                    || known.get(&from(name)).is_some_and(|known| *known != source(stream))
                    || known.contains_key(&gone(name));
                if is_other {
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
                    let now = said(market).chain(left(&read(&known), market)).collect();
                    self.take_mapping(&writing, market, &known, &now).await?;
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
        let entries: BTreeSet<_> = before.keys().chain(now.keys()).collect();
        let others: BTreeSet<_> = entries
            .into_iter()
            .filter(|entry| before.get(*entry) != now.get(*entry))
            .map(|entry| name(entry))
            .collect();
        let others: Vec<_> = others.into_iter().map(|name| format!("{}:{name}", market.name)).collect();
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

/// What a file leaves of streams that it no longer tells: should they come back, their rows are still there.
fn left(before: &Mapping, market: &Market) -> Mapping {
    let left = before.iter().filter(|(entry, _)| !has(market, name(entry)));
    left.map(|(entry, said)| (if entry.contains(' ') { entry.clone() } else { gone(entry) }, said.clone())).collect()
}

/// Whether the entry says that a stream is gone which `market` has.
fn is_back(entry: &str, market: &Market) -> bool {
    has(market, name(entry)) && entry == gone(name(entry))
}

fn has(market: &Market, name: &str) -> bool {
    market.streams.iter().any(|stream| stream.name() == name)
}

/// The stream that an entry is about: none has a space in its name.
fn name(entry: &str) -> &str {
    entry.split(' ').next().unwrap_or(entry)
}

fn from(name: &str) -> String {
    format!("{name} from")
}

fn gone(name: &str) -> String {
    format!("{name} gone")
}

fn source(stream: &Stream) -> String {
    match &stream.source {
        Source::Handle(handle) => format!("{} of {}", stream.source, handle.account),
        other => other.to_string(),
    }
}
