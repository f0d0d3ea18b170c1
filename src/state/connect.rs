//! Opening the database, with the session settings that exactness needs.

use std::time::Duration;

use sea_orm::sqlx::{
    self, Executor,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use sea_orm::{ConnectOptions, Database, DbBackend};

use super::{DatabaseUrl, Store, StoreError};

/// Commits, status and a query or two: more connections than that only wait for one another.
const CONNECTIONS: u32 = 6;

impl Store {
    /// Connects to the database. Nothing is written.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new(url.secret());
        options
            .max_connections(CONNECTIONS)
            .connect_timeout(Duration::from_secs(10))
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(url.backend() != DbBackend::Sqlite)
            .sqlx_logging(false);
        options.map_sqlx_mysql_pool_opts(|pool| {
            pool.after_connect(|connection, _| Box::pin(async move {
                // Without STRICT a server cuts what does not fit, in silence. Row locks are taken where they matter, so
                // READ COMMITTED shows them the newest rows. Waiting longer than a deadlock takes to be found is no use.
                const SESSION: &str = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), SESSION TRANSACTION_ISOLATION = 'READ-COMMITTED', SESSION innodb_lock_wait_timeout = 10";
                const OLDER: &str = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), SESSION tx_isolation = 'READ-COMMITTED', SESSION innodb_lock_wait_timeout = 10";
                match connection.execute(sqlx::AssertSqlSafe(SESSION)).await {
                    Ok(_) => Ok(()),
                    // MariaDB before 11.1 has the variable under its older name only.
                    Err(_) => connection.execute(sqlx::AssertSqlSafe(OLDER)).await.map(|_| ()),
                }
            }))
        });
        options.map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
        });
        Ok(Self::new(Database::connect(options).await?))
    }
}
