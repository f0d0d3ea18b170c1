//! Which worker executes an observer, and which workers there are.

use sea_orm_migration::prelude::*;

use crate::columns::Columns;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let c = Columns::of(manager).await?;
        for column in added(&c) {
            // MySQL commits each of these at once: what a killed process has added is there already.
            if !manager.has_column("checkpoints", column.get_column_name()).await? {
                manager.alter_table(Table::alter().table("checkpoints").add_column(column).take()).await?;
            }
        }
        let mut table = c.table("workers");
        table
            .col(ColumnDef::new("slot").integer().not_null().primary_key())
            .col(c.text("worker").not_null())
            .col(c.text("wants").not_null())
            .col(c.time("expires_at").not_null());
        c.create(manager, table, "workers", &[]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let c = Columns::of(manager).await?;
        manager.drop_table(Table::drop().table("workers").if_exists().take()).await?;
        for column in added(&c) {
            let name = column.get_column_name();
            if manager.has_column("checkpoints", &name).await? {
                manager.alter_table(Table::alter().table("checkpoints").drop_column(name).take()).await?;
            }
        }
        Ok(())
    }
}

fn added(c: &Columns) -> [ColumnDef; 3] {
    [
        c.text("lease_holder"),
        // Counted up with each new holder: a commit names the one that it was planned under.
        ColumnDef::new("lease_epoch").big_integer().not_null().default(0).take(),
        c.time("lease_expires_at"),
    ]
}
