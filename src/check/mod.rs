//! Is this going to work? Asked before the worker is started: nodes, contract, history, database, this machine. Nothing that
//! is found stays changed.

mod abi;
mod database;
mod machine;
mod market;
mod nodes;
mod stream;

pub use abi::{Fit, fits};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::chain::Source;
use crate::market::{Markets, Stream};
use crate::state::{DatabaseUrl, StoreError};
use crate::subject::{self, Nodes, StreamConfig, SubjectError};

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub nodes: subject::Config,
    /// `None`: no transaction stream is read.
    pub stream: Option<StreamConfig>,
    pub database: DatabaseUrl,
    pub markets: Arc<Markets>,
    /// Whether handles are looked for in transactions, too, as module events are.
    pub scans: bool,
    /// `None`: nowhere.
    pub listen: Option<SocketAddr>,
    pub log_folder: PathBuf,
}

/// How it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// The worker runs, but not as it could.
    Warn,
    /// The worker, or one of its observers, would not get on.
    Fail,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What.
    pub check: String,
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it, unless it is well.
    pub remedy: Option<String>,
}

impl Config {
    /// Whether the events of `stream` are looked for in transactions.
    fn scans(&self, stream: &Stream) -> bool {
        self.scans || stream.source == Source::ModuleEvent
    }
}

impl Line {
    fn ok(check: &str, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    fn warn(check: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (check, remedy) = (check.to_owned(), Some(remedy.into()));
        Self { check, verdict: Verdict::Warn, found: found.into(), remedy }
    }

    fn fail(check: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, found, remedy) }
    }

    /// What a node's failure means.
    fn of_node(check: &str, error: &SubjectError) -> Self {
        let message = error.to_string();
        match error {
            SubjectError::Throttled { .. } => {
                Self::warn(check, message, "wait, or set NODE_API_KEY; the worker slows down by itself")
            }
            SubjectError::Unreachable(_) => {
                Self::fail(check, message, "check NODE_URL, and that this machine reaches it")
            }
            SubjectError::Behind(_) => {
                Self::warn(check, message, "wait until it has caught up, or use another node (NODE_URL)")
            }
            SubjectError::ArchiveUnreachable(_) => {
                Self::fail(check, message, "check NODE_ARCHIVE_URL, and that this machine reaches it")
            }
            SubjectError::Pruned(_) => Self::fail(
                check,
                message,
                "set NODE_ARCHIVE_URL to a node that has the history, or NODE_URL to an archival node",
            ),
            SubjectError::Missing { .. } => Self::fail(
                check,
                message,
                "check the market's address and handles (MARKETS), and that NODE_URL is of the right chain",
            ),
            // Its message ends with the remedy.
            SubjectError::TooLong(_) | SubjectError::Refused(_) => match message.rsplit_once("; ") {
                Some((found, remedy)) => Self::fail(check, found, remedy),
                None => Self::fail(check, message, "check NODE_URL"),
            },
        }
    }

    fn of_database(check: &str, error: &StoreError) -> Self {
        Self::fail(check, error.to_string(), "mend that (DATABASE_URL), and check again")
    }
}

/// Checks all of it, in the order in which a worker would stumble over it.
pub async fn run(config: &Config) -> Vec<Line> {
    let (mut lines, stored) = database::check(config).await;
    lines.splice(0..0, nodes::check(config, stored.chain_id).await);
    match Nodes::new(config.nodes.clone()) {
        Ok(nodes) => {
            if let Some(stream) = &config.stream {
                lines.extend(stream::check(stream, &nodes).await);
            }
            lines.extend(market::check(&Arc::new(nodes), config, &stored).await);
        }
        Err(error) => lines.push(Line::fail("markets", error, "correct NODE_URL and NODE_API_KEY")),
    }
    lines.extend(machine::check(config).await);
    lines
}
