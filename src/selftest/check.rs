//! What must hold at the end of a case: `verify` passes, and the tables are what folding the chain's whole history makes of
//! them, one version after the other, whatever is stored.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::chain::{Chain, raw};
use super::ground::Ground;
use crate::chain::{RawEvent, Timestamp};
use crate::market::fold::{self, Entry, Rows};
use crate::market::{Markets, Stream};
use crate::state::entities::{collections, tokens};
use crate::state::{Snapshot, Store, StoreError, convert};
use crate::subject::{Config, Nodes};
use crate::verify;

/// More rows than any case has.
const ALL: u64 = 1 << 20;
/// Differences that are told.
const SHOWN: usize = 5;

/// What was found beside.
pub struct Checked {
    pub parked: u64,
}

/// All events that can be decoded, in ledger order; within a version the fold knows the order.
pub fn entries(markets: &Markets, chain: &Chain) -> Vec<Entry> {
    let of = |stream: &Arc<Stream>| -> Vec<Entry> {
        chain.events(stream).iter().filter_map(|event| stream.entry(&raw(stream, event)).ok()).collect()
    };
    let mut entries: Vec<_> = markets.streams().flat_map(of).collect();
    entries.sort_by_key(|entry| entry.version);
    entries
}

/// Fails with what differs.
pub async fn all(ground: &Ground, chain: &Chain) -> Result<Checked, String> {
    verified(ground, chain).await?;
    let snapshot = ground.store().snapshot().await.map_err(|error| error.to_string())?;
    let mut differences = vec![];
    let mut parked = 0;
    for stream in ground.markets.streams() {
        parked += stored(stream, chain, &snapshot, &mut differences).await.map_err(|error| error.to_string())?;
    }
    folded(&ground.markets, chain, &snapshot, &mut differences).await.map_err(|error| error.to_string())?;
    if differences.is_empty() {
        return Ok(Checked { parked });
    }
    let count = differences.len();
    differences.truncate(SHOWN);
    Err(format!("{count} differences from a plain fold of the chain: {}", differences.join("; ")))
}

/// `verify` with the node's counters.
async fn verified(ground: &Ground, chain: &Chain) -> Result<(), String> {
    let stop = CancellationToken::new();
    let _serving = stop.clone().drop_guard();
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let url = format!("http://{}/v1", listener.local_addr().map_err(|error| error.to_string())?);
    tokio::spawn(Arc::clone(&chain.node).serve(listener, stop));
    let nodes = Arc::new(Nodes::new(Config { nodes: vec![(url.parse()?, None)], archive: None })?);
    let store: &Store = ground.store();
    let config = verify::Config { shown: SHOWN, ..verify::Config::default() };
    let certificate = verify::run(store, &ground.markets, Some(nodes), &config, Arc::default())
        .await
        .map_err(|error| error.to_string())?;
    if certificate.verified {
        return Ok(());
    }
    let differences: Vec<_> = certificate.differences.iter().map(ToString::to_string).collect();
    Err(format!("verify: {}: {}", certificate.conclusion(), differences.join("; ")))
}

/// The stored events are the chain's, and those that cannot be decoded are parked; how many these are.
async fn stored(
    stream: &Arc<Stream>,
    chain: &Chain,
    snapshot: &Snapshot,
    differences: &mut Vec<String>,
) -> Result<u64, StoreError> {
    let chunk = snapshot.chunk(&stream.observer, -1, ALL).await?;
    let emitted: Vec<RawEvent> = chain.events(stream).iter().map(|event| raw(stream, event)).collect();
    let refused: Vec<i64> =
        emitted.iter().filter(|raw| stream.entry(raw).is_err()).map(|raw| raw.seq_no.column()).collect();
    let letters: Vec<i64> = chunk.dead_letters.iter().map(|letter| letter.seq_no).collect();
    compare(&format!("dead letters of {}", stream.observer), &refused, &letters, differences);
    compare(&format!("number of events of {}", stream.observer), &emitted.len(), &chunk.events.len(), differences);
    for (raw, found) in emitted.iter().zip(&chunk.events) {
        let time: Option<Timestamp> = stream.entry(raw).map_or(raw.block_time, |entry| entry.event.time);
        let expected = convert::event(&stream.observer, raw, time, found.recorded_at);
        compare(&format!("event {} of {}", raw.seq_no, stream.observer), &expected, found, differences);
    }
    let told: Vec<_> =
        emitted.iter().filter_map(|raw| stream.entry(raw).ok()).map(|entry| convert::activity(&entry)).collect();
    compare(&format!("activities of {}", stream.observer), &told, &chunk.activities, differences);
    Ok(refused.len() as u64)
}

