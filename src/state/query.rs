//! Reading for people: what `status` and `list` show.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use super::entities::{
    activities, checkpoints, collections, dead_letters, markets, observer_status, offers, orders, tokens,
};
use super::{LetterState, Store, StoreError};
use crate::chain::Timestamp;

/// What `status` knows of all observers.
#[derive(Debug, Clone)]
pub struct Overview {
    pub checkpoints: Vec<checkpoints::Model>,
    pub reports: BTreeMap<String, observer_status::Model>,
    pub parked: BTreeMap<String, Parked>,
    /// Who holds the lease of each observer that anybody executes.
    pub holders: BTreeMap<String, String>,
    /// The workers that live.
    pub alive: BTreeSet<String>,
    pub markets: Vec<markets::Model>,
}

/// The parked events of an observer.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Parked {
    pub observer: String,
    pub events: i64,
    pub oldest: Timestamp,
}

/// Which rows to list; what is `None` does not matter. Rows come newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub market: Option<String>,
    pub status: Option<String>,
    pub kind: Option<String>,
    /// A collection's id, or its name.
    pub collection: Option<String>,
    /// A token's id, or its name.
    pub token: Option<String>,
    pub creator: Option<String>,
    pub owner: Option<String>,
    /// Anybody with a part in it: seller, buyer, offerer, acceptor, from or to.
    pub account: Option<String>,
    pub limit: u64,
}

/// The price of the cheapest open listing of a collection, in one currency.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Floor {
    pub collection_id: Option<String>,
    pub collection_name: Option<String>,
    pub currency: Option<String>,
    pub floor: Option<crate::chain::Amount>,
    pub listings: i64,
}

impl Store {
    /// Where all observers stand, and what workers report.
    pub async fn overview(&self) -> Result<Overview, StoreError> {
        Ok(Overview {
            checkpoints: checkpoints::Entity::find().order_by_asc(checkpoints::Column::Observer).all(&self.db).await?,
            reports: observer_status::Entity::find()
                .all(&self.db)
                .await?
                .into_iter()
                .map(|row| (row.observer.clone(), row))
                .collect(),
            parked: self.parked().await?,
            holders: self.holders().await?,
            alive: self.alive().await?,
            markets: markets::Entity::find().order_by_asc(markets::Column::Market).all(&self.db).await?,
        })
    }

    /// How many events are parked, by observer.
    pub async fn parked(&self) -> Result<BTreeMap<String, Parked>, StoreError> {
        let query = dead_letters::Entity::find()
            .select_only()
            .column(dead_letters::Column::Observer)
            .column_as(dead_letters::Column::SeqNo.count(), "events")
            .column_as(dead_letters::Column::FirstSeenAt.min(), "oldest")
            .filter(dead_letters::Column::State.eq(LetterState::Parked.name()))
            .group_by(dead_letters::Column::Observer)
            .into_model::<Parked>();
        Ok(query.all(&self.db).await?.into_iter().map(|row| (row.observer.clone(), row)).collect())
    }

    /// How many transitions there are, of all markets, that no rule book allows.
    pub async fn unexpected(&self) -> Result<i64, StoreError> {
        let markets = markets::Entity::find().all(&self.db).await?;
        Ok(markets.iter().map(|market| market.unexpected).sum())
    }

    /// Orders, by the version of their last event.
    pub async fn orders(&self, filter: &Filter) -> Result<Vec<orders::Model>, StoreError> {
        use orders::Column::{
            Buyer, CollectionId, CollectionName, Creator, LastSeqNo, LastVersion, Market, Seller, Status, TokenId,
            TokenName,
        };
        let which = Condition::all()
            .add_option(filter.market.as_deref().map(|market| Market.eq(market)))
            .add_option(filter.status.as_deref().map(|status| Status.eq(status)))
            .add_option(filter.creator.as_deref().map(|creator| Creator.eq(creator)))
            .add_option(filter.collection.as_deref().map(|text| either(CollectionId, CollectionName, text)))
            .add_option(filter.token.as_deref().map(|text| either(TokenId, TokenName, text)))
            .add_option(filter.account.as_deref().map(|text| either(Seller, Buyer, text)));
        let query = orders::Entity::find().filter(which).order_by_desc(LastVersion).order_by_desc(LastSeqNo);
        Ok(query.limit(filter.limit).all(&self.db).await?)
    }

