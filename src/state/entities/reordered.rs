//! Stored events whose index became known after they had been stored, since the last rebuild began.

use sea_orm::entity::prelude::*;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "reordered")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub observer: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq_no: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
