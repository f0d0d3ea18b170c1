//! Whether a database will do, asked without leaving anything behind.

use migration::TABLES;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{Store, StoreError};

/// A setting of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSetting {
    pub name: &'static str,
    pub value: String,
    /// What to do about it, unless it is well.
    pub remedy: Option<&'static str>,
}

impl Store {
    /// Tries the rights that a worker needs, with statements that write no row, and one that is rolled back.
    pub async fn may_write(&self) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        let tried = async {
            for table in TABLES {
                let nothing = format!("INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0");
                transaction.execute_unprepared(&nothing).await?;
            }
            self.count_up(&transaction, None).await
        };
        let tried = tried.await;
        transaction.undo().await?;
        tried
    }

    /// The settings of the server that matter for speed and safety.
    pub async fn server_settings(&self) -> Result<Vec<ServerSetting>, StoreError> {
        let names: &[&str] = match self.backend {
            DbBackend::MySql => &["innodb_buffer_pool_size", "innodb_flush_log_at_trx_commit", "read_only"],
            DbBackend::Postgres => &["fsync", "full_page_writes", "synchronous_commit", "transaction_read_only"],
            _ => &[],
        };
        let mut settings = vec![];
        for name in names {
            let query = match self.backend {
                DbBackend::MySql => format!("SELECT CAST(@@{name} AS CHAR) AS value"),
                _ => format!("SELECT current_setting('{name}') AS value"),
            };
            let row = self.db.query_one_raw(Statement::from_string(self.backend, query)).await?;
            let value: String = row.map(|row| row.try_get("", "value")).transpose()?.unwrap_or_default();
            settings.push(ServerSetting { name, remedy: remedy(name, &value), value });
        }
        Ok(settings)
    }
}

fn remedy(name: &str, value: &str) -> Option<&'static str> {
    /// What MariaDB and MySQL have unless told otherwise.
    const DEFAULT_POOL: u64 = 128 << 20;
    match (name, value) {
        ("innodb_buffer_pool_size", bytes) => (bytes.parse::<u64>().is_ok_and(|bytes| bytes <= DEFAULT_POOL))
            .then_some(
                "enough for some 300,000 events: give it 1.2 GB per million events, up to two thirds of the machine",
            ),
        ("innodb_flush_log_at_trx_commit", "0" | "2") | ("synchronous_commit", "off") => Some(
            "a crash of the server loses the last commits, which are then read again: set it to 1 (or on) to lose none",
        ),
        ("fsync" | "full_page_writes", "off") => Some("a crash of the machine can damage the database: set it to on"),
        ("read_only", "1") | ("transaction_read_only", "on") => {
            Some("the server takes no writes: use the primary (DATABASE_URL), or make it writable")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_slow_or_unsafe_is_spoken_of() {
        for (name, value) in [
            ("innodb_buffer_pool_size", "134217728"),
            ("innodb_flush_log_at_trx_commit", "2"),
            ("synchronous_commit", "off"),
            ("fsync", "off"),
            ("read_only", "1"),
        ] {
            assert!(remedy(name, value).is_some(), "{name}={value}");
        }
        for (name, value) in [
            ("innodb_buffer_pool_size", "1073741824"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("synchronous_commit", "remote_apply"),
            ("fsync", "on"),
            ("transaction_read_only", "off"),
        ] {
            assert_eq!(remedy(name, value), None, "{name}={value}");
        }
    }
}
