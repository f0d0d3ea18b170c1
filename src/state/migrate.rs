//! Bringing the schema up to date: safe for several processes at once, and after a kill at any statement.

use migration::{MIGRATIONS_TABLE, Migrator, MigratorTrait, TABLES};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement, TransactionTrait};

use super::{Store, StoreError};

/// One change of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its name, which sorts by age.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

impl Store {
    /// All migrations that this program knows, oldest first. Refuses a database that is not ours or newer than we are.
    pub async fn migrations(&self) -> Result<Vec<Migration>, StoreError> {
        let applied = applied(&self.db).await?;
        let known: Vec<_> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        if let Some(newer) = applied.iter().find(|name| !known.contains(name)) {
            return Err(StoreError::Refused(format!(
                "the database's schema is newer than this program: it has the migration {newer}; use the event-worker that made it, or a newer one"
            )));
        }
        Ok(known.into_iter().map(|name| Migration { applied: applied.contains(&name), name }).collect())
    }

    /// Refuses a database whose schema is not exactly this program's; for commands that only read.
    pub async fn require_schema(&self) -> Result<(), StoreError> {
        match self.migrations().await?.iter().find(|migration| !migration.applied) {
            None => Ok(()),
            Some(missing) => Err(StoreError::Refused(format!(
                "the database lacks the migration {}: run `event-worker migrate up` (or start the worker once)",
                missing.name
            ))),
        }
    }

    /// Applies what is missing; returns how many migrations that were. A schema up to date is only read.
    pub async fn migrate_up(&self) -> Result<usize, StoreError> {
        let missing = self.migrations().await?.iter().filter(|migration| !migration.applied).count();
        if missing > 0 {
            let transaction = self.locked().await?;
            // Another process may have been first: what is left to do is read again, under the lock.
            let result = Migrator::up(&transaction, None).await;
            self.unlock(transaction, result).await?;
        }
        Ok(missing)
    }

    /// The same for whoever is going to fill the database: a new one is left without the indexes that only readers
    /// need, until [`Store::make_index`].
    pub async fn migrate_up_to_fill(&self) -> Result<usize, StoreError> {
        let is_new = applied(&self.db).await?.is_empty();
        let missing = self.migrate_up().await?;
        if is_new {
            self.drop_indexes().await?;
        }
        Ok(missing)
    }

    /// Takes back the newest `steps` migrations; returns how many were applied.
    pub async fn migrate_down(&self, steps: u32) -> Result<usize, StoreError> {
        let applied = self.migrations().await?.iter().filter(|migration| migration.applied).count();
        if applied > 0 {
            let transaction = self.locked().await?;
            let result = Migrator::down(&transaction, Some(steps)).await;
            self.unlock(transaction, result).await?;
        }
        Ok(applied.min(usize::try_from(steps).unwrap_or(usize::MAX)))
    }

    /// One connection that no other migration runs beside. The lock ends with the connection, however that ends.
    async fn locked(&self) -> Result<DatabaseTransaction, StoreError> {
        let transaction = self.db.begin_with_options(self.to_write()).await?;
        let lock = match self.backend {
            DbBackend::MySql => {
                Some("SELECT CAST(GET_LOCK(CONCAT('event-worker ', MD5(DATABASE())), 60) AS CHAR) AS taken")
            }
            DbBackend::Postgres => {
                // Making an index of a large table takes longer than others wait for a lock.
                transaction.execute_unprepared("SET LOCAL lock_timeout = '60s'").await?;
                Some("SELECT pg_advisory_xact_lock(7362951840)")
            }
            // BEGIN IMMEDIATE is the lock.
            _ => None,
        };
        if let Some(lock) = lock {
            let row = transaction.query_one_raw(Statement::from_string(self.backend, lock)).await?;
            let taken = row.and_then(|row| row.try_get::<String>("", "taken").ok());
            if self.backend == DbBackend::MySql && taken.as_deref() != Some("1") {
                return Err(StoreError::Unreachable(
                    "another process has been migrating this database for 60 s".to_owned(),
                ));
            }
        }
        Ok(transaction)
    }

    async fn unlock(
        &self,
        transaction: DatabaseTransaction,
        result: Result<(), sea_orm::DbErr>,
    ) -> Result<(), StoreError> {
        if self.backend == DbBackend::MySql {
            let release = "SELECT RELEASE_LOCK(CONCAT('event-worker ', MD5(DATABASE())))";
            transaction.query_one_raw(Statement::from_string(self.backend, release)).await?;
        }
        match result {
            Ok(()) => Ok(transaction.commit().await?),
            Err(error) => {
                transaction.rollback().await?;
                Err(error.into())
            }
        }
    }
}

/// The names of applied migrations; none in an empty database.
async fn applied(db: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let tables = tables(db).await?;
    if tables.iter().any(|table| table == MIGRATIONS_TABLE) {
        return names(db, &format!("SELECT version AS name FROM {MIGRATIONS_TABLE}")).await;
    }
    match TABLES.iter().find(|table| tables.iter().any(|other| other == *table)) {
        None => Ok(vec![]),
        Some(table) => Err(StoreError::Refused(format!(
            "the database already has a table {table} that is not event-worker's: give event-worker a database of its own (DATABASE_URL)"
        ))),
    }
}

/// The names of all tables, whosever they are.
pub(super) async fn tables(db: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let query = match db.get_database_backend() {
        DbBackend::MySql => "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()",
        DbBackend::Postgres => {
            "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = current_schema()"
        }
        _ => "SELECT name FROM sqlite_master WHERE type = 'table'",
    };
    names(db, query).await
}

async fn names(db: &impl ConnectionTrait, query: &str) -> Result<Vec<String>, StoreError> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), query)).await?;
    Ok(rows.iter().map(|row| row.try_get("", "name")).collect::<Result<_, _>>()?)
}
