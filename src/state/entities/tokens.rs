//! What tokens exist, and who owns them.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::chain::{Amount, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "tokens")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub property_version: i64,
    pub collection_id: Option<String>,
    pub creator: Option<String>,
    pub collection_name: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub uri: Option<String>,
    pub created_version: Option<i64>,
    pub owner: Option<String>,
    pub owner_version: Option<i64>,
    pub owner_place: Option<i64>,
    pub owner_seq_no: Option<i64>,
    pub supply: Option<Amount>,
    pub maximum: Option<Amount>,
    pub metadata: Option<String>,
    pub imported: i32,
    pub updated_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
