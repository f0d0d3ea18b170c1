//! Tables as text, the same from every database, and their comparison.
//!
//! Amounts are decimal, times UTC with microseconds. Columns that tell when the worker did something, and those that only
//! it understands, are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

/// A row: column to text.
pub type Row = BTreeMap<&'static str, Option<String>>;
/// Table to primary key to row.
pub type Tables = BTreeMap<&'static str, BTreeMap<Vec<String>, Row>>;

/// A row of these columns.
pub fn row<const N: usize>(columns: [(&'static str, Option<String>); N]) -> Row {
    columns.into()
}

struct Table {
    name: &'static str,
    key: &'static [&'static str],
    text: &'static [&'static str],
    whole: &'static [&'static str],
    amounts: &'static [&'static str],
    times: &'static [&'static str],
}

#[rustfmt::skip]
const TABLES: [Table; 7] = [
    Table {
        name: "checkpoints",
        key: &["observer"],
        text: &["observer"],
        whole: &["executed_seq_no", "executed_version", "events_total"],
        amounts: &[],
        times: &[],
    },
    Table {
        name: "events",
        key: &["observer", "seq_no"],
        text: &["observer", "event_type", "account_address", "data"],
        whole: &["seq_no", "version", "event_index", "creation_number"],
        amounts: &[],
        times: &["occurred_at"],
    },
    Table {
        name: "orders",
        key: &["order_id"],
        text: &["order_id", "market", "order_key", "collection_id", "collection_name", "creator", "token_id", "token_name",
            "seller", "buyer", "currency", "status", "last_observer"],
        whole: &["property_version", "listed_version", "closed_version", "last_seq_no", "last_version", "last_event_index"],
        amounts: &["price", "quantity", "remaining_quantity", "sale_price"],
        times: &["listed_at", "closed_at"],
    },
    Table {
        name: "offers",
        key: &["offer_id"],
        text: &["offer_id", "market", "offer_key", "scope", "collection_id", "collection_name", "creator", "token_id",
            "token_name", "offerer", "acceptor", "currency", "status", "last_observer"],
        whole: &["property_version", "opened_version", "closed_version", "last_seq_no", "last_version", "last_event_index"],
        amounts: &["price", "quantity", "remaining_quantity"],
        times: &["expires_at", "opened_at", "closed_at"],
    },
    Table {
        name: "activities",
        key: &["observer", "seq_no"],
        text: &["observer", "market", "kind", "order_id", "offer_id", "collection_id", "collection_name", "creator",
            "token_id", "token_name", "from_address", "to_address", "currency"],
        whole: &["seq_no", "version", "event_index", "property_version"],
        amounts: &["price", "quantity", "total", "royalty", "fee"],
        times: &["occurred_at"],
    },
    Table {
        name: "collections",
        key: &["collection_id"],
        text: &["collection_id", "creator", "name", "description", "uri", "standard", "metadata"],
        whole: &["created_version"],
        amounts: &["supply", "maximum"],
        times: &[],
    },
    Table {
        name: "tokens",
        key: &["token_id", "property_version"],
        text: &["token_id", "collection_id", "creator", "collection_name", "name", "description", "uri", "owner",
            "metadata"],
        whole: &["property_version", "created_version", "owner_version"],
        amounts: &["supply", "maximum"],
        times: &[],
    },
];

/// What handles do not tell, and is asked for only where it is needed: where the plain fold knows nothing, anything is right.
/// Tests that compare what was read in several ways look at it.
const ONLY_SOME_TELL: [&str; 3] = ["event_index", "last_event_index", "occurred_at"];

/// All tables as they are now.
pub async fn read(db: &DatabaseConnection) -> Tables {
    let mut tables = Tables::new();
    for table in &TABLES {
        tables.insert(table.name, table.read(db).await);
    }
    tables
}

/// Only what folding owns.
pub fn folded_alone(tables: &Tables) -> Tables {
    /// Columns that importing owns, once it has been there.
    const IMPORTED: [&str; 5] = ["description", "uri", "supply", "maximum", "metadata"];
    let mut tables = tables.clone();
    for table in ["collections", "tokens"] {
        for row in tables.get_mut(table).unwrap().values_mut() {
            row.retain(|column, _| !IMPORTED.contains(column));
        }
    }
    tables
}

