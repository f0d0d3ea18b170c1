//! Writing many rows with few statements.

use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{
    ActiveModelTrait, DbBackend, EntityTrait, IntoActiveModel, Iterable, Statement, StatementBuilder, Value,
};

use super::StoreError;
use super::value::stored;

/// Sees every write of a commit, for benchmarks.
pub trait Recorder: Send + Sync {
    /// A statement is about to be executed.
    fn writes(&self, statement: &Statement);
    /// The transaction has been committed.
    fn committed(&self);
    /// The transaction has failed: what it wrote is not there.
    fn abandoned(&self) {}
}

/// Statements come in few sizes, so that the server's and the driver's caches know them.
const SIZES: [usize; 5] = [256, 64, 16, 4, 1];
/// Rows with long texts go in smaller statements: servers bound the size of a packet.
const MAX_BYTES: usize = 2 << 20;

/// Writes, in the order in which they are to be executed.
pub(super) struct Statements {
    backend: DbBackend,
    statements: Vec<Statement>,
}

impl Statements {
    pub fn new(backend: DbBackend) -> Self {
        Self { backend, statements: vec![] }
    }

    pub fn push(&mut self, statement: &impl StatementBuilder) {
        self.statements.push(self.backend.build(statement));
    }

    /// Inserts rows that nobody has. A row that is there all the same fails the transaction.
    pub fn insert<E>(&mut self, rows: Vec<E::Model>) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        self.rows::<E>(rows, None)
    }

    /// Rewrites the columns `update` of rows that are known to exist.
    pub fn replace<E>(&mut self, rows: Vec<E::Model>, update: &[E::Column]) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        self.rows::<E>(rows, Some(update))
    }

    pub fn done(self) -> Vec<Statement> {
        self.statements
    }

    fn rows<E>(&mut self, rows: Vec<E::Model>, update: Option<&[E::Column]>) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        let mut rows: Vec<_> = rows.into_iter().map(|row| values::<E>(self.backend, row)).collect();
        while !rows.is_empty() {
            let rest = rows.split_off(fitting(&rows));
            self.statements.push(statement::<E>(self.backend, rows, update)?);
            rows = rest;
        }
        Ok(())
    }
}

/// A statement that inserts `rows`, or rewrites the columns `update` of those that are there.
pub(super) fn upsert<E>(backend: DbBackend, rows: Vec<E::Model>, update: &[E::Column]) -> Result<Statement, StoreError>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let rows: Vec<_> = rows.into_iter().map(|row| values::<E>(backend, row)).collect();
    statement::<E>(backend, rows, Some(update))
}

fn values<E>(backend: DbBackend, row: E::Model) -> Vec<Value>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let mut row = row.into_active_model();
    E::Column::iter().filter_map(|column| row.take(column).into_value()).map(|value| stored(backend, value)).collect()
}

/// How many of the first rows go into one statement.
fn fitting(rows: &[Vec<Value>]) -> usize {
    let mut bytes = 0;
    let small = rows.iter().take_while(|row| {
        bytes += row.iter().map(bytes_of).sum::<usize>();
        bytes <= MAX_BYTES
    });
    let most = small.count().max(1);
    SIZES.into_iter().find(|size| *size <= most).unwrap_or(1)
}

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::String(Some(text)) => text.len(),
        _ => size_of::<u64>(),
    }
}

fn statement<E: EntityTrait>(
    backend: DbBackend,
    rows: Vec<Vec<Value>>,
    update: Option<&[E::Column]>,
) -> Result<Statement, StoreError> {
    let mut insert = Query::insert();
    insert.into_table(E::default()).columns(E::Column::iter());
    for row in rows {
        let row = row.into_iter().map(Expr::value);
        insert.values(row).map_err(|error| StoreError::Refused(error.to_string()))?;
    }
    if let Some(update) = update {
        insert
            .on_conflict(OnConflict::columns(E::PrimaryKey::iter()).update_columns(update.iter().copied()).to_owned());
    }
    Ok(backend.build(&insert))
}
