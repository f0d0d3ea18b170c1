//! What importing owns: the state of collections and tokens as the chain has it now.

use sea_orm_migration::prelude::*;

use crate::columns::Columns;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let c = Columns::of(manager).await?;
        let mut imports = c.table("imports");
        imports
            .col(c.address("account").not_null().primary_key())
            .col(ColumnDef::new("chain_id").integer().not_null())
            .col(ColumnDef::new("ledger_version").big_integer().not_null())
            .col(c.time("updated_at").not_null());
        c.create(manager, imports, "imports", &[]).await?;
        for (table, column) in added(&c) {
            // MySQL commits each of these at once: what a killed process has added is there already.
            if !manager.has_column(table, column.get_column_name()).await? {
                manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let c = Columns::of(manager).await?;
        manager.drop_table(Table::drop().table("imports").if_exists().take()).await?;
        for (table, column) in added(&c) {
            let name = column.get_column_name();
            if manager.has_column(table, &name).await? {
                manager.alter_table(Table::alter().table(table).drop_column(name).take()).await?;
            }
        }
        Ok(())
    }
}

fn added(c: &Columns) -> [(&'static str, ColumnDef); 5] {
    let imported = || ColumnDef::new("imported").integer().not_null().default(0).take();
    [
        // Which of description (1), uri (2) and maximum (4) are as imported: folding no longer writes them.
        ("collections", imported()),
        ("tokens", c.count("supply")),
        ("tokens", c.count("maximum")),
        ("tokens", c.text("metadata")),
        ("tokens", imported()),
    ]
}
