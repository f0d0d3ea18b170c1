//! Listings, one row per listing key.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::chain::{Amount, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    pub market: String,
    pub order_key: String,
    pub collection_id: Option<String>,
    pub collection_name: Option<String>,
    pub creator: Option<String>,
    pub token_id: Option<String>,
    pub token_name: Option<String>,
    pub property_version: i64,
    pub seller: Option<String>,
    pub buyer: Option<String>,
    pub price: Option<Amount>,
    pub quantity: Option<Amount>,
    pub remaining_quantity: Option<Amount>,
    pub currency: Option<String>,
    pub status: String,
    pub sale_price: Option<Amount>,
    pub listed_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub listed_version: Option<i64>,
    pub closed_version: Option<i64>,
    pub last_seq_no: i64,
    pub last_observer: String,
    pub last_version: i64,
    pub last_event_index: Option<i32>,
    pub unexpected: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
