//! What collections exist.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::chain::{Amount, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "collections")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub collection_id: String,
    pub creator: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub uri: Option<String>,
    pub standard: String,
    pub supply: Option<Amount>,
    pub maximum: Option<Amount>,
    pub metadata: Option<String>,
    pub created_version: Option<i64>,
    pub imported: i32,
    pub updated_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