/// Panics with the first few differences, if there are any. `what` tells which run this was, with its seed.
pub fn assert_equal(expected: &Tables, actual: &Tables, what: &str) {
    const SHOWN: usize = 12;
    let mut differences = vec![];
    for (table, expected) in expected {
        let actual = &actual[table];
        let keys: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
        for key in keys {
            match (expected.get(key), actual.get(key)) {
                (Some(_), None) => differences.push(format!("{table} {key:?}: the row is missing")),
                (None, Some(_)) => differences.push(format!("{table} {key:?}: the row should not be there")),
                (Some(expected), Some(actual)) => differences.extend(different_columns(table, key, expected, actual)),
                (None, None) => unreachable!("the key comes from one of both"),
            }
        }
    }
    if !differences.is_empty() {
        let mut message = format!("{what}: {} differences from the plain fold:", differences.len());
        for difference in differences.iter().take(SHOWN) {
            let _ = write!(message, "\n  {difference}");
        }
        panic!("{message}");
    }
}

fn different_columns(table: &str, key: &[String], expected: &Row, actual: &Row) -> Vec<String> {
    let columns: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    // Whether an event's place was asked for depends on what was stored when it came: where a later event has had the last word
    // on a token, nobody needs it.
    let is_open = |column: &str| {
        let untold = [expected.get(column), actual.get(column).filter(|_| column.ends_with("event_index"))];
        ONLY_SOME_TELL.contains(&column) && untold.contains(&Some(&None))
    };
    let differs = |column: &&&str| expected.get(**column) != actual.get(**column) && !is_open(column);
    let different = columns.into_iter().filter(differs);
    let shown = |row: &Row, column: &str| match row.get(column) {
        None => "(not read)".to_owned(),
        Some(value) => value.as_ref().map_or_else(|| "null".to_owned(), |text| format!("{text:?}")),
    };
    different
        .map(|column| {
            let (expected, actual) = (shown(expected, column), shown(actual, column));
            format!("{table} {key:?} {column}: expected {expected}, found {actual}")
        })
        .collect()
}

impl Table {
    async fn read(&self, db: &DatabaseConnection) -> BTreeMap<Vec<String>, Row> {
        let backend = db.get_database_backend();
        let columns: Vec<(&'static str, String)> = [
            self.text.iter().map(|name| (*name, (*name).to_owned())).collect::<Vec<_>>(),
            self.whole.iter().map(|name| (*name, number_as_text(backend, name))).collect(),
            self.amounts.iter().map(|name| (*name, number_as_text(backend, name))).collect(),
            self.times.iter().map(|name| (*name, time_as_text(backend, name))).collect(),
        ]
        .concat();
        let list: Vec<String> = columns.iter().map(|(name, sql)| format!("{sql} AS {name}")).collect();
        let query = format!("SELECT {} FROM {}", list.join(", "), self.name);
        let found = db.query_all_raw(Statement::from_string(backend, query)).await;
        let found = found.unwrap_or_else(|error| panic!("cannot read {}: {error}", self.name));
        let mut rows = BTreeMap::new();
        for found in found {
            let mut row = Row::new();
            for (name, _) in &columns {
                let value: Option<String> = found.try_get("", name).unwrap();
                let value = value.map(|text| if self.amounts.contains(name) { unpadded(&text) } else { text });
                row.insert(*name, value);
            }
            let key: Vec<String> = self.key.iter().map(|name| row[name].clone().unwrap_or_default()).collect();
            let before = rows.insert(key.clone(), row);
            assert!(before.is_none(), "{} has {key:?} twice", self.name);
        }
        rows
    }
}

fn number_as_text(backend: DbBackend, name: &str) -> String {
    match backend {
        DbBackend::MySql => format!("CAST({name} AS CHAR)"),
        _ => format!("CAST({name} AS TEXT)"),
    }
}

fn time_as_text(backend: DbBackend, name: &str) -> String {
    match backend {
        DbBackend::MySql => format!("DATE_FORMAT({name}, '%Y-%m-%d %H:%i:%s.%f')"),
        DbBackend::Postgres => format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
        _ => name.to_owned(),
    }
}

/// SQLite holds numbers beyond 2^63-1 as text with leading zeros.
fn unpadded(amount: &str) -> String {
    match amount.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}
