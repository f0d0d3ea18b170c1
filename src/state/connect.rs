//! Opening the database, with the session settings that exactness needs.

use std::time::Duration;

use sea_orm::sqlx::{
    Connection, Executor, Row,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use sea_orm::{ConnectOptions, Database, DbBackend};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pool::Pool;
use super::{DatabaseUrl, Store, StoreError, wal};

/// More than the commits have: see `load`.
const STATEMENTS: usize = 256;
/// For status and a query or two, beside the one for commits.
const CONNECTIONS: u32 = 3;
/// How long a connection that was given up in the middle of something is waited for.
const GIVEN_UP: Duration = Duration::from_secs(2);
/// After 3 s the server itself ends a transaction whose worker hangs, as its locks hold everybody up.
const HUNG_ON_MARIADB: &str = "SET SESSION idle_transaction_timeout = 3, net_read_timeout = 3";
const HUNG_ON_POSTGRES: &str = "SET SESSION idle_in_transaction_session_timeout = '3s'";
/// A deadlock is found at once: whoever waits for a lock longer than this waits for somebody who hangs. Without a limit the
/// server would go on waiting for those who have long given up.
const LOCKED: Duration = Duration::from_secs(10);
const LOCKED_ON_MYSQL: &str = "SET SESSION innodb_lock_wait_timeout = 10";
/// It counts anew once the one before in the queue is gone.
const LOCKED_ON_POSTGRES: &str = "SET SESSION lock_timeout = '10s'";

impl Store {
    /// Connects to the database. Nothing is written.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        if let Some(server) = url.server() {
            // The pool would try for as long as it waits, and then only say that it waited.
            let connecting = timeout(Duration::from_secs(10), TcpStream::connect(&server)).await;
            let refused = |error: &dyn std::fmt::Display| {
                StoreError::Unreachable(format!(
                    "{server}: {error}: check host and port of DATABASE_URL, and that the server runs"
                ))
            };
            connecting.map_err(|_| refused(&"no answer in 10 s"))?.map_err(|error| refused(&error))?;
        }
        let db = Database::connect(options(url, CONNECTIONS)).await?;
        // SQLite's next commit need not wait until the connection is back in its pool; on servers each would prepare all
        // statements again.
        let commits = if url.backend() == DbBackend::Sqlite { 2 } else { 1 };
        // Commands that only read never open these.
        let (commits, reads) = (Pool::new(options(url, commits)).await?, Pool::new(options(url, 1)).await?);
        Ok(Self::new(db, commits, reads))
    }
}

fn options(url: &DatabaseUrl, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.secret());
    options
        .max_connections(connections)
        .connect_timeout(Duration::from_secs(10))
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(url.backend() != DbBackend::Sqlite)
        .sqlx_logging(false);
    // The lock of `commits` is taken first, and READ COMMITTED shows what is behind it as it is now.
    options.map_sqlx_mysql_pool_opts(|pool| {
        pool.after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                // Without STRICT a server cuts what does not fit, in silence.
                connection.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')").await?;
                connection.execute(LOCKED_ON_MYSQL).await?;
                // MySQL has nothing of the kind, and would close any connection that rests for so long.
                if connection.execute(HUNG_ON_MARIADB).await.is_err() {
                    connection.execute("SET SESSION wait_timeout = 60").await?;
                }
                Ok(())
            })
        })
        .after_release(|connection, _| Box::pin(async move { Ok(answers(connection).await) }))
    });
    options.map_sqlx_postgres_pool_opts(|pool| {
        let pool = pool.after_connect(|connection, _| {
            Box::pin(async move {
                let isolation = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";
                connection.execute(isolation).await?;
                connection.execute(HUNG_ON_POSTGRES).await?;
                connection.execute(LOCKED_ON_POSTGRES).await.map(|_| ())
            })
        });
        // Instead of a ping. A session that has begun read-only stays so when the server no longer is, or another one has
        // taken its place: a new one is not.
        pool.test_before_acquire(false)
            .before_acquire(|connection, _| {
                Box::pin(async move {
                    let read_only = connection.fetch_one("SHOW transaction_read_only").await?;
                    Ok(read_only.try_get::<String, _>(0)? == "off")
                })
            })
            .after_release(|connection, _| Box::pin(async move { Ok(answers(connection).await) }))
    });
    // SQLite may end a transaction by itself, as on a full disk, of which the driver knows nothing: such a connection could
    // never begin another one.
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
    });
    options.map_sqlx_mysql_opts(|mysql| mysql.statement_cache_capacity(STATEMENTS));
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // A statement keeps its memory, in each connection that has run it.
            .statement_cache_capacity(12)
            // In KiB. More is no faster: the system caches the file, too.
            .pragma("cache_size", "-256")
            .pragma("wal_autocheckpoint", wal::PAGES)
            // In bytes: after an index was made the log would stay as large as that.
            .pragma("journal_size_limit", wal::BYTES)
            .busy_timeout(LOCKED)
    });
    options
}

/// Whether a connection can be used again. The pool itself would wait for ever for one behind which nobody is any more.
async fn answers(connection: &mut impl Connection) -> bool {
    matches!(timeout(GIVEN_UP, connection.ping()).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, TransactionTrait};

    use super::*;

    #[tokio::test]
    async fn sqlite_goes_on_after_a_transaction_that_it_has_ended_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/full.db?mode=rwc", folder.path().display());
        let store = Store::connect(&url.parse().unwrap()).await.unwrap();
        store.db.execute_unprepared("CREATE TABLE t (text TEXT)").await.unwrap();
        for _ in 0..3 {
            let transaction = store.db.begin().await.unwrap();
            // What a full disk says, and does: the transaction is over.
            transaction.execute_unprepared("ROLLBACK").await.unwrap();
            assert!(transaction.commit().await.is_err());
        }
        let transaction = store.db.begin().await.unwrap();
        transaction.execute_unprepared("INSERT INTO t VALUES ('in time')").await.unwrap();
        transaction.commit().await.unwrap();
        store.close().await.unwrap();
    }
}
