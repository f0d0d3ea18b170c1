//! Writing many rows with few statements.

use std::iter;

use sea_orm::sea_query::{QueryBuilder, SqliteQueryBuilder};
use sea_orm::{
    ActiveModelTrait, DbBackend, EntityTrait, IdenStatic, IntoActiveModel, Iterable, PrimaryKeyToColumn, Statement,
    StatementBuilder, Value, Values,
};

use super::tables::Tables;
use super::value::stored;
use super::{Edge, Fault, StoreError};

/// Sees every write of a commit, for benchmarks, and may let one fail, for trying out what happens then.
pub trait Recorder: Send + Sync {
    /// A statement is about to be executed.
    fn writes(&self, _statement: &Statement) {}
    /// The transaction has been committed.
    fn committed(&self) {}
    /// The transaction has failed: what it wrote is not there.
    fn abandoned(&self) {}
    /// What goes wrong here.
    fn fault(&self, _edge: Edge) -> Option<Fault> {
        None
    }
}

/// Rows in one statement: prepared ones come in few sizes, so that the server's and the driver's caches know them.
const SIZES: [usize; 4] = [64, 16, 4, 1];
/// Rows in the arrays of one statement.
const MAX_ARRAY: usize = 512;
/// Rows with long texts go in smaller statements: servers bound the size of a packet.
const MAX_BYTES: usize = 2 << 20;

/// Statements that hold their values go to the database together, up to so many bytes.
const MAX_TEXT: usize = 100_000;

/// Writes, in the order in which they are to be executed.
pub(super) struct Statements {
    backend: DbBackend,
    tables: Tables,
    statements: Vec<Statement>,
    /// Those that hold their values, as far as they are not among the others yet.
    text: String,
}

impl Statements {
    pub fn new(backend: DbBackend, tables: Tables) -> Self {
        Self { backend, tables, statements: vec![], text: String::new() }
    }

    pub fn backend(&self) -> DbBackend {
        self.backend
    }

    pub fn push(&mut self, statement: &impl StatementBuilder) {
        self.add(self.backend.build(statement));
    }

    /// Inserts rows that nobody has. A row that is there all the same fails the transaction.
    pub fn insert<E>(&mut self, rows: impl IntoIterator<Item = E::Model>) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        self.rows::<E>(rows, None)
    }

    /// Rewrites the columns `update` of rows that are known to exist.
    pub fn replace<E>(
        &mut self,
        rows: impl IntoIterator<Item = E::Model>,
        update: &[E::Column],
    ) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        self.rows::<E>(rows, Some(update))
    }

    pub fn done(mut self) -> Vec<Statement> {
        self.end_text();
        self.statements
    }

    fn rows<E>(
        &mut self,
        rows: impl IntoIterator<Item = E::Model>,
        update: Option<&[E::Column]>,
    ) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        let backend = self.backend;
        let mut rows = rows.into_iter().map(|row| values::<E>(backend, row));
        loop {
            // Not all at once: a row as values takes several times its memory.
            let mut some: Vec<_> = rows.by_ref().take(most_rows(backend)).collect();
            if some.is_empty() {
                return Ok(());
            }
            while !some.is_empty() {
                let rest = some.split_off(fitting(backend, &some));
                if backend == DbBackend::Sqlite && some.iter().flatten().all(has_literal) {
                    self.add_text::<E>(&some, update);
                } else {
                    self.add(statement::<E>(backend, self.tables, some, update)?);
                }
                some = rest;
            }
        }
    }

    fn add(&mut self, statement: Statement) {
        self.end_text();
        self.statements.push(statement);
    }

    /// `SQLite` reads values in a text faster than it is handed them one by one, and the thread of the commits has nothing to do
    /// but to hand it on.
    fn add_text<E: EntityTrait>(&mut self, rows: &[Vec<Value>], update: Option<&[E::Column]>) {
        let (before, behind) = around::<E>(self.backend, self.tables, update);
        let values = rows.iter().flatten().map(|value| bytes_of(value) + 3).sum::<usize>();
        let length = before.len() + values + behind.len();
        if self.text.len() + length > MAX_TEXT {
            self.end_text();
        }
        if self.text.is_empty() {
            // Large texts that grow are copied again and again.
            self.text.reserve(length.max(MAX_TEXT));
        } else {
            self.text.push_str(";\n");
        }
        self.text.push_str(&before);
        literals(&mut self.text, rows);
        self.text.push_str(&behind);
    }

    fn end_text(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let mut sql = std::mem::take(&mut self.text);
        // What is left of the room for more.
        sql.shrink_to_fit();
        self.statements.push(Statement { sql, values: None, db_backend: self.backend });
    }
}

