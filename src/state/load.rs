//! Reading the rows that a batch is about, and the stored events of what is late.

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, JoinType, QueryFilter, QuerySelect, RelationDef,
    RelationTrait,
};

use super::entities::{activities, collections, events, offers, orders, tokens};
use super::tables::Tables;
use super::{StoreError, convert};
use crate::chain::RawEvent;
use crate::market::Markets;
use crate::market::fold::{Entry, Keys, Rows, TokenKey};

/// How many keys a query asks for.
const LENGTHS: [usize; 4] = [1, 8, 64, 512];

/// Adds the rows of `keys` to `rows`.
pub(super) async fn rows(
    db: &impl ConnectionTrait,
    tables: Tables,
    keys: &Keys,
    rows: &mut Rows,
) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    for ids in chunks(backend, &keys.orders) {
        for row in tables.find::<orders::Entity>().filter(orders::Column::OrderId.is_in(texts(&ids))).all(db).await? {
            let order = convert::order(row)?;
            rows.orders.insert(Arc::clone(&order.order_id), order);
        }
    }
    for ids in chunks(backend, &keys.offers) {
        for row in tables.find::<offers::Entity>().filter(offers::Column::OfferId.is_in(texts(&ids))).all(db).await? {
            let offer = convert::offer(row)?;
            rows.offers.insert(Arc::clone(&offer.offer_id), offer);
        }
    }
    for ids in chunks(backend, &keys.tokens) {
        for row in tables.find::<tokens::Entity>().filter(token_keys(backend, ids)).all(db).await? {
            let token = convert::token(row)?;
            rows.tokens.insert(token.key, token);
        }
    }
    for ids in chunks(backend, &keys.collections) {
        let query = tables.find::<collections::Entity>().filter(collections::Column::CollectionId.is_in(ids));
        for row in query.all(db).await? {
            let collection = convert::collection(row)?;
            rows.collections.insert(collection.collection_id, collection);
        }
    }
    Ok(())
}

/// The stored events of these orders and offers, decoded again.
pub(super) async fn history(
    db: &impl ConnectionTrait,
    tables: Tables,
    markets: &Markets,
    late: &Keys,
) -> Result<Vec<Entry>, StoreError> {
    let backend = db.get_database_backend();
    let mut entries = vec![];
    for ids in chunks(backend, &late.orders) {
        entries.extend(entries_of(db, tables, markets, activities::Column::OrderId.is_in(texts(&ids)).into()).await?);
    }
    for ids in chunks(backend, &late.offers) {
        entries.extend(entries_of(db, tables, markets, activities::Column::OfferId.is_in(texts(&ids)).into()).await?);
    }
    Ok(entries)
}

async fn entries_of(
    db: &impl ConnectionTrait,
    tables: Tables,
    markets: &Markets,
    which: Condition,
) -> Result<Vec<Entry>, StoreError> {
    let told = RelationDef { to_tbl: tables.aliased::<activities::Entity>(), ..events::Relation::Activity.def() };
    let query = events::Entity::find().join(JoinType::InnerJoin, told).filter(which);
    let mut entries = vec![];
    for row in query.all(db).await? {
        let (observer, raw) = convert::raw_event(row)?;
        entries.push(decoded(markets, &observer, &raw)?);
    }
    Ok(entries)
}

/// A stored event, decoded again.
pub(super) fn decoded(markets: &Markets, observer: &str, raw: &RawEvent) -> Result<Entry, StoreError> {
    let stream = markets.stream(observer).ok_or_else(|| {
        StoreError::Refused(format!(
            "a late event needs the stored events of {observer}, which no market of MARKETS has: add its market again"
        ))
    })?;
    stream.entry(raw).map_err(|why| {
        StoreError::Refused(format!(
            "the stored event {observer} {} no longer decodes ({why}): the market file has changed; start every worker again with the newest one",
            raw.seq_no
        ))
    })
}

fn texts(ids: &[Arc<str>]) -> impl Iterator<Item = &str> {
    ids.iter().map(AsRef::as_ref)
}

/// PostgreSQL makes a bitmap of each pair: by ids alone it looks them up at once, and a token has few property versions.
/// The others look pairs up in their primary key.
fn token_keys(backend: DbBackend, keys: Vec<TokenKey>) -> Condition {
    if backend == DbBackend::Postgres {
        return tokens::Column::TokenId.is_in(keys.into_iter().map(|(id, _)| id)).into();
    }
    let columns = Expr::tuple([Expr::col(tokens::Column::TokenId), Expr::col(tokens::Column::PropertyVersion)]);
    Condition::all().add(columns.in_tuples(keys))
}

/// The keys, in lists of few lengths, so that the driver's cache of statements knows them all; a list that is too short
/// repeats its last key. A statement that falls out of that cache costs 40 ms on MySQL: closing it has no answer, and what
/// is sent next waits for one. Not on PostgreSQL: a statement that it sees again and again gets a plan made for tables that
/// were still empty.
pub(super) fn chunks<T: Clone>(backend: DbBackend, keys: &BTreeSet<T>) -> impl Iterator<Item = Vec<T>> {
    let keys: Vec<_> = keys.iter().cloned().collect();
    let padded = |chunk: &[T]| {
        let fits = |length: &usize| *length >= chunk.len() && backend == DbBackend::MySql;
        let length = LENGTHS.into_iter().find(fits).unwrap_or(chunk.len());
        let last = chunk.last().cloned();
        chunk.iter().cloned().chain(last.into_iter().cycle()).take(length).collect()
    };
    keys.chunks(LENGTHS[LENGTHS.len() - 1]).map(padded).collect::<Vec<_>>().into_iter()
}
