//! What the worker writes, recorded and replayed; and when it was done.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use event_worker::state::{Recorder, Store};
use sea_orm::{ConnectionTrait, DbBackend, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait};

/// The writes of one transaction; or an index, made at the end.
pub type Transaction = Vec<Statement>;

/// Records writes.
#[derive(Default)]
pub struct Tape {
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    open: Transaction,
    committed: Vec<Transaction>,
}

impl Tape {
    /// What has been committed.
    pub fn take(&self) -> Vec<Transaction> {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut recorded.committed)
    }
}

impl Recorder for Tape {
    fn writes(&self, statement: &Statement) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.open.push(statement.clone());
    }

    fn committed(&self) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = mem::take(&mut recorded.open);
        recorded.committed.push(transaction);
    }

    fn abandoned(&self) {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).open.clear();
    }
}

/// Keeps no more than the time of the last commit and the number of failures, so that measured runs are not held up.
#[derive(Default)]
pub struct LastCommit {
    at: Mutex<Option<Instant>>,
    failed: AtomicU32,
}

impl LastCommit {
    pub fn at(&self) -> Option<Instant> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many transactions failed, and had to be done again.
    pub fn failed(&self) -> u32 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Recorder for LastCommit {
    fn writes(&self, _: &Statement) {}

    fn committed(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn abandoned(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Executes `transactions`, one after the other; returns how long that took.
pub async fn replay(store: &Store, transactions: Vec<Transaction>) -> Result<Duration> {
    let db = store.connection();
    let options = to_write(db.get_database_backend());
    let start = Instant::now();
    for statements in transactions {
        let transaction = db.begin_with_options(options).await?;
        for statement in statements {
            let is_index = statement.sql.starts_with("CREATE INDEX");
            let executed = match &statement.values {
                Some(_) => transaction.execute_raw(statement).await?,
                None => transaction.execute_unprepared(&statement.sql).await?,
            };
            ensure!(
                is_index || executed.rows_affected() > 0,
                "a replayed statement changed nothing: the tape does not fit"
            );
        }
        transaction.commit().await?;
    }
    Ok(start.elapsed())
}

/// How the worker begins a transaction.
pub fn to_write(backend: DbBackend) -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: (backend == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}