/// The rows are what folding version after version makes of them.
async fn folded(
    markets: &Markets,
    chain: &Chain,
    snapshot: &Snapshot,
    differences: &mut Vec<String>,
) -> Result<(), StoreError> {
    let (mut rows, mut unexpected) = (Rows::default(), 0);
    for version in entries(markets, chain).chunk_by(|one, other| one.version == other.version) {
        let batch: Vec<&Entry> = version.iter().collect();
        let changes = fold::fold(&batch, &rows, &[]);
        rows.orders.extend(changes.rows.orders);
        rows.offers.extend(changes.rows.offers);
        rows.tokens.extend(changes.rows.tokens);
        rows.collections.extend(changes.rows.collections);
        unexpected += changes.unexpected.values().sum::<i64>();
    }
    let counted: i64 = snapshot.markets().await?.iter().map(|market| market.unexpected).sum();
    compare("unexpected transitions", &unexpected, &counted, differences);

    let expected: BTreeMap<_, _> =
        rows.orders.iter().map(|(id, order)| (id.to_string(), convert::order_row(order))).collect();
    let found = snapshot.orders("", ALL).await?.into_iter().map(|row| (row.order_id.clone(), row)).collect();
    compare_rows("orders", &expected, &found, differences);

    let expected: BTreeMap<_, _> =
        rows.offers.iter().map(|(id, offer)| (id.to_string(), convert::offer_row(offer))).collect();
    let found = snapshot.offers("", ALL).await?.into_iter().map(|row| (row.offer_id.clone(), row)).collect();
    compare_rows("offers", &expected, &found, differences);

    // Nobody knows when a row was written, and what an import tells is its own.
    let now = crate::state::now();
    let key = |row: &tokens::Model| (row.token_id.clone(), row.property_version);
    let expected: BTreeMap<_, _> =
        rows.tokens.values().map(|token| convert::token_row(token, now)).map(|row| (key(&row), row)).collect();
    let found = snapshot.tokens(("", i64::MIN), ALL).await?.into_iter();
    let found = found.map(|row| (key(&row), tokens::Model { updated_at: now, ..row })).collect();
    compare_rows("tokens", &expected, &found, differences);

    let expected: BTreeMap<_, _> = rows
        .collections
        .values()
        .map(|collection| convert::collection_row(collection, now))
        .map(|row| (row.collection_id.clone(), without_imported(row)))
        .collect();
    let found = snapshot.collections("", ALL).await?.into_iter();
    let found = found
        .map(|row| (row.collection_id.clone(), collections::Model { updated_at: now, ..without_imported(row) }))
        .collect();
    compare_rows("collections", &expected, &found, differences);
    Ok(())
}

fn without_imported(row: collections::Model) -> collections::Model {
    collections::Model { description: None, uri: None, metadata: None, imported: 0, ..row }
}

fn compare_rows<K: Ord + Debug, R: PartialEq + Debug>(
    table: &str,
    expected: &BTreeMap<K, R>,
    found: &BTreeMap<K, R>,
    differences: &mut Vec<String>,
) {
    for key in expected.keys().chain(found.keys().filter(|key| !expected.contains_key(key))) {
        compare(&format!("{table} {key:?}"), &expected.get(key), &found.get(key), differences);
    }
}

fn compare<T: PartialEq + Debug + ?Sized>(what: &str, expected: &T, found: &T, differences: &mut Vec<String>) {
    if expected != found {
        differences.push(format!("{what}: expected {expected:?}, found {found:?}"));
    }
}
