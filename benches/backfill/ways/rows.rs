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
        if !statement.sql.starts_with("INSERT") {
            changes.push(Change::Other(statement.clone()));
            continue;
        }
        let all = match &statement.values {
            Some(values) => vec![of_values(statement, &values.0)?],
            None => of_text(statement)?,
        };
        for rows in all {
            match changes.last_mut() {
                Some(Change::Rows(before)) if before.insert == rows.insert && before.conflict == rows.conflict => {
                    before.rows.extend(rows.rows);
                }
                _ => changes.push(Change::Rows(rows)),
            }
        }
    }
    Ok(changes)
}

fn of_values(statement: &Statement, values: &[Value]) -> Result<Rows> {
    let (insert, rest) = statement.sql.split_once(") ").context("an INSERT without columns")?;
    let conflict = rest.find(" ON ").map_or("", |at| &rest[at..]);
    let columns = insert.matches(',').count() + 1;
    let rows = match values {
        [Value::Array(..), ..] => of_arrays(values)?,
        values => values.chunks(columns).map(<[Value]>::to_vec).collect(),
    };
    Ok(Rows { backend: statement.db_backend, insert: format!("{insert})"), conflict: conflict.to_owned(), rows })
}

/// Of statements that hold their values, one after the other.
fn of_text(statement: &Statement) -> Result<Vec<Rows>> {
    let mut all = vec![];
    let mut text = statement.sql.as_str();
    while !text.is_empty() {
        let (insert, values) = text.split_once(" VALUES ").context("an INSERT without values")?;
        let mut rows = vec![];
        text = values;
        while let Some(row) = text.trim_start_matches(", ").strip_prefix('(') {
            let mut row_values = vec![];
            text = row;
            while !text.starts_with(')') {
                let (value, rest) = literal(text.trim_start_matches(','))?;
                row_values.push(value);
                text = rest;
            }
            text = &text[1..];
            rows.push(row_values);
        }
        let (conflict, rest) = text.split_once(";\n").unwrap_or((text, ""));
        let (insert, conflict) = (insert.to_owned(), conflict.to_owned());
        all.push(Rows { backend: statement.db_backend, insert, conflict, rows });
        text = rest;
    }
    Ok(all)
}

/// The first value, and what is behind it.
fn literal(text: &str) -> Result<(Value, &str)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut rest = quoted;
        loop {
            let at = rest.find('\'').context("a text that does not end")?;
            rest = &rest[at + 1..];
            match rest.strip_prefix('\'') {
                Some(more) => rest = more,
                None => break,
            }
        }
        let inner = &quoted[..quoted.len() - rest.len() - 1];
        return Ok((inner.replace("''", "'").into(), rest));
    }
    let (value, rest) = text.split_at(text.find([',', ')']).context("a row that does not end")?);
    let value = if value == "NULL" { Value::String(None) } else { value.parse::<i64>()?.into() };
    Ok((value, rest))
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
