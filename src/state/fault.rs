//! What may go wrong with a database, for trying out what happens then.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;

use sea_orm::sqlx::error::{DatabaseError, ErrorKind};
use sea_orm::{ConnectionTrait, DbErr, RuntimeErr, sqlx};

use super::{Store, StoreError};

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// Before a statement.
    Statement,
    /// Before COMMIT.
    Commit,
    /// After COMMIT, before anybody knows.
    Committed,
}

/// What goes wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is lost.
    Lost,
    /// The server has chosen this transaction to end a deadlock.
    Deadlock,
    /// It never goes on: whoever waits has to drop it, as a crash does.
    Hang,
}

impl Store {
    /// Executes a statement, before which something may go wrong.
    pub(super) async fn run(&self, db: &impl ConnectionTrait, sql: &str) -> Result<(), StoreError> {
        self.meet(Edge::Statement).await?;
        db.execute_unprepared(sql).await?;
        Ok(())
    }

    /// Lets happen what the recorder wants to happen here.
    pub(super) async fn meet(&self, edge: Edge) -> Result<(), StoreError> {
        match self.recorder.as_ref().and_then(|recorder| recorder.fault(edge)) {
            None => Ok(()),
            Some(Fault::Hang) => pending().await,
            Some(Fault::Lost) => Err(failed(sqlx::Error::Io(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "connection reset, as tried out",
            )))),
            Some(Fault::Deadlock) => Err(failed(sqlx::Error::Database(Box::new(Deadlock)))),
        }
    }
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::Db(DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error))))
}

/// As a server tells it.
#[derive(Debug)]
struct Deadlock;

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl Error for Deadlock {}

impl DatabaseError for Deadlock {
    fn message(&self) -> &'static str {
        "deadlock found, as tried out"
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some("40P01".into())
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trouble;
    use super::*;

    #[test]
    fn faults_are_taken_for_what_servers_answer() {
        let lost = failed(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()));
        assert_eq!(lost.trouble(), Trouble::Away);
        assert_eq!(failed(sqlx::Error::Database(Box::new(Deadlock))).trouble(), Trouble::Contended);
    }
}
