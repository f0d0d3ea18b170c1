//! `SQLite`'s write-ahead log, copied into the database's file beside the next transaction.
//!
//! By itself `SQLite` does so at the end of each large transaction, while the next one waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::ConnectionTrait;
use tokio::sync::Mutex;

use super::Store;

/// Once the log has so many pages whoever commits copies them.
pub(super) const PAGES: &str = "16000";
/// The same in bytes, of 4,096 a page.
pub(super) const BYTES: &str = "65536000";
/// Rows written, from which on it is worth copying: those of some transactions, as what they all change is copied once.
const ROWS: u64 = 8_000;

/// What was written since the log was last copied.
#[derive(Default)]
pub(super) struct Wal {
    rows: AtomicU64,
    copying: Arc<Mutex<()>>,
}

impl Store {
    /// So many rows were written.
    pub(super) fn logged(&self, rows: u64) {
        if let Some(wal) = &self.wal {
            wal.rows.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// Begins to copy, if that is worth it and nobody does. What is written meanwhile is copied the next time, or by whoever
    /// closes the database.
    pub(super) fn copy_log(&self) {
        let Some(wal) = self.wal.as_ref().filter(|wal| wal.rows.load(Ordering::Relaxed) >= ROWS) else { return };
        let Ok(copying) = Arc::clone(&wal.copying).try_lock_owned() else { return };
        wal.rows.store(0, Ordering::Relaxed);
        let db = self.db.clone();
        tokio::spawn(async move {
            // Without success it is `SQLite` that copies.
            if let Err(error) = db.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await {
                tracing::debug!("SQLite's log could not be copied: {error}");
            }
            drop(copying);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_logged_is_copied_once_it_is_worth_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.db");
        let store = Store::connect(&format!("sqlite://{}?mode=rwc", file.display()).parse().unwrap()).await.unwrap();
        let size = || std::fs::metadata(&file).unwrap().len();
        store.db.execute_unprepared("CREATE TABLE t (text TEXT)").await.unwrap();
        let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
                    INSERT INTO t SELECT hex(randomblob(50)) FROM n";
        store.db.execute_unprepared(rows).await.unwrap();
        let before = size();
        let copying = Arc::clone(&store.wal.as_ref().unwrap().copying);
        store.logged(ROWS - 1);
        store.copy_log();
        drop(copying.lock().await);
        assert_eq!(size(), before, "too little was written");
        store.logged(1);
        store.copy_log();
        drop(copying.lock().await);
        assert!(size() > before + 800_000, "{} bytes before, {} after", before, size());
        store.close().await.unwrap();
    }
}
