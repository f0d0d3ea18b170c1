//! What is measured.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::support::database::Server;

/// One measurement: the worker into one kind of database.
pub struct Case {
    /// Its name in the report.
    pub name: &'static str,
    /// Where the worker writes.
    pub server: Server,
}

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    Case { name: "sink/sqlite", server: Server::Sqlite },
    Case { name: "sink/mariadb", server: Server::MariaDb },
    Case { name: "sink/postgres", server: Server::Postgres },
];

/// What came out of a case.
#[derive(Serialize)]
pub struct Figures {
    /// The case's name.
    pub case: &'static str,
    /// The database's own word for its version.
    pub database: String,
    /// The worker's events per second: the median.
    pub events_per_s: f64,
    /// The same for the replay of its writes.
    pub bare_per_s: f64,
    /// The one by the other.
    pub ratio_to_bare: f64,
    /// The fastest way to write the same rows in the same transactions.
    pub best: String,
    /// Its events per second: the median.
    pub best_per_s: f64,
    /// The replay by the best.
    pub bare_to_best: f64,
    /// The worker's peak memory in MB (10^6 bytes) for the larger number of events; null where no `/proc` tells.
    pub peak_rss_mb: Option<f64>,
    /// Transactions of the recorded run.
    pub commits: usize,
    /// Statements in them that write.
    pub writes: usize,
    /// Every repetition.
    pub runs: Vec<Run>,
    /// Peak memory by number of events.
    pub memory: Vec<Peak>,
}

/// One repetition, in events per second.
#[derive(Serialize)]
pub struct Run {
    pub events_per_s: f64,
    pub bare_per_s: f64,
    /// Other ways to the same rows, by name.
    pub ways: BTreeMap<String, f64>,
}

/// The peak memory of a worker that executed so many events.
#[derive(Serialize)]
pub struct Peak {
    pub events: u32,
    pub rss_mb: Option<f64>,
}