/// A statement that inserts `rows`, or rewrites the columns `update` of those that are there.
pub(super) fn upsert<E>(
    backend: DbBackend,
    tables: Tables,
    rows: Vec<E::Model>,
    update: &[E::Column],
) -> Result<Statement, StoreError>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let rows: Vec<_> = rows.into_iter().map(|row| values::<E>(backend, row)).collect();
    statement::<E>(backend, tables, rows, Some(update))
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
fn fitting(backend: DbBackend, rows: &[Vec<Value>]) -> usize {
    let mut bytes = 0;
    let small = rows.iter().take_while(|row| {
        bytes += row.iter().map(bytes_of).sum::<usize>();
        bytes <= MAX_BYTES
    });
    let most = small.count().max(1);
    match backend {
        DbBackend::MySql => SIZES.into_iter().find(|size| *size <= most).unwrap_or(1),
        _ => most,
    }
}

fn most_rows(backend: DbBackend) -> usize {
    if backend == DbBackend::Postgres { MAX_ARRAY } else { SIZES[0] }
}

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::String(Some(text)) => text.len(),
        _ => size_of::<u64>(),
    }
}

/// Put together here, as a query builder has no arrays per column.
fn statement<E: EntityTrait>(
    backend: DbBackend,
    tables: Tables,
    rows: Vec<Vec<Value>>,
    update: Option<&[E::Column]>,
) -> Result<Statement, StoreError> {
    let (before, behind) = around::<E>(backend, tables, update);
    let (rows, values) = if backend == DbBackend::Postgres { unnest(rows)? } else { placeholders(rows) };
    Ok(Statement { sql: [before, rows, behind].concat(), values: Some(Values(values)), db_backend: backend })
}

/// What stands before and behind the rows of such a statement.
fn around<E: EntityTrait>(backend: DbBackend, tables: Tables, update: Option<&[E::Column]>) -> (String, String) {
    let quoted = |name: &str| if backend == DbBackend::MySql { format!("`{name}`") } else { format!("\"{name}\"") };
    let table = quoted(&tables.name::<E>());
    let columns = list(E::Column::iter().map(|column| quoted(column.as_str())));
    let conflict = match update {
        None => String::new(),
        Some(update) if backend == DbBackend::MySql => {
            let update = update.iter().map(|column| quoted(column.as_str()));
            format!(" ON DUPLICATE KEY UPDATE {}", list(update.map(|name| format!("{name} = VALUES({name})"))))
        }
        Some(update) => {
            let keys = list(E::PrimaryKey::iter().map(|key| quoted(key.into_column().as_str())));
            let update = update.iter().map(|column| quoted(column.as_str()));
            let update = list(update.map(|name| format!("{name} = excluded.{name}")));
            format!(" ON CONFLICT ({keys}) DO UPDATE SET {update}")
        }
    };
    (format!("INSERT INTO {table} ({columns}) "), conflict)
}

fn placeholders(rows: Vec<Vec<Value>>) -> (String, Vec<Value>) {
    let width = rows.first().map_or(0, Vec::len);
    let tuple = format!("({})", list(iter::repeat_n("?".to_owned(), width)));
    let tuples = list(iter::repeat_n(tuple, rows.len()));
    (format!("VALUES {tuples}"), rows.into_iter().flatten().collect())
}

/// What rows have, but for texts with NUL, at which a statement would end.
fn has_literal(value: &Value) -> bool {
    match value {
        Value::String(Some(text)) => !text.contains('\0'),
        Value::Int(_) | Value::BigInt(_) => true,
        other => !other.is_some(),
    }
}

