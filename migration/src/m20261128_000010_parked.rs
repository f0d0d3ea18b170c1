//! Whoever executes an event looks whether one of the same version is parked.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "dead_letters";
const INDEX: &str = "dead_letters_version";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_index(TABLE, INDEX).await? {
            return Ok(());
        }
        manager.create_index(Index::create().name(INDEX).table(TABLE).col("version").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !manager.has_index(TABLE, INDEX).await? {
            return Ok(());
        }
        manager.drop_index(Index::drop().name(INDEX).table(TABLE).to_owned()).await
    }
}
