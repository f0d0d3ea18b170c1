//! How often what has happened.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::state::{Edge, Fault};
use crate::telemetry::table::table;

/// Counts, by name. Those of faults begin with `fault`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// Once more.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// So many more.
    pub fn add(&mut self, what: &'static str, more: u64) {
        if more > 0 {
            *self.0.entry(what).or_default() += more;
        }
    }

    /// All of another one.
    pub fn add_all(&mut self, other: &Self) {
        for (what, more) in &other.0 {
            self.add(what, *more);
        }
    }

    /// How often.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.0.iter().filter(|(what, _)| what.starts_with("fault")).map(|(_, count)| count).sum()
    }

    /// A fault of the database.
    pub fn database(&mut self, edge: Edge, fault: Fault) {
        self.count(match (fault, edge) {
            (Fault::Lost, Edge::Statement) => "fault: connection lost at a statement",
            (Fault::Lost, Edge::Commit) => "fault: connection lost before COMMIT",
            (Fault::Lost, Edge::Committed) => "fault: answer to COMMIT lost",
            (Fault::Deadlock, _) => "fault: deadlock",
            (Fault::Hang, Edge::Statement) => "fault: crash at a statement",
            (Fault::Hang, Edge::Commit) => "fault: crash before COMMIT",
            (Fault::Hang, Edge::Committed) => "fault: crash after COMMIT",
        });
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|(what, count)| vec![(*what).to_owned(), count.to_string()]);
        f.write_str(&table(&["what", ">times"], rows))
    }
}
