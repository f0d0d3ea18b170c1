//! Events that could not be decoded.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::chain::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "dead_letters")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub observer: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq_no: i64,
    pub version: i64,
    pub event_type: String,
    pub data: String,
    pub error: String,
    pub attempts: i32,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// `parked`, `retried` or `discarded`.
    pub state: String,
    /// Null unless it is discarded.
    pub discard_reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
