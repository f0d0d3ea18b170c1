//! What workers tell about their observers, for `status` in another process.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::chain::Timestamp;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "observer_status")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub observer: String,
    pub state: String,
    pub cause: Option<String>,
    pub last_error: Option<String>,
    pub rate: f64,
    pub counter: Option<i64>,
    pub lag_seconds: Option<i64>,
    pub worker: String,
    pub since: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
