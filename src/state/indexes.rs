//! The indexes that only readers need.
//!
//! Each of them costs every event a change at a random place, and more the more there is. So a database that a worker makes is
//! filled without them; they are made from all rows at once when everything is caught up.

use std::fmt;

use migration::READERS;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::error::answered;
use super::tables::PREFIX;
use super::{Store, StoreError};

/// Behind the name of an index on `SQLite`, which cannot rename one, in every other rebuild.
pub(super) const REBUILT: &str = "_rebuilt";

/// An index on one of the tables that are folded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    table: &'static str,
    columns: &'static [&'static str],
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.table, self.columns.join("_"))
    }
}

impl Index {
    fn all() -> impl Iterator<Item = Self> {
        READERS.into_iter().map(|(table, columns)| Self { table, columns })
    }

    /// What makes it by hand.
    #[must_use]
    pub fn sql(&self) -> String {
        format!("CREATE INDEX {self} ON {} ({})", self.table, self.columns.join(", "))
    }

    /// Whether an index called `name` is this one, or its like of a rebuild.
    fn is(&self, name: &str) -> bool {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        let name = name.strip_suffix(REBUILT).or(name.strip_suffix("_idx")).unwrap_or(name);
        name == self.to_string()
    }
}

impl Store {
    /// Those that are not there.
    pub async fn missing_indexes(&self) -> Result<Vec<Index>, StoreError> {
        let there = self.indexes().await?;
        let is_there = |index: &Index| there.iter().any(|(table, name)| self.is_on(index, table) && index.is(name));
        Ok(Index::all().filter(|index| !is_there(index)).collect())
    }

    /// Makes one of them, which takes as long as its table is large. On `PostgreSQL` and `SQLite` commits wait meanwhile.
    pub async fn make_index(&self, index: &Index) -> Result<(), StoreError> {
        let names = match self.backend {
            DbBackend::MySql => vec![index.to_string()],
            DbBackend::Postgres => vec![self.tables.named(&index.to_string())],
            // The index of another table may have the first.
            _ => vec![index.to_string(), format!("{index}{REBUILT}")],
        };
        let mut made = Ok(());
        for name in names {
            made = self.make_index_as(index, &name).await;
            if made.is_ok() {
                break;
            }
        }
        made
    }

    async fn make_index_as(&self, index: &Index, name: &str) -> Result<(), StoreError> {
        let sql = format!("CREATE INDEX {name} ON {} ({})", self.tables.named(index.table), index.columns.join(", "));
        let create = Statement::from_string(self.backend, sql);
        // Whoever waits for a reader's long transaction would keep all others waiting, too.
        let patience = if self.backend == DbBackend::MySql { "SET SESSION lock_wait_timeout = 5; " } else { "" };
        let _turn = self.turn().await;
        let made = self.db.execute_unprepared(&format!("{patience}{}", create.sql)).await;
        // Another worker may have been first.
        match made {
            Err(error) if self.missing_indexes().await?.contains(index) => return Err(error.into()),
            Err(_) | Ok(_) => {}
        }
        if let Some(recorder) = &self.recorder {
            recorder.writes(&create);
            recorder.committed();
        }
        Ok(())
    }

    /// Drops them all; for tables that are to be filled.
    pub(super) async fn drop_indexes(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        for (table, name) in self.indexes().await? {
            if !Index::all().any(|index| self.is_on(&index, &table) && index.is(&name)) {
                continue;
            }
            let sql = match self.backend {
                DbBackend::MySql => format!("ALTER TABLE {table} DROP INDEX {name}"),
                _ => format!("DROP INDEX {name}"),
            };
            let dropped = self.db.execute_unprepared(&sql).await;
            // Another worker may have been first.
            match dropped {
                Err(error) if self.indexes().await?.iter().any(|(_, other)| *other == name) => return Err(error.into()),
                Err(_) | Ok(_) => {}
            }
        }
        Ok(())
    }

    fn is_on(&self, index: &Index, table: &str) -> bool {
        table == self.tables.named(index.table)
    }

    /// All indexes, each behind its table.
    async fn indexes(&self) -> Result<Vec<(String, String)>, StoreError> {
        let query = match self.backend {
            DbBackend::MySql => {
                "SELECT DISTINCT table_name, index_name FROM information_schema.statistics WHERE table_schema = DATABASE()"
            }
            DbBackend::Postgres => {
                "SELECT tablename::text, indexname::text FROM pg_indexes WHERE schemaname = current_schema()"
            }
            _ => "SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'",
        };
        let rows = answered(self.db.query_all_raw(Statement::from_string(self.backend, query))).await?;
        Ok(rows
            .iter()
            .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
            .collect::<Result<_, sea_orm::DbErr>>()?)
    }
}
