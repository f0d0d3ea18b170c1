//! Making it true: the tables, and the one transaction in which events, rows and checkpoints are committed together.
//! The only module that knows SQL.

mod commit;
mod connect;
#[doc(hidden)] // For verifying, and for benchmarks that write the same rows in other ways.
pub mod convert;
pub mod entities;
mod error;
mod fault;
mod import;
mod indexes;
mod inspect;
mod lease;
mod letters;
mod load;
mod mapping;
mod merge;
mod migrate;
mod order;
mod plan;
mod pool;
mod progress;
mod query;
mod rebuild;
mod reordered;
mod sandbox;
mod share;
mod stored;
mod tables;
mod snapshot;
mod url;
mod value;
mod wal;
mod write;

pub use commit::{Committed, Executed, Slice};
pub use error::{StoreError, Trouble};
pub use fault::{Edge, Fault};
pub use import::{Effects, Import, Imported, ImportedCollection, ImportedToken};
pub use indexes::Index;
pub use inspect::ServerSetting;
pub use lease::{Leases, Wants};
pub use letters::{Handled, Letter, LetterFilter, LetterKey, LetterState};
pub use migrate::Migration;
pub use order::{Orders, Unordered};
pub use plan::{After, Plan};
pub use progress::{Checkpoint, ObserverReport, SET_START, Start};
pub use query::{Filter, Floor, Overview, Parked};
pub use rebuild::{Rebuild, Swap};
pub use snapshot::{Chunk, Snapshot};
pub use stored::StoredEvents;
pub use url::DatabaseUrl;
pub use value::{at, now};
pub use write::Recorder;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbBackend, SqliteTransactionMode, TransactionOptions};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::chain::SeqNo;
use pool::Pool;
use tables::Tables;
use wal::Wal;

/// A connected database.
#[derive(Clone)]
pub struct Store {
    db: DatabaseConnection,
    /// For commits alone: its caches know the few statements and the newest pages.
    commits: Pool,
    /// One connection, for reading what the next commit is about.
    reads: Pool,
    backend: DbBackend,
    recorder: Option<Arc<dyn Recorder>>,
    /// Whose turn it is to write on `SQLite`, which has one writer at a time and lets whoever asks again first have it: a lease
    /// would not be renewed beside commits that follow one another.
    turns: Option<Arc<Mutex<()>>>,
    /// What `SQLite` has still to copy from its log.
    wal: Option<Arc<Wal>>,
    tables: Tables,
    /// Events that are executed as if they were not there, by observer and number: a rebuild's, which somebody has discarded.
    left_out: Arc<BTreeSet<(Arc<str>, SeqNo)>>,
}

impl Store {
    /// Shows every write of later commits to `recorder`.
    #[must_use]
    pub fn recorded(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The connection, for tests and benchmarks that look at tables directly.
    #[must_use]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Closes all connections.
    pub async fn close(self) -> Result<(), StoreError> {
        /// One that was given up in the middle of something may never be done with it.
        const PATIENCE: Duration = Duration::from_secs(2);
        for pool in [self.commits.now(), self.reads.now(), self.db] {
            if let Ok(closed) = timeout(PATIENCE, pool.close()).await {
                closed?;
            }
        }
        Ok(())
    }

    /// How many bytes of events a worker may hold, so that it stays within 64 MB with what the database's driver needs itself.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.backend {
            DbBackend::MySql => 15 << 20,
            DbBackend::Sqlite => 9 << 20,
            _ => 12 << 20,
        }
    }

    /// How many events go into one transaction, but for the last version's: more are faster, and need more memory.
    #[must_use]
    pub fn batch(&self) -> usize {
        match self.backend {
            DbBackend::Sqlite => 1_500,
            _ => 1_000,
        }
    }

    /// How a transaction begins that will write.
    fn to_write(&self) -> TransactionOptions {
        TransactionOptions {
            // One that reads first and then writes would fail as busy, whatever the timeout.
            sqlite_transaction_mode: (self.backend == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        }
    }

    /// Waits for this process's turn to write.
    async fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        match &self.turns {
            Some(turns) => Some(Arc::clone(turns).lock_owned().await),
            None => None,
        }
    }

    fn new(db: DatabaseConnection, commits: Pool, reads: Pool) -> Self {
        let backend = db.get_database_backend();
        let is_sqlite = backend == DbBackend::Sqlite;
        Self {
            db,
            commits,
            reads,
            backend,
            recorder: None,
            turns: is_sqlite.then(Arc::default),
            wal: is_sqlite.then(Arc::default),
            tables: Tables::Live,
            left_out: Arc::default(),
        }
    }
}