/// The values themselves.
fn literals(text: &mut String, rows: &[Vec<Value>]) {
    text.push_str("VALUES ");
    for (at, row) in rows.iter().enumerate() {
        text.push_str(if at == 0 { "(" } else { ", (" });
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            match value {
                // Long ones make up most of it, and the builder writes them one character at a time.
                Value::String(Some(value)) => quote(text, value),
                // Into a string it cannot fail.
                value => drop(SqliteQueryBuilder.write_value(text, value)),
            }
        }
        text.push(')');
    }
}

fn quote(text: &mut String, value: &str) {
    text.push('\'');
    for (at, part) in value.split('\'').enumerate() {
        if at > 0 {
            text.push_str("''");
        }
        text.push_str(part);
    }
    text.push('\'');
}

/// An array per column, which costs `PostgreSQL` three quarters of as many values one by one. Arrays of sea-query cannot hold a
/// null, so one more array has a bit for each null of a row.
fn unnest(rows: Vec<Vec<Value>>) -> Result<(String, Vec<Value>), StoreError> {
    let width = rows.first().map_or(0, Vec::len);
    if width > 62 {
        return Err(StoreError::Refused(format!("a table of {width} columns, and 62 bits for nulls")));
    }
    let mut columns: Vec<Vec<Value>> = vec![Vec::with_capacity(rows.len()); width];
    let mut nulls = Vec::with_capacity(rows.len());
    for row in rows {
        let mut bits = 0_i64;
        for (at, value) in row.into_iter().enumerate() {
            if value.is_some() {
                columns[at].push(value);
            } else {
                bits |= 1 << at;
                columns[at].push(value.dummy_value());
            }
        }
        nulls.push(bits.into());
    }
    columns.push(nulls);
    let select = list((0..width).map(|at| format!("CASE WHEN mask & {} = 0 THEN c{at} END", 1_i64 << at)));
    let arrays = list((1..=columns.len()).map(|number| format!("${number}")));
    let names = list((0..width).map(|at| format!("c{at}")).chain(["mask".to_owned()]));
    let array = |column: Vec<Value>| Some(Value::Array(column.first()?.array_type(), Some(Box::new(column))));
    let values = columns.into_iter().filter_map(array).collect();
    Ok((format!("SELECT {select} FROM UNNEST({arrays}) AS r({names})"), values))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectOptions, ConnectionTrait, Database};

    use super::*;

    #[tokio::test]
    async fn what_stands_in_a_statement_is_what_is_stored() {
        let db = Database::connect(ConnectOptions::new("sqlite::memory:").max_connections(1).to_owned()).await.unwrap();
        let texts = ["", "it's", "'", "''; DROP TABLE t; --", "a\\'b\\", "é😀\n\t\"%?$1", "{\"a\": \"b\"};\n"];
        let numbers = [i64::MIN, -1, 0, i64::MAX];
        let rows: Vec<Vec<Value>> = texts
            .into_iter()
            .flat_map(|text| numbers.map(|number| vec![text.into(), number.into(), Value::String(None)]))
            .collect();
        db.execute_unprepared("CREATE TABLE t (text TEXT, number INTEGER, none TEXT)").await.unwrap();
        assert!(rows.iter().flatten().all(has_literal));
        assert!(!has_literal(&"a\0b".into()) && !has_literal(&1.5.into()));
        let mut sql = "INSERT INTO t ".to_owned();
        literals(&mut sql, &rows);
        sql.push_str(";\nINSERT INTO t ");
        literals(&mut sql, &rows);
        assert_eq!(db.execute_unprepared(&sql).await.unwrap().rows_affected(), 2 * rows.len() as u64);
        let all = Statement::from_string(DbBackend::Sqlite, "SELECT text, number, none FROM t ORDER BY rowid");
        let found = db.query_all_raw(all).await.unwrap();
        for (found, row) in found.iter().zip(rows.iter().chain(&rows)) {
            let (text, number): (String, i64) =
                (found.try_get_by_index(0).unwrap(), found.try_get_by_index(1).unwrap());
            assert_eq!([Value::from(text), Value::from(number)], row[..2]);
            assert_eq!(found.try_get_by_index::<Option<String>>(2).unwrap(), None);
        }
    }
}
