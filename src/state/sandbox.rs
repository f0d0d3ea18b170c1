//! A database for trying things out, in which nothing is anybody's.

use migration::TABLES;
use sea_orm::ConnectionTrait;

use super::rebuild::drop_all;
use super::{Store, StoreError, migrate};

/// Says that a database is one. Made before any other table.
const MARK: &str = "selftest";

impl Store {
    /// Makes an empty database one for trying things out, with the schema of this program. One with tables that were not made
    /// so is refused.
    pub async fn claim(&self) -> Result<(), StoreError> {
        let tables = migrate::tables(&self.db).await?;
        if !tables.iter().any(|table| table == MARK) {
            if let Some(table) = tables.first() {
                return Err(StoreError::Refused(format!(
                    "the database has a table {table} that selftest has not made, and it would be emptied: give selftest an empty database of its own (DATABASE_URL), or none"
                )));
            }
            self.db.execute_unprepared(&format!("CREATE TABLE {MARK} (id INTEGER NOT NULL PRIMARY KEY)")).await?;
        }
        self.migrate_up().await?;
        Ok(())
    }

    /// Deletes all rows, and what a rebuild has left, of a database that was claimed.
    pub async fn empty(&self) -> Result<(), StoreError> {
        let tables = migrate::tables(&self.db).await?;
        if !tables.iter().any(|table| table == MARK) {
            return Err(StoreError::Refused(format!("the database has no table {MARK}: it is not emptied")));
        }
        drop_all(self).await?;
        let _turn = self.turn().await;
        for table in TABLES {
            let emptied = match table {
                "commits" => "UPDATE commits SET number = 0".to_owned(),
                _ => format!("DELETE FROM {table}"),
            };
            self.db.execute_unprepared(&emptied).await?;
        }
        Ok(())
    }
}
