//! One row per executed market event.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::chain::{Amount, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "activities")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub observer: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq_no: i64,
    pub version: i64,
    pub event_index: Option<i32>,
    pub market: String,
    pub kind: String,
    pub order_id: Option<String>,
    pub offer_id: Option<String>,
    pub collection_id: Option<String>,
    pub collection_name: Option<String>,
    pub creator: Option<String>,
    pub token_id: Option<String>,
    pub token_name: Option<String>,
    pub property_version: i64,
    pub from_address: Option<String>,
    pub to_address: Option<String>,
    pub price: Option<Amount>,
    pub quantity: Option<Amount>,
    pub total: Option<Amount>,
    pub royalty: Option<Amount>,
    pub fee: Option<Amount>,
    pub currency: Option<String>,
    pub occurred_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
