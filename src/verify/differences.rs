//! What is not as it should be: how much, and the first of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The tables that are compared, in the order of the report. `sample` is what a node answers.
pub const TABLES: [&str; 10] = [
    "events",
    "activities",
    "dead_letters",
    "checkpoints",
    "markets",
    "orders",
    "offers",
    "tokens",
    "collections",
    "sample",
];

/// A row's primary key: a name, and a number where there is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub String, pub Option<i64>);

impl Key {
    pub fn of(name: impl Into<String>) -> Self {
        Self(name.into(), None)
    }

    pub fn at(name: impl Into<String>, number: i64) -> Self {
        Self(name.into(), Some(number))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(number) => write!(f, "{} {number}", self.0),
            None => f.write_str(&self.0),
        }
    }
}

/// One column, or a whole row (`column` is null, and so is what is not there).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub table: &'static str,
    pub key: String,
    pub column: Option<String>,
    pub expected: Value,
    pub actual: Value,
}

/// Counts all differences, and keeps those of each table that come first by key.
#[derive(Debug, Default)]
pub struct Differences {
    kept_per_table: usize,
    tables: BTreeMap<&'static str, Table>,
}

#[derive(Debug, Default)]
struct Table {
    rows: u64,
    differences: u64,
    kept: BTreeMap<(Key, Option<String>), (Value, Value)>,
}

/// A table of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    pub table: &'static str,
    pub rows: u64,
    pub differences: u64,
}

impl Differences {
    pub fn new(kept_per_table: usize) -> Self {
        Self { kept_per_table, tables: BTreeMap::new() }
    }

    /// So many rows have been compared.
    pub fn compared(&mut self, table: &'static str, rows: usize) {
        self.table(table).rows += rows as u64;
    }

    /// One column, or with none a whole row, is not as expected.
    pub fn add(
        &mut self,
        table: &'static str,
        key: Key,
        column: Option<&str>,
        expected: impl Into<Value>,
        actual: impl Into<Value>,
    ) {
        let most = self.kept_per_table;
        let of_table = self.table(table);
        of_table.differences += 1;
        of_table.kept.insert((key, column.map(str::to_owned)), (expected.into(), actual.into()));
        if of_table.kept.len() > most {
            of_table.kept.pop_last();
        }
    }

    /// Each column in which two rows differ; `None` is no row.
    pub fn rows<M: Serialize>(&mut self, table: &'static str, key: &Key, expected: Option<&M>, actual: Option<&M>) {
        let (expected, actual) = (json(expected), json(actual));
        let (Value::Object(expected), Value::Object(actual)) = (&expected, &actual) else {
            return self.add(table, key.clone(), None, expected, actual);
        };
        for (column, expected) in expected {
            let found = actual.get(column).cloned().unwrap_or_default();
            if *expected != found {
                self.add(table, key.clone(), Some(column), expected.clone(), found);
            }
        }
    }

    pub fn total(&self) -> u64 {
        self.tables.values().map(|table| table.differences).sum()
    }

    pub fn tables(&self) -> Vec<Compared> {
        let of = |table| {
            let Table { rows, differences, .. } = self.tables.get(table)?;
            Some(Compared { table, rows: *rows, differences: *differences })
        };
        TABLES.into_iter().filter_map(of).collect()
    }

    /// Those that are kept, by table and key.
    pub fn into_first(mut self) -> Vec<Difference> {
        let of = |table| self.tables.remove(table).into_iter().flat_map(move |found| with_table(table, found));
        TABLES.into_iter().flat_map(of).collect()
    }

    fn table(&mut self, table: &'static str) -> &mut Table {
        self.tables.entry(table).or_default()
    }
}

fn with_table(table: &'static str, found: Table) -> impl Iterator<Item = Difference> {
    found.kept.into_iter().map(move |((key, column), (expected, actual))| Difference {
        table,
        key: key.to_string(),
        column,
        expected,
        actual,
    })
}

fn json<M: Serialize>(row: Option<&M>) -> Value {
    // Rows are plain structs of texts and numbers.
    serde_json::to_value(row).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_by_key_are_kept_whenever_they_come() {
        let mut differences = Differences::new(2);
        for number in [10, 9, 2, 11] {
            differences.add("events", Key::at("a", number), Some("version"), 1, 2);
        }
        differences.compared("events", 7);
        assert_eq!(differences.total(), 4);
        assert_eq!(differences.tables(), [Compared { table: "events", rows: 7, differences: 4 }]);
        let keys: Vec<_> = differences.into_first().into_iter().map(|difference| difference.key).collect();
        assert_eq!(keys, ["a 2", "a 9"]);
    }

    #[test]
    fn rows_differ_by_column_or_as_a_whole() {
        #[derive(Serialize)]
        struct Row {
            a: u8,
            b: Option<u8>,
        }
        let mut differences = Differences::new(9);
        let (one, other) = (Row { a: 1, b: None }, Row { a: 1, b: Some(2) });
        differences.rows("orders", &Key::of("x"), Some(&one), Some(&other));
        differences.rows("orders", &Key::of("y"), None, Some(&one));
        let first = differences.into_first();
        assert_eq!(
            (first[0].column.as_deref(), &first[0].expected, &first[0].actual),
            (Some("b"), &Value::Null, &2.into())
        );
        assert_eq!(
            (first[1].column.as_deref(), &first[1].expected, &first[1].actual["a"]),
            (None, &Value::Null, &1.into())
        );
    }
}
