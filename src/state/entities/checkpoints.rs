//! One row per observer: how far it has executed its stream.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::chain::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "checkpoints")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub observer: String,
    pub chain_id: Option<i32>,
    pub executed_seq_no: i64,
    pub executed_version: Option<i64>,
    pub scanned_version: Option<i64>,
    pub scanned_for: Option<String>,
    pub events_total: i64,
    pub updated_at: Timestamp,
    pub lease_holder: Option<String>,
    pub lease_epoch: i64,
    pub lease_expires_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