    /// Offers, by the version of their last event.
    pub async fn offers(&self, filter: &Filter) -> Result<Vec<offers::Model>, StoreError> {
        use offers::Column::{
            Acceptor, CollectionId, CollectionName, Creator, LastSeqNo, LastVersion, Market, Offerer, Status, TokenId,
            TokenName,
        };
        let which = Condition::all()
            .add_option(filter.market.as_deref().map(|market| Market.eq(market)))
            .add_option(filter.status.as_deref().map(|status| Status.eq(status)))
            .add_option(filter.creator.as_deref().map(|creator| Creator.eq(creator)))
            .add_option(filter.collection.as_deref().map(|text| either(CollectionId, CollectionName, text)))
            .add_option(filter.token.as_deref().map(|text| either(TokenId, TokenName, text)))
            .add_option(filter.account.as_deref().map(|text| either(Offerer, Acceptor, text)));
        let query = offers::Entity::find().filter(which).order_by_desc(LastVersion).order_by_desc(LastSeqNo);
        Ok(query.limit(filter.limit).all(&self.db).await?)
    }

    /// Activities, by version.
    pub async fn activities(&self, filter: &Filter) -> Result<Vec<activities::Model>, StoreError> {
        use activities::Column::{
            CollectionId, CollectionName, Creator, FromAddress, Kind, Market, SeqNo, ToAddress, TokenId, TokenName,
            Version,
        };
        let which = Condition::all()
            .add_option(filter.market.as_deref().map(|market| Market.eq(market)))
            .add_option(filter.kind.as_deref().map(|kind| Kind.eq(kind)))
            .add_option(filter.creator.as_deref().map(|creator| Creator.eq(creator)))
            .add_option(filter.collection.as_deref().map(|text| either(CollectionId, CollectionName, text)))
            .add_option(filter.token.as_deref().map(|text| either(TokenId, TokenName, text)))
            .add_option(filter.account.as_deref().map(|text| either(FromAddress, ToAddress, text)));
        let query = activities::Entity::find().filter(which).order_by_desc(Version).order_by_desc(SeqNo);
        Ok(query.limit(filter.limit).all(&self.db).await?)
    }

    /// Collections, by name.
    pub async fn collections(&self, filter: &Filter) -> Result<Vec<collections::Model>, StoreError> {
        use collections::Column::{CollectionId, Creator, Name};
        let which = Condition::all()
            .add_option(filter.creator.as_deref().map(|creator| Creator.eq(creator)))
            .add_option(filter.collection.as_deref().map(|text| either(CollectionId, Name, text)));
        let query = collections::Entity::find().filter(which).order_by_asc(Name).order_by_asc(CollectionId);
        Ok(query.limit(filter.limit).all(&self.db).await?)
    }

    /// Tokens, by collection and name.
    pub async fn tokens(&self, filter: &Filter) -> Result<Vec<tokens::Model>, StoreError> {
        use tokens::Column::{CollectionId, CollectionName, Creator, Name, Owner, TokenId};
        let which = Condition::all()
            .add_option(filter.creator.as_deref().map(|creator| Creator.eq(creator)))
            .add_option(filter.owner.as_deref().map(|owner| Owner.eq(owner)))
            .add_option(filter.collection.as_deref().map(|text| either(CollectionId, CollectionName, text)))
            .add_option(filter.token.as_deref().map(|text| either(TokenId, Name, text)));
        let query =
            tokens::Entity::find().filter(which).order_by_asc(CollectionName).order_by_asc(Name).order_by_asc(TokenId);
        Ok(query.limit(filter.limit).all(&self.db).await?)
    }

    /// Floor prices of the collections with the most open listings.
    pub async fn floors(&self, limit: u64) -> Result<Vec<Floor>, StoreError> {
        let query = orders::Entity::find()
            .select_only()
            .column(orders::Column::CollectionId)
            .column(orders::Column::CollectionName)
            .column(orders::Column::Currency)
            .column_as(orders::Column::Price.min(), "floor")
            .column_as(orders::Column::OrderId.count(), "listings")
            .filter(orders::Column::Status.eq("listing"))
            .group_by(orders::Column::CollectionId)
            .group_by(orders::Column::CollectionName)
            .group_by(orders::Column::Currency)
            .order_by_desc(Expr::col("listings"))
            .limit(limit)
            .into_model::<Floor>();
        Ok(query.all(&self.db).await?)
    }
}

fn either<C: ColumnTrait>(a: C, b: C, text: &str) -> Condition {
    Condition::any().add(a.eq(text)).add(b.eq(text))
}
