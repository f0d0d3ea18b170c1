//! Why a dead letter was discarded.

use sea_orm_migration::prelude::*;

use crate::columns::Columns;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "dead_letters";
const COLUMN: &str = "discard_reason";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let c = Columns::of(manager).await?;
        c.add(manager, TABLE, c.text(COLUMN)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Columns::drop(manager, TABLE, COLUMN).await
    }
}
