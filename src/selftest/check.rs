//! What must hold at the end of a case: `verify` passes, and the tables are what folding the chain's whole history makes of
//! them, one version after the other, whatever is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::chain::{Chain, raw};
use super::ground::Ground;
use super::imports::Imports;
use super::letters::Operator;
use crate::chain::{RawEvent, SeqNo, Timestamp};
use crate::market::fold::{self, Entry, Rows};
use crate::market::{Markets, Stream};
use crate::state::entities::{activities, collections, tokens};
use crate::state::{LetterKey, LetterState, Snapshot, Store, StoreError, convert};
use crate::subject::{Config, Nodes};
use crate::verify;

/// More rows than any case has.
const ALL: u64 = 1 << 20;
/// Differences that are told.
const SHOWN: usize = 5;

/// What was found beside.
#[derive(Default)]
pub struct Checked {
    pub parked: u64,
    /// Events that could be decoded, and are discarded.
    pub left_out: u64,
}

/// Events that are discarded.
type LeftOut = BTreeSet<LetterKey>;

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
pub async fn all(ground: &Ground, chain: &Chain, operator: &Operator, imports: &Imports) -> Result<Checked, String> {
    verified(ground, chain).await?;
    let told = |error: StoreError| error.to_string();
    let snapshot = ground.store().snapshot().await.map_err(told)?;
    let (mut differences, mut checked) = (vec![], Checked::default());
    let left_out = left_out(&ground.markets, &snapshot, operator, &mut differences).await.map_err(told)?;
    for stream in ground.markets.streams() {
        stored(stream, chain, &left_out, &snapshot, &mut checked, &mut differences).await.map_err(told)?;
    }
    let mut entries = entries(&ground.markets, chain);
    entries.retain(|entry| !left_out.contains(&key(&entry.observer, entry.seq_no)));
    folded(&entries, imports, &snapshot, &mut differences).await.map_err(told)?;
    if differences.is_empty() {
        return Ok(checked);
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

fn key(observer: &Arc<str>, seq_no: SeqNo) -> LetterKey {
    LetterKey { observer: Arc::clone(observer), seq_no }
}

/// What is discarded: just what the operator was told to be.
async fn left_out(
    markets: &Markets,
    snapshot: &Snapshot,
    operator: &Operator,
    differences: &mut Vec<String>,
) -> Result<LeftOut, StoreError> {
    let mut left_out = LeftOut::new();
    for stream in markets.streams() {
        let letters = snapshot.chunk(&stream.observer, -1, ALL).await?.dead_letters.into_iter();
        let discarded = letters.filter(|letter| letter.state == LetterState::Discarded.name());
        left_out.extend(discarded.map(|letter| key(&stream.observer, SeqNo::from_column(letter.seq_no))));
    }
    let sure = |keys: &LeftOut| keys.difference(&operator.unsure).cloned().collect::<LeftOut>();
    compare("discarded events", &sure(&operator.discarded), &sure(&left_out), differences);
    Ok(left_out)
}

/// The stored events are the chain's, and those that cannot be decoded are parked, unless they are left out.
async fn stored(
    stream: &Arc<Stream>,
    chain: &Chain,
    left_out: &LeftOut,
    snapshot: &Snapshot,
    checked: &mut Checked,
    differences: &mut Vec<String>,
) -> Result<(), StoreError> {
    let chunk = snapshot.chunk(&stream.observer, -1, ALL).await?;
    let emitted: Vec<RawEvent> = chain.events(stream).iter().map(|event| raw(stream, event)).collect();
    let is_out = |raw: &RawEvent| left_out.contains(&key(&stream.observer, raw.seq_no));
    let parked = |raw: &&RawEvent| stream.entry(raw).is_err() && !is_out(raw);
    let refused: Vec<i64> = emitted.iter().filter(parked).map(|raw| raw.seq_no.column()).collect();
    let letters = chunk.dead_letters.iter().filter(|letter| letter.state == LetterState::Parked.name());
    let letters: Vec<i64> = letters.map(|letter| letter.seq_no).collect();
    compare(&format!("parked events of {}", stream.observer), &refused, &letters, differences);
    checked.parked += refused.len() as u64;
    compare(&format!("number of events of {}", stream.observer), &emitted.len(), &chunk.events.len(), differences);
    for (raw, found) in emitted.iter().zip(&chunk.events) {
        let entry = stream.entry(raw).ok().filter(|_| !is_out(raw));
        checked.left_out += u64::from(is_out(raw) && stream.entry(raw).is_ok());
        let time: Option<Timestamp> = entry.map_or(raw.block_time, |entry| entry.event.time);
        let mut expected = convert::event(&stream.observer, raw, time, found.recorded_at);
        // Asked for only where rows depend on it.
        expected.event_index = expected.event_index.filter(|_| found.event_index.is_some());
        compare(&format!("event {} of {}", raw.seq_no, stream.observer), &expected, found, differences);
    }
    let told = emitted.iter().filter(|raw| !is_out(raw)).filter_map(|raw| stream.entry(raw).ok());
    let places = chunk.events.iter().filter_map(|event| Some((event.seq_no, event.event_index?)));
    let places: BTreeMap<i64, i32> = places.collect();
    let told = told.map(|entry| convert::activity(&entry));
    let told: Vec<_> =
        told.map(|row| activities::Model { event_index: places.get(&row.seq_no).copied(), ..row }).collect();
    compare(&format!("activities of {}", stream.observer), &told, &chunk.activities, differences);
    Ok(())
}

/// The rows are what folding version after version makes of them.
async fn folded(
    entries: &[Entry],
    imports: &Imports,
    snapshot: &Snapshot,
    differences: &mut Vec<String>,
) -> Result<(), StoreError> {
    let (mut rows, mut unexpected) = (Rows::default(), 0);
    for version in entries.chunk_by(|one, other| one.version == other.version) {
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

    let mut expected: BTreeMap<_, _> =
        rows.orders.iter().map(|(id, order)| (id.to_string(), convert::order_row(order))).collect();
    let found: BTreeMap<_, _> =
        snapshot.orders("", ALL).await?.into_iter().map(|row| (row.order_id.clone(), row)).collect();
    // Asked for only where rows depend on it.
    for (id, row) in &mut expected {
        row.last_event_index =
            row.last_event_index.filter(|_| found.get(id).is_some_and(|row| row.last_event_index.is_some()));
    }
    compare_rows("orders", &expected, &found, differences);

    let mut expected: BTreeMap<_, _> =
        rows.offers.iter().map(|(id, offer)| (id.to_string(), convert::offer_row(offer))).collect();
    let found: BTreeMap<_, _> =
        snapshot.offers("", ALL).await?.into_iter().map(|row| (row.offer_id.clone(), row)).collect();
    for (id, row) in &mut expected {
        row.last_event_index =
            row.last_event_index.filter(|_| found.get(id).is_some_and(|row| row.last_event_index.is_some()));
    }
    compare_rows("offers", &expected, &found, differences);

    // Nobody knows when a row was written, and what an import tells is its own.
    let now = crate::state::now();
    let key = |row: &tokens::Model| (row.token_id.clone(), row.property_version);
    let expected = rows.tokens.values().map(|token| token_alone(convert::token_row(token, now)));
    let expected: BTreeMap<_, _> = expected.map(|row| (key(&row), row)).collect();
    let mut found = BTreeMap::new();
    for row in snapshot.tokens(("", i64::MIN), ALL).await? {
        differences.extend(imports.missing_of_token(&row).map(|what| format!("token {}: {what}", row.token_id)));
        if expected.contains_key(&key(&row)) || !imports.made(&row) {
            found.insert(key(&row), tokens::Model { updated_at: now, ..token_alone(row) });
        }
    }
    compare_rows("tokens", &expected, &found, differences);

    let expected =
        rows.collections.values().map(|collection| collection_alone(convert::collection_row(collection, now)));
    let expected: BTreeMap<_, _> = expected.map(|row| (row.collection_id.clone(), row)).collect();
    let mut found = BTreeMap::new();
    for row in snapshot.collections("", ALL).await? {
        let missing = imports.missing_of_collection(&row);
        differences.extend(missing.map(|what| format!("collection {}: {what}", row.collection_id)));
        if expected.contains_key(&row.collection_id) || !imports.made_collection(&row) {
            let row = collections::Model { updated_at: now, ..collection_alone(row) };
            found.insert(row.collection_id.clone(), row);
        }
    }
    compare_rows("collections", &expected, &found, differences);
    Ok(())
}

fn collection_alone(row: collections::Model) -> collections::Model {
    collections::Model { description: None, uri: None, supply: None, maximum: None, metadata: None, imported: 0, ..row }
}

/// Which of those events of a transaction that tell the same owner comes last is known only where it was asked for.
fn token_alone(row: tokens::Model) -> tokens::Model {
    let row = tokens::Model { owner_place: None, owner_seq_no: None, ..row };
    tokens::Model { description: None, uri: None, supply: None, maximum: None, metadata: None, imported: 0, ..row }
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
