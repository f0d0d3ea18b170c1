//! Stored events whose place in their transaction became known later: a rebuild under way may have read them before.

use sea_orm_migration::prelude::*;

use crate::columns::Columns;
use crate::m20261121_000001_tables::OBSERVER;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let c = Columns::of(manager).await?;
        let mut table = c.table("reordered");
        table
            .col(c.key("observer", OBSERVER).not_null())
            .col(ColumnDef::new("seq_no").big_integer().not_null())
            .primary_key(Index::create().col("observer").col("seq_no"));
        c.create(manager, table, "reordered", &[]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("reordered").if_exists().take()).await
    }
}
