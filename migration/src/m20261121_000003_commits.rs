//! One row that numbers the transactions which write what folding and importing own.

use sea_orm_migration::prelude::*;

use crate::columns::Columns;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let c = Columns::of(manager).await?;
        let mut table = c.table("commits");
        table
            .col(ColumnDef::new("id").integer().not_null().primary_key())
            .col(ColumnDef::new("number").big_integer().not_null());
        c.create(manager, table, "commits", &[]).await?;
        let mut row = Query::insert();
        row.into_table("commits").columns(["id", "number"]).values_panic([1.into(), 0.into()]);
        // It may be there: setting the key to itself changes nothing.
        row.on_conflict(OnConflict::column("id").update_column("id").to_owned());
        manager.execute(row).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("commits").if_exists().take()).await
    }
}
