//! Other ways to the same rows, in the same transactions, with what the driver offers.
//!
//! Tried and dropped, as they never came near the best: one text with all statements of a transaction, JSON taken apart by the
//! server, arrays as text, and COPY into a temporary table for rows that may be there. `LOAD DATA LOCAL` is not to be had from
//! the driver.

mod contents;
mod play;
mod rows;

use std::fmt;
use std::iter;

use anyhow::{Result, bail};
use sea_orm::{DbBackend, Statement, Value, Values};

use crate::tape::Transaction;
pub use contents::contents;
pub use play::{Step, play};
use rows::{Change, Rows};

/// How rows get into a table.
#[derive(Clone, Copy)]
pub enum Way {
    /// Prepared statements of up to so many rows.
    Prepared(usize),
    /// Statements that hold their values, of up to so many rows.
    Text(usize),
    /// `PostgreSQL`: an array per column.
    Unnest,
    /// `PostgreSQL`: COPY for new rows, arrays for those that may be there.
    Copy,
}

impl Way {
    /// Those that come near the best; or all.
    pub fn of(backend: DbBackend, all: bool) -> &'static [Self] {
        use Way::{Copy, Prepared, Text, Unnest};
        let (ways, strong): (&[Self], _) = match backend {
            DbBackend::Postgres => {
                (&[Unnest, Prepared(64), Prepared(1000), Text(256), Copy, Prepared(256), Prepared(1)], 2)
            }
            DbBackend::MySql => {
                (&[Prepared(256), Text(256), Prepared(16), Prepared(64), Prepared(1000), Text(1000), Prepared(1)], 2)
            }
            _ => (&[Text(64), Prepared(16), Prepared(64), Prepared(256), Prepared(1000), Prepared(1)], 2),
        };
        if all { ways } else { &ways[..strong] }
    }

    /// What it takes to write `transactions` in this way.
    pub fn plan(self, transactions: &[Transaction]) -> Result<Vec<Vec<Step>>> {
        transactions.iter().map(|transaction| self.steps(transaction)).collect()
    }

    fn steps(self, transaction: &Transaction) -> Result<Vec<Step>> {
        let mut steps = vec![];
        for change in rows::changes(transaction)? {
            match change {
                Change::Other(statement) => steps.push(Step::Prepared(statement)),
                Change::Rows(rows) => steps.extend(self.write(&rows)?),
            }
        }
        Ok(steps)
    }

    fn write(self, rows: &Rows) -> Result<Vec<Step>> {
        Ok(match self {
            Self::Prepared(most) => prepared(rows, most),
            Self::Text(most) => rows.rows.chunks(most).map(|chunk| text(rows, chunk)).collect(),
            Self::Copy if rows.conflict.is_empty() => vec![copy(rows)?],
            Self::Copy | Self::Unnest => vec![unnest(rows)],
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepared(rows) => write!(f, "prepared {rows}"),
            Self::Text(rows) => write!(f, "text {rows}"),
            Self::Unnest => f.write_str("unnest"),
            Self::Copy => f.write_str("copy"),
        }
    }
}

/// In few sizes, each a quarter of the one before.
fn prepared(rows: &Rows, most: usize) -> Vec<Step> {
    let mut steps = vec![];
    let mut left = rows.rows.as_slice();
    while !left.is_empty() {
        let mut sizes = iter::successors(Some(most), |size| Some((size / 4).max(1)));
        let size = sizes.find(|size| *size <= left.len()).unwrap_or(1);
        let (chunk, rest) = left.split_at(size);
        left = rest;
        let mut numbers = 1..;
        let mut mark = || match rows.backend {
            DbBackend::Postgres => format!("${}", numbers.next().unwrap_or(0)),
            _ => "?".to_owned(),
        };
        let tuples: Vec<_> = chunk.iter().map(|row| tuple(row.iter().map(|_| mark()))).collect();
        let sql = format!("{} VALUES {}{}", rows.insert, tuples.join(", "), rows.conflict);
        let values = chunk.iter().flatten().cloned().collect();
        steps.push(Step::Prepared(Statement { sql, values: Some(Values(values)), db_backend: rows.backend }));
    }
    steps
}

fn text(rows: &Rows, chunk: &[Vec<Value>]) -> Step {
    let tuples: Vec<_> = chunk.iter().map(|row| tuple(row.iter().map(|value| literal(rows.backend, value)))).collect();
    Step::Text(format!("{} VALUES {}{}", rows.insert, tuples.join(", "), rows.conflict))
}

fn tuple(items: impl Iterator<Item = String>) -> String {
    format!("({})", items.collect::<Vec<_>>().join(", "))
}

fn literal(backend: DbBackend, value: &Value) -> String {
    match value {
        // MariaDB's times have no zone.
        Value::ChronoDateTimeUtc(Some(time)) if backend == DbBackend::MySql => {
            time.format("'%Y-%m-%d %H:%M:%S%.6f'").to_string()
        }
        value => {
            let mark = if backend == DbBackend::Postgres { "$1" } else { "?" };
            Statement::from_sql_and_values(backend, mark, [value.clone()]).to_string()
        }
    }
}

fn unnest(rows: &Rows) -> Step {
    let columns: Vec<Vec<_>> =
        (0..rows.columns()).map(|column| rows.rows.iter().map(|row| row[column].clone()).collect()).collect();
    let arrays = tuple((1..=columns.len()).map(|number| format!("${number}")));
    Step::Arrays(format!("{} SELECT * FROM UNNEST{arrays}{}", rows.insert, rows.conflict), columns)
}

fn copy(rows: &Rows) -> Result<Step> {
    let mut data = String::new();
    for row in &rows.rows {
        let fields = row.iter().map(field).collect::<Result<Vec<_>>>()?;
        data.push_str(&fields.join("\t"));
        data.push('\n');
    }
    let table = rows.insert.trim_start_matches("INSERT INTO ");
    Ok(Step::Copy(format!("COPY {table} FROM STDIN"), data.into_bytes()))
}

/// As the text format of COPY has it.
fn field(value: &Value) -> Result<String> {
    let field = match value {
        Value::Int(number) => number.map(|number| number.to_string()),
        Value::BigInt(number) => number.map(|number| number.to_string()),
        Value::BigDecimal(number) => number.as_ref().map(|number| number.to_plain_string()),
        Value::ChronoDateTimeUtc(time) => time.map(|time| time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()),
        Value::String(text) => text
            .as_ref()
            .map(|text| text.replace('\\', r"\\").replace('\n', r"\n").replace('\r', r"\r").replace('\t', r"\t")),
        other => bail!("no table has {other:?}"),
    };
    Ok(field.unwrap_or_else(|| r"\N".to_owned()))
}
