//! What verifying has found, for people and for scripts.

use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::differences::{Compared, Difference};
use super::stream::{DeadLetter, Letters};
use crate::chain::{ChainId, Timestamp};
use crate::telemetry::table::{shortened, table};

/// The completeness certificate. Its JSON has these names; add freely, rename nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Nothing is missing, and nothing differs.
    pub verified: bool,
    /// Whether that is said of all rows: otherwise a note says what was left out.
    pub complete: bool,
    /// Of event-worker.
    pub version: &'static str,
    /// The chain of the stored events; null before the first.
    pub chain_id: Option<ChainId>,
    /// The moment that the database was read as of, UTC.
    pub snapshot_at: Timestamp,
    pub markets: Vec<Market>,
    pub streams: Vec<Stream>,
    pub tables: Vec<Compared>,
    /// How many columns and whole rows differ.
    pub difference_count: u64,
    /// The first of each table.
    pub differences: Vec<Difference>,
    /// Events that are set aside, not folded: the first of each stream. That there are some is no difference.
    pub dead_letters: Vec<DeadLetter>,
    /// Null if none was asked for.
    pub sample: Option<Sample>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// A verified market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Market {
    pub market: String,
    pub address: String,
    /// Transitions that no rule book allows, as folding counts them.
    pub unexpected: i64,
}

/// A verified stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stream {
    pub observer: String,
    /// How many are stored.
    pub events: u64,
    /// How many the handle had emitted, as of `counter_version`; null with `--offline`.
    pub counter: Option<u64>,
    /// The newest ledger version that the node knew then.
    pub counter_version: Option<u64>,
    /// How many are not stored yet.
    pub missing: u64,
    /// The version of the last one.
    pub executed_version: Option<i64>,
    /// After all stored events, as `chain::Digest` defines it.
    pub digest: String,
    #[serde(flatten)]
    pub dead_letters: Letters,
}

/// Pages that were read again from a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Makes the same choice again.
    pub seed: u64,
    pub pages: u32,
    /// Events that were compared.
    pub events: u64,
    /// Pages that no node has any more.
    pub pruned: u32,
}

/// Dead letters that are shown to people.
const LETTERS: usize = 10;

impl Certificate {
    /// Events that the handles have emitted and that are not stored.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.streams.iter().map(|stream| stream.missing).sum()
    }

    /// One line that says it all.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let events: u64 = self.streams.iter().map(|stream| stream.events).sum();
        if self.verified {
            let counted = match self.streams.iter().filter(|stream| stream.counter.is_some()).count() {
                0 => "without a hole, but not compared with a node",
                some if some < self.streams.len() => {
                    "all that handles have emitted, and without a hole where there is no handle"
                }
                _ => "all that the handles have emitted",
            };
            let tables = if self.complete {
                "and the tables are what folding makes of them"
            } else {
                "and their orders, offers and activities are what folding makes of them; NOT compared: tokens, collections, and markets that MARKETS does not name"
            };
            return format!("verified: {events} events, {counted}, {tables}");
        }
        let mut reasons = vec![];
        if self.missing() > 0 {
            reasons.push(format!("{} events are not stored yet: run the worker", self.missing()));
        }
        if self.difference_count > 0 {
            reasons.push(format!("{} differences", self.difference_count));
        }
        format!("NOT verified: {}", reasons.join("; "))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["observer", ">events", ">counter", ">missing", ">parked", ">discarded", "digest"];
        writeln!(f, "{}\n", table(&header, self.streams.iter().map(Stream::row)))?;
        let row = |one: &Compared| vec![one.table.to_owned(), one.rows.to_string(), one.differences.to_string()];
        writeln!(f, "{}\n", table(&["table", ">rows", ">differences"], self.tables.iter().map(row)))?;
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        let shown = self.differences.len() as u64;
        if shown < self.difference_count {
            writeln!(f, "and {} more", self.difference_count - shown)?;
        }
        for DeadLetter { observer, seq_no, state, error } in self.dead_letters.iter().take(LETTERS) {
            writeln!(f, "{state}: {observer} {seq_no}: {}", clean(error))?;
        }
        if self.dead_letters.len() > LETTERS {
            writeln!(f, "and more of them; --json tells the first of each stream, the table dead_letters all")?;
        }
        if let Some(Sample { seed, pages, events, pruned }) = &self.sample {
            write!(f, "sample: {events} events of {pages} pages read again (--seed {seed})")?;
            writeln!(
                f,
                "{}",
                if *pruned > 0 { format!("; {pruned} pages are pruned everywhere") } else { String::new() }
            )?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        f.write_str(&self.conclusion())
    }
}

impl Stream {
    fn row(&self) -> Vec<String> {
        vec![
            self.observer.clone(),
            self.events.to_string(),
            self.counter.map_or("none".to_owned(), |counter| counter.to_string()),
            self.missing.to_string(),
            self.dead_letters.parked.to_string(),
            self.dead_letters.discarded.to_string(),
            format!("{}…", &self.digest[..16]),
        ]
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.table, self.key)?;
        if let Some(column) = &self.column {
            write!(f, "{column}: ")?;
        }
        write!(f, "expected {}, found {}", shown(&self.expected), shown(&self.actual))
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    clean(&text)
}

/// One line, not long; control characters could rewrite the terminal.
fn clean(text: &str) -> String {
    let mut line = String::new();
    for c in shortened(text, 200).chars() {
        let _ = if c.is_control() { write!(line, "{}", c.escape_default()) } else { line.write_char(c) };
    }
    line
}
