//! The event store, append only; but for the time of an event that was parked, which is known only once it is decoded.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::chain::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub observer: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq_no: i64,
    pub version: i64,
    pub event_index: Option<i32>,
    pub event_type: String,
    pub account_address: String,
    pub creation_number: i64,
    pub data: String,
    pub occurred_at: Option<Timestamp>,
    pub recorded_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// What the event meant, unless it is parked.
    #[sea_orm(
        belongs_to = "super::activities::Entity",
        from = "(Column::Observer, Column::SeqNo)",
        to = "(super::activities::Column::Observer, super::activities::Column::SeqNo)"
    )]
    Activity,
}

impl ActiveModelBehavior for ActiveModel {}
