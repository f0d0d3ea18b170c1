//! Column types that mean the same on every database.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Makes tables and columns for the connected database.
pub struct Columns {
    backend: DbBackend,
    collation: &'static str,
}

impl Columns {
    /// Asks a MySQL-like server which of the two names it has for comparing text byte for byte, spaces included.
    pub async fn of(manager: &SchemaManager<'_>) -> Result<Self, DbErr> {
        let backend = manager.get_database_backend();
        let mut collation = "";
        if backend == DbBackend::MySql {
            let version = manager.get_connection().query_one_raw(sea_orm_migration::sea_orm::Statement::from_string(
                backend,
                "SELECT version() AS version",
            ));
            let version: String = version.await?.map(|row| row.try_get("", "version")).transpose()?.unwrap_or_default();
            collation = if version.contains("MariaDB") { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        }
        Ok(Self { backend, collation })
    }

    /// A table that does not mind being there already. The database's own character set may be anything.
    pub fn table(&self, name: &'static str) -> TableCreateStatement {
        let mut table = Table::create();
        table.table(name).if_not_exists();
        if self.backend == DbBackend::MySql {
            table.engine("InnoDB").character_set("utf8mb4").collate(self.collation);
        }
        table
    }

    /// Text that is part of a key.
    #[expect(clippy::unused_self, reason = "called like its siblings, which need the backend")]
    pub fn key(&self, name: &'static str, length: u32) -> ColumnDef {
        ColumnDef::new(name).string_len(length).take()
    }

    /// `0x` and 64 hex digits.
    pub fn address(&self, name: &'static str) -> ColumnDef {
        self.key(name, 66)
    }

    /// Text of any length.
    pub fn text(&self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.backend {
            DbBackend::MySql => column.custom("longtext"),
            _ => column.text(),
        };
        column
    }

    /// A whole number up to u128, exact.
    pub fn amount(&self, name: &'static str) -> ColumnDef {
        self.number(name, 39)
    }

    /// A whole number up to u64, exact.
    pub fn count(&self, name: &'static str) -> ColumnDef {
        self.number(name, 20)
    }

    fn number(&self, name: &'static str, digits: u32) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.backend {
            // No affinity: a REAL would lose digits.
            DbBackend::Sqlite => column.custom(""),
            _ => column.decimal_len(digits, 0),
        };
        column
    }

    /// A UTC time with microseconds.
    pub fn time(&self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.backend {
            DbBackend::MySql => column.custom("datetime(6)"),
            DbBackend::Postgres => column.custom("timestamp(6) with time zone"),
            _ => column.text(),
        };
        column
    }

    /// Adds a column that may be null, unless it is there.
    pub async fn add(
        &self,
        manager: &SchemaManager<'_>,
        table: &'static str,
        mut column: ColumnDef,
    ) -> Result<(), DbErr> {
        if manager.has_column(table, column.get_column_name()).await? {
            return Ok(());
        }
        manager.alter_table(Table::alter().table(table).add_column(&mut column).take()).await
    }

    /// Drops a column, if it is there.
    pub async fn drop(manager: &SchemaManager<'_>, table: &'static str, column: &'static str) -> Result<(), DbErr> {
        if !manager.has_column(table, column).await? {
            return Ok(());
        }
        manager.alter_table(Table::alter().table(table).drop_column(column).take()).await
    }

    /// Creates `table` with an index on each list of columns.
    pub async fn create(
        &self,
        manager: &SchemaManager<'_>,
        mut table: TableCreateStatement,
        name: &'static str,
        indexes: &[&[&'static str]],
    ) -> Result<(), DbErr> {
        let index = |columns: &[&'static str]| {
            let mut index = Index::create();
            index.name(format!("{name}_{}", columns.join("_")));
            for column in columns {
                index.col(*column);
            }
            index
        };
        if self.backend == DbBackend::MySql {
            // Part of the table, as CREATE INDEX cannot be repeated.
            for columns in indexes {
                table.index(&mut index(columns));
            }
            return manager.create_table(table).await;
        }
        manager.create_table(table).await?;
        for columns in indexes {
            manager.create_index(index(columns).table(name).if_not_exists().take()).await?;
        }
        Ok(())
    }
}
