//! Who called what, of the transactions whose events were read with them.

use sea_orm_migration::prelude::*;

use crate::columns::Columns;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_table("transactions").await? && !manager.has_column("transactions", "entry_function").await? {
            return Err(DbErr::Migration(
                "the database already has a table transactions that is not event-worker's: rename it".to_owned(),
            ));
        }
        let c = Columns::of(manager).await?;
        let mut table = c.table("transactions");
        table
            .col(ColumnDef::new("version").big_integer().not_null().primary_key())
            .col(c.address("sender").not_null())
            .col(c.text("entry_function"));
        c.create(manager, table, "transactions", &[]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("transactions").if_exists().take()).await
    }
}
