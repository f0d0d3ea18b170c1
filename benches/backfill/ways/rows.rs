//! The rows that a recorded transaction writes, whatever statements they came in.

use anyhow::{Context, Result, bail};
use sea_orm::{DbBackend, Statement, Value};

use crate::tape::Transaction;

/// One of the changes that make up a transaction.
pub enum Change {
    /// Rows of one table.
    Rows(Rows),
    /// Anything else, as it is: checkpoints are moved one by one.
    Other(Statement),
}

/// Rows that go into one table in the same manner.
pub struct Rows {
    pub backend: DbBackend,
    /// `INSERT INTO "table" ("column", ...)`
    pub insert: String,
    /// What happens to a row that is there; empty if it must not be.
    pub conflict: String,
    /// As many values as columns.
    pub rows: Vec<Vec<Value>>,
}

impl Rows {
    pub fn columns(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }
}

/// What the statements change; those that follow one another and differ in nothing but rows become one.
pub fn changes(transaction: &Transaction) -> Result<Vec<Change>> {
    let mut changes = vec![];
    for statement in transaction {
        let Some(rows) = rows(statement)? else {
            changes.push(Change::Other(statement.clone()));
            continue;
        };
        match changes.last_mut() {
            Some(Change::Rows(before)) if before.insert == rows.insert && before.conflict == rows.conflict => {
                before.rows.extend(rows.rows);
            }
            _ => changes.push(Change::Rows(rows)),
        }
    }
    Ok(changes)
}

fn rows(statement: &Statement) -> Result<Option<Rows>> {
    let Some((insert, rest)) = statement.sql.split_once(") ").filter(|(sql, _)| sql.starts_with("INSERT")) else {
        return Ok(None);
    };
    let conflict = rest.find(" ON ").map_or("", |at| &rest[at..]);
    let columns = insert.matches(',').count() + 1;
    let values = statement.values.as_ref().context("an INSERT without values")?;
    let rows = match values.0.as_slice() {
        [Value::Array(..), ..] => of_arrays(&values.0)?,
        values => values.chunks(columns).map(<[Value]>::to_vec).collect(),
    };
    Ok(Some(Rows { backend: statement.db_backend, insert: format!("{insert})"), conflict: conflict.to_owned(), rows }))
}

/// An array per column, and one that has a bit for each null.
fn of_arrays(arrays: &[Value]) -> Result<Vec<Vec<Value>>> {
    let arrays = arrays.iter().map(|array| match array {
        Value::Array(_, Some(values)) => Ok(values.as_slice()),
        other => bail!("{other:?} among arrays"),
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let (nulls, columns) = arrays.split_last().context("no array")?;
    let row = |(at, nulls): (usize, &Value)| {
        let Value::BigInt(Some(nulls)) = nulls else { bail!("{nulls:?} is no mask") };
        let value = |(bit, column): (usize, &&[Value])| {
            if nulls & (1 << bit) == 0 { column[at].clone() } else { column[at].as_null() }
        };
        Ok(columns.iter().enumerate().map(value).collect())
    };
    nulls.iter().enumerate().map(row).collect()
}
