//! Offers, one row per offer key.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::chain::{Amount, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "offers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub offer_id: String,
    pub market: String,
    pub offer_key: String,
    pub scope: String,
    pub collection_id: Option<String>,
    pub collection_name: Option<String>,
    pub creator: Option<String>,
    pub token_id: Option<String>,
    pub token_name: Option<String>,
    pub property_version: i64,
    pub offerer: Option<String>,
    pub acceptor: Option<String>,
    pub price: Option<Amount>,
    pub quantity: Option<Amount>,
    pub remaining_quantity: Option<Amount>,
    pub currency: Option<String>,
    pub status: String,
    pub expires_at: Option<Timestamp>,
    pub opened_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub opened_version: Option<i64>,
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
