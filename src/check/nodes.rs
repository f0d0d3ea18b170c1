//! Each node of `NODE_URL` by itself, and the archive.

use super::{Config, Line};
use crate::chain::{ChainId, LOCAL_CHAIN, Timestamp};
use crate::state::now;
use crate::subject::{self, Ledger, Nodes};

/// A node that shows nothing newer lags, or stands still.
const OLD: u64 = 60;

/// A line or two for each node. `stored` is the chain of the database's rows.
pub(super) async fn check(config: &Config, stored: Option<ChainId>) -> Vec<Line> {
    let asks_for_events = config.markets.streams().any(|stream| !config.scans(stream));
    let Config { nodes: config, markets, .. } = config;
    let mut lines = vec![];
    let mut expected =
        stored.map(|chain| Expected { chain, who: "the database's rows are".to_owned(), or_local: false });
    if let (None, Some((market, chain))) = (stored, markets.chains().next()) {
        expected = Some(Expected { chain, who: format!("the market {} is", market.name), or_local: true });
    }
    for (url, key) in &config.nodes {
        let check = format!("node {url}");
        let alone = subject::Config { nodes: vec![(url.clone(), key.clone())], archive: None };
        let nodes = match Nodes::new(alone) {
            Ok(nodes) => nodes,
            Err(error) => {
                lines.push(Line::fail(&check, error, "correct NODE_API_KEY"));
                continue;
            }
        };
        let ledger = match nodes.ledger().await {
            Ok(ledger) => ledger,
            Err(error) => {
                lines.push(Line::of_node(&check, &error));
                continue;
            }
        };
        lines.push(told(&check, ledger, key.is_some(), &mut expected));
        lines.push(event_index(&format!("event index {url}"), &nodes, asks_for_events).await);
    }
    if let Some(url) = &config.archive {
        let check = format!("archive {url}");
        let alone = subject::Config { nodes: vec![(url.clone(), None)], archive: None };
        lines.push(match Nodes::new(alone) {
            Err(error) => Line::fail(&check, error, "correct NODE_ARCHIVE_URL"),
            Ok(archive) => match archive.ledger().await {
                Ok(ledger) => told(&check, ledger, false, &mut expected),
                Err(error) => Line::fail(&check, error.to_string(), "correct NODE_ARCHIVE_URL, or leave it out"),
            },
        });
    }
    lines
}

/// The chain that all must be of.
struct Expected {
    chain: ChainId,
    /// Whose chain it is.
    who: String,
    /// Whether a local network may stand for it.
    or_local: bool,
}

/// What its ledger says; the first chain that is told is that of all the others.
fn told(check: &str, ledger: Ledger, has_key: bool, expected: &mut Option<Expected>) -> Line {
    let Some(chain) = ledger.chain_id else {
        return Line::warn(check, "does not tell its chain", "use a node that does");
    };
    let first = || Expected { chain, who: format!("{check} is"), or_local: false };
    let Expected { chain: first, who, or_local } = expected.get_or_insert_with(first);
    if *first != chain && !(*or_local && chain == LOCAL_CHAIN) {
        let remedy = "correct NODE_URL and NODE_ARCHIVE_URL, or give each chain a database of its own (DATABASE_URL)";
        return Line::fail(check, format!("is of chain {chain}; {who} of chain {first}"), remedy);
    }
    let key = if has_key { ", accepts its key" } else { "" };
    let version = ledger.version.unwrap_or_default();
    let age = ledger.time.map(|time| age(time, now()));
    match age {
        Some(age) if age > OLD => Line::warn(
            check,
            format!("chain {chain}, version {version}, and shows nothing newer than {age} s{key}"),
            "wait until it has caught up, or use another node (NODE_URL)",
        ),
        _ => Line::ok(check, format!("chain {chain}, version {version}, {} s old{key}", age.unwrap_or_default())),
    }
}

fn age(time: Timestamp, now: Timestamp) -> u64 {
    u64::try_from((now.micros() - time.micros()) / 1_000_000).unwrap_or_default()
}

/// Whether it can be asked for events, if anybody will.
async fn event_index(check: &str, nodes: &Nodes, is_needed: bool) -> Line {
    const REMEDY: &str = "use a node with enable_event in its internal_indexer_config (NODE_URL)";
    match nodes.serves_events().await {
        Ok(Some(true)) => Line::ok(check, "on"),
        _ if !is_needed => Line::ok(check, "not needed: events are looked for in transactions"),
        Ok(Some(false)) => Line::fail(check, "off: this node cannot be asked for events", REMEDY),
        Ok(None) => Line::warn(check, "the node does not tell", "whether it has one, the lines of the handles tell"),
        Err(error) => Line::warn(check, error.to_string(), "whether it has one, the lines of the handles tell"),
    }
}
