//! Connections to the database that are not lost for good.

use std::sync::{Arc, PoisonError, RwLock};

use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr};

use super::StoreError;

/// A pool that makes way for a new one once it has no connection to give. The driver asks each connection on its way back
/// whether it is well, and without a limit: where the network swallows that question, its place stays taken.
#[derive(Clone)]
pub(super) struct Pool {
    options: ConnectOptions,
    now: Arc<RwLock<DatabaseConnection>>,
}

impl Pool {
    /// Nothing is connected until the first one asks.
    pub async fn new(mut options: ConnectOptions) -> Result<Self, StoreError> {
        options.connect_lazy(true);
        let now = Database::connect(options.clone()).await?;
        Ok(Self { options, now: Arc::new(RwLock::new(now)) })
    }

    /// The pool as it is now.
    pub fn now(&self) -> DatabaseConnection {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was `done` with it. If there was no connection in time, the next one will not wait for the same.
    pub async fn after<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Db(DbErr::ConnectionAcquire(_))) = &done {
            tracing::debug!("no connection in time: its pool makes way for a new one");
            let new = Database::connect(self.options.clone()).await?;
            *self.now.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sea_orm::{ConnectionTrait, TransactionTrait};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_never_comes_back_is_missed_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = ConnectOptions::new(format!("sqlite://{}/pool.db?mode=rwc", folder.path().display()));
        options.max_connections(1).acquire_timeout(Duration::from_millis(50)).sqlx_logging(false);
        let pool = Pool::new(options).await.unwrap();
        let kept = pool.now().begin().await.unwrap();
        let missed = pool.after(pool.now().begin().await.map_err(StoreError::from)).await;
        assert!(matches!(missed, Err(StoreError::Db(DbErr::ConnectionAcquire(_)))), "{:?}", missed.err());
        let other = pool.now().begin().await.unwrap();
        other.execute_unprepared("SELECT 1").await.unwrap();
        drop((kept, other));
    }
}
